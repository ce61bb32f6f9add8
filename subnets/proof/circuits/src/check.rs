//! Comparison of a circuit's verification key with its network.
//!
//! A proof verifies for a key, not for a network: a circuit whose key belongs to another network
//! proves that network's outputs. Every circuit is therefore compared when it is opened, or when
//! its prover or verifier is loaded, and every `stark` bundle has its network.

mod stored;

use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard, PoisonError};

use taonet_proof_backends::{Capabilities, backend, stark};
use taonet_proof_core::Digest;
use taonet_proof_core::circuit::Circuit;
use taonet_proof_core::metadata::CircuitMetadata;

use crate::{Backends, CircuitError};
pub use stored::StoredChecks;

/// Maximum number of identities in [`CHECKED_CIRCUITS`].
const MAX_CHECKED_CIRCUITS: usize = 10_000;

/// Identities of circuits whose files were compared with each other. An identity covers the hashes
/// of all files.
static CHECKED_CIRCUITS: Mutex<BTreeSet<Digest>> = Mutex::new(BTreeSet::new());

/// Returns whether the keys of a backend can be computed from the network.
pub(crate) fn follows_from_network(backend: &str) -> bool {
    backend == stark::ID
}

/// Returns whether the circuit with this identity was checked, by this process or according to the
/// stored checks of the backends; see [`record_checked`].
pub(crate) fn is_checked(id: &Digest, backends: &Backends) -> bool {
    // A stored check is not recorded in this process, whose other callers may not accept stored
    // checks.
    lock_checked_circuits().contains(id)
        || backends.stored_checks().is_some_and(|stored| stored.contains(id))
}

/// Checks that a circuit's verification key follows from its network, as far as the backend can
/// compare them. The keys of unknown backends and of the backend `external` are not compared.
///
/// The caller has checked both files against the metadata.
pub(crate) fn check_key(
    metadata: &CircuitMetadata,
    circuit: &Circuit,
    key: &[u8],
) -> Result<(), CircuitError> {
    match backend(&metadata.backend) {
        Some(backend) => Ok(backend.check_key(circuit, key)?),
        None => Ok(()),
    }
}

/// Returns whether proofs for a verification key hide the values between inputs and outputs; `None`
/// for backends that are not built in.
pub(crate) fn hides_values(id: &str, key: &[u8]) -> Result<Option<bool>, CircuitError> {
    Ok(capabilities(id, key)?.map(|capabilities| capabilities.zero_knowledge))
}

/// Returns whether proofs for a verification key hide the inputs. Those of external programs do
/// not: the statements that the programs verify have them.
pub(crate) fn hides_inputs(id: &str, key: &[u8]) -> Result<bool, CircuitError> {
    Ok(capabilities(id, key)?.is_some_and(|capabilities| capabilities.hides_inputs))
}

/// Returns the capabilities of proofs for a verification key; `None` for backends that are not
/// built in.
fn capabilities(id: &str, key: &[u8]) -> Result<Option<Capabilities>, CircuitError> {
    Ok(backend(id).map(|backend| backend.capabilities_of(key)).transpose()?)
}

/// Records that every file of the circuit with this identity was checked: the network, the
/// verification key and, for a trusted setup, the transcript.
pub(crate) fn record_checked(id: &Digest, backends: &Backends) {
    if let Some(stored) = backends.stored_checks() {
        // Without the file, the next process compares the key again.
        let _ = stored.insert(id);
    }
    let mut checked = lock_checked_circuits();
    if checked.len() >= MAX_CHECKED_CIRCUITS {
        checked.clear();
    }
    checked.insert(*id);
}

fn lock_checked_circuits() -> MutexGuard<'static, BTreeSet<Digest>> {
    CHECKED_CIRCUITS.lock().unwrap_or_else(PoisonError::into_inner)
}
