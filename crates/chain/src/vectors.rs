//! Recorded chain data for decoding tests: metadata, codec vectors, type corpus.

#![allow(clippy::format_push_string, reason = "runs once, in tests")]

use std::sync::OnceLock;

use serde_json::Value as Json;
pub(crate) use taonet_chain_vectors::read;
use taonet_primitives::BlockHash;

use crate::runtime::Runtime;

pub(crate) fn golden() -> Option<Json> {
    Some(parse(&String::from_utf8(read("golden_spec461.json")?).unwrap()))
}

/// Parses JSON, converting numbers beyond 64 bits to text.
pub(crate) fn parse(text: &str) -> Json {
    let mut quoted = String::with_capacity(text.len());
    let (mut number, mut in_text, mut escaped) = (String::new(), false, false);
    for char in text.chars() {
        if !in_text && (char.is_ascii_digit() || char == '-') {
            number.push(char);
            continue;
        }
        let is_small =
            number.parse::<u64>().is_ok() || number.parse::<i64>().is_ok() || char == '.';
        quoted += &if number.is_empty() || is_small {
            std::mem::take(&mut number)
        } else {
            format!("\"{number}\"")
        };
        number.clear();
        in_text ^= char == '"' && !escaped;
        escaped = char == '\\' && !escaped;
        quoted.push(char);
    }
    serde_json::from_str(&quoted).unwrap()
}

/// Returns the recorded runtime, parsed once.
pub(crate) fn runtime() -> Option<&'static Runtime> {
    static RUNTIME: OnceLock<Option<Runtime>> = OnceLock::new();
    RUNTIME.get_or_init(|| {
        let metadata = read("metadata_v15_spec461.scale.gz")?;
        Some(Runtime::new(&metadata, genesis()?, 461, 1).unwrap())
    });
    RUNTIME.get()?.as_ref()
}

pub(crate) fn genesis() -> Option<BlockHash> {
    Some(golden()?["network"]["genesis_hash"].as_str()?.parse().unwrap())
}

pub(crate) fn bytes(json: &Json) -> Vec<u8> {
    hex::decode(json.as_str().unwrap().trim_start_matches("0x")).unwrap()
}
