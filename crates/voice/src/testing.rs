//! A tiny voice for tests: the network's inputs and output are those of Piper, its weights are none.
#![allow(clippy::unwrap_used, reason = "a test helper panics as a test does")]

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::config::Config;

/// Samples per number of the tiny voice.
pub(crate) const SAMPLES: usize = 64;

/// Returns the configuration of the tiny voice. Its phonemes are the small letters and marks, by their numbers in
/// Piper.
pub(crate) fn config() -> Value {
    let mut ids = serde_json::Map::new();
    for (id, phoneme) in ["_", "^", "$", " ", "!", "'", "(", ")", ",", "-", ".", ":", ";", "?"].into_iter().enumerate()
    {
        ids.insert(phoneme.to_owned(), json!([id]));
    }
    for (id, phoneme) in (14..).zip("abcdefghijklmnopqrstuvwxyzæɐɑɒɔəɚɛɜɡɪɹʃʊʌʒˈˌːθðŋ".chars()) {
        ids.insert(phoneme.to_string(), json!([id]));
    }
    json!({
        "audio": {"sample_rate": 22_050, "quality": "medium"},
        "espeak": {"voice": "en-us"},
        "inference": {"noise_scale": 0.667, "length_scale": 1, "noise_w": 0.8},
        "phoneme_type": "espeak",
        "phoneme_id_map": ids,
        "num_symbols": 256,
        "num_speakers": 1,
    })
}

pub(crate) fn parsed_config() -> Config {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("config.json");
    std::fs::write(&path, config().to_string()).unwrap();
    Config::read(&path).unwrap()
}

/// Writes a voice into a directory, and returns the path of its network.
pub(crate) fn voice(folder: &Path, network: &[u8], config: &Value) -> PathBuf {
    let path = folder.join("tiny.onnx");
    std::fs::write(&path, network).unwrap();
    std::fs::write(folder.join("tiny.onnx.json"), config.to_string()).unwrap();
    path
}

fn varint(mut value: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    while value >= 0x80 {
        bytes.push(value as u8 | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
    bytes
}

/// Encodes a field of a Protocol Buffers message: an integer.
pub(crate) fn integer(field: u64, value: u64) -> Vec<u8> {
    [varint(field << 3), varint(value)].concat()
}

/// Encodes a field of a Protocol Buffers message: a text or a message.
pub(crate) fn bytes(field: u64, content: impl AsRef<[u8]>) -> Vec<u8> {
    let content = content.as_ref();
    [&*varint(field << 3 | 2), &varint(content.len() as u64), content].concat()
}

/// ONNX's codes of the types of tensors.
const FLOAT: u64 = 1;
const INT64: u64 = 7;
/// ONNX's code of an integer attribute.
const INT: u64 = 2;

/// Describes an input or output: its name, the code of its type, and the number of its dimensions.
fn tensor(name: &str, kind: u64, rank: usize) -> Vec<u8> {
    let shape = bytes(1, bytes(2, "any")).repeat(rank);
    let kind = bytes(1, [integer(1, kind), bytes(2, shape)].concat());
    [bytes(1, name), bytes(2, kind)].concat()
}

/// Describes a node with at most one attribute, an integer.
fn node(operator: &str, inputs: &[&str], output: &str, attribute: Option<(&str, u64)>) -> Vec<u8> {
    let inputs = inputs.iter().flat_map(|input| bytes(1, input)).collect();
    let attribute = attribute
        .map(|(name, value)| bytes(5, [bytes(1, name), integer(3, value), integer(20, INT)].concat()))
        .unwrap_or_default();
    [inputs, bytes(2, output), bytes(4, operator), attribute].concat()
}

/// Describes a constant vector of integers.
fn constant(name: &str, values: &[i64]) -> Vec<u8> {
    let data: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
    [integer(1, values.len() as u64), integer(2, INT64), bytes(8, name), bytes(9, data)].concat()
}

/// Inputs of a voice with one speaker.
pub(crate) const INPUTS: [(&str, u64, usize); 3] =
    [("input", INT64, 2), ("input_lengths", INT64, 1), ("scales", FLOAT, 1)];
/// Additional input of a voice with several speakers.
pub(crate) const SPEAKER: (&str, u64, usize) = ("sid", INT64, 1);

/// Returns a network that speaks each number as [`SAMPLES`] samples of its value, times the length scale, plus noise
/// times the noise scale.
pub(crate) fn network(inputs: &[(&str, u64, usize)]) -> Vec<u8> {
    let nodes = [
        node("Cast", &["input"], "values", Some(("to", FLOAT))),
        node("Gather", &["scales", "one"], "length", None),
        node("Mul", &["values", "length"], "scaled", None),
        node("RandomNormalLike", &["scaled"], "random", None),
        node("Gather", &["scales", "zero"], "scale", None),
        node("Mul", &["random", "scale"], "noise", None),
        node("Add", &["scaled", "noise"], "sum", None),
        node("Unsqueeze", &["sum", "axes"], "column", None),
        node("Expand", &["column", "wide"], "samples", None),
        node("Reshape", &["samples", "flat"], "output", None),
    ];
    let constants = [
        constant("zero", &[0]),
        constant("one", &[1]),
        constant("axes", &[1, 3]),
        constant("wide", &[1, 1, 1, SAMPLES.cast_signed() as i64]),
        constant("flat", &[1, 1, 1, -1]),
    ];
    let graph = [
        nodes.iter().flat_map(|node| bytes(1, node)).collect(),
        bytes(2, "tiny"),
        constants.iter().flat_map(|constant| bytes(5, constant)).collect(),
        inputs.iter().flat_map(|(name, kind, rank)| bytes(11, tensor(name, *kind, *rank))).collect(),
        bytes(12, tensor("output", FLOAT, 4)),
    ];
    [integer(1, 8), bytes(7, graph.concat()), bytes(8, [bytes(1, ""), integer(2, 15)].concat())].concat()
}
