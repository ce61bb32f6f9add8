//! Loading of Llama models in Hugging Face's format: `config.json`, safetensors, `tokenizer.json`.

use std::collections::{BTreeSet, HashMap};
use std::fs;
use std::path::{Path, PathBuf};

use candle_core::{DType, Device, Tensor};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::llama::{Layer, Weights};
use crate::{Llama, LlamaConfig, ModelError, RopeScaling};

/// Failure to load a model from a directory.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LoadError {
    /// A file is missing or unreadable.
    #[error("cannot read {path}; hint: the directory needs config.json, model.safetensors and tokenizer.json")]
    Read {
        /// Path of the file.
        path: PathBuf,
        /// Error of the operating system.
        source: std::io::Error,
    },
    /// A JSON file is malformed, or lacks a field.
    #[error("{path} is malformed")]
    Json {
        /// Path of the file.
        path: PathBuf,
        /// Parse error.
        source: serde_json::Error,
    },
    /// The model's architecture or weight format is unsupported.
    #[error("{path}: {what} is not supported; hint: use a Llama model without quantisation")]
    Foreign {
        /// Path of the file.
        path: PathBuf,
        /// The unsupported feature.
        what: String,
    },
    /// A file of weights is truncated or malformed.
    #[error("{path} is truncated or malformed")]
    Weights {
        /// Path of the file.
        path: PathBuf,
        /// Error of the tensor library.
        source: candle_core::Error,
    },
    /// A tensor is missing.
    #[error("tensor {0} is missing; hint: check that all files of the model are present")]
    Missing(String),
    /// A tensor's shape differs from that of the configuration.
    #[error("tensor {name} has the shape {found:?}, expected {expected:?}")]
    Shape {
        /// Name of the tensor.
        name: String,
        /// Shape of the tensor.
        found: Vec<usize>,
        /// The shape that the configuration implies.
        expected: Vec<usize>,
    },
    /// The tokenizer is malformed or does not match the model.
    #[error("{path}: {message}")]
    Tokenizer {
        /// Path of the file.
        path: PathBuf,
        /// Why the tokenizer is invalid.
        message: String,
    },
    /// The dimensions are inconsistent, or the tensor library failed.
    #[error(transparent)]
    Model(#[from] ModelError),
}

/// Fields of `config.json` that affect the computation.
#[derive(Debug, Deserialize)]
struct ConfigFile {
    model_type: String,
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
    bos_token_id: Option<u32>,
    eos_token_id: Option<Ids>,
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

/// One token id or several.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Ids {
    One(u32),
    Many(Vec<u32>),
}

/// `generation_config.json`, which lists further tokens that end an answer.
#[derive(Debug, Deserialize)]
struct GenerationFile {
    eos_token_id: Option<Ids>,
}

#[derive(Debug, Deserialize)]
struct IndexFile {
    weight_map: HashMap<String, String>,
}

/// A model loaded from a directory, without its tokenizer.
pub(crate) struct Checkpoint {
    pub(crate) llama: Llama,
    /// Token that begins a prompt.
    pub(crate) begin: Option<u32>,
    /// Tokens that end an answer.
    pub(crate) ends: Vec<u32>,
}

pub(crate) fn load(directory: &Path) -> Result<Checkpoint, LoadError> {
    let path = directory.join("config.json");
    let file: ConfigFile = json(&path)?;
    let config = config(&file, &path)?;
    config.check()?;
    let tensors = tensors(directory)?;
    let weights = weights(&config, file.tie_word_embeddings, tensors)?;
    let mut ends = BTreeSet::new();
    let mut add = |ids: Option<Ids>| match ids {
        None => {}
        Some(Ids::One(id)) => ends.extend([id]),
        Some(Ids::Many(ids)) => ends.extend(ids),
    };
    add(file.eos_token_id);
    let path = directory.join("generation_config.json");
    if path.exists() {
        add(json::<GenerationFile>(&path)?.eos_token_id);
    }
    let llama = Llama::new(config, weights)?;
    Ok(Checkpoint { llama, begin: file.bos_token_id, ends: ends.into_iter().collect() })
}

fn config(file: &ConfigFile, path: &Path) -> Result<LlamaConfig, LoadError> {
    let foreign = |what: String| LoadError::Foreign { path: path.to_owned(), what };
    if file.model_type != "llama" {
        return Err(foreign(format!("model_type {:?}", file.model_type)));
    }
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
                return Err(foreign("rope_scaling with these numbers".to_owned()));
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

/// Loads all tensors of the directory's safetensors files.
fn tensors(directory: &Path) -> Result<HashMap<String, Tensor>, LoadError> {
    let index = directory.join("model.safetensors.index.json");
    let files = if index.exists() {
        let named: BTreeSet<String> = json::<IndexFile>(&index)?.weight_map.into_values().collect();
        let is_plain = |name: &String| Path::new(name).file_name().is_some_and(|file| file == name.as_str());
        if let Some(name) = named.iter().find(|name| !is_plain(name)) {
            return Err(LoadError::Foreign { path: index, what: format!("the file name {name:?}") });
        }
        named.into_iter().collect()
    } else {
        vec!["model.safetensors".to_owned()]
    };
    let mut tensors = HashMap::new();
    for file in files {
        let path = directory.join(file);
        let bytes = read(&path)?;
        let found = candle_core::safetensors::load_buffer(&bytes, &Device::Cpu);
        tensors.extend(found.map_err(|source| LoadError::Weights { path, source })?);
    }
    Ok(tensors)
}

fn weights(config: &LlamaConfig, ties_head: bool, mut tensors: HashMap<String, Tensor>) -> Result<Weights, LoadError> {
    let LlamaConfig { vocabulary, hidden, intermediate, .. } = *config;
    let kv = config.kv_heads * config.head_size();
    let mut take = |name: String, shape: &[usize]| -> Result<Tensor, LoadError> {
        let Some(tensor) = tensors.remove(&name) else { return Err(LoadError::Missing(name)) };
        if tensor.dims() != shape {
            return Err(LoadError::Shape { name, found: tensor.dims().to_vec(), expected: shape.to_vec() });
        }
        Ok(tensor.to_dtype(DType::F32).map_err(ModelError::from)?)
    };
    let embeddings = take("model.embed_tokens.weight".to_owned(), &[vocabulary, hidden])?;
    let head = if ties_head { embeddings.clone() } else { take("lm_head.weight".to_owned(), &[vocabulary, hidden])? };
    let norm = take("model.norm.weight".to_owned(), &[hidden])?;
    let mut layers = Vec::new();
    for index in 0..config.layers {
        let mut take = |name: &str, shape: &[usize]| take(format!("model.layers.{index}.{name}.weight"), shape);
        layers.push(Layer {
            attention_norm: take("input_layernorm", &[hidden])?,
            query: take("self_attn.q_proj", &[hidden, hidden])?,
            key: take("self_attn.k_proj", &[kv, hidden])?,
            value: take("self_attn.v_proj", &[kv, hidden])?,
            output: take("self_attn.o_proj", &[hidden, hidden])?,
            feed_forward_norm: take("post_attention_layernorm", &[hidden])?,
            gate: take("mlp.gate_proj", &[intermediate, hidden])?,
            up: take("mlp.up_proj", &[intermediate, hidden])?,
            down: take("mlp.down_proj", &[hidden, intermediate])?,
        });
    }
    Ok(Weights { embeddings, layers, norm, head })
}

pub(crate) fn read(path: &Path) -> Result<Vec<u8>, LoadError> {
    fs::read(path).map_err(|source| LoadError::Read { path: path.to_owned(), source })
}

pub(crate) fn json<T: DeserializeOwned>(path: &Path) -> Result<T, LoadError> {
    serde_json::from_slice(&read(path)?).map_err(|source| LoadError::Json { path: path.to_owned(), source })
}

#[cfg(test)]
mod tests;
