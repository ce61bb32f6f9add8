//! Requests of validators to miners for proofs: parsing never panics, and a parsed request survives
//! a round trip.

use taonet_proof_core::messages::{QueryZkProof, SliceProofRequest};
use taonet_proof_core::query::{ProofQuery, SliceQuery};

/// Checks one input.
pub fn check(text: &[u8]) {
    if let Ok(message) = serde_json::from_slice::<QueryZkProof>(text)
        && let Ok(query) = ProofQuery::from_message(&message)
    {
        assert_eq!(ProofQuery::from_message(&query.to_message()), Ok(query));
    }
    if let Ok(message) = serde_json::from_slice::<SliceProofRequest>(text)
        && let Ok(query) = SliceQuery::from_message(&message)
    {
        assert_eq!(SliceQuery::from_message(&query.to_message(message.proof_system)), Ok(query));
    }
}
