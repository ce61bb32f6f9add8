//! Loading of models in Hugging Face's format (`config.json`, safetensors, `tokenizer.json`) and
//! from GGUF files.

mod gguf;
mod gpt2;
mod llama;
mod tensors;

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::Read as _;
use std::path::{Path, PathBuf};

use candle_core::Device;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use taonet_primitives::bytes_without_bom;

use crate::linear::Bits;
use crate::network::Network;
use crate::template::TemplateSource;
use crate::{Llama, LlamaKind, ModelError};
use gguf::Gguf;
use tensors::{Source, Tensors};

/// Maximum size of a JSON file or template, in bytes: several times that of the largest published
/// tokenizers, which have 35 MB.
const MAX_TEXT_BYTES: u64 = 128 << 20;

/// Why loading a model failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LoadError {
    /// A file is missing or unreadable.
    #[error(
        "cannot read {path}; hint: a model is a GGUF file, a directory with one, or a directory with config.json, \
             model.safetensors and tokenizer.json"
    )]
    Read {
        /// Path of the file.
        path: PathBuf,
        /// Error of the operating system.
        source: std::io::Error,
    },
    /// A directory has several GGUF files, and no model in Hugging Face's format.
    #[error(
        "{directory} has several GGUF files: {}; hint: choose one of these files", .files.join(", ")
    )]
    SeveralGguf {
        /// Path of the directory.
        directory: PathBuf,
        /// Names of the GGUF files, sorted.
        files: Vec<String>,
    },
    /// A JSON file or template exceeds its size limit.
    #[error("{path} is larger than {limit} bytes; hint: download it again")]
    TooLarge {
        /// Path of the file.
        path: PathBuf,
        /// Maximum size in bytes.
        limit: u64,
    },
    /// A JSON file is malformed, or lacks a field.
    #[error("{path} is malformed; hint: download it again, of a Llama, Qwen or GPT-2 model")]
    Json {
        /// Path of the file.
        path: PathBuf,
        /// Parse error of the JSON file.
        source: serde_json::Error,
    },
    /// The model's architecture or weight format is unsupported.
    #[error(
        "{path}: {feature} is not supported; hint: use a Llama, Qwen 2 or Qwen 3 model (text miners also run GPT-2) in a \
             GGUF file or in safetensors without quantisation, or Gemma 3 in a GGUF file"
    )]
    Unsupported {
        /// Path of the file.
        path: PathBuf,
        /// The unsupported feature.
        feature: String,
    },
    /// A weights file is truncated or malformed.
    #[error("{path} is truncated or malformed; hint: download it again")]
    Weights {
        /// Path of the file.
        path: PathBuf,
        /// Error of the tensor library.
        source: candle_core::Error,
    },
    /// A GGUF file is inconsistent, or uses an unsupported feature.
    #[error("{path}: {field}: {message}; hint: download or convert the file again")]
    Gguf {
        /// Path of the file.
        path: PathBuf,
        /// Name of the metadata field or tensor.
        field: String,
        /// Why the field or tensor is invalid.
        message: String,
    },
    /// The device is not available.
    #[error(
        "device {name} is not available: {source}; hint: use cpu, or a build with the cargo feature {feature}"
    )]
    Device {
        /// Name of the device.
        name: &'static str,
        /// Cargo feature that includes support for the device.
        feature: &'static str,
        /// Error of the tensor library.
        source: candle_core::Error,
    },
    /// A tensor has a number that is infinite or not a number.
    #[error(
        "tensor {0} has values that are not finite numbers; hint: download or convert the model again"
    )]
    NotFinite(String),
    /// A tensor is missing.
    #[error("tensor {0} is missing; hint: check that all files of the model are present")]
    MissingTensor(String),
    /// A tensor's shape differs from the shape that the configuration implies.
    #[error(
        "tensor {name} has the shape {actual:?}, expected {expected:?}; hint: weights and configuration are of different \
         models: download both again"
    )]
    Shape {
        /// Name of the tensor.
        name: String,
        /// Shape of the tensor.
        actual: Vec<usize>,
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

impl LoadError {
    fn unsupported(path: &Path, feature: impl Into<String>) -> Self {
        Self::Unsupported { path: path.to_owned(), feature: feature.into() }
    }

    pub(crate) fn tokenizer(path: &Path, message: impl Into<String>) -> Self {
        Self::Tokenizer { path: path.to_owned(), message: message.into() }
    }
}

/// A token ID or a list of token IDs.
#[derive(Debug, Default, Deserialize)]
#[serde(untagged)]
enum Ids {
    #[default]
    None,
    One(u32),
    Many(Vec<u32>),
}

impl Ids {
    fn into_vec(self) -> Vec<u32> {
        match self {
            Self::None => Vec::new(),
            Self::One(id) => vec![id],
            Self::Many(ids) => ids,
        }
    }
}

/// `generation_config.json`, which lists further tokens that end an answer.
#[derive(Debug, Deserialize)]
struct GenerationFile {
    #[serde(default)]
    eos_token_id: Ids,
}

/// The field of `config.json` that determines the format of the other fields.
#[derive(Debug, Deserialize)]
struct ModelTypeFile {
    model_type: String,
}

/// A model without its tokenizer.
pub(crate) struct Checkpoint<N> {
    pub(crate) network: N,
    /// Token that begins a prompt.
    pub(crate) bos_token: Option<u32>,
    /// Tokens that end an answer.
    pub(crate) end_tokens: Vec<u32>,
}

/// Loads a model of the Llama family from a directory to the CPU.
pub(crate) fn load_llama(
    directory: &Path,
    bits: Option<Bits>,
) -> Result<Checkpoint<Llama>, LoadError> {
    let path = directory.join("config.json");
    let model_type = read_json::<ModelTypeFile>(&path)?.model_type;
    let Some(kind) = directory_kind(&model_type) else {
        return Err(LoadError::Unsupported { path, feature: format!("model_type {model_type:?}") });
    };
    load_llama_kind(kind, directory, &path, Device::Cpu, bits)
}

/// Loads a model of any supported architecture from a directory.
pub(crate) fn load(
    directory: &Path,
    device: Device,
    bits: Option<Bits>,
) -> Result<Checkpoint<Network>, LoadError> {
    let path = directory.join("config.json");
    let model_type = read_json::<ModelTypeFile>(&path)?.model_type;
    if let Some(kind) = directory_kind(&model_type) {
        let Checkpoint { network, bos_token, end_tokens } =
            load_llama_kind(kind, directory, &path, device, bits)?;
        return Ok(Checkpoint { network: Network::Llama(network), bos_token, end_tokens });
    }
    match model_type.as_str() {
        "gpt2" => {
            let file: gpt2::ConfigFile = read_json(&path)?;
            let config = gpt2::config(&file, &path)?;
            config.check()?;
            let network =
                gpt2::load(config, &mut Tensors::from_directory(directory, device, bits)?)?;
            let end_tokens = end_tokens(directory, file.eos_token_id)?;
            Ok(Checkpoint {
                network: Network::Gpt2(network),
                bos_token: file.bos_token_id,
                end_tokens,
            })
        }
        kind => Err(LoadError::Unsupported { feature: format!("model_type {kind:?}"), path }),
    }
}

/// Returns the architecture of a directory of the Llama family. Gemma is supported in GGUF files
/// only, since its norms and configuration have another form in directories.
fn directory_kind(model_type: &str) -> Option<LlamaKind> {
    LlamaKind::from_name(model_type).filter(|kind| *kind != LlamaKind::Gemma3)
}

fn load_llama_kind(
    kind: LlamaKind,
    directory: &Path,
    path: &Path,
    device: Device,
    bits: Option<Bits>,
) -> Result<Checkpoint<Llama>, LoadError> {
    let file: llama::ConfigFile = read_json(path)?;
    let config = llama::config(kind, &file, path)?;
    config.check()?;
    let network =
        llama::load(config, &file, &mut Tensors::from_directory(directory, device, bits)?)?;
    let bos_token = file.bos_token_id.filter(|_| kind.adds_bos());
    Ok(Checkpoint { network, bos_token, end_tokens: end_tokens(directory, file.eos_token_id)? })
}

/// Returns the GGUF file of a model: `path` itself, or the only GGUF file in a directory that is
/// not in Hugging Face's format. Such a directory may have the `config.json` of the converted
/// model. Returns `None` for a directory in Hugging Face's format: with `config.json`, and
/// safetensors or their index.
///
/// # Errors
/// [`LoadError::SeveralGguf`] when a directory that is not in this format has several GGUF files.
pub fn gguf_file(path: &Path) -> Result<Option<PathBuf>, LoadError> {
    if path.is_file() {
        return Ok(Some(path.to_owned()));
    }
    // Reading `config.json` reports why a directory is unreadable.
    let Ok(entries) = fs::read_dir(path) else { return Ok(None) };
    let entries: Vec<PathBuf> = entries.filter_map(Result::ok).map(|entry| entry.path()).collect();
    let has_extension = |file: &Path, extension: &str| {
        file.extension().is_some_and(|other| other.eq_ignore_ascii_case(extension))
            && file.is_file()
    };
    let is_weights = |file: &PathBuf| {
        has_extension(file, "safetensors") || file.ends_with("model.safetensors.index.json")
    };
    if path.join("config.json").exists() && entries.iter().any(is_weights) {
        return Ok(None);
    }
    let mut files: Vec<PathBuf> =
        entries.into_iter().filter(|file| has_extension(file, "gguf")).collect();
    if files.len() > 1 {
        let names = files.iter().filter_map(|file| file.file_name());
        let mut files: Vec<_> = names.map(|name| name.to_string_lossy().into_owned()).collect();
        files.sort();
        return Err(LoadError::SeveralGguf { directory: path.to_owned(), files });
    }
    Ok(files.pop())
}

/// A model from a GGUF file.
pub(crate) struct GgufCheckpoint {
    pub(crate) checkpoint: Checkpoint<Network>,
    /// The tokenizer in the file, as the content of a `tokenizer.json`; or why there is none.
    pub(crate) tokenizer: Result<serde_json::Value, String>,
    /// The chat template in the file.
    pub(crate) template: Option<TemplateSource>,
    /// Whether the file has quantised tensors.
    pub(crate) is_quantized: bool,
}

/// Conversion of the matrices of a GGUF file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Conversion {
    /// Matrices of floats get this width, if any. Quantised matrices are not converted.
    Floats(Option<Bits>),
    /// Matrices of floats remain floats. Quantised matrices in formats whose products are slow get
    /// 8 bits: all but Q8_0, Q4_0 and, on x86-64 with AVX2, Q4_1.
    SlowBlocks,
    /// All matrices get this width, also those that are quantised in the file.
    All(Bits),
}

/// Loads a model from a GGUF file.
pub(crate) fn load_gguf(
    path: &Path,
    device: Device,
    conversion: Conversion,
) -> Result<GgufCheckpoint, LoadError> {
    let file = Gguf::open(path)?;
    let is_quantized = file.is_quantized();
    let architecture = file.text("general.architecture").unwrap_or_default().to_owned();
    let kind = LlamaKind::from_name(&architecture);
    let adds_bos =
        file.flag("tokenizer.ggml.add_bos_token").unwrap_or(kind.is_none_or(LlamaKind::adds_bos));
    let bos_token = file.token("tokenizer.ggml.bos_token_id")?.filter(|_| adds_bos);
    let names = ["eos", "eot", "eom"].map(|name| format!("tokenizer.ggml.{name}_token_id"));
    let mut end_tokens: BTreeSet<u32> = file.end_tokens();
    for name in names {
        end_tokens.extend(file.token(&name)?);
    }
    let (tokenizer, template) = (file.tokenizer()?, file.template()?);
    let network = match (architecture.as_str(), kind) {
        (name, Some(kind)) => {
            let config = llama::gguf_config(kind, name, &file)?;
            let mut tensors = Tensors { source: Source::Gguf(file), device, conversion };
            Network::Llama(llama::load_gguf(config, &mut tensors)?)
        }
        ("gpt2", None) => {
            let config = gpt2::gguf_config(&file)?;
            let mut tensors = Tensors { source: Source::Gguf(file), device, conversion };
            Network::Gpt2(gpt2::load_gguf(config, &mut tensors)?)
        }
        (name, None) => {
            let feature = format!("general.architecture {name:?}");
            return Err(LoadError::Unsupported { path: file.path().to_owned(), feature });
        }
    };
    let checkpoint =
        Checkpoint { network, bos_token, end_tokens: end_tokens.into_iter().collect() };
    Ok(GgufCheckpoint { checkpoint, tokenizer, template, is_quantized })
}

/// Returns the tokens that end an answer: those of `config.json`, and those of
/// `generation_config.json`.
fn end_tokens(directory: &Path, ids: Ids) -> Result<Vec<u32>, LoadError> {
    let mut end_tokens: BTreeSet<u32> = ids.into_vec().into_iter().collect();
    let path = directory.join("generation_config.json");
    if path.exists() {
        end_tokens.extend(read_json::<GenerationFile>(&path)?.eos_token_id.into_vec());
    }
    Ok(end_tokens.into_iter().collect())
}

/// Reads a JSON file or template, up to its maximum size.
pub(crate) fn read_limited(path: &Path) -> Result<Vec<u8>, LoadError> {
    let read_error = |source| LoadError::Read { path: path.to_owned(), source };
    let check_length = |length: u64| {
        if length > MAX_TEXT_BYTES {
            Err(LoadError::TooLarge { path: path.to_owned(), limit: MAX_TEXT_BYTES })
        } else {
            Ok(())
        }
    };
    let file = File::open(path).map_err(read_error)?;
    check_length(file.metadata().map_err(read_error)?.len())?;
    // A pipe has no length.
    let mut contents = Vec::new();
    file.take(MAX_TEXT_BYTES + 1).read_to_end(&mut contents).map_err(read_error)?;
    check_length(contents.len() as u64)?;
    Ok(contents)
}

pub(crate) fn read_json<T: DeserializeOwned>(path: &Path) -> Result<T, LoadError> {
    let bytes = read_limited(path)?;
    serde_json::from_slice(bytes_without_bom(&bytes))
        .map_err(|source| LoadError::Json { path: path.to_owned(), source })
}

#[cfg(test)]
mod tests;
