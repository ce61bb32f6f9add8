//! The Llama family from Hugging Face's files and from GGUF.

use std::path::Path;

use candle_core::Tensor;
use serde::Deserialize;

use super::gguf::Gguf;
use super::tensors::Tensors;
use super::{Ids, LoadError};
use crate::linear::Linear;
use crate::llama::{HeadNorms, Layer, OutputNorms, Weights, frequencies};
use crate::{Llama, LlamaConfig, LlamaKind, LocalLayers, ModelError, RopeScaling};

/// Base of the rotary embeddings of Gemma's local layers, in GGUF files that do not state it.
const GEMMA_LOCAL_THETA: f64 = 10_000.0;
/// Base of the rotary embeddings of Gemma's global layers, in GGUF files that do not state it.
const GEMMA_GLOBAL_THETA: f64 = 1_000_000.0;
/// Every sixth layer of Gemma is global, in GGUF files that do not state another period.
const GEMMA_PERIOD: usize = 6;
/// Names of Gemma's norms of the outputs of the attention and of the feed-forward layer in GGUF
/// files.
const GEMMA_OUTPUT_NORMS: [&str; 2] = ["post_attention_norm", "post_ffw_norm"];
/// Fields of GGUF files for soft caps of attention scores and logits, as in Gemma 2.
const SOFT_CAPS: [&str; 2] = ["attn_logit_softcapping", "final_logit_softcapping"];

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
    /// Qwen: whether some layers attend to a window of the latest tokens only.
    use_sliding_window: Option<bool>,
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

pub(super) fn config(
    kind: LlamaKind,
    file: &ConfigFile,
    path: &Path,
) -> Result<LlamaConfig, LoadError> {
    if let Some(act) = file.hidden_act.as_ref().filter(|act| *act != "silu") {
        return Err(LoadError::unsupported(path, format!("hidden_act {act:?}")));
    }
    if file.attention_bias || file.mlp_bias {
        return Err(LoadError::unsupported(path, "a bias"));
    }
    if file.quantization_config.is_some() {
        return Err(LoadError::unsupported(path, "quantization_config"));
    }
    if file.use_sliding_window == Some(true) && kind != LlamaKind::Llama {
        return Err(LoadError::unsupported(path, "use_sliding_window"));
    }
    let heads = file.num_attention_heads;
    let default_size = LlamaConfig::default_head_size(file.hidden_size, heads);
    let head_size = file.head_dim.unwrap_or(default_size);
    if head_size != default_size && kind != LlamaKind::Qwen3 {
        let feature = "a head_dim other than hidden_size / num_attention_heads";
        return Err(LoadError::unsupported(path, feature));
    }
    let rope = file.rope_parameters.as_ref().or(file.rope_scaling.as_ref());
    let rope_theta = rope.and_then(|rope| rope.rope_theta).or(file.rope_theta).unwrap_or(10_000.0);
    let rope_type = rope
        .and_then(|rope| rope.rope_type.as_deref().or(rope.r#type.as_deref()))
        .unwrap_or("default");
    let rope_scaling = match (rope_type, rope) {
        ("default", _) | (_, None) => None,
        ("llama3", Some(rope)) => {
            let RopeFile { factor, low_freq_factor: low, high_freq_factor: high, .. } = *rope;
            let original_context = rope.original_max_position_embeddings;
            if !(factor >= 1.0 && low > 0.0 && high > low && original_context > 0.0) {
                return Err(LoadError::unsupported(path, "rope_scaling with these parameters"));
            }
            Some(RopeScaling { factor, low, high, original_context })
        }
        (other, Some(_)) => {
            return Err(LoadError::unsupported(
                path,
                format!("rope_scaling of the type {other:?}"),
            ));
        }
    };
    Ok(LlamaConfig {
        kind,
        vocabulary: file.vocab_size,
        hidden: file.hidden_size,
        intermediate: file.intermediate_size,
        layers: file.num_hidden_layers,
        heads,
        kv_heads: file.num_key_value_heads.unwrap_or(heads),
        head_size,
        local: None,
        context: file.max_position_embeddings,
        rope_theta,
        rope_scaling,
        norm_eps: file.rms_norm_eps,
    })
}

/// Returns the name of a field in the metadata of a GGUF file.
fn field_name(architecture: &str, field: &str) -> String {
    format!("{architecture}.{field}")
}

/// Reads the dimensions from the metadata of a GGUF file, whose names begin with `architecture`.
pub(super) fn gguf_config(
    kind: LlamaKind,
    architecture: &str,
    file: &Gguf,
) -> Result<LlamaConfig, LoadError> {
    let scaling = field_name(architecture, "rope.scaling.type");
    if let Some(value) = file.text(&scaling).filter(|value| *value != "none") {
        return Err(file.field_error(&scaling, format!("{value:?} is not supported")));
    }
    for field in SOFT_CAPS.map(|field| field_name(architecture, field)) {
        if file.number(&field)?.is_some() {
            return Err(file.field_error(&field, "is not supported"));
        }
    }
    let (hidden, heads) = (
        file.count(&field_name(architecture, "embedding_length"))?,
        file.count(&field_name(architecture, "attention.head_count"))?,
    );
    let stated_size = match kind {
        LlamaKind::Qwen3 | LlamaKind::Gemma3 => {
            file.optional_count(&field_name(architecture, "attention.key_length"))?
        }
        LlamaKind::Llama | LlamaKind::Qwen2 => None,
    };
    let (local, default_theta) = if kind == LlamaKind::Gemma3 {
        (Some(gemma_local_layers(architecture, file)?), GEMMA_GLOBAL_THETA)
    } else {
        (None, 10_000.0)
    };
    let head_size = stated_size.unwrap_or_else(|| LlamaConfig::default_head_size(hidden, heads));
    let dimension_field = field_name(architecture, "rope.dimension_count");
    if file.optional_count(&dimension_field)?.is_some_and(|size| size != head_size) {
        let expected = if stated_size.is_some() {
            "attention.key_length"
        } else {
            "embedding_length / head_count"
        };
        return Err(file.field_error(&dimension_field, format!("must be {expected}")));
    }
    let vocabulary = file.shape("token_embd.weight").and_then(|shape| shape.first().copied());
    let epsilon = field_name(architecture, "attention.layer_norm_rms_epsilon");
    Ok(LlamaConfig {
        kind,
        vocabulary: vocabulary
            .ok_or_else(|| LoadError::MissingTensor("token_embd.weight".to_owned()))?,
        hidden,
        intermediate: file.count(&field_name(architecture, "feed_forward_length"))?,
        layers: file.count(&field_name(architecture, "block_count"))?,
        heads,
        kv_heads: file
            .optional_count(&field_name(architecture, "attention.head_count_kv"))?
            .unwrap_or(heads),
        head_size,
        local,
        context: file.count(&field_name(architecture, "context_length"))?,
        rope_theta: file
            .number(&field_name(architecture, "rope.freq_base"))?
            .unwrap_or(default_theta),
        rope_scaling: None,
        norm_eps: file.number(&epsilon)?.ok_or_else(|| file.field_error(&epsilon, "is missing"))?,
    })
}

/// Reads the parameters of Gemma's local layers.
fn gemma_local_layers(architecture: &str, file: &Gguf) -> Result<LocalLayers, LoadError> {
    let period =
        file.optional_count(&field_name(architecture, "attention.sliding_window_pattern"))?;
    Ok(LocalLayers {
        window: file.count(&field_name(architecture, "attention.sliding_window"))?,
        rope_theta: file
            .number(&field_name(architecture, "rope.freq_base_swa"))?
            .unwrap_or(GEMMA_LOCAL_THETA),
        period: period.unwrap_or(GEMMA_PERIOD),
    })
}

/// Names of the tensors in a layout.
struct Names {
    embeddings: &'static str,
    head: &'static str,
    norm: &'static str,
    /// Prefix of a layer's tensors, before its number.
    layer: &'static str,
    /// Names within a layer: attention norm, queries, keys, values, output, feed-forward norm,
    /// gate, up, down.
    parts: [&'static str; 9],
    /// Names of the norms of each head's queries and keys.
    head_norms: [&'static str; 2],
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
    head_norms: ["self_attn.q_norm", "self_attn.k_norm"],
};

const GGUF: Names = Names {
    embeddings: "token_embd.weight",
    head: "output.weight",
    norm: "output_norm.weight",
    layer: "blk.",
    parts: [
        "attn_norm",
        "attn_q",
        "attn_k",
        "attn_v",
        "attn_output",
        "ffn_norm",
        "ffn_gate",
        "ffn_up",
        "ffn_down",
    ],
    head_norms: ["attn_q_norm", "attn_k_norm"],
};

/// Loads the weights from Hugging Face's files.
pub(super) fn load(
    config: LlamaConfig,
    file: &ConfigFile,
    tensors: &mut Tensors,
) -> Result<Llama, LoadError> {
    config.check()?;
    build(config, tensors, &HUGGING_FACE, file.tie_word_embeddings, |_| None)
}

/// Loads the weights from a GGUF file.
pub(super) fn load_gguf(config: LlamaConfig, tensors: &mut Tensors) -> Result<Llama, LoadError> {
    config.check()?;
    let (is_tied, size) = (!tensors.has(GGUF.head), config.head_size);
    build(config, tensors, &GGUF, is_tied, |heads| {
        (config.kind == LlamaKind::Llama).then(|| order(heads, size))
    })
}

/// Order of the rows of queries and keys in a GGUF file of Llama. The file has the two values of
/// each rotated pair in adjacent rows; here, a pair has one row in each half of the head.
fn order(heads: usize, size: usize) -> Vec<usize> {
    let rows = (0..heads).flat_map(|head| (0..2).map(move |half| (head, half)));
    rows.flat_map(|(head, half)| (0..size / 2).map(move |pair| head * size + 2 * pair + half))
        .collect()
}

fn build(
    config: LlamaConfig,
    tensors: &mut Tensors,
    names: &Names,
    is_tied: bool,
    order: impl Fn(usize) -> Option<Vec<usize>>,
) -> Result<Llama, LoadError> {
    let LlamaConfig { vocabulary, hidden, .. } = config;
    let embeddings = tensors.matrix(names.embeddings, [vocabulary, hidden])?;
    let head = if is_tied {
        embeddings.clone()
    } else {
        tensors.matrix(names.head, [vocabulary, hidden])?
    };
    let norm = tensors.floats(names.norm, &[hidden])?;
    let mut layers = Vec::new();
    for number in 0..config.layers {
        layers.push(layer(&config, tensors, names, number, &order)?);
    }
    // Scaled rotations of Llama 3.1 in GGUF files.
    let divisors = if tensors.has("rope_freqs.weight") {
        let divisors = tensors.floats("rope_freqs.weight", &[config.head_size / 2])?;
        divisors.to_vec1().map_err(ModelError::from)?
    } else {
        Vec::new()
    };
    let frequencies = frequencies(&config, &divisors);
    Ok(Llama::new(config, Weights { embeddings, layers, norm, head: head.into(), frequencies })?)
}

/// Loads a layer.
fn layer(
    config: &LlamaConfig,
    tensors: &mut Tensors,
    names: &Names,
    number: usize,
    order: impl Fn(usize) -> Option<Vec<usize>>,
) -> Result<Layer, LoadError> {
    let LlamaConfig { kind, hidden, intermediate, heads, kv_heads, head_size, .. } = *config;
    let (width, kv) = (config.query_width(), config.kv_width());
    let prefix = format!("{}{number}", names.layer);
    let [attention_norm, query, key, value, output, feed_forward_norm, gate, up, down] =
        names.parts.map(|part| format!("{prefix}.{part}"));
    let attention_norm = tensors.floats(&format!("{attention_norm}.weight"), &[hidden])?;
    let feed_forward_norm = tensors.floats(&format!("{feed_forward_norm}.weight"), &[hidden])?;
    let head_norms = if kind.has_head_norms() {
        let [query, key] = norms(names.head_norms, &prefix, head_size, tensors)?;
        Some(HeadNorms { query, key })
    } else {
        None
    };
    let output_norms = if kind == LlamaKind::Gemma3 {
        let [attention, feed_forward] = norms(GEMMA_OUTPUT_NORMS, &prefix, hidden, tensors)?;
        Some(OutputNorms { attention, feed_forward })
    } else {
        None
    };
    let query = projection(tensors, kind, &query, [width, hidden], order(heads).as_deref())?;
    let key = projection(tensors, kind, &key, [kv, hidden], order(kv_heads).as_deref())?;
    let value = projection(tensors, kind, &value, [kv, hidden], None)?;
    let output = linear(tensors, &output, [hidden, width])?;
    let gate = linear(tensors, &gate, [intermediate, hidden])?;
    let up = linear(tensors, &up, [intermediate, hidden])?;
    let down = linear(tensors, &down, [hidden, intermediate])?;
    Ok(Layer {
        attention_norm,
        query,
        key,
        value,
        head_norms,
        output,
        output_norms,
        feed_forward_norm,
        gate,
        up,
        down,
    })
}

/// Loads the projection to queries, keys or values, whose rows are in this order in the file.
fn projection(
    tensors: &mut Tensors,
    kind: LlamaKind,
    name: &str,
    shape: [usize; 2],
    order: Option<&[usize]>,
) -> Result<Linear, LoadError> {
    if kind == LlamaKind::Qwen2 {
        return tensors.linear_with_bias(name, shape);
    }
    Ok(tensors.matrix_with_row_order(&format!("{name}.weight"), shape, order)?.into())
}

fn linear(tensors: &mut Tensors, name: &str, shape: [usize; 2]) -> Result<Linear, LoadError> {
    Ok(tensors.matrix(&format!("{name}.weight"), shape)?.into())
}

/// Loads two norms of a layer.
fn norms(
    parts: [&'static str; 2],
    prefix: &str,
    size: usize,
    tensors: &mut Tensors,
) -> Result<[Tensor; 2], LoadError> {
    let [first, second] = parts.map(|part| format!("{prefix}.{part}.weight"));
    Ok([tensors.floats(&first, &[size])?, tensors.floats(&second, &[size])?])
}
