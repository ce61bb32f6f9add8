//! A small model with random weights, so that tests need no files.

use std::path::Path;
use std::sync::{Arc, LazyLock};

use serde_json::{Map, Value, json};

use crate::model::Model;
use crate::options::Options;
use crate::transcribe::CONTEXT_TOKENS;

/// End-of-text token. The text tokens before it are the 256 bytes, some words, and the empty token.
pub(crate) const END_OF_TEXT: u32 = 300;
pub(crate) const START: u32 = 301;
/// Language token en; the tokens of fr and de follow.
pub(crate) const ENGLISH: u32 = 302;
pub(crate) const TRANSLATE: u32 = 305;
pub(crate) const TRANSCRIBE: u32 = 306;
pub(crate) const PREVIOUS: u32 = 308;
/// Timestamp token of 0.00 s.
pub(crate) const BEGIN: u32 = 311;

const WIDTH: usize = 64;
const SPECIAL_TOKENS: [&str; 11] = [
    "<|endoftext|>",
    "<|startoftranscript|>",
    "<|en|>",
    "<|fr|>",
    "<|de|>",
    "<|translate|>",
    "<|transcribe|>",
    "<|startoflm|>",
    "<|startofprev|>",
    "<|nospeech|>",
    "<|notimestamps|>",
];
const TIMESTAMPS: u32 = 1501;

/// Returns the test model, loaded once per process.
pub(crate) fn model() -> Arc<Model> {
    static MODEL: LazyLock<Arc<Model>> = LazyLock::new(|| Arc::new(open()));
    MODEL.clone()
}

/// Loads the test model again.
pub(crate) fn open() -> Model {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path());
    Model::open(folder.path()).unwrap()
}

/// Returns options that accept any text: that of [`model`] is repetitive.
pub(crate) fn options_without_thresholds() -> Options {
    Options {
        language: Some("en".to_owned()),
        no_speech_threshold: None,
        compression_ratio_threshold: None,
        ..Options::default()
    }
}

/// Returns reproducible noise in [-1, 1).
pub(crate) fn noise(count: usize) -> Vec<f32> {
    let mut state = 1u32;
    (0..count)
        .map(|_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 8) as f32 / (1 << 23) as f32 - 1.0
        })
        .collect()
}

/// Number of embeddings: all tokens of the vocabulary.
pub(crate) const EMBEDDINGS: usize = (BEGIN + TIMESTAMPS) as usize;

/// Writes the model's files: safetensors, `config.json` and `tokenizer.json`.
pub(crate) fn write(folder: &Path) {
    write_shape(folder, EMBEDDINGS, CONTEXT_TOKENS);
}

/// Writes the model's files, with these numbers of token and position embeddings.
pub(crate) fn write_shape(folder: &Path, embeddings: usize, context: usize) {
    std::fs::write(folder.join("model.safetensors"), weights(embeddings, context)).unwrap();
    let config = json!({
        "suppress_ids_begin": [220, END_OF_TEXT], "lang_ids": [302, 303, 304], "alignment_heads": [[0, 0]],
        "encoder_attention_heads": 1, "decoder_attention_heads": 1
    });
    std::fs::write(folder.join("config.json"), config.to_string()).unwrap();
    std::fs::write(folder.join("tokenizer.json"), tokenizer().to_string()).unwrap();
}

/// Returns the characters that represent bytes in GPT-2's vocabulary, in ascending order.
fn byte_alphabet() -> Vec<char> {
    let printable = |byte: &u32| matches!(byte, 0x21..=0x7e | 0xa1..=0xac | 0xae..=0xff);
    let others =
        (0..256).filter(|byte| !printable(byte)).enumerate().map(|(index, _)| 256 + index as u32);
    (0..256).filter(printable).chain(others).map(|code| char::from_u32(code).unwrap()).collect()
}

fn tokenizer() -> Value {
    let mut vocabulary = Map::new();
    let words =
        (0..43).map(|i| format!("Ġ{}{}", char::from(b'a' + i % 26), char::from(b'a' + i / 26)));
    let text = byte_alphabet().into_iter().map(String::from).chain(words).chain([String::new()]);
    for (index, token) in text.enumerate() {
        vocabulary.insert(token, index.into());
    }
    assert_eq!(vocabulary.len(), END_OF_TEXT as usize);
    let added_token = |id: u32, content: String, special: bool| {
        json!({
            "id": id, "content": content, "single_word": false, "lstrip": false, "rstrip": false, "normalized": false,
            "special": special
        })
    };
    let special = SPECIAL_TOKENS
        .iter()
        .zip(END_OF_TEXT..)
        .map(|(token, id)| added_token(id, (*token).to_owned(), true));
    let times = (0..TIMESTAMPS)
        .map(|i| added_token(BEGIN + i, format!("<|{:.2}|>", f64::from(i) * 0.02), false));
    let bytes = json!({"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true});
    json!({
        "version": "1.0", "truncation": null, "padding": null, "added_tokens": special.chain(times).collect::<Vec<_>>(),
        "normalizer": null, "pre_tokenizer": bytes, "post_processor": null, "decoder": bytes,
        "model": {
            "type": "BPE", "dropout": null, "unk_token": null, "continuing_subword_prefix": null,
            "end_of_word_suffix": null, "fuse_unk": false, "byte_fallback": false, "ignore_merges": false,
            "vocab": vocabulary, "merges": []
        }
    })
}

/// Returns the names and shapes of all tensors, as in a Hugging Face checkpoint.
fn tensors(embeddings: usize, context: usize) -> Vec<(String, Vec<usize>)> {
    let mut tensors = vec![
        ("model.encoder.conv1.weight".to_owned(), vec![WIDTH, 80, 3]),
        ("model.encoder.conv1.bias".to_owned(), vec![WIDTH]),
        ("model.encoder.conv2.weight".to_owned(), vec![WIDTH, WIDTH, 3]),
        ("model.encoder.conv2.bias".to_owned(), vec![WIDTH]),
        ("model.encoder.embed_positions.weight".to_owned(), vec![1500, WIDTH]),
        ("model.decoder.embed_positions.weight".to_owned(), vec![context, WIDTH]),
        ("model.decoder.embed_tokens.weight".to_owned(), vec![embeddings, WIDTH]),
    ];
    let mut pair = |name: String, shape: &[usize]| {
        let bias = (!name.ends_with("k_proj")).then(|| (format!("{name}.bias"), vec![shape[0]]));
        tensors.extend([(format!("{name}.weight"), shape.to_vec())].into_iter().chain(bias));
    };
    for component in ["encoder", "decoder"] {
        pair(format!("model.{component}.layer_norm"), &[WIDTH]);
        let layer = format!("model.{component}.layers.0");
        for norm in ["self_attn_layer_norm", "final_layer_norm"] {
            pair(format!("{layer}.{norm}"), &[WIDTH]);
        }
        for projection in ["q_proj", "k_proj", "v_proj", "out_proj"] {
            pair(format!("{layer}.self_attn.{projection}"), &[WIDTH, WIDTH]);
            if component == "decoder" {
                pair(format!("{layer}.encoder_attn.{projection}"), &[WIDTH, WIDTH]);
            }
        }
        pair(format!("{layer}.fc1"), &[4 * WIDTH, WIDTH]);
        pair(format!("{layer}.fc2"), &[WIDTH, 4 * WIDTH]);
    }
    pair("model.decoder.layers.0.encoder_attn_layer_norm".to_owned(), &[WIDTH]);
    tensors
}

fn weights(embeddings: usize, context: usize) -> Vec<u8> {
    let mut state = 1u32;
    let mut header = Map::new();
    let mut data: Vec<u8> = Vec::new();
    for (name, shape) in tensors(embeddings, context) {
        let start = data.len();
        let mean = if name.ends_with("norm.weight") { 1.0 } else { 0.0 };
        for _ in 0..shape.iter().product() {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let value = (state >> 8) as f32 / (1 << 23) as f32 - 1.0;
            data.extend((mean + 0.1 * value).to_le_bytes());
        }
        header.insert(
            name,
            json!({"dtype": "F32", "shape": shape, "data_offsets": [start, data.len()]}),
        );
    }
    let header = Value::Object(header).to_string();
    [&(header.len() as u64).to_le_bytes(), header.as_bytes(), &data].concat()
}
