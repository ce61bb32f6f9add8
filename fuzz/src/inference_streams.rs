//! Encrypted requests, streamed answers and queue messages of the inference market: none causes a
//! panic.
//!
//! - A stream of server-sent events has the same events and chunks wherever it is split into
//!   pieces.
//! - Parsing a miner's stream gives the same result whether or not it is sampled, and the checker
//!   can parse every sample.
//! - A queue message survives a round trip, and the lengths that it declares do not determine the
//!   allocated memory.

use axum::body::Bytes;
use taonet_http::sse::{EventStream, EventTooLong, ServerEvent};
use taonet_nineteen_query::testing::{documents, parse_stream, reencode};
use taonet_nineteen_query::{Chunk, QueryError};
use taonet_nineteen_transport::FernetKey;

/// Names and data of events.
type Events = Vec<(Vec<u8>, Vec<u8>)>;

fn events(parts: &[&[u8]]) -> Result<Events, EventTooLong> {
    let (mut stream, mut events) = (EventStream::default(), Vec::new());
    let mut take = |event: ServerEvent<'_>| {
        events.push((event.kind.to_vec(), event.data.to_vec()));
        Ok::<_, EventTooLong>(())
    };
    for part in parts {
        stream.push(part, &mut take)?;
    }
    stream.finish(&mut take)?;
    Ok(events)
}

/// Checks one input.
pub fn check(bytes: &[u8]) {
    let cut = bytes.last().map_or(0, |byte| usize::from(*byte));
    let key = FernetKey::from_bytes([7; 32]);
    assert!(key.open(bytes).is_err(), "a token of another key was accepted");
    assert_eq!(key.open(key.seal(bytes, 1).as_bytes()).as_deref().ok(), Some(bytes));
    let (head, tail) = bytes.split_at(cut % (bytes.len() + 1));
    assert_eq!(events(&[bytes]), events(&[head, tail]));
    check_chunks(bytes, head, tail);
    check_messages(bytes, head, tail);
}

fn check_chunks(bytes: &[u8], head: &[u8], tail: &[u8]) {
    for keeps_logprobs in [false, true] {
        let quick = parse_stream(&[bytes], keeps_logprobs, false);
        assert_eq!(quick, parse_stream(&[head, tail], keeps_logprobs, false));
        let Some(sampled) = parse_stream(&[bytes], keeps_logprobs, true) else { continue };
        assert!(
            sampled
                .recorded
                .is_none_or(|json| serde_json::from_str::<Vec<serde_json::Value>>(&json).is_ok())
        );
        let quick = quick.expect("a stream that can be sampled is well-formed");
        let summary = |chunk: &Chunk| {
            (chunk.text().map(str::to_owned), chunk.characters, chunk.entries, chunk.is_content)
        };
        assert!(quick.chunks.iter().map(summary).eq(sampled.chunks.iter().map(summary)));
    }
}

fn check_messages(bytes: &[u8], head: &[u8], tail: &[u8]) {
    let [bytes, head, tail] = [bytes, head, tail].map(Bytes::copy_from_slice);
    for message in [&bytes, &head, &tail] {
        let again = reencode(message);
        assert_eq!(again.as_ref().and_then(reencode), again);
        let _ = (
            serde_json::from_slice::<Chunk>(message),
            serde_json::from_slice::<QueryError>(message),
        );
    }
    assert!(documents(&[head, tail]).iter().all(|document| document.len() <= bytes.len()));
}
