//! Requests of validators to miners for proofs: none panics, and what is read is written again.
#![no_main]

use libfuzzer_sys::fuzz_target;
use taonet_proof_core::messages::{QueryZkProof, SliceProofRequest};
use taonet_proof_core::query::{ProofQuery, SliceQuery};

fuzz_target!(|text: &[u8]| {
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
});
