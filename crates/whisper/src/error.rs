//! Errors of model loading and transcription.

use std::io;
use std::path::PathBuf;

/// Why a model directory could not be loaded.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ModelError {
    /// The directory contains neither `model.bin` nor `model.safetensors`.
    #[error("{} contains neither model.bin nor model.safetensors; hint: pass the directory of a converted Whisper model", .0.display())]
    NoWeights(PathBuf),
    /// The directory is missing, or contains no `config.json`.
    #[error("{} contains no config.json; hint: pass the directory of a converted Whisper model", .0.display())]
    NoConfig(PathBuf),
    /// A file of the model cannot be read.
    #[error("cannot read {}", path.display())]
    Io {
        /// Path of the file.
        path: PathBuf,
        /// Error of the file system.
        source: io::Error,
    },
    /// A JSON file of the model is malformed.
    #[error("cannot parse {}", path.display())]
    Json {
        /// Path of the file.
        path: PathBuf,
        /// The JSON parser's error.
        source: serde_json::Error,
    },
    /// The weights file is malformed or truncated.
    #[error("{} is corrupt: {reason}; hint: download the model again", path.display())]
    Corrupt {
        /// Path of the file.
        path: PathBuf,
        /// The first inconsistency found.
        reason: String,
    },
    /// The weights file has an unsupported model or format version.
    #[error("{} is not a supported Whisper model: {reason}", path.display())]
    Unsupported {
        /// Path of the file.
        path: PathBuf,
        /// The unsupported property of the file.
        reason: String,
    },
    /// A tensor is missing.
    #[error("the weights have no tensor `{0}`")]
    MissingTensor(String),
    /// A tensor's shape does not match the architecture.
    #[error("tensor `{name}` has the shape {actual:?}, expected {expected:?}")]
    Shape {
        /// Name of the tensor.
        name: String,
        /// Shape of the tensor in the file.
        actual: Vec<usize>,
        /// The shape expected from the rest of the model.
        expected: Vec<usize>,
    },
    /// A tensor has an infinite value, or one that is not a number.
    #[error("tensor `{0}` has values that are not finite; hint: download the model again")]
    NotFinite(String),
    /// The tokenizer cannot be loaded.
    #[error("tokenizer.json cannot be loaded: {0}; hint: download the model again")]
    Tokenizer(String),
    /// The vocabulary lacks a token that Whisper's rules need.
    #[error("the vocabulary has no token `{0}`: this is not a Whisper vocabulary")]
    MissingToken(&'static str),
    /// The vocabulary's size differs from the number of embeddings.
    #[error(
        "the vocabulary has {tokens} tokens, but the weights have {embeddings} embeddings; hint: download the model \
         again"
    )]
    VocabularySize {
        /// Number of tokens in the vocabulary file.
        tokens: usize,
        /// Number of embeddings in the weights.
        embeddings: usize,
    },
    /// A token has no embedding.
    #[error("token `{token}` has the ID {id}, but the weights have {embeddings} embeddings")]
    TokenRange {
        /// The token.
        token: String,
        /// The ID of the token, which is out of range.
        id: u32,
        /// Number of embeddings in the weights.
        embeddings: usize,
    },
    /// The tokenizer and the vocabulary file contradict each other.
    #[error(
        "token {id} is `{tokenizer}` in tokenizer.json and `{vocabulary}` in the vocabulary file; hint: download the \
         model again"
    )]
    TokenMismatch {
        /// The ID for which the two files have different tokens.
        id: u32,
        /// The token in `tokenizer.json`; empty if it has no such ID.
        tokenizer: String,
        /// The token in `vocabulary.json` or `vocabulary.txt`.
        vocabulary: String,
    },
    /// The model exceeds the available memory.
    #[error(
        "the model needs {needed} MB of memory, but only {available} MB are available; hint: use a smaller model, or \
         stop other programs"
    )]
    Memory {
        /// Estimated requirement in megabytes.
        needed: u64,
        /// Available memory in megabytes.
        available: u64,
    },
}

/// Why a recording could not be transcribed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TranscribeError {
    /// An option is invalid, or unsupported by the model.
    #[error("option `{option}`: {reason}")]
    Option {
        /// Name of the option.
        option: &'static str,
        /// Why the value is rejected.
        reason: &'static str,
    },
    /// A matrix product failed: a bug in the engine.
    #[error("matrix product failed: {0}")]
    Product(String),
    /// Decoding panicked: a bug in the engine.
    #[error("decoding panicked: {0}")]
    Panicked(String),
    /// The engine's worker threads have exited.
    #[error("the transcription engine has stopped")]
    Stopped,
}
