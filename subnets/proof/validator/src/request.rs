//! One request to one miner: what is asked, and how its answer is read.

use std::sync::Arc;
use std::time::{Duration, Instant};

use http::{Method, StatusCode};
use rand::Rng as _;
use taonet_primitives::Hotkey;
use taonet_proof_backends::{Statement, Verifier};
use taonet_proof_circuits::{CircuitDirectory, CircuitError};
use taonet_proof_core::circuit::Circuit;
use taonet_proof_core::messages::QUERY_ZK_PROOF;
use taonet_proof_core::query::{ProofAnswer, ProofQuery};
use taonet_proof_core::scoring::Fault;
use taonet_proof_core::{Binding, Digest};
use taonet_wire::{Call, CallError, Peer, Retry, SignedClient};

/// A circuit with its verifier loaded.
pub(crate) struct Examined {
    pub(crate) directory: Arc<CircuitDirectory>,
    pub(crate) verifier: Box<dyn Verifier>,
    pub(crate) verification_key: Digest,
}

impl Examined {
    pub(crate) fn load(directory: &Arc<CircuitDirectory>) -> Result<Self, CircuitError> {
        Ok(Self {
            verifier: directory.verifier()?,
            verification_key: directory.metadata().verification_key()?,
            directory: Arc::clone(directory),
        })
    }

    pub(crate) fn circuit(&self) -> &Circuit {
        self.directory.circuit()
    }

    /// The binding of a request to a miner.
    pub(crate) fn binding(&self, nonce: Digest, miner: Hotkey) -> Binding {
        Binding { nonce, miner, circuit: self.directory.id(), verification_key: self.verification_key }
    }

    /// A request with a nonce of its own and random inputs within the circuit's range.
    pub(crate) fn benchmark(&self) -> ProofQuery {
        let (mut generator, circuit) = (rand::rng(), self.circuit());
        let range = circuit.input_range;
        let inputs = (0..circuit.inputs).map(|_| generator.random_range(range.low..=range.high)).collect();
        ProofQuery { circuit: self.directory.id(), nonce: Digest::from_bytes(generator.random()), inputs }
    }
}

/// An answer that holds a proof, not verified yet.
pub(crate) struct Claimed {
    pub(crate) statement: Statement,
    pub(crate) proof: Vec<u8>,
    /// From request to answer.
    pub(crate) time: Duration,
}

/// Why there is no claim.
#[derive(Debug)]
pub(crate) enum Missing {
    /// The miner said that it is full: neither its merit nor its fault.
    Busy,
    /// The miner's fault.
    Fault(Fault),
    /// The request could not be made here.
    Local(String),
}

/// Asks a miner.
pub(crate) async fn ask(
    client: &SignedClient,
    peer: &Peer,
    examined: &Examined,
    query: &ProofQuery,
    timeout: Duration,
) -> Result<Claimed, Missing> {
    let body = serde_json::to_vec(&query.to_message()).map_err(|error| Missing::Local(error.to_string()))?;
    let mut call = Call::new(Method::POST, QUERY_ZK_PROOF, body);
    // A second attempt would count twice for time, and miners are asked again soon.
    (call.deadline, call.retry) = (timeout, Retry::Never);
    let began = Instant::now();
    let answer = client.call(peer, &call).await.map_err(|error| match error {
        CallError::Timeout { .. } => Missing::Fault(Fault::Timeout),
        CallError::Connect { .. } | CallError::Broken(_) => Missing::Fault(Fault::Unreachable),
        CallError::TooLarge { .. } => Missing::Fault(Fault::Malformed),
        other => Missing::Local(other.to_string()),
    })?;
    let time = began.elapsed();
    match answer.status {
        StatusCode::OK => {}
        StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE => return Err(Missing::Busy),
        status => {
            tracing::debug!(miner = %peer.hotkey(), %status, "request refused by the miner");
            return Err(Missing::Fault(Fault::Refused));
        }
    }
    let malformed = Missing::Fault(Fault::Malformed);
    let Ok(answer) = serde_json::from_slice::<ProofAnswer>(&answer.body) else { return Err(malformed) };
    let Ok((proof, outputs)) = answer.read(examined.directory.metadata().output.scale) else { return Err(malformed) };
    let binding = examined.binding(query.nonce, *peer.hotkey());
    Ok(Claimed { statement: Statement { binding, inputs: query.inputs.clone(), outputs }, proof, time })
}
