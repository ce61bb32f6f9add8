//! A tiny voice for tests, with the inputs and the output of Piper's networks.
#![allow(clippy::unwrap_used, reason = "a test helper panics as a test does")]

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::config::Config;

/// Samples of the tiny voice per phoneme ID.
pub(crate) const SAMPLES: usize = 64;

/// Returns the configuration of the tiny voice. Its phonemes are the small letters and marks, by
/// their IDs in Piper.
pub(crate) fn config() -> Value {
    let mut ids = serde_json::Map::new();
    for (id, phoneme) in ["_", "^", "$", " ", "!", "'", "(", ")", ",", "-", ".", ":", ";", "?"]
        .into_iter()
        .enumerate()
    {
        ids.insert(phoneme.to_owned(), json!([id]));
    }
    for (id, phoneme) in (14..).zip("abcdefghijklmnopqrstuvwxyzæɐɑɒɔəɚɛɜɡɪɹʃʊʌʒˈˌːθðŋ".chars())
    {
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
/// ONNX's codes of the types of attributes; that of floats is the same as above.
const INT: u64 = 2;
const INTS: u64 = 7;

/// Describes an input or output: its name, the code of its type, and the number of its dimensions.
fn tensor(name: &str, kind: u64, rank: usize) -> Vec<u8> {
    let shape = bytes(1, bytes(2, "any")).repeat(rank);
    let kind = bytes(1, [integer(1, kind), bytes(2, shape)].concat());
    [bytes(1, name), bytes(2, kind)].concat()
}

/// Describes a node.
fn node(operator: &str, inputs: &[&str], output: &str, attributes: &[Vec<u8>]) -> Vec<u8> {
    let inputs = inputs.iter().flat_map(|input| bytes(1, input)).collect();
    [inputs, bytes(2, output), bytes(4, operator), attributes.concat()].concat()
}

/// Describes an attribute: an integer.
fn integer_attribute(name: &str, value: u64) -> Vec<u8> {
    bytes(5, [bytes(1, name), integer(3, value), integer(20, INT)].concat())
}

/// Describes an attribute: a list of integers.
fn integers_attribute(name: &str, values: &[u64]) -> Vec<u8> {
    let values: Vec<u8> = values.iter().flat_map(|value| integer(8, *value)).collect();
    bytes(5, [bytes(1, name), values, integer(20, INTS)].concat())
}

/// Describes an attribute: a float.
fn float_attribute(name: &str, value: f32) -> Vec<u8> {
    let value = [&varint(2 << 3 | 5), &value.to_le_bytes()[..]].concat();
    bytes(5, [bytes(1, name), value, integer(20, FLOAT)].concat())
}

/// Describes a constant tensor of floats in -0.5..0.5, the same each time.
fn floats(name: &str, shape: &[u64]) -> Vec<u8> {
    let mut state = name.bytes().map(u32::from).sum::<u32>();
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) as f32 / 16_777_216.0 - 0.5
    };
    let data: Vec<u8> = (0..shape.iter().product()).flat_map(|_| next().to_le_bytes()).collect();
    let shape = shape.iter().flat_map(|size| integer(1, *size)).collect();
    [shape, integer(2, FLOAT), bytes(8, name), bytes(9, data)].concat()
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

/// Returns a network that turns each phoneme ID into [`SAMPLES`] samples of its value, times the
/// length scale, plus noise times the noise scale.
pub(crate) fn network(inputs: &[(&str, u64, usize)]) -> Vec<u8> {
    let nodes = [
        node("Cast", &["input"], "values", &[integer_attribute("to", FLOAT)]),
        node("Gather", &["scales", "one"], "length", &[]),
        node("Mul", &["values", "length"], "scaled", &[]),
        node("RandomNormalLike", &["scaled"], "random", &[]),
        node("Gather", &["scales", "zero"], "scale", &[]),
        node("Mul", &["random", "scale"], "noise", &[]),
        node("Add", &["scaled", "noise"], "sum", &[]),
        node("Unsqueeze", &["sum", "axes"], "column", &[]),
        node("Expand", &["column", "wide"], "samples", &[]),
        node("Reshape", &["samples", "flat"], "output", &[]),
    ];
    let constants = [
        constant("zero", &[0]),
        constant("one", &[1]),
        constant("axes", &[1, 3]),
        constant("wide", &[1, 1, 1, SAMPLES.cast_signed() as i64]),
        constant("flat", &[1, 1, 1, -1]),
    ];
    model(inputs, &nodes, &constants)
}

/// Returns a network whose output is that of a decoder of two stages, with [`UPSAMPLED`] samples
/// per phoneme ID.
pub(crate) fn decoder_network() -> Vec<u8> {
    let slope = || [float_attribute("alpha", 0.1)];
    let window = |stride, dilation, padding| {
        [
            integers_attribute("strides", &[stride]),
            integers_attribute("dilations", &[dilation]),
            integers_attribute("pads", &[padding, padding]),
        ]
    };
    let upsample = || window(4, 1, 2);
    let dilated = |dilation| window(1, dilation, 2 * dilation);
    let nodes = [
        node("Cast", &["input"], "values", &[integer_attribute("to", FLOAT)]),
        node("Unsqueeze", &["values", "one"], "channel", &[]),
        node("Conv", &["channel", "pre.weight", "pre.bias"], "pre", &window(1, 1, 0)),
        node("LeakyRelu", &["pre"], "pre.active", &slope()),
        node("ConvTranspose", &["pre.active", "up1.weight", "up1.bias"], "up1", &upsample()),
        node("LeakyRelu", &["up1"], "up1.active", &slope()),
        node("Conv", &["up1.active", "a.weight", "a.bias"], "a", &dilated(1)),
        node("Add", &["a", "up1"], "a.sum", &[]),
        node("LeakyRelu", &["a.sum"], "a.active", &slope()),
        node("Conv", &["a.active", "b.weight", "b.bias"], "b", &dilated(6)),
        node("Add", &["a.sum", "b"], "b.sum", &[]),
        node("Conv", &["up1.active", "c.weight", "c.bias"], "c", &dilated(3)),
        node("Add", &["c", "up1"], "c.sum", &[]),
        node("Add", &["b.sum", "c.sum"], "t.sum", &[]),
        node("Div", &["t.sum", "scale"], "mean", &[]),
        node("LeakyRelu", &["mean"], "mean.active", &slope()),
        node("ConvTranspose", &["mean.active", "up2.weight"], "up2", &upsample()),
        node("LeakyRelu", &["up2"], "up2.active", &[]),
        node("Conv", &["up2.active", "post.weight"], "post", &dilated(1)),
        node("Tanh", &["post"], "samples", &[]),
        node("Unsqueeze", &["samples", "one"], "output", &[]),
    ];
    let constants = [
        constant("one", &[1]),
        floats("scale", &[]),
        floats("pre.weight", &[6, 1, 1]),
        floats("pre.bias", &[6]),
        floats("up1.weight", &[6, 5, 8]),
        floats("up1.bias", &[5]),
        floats("a.weight", &[5, 5, 5]),
        floats("a.bias", &[5]),
        floats("b.weight", &[5, 5, 5]),
        floats("b.bias", &[5]),
        floats("c.weight", &[5, 5, 5]),
        floats("c.bias", &[5]),
        floats("up2.weight", &[5, 3, 8]),
        floats("post.weight", &[1, 3, 5]),
    ];
    model(&INPUTS, &nodes, &constants)
}

/// Samples of [`decoder_network`] per phoneme ID.
pub(crate) const UPSAMPLED: usize = 16;

/// Encodes a network with these nodes and constant tensors.
fn model(inputs: &[(&str, u64, usize)], nodes: &[Vec<u8>], constants: &[Vec<u8>]) -> Vec<u8> {
    let graph = [
        nodes.iter().flat_map(|node| bytes(1, node)).collect(),
        bytes(2, "tiny"),
        constants.iter().flat_map(|constant| bytes(5, constant)).collect(),
        inputs
            .iter()
            .flat_map(|(name, kind, rank)| bytes(11, tensor(name, *kind, *rank)))
            .collect(),
        bytes(12, tensor("output", FLOAT, 4)),
    ];
    [integer(1, 8), bytes(7, graph.concat()), bytes(8, [bytes(1, ""), integer(2, 15)].concat())]
        .concat()
}
