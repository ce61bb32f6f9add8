use std::io;
use std::path::{Path, PathBuf};

use taonet_speech::SynthesisError;

/// Why a voice could not be loaded.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum VoiceError {
    /// A file of the voice cannot be read.
    #[error("cannot read {}\nhint: a voice of Piper has two files, FILE.onnx and FILE.onnx.json", path.display())]
    Io {
        /// Path of the file.
        path: PathBuf,
        /// Error of the file system.
        source: io::Error,
    },
    /// A file is too large for a voice.
    #[error("{} has more than {limit} bytes\nhint: pass the files of a voice of Piper", path.display())]
    TooLarge {
        /// Path of the file.
        path: PathBuf,
        /// Maximum size in bytes.
        limit: u64,
    },
    /// The configuration is malformed.
    #[error("{} is not the configuration of a Piper voice\nhint: copy the JSON file that was published with the voice",
        path.display())]
    Json {
        /// Path of the file.
        path: PathBuf,
        /// The JSON parser's error.
        source: serde_json::Error,
    },
    /// A value of the configuration is missing, out of range or unsupported.
    #[error("{}: {reason}", path.display())]
    Config {
        /// Path of the file.
        path: PathBuf,
        /// The value, and the values that are supported.
        reason: String,
    },
    /// The network cannot be loaded.
    #[error("{} cannot be loaded as an ONNX model: {reason}\nhint: download the voice again", path.display())]
    Network {
        /// Path of the file.
        path: PathBuf,
        /// The first malformed part, or the error of the inference library.
        reason: String,
    },
    /// The network is not a VITS model of Piper.
    #[error("{} is not a voice of Piper: {reason}\nhint: pass a VITS model that Piper exported", path.display())]
    Architecture {
        /// Path of the file.
        path: PathBuf,
        /// The first difference found.
        reason: String,
    },
    /// espeak-ng, which translates texts into phonemes, is missing or fails.
    #[error("the voice {} needs espeak-ng for its phonemes", path.display())]
    Phonemes {
        /// Path of the voice.
        path: PathBuf,
        /// Error of espeak-ng.
        source: SynthesisError,
    },
}

impl VoiceError {
    pub(crate) fn io(path: &Path, source: io::Error) -> Self {
        Self::Io { path: path.to_owned(), source }
    }

    pub(crate) fn phonemes(path: &Path, source: SynthesisError) -> Self {
        Self::Phonemes { path: path.to_owned(), source }
    }
}
