//! Llama from Hugging Face's files and from GGUF.

use std::path::Path;

use serde::Deserialize;

use super::gguf::Gguf;
use super::tensors::Tensors;
use super::{Ids, LoadError};
use crate::linear::Linear;
use crate::llama::{Layer, Weights, frequencies};
use crate::{Llama, LlamaConfig, ModelError, RopeScaling};

/// Fields of `config.json` that affect the computation.
#[derive(Debug, Deserialize)]
pub(super) struct ConfigFile {
    hidden_size: usize,
    intermediate_size: usize,
    num_hidden_layers: usize,
    num_attention_heads: usize,
    num_key_value_heads: Option<usize>,
    head_dim: Option<usize>,
    vocab_size: usize,
    max_position_embeddings: usize,
    rms_norm_eps: f64,
    rope_theta: Option<f64>,
    rope_scaling: Option<RopeFile>,
    /// Parameters of the rotary embeddings in newer files.
    rope_parameters: Option<RopeFile>,
    hidden_act: Option<String>,
    #[serde(default)]
    attention_bias: bool,
    #[serde(default)]
    mlp_bias: bool,
    #[serde(default)]
    tie_word_embeddings: bool,
    quantization_config: Option<serde_json::Value>,
    pub(super) bos_token_id: Option<u32>,
    #[serde(default)]
    pub(super) eos_token_id: Ids,
}

#[derive(Debug, Deserialize)]
struct RopeFile {
    rope_type: Option<String>,
    /// Older name of `rope_type`.
    r#type: Option<String>,
    rope_theta: Option<f64>,
    #[serde(default)]
    factor: f64,
    #[serde(default)]
    low_freq_factor: f64,
    #[serde(default)]
    high_freq_factor: f64,
    #[serde(default)]
    original_max_position_embeddings: f64,
}

pub(super) fn config(file: &ConfigFile, path: &Path) -> Result<LlamaConfig, LoadError> {
    let foreign = |what: String| LoadError::Foreign { path: path.to_owned(), what };
    if let Some(act) = file.hidden_act.as_ref().filter(|act| *act != "silu") {
        return Err(foreign(format!("hidden_act {act:?}")));
    }
    if file.attention_bias || file.mlp_bias {
        return Err(foreign("a bias".to_owned()));
    }
    if file.quantization_config.is_some() {
        return Err(foreign("quantization_config".to_owned()));
    }
    let heads = file.num_attention_heads;
    if file.head_dim.is_some_and(|size| size.checked_mul(heads) != Some(file.hidden_size)) {
        return Err(foreign("a head_dim other than hidden_size / num_attention_heads".to_owned()));
    }
    let rope = file.rope_parameters.as_ref().or(file.rope_scaling.as_ref());
    let rope_theta = rope.and_then(|rope| rope.rope_theta).or(file.rope_theta).unwrap_or(10_000.0);
    let kind = rope.and_then(|rope| rope.rope_type.as_deref().or(rope.r#type.as_deref())).unwrap_or("default");
    let rope_scaling = match (kind, rope) {
        ("default", _) | (_, None) => None,
        ("llama3", Some(rope)) => {
            let RopeFile { factor, low_freq_factor: low, high_freq_factor: high, .. } = *rope;
            let original_context = rope.original_max_position_embeddings;
            if !(factor >= 1.0 && low > 0.0 && high > low && original_context > 0.0) {
                return Err(foreign("rope_scaling with these parameters".to_owned()));
            }
            Some(RopeScaling { factor, low, high, original_context })
        }
        (kind, Some(_)) => return Err(foreign(format!("rope_scaling of the type {kind:?}"))),
    };
    Ok(LlamaConfig {
        vocabulary: file.vocab_size,
        hidden: file.hidden_size,
        intermediate: file.intermediate_size,
        layers: file.num_hidden_layers,
        heads,
        kv_heads: file.num_key_value_heads.unwrap_or(heads),
        context: file.max_position_embeddings,
        rope_theta,
        rope_scaling,
        norm_eps: file.rms_norm_eps,
    })
}

/// Reads the dimensions from the metadata of a GGUF file.
pub(super) fn gguf_config(file: &Gguf) -> Result<LlamaConfig, LoadError> {
    if let Some(kind) = file.text("llama.rope.scaling.type").filter(|kind| *kind != "none") {
        return Err(file.wrong("llama.rope.scaling.type", format!("{kind:?} is not supported")));
    }
    let (hidden, heads) = (file.count("llama.embedding_length")?, file.count("llama.attention.head_count")?);
    if file.optional_count("llama.rope.dimension_count")?.is_some_and(|size| size.checked_mul(heads) != Some(hidden)) {
        return Err(file.wrong("llama.rope.dimension_count", "must be embedding_length / head_count"));
    }
    let vocabulary = file.shape("token_embd.weight").and_then(|shape| shape.first().copied());
    let epsilon = "llama.attention.layer_norm_rms_epsilon";
    Ok(LlamaConfig {
        vocabulary: vocabulary.ok_or_else(|| LoadError::Missing("token_embd.weight".to_owned()))?,
        hidden,
        intermediate: file.count("llama.feed_forward_length")?,
        layers: file.count("llama.block_count")?,
        heads,
        kv_heads: file.optional_count("llama.attention.head_count_kv")?.unwrap_or(heads),
        context: file.count("llama.context_length")?,
        rope_theta: file.number("llama.rope.freq_base")?.unwrap_or(10_000.0),
        rope_scaling: None,
        norm_eps: file.number(epsilon)?.ok_or_else(|| file.wrong(epsilon, "is missing"))?,
    })
}

/// Names of the tensors in a layout.
struct Names {
    embeddings: &'static str,
    head: &'static str,
    norm: &'static str,
    /// Prefix of a layer's tensors, before its number.
    layer: &'static str,
    /// Names within a layer: attention norm, queries, keys, values, output, feed-forward norm, gate, up, down.
    parts: [&'static str; 9],
}

const HUGGING_FACE: Names = Names {
    embeddings: "model.embed_tokens.weight",
    head: "lm_head.weight",
    norm: "model.norm.weight",
    layer: "model.layers.",
    parts: [
        "input_layernorm",
        "self_attn.q_proj",
        "self_attn.k_proj",
        "self_attn.v_proj",
        "self_attn.o_proj",
        "post_attention_layernorm",
        "mlp.gate_proj",
        "mlp.up_proj",
        "mlp.down_proj",
    ],
};

const GGUF: Names = Names {
    embeddings: "token_embd.weight",
    head: "output.weight",
    norm: "output_norm.weight",
    layer: "blk.",
    parts: ["attn_norm", "attn_q", "attn_k", "attn_v", "attn_output", "ffn_norm", "ffn_gate", "ffn_up", "ffn_down"],
};

/// Loads the weights from Hugging Face's files.
pub(super) fn load(config: LlamaConfig, file: &ConfigFile, tensors: &mut Tensors) -> Result<Llama, LoadError> {
    config.check()?;
    build(config, tensors, &HUGGING_FACE, file.tie_word_embeddings, |_| None)
}

/// Loads the weights from a GGUF file.
pub(super) fn load_gguf(config: LlamaConfig, tensors: &mut Tensors) -> Result<Llama, LoadError> {
    config.check()?;
    let (is_tied, size) = (!tensors.has(GGUF.head), config.head_size());
    build(config, tensors, &GGUF, is_tied, |heads| Some(order(heads, size)))
}

/// Order of the rows of queries and keys in a GGUF file. The file has the two values of each rotated pair in adjacent
/// rows; here, a pair has one row in each half of the head.
fn order(heads: usize, size: usize) -> Vec<usize> {
    let rows = (0..heads).flat_map(|head| (0..2).map(move |half| (head, half)));
    rows.flat_map(|(head, half)| (0..size / 2).map(move |pair| head * size + 2 * pair + half)).collect()
}

fn build(
    config: LlamaConfig,
    tensors: &mut Tensors,
    names: &Names,
    is_tied: bool,
    order: impl Fn(usize) -> Option<Vec<usize>>,
) -> Result<Llama, LoadError> {
    let LlamaConfig { vocabulary, hidden, intermediate, heads, kv_heads, .. } = config;
    let kv = kv_heads * config.head_size();
    let embeddings = tensors.matrix(names.embeddings, [vocabulary, hidden])?;
    let head = if is_tied { embeddings.clone() } else { tensors.matrix(names.head, [vocabulary, hidden])? };
    let norm = tensors.floats(names.norm, &[hidden])?;
    let mut layers = Vec::new();
    for number in 0..config.layers {
        let [attention_norm, query, key, value, output, feed_forward_norm, gate, up, down] =
            names.parts.map(|part| format!("{}{number}.{part}.weight", names.layer));
        let attention_norm = tensors.floats(&attention_norm, &[hidden])?;
        let feed_forward_norm = tensors.floats(&feed_forward_norm, &[hidden])?;
        let mut linear = |name: &str, shape, order: Option<Vec<usize>>| {
            Ok::<Linear, LoadError>(tensors.ordered(name, shape, order.as_deref())?.into())
        };
        let (query, key) =
            (linear(&query, [hidden, hidden], order(heads))?, linear(&key, [kv, hidden], order(kv_heads))?);
        let (value, output) = (linear(&value, [kv, hidden], None)?, linear(&output, [hidden, hidden], None)?);
        let (gate, up) = (linear(&gate, [intermediate, hidden], None)?, linear(&up, [intermediate, hidden], None)?);
        let down = linear(&down, [hidden, intermediate], None)?;
        layers.push(Layer { attention_norm, query, key, value, output, feed_forward_norm, gate, up, down });
    }
    // Scaled rotations of Llama 3.1 in GGUF files.
    let divisors = if tensors.has("rope_freqs.weight") {
        let divisors = tensors.floats("rope_freqs.weight", &[config.head_size() / 2])?;
        divisors.to_vec1().map_err(ModelError::from)?
    } else {
        Vec::new()
    };
    let frequencies = frequencies(&config, &divisors);
    Ok(Llama::new(config, Weights { embeddings, layers, norm, head: head.into(), frequencies })?)
}
