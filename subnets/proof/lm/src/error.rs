use std::path::PathBuf;

use taonet_lm::{LoadError, ModelError};
use taonet_proof_circuits::CircuitError;
use taonet_proof_core::ExecutionError;
use taonet_proof_core::metadata::MetadataError;
use thiserror::Error;

/// Why compiling a language model, or proving or verifying its answer, failed.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum LmError {
    /// A file of weights has more bytes than the weights of any circuit.
    #[error(
        "{} has {bytes} bytes, more than the weights of a circuit can have ({limit}); hint: use a smaller model",
        path.display()
    )]
    Size {
        /// Path of the file.
        path: PathBuf,
        /// Size of the file in bytes.
        bytes: u64,
        /// Maximum size in bytes.
        limit: u64,
    },
    /// The model's files cannot be read.
    #[error(transparent)]
    Load(Box<LoadError>),
    /// The model cannot be run.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// The circuit cannot be compiled, read, proven or verified.
    #[error(transparent)]
    Circuit(Box<CircuitError>),
    /// The metadata is invalid, or a file does not match it.
    #[error(transparent)]
    Metadata(#[from] MetadataError),
    /// The circuit cannot be executed.
    #[error(transparent)]
    Execution(#[from] ExecutionError),
    /// The number of tokens is not possible.
    #[error("a circuit of {tokens} tokens, expected 2 to {limit}; hint: pass --tokens")]
    Tokens {
        /// Number of tokens of the circuit.
        tokens: usize,
        /// Maximum number: the model's context, or that of any circuit.
        limit: usize,
    },
    /// The model has no tokenizer, or a text is empty.
    #[error("{0}")]
    Input(&'static str),
    /// The circuit is not that of a language model.
    #[error(
        "the circuit is not that of a language model; hint: compile it with tao proof compile --lm"
    )]
    NoLanguageModel,
    /// The description of the language model is malformed.
    #[error("malformed description of the language model: {0}; hint: compile the model again")]
    Malformed(serde_json::Error),
    /// The prompt leaves no room for an answer.
    #[error(
        "the prompt has {prompt} tokens, the circuit {tokens}; hint: shorten the prompt, or compile the model with more --tokens"
    )]
    Prompt {
        /// Number of tokens of the prompt, with the one that begins it.
        prompt: usize,
        /// Number of tokens of the circuit.
        tokens: usize,
    },
    /// The parts of a bundle are inconsistent.
    #[error("the bundle's {0}")]
    Bundle(&'static str),
    /// A token of the answer is not the likeliest one.
    #[error("token {position} of the answer is {claimed}, but the model chooses {expected}")]
    Token {
        /// Position in the answer, from 0.
        position: usize,
        /// Token of the answer.
        claimed: i64,
        /// Token with the largest logit.
        expected: i64,
    },
}

impl From<LoadError> for LmError {
    fn from(error: LoadError) -> Self {
        Self::Load(Box::new(error))
    }
}

impl From<CircuitError> for LmError {
    fn from(error: CircuitError) -> Self {
        Self::Circuit(Box::new(error))
    }
}
