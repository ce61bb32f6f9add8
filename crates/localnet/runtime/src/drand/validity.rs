//! Validity of unsigned calls in the transaction pool.

use codec::Encode;
use frame_support::pallet_prelude::{InvalidTransaction, TransactionValidity, ValidTransaction};
use frame_support::traits::Get;
use sp_io::hashing::blake2_256;
use sp_runtime::{MultiSignature, MultiSigner};

use super::{Call, Config, LastStoredRound, NextUnsignedAt, OldestStoredRound, Pallet};

/// Rounds that are this far ahead of the latest stored round are refused, because pulses are stored
/// in the order of their rounds.
const MAX_ROUNDS_AHEAD: u64 = 50;
/// Prefix of the tags by which the pool recognises equal submissions.
const TAG_PREFIX: &str = "DrandOffchainWorker";

impl<T: Config> Pallet<T> {
    /// Returns whether the pool accepts an unsigned call. The signature only proves that the
    /// submitter has a key; any key is valid.
    pub(super) fn validity(call: &Call<T>) -> TransactionValidity {
        let now = frame_system::Pallet::<T>::block_number();
        let accepted_from = NextUnsignedAt::<T>::get();
        match call {
            Call::write_pulse { pulses_payload: payload, signature } => {
                check_signature(&payload.encode(), &payload.public, signature.as_ref())?;
                check_block(payload.block_number, now)?;
                let [pulse] = payload.pulses.as_slice() else {
                    return InvalidTransaction::Call.into();
                };
                let last_round = LastStoredRound::<T>::get();
                let is_first = last_round == 0 && OldestStoredRound::<T>::get() == 0;
                if accepted_from > now || pulse.round <= last_round {
                    return InvalidTransaction::Stale.into();
                }
                if !is_first && pulse.round > last_round.saturating_add(MAX_ROUNDS_AHEAD) {
                    return InvalidTransaction::Future.into();
                }
                // Earlier rounds come first.
                let priority =
                    T::UnsignedPriority::get().saturating_add(u64::MAX.saturating_sub(pulse.round));
                ValidTransaction::with_tag_prefix(TAG_PREFIX)
                    .priority(priority)
                    .and_provides((b"drand", pulse.round).using_encoded(blake2_256))
                    .longevity(3)
                    .propagate(false)
                    .build()
            }
            Call::set_beacon_config { config_payload: payload, signature } => {
                check_signature(&payload.encode(), &payload.public, signature.as_ref())?;
                check_block(payload.block_number, now)?;
                if accepted_from > payload.block_number {
                    return InvalidTransaction::Stale.into();
                }
                ValidTransaction::with_tag_prefix(TAG_PREFIX)
                    .priority(T::UnsignedPriority::get())
                    .and_provides(
                        (accepted_from, payload.public.encode()).using_encoded(blake2_256),
                    )
                    .longevity(1)
                    .propagate(true)
                    .build()
            }
            _ => InvalidTransaction::Call.into(),
        }
    }
}

fn check_block<Number: PartialOrd + Copy>(
    signed_in: Number,
    now: Number,
) -> Result<(), InvalidTransaction> {
    if signed_in > now { Err(InvalidTransaction::Future) } else { Ok(()) }
}

fn check_signature(
    payload: &[u8],
    public: &MultiSigner,
    signature: Option<&MultiSignature>,
) -> Result<(), InvalidTransaction> {
    match (public, signature.ok_or(InvalidTransaction::BadSigner)?) {
        (MultiSigner::Sr25519(public), MultiSignature::Sr25519(signature))
            if sp_io::crypto::sr25519_verify(signature, payload, public) =>
        {
            Ok(())
        }
        _ => Err(InvalidTransaction::BadProof),
    }
}
