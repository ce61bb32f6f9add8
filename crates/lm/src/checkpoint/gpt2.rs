//! GPT-2 from Hugging Face's files and from GGUF.

use std::path::Path;

use serde::Deserialize;

use super::gguf::Gguf;
use super::tensors::Tensors;
use super::{Ids, LoadError};
use crate::gpt2::{Gpt2, Gpt2Config, Layer, Norm};
use crate::linear::Linear;

/// Fields of `config.json` that affect the computation.
#[derive(Debug, Deserialize)]
pub(super) struct ConfigFile {
    n_embd: usize,
    n_layer: usize,
    n_head: usize,
    n_positions: usize,
    n_inner: Option<usize>,
    vocab_size: usize,
    layer_norm_epsilon: f64,
    activation_function: Option<String>,
    #[serde(default = "default_true")]
    scale_attn_weights: bool,
    #[serde(default)]
    scale_attn_by_inverse_layer_idx: bool,
    #[serde(default = "default_true")]
    tie_word_embeddings: bool,
    quantization_config: Option<serde_json::Value>,
    pub(super) bos_token_id: Option<u32>,
    #[serde(default)]
    pub(super) eos_token_id: Ids,
}

const fn default_true() -> bool {
    true
}

pub(super) fn config(file: &ConfigFile, path: &Path) -> Result<Gpt2Config, LoadError> {
    if let Some(act) = file.activation_function.as_ref().filter(|act| *act != "gelu_new") {
        return Err(LoadError::unsupported(path, format!("activation_function {act:?}")));
    }
    if !file.scale_attn_weights || file.scale_attn_by_inverse_layer_idx {
        return Err(LoadError::unsupported(path, "another scale of the attention"));
    }
    if !file.tie_word_embeddings {
        return Err(LoadError::unsupported(path, "tie_word_embeddings false"));
    }
    if file.quantization_config.is_some() {
        return Err(LoadError::unsupported(path, "quantization_config"));
    }
    Ok(Gpt2Config {
        vocabulary: file.vocab_size,
        hidden: file.n_embd,
        intermediate: file.n_inner.unwrap_or(file.n_embd.saturating_mul(4)),
        layers: file.n_layer,
        heads: file.n_head,
        context: file.n_positions,
        norm_eps: file.layer_norm_epsilon,
    })
}

/// Reads the dimensions from the metadata of a GGUF file.
pub(super) fn gguf_config(file: &Gguf) -> Result<Gpt2Config, LoadError> {
    let hidden = file.count("gpt2.embedding_length")?;
    let vocabulary = file.shape("token_embd.weight").and_then(|shape| shape.first().copied());
    let epsilon = "gpt2.attention.layer_norm_epsilon";
    Ok(Gpt2Config {
        vocabulary: vocabulary
            .ok_or_else(|| LoadError::MissingTensor("token_embd.weight".to_owned()))?,
        hidden,
        intermediate: file
            .optional_count("gpt2.feed_forward_length")?
            .unwrap_or(hidden.saturating_mul(4)),
        layers: file.count("gpt2.block_count")?,
        heads: file.count("gpt2.attention.head_count")?,
        context: file.count("gpt2.context_length")?,
        norm_eps: file.number(epsilon)?.ok_or_else(|| file.field_error(epsilon, "is missing"))?,
    })
}

/// Names of the tensors in a layout: embedding tables, then the parts of a layer.
struct Names {
    embeddings: &'static str,
    positions: &'static str,
    norm: &'static str,
    /// Prefix of a layer's tensors, before its number.
    layer: &'static str,
    parts: [&'static str; 6],
}

const HUGGING_FACE: Names = Names {
    embeddings: "wte.weight",
    positions: "wpe.weight",
    norm: "ln_f",
    layer: "h.",
    parts: ["ln_1", "attn.c_attn", "attn.c_proj", "ln_2", "mlp.c_fc", "mlp.c_proj"],
};

const GGUF: Names = Names {
    embeddings: "token_embd.weight",
    positions: "position_embd.weight",
    norm: "output_norm",
    layer: "blk.",
    parts: ["attn_norm", "attn_qkv", "attn_output", "ffn_norm", "ffn_up", "ffn_down"],
};

/// Loads the weights from Hugging Face's files, whose matrices have one row per input.
pub(super) fn load(config: Gpt2Config, tensors: &mut Tensors) -> Result<Gpt2, LoadError> {
    // Files of the model with its language head have a prefix.
    let prefix = if tensors.has("transformer.wte.weight") { "transformer." } else { "" };
    build(config, tensors, &HUGGING_FACE, prefix, Tensors::linear_from_transposed)
}

/// Loads the weights from a GGUF file.
pub(super) fn load_gguf(config: Gpt2Config, tensors: &mut Tensors) -> Result<Gpt2, LoadError> {
    let mut model = build(config, tensors, &GGUF, "", Tensors::linear_with_bias)?;
    if tensors.has("output.weight") {
        model.head = tensors.matrix("output.weight", [config.vocabulary, config.hidden])?.into();
    }
    Ok(model)
}

fn build(
    config: Gpt2Config,
    tensors: &mut Tensors,
    names: &Names,
    prefix: &str,
    linear: impl Fn(&mut Tensors, &str, [usize; 2]) -> Result<Linear, LoadError>,
) -> Result<Gpt2, LoadError> {
    config.check()?;
    let Gpt2Config { vocabulary, hidden, intermediate, .. } = config;
    let embeddings =
        tensors.matrix(&format!("{prefix}{}", names.embeddings), [vocabulary, hidden])?;
    let positions =
        tensors.floats(&format!("{prefix}{}", names.positions), &[config.context, hidden])?;
    let mut layers = Vec::new();
    for number in 0..config.layers {
        let [attention_norm, projection, output, feed_forward_norm, up, down] =
            names.parts.map(|part| format!("{prefix}{}{number}.{part}", names.layer));
        layers.push(Layer {
            attention_norm: norm(tensors, &attention_norm, hidden)?,
            projection: linear(tensors, &projection, [3 * hidden, hidden])?,
            output: linear(tensors, &output, [hidden, hidden])?,
            feed_forward_norm: norm(tensors, &feed_forward_norm, hidden)?,
            up: linear(tensors, &up, [intermediate, hidden])?,
            down: linear(tensors, &down, [hidden, intermediate])?,
        });
    }
    let norm = norm(tensors, &format!("{prefix}{}", names.norm), hidden)?;
    Ok(Gpt2 { config, head: embeddings.clone().into(), embeddings, positions, layers, norm })
}

fn norm(tensors: &mut Tensors, name: &str, hidden: usize) -> Result<Norm, LoadError> {
    let scale = tensors.floats(&format!("{name}.weight"), &[hidden])?;
    Ok(Norm { scale, shift: tensors.floats(&format!("{name}.bias"), &[hidden])? })
}
