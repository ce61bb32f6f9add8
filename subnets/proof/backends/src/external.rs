//! External proof systems: a program, chosen by the operator, that proves and verifies.
//!
//! Each step starts the program once, without a shell and without this process's environment. The
//! program reads one JSON document from standard input, writes one JSON document to standard output
//! and exits with code 0. Binary values are hexadecimal digits, integers are decimal numbers.
//! `model` is the integer network as an ONNX file of 64-bit integer operators, in hexadecimal
//! digits, with one input `cells` and one output `outputs`, both vectors. The program inherits this
//! process's standard error. It leads a process group, which is killed at the timeout and after the
//! response; on Linux, the memory of each of its processes is limited. `examples/rerun.py` is a
//! complete program.
//!
//! | Request | Response |
//! |---|---|
//! | `{"version": 1, "command": "setup", "model": …}` | `{"proving_key": …, "verification_key": …}` |
//! | `{"version": 1, "command": "prove", "model": …, "proving_key": …, "binding": …, "inputs": […], "outputs": […]}` | `{"proof": …}` |
//! | `{"version": 1, "command": "verify", "verification_key": …, "binding": …, "inputs": […], "outputs": […], "proof": …}` | `{"valid": true}` or `{"valid": false}` |
//!
//! The program must include the 32 bytes of `binding` in the proof's public values, and must
//! respond `"valid": true` for exactly these inputs and outputs. A failure, any other output or a
//! timeout of the program is reported as an error of the verifier ([`VerifyError::is_local`]),
//! never an acceptance or rejection of a proof.

mod process;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use taonet_proof_core::circuit::Circuit;
use taonet_proof_core::{Binding, Digest};
use taonet_proof_onnx as onnx;

use crate::{
    Backend, BackendError, Capabilities, Estimate, Keys, ProofWithOutputs, Prover, Statement,
    Verifier, VerifyError,
};
use process::Limits;

/// The backend's name in circuit metadata.
pub const ID: &str = "external";
/// Default limit of the memory of a program, in bytes.
pub const DEFAULT_MEMORY: u64 = 16 << 30;
/// The version of the protocol.
const VERSION: u32 = 1;

/// A backend that runs an external program.
#[derive(Clone, Debug)]
pub struct External {
    program: PathBuf,
    limits: Limits,
    capabilities: Capabilities,
}

impl External {
    /// Creates a backend from the program's absolute path, a timeout for each step, and its proof
    /// system's capabilities. The program may use [`DEFAULT_MEMORY`].
    ///
    /// # Errors
    /// When the path is not absolute.
    pub fn new(
        program: &Path,
        timeout: Duration,
        capabilities: Capabilities,
    ) -> Result<Self, BackendError> {
        if !program.is_absolute() {
            return Err(BackendError::External(format!(
                "{} is not an absolute path",
                program.display()
            )));
        }
        let limits = Limits { timeout, memory: DEFAULT_MEMORY };
        Ok(Self { program: program.to_owned(), limits, capabilities })
    }

    /// Sets the limit of the data memory of each process of the program, in bytes. It has an effect
    /// on Linux only.
    #[must_use]
    pub fn with_memory(mut self, bytes: u64) -> Self {
        self.limits.memory = bytes;
        self
    }

    fn decode_hex(&self, digits: &str) -> Result<Vec<u8>, BackendError> {
        hex::decode(digits)
            .map_err(|error| BackendError::External(format!("{}: {error}", self.program.display())))
    }

    fn run_command<R: DeserializeOwned>(&self, request: &Request<'_>) -> Result<R, BackendError> {
        let external_error = |error: &dyn std::fmt::Display| {
            BackendError::External(format!("{}: {error}", self.program.display()))
        };
        let input = serde_json::to_vec(&VersionedRequest { version: VERSION, request })
            .map_err(|error| external_error(&error))?;
        let output = process::run(&self.program, input, self.limits)
            .map_err(|error| external_error(&error))?;
        serde_json::from_slice(&output).map_err(|error| external_error(&error))
    }
}

#[derive(Serialize)]
struct VersionedRequest<'a> {
    version: u32,
    #[serde(flatten)]
    request: &'a Request<'a>,
}

#[derive(Serialize)]
#[serde(tag = "command", rename_all = "snake_case")]
enum Request<'a> {
    Setup {
        model: &'a str,
    },
    Prove {
        model: &'a str,
        proving_key: &'a str,
        binding: Digest,
        inputs: &'a [i64],
        outputs: &'a [i64],
    },
    Verify {
        verification_key: &'a str,
        binding: Digest,
        inputs: &'a [i64],
        outputs: &'a [i64],
        proof: &'a str,
    },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SetupResponse {
    proving_key: String,
    verification_key: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ProveResponse {
    proof: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct VerifyResponse {
    valid: bool,
}

impl Backend for External {
    fn id(&self) -> &'static str {
        ID
    }

    fn capabilities(&self) -> Capabilities {
        self.capabilities
    }

    fn estimate(&self, circuit: &Circuit) -> Result<Estimate, BackendError> {
        Ok(Estimate { constraints: circuit.multiply_adds() })
    }

    fn setup(&self, circuit: &Circuit) -> Result<Keys, BackendError> {
        let model = hex::encode(onnx::export(circuit));
        let response: SetupResponse = self.run_command(&Request::Setup { model: &model })?;
        Ok(Keys {
            proving: self.decode_hex(&response.proving_key)?,
            verification: self.decode_hex(&response.verification_key)?,
        })
    }

    /// Accepts any key: only the program could compare it with the circuit.
    fn check_key(&self, _: &Circuit, _: &[u8]) -> Result<(), BackendError> {
        Ok(())
    }

    fn prover(&self, circuit: Arc<Circuit>, keys: &Keys) -> Result<Box<dyn Prover>, BackendError> {
        let model = hex::encode(onnx::export(&circuit));
        let proving_key = hex::encode(&keys.proving);
        let key_digest = Digest::of(&keys.verification);
        Ok(Box::new(ExternalProver {
            external: self.clone(),
            circuit,
            model,
            proving_key,
            key_digest,
        }))
    }

    fn verifier(&self, verification_key: &[u8]) -> Result<Box<dyn Verifier>, BackendError> {
        let key_digest = Digest::of(verification_key);
        let verification_key = hex::encode(verification_key);
        Ok(Box::new(ExternalVerifier { external: self.clone(), verification_key, key_digest }))
    }
}

struct ExternalProver {
    external: External,
    circuit: Arc<Circuit>,
    model: String,
    proving_key: String,
    key_digest: Digest,
}

impl Prover for ExternalProver {
    fn prove(&self, inputs: &[i64], binding: &Binding) -> Result<ProofWithOutputs, BackendError> {
        if binding.verification_key != self.key_digest {
            return Err(BackendError::OtherKey {
                bound: binding.verification_key,
                actual: self.key_digest,
            });
        }
        let outputs = self.circuit.execute(inputs)?.outputs(&self.circuit);
        let request = Request::Prove {
            model: &self.model,
            proving_key: &self.proving_key,
            binding: binding.digest(inputs),
            inputs,
            outputs: &outputs,
        };
        let response: ProveResponse = self.external.run_command(&request)?;
        Ok(ProofWithOutputs { proof: self.external.decode_hex(&response.proof)?, outputs })
    }

    /// Runs the circuit only: the program computes its own witness while it proves.
    fn witness(&self, inputs: &[i64], _: &Binding) -> Result<usize, BackendError> {
        Ok(self.circuit.execute(inputs)?.cells.len())
    }
}

struct ExternalVerifier {
    external: External,
    verification_key: String,
    key_digest: Digest,
}

impl Verifier for ExternalVerifier {
    fn verify(&self, statement: &Statement, proof: &[u8]) -> Result<(), VerifyError> {
        if statement.binding.verification_key != self.key_digest {
            return Err(VerifyError::OtherKey);
        }
        let request = Request::Verify {
            verification_key: &self.verification_key,
            binding: statement.binding.digest(&statement.inputs),
            inputs: &statement.inputs,
            outputs: &statement.outputs,
            proof: &hex::encode(proof),
        };
        match self.external.run_command(&request) {
            Ok(VerifyResponse { valid: true }) => Ok(()),
            Ok(VerifyResponse { valid: false }) => Err(VerifyError::Invalid),
            Err(error) => Err(VerifyError::Verifier(error.to_string())),
        }
    }
}

#[cfg(test)]
mod tests;
