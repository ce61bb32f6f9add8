//! Messages between an entry and a worker.

use async_nats::{Client, Message, StatusCode};
use bytes::{BufMut as _, Bytes, BytesMut};

/// Maximum size of a frame's body: NATS accepts messages of 1 MiB.
const MAX_BODY_BYTES: usize = 512 << 10;
/// Maximum size of a document that is sent in several frames.
const MAX_DOCUMENT_BYTES: usize = 32 << 20;
/// Bytes of a frame before its body: tag and number.
const HEADER_BYTES: usize = 5;

/// A frame between an entry and a worker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Frame {
    /// From a worker: it has accepted the job and waits for the request.
    Take,
    /// From the worker: heartbeat while the request is in progress.
    Alive,
    /// Part of a document, which the next frame continues.
    Part(Bytes),
    /// Last part of a document: of the request, or of a chunk of the answer.
    Last(Bytes),
    /// From the entry: number of the answer's frames that it has read.
    Credit(u64),
    /// From the worker: the answer is complete. From the entry: the worker is no longer needed.
    End,
    /// From the worker: no miner answered; contains a [`crate::QueryError`] as JSON.
    Failed(Bytes),
    /// From the worker: the answer is incomplete; contains the reason.
    Interrupted(Bytes),
}

impl Frame {
    pub(super) fn encode(&self, number: u32) -> Bytes {
        let (tag, body) = match self {
            Self::Take => (b'T', Bytes::new()),
            Self::Alive => (b'A', Bytes::new()),
            Self::Part(body) => (b'P', body.clone()),
            Self::Last(body) => (b'L', body.clone()),
            Self::Credit(count) => (b'C', Bytes::copy_from_slice(&count.to_be_bytes())),
            Self::End => (b'E', Bytes::new()),
            Self::Failed(body) => (b'F', body.clone()),
            Self::Interrupted(body) => (b'I', body.clone()),
        };
        let mut bytes = BytesMut::with_capacity(HEADER_BYTES + body.len());
        bytes.put_u8(tag);
        bytes.put_u32(number);
        bytes.put(body);
        bytes.freeze()
    }

    pub(super) fn decode(bytes: &Bytes) -> Option<(u32, Self)> {
        let (tag, remaining) = bytes.split_first()?;
        let number = u32::from_be_bytes(*remaining.first_chunk()?);
        let body = bytes.slice(HEADER_BYTES..);
        let frame = match *tag {
            b'T' => Self::Take,
            b'A' => Self::Alive,
            b'P' => Self::Part(body),
            b'L' => Self::Last(body),
            b'C' => Self::Credit(u64::from_be_bytes(*body.first_chunk()?)),
            b'E' => Self::End,
            b'F' => Self::Failed(body),
            b'I' => Self::Interrupted(body),
            _ => return None,
        };
        Some((number, frame))
    }
}

/// A received message.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum InboundMessage {
    /// The previous message had no receiver: the other side no longer exists.
    NoReceiver,
    /// A numbered frame.
    Frame(u32, Frame),
}

impl InboundMessage {
    /// Parses a message; returns `None` if it is malformed.
    pub(super) fn parse(message: &Message) -> Option<Self> {
        if message.status == Some(StatusCode::NO_RESPONDERS) {
            return Some(Self::NoReceiver);
        }
        Frame::decode(&message.payload).map(|(number, frame)| Self::Frame(number, frame))
    }
}

/// Sends numbered frames to an inbox.
#[derive(Debug)]
pub(super) struct Outbox {
    client: Client,
    recipient: String,
    /// Inbox of this process, where NATS reports that the recipient no longer exists.
    own_inbox: String,
    next_number: u32,
}

impl Outbox {
    pub(super) const fn new(client: Client, recipient: String, own_inbox: String) -> Self {
        Self { client, recipient, own_inbox, next_number: 0 }
    }

    /// Returns the inbox of the other side.
    pub(super) fn recipient(&self) -> &str {
        &self.recipient
    }

    /// Queues a frame for sending. If the frame is lost later, the receiver detects a gap in the
    /// numbers.
    pub(super) async fn send(&mut self, frame: Frame) {
        let bytes = frame.encode(self.next_number);
        self.next_number = self.next_number.wrapping_add(1);
        if let Err(error) = self
            .client
            .publish_with_reply(self.recipient.clone(), self.own_inbox.clone(), bytes)
            .await
        {
            tracing::debug!(%error, "cannot send to NATS");
        }
    }

    /// Sends a document, split into frames; returns the number of frames.
    pub(super) async fn send_document(&mut self, document: Vec<u8>) -> u64 {
        let mut remaining = Bytes::from(document);
        let mut frames = 1;
        while remaining.len() > MAX_BODY_BYTES {
            let part = remaining.split_to(MAX_BODY_BYTES);
            self.send(Frame::Part(part)).await;
            frames += 1;
        }
        self.send(Frame::Last(remaining)).await;
        frames
    }
}

/// Frames of one sender were lost or reordered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("messages were lost")]
pub(super) struct LostFrames;

/// Checks the numbers of one sender's frames, and reassembles documents.
#[derive(Debug, Default)]
pub(super) struct FrameAssembler {
    expected_number: u32,
    document: Vec<u8>,
}

impl FrameAssembler {
    /// Adds the next frame. Returns `None` for a part of a document; for the last part, returns the
    /// complete document.
    pub(super) fn push(&mut self, number: u32, frame: Frame) -> Result<Option<Frame>, LostFrames> {
        if number != self.expected_number {
            return Err(LostFrames);
        }
        self.expected_number = number.wrapping_add(1);
        let (body, is_last) = match frame {
            Frame::Part(body) => (body, false),
            Frame::Last(body) if self.document.is_empty() => return Ok(Some(Frame::Last(body))),
            Frame::Last(body) => (body, true),
            other => return Ok(Some(other)),
        };
        if self.document.len() + body.len() > MAX_DOCUMENT_BYTES {
            return Err(LostFrames);
        }
        self.document.extend_from_slice(&body);
        Ok(is_last.then(|| Frame::Last(std::mem::take(&mut self.document).into())))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn body() -> impl Strategy<Value = Bytes> {
        prop::collection::vec(any::<u8>(), 0..40).prop_map(Bytes::from)
    }

    fn frame() -> impl Strategy<Value = Frame> {
        prop_oneof![
            Just(Frame::Take),
            Just(Frame::Alive),
            Just(Frame::End),
            any::<u64>().prop_map(Frame::Credit),
            body().prop_map(Frame::Part),
            body().prop_map(Frame::Last),
            body().prop_map(Frame::Failed),
            body().prop_map(Frame::Interrupted),
        ]
    }

    proptest! {
        #[test]
        fn frames_round_trip(number: u32, frame in frame()) {
            prop_assert_eq!(Frame::decode(&frame.encode(number)), Some((number, frame)));
        }

        #[test]
        fn decoding_arbitrary_frame_never_panics(bytes: Vec<u8>) {
            let _ = Frame::decode(&Bytes::from(bytes));
        }
    }

    #[test]
    fn response_frames_are_joined_and_gaps_detected() {
        let part = |text: &'static str| Frame::Part(Bytes::from_static(text.as_bytes()));
        let last = |text: &'static str| Frame::Last(Bytes::from_static(text.as_bytes()));
        let mut assembler = FrameAssembler::default();
        assert_eq!(assembler.push(0, Frame::Take), Ok(Some(Frame::Take)));
        assert_eq!(assembler.push(1, last("whole")), Ok(Some(last("whole"))));
        assert_eq!(assembler.push(2, part("a")), Ok(None));
        assert_eq!(assembler.push(3, Frame::Alive), Ok(Some(Frame::Alive)));
        assert_eq!(assembler.push(4, last("b")), Ok(Some(last("ab"))));
        assert_eq!(assembler.push(4, last("b")), Err(LostFrames), "repeated");
        assert_eq!(assembler.push(6, last("c")), Err(LostFrames), "one is missing");
        let mut assembler = FrameAssembler::default();
        let large = Bytes::from(vec![0; MAX_BODY_BYTES]);
        let pushed = (0..100).map(|number| assembler.push(number, Frame::Part(large.clone())));
        assert!(
            pushed.into_iter().any(|pushed| pushed == Err(LostFrames)),
            "no sender fills the memory"
        );
    }
}
