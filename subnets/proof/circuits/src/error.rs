use std::path::PathBuf;

use taonet_proof_backends::{BackendError, VerifyError};
use taonet_proof_core::Digest;
use taonet_proof_core::metadata::MetadataError;
use taonet_proof_core::network::NetworkError;
use taonet_proof_core::onnx::OnnxError;
use taonet_proof_core::quantise::QuantiseError;
use taonet_proof_core::slices::SliceError;
use thiserror::Error;

/// Why a circuit is not made, read, proven or verified.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum CircuitError {
    /// A file cannot be read or written.
    #[error("{}: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A file is larger than any of its kind.
    #[error("{} is larger than {limit} bytes", path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// The limit.
        limit: u64,
    },
    /// The directory exists and is not empty.
    #[error("{} is not empty; hint: choose another directory", .0.display())]
    NotEmpty(PathBuf),
    /// A directory holds no circuit.
    #[error("no circuit in {}; hint: make one with tao proof compile", .0.display())]
    NoCircuit(PathBuf),
    /// A sliced model's directory lacks a slice.
    #[error("{} lacks slice {slice}", path.display())]
    NoSlice {
        /// The directory.
        path: PathBuf,
        /// The slice's circuit.
        slice: Digest,
    },
    /// A model is not sliced, or its description refused.
    #[error(transparent)]
    Slices(#[from] SliceError),
    /// No backend has this name.
    #[error("unknown backend '{0}': expected groth16 or stark")]
    Backend(String),
    /// The backend's keys need no contributions.
    #[error("backend {0} has no setup to contribute to")]
    NoSetup(String),
    /// The model is refused.
    #[error(transparent)]
    Onnx(#[from] OnnxError),
    /// The model is not quantised.
    #[error(transparent)]
    Quantise(#[from] QuantiseError),
    /// The network is refused.
    #[error(transparent)]
    Network(#[from] NetworkError),
    /// The metadata is refused, or a file is not the one that it names.
    #[error(transparent)]
    Metadata(#[from] MetadataError),
    /// The backend refuses.
    #[error(transparent)]
    Prover(#[from] BackendError),
    /// The proof is refused.
    #[error(transparent)]
    Verify(#[from] VerifyError),
    /// A document is malformed.
    #[error("malformed {what}: {source}")]
    Json {
        /// The document.
        what: &'static str,
        /// Why.
        source: serde_json::Error,
    },
    /// A bundle's parts do not belong together.
    #[error("the bundle's {0}")]
    Bundle(&'static str),
}
