use std::path::PathBuf;

use taonet_proof_backends::groth16::ceremony::CeremonyError;
use taonet_proof_backends::{BackendError, VerifyError};
use taonet_proof_core::Digest;
use taonet_proof_core::metadata::MetadataError;
use taonet_proof_core::network::NetworkError;
use taonet_proof_core::quantise::QuantiseError;
use taonet_proof_core::slices::SliceError;
use taonet_proof_onnx::{CompareError, OnnxError};
use thiserror::Error;

/// Why a circuit cannot be compiled, read, proven or verified.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum CircuitError {
    /// A file cannot be read or written.
    #[error("cannot read or write {}: {source}", path.display())]
    File {
        /// Path of the file.
        path: PathBuf,
        /// The I/O error.
        source: std::io::Error,
    },
    /// A file exceeds the maximum size for its kind.
    #[error("{} is larger than {limit} bytes", path.display())]
    TooLarge {
        /// Path of the file.
        path: PathBuf,
        /// The maximum size in bytes.
        limit: u64,
    },
    /// The directory exists and is not empty.
    #[error("{} is not empty; hint: choose another directory", .0.display())]
    NotEmpty(PathBuf),
    /// A directory contains no circuit.
    #[error("no circuit in {}; hint: create one with tao proof compile", .0.display())]
    NoCircuit(PathBuf),
    /// A sliced model's directory lacks a slice.
    #[error("{} lacks slice {slice}", path.display())]
    NoSlice {
        /// Path of the directory.
        path: PathBuf,
        /// Identity of the slice's circuit.
        slice: Digest,
    },
    /// A model cannot be sliced, or its description is invalid.
    #[error(transparent)]
    Slices(#[from] SliceError),
    /// The backend is unknown.
    #[error("unknown backend '{0}': expected groth16, stark or external")]
    Backend(String),
    /// The backend is external, and no program is given for it.
    #[error("no program is given for the external backend\nhint: pass its path with --prover")]
    NoProgram,
    /// The backend has no trusted setup.
    #[error("backend {0} has no trusted setup")]
    NoSetup(String),
    /// The backend has no verifier for an Ethereum Virtual Machine.
    #[error(
        "no contract can verify proofs of the backend {0}; hint: compile the model with --backend groth16"
    )]
    NoContract(String),
    /// A bundle has proofs of several slices, which one contract cannot verify.
    #[error(
        "the bundle has the proofs of several slices, each of which has a contract of its own; hint: compile the model \
             without --slices"
    )]
    SlicedBundle,
    /// Two circuits differ in more than their keys and transcripts.
    #[error("the circuits differ in more than their keys and transcripts: {0}")]
    OtherCircuit(&'static str),
    /// The transcript of a trusted setup is invalid.
    #[error(transparent)]
    Ceremony(#[from] CeremonyError),
    /// The ONNX model is invalid or unsupported.
    #[error(transparent)]
    Onnx(#[from] OnnxError),
    /// The model cannot be quantised.
    #[error(transparent)]
    Quantise(#[from] QuantiseError),
    /// A network differs from its ONNX file, or cannot be compared with it.
    #[error(transparent)]
    Compare(#[from] CompareError),
    /// The network is invalid.
    #[error(transparent)]
    Network(#[from] NetworkError),
    /// The metadata is invalid, or a file does not match it.
    #[error(transparent)]
    Metadata(#[from] MetadataError),
    /// Values are beyond the range of the sample and saturate, so the outputs could be far from
    /// those of the model. Contains their tensors.
    #[error(
        "{0}; hint: use inputs like those of the sample, or compile the model with a sample that has inputs like this \
         one"
    )]
    Saturated(String),
    /// A value is so far beyond the range of the sample that it cannot be proven.
    #[error(
        "a value of {tensor} is {value} units, which is too far beyond the sample to be proven; hint: compile the model \
         with a sample that has inputs like this one"
    )]
    Unprovable {
        /// The node of the model that computes the value, or the layer if the node is unknown.
        tensor: String,
        /// The value before it saturates.
        value: i64,
    },
    /// The backend failed.
    #[error(transparent)]
    Prover(#[from] BackendError),
    /// The proof is rejected.
    #[error(transparent)]
    Verify(#[from] VerifyError),
    /// A JSON document is malformed.
    #[error("malformed {document}: {source}")]
    Json {
        /// Name of the document.
        document: &'static str,
        /// The parse error.
        source: serde_json::Error,
    },
    /// A bundle is for a circuit or sliced model other than the expected one.
    #[error("the proof is for circuit {actual}, expected {expected}")]
    IdMismatch {
        /// Identity of the bundle's circuit or model.
        actual: Digest,
        /// The expected identity.
        expected: Digest,
    },
    /// A bundle of an older version has no network, so its verification key cannot be compared with
    /// the circuit.
    #[error(
        "the bundle has no network, so its verification key cannot be compared with the circuit; hint: pass the circuit's \
         directory in place of its identity"
    )]
    NoNetwork,
    /// The opening of a commitment to inputs is malformed, or that of another proof.
    #[error("the opening {0}")]
    Opening(&'static str),
    /// Miners and validators see the inputs of a circuit whose proofs should hide them.
    #[error(
        "the circuit's proofs hide the inputs, which requests to miners contain; hint: prove with \
         tao proof prove, or compile the model without --hide-inputs"
    )]
    HiddenInputs,
    /// The inputs of slices cannot be hidden.
    #[error(
        "the inputs of a sliced model cannot be hidden, since its proof has the values between \
         slices; hint: compile the model without --slices"
    )]
    SlicedInputs,
    /// The parts of a bundle are inconsistent.
    #[error("the bundle's {0}")]
    Bundle(&'static str),
}
