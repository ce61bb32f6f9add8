//! Requests with a single fault each, and the expected outcomes.

use http::{HeaderMap, HeaderName, HeaderValue, Method};
use taonet_primitives::Hotkey;
use taonet_wire::synapse_hash;

use crate::harness::*;

/// The outcome of a request.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum ExpectedOutcome {
    /// The scheme does not sign the altered part, or the server handles the variant safely.
    Accepted,
    Unsigned,
    Missing,
    Malformed,
    Duplicate,
    Lookalike,
    WrongSignature,
    WrongReceiver,
    Stale,
    Future,
    WrongBody,
    NotJson,
    UnknownMessage,
    HeadersTooLarge,
    BodyTooLarge,
    BodyUnreadable,
    /// Rejected by the HTTP library.
    NotHttp,
    Replayed,
    NotAllowed,
    StakeTooLow,
    NoPermit,
    RateLimited,
    ResponseTimeout,
}

use ExpectedOutcome::*;

impl ExpectedOutcome {
    /// Returns the expected status and part of the message.
    fn status_and_text(self, kind: Kind) -> (u16, &'static str) {
        // The SDKs' messages and statuses that differ from ours.
        match (kind, self) {
            (Btauth, Malformed) => return (401, "MalformedAuth: header"),
            (Btauth, Duplicate) => return (401, "is given more than once"),
            (Btauth, Lookalike) => return (401, "a header prefix differs from"),
            (Dendrite, Unsigned | WrongBody) => return (500, "Internal Server Error"),
            (Dendrite, Missing) => return (401, "issing"),
            (Dendrite, WrongSignature) => return (401, "Signature mismatch"),
            (Dendrite, NotJson) => return (422, "JSON decode error"),
            (Dendrite, NotAllowed) => return (403, "Key is blacklisted: not allowed here."),
            (Dendrite, Replayed) => return (401, "a newer one was last processed"),
            (Dendrite, ResponseTimeout) => return (408, "Response timeout after"),
            _ => {}
        }
        match self {
            Accepted => (200, ""),
            Unsigned => (401, "is not signed"),
            Missing => (401, "is missing"),
            Malformed => (400, "is malformed"),
            Duplicate => (400, "is given more than once"),
            Lookalike => (400, "a header prefix differs from"),
            WrongSignature => (401, "signature does not match"),
            WrongReceiver => (401, "request was signed for another receiver"),
            Stale => (401, "too old"),
            Future => (401, "request is dated in the future"),
            WrongBody => (401, "request body does not match its signed hash"),
            NotJson => (422, "request body is not JSON"),
            UnknownMessage => (404, "not found"),
            HeadersTooLarge => (431, "request headers are too large"),
            BodyTooLarge => (413, "request body is larger than 1048576 bytes"),
            BodyUnreadable => (400, "request body could not be read"),
            NotHttp => (400, ""),
            Replayed => (401, "request was already received, or a newer one was"),
            NotAllowed => (403, "is not allowed"),
            StakeTooLow => (403, "less than the required stake"),
            NoPermit => (403, "has no validator permit"),
            RateLimited => (429, "exceeds its rate limit"),
            ResponseTimeout => (504, "response timeout after"),
        }
    }

    pub(crate) fn matches(self, kind: Kind, outcome: &Outcome) -> bool {
        let (status, text) = self.status_and_text(kind);
        let is_silent = matches!(self, Accepted | NotHttp);
        outcome.status == status
            && outcome.reason.contains(text)
            && outcome.reason.is_empty() == is_silent
    }
}

/// Returns the expected outcome for a scheme.
pub(crate) type Expected = fn(Kind) -> ExpectedOutcome;

/// Name, expected outcome, and the request; `None` if it does not apply to the scheme.
type Fault = (&'static str, Expected, fn(Kind) -> Option<SentRequest>);

/// Faults of well-formed HTTP requests.
pub(crate) const FAULTS: &[Fault] = &[
    (
        "no signed headers",
        |kind| if kind == Dendrite { Unsigned } else { Missing },
        |_| {
            Some(SentRequest {
                method: Method::POST,
                path: PATH.into(),
                headers: HeaderMap::new(),
                body: BODY.into(),
            })
        },
    ),
    (
        "signature missing",
        |_| Missing,
        |kind| Some(SentRequest::fresh(kind).without_header(kind.header(Part::Signature)?)),
    ),
    (
        "signature empty",
        |_| Missing,
        |kind| Some(SentRequest::fresh(kind).with_header(kind.header(Part::Signature)?, "")),
    ),
    (
        "signature `0x`",
        |_| Malformed,
        |kind| Some(SentRequest::fresh(kind).with_header(kind.header(Part::Signature)?, "0x")),
    ),
    (
        "signature with prefix `0x0x`",
        |_| Malformed,
        |kind| {
            let (sent, name) = (SentRequest::fresh(kind), kind.header(Part::Signature)?);
            let text = sent.text(name);
            Some(sent.with_header(name, &format!("0x{text}")))
        },
    ),
    (
        "signature truncated",
        |_| Malformed,
        |kind| {
            let (sent, name) = (SentRequest::fresh(kind), kind.header(Part::Signature)?);
            let text = sent.text(name);
            Some(sent.with_header(name, &text[..text.len() - 2]))
        },
    ),
    (
        "signature in upper-case hex",
        |_| Malformed,
        |kind| {
            let (sent, name) = (SentRequest::fresh(kind), kind.header(Part::Signature)?);
            let text = sent.text(name).to_uppercase().replace("0X", "0x");
            Some(sent.with_header(name, &text))
        },
    ),
    (
        "signature of zeros",
        |_| WrongSignature,
        |kind| {
            Some(
                SentRequest::fresh(kind)
                    .with_header(kind.header(Part::Signature)?, &format!("0x{}", "0".repeat(128))),
            )
        },
    ),
    (
        "signed with another key",
        |_| WrongSignature,
        |kind| {
            let alice = hotkey("//Alice").to_string();
            Some(
                SentRequest::signed(kind, "//Charlie", "//Bob", NOW)
                    .with_header(kind.header(Part::Sender)?, &alice),
            )
        },
    ),
    (
        "signed with the all-zero key",
        |_| WrongSignature,
        |kind| {
            // The key is the identity point, for which this signature verifies with every message.
            let signature = format!("0x{}80", "00".repeat(63));
            let sent = SentRequest::fresh(kind)
                .with_header(kind.header(Part::Sender)?, &Hotkey::from_bytes([0; 32]).to_string());
            Some(sent.with_header(kind.header(Part::Signature)?, &signature))
        },
    ),
    (
        "nonce missing",
        |_| Missing,
        |kind| Some(SentRequest::fresh(kind).without_header(kind.header(Part::Nonce)?)),
    ),
    (
        "nonce not a number",
        |_| Malformed,
        |kind| Some(SentRequest::fresh(kind).with_header(kind.header(Part::Nonce)?, "now")),
    ),
    (
        "nonce with a plus sign",
        |_| Malformed,
        |kind| {
            Some(
                SentRequest::fresh(kind).with_header(kind.header(Part::Nonce)?, &format!("+{NOW}")),
            )
        },
    ),
    (
        "nonce altered",
        |_| WrongSignature,
        |kind| {
            Some(
                SentRequest::fresh(kind)
                    .with_header(kind.header(Part::Nonce)?, &(NOW + 1).to_string()),
            )
        },
    ),
    (
        "sender missing",
        |_| Missing,
        |kind| Some(SentRequest::fresh(kind).without_header(kind.header(Part::Sender)?)),
    ),
    (
        "sender mistyped",
        |_| Malformed,
        |kind| {
            let mistyped = hotkey("//Alice").to_string().replace("QY", "QZ");
            Some(SentRequest::fresh(kind).with_header(kind.header(Part::Sender)?, &mistyped))
        },
    ),
    (
        "receiver missing",
        |kind| if kind == Btauth { WrongReceiver } else { Missing },
        |kind| Some(SentRequest::fresh(kind).without_header(kind.header(Part::Receiver)?)),
    ),
    (
        "request for another receiver",
        |_| WrongReceiver,
        |kind| Some(SentRequest::signed(kind, "//Alice", "//Dave", NOW)),
    ),
    (
        "receiver changed to this server",
        |_| WrongSignature,
        |kind| {
            let bob = hotkey("//Bob").to_string();
            Some(
                SentRequest::signed(kind, "//Alice", "//Dave", NOW)
                    .with_header(kind.header(Part::Receiver)?, &bob),
            )
        },
    ),
    (
        "stale by 1 ns",
        |_| Stale,
        |kind| {
            let timeout = kind.header(Part::Timeout).map_or(0, |_| 10);
            let past = kind.window().past.as_secs() + timeout;
            Some(SentRequest::signed(kind, "//Alice", "//Bob", NOW - past * SECOND - 1))
        },
    ),
    (
        "stale, with a timeout of one day",
        |_| Stale,
        |kind| {
            let window = kind.window();
            let nonce = NOW - (window.past + window.max_timeout).as_secs() * SECOND - 1;
            Some(
                SentRequest::signed(kind, "//Alice", "//Bob", nonce)
                    .with_header(kind.header(Part::Timeout)?, "86400.0"),
            )
        },
    ),
    (
        "stale, with an old version",
        |_| Stale,
        |kind| {
            let sent = SentRequest::signed(kind, "//Alice", "//Bob", 5);
            Some(
                sent.with_header(kind.header(Part::Version).filter(|_| kind != Btauth)?, "7001000"),
            )
        },
    ),
    (
        "1 ns too far in the future",
        |_| Future,
        |kind| {
            Some(SentRequest::signed(
                kind,
                "//Alice",
                "//Bob",
                NOW + kind.window().future.as_secs() * SECOND + 1,
            ))
        },
    ),
    (
        "timeout negative",
        |_| Malformed,
        |kind| Some(SentRequest::fresh(kind).with_header(kind.header(Part::Timeout)?, "-1")),
    ),
    (
        "timeout not a number",
        |_| Malformed,
        |kind| Some(SentRequest::fresh(kind).with_header(kind.header(Part::Timeout)?, "nan")),
    ),
    (
        "process (UUID) altered",
        |_| WrongSignature,
        |kind| {
            Some(
                SentRequest::fresh(kind)
                    .with_header(kind.header(Part::Uuid)?, "00000000-0000-4000-8000-000000000000"),
            )
        },
    ),
    (
        "process (UUID) with a dot",
        |_| Malformed,
        |kind| Some(SentRequest::fresh(kind).with_header(kind.header(Part::Uuid)?, "a.b")),
    ),
    (
        "version unknown",
        |_| Malformed,
        |kind| {
            let version = if kind == Btauth { "2" } else { "ten" };
            Some(SentRequest::fresh(kind).with_header(kind.header(Part::Version)?, version))
        },
    ),
    (
        "key type altered",
        |_| WrongSignature,
        |kind| {
            Some(SentRequest::fresh(kind).with_header("x-bittensor-crypto", "ed25519"))
                .filter(|_| kind == Btauth)
        },
    ),
    (
        "key type unknown",
        |_| Malformed,
        |kind| {
            Some(SentRequest::fresh(kind).with_header("x-bittensor-crypto", "rsa"))
                .filter(|_| kind == Btauth)
        },
    ),
    (
        "method altered",
        |kind| if kind == Btauth { WrongSignature } else { Accepted },
        |kind| Some(SentRequest { method: Method::PUT, ..SentRequest::fresh(kind) }),
    ),
    (
        "query altered",
        |kind| if kind == Btauth { WrongSignature } else { Accepted },
        |kind| Some(SentRequest { path: "/EchoSynapse?x=2".into(), ..SentRequest::fresh(kind) }),
    ),
    (
        "another path",
        |kind| match kind {
            Btauth => WrongSignature,
            Dendrite => WrongBody,
            Axon | Managed => Accepted,
        },
        |kind| Some(SentRequest { path: "/Synapse".into(), ..SentRequest::fresh(kind) }),
    ),
    (
        "an unknown path",
        |kind| match kind {
            Btauth => WrongSignature,
            Dendrite => UnknownMessage,
            Axon | Managed => Accepted,
        },
        |kind| Some(SentRequest { path: "/Unknown".into(), ..SentRequest::fresh(kind) }),
    ),
    (
        "path of a class with the same hashed values",
        |kind| if kind == Btauth { WrongSignature } else { Accepted },
        |kind| Some(SentRequest { path: "/OtherSynapse".into(), ..SentRequest::fresh(kind) }),
    ),
    (
        "timeout altered",
        |_| Accepted,
        |kind| Some(SentRequest::fresh(kind).with_header(kind.header(Part::Timeout)?, "11.0")),
    ),
    (
        "message name altered",
        |_| Accepted,
        |kind| Some(SentRequest::fresh(kind).with_header(kind.header(Part::Name)?, "Other")),
    ),
    (
        "body altered",
        |kind| match kind {
            Btauth => WrongSignature,
            Axon => Accepted,
            Dendrite | Managed => WrongBody,
        },
        |kind| {
            Some(SentRequest {
                body: BODY.replace("hello", "hullo").into(),
                ..SentRequest::fresh(kind)
            })
        },
    ),
    (
        "body altered outside the hashed fields",
        |kind| match kind {
            Btauth => WrongSignature,
            Axon | Dendrite => Accepted,
            Managed => WrongBody,
        },
        |kind| {
            Some(SentRequest {
                body: BODY.replace("true", "false").into(),
                ..SentRequest::fresh(kind)
            })
        },
    ),
    (
        "type of a hashed field altered, but not its text",
        |kind| match kind {
            Btauth => WrongSignature,
            Dendrite | Axon => Accepted,
            Managed => WrongBody,
        },
        |kind| {
            Some(SentRequest {
                body: BODY.replace("[1, 2.5, null]", "\"[1, 2.5, None]\"").into(),
                ..SentRequest::fresh(kind)
            })
        },
    ),
    (
        "whitespace of the body altered",
        |kind| if kind == Btauth { WrongSignature } else { Accepted },
        |kind| {
            Some(SentRequest { body: BODY.replace(": ", ":").into(), ..SentRequest::fresh(kind) })
        },
    ),
    (
        "body emptied",
        |kind| match kind {
            Btauth => WrongSignature,
            Dendrite => NotJson,
            Axon => Accepted,
            Managed => WrongBody,
        },
        |kind| Some(SentRequest { body: Vec::new(), ..SentRequest::fresh(kind) }),
    ),
    (
        "body is not JSON",
        |kind| match kind {
            Btauth => WrongSignature,
            Dendrite => NotJson,
            Axon => Accepted,
            Managed => WrongBody,
        },
        |kind| Some(SentRequest { body: b"{not json".into(), ..SentRequest::fresh(kind) }),
    ),
    (
        "body and its hash altered",
        |_| WrongSignature,
        |kind| {
            let name = kind.hash()?;
            let body = BODY.replace("hello", "hullo").into_bytes();
            let hash = match kind {
                Dendrite => synapse_hash(&["prompt", "numbers"], &body).unwrap()?,
                _ => taonet_wire::compact_hash(&body).unwrap(),
            };
            Some(SentRequest { body, ..SentRequest::fresh(kind).with_header(name, &hash) })
        },
    ),
    (
        "body hash removed",
        |kind| if kind == Dendrite { Missing } else { WrongSignature },
        |kind| Some(SentRequest::fresh(kind).with_header(kind.hash()?, "")),
    ),
    (
        "duplicate nonce header",
        |_| Duplicate,
        |kind| {
            let (mut sent, name) = (SentRequest::fresh(kind), kind.header(Part::Nonce)?);
            sent.headers.append(name, HeaderValue::from(NOW));
            Some(sent)
        },
    ),
    (
        "duplicate signature header",
        |_| Duplicate,
        |kind| {
            let (mut sent, name) = (SentRequest::fresh(kind), kind.header(Part::Signature)?);
            sent.headers.append(name, sent.headers[name].clone());
            Some(sent)
        },
    ),
    (
        "duplicate receiver header",
        |_| Duplicate,
        |kind| {
            let (mut sent, name) = (SentRequest::fresh(kind), kind.header(Part::Receiver)?);
            sent.headers
                .append(name, HeaderValue::from_str(&hotkey("//Dave").to_string()).unwrap());
            Some(sent)
        },
    ),
    (
        "nonces joined by a comma",
        |_| Malformed,
        |kind| {
            Some(
                SentRequest::fresh(kind)
                    .with_header(kind.header(Part::Nonce)?, &format!("{NOW}, {NOW}")),
            )
        },
    ),
    (
        "second nonce header with - and _ exchanged",
        |_| Lookalike,
        |kind| {
            let name = kind.header(Part::Nonce)?;
            let other =
                if kind == Btauth { name.replace('-', "_") } else { name.replace('_', "-") };
            let mut sent = SentRequest::fresh(kind);
            sent.headers.insert(HeaderName::try_from(other).unwrap(), HeaderValue::from(NOW));
            Some(sent)
        },
    ),
    (
        "a header value with a non-ASCII byte",
        |_| Malformed,
        |kind| {
            let mut sent = SentRequest::fresh(kind);
            sent.headers
                .insert(kind.header(Part::Receiver)?, HeaderValue::from_bytes(b"\xe9").unwrap());
            Some(sent)
        },
    ),
    (
        "20 kB in one header",
        |_| HeadersTooLarge,
        |kind| Some(SentRequest::fresh(kind).with_header("x", &"x".repeat(20_000))),
    ),
    (
        "65 header lines",
        |_| HeadersTooLarge,
        |kind| {
            let mut sent = SentRequest::fresh(kind);
            for _ in 0..65 {
                sent.headers.append("x", HeaderValue::from_static(""));
            }
            Some(sent)
        },
    ),
    (
        "Content-Length of 10 GB",
        |_| BodyTooLarge,
        |kind| Some(SentRequest::fresh(kind).with_header("content-length", "10000000000")),
    ),
    (
        "body of 2 MB",
        |_| BodyTooLarge,
        |kind| Some(SentRequest { body: vec![b' '; 2 << 20], ..SentRequest::fresh(kind) }),
    ),
];

/// Name, expected outcome, and the bytes sent over the connection.
type Raw = (&'static str, Expected, fn(Kind) -> Vec<u8>);

pub(crate) const RAW: &[Raw] = &[
    (
        "a folded header line",
        |_| NotHttp,
        |kind| SentRequest::fresh(kind).raw(&[b"x: a", b" folded"]),
    ),
    ("NUL in a header", |_| NotHttp, |kind| SentRequest::fresh(kind).raw(&[b"x: a\0b"])),
    ("a bare CR in a header", |_| NotHttp, |kind| SentRequest::fresh(kind).raw(&[b"x: a\rb"])),
    (
        "a space before a header's colon",
        |_| NotHttp,
        |kind| SentRequest::fresh(kind).raw(&[b"x : a"]),
    ),
    (
        "two Content-Length headers",
        |_| NotHttp,
        |kind| SentRequest::fresh(kind).raw(&[b"content-length: 62", b"content-length: 5"]),
    ),
    (
        "a header injected with a line feed",
        |_| Duplicate,
        |kind| {
            SentRequest::fresh(kind)
                .raw(&[b"x: a\nbt_header_dendrite_nonce: 1\nx-bittensor-nonce: 1"])
        },
    ),
    (
        "a fragment after the path, which is dropped",
        |_| Accepted,
        |kind| {
            let sent = SentRequest::fresh(kind);
            SentRequest { path: format!("{}#admin", sent.path), ..sent }.raw(&[])
        },
    ),
    (
        "valid request with chunked encoding",
        |_| Accepted,
        |kind| SentRequest::fresh(kind).chunked().raw(&[b"transfer-encoding: chunked"]),
    ),
    (
        "chunked encoding with a conflicting Content-Length",
        |_| Accepted,
        |kind| {
            SentRequest::fresh(kind)
                .chunked()
                .raw(&[b"content-length: 5", b"transfer-encoding: chunked"])
        },
    ),
    (
        "an unknown transfer encoding",
        |_| NotHttp,
        |kind| SentRequest::fresh(kind).raw(&[b"transfer-encoding: gzip"]),
    ),
    (
        "a chunk size that is not a number",
        |_| BodyUnreadable,
        |kind| {
            SentRequest { body: b"zz\r\n".into(), ..SentRequest::fresh(kind) }
                .raw(&[b"transfer-encoding: chunked"])
        },
    ),
    (
        "pipelined second request without a signature",
        |kind| if kind == Dendrite { Unsigned } else { Missing },
        |kind| {
            let unsigned = SentRequest { headers: HeaderMap::new(), ..SentRequest::fresh(kind) };
            [SentRequest::fresh(kind).raw_with_connection("keep-alive", &[]), unsigned.raw(&[])]
                .concat()
        },
    ),
    (
        "replayed on the same connection",
        |_| Replayed,
        |kind| {
            let sent = SentRequest::fresh(kind);
            [sent.raw_with_connection("keep-alive", &[]), sent.raw(&[])].concat()
        },
    ),
];
