//! Reveals of timelocked commitments.

use frame_support::{BoundedVec, ensure};
use taonet_timelock::{Ciphertext, WrappedCiphertext};

use super::{
    CommitmentOf, Config, Data, Event, Pallet, RevealFailure, RevealedCommitments, TimelockedIndex,
};
use crate::drand::{OldestStoredRound, Pulse, Pulses};
use crate::types::NetUid;

/// Maximum number of revealed commitments that a neuron keeps.
const MAX_REVEALED: usize = 10;

impl<T: Config> Pallet<T> {
    /// Reveals the timelocked fields whose drand pulse is stored. Called at the start of each
    /// block.
    pub(super) fn reveal_timelocked() {
        let neurons = TimelockedIndex::<T>::get();
        let mut timelocked = neurons.clone();
        timelocked.retain(|(netuid, who)| Self::reveal_commitment(*netuid, who));
        if timelocked != neurons {
            TimelockedIndex::<T>::put(timelocked);
        }
    }

    /// Reveals the timelocked fields of a neuron's commitment whose pulse is stored, and removes
    /// them from the commitment. A field that cannot be revealed becomes
    /// [`Data::TimelockRevealFailed`]. Returns whether a field is still timelocked.
    fn reveal_commitment(netuid: NetUid, who: &T::AccountId) -> bool {
        let Some(mut registration) = CommitmentOf::<T>::get(netuid, who) else { return false };
        let (mut remaining, mut revealed, mut is_timelocked) = (Vec::new(), Vec::new(), false);
        for field in &registration.info.fields {
            let Data::TimelockEncrypted { encrypted, reveal_round } = field else {
                remaining.push(field.clone());
                continue;
            };
            match reveal::<T>(encrypted, *reveal_round) {
                Some(Ok(plaintext)) => revealed.push(plaintext),
                Some(Err(error)) => {
                    let (encrypted, reveal_round) = (encrypted.clone(), *reveal_round);
                    let who = who.clone();
                    Self::deposit_event(Event::CommitmentRevealFailed {
                        netuid,
                        who,
                        reveal_round,
                        error,
                    });
                    remaining.push(Data::TimelockRevealFailed { encrypted, reveal_round });
                }
                None => {
                    is_timelocked = true;
                    remaining.push(field.clone());
                }
            }
        }
        if remaining.is_empty() {
            CommitmentOf::<T>::remove(netuid, who);
        } else if registration.info.fields.as_slice() != remaining {
            // There are at most as many fields as before.
            registration.info.fields = BoundedVec::truncate_from(remaining);
            CommitmentOf::<T>::insert(netuid, who, registration);
        }
        Self::append_revealed(netuid, who, revealed);
        is_timelocked
    }

    /// Appends plaintexts to a neuron's revealed commitments.
    fn append_revealed(netuid: NetUid, who: &T::AccountId, plaintexts: Vec<Vec<u8>>) {
        if plaintexts.is_empty() {
            return;
        }
        let mut revealed = RevealedCommitments::<T>::get(netuid, who).unwrap_or_default();
        for plaintext in plaintexts {
            revealed.push((plaintext, crate::subtensor::Pallet::<T>::current_block()));
            Self::deposit_event(Event::CommitmentRevealed { netuid, who: who.clone() });
        }
        revealed.drain(..revealed.len().saturating_sub(MAX_REVEALED));
        RevealedCommitments::<T>::insert(netuid, who, revealed);
    }
}

/// Decrypts a timelocked field with the pulse of its round; `None` if the pulse may still be
/// published.
fn reveal<T: Config>(
    encrypted: &[u8],
    reveal_round: u64,
) -> Option<Result<Vec<u8>, RevealFailure>> {
    match Pulses::<T>::get(reveal_round) {
        Some(pulse) => Some(decrypt(encrypted, reveal_round, &pulse)),
        None if reveal_round < OldestStoredRound::<T>::get() => {
            Some(Err(RevealFailure::PulseExpired))
        }
        None => None,
    }
}

fn decrypt(encrypted: &[u8], reveal_round: u64, pulse: &Pulse) -> Result<Vec<u8>, RevealFailure> {
    let key = pulse.decryption_key().ok_or(RevealFailure::SignatureDeserialize)?;
    let ciphertext = if let Ok(ciphertext) = Ciphertext::from_bytes(encrypted) {
        ciphertext
    } else {
        let wrapped = WrappedCiphertext::from_bytes(encrypted)
            .map_err(|_| RevealFailure::CiphertextDeserialize)?;
        ensure!(wrapped.round.0 == reveal_round, RevealFailure::RoundMismatch);
        wrapped.ciphertext
    };
    let plaintext = ciphertext.decrypt(&key).map_err(|_| RevealFailure::Decrypt)?;
    if plaintext.is_empty() { Err(RevealFailure::EmptyPlaintext) } else { Ok(plaintext) }
}

#[cfg(test)]
mod tests;
