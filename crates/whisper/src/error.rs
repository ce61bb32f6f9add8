//! Errors of loading a model and of recognition.

use std::io;
use std::path::PathBuf;

/// Why a model directory could not be loaded.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ModelError {
    /// The directory holds neither `model.bin` nor `model.safetensors`.
    #[error("{} holds no model.bin and no model.safetensors (hint: name the directory of a converted Whisper model)", .0.display())]
    NoWeights(PathBuf),
    /// A file of the model cannot be read.
    #[error("{} cannot be read", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// A JSON file of the model is malformed.
    #[error("{} is not the JSON document expected", path.display())]
    Json {
        /// The file.
        path: PathBuf,
        /// The parser's error.
        source: serde_json::Error,
    },
    /// The weights file is malformed or truncated.
    #[error("{} is damaged: {reason} (hint: fetch it again)", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// The first inconsistency found.
        reason: String,
    },
    /// The weights file holds another kind of model, or a newer format.
    #[error("{} is not a Whisper model that this engine reads: {reason}", path.display())]
    Unsupported {
        /// The file.
        path: PathBuf,
        /// What differs.
        reason: String,
    },
    /// A tensor is absent.
    #[error("the weights lack the tensor `{0}`")]
    MissingTensor(String),
    /// A tensor has another shape than the architecture requires.
    #[error("tensor `{name}` has the shape {found:?}, expected {expected:?}")]
    Shape {
        /// The tensor's name.
        name: String,
        /// Its shape in the file.
        found: Vec<usize>,
        /// The shape that fits the rest of the model.
        expected: Vec<usize>,
    },
    /// The tokenizer cannot be loaded.
    #[error("tokenizer.json cannot be loaded: {0}")]
    Tokenizer(String),
    /// The vocabulary lacks a token that Whisper's rules need.
    #[error("the vocabulary has no token `{0}`: this is not a Whisper vocabulary")]
    MissingToken(&'static str),
    /// The vocabulary's size differs from the number of embeddings.
    #[error("the vocabulary has {tokens} tokens, the weights have {embeddings}")]
    VocabularySize {
        /// Number of tokens in the vocabulary file.
        tokens: usize,
        /// Rows of the embedding matrix.
        embeddings: usize,
    },
    /// The model does not fit into the memory that is available.
    #[error("the model needs {needed} MB of memory, {available} MB are available")]
    Memory {
        /// Estimated need in megabytes.
        needed: u64,
        /// Available memory in megabytes.
        available: u64,
    },
}

/// Why a recording could not be transcribed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TranscribeError {
    /// The options contradict each other or the model.
    #[error("option `{option}`: {reason}")]
    Option {
        /// The option's name.
        option: &'static str,
        /// Why it cannot be used.
        reason: &'static str,
    },
    /// A matrix product was refused; a defect of the engine.
    #[error("matrix product failed: {0}")]
    Product(String),
    /// The engine's worker has ended.
    #[error("the transcription engine has stopped")]
    Stopped,
}
