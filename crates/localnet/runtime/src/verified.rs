//! Signatures that were verified before: the transaction pool verifies the signature of an
//! extrinsic, and so does the block that includes it. Whether a signature is valid never changes.

use std::collections::{BTreeSet, VecDeque};
use std::sync::{Mutex, PoisonError};

use codec::Encode;
use sp_io::hashing::blake2_256;
use sp_runtime::MultiSignature;
use sp_runtime::traits::Verify;

use crate::runtime::AccountId;

/// Maximum number of signatures in memory.
const MAX_SIGNATURES: usize = 8_192;

static VERIFIED: Mutex<VerifiedSignatures> =
    Mutex::new(VerifiedSignatures { digests: BTreeSet::new(), insertion_order: VecDeque::new() });

/// Digests of valid signatures with their signers and messages.
#[derive(Debug)]
struct VerifiedSignatures {
    digests: BTreeSet<[u8; 32]>,
    /// The same digests, the oldest first.
    insertion_order: VecDeque<[u8; 32]>,
}

impl VerifiedSignatures {
    fn add(&mut self, digest: [u8; 32]) {
        if !self.digests.insert(digest) {
            return;
        }
        self.insertion_order.push_back(digest);
        if self.insertion_order.len() > MAX_SIGNATURES
            && let Some(oldest) = self.insertion_order.pop_front()
        {
            self.digests.remove(&oldest);
        }
    }
}

/// Whether a signature of a message is valid. A valid signature is not verified a second time.
pub(crate) fn is_valid(signature: &MultiSignature, message: &[u8], signer: &AccountId) -> bool {
    let digest = blake2_256(&(signature, signer, message).encode());
    if VERIFIED.lock().unwrap_or_else(PoisonError::into_inner).digests.contains(&digest) {
        return true;
    }
    let is_signature_valid = signature.verify(message, signer);
    if is_signature_valid {
        VERIFIED.lock().unwrap_or_else(PoisonError::into_inner).add(digest);
    }
    is_signature_valid
}

#[cfg(test)]
mod tests {
    use sp_core::{Pair, sr25519};

    use super::*;

    #[test]
    fn cached_signature_is_bound_to_message_and_signer() {
        let pair = |seed| sr25519::Pair::from_seed(&[seed; 32]);
        let account = |seed| AccountId::new(pair(seed).public().0);
        let sign = |seed, message: &[u8]| MultiSignature::Sr25519(pair(seed).sign(message));
        let signature = sign(1, b"message");
        for _ in 0..2 {
            assert!(is_valid(&signature, b"message", &account(1)));
            assert!(!is_valid(&signature, b"another", &account(1)));
            assert!(!is_valid(&signature, b"message", &account(2)));
            assert!(!is_valid(&sign(2, b"message"), b"message", &account(1)));
        }
    }

    #[test]
    fn oldest_signatures_are_evicted() {
        let mut verified =
            VerifiedSignatures { digests: BTreeSet::new(), insertion_order: VecDeque::new() };
        let digest = |number: usize| blake2_256(&(number as u64).encode());
        for number in 0..MAX_SIGNATURES + 10 {
            verified.add(digest(number));
            verified.add(digest(number));
        }
        assert_eq!(
            (verified.digests.len(), verified.insertion_order.len()),
            (MAX_SIGNATURES, MAX_SIGNATURES)
        );
        assert!(!verified.digests.contains(&digest(9)));
        assert!(verified.digests.contains(&digest(10)));
    }
}
