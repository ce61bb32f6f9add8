//! Frames of the relay's WebSocket: `u8 type | u32 BE request id | payload`.

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use thiserror::Error;

/// Maximum size of a JSON document in bytes. Parsed, it takes up to 16 times as much memory.
pub(super) const MAX_JSON_BYTES: usize = 16 << 20;

/// Type of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum FrameKind {
    AuthChallenge = 0x01,
    AuthResponse = 0x02,
    AuthSuccess = 0x03,
    Submit = 0x10,
    SubmitResult = 0x11,
    StatusRequest = 0x20,
    StatusResult = 0x21,
    ProofRequest = 0x30,
    ProofResult = 0x31,
    BatchDone = 0x40,
    Error = 0xFE,
}

impl FrameKind {
    const ALL: [Self; 11] = [
        Self::AuthChallenge,
        Self::AuthResponse,
        Self::AuthSuccess,
        Self::Submit,
        Self::SubmitResult,
        Self::StatusRequest,
        Self::StatusResult,
        Self::ProofRequest,
        Self::ProofResult,
        Self::BatchDone,
        Self::Error,
    ];
}

/// ID of a request, which the reply repeats; 0 if no reply is expected.
pub(super) type RequestId = u32;

/// A frame received from the relay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Frame<'a> {
    pub(super) kind: FrameKind,
    pub(super) id: RequestId,
    pub(super) payload: &'a [u8],
}

/// Why a frame or its payload cannot be read.
#[derive(Debug, Error)]
pub(super) enum FrameError {
    #[error("frame of {0} bytes is too short")]
    Short(usize),
    #[error("unknown frame type 0x{0:02x}")]
    Kind(u8),
    #[error("Invalid payload: {0}")]
    Json(#[from] serde_json::Error),
    #[error("Invalid payload: JSON of {0} bytes, more than {MAX_JSON_BYTES}")]
    Large(usize),
    #[error("Invalid payload: metadata of {0} bytes is incomplete")]
    Meta(usize),
}

impl<'a> Frame<'a> {
    pub(super) fn decode(bytes: &'a [u8]) -> Result<Self, FrameError> {
        let (header, payload) =
            bytes.split_first_chunk::<5>().ok_or(FrameError::Short(bytes.len()))?;
        let [kind, id @ ..] = *header;
        let parsed = FrameKind::ALL.into_iter().find(|candidate| *candidate as u8 == kind);
        Ok(Self {
            kind: parsed.ok_or(FrameError::Kind(kind))?,
            id: u32::from_be_bytes(id),
            payload,
        })
    }

    pub(super) fn json<T: DeserializeOwned>(&self) -> Result<T, FrameError> {
        parse(self.payload)
    }

    /// Splits the payload of [`FrameKind::Submit`] into metadata and tensor:
    /// `u32 BE length | JSON | tensor`.
    pub(super) fn submission(&self) -> Result<(Request, Option<&'a [u8]>), FrameError> {
        let (length, remaining) =
            self.payload.split_first_chunk::<4>().ok_or(FrameError::Meta(0))?;
        let length = u32::from_be_bytes(*length) as usize;
        let (meta, tensor) = remaining.split_at_checked(length).ok_or(FrameError::Meta(length))?;
        Ok((parse(meta)?, Some(tensor).filter(|tensor| !tensor.is_empty())))
    }
}

fn parse<T: DeserializeOwned>(json: &[u8]) -> Result<T, FrameError> {
    if json.len() > MAX_JSON_BYTES {
        Err(FrameError::Large(json.len()))
    } else {
        Ok(serde_json::from_slice(json)?)
    }
}

/// Encodes a frame with a JSON payload.
pub(super) fn encode(kind: FrameKind, id: RequestId, payload: &Value) -> Vec<u8> {
    let mut bytes = vec![kind as u8];
    bytes.extend(id.to_be_bytes());
    bytes.extend(payload.to_string().into_bytes());
    bytes
}

/// A request for proofs. `prove_pct` is ignored: all slices are proven.
#[derive(Debug, Deserialize, PartialEq)]
pub(super) struct Request {
    pub(super) circuit_id: String,
    pub(super) inputs: Option<Value>,
}

/// Payload of [`FrameKind::AuthChallenge`].
#[derive(Debug, Deserialize)]
pub(super) struct Challenge {
    /// Bytes to sign, in base64.
    pub(super) challenge: String,
}

/// Payload of [`FrameKind::StatusRequest`].
#[derive(Debug, Deserialize)]
pub(super) struct StatusRequest {
    pub(super) run_uid: String,
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn frames_round_trip() {
        for kind in FrameKind::ALL {
            let bytes = encode(kind, 0x0102_0304, &json!({ "a": 1 }));
            assert_eq!(&bytes[..5], [kind as u8, 1, 2, 3, 4]);
            assert_eq!(
                Frame::decode(&bytes).unwrap(),
                Frame { kind, id: 0x0102_0304, payload: br#"{"a":1}"# }
            );
        }
        assert_eq!(
            Frame::decode(&[1, 0, 0, 0]).unwrap_err().to_string(),
            "frame of 4 bytes is too short"
        );
        assert_eq!(
            Frame::decode(&[9, 0, 0, 0, 0]).unwrap_err().to_string(),
            "unknown frame type 0x09"
        );
    }

    #[test]
    fn submissions_have_metadata_and_an_optional_tensor() {
        let meta = br#"{"circuit_id": "c", "inputs": [1], "prove_pct": 0.5}"#;
        let length = u32::try_from(meta.len()).unwrap().to_be_bytes();
        let payload = [&length[..], meta, b"tensor"].concat();
        let frame = |payload| Frame { kind: FrameKind::Submit, id: 1, payload };
        let request = Request { circuit_id: "c".to_owned(), inputs: Some(json!([1])) };
        assert_eq!(frame(&payload[..]).submission().unwrap(), (request, Some(&b"tensor"[..])));
        assert_eq!(frame(&payload[..4 + meta.len()]).submission().unwrap().1, None);
        for cut_length in 0..4 + meta.len() {
            assert!(frame(&payload[..cut_length]).submission().is_err(), "{cut_length}");
        }
    }

    #[test]
    fn json_payload_above_the_limit_is_refused() {
        let mut payload = br#"{"circuit_id": "c"}"#.to_vec();
        payload.resize(MAX_JSON_BYTES, b' ');
        let frame = |payload: &[u8]| {
            Frame { kind: FrameKind::ProofRequest, id: 1, payload }.json::<Request>()
        };
        assert!(frame(&payload).is_ok());
        payload.push(b' ');
        assert!(
            matches!(frame(&payload), Err(FrameError::Large(length)) if length > MAX_JSON_BYTES)
        );
        let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
        let payload = [&length[..], &payload].concat();
        let submission = Frame { kind: FrameKind::Submit, id: 1, payload: &payload }.submission();
        assert!(matches!(submission, Err(FrameError::Large(_))));
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_do_not_panic(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            if let Ok(frame) = Frame::decode(&bytes) {
                let _ = frame.submission();
                let _ = frame.json::<Challenge>();
            }
        }
    }
}
