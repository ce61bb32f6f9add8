//! A request to a miner: its content, and parsing of its answer.

use std::sync::Arc;
use std::time::{Duration, Instant};

use http::{Method, StatusCode};
use rand::Rng as _;
use taonet_primitives::Hotkey;
use taonet_proof_backends::{Statement, Verifier, external};
use taonet_proof_circuits::{CircuitDirectory, CircuitError, InputCheck};
use taonet_proof_core::circuit::Circuit;
use taonet_proof_core::messages::{ProofSystem, QUERY_ZK_PROOF, SLICE_PROOF};
use taonet_proof_core::query::{ProofAnswer, ProofQuery, SliceQuery};
use taonet_proof_core::scoring::Fault;
use taonet_proof_core::{Binding, Digest};
use taonet_wire::{Call, CallError, Peer, Retry, SignedClient};

use crate::inputs::InputDraws;
use crate::quic::QuicClient;
use crate::{ProofMiner, Wire};

/// A circuit with its verifier loaded.
pub(crate) struct LoadedCircuit {
    pub(crate) directory: Arc<CircuitDirectory>,
    pub(crate) verifier: Box<dyn Verifier>,
    pub(crate) verification_key: Digest,
    pub(crate) input_draws: InputDraws,
    pub(crate) input_check: InputCheck,
}

impl LoadedCircuit {
    pub(crate) fn load(directory: &Arc<CircuitDirectory>) -> Result<Self, CircuitError> {
        Ok(Self {
            verifier: directory.verifier()?,
            verification_key: directory.metadata().verification_key()?,
            input_draws: InputDraws::default(),
            input_check: directory.input_check()?,
            directory: Arc::clone(directory),
        })
    }

    /// Returns whether the verifier is an external program.
    pub(crate) fn is_external(&self) -> bool {
        self.directory.metadata().backend == external::ID
    }

    pub(crate) fn circuit(&self) -> &Circuit {
        self.directory.circuit()
    }

    /// Returns the binding of a request to a miner.
    pub(crate) fn binding(&self, nonce: Digest, miner: Hotkey) -> Binding {
        Binding {
            nonce,
            miner,
            circuit: self.directory.id(),
            verification_key: self.verification_key,
        }
    }

    /// Returns the outputs of inputs that miners can prove. CPU-bound.
    ///
    /// # Errors
    /// When the inputs do not fit the circuit, or values saturate or have no proof.
    pub(crate) fn outputs(&self, inputs: &[i64]) -> Result<Vec<i64>, CircuitError> {
        self.input_check.outputs(inputs, &*self.verifier)
    }

    /// Creates a request with a new nonce and random inputs that miners can prove. CPU-bound.
    ///
    /// # Errors
    /// When no random inputs can be proven.
    pub(crate) fn benchmark_query(&self) -> Result<ProofQuery, CircuitError> {
        let (mut generator, circuit) = (rand::rng(), self.circuit());
        let check = |inputs: &[i64]| self.outputs(inputs).map(drop);
        let inputs =
            self.input_draws.draw(circuit.inputs, circuit.input_range, &mut generator, check)?;
        Ok(ProofQuery {
            circuit: self.directory.id(),
            nonce: Digest::from_bytes(generator.random()),
            inputs,
        })
    }
}

/// An answer with a proof that is not verified yet.
pub(crate) struct UnverifiedProof {
    pub(crate) statement: Statement,
    pub(crate) proof: Vec<u8>,
    /// Time from request to answer.
    pub(crate) time: Duration,
}

/// Why a request yielded no answer to verify.
#[derive(Debug)]
pub(crate) enum RequestError {
    /// The miner is at capacity: neither credited nor penalised.
    Busy,
    /// The miner failed, for this reason.
    Fault(Fault),
    /// A local error, which is not the miner's fault.
    Local(String),
}

impl RequestError {
    /// Creates a local error.
    pub(crate) fn local(text: &str) -> Self {
        Self::Local(text.to_owned())
    }
}

/// Content of a request to a miner.
#[derive(Clone, Debug)]
pub(crate) enum ProofRequest {
    /// A proof of a circuit.
    Circuit(ProofQuery),
    /// A proof of a slice of a model, with the slice's proof system.
    Slice(SliceQuery, ProofSystem),
}

impl ProofRequest {
    pub(crate) const fn query(&self) -> &ProofQuery {
        match self {
            Self::Circuit(query) => query,
            Self::Slice(slice, _) => &slice.query,
        }
    }

    /// Returns the index of the slice; 0 for a circuit that is not sliced.
    pub(crate) const fn slice(&self) -> usize {
        match self {
            Self::Circuit(_) => 0,
            Self::Slice(slice, _) => slice.slice,
        }
    }
}

/// Clients for requests to miners, by protocol.
#[derive(Debug)]
pub struct Clients {
    /// Client for signed requests over HTTP.
    pub http: SignedClient,
    /// QUIC client; without it, miners on QUIC receive no requests.
    pub quic: Option<QuicClient>,
}

impl From<SignedClient> for Clients {
    fn from(http: SignedClient) -> Self {
        Self { http, quic: None }
    }
}

impl Clients {
    /// Sends a request to a miner and returns its answer.
    pub(crate) async fn request_proof(
        &self,
        miner: &ProofMiner,
        loaded: &LoadedCircuit,
        request: &ProofRequest,
        timeout: Duration,
    ) -> Result<UnverifiedProof, RequestError> {
        let (peer, query) = (&miner.peer, request.query());
        let start = Instant::now();
        let (answer, paused) = match (miner.wire, &self.quic) {
            (Wire::Http, _) => {
                (request_over_http(&self.http, peer, request, timeout).await?, Duration::ZERO)
            }
            (Wire::Quic, Some(quic)) => {
                quic.request_proof(peer, request, loaded.directory.metadata(), timeout).await?
            }
            (Wire::Quic, None) => {
                return Err(RequestError::Local("there is no QUIC client".to_owned()));
            }
        };
        // A lack of memory in this process does not count towards the miner's response time.
        let time = start.elapsed().saturating_sub(paused);
        let answer = answer.read(loaded.directory.metadata().output.scale);
        let Ok((proof, outputs)) = answer else {
            return Err(RequestError::Fault(Fault::Malformed));
        };
        let binding = loaded.binding(query.nonce, *peer.hotkey());
        Ok(UnverifiedProof {
            statement: Statement { binding, inputs: query.inputs.clone(), outputs },
            proof,
            time,
        })
    }
}

async fn request_over_http(
    client: &SignedClient,
    peer: &Peer,
    request: &ProofRequest,
    timeout: Duration,
) -> Result<ProofAnswer, RequestError> {
    let (path, body) = match request {
        ProofRequest::Circuit(query) => (QUERY_ZK_PROOF, serde_json::to_vec(&query.to_message())),
        ProofRequest::Slice(query, system) => {
            (SLICE_PROOF, serde_json::to_vec(&query.to_message(*system)))
        }
    };
    let mut call = Call::new(
        Method::POST,
        path,
        body.map_err(|error| RequestError::Local(error.to_string()))?,
    );
    // No retry: the measured response time would include both attempts, and miners soon receive the
    // next request.
    (call.deadline, call.retry) = (timeout, Retry::Never);
    let response = client.call(peer, &call).await.map_err(|error| match error {
        CallError::Timeout { .. } => RequestError::Fault(Fault::Timeout),
        CallError::Connect { .. } | CallError::ConnectionLost(_) => {
            RequestError::Fault(Fault::Unreachable)
        }
        CallError::TooLarge { .. } => RequestError::Fault(Fault::Malformed),
        other => RequestError::Local(other.to_string()),
    })?;
    match response.status {
        StatusCode::OK => serde_json::from_slice(&response.body)
            .map_err(|_| RequestError::Fault(Fault::Malformed)),
        StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE => Err(RequestError::Busy),
        status => {
            tracing::debug!(miner = %peer.hotkey(), %status, "request refused by the miner");
            Err(RequestError::Fault(Fault::Refused))
        }
    }
}
