//! Encrypted requests and streamed answers of the inference market: none panics, and a stream means the same wherever it
//! is cut.
#![no_main]

use libfuzzer_sys::fuzz_target;
use taonet_nineteen_transport::FernetKey;
use taonet_nineteen_transport::sse::{DataLines, LineTooLong};

fn data(parts: &[&[u8]]) -> Result<Vec<Vec<u8>>, LineTooLong> {
    let (mut lines, mut data) = (DataLines::default(), Vec::new());
    for part in parts {
        lines.push(part, |line| {
            data.push(line.to_vec());
            Ok::<_, LineTooLong>(())
        })?;
    }
    lines.finish(|line| {
        data.push(line.to_vec());
        Ok::<_, LineTooLong>(())
    })?;
    Ok(data)
}

fuzz_target!(|input: (&[u8], usize)| {
    let (bytes, cut) = input;
    let key = FernetKey::from_bytes([7; 32]);
    assert!(key.open(bytes).is_err(), "a token of another key was accepted");
    assert_eq!(key.open(key.seal(bytes, 1).as_bytes()).as_deref().ok(), Some(bytes));
    let (head, tail) = bytes.split_at(cut % (bytes.len() + 1));
    assert_eq!(data(&[bytes]), data(&[head, tail]));
});
