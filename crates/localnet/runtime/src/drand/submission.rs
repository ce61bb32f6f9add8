//! Submission of a pulse, which the off-chain workers do on the real chain.

use codec::Encode;
use sp_core::{Pair as _, sr25519};
use sp_io::hashing::sha2_256;
use sp_runtime::{BoundedVec, MultiSignature, MultiSigner};

use super::{Call, LastStoredRound, Pulse, PulsesPayload};
use crate::runtime::{Runtime, RuntimeCall, UncheckedExtrinsic};

/// Seed of the key that signs submissions. The chain accepts any key.
const SUBMITTER_SEED: [u8; 32] = [1; 32];

/// Returns the encoded extrinsic that submits quicknet's signature of a round. It has no sender and
/// no fee; the pool accepts the rounds up to 50 after the latest stored one.
pub fn pulse_extrinsic(round: u64, signature: [u8; 48]) -> Vec<u8> {
    let randomness = BoundedVec::truncate_from(sha2_256(&signature).into());
    let pulse = Pulse { round, randomness, signature: BoundedVec::truncate_from(signature.into()) };
    let pair = sr25519::Pair::from_seed(&SUBMITTER_SEED);
    let pulses_payload = PulsesPayload {
        block_number: 0,
        pulses: vec![pulse],
        public: MultiSigner::Sr25519(pair.public()),
    };
    let signature = Some(MultiSignature::from(pair.sign(&pulses_payload.encode())));
    let call = RuntimeCall::from(Call::<Runtime>::write_pulse { pulses_payload, signature });
    UncheckedExtrinsic::new_bare(call).encode()
}

/// Returns the storage key of the latest stored round, a `u64`.
pub fn last_round_key() -> Vec<u8> {
    LastStoredRound::<Runtime>::hashed_key().to_vec()
}
