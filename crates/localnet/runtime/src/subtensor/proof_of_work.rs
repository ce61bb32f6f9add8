//! Proof of work: registration without a price, and a faucet.

use codec::Encode;
use frame_support::pallet_prelude::*;
use frame_system::pallet_prelude::BlockNumberFor;
use sp_core::{H256, U256};
use sp_io::hashing::{keccak_256, sha2_256};
use sp_runtime::AccountId32;

use super::{
    Config, Difficulty, Error, Event, LastPowRegistrationBlock, MaxAllowedUids, MaxDifficulty,
    MaxRegistrationsPerBlock, MinDifficulty, NetworkPowRegistrationAllowed,
    NetworkRegistrationAllowed, Owner, Pallet, RegistrationsThisBlock, TotalIssuance, UsedWork,
};
use crate::types::{NetUid, TaoBalance};

/// Prefix of the work for a registration.
const REGISTRATION_PREFIX: &[u8] = b"subtensor-pow-register-v1";
/// Maximum age of the block that the work for a registration refers to, in blocks.
const MAX_WORK_AGE: u64 = 5;
/// Maximum age of the block that the work for the faucet refers to, in blocks.
const MAX_FAUCET_WORK_AGE: u64 = 2;
/// Difficulty of the faucet.
const FAUCET_DIFFICULTY: u64 = 1_000_000;
/// Amount of the faucet: 1 000 TAO.
const FAUCET_AMOUNT: TaoBalance = TaoBalance(1_000_000_000_000);

impl<T: Config> Pallet<T> {
    /// Registers a hotkey on a subnet for proof of work, without a price.
    ///
    /// # Errors
    /// The errors of [`Self::check_pow_registration`], and `NoNeuronIdAvailable`.
    pub(crate) fn do_pow_register(
        who: &AccountId32,
        netuid: NetUid,
        work_block: u64,
        nonce: u64,
        work: &[u8],
        hotkey: AccountId32,
    ) -> DispatchResult {
        Self::check_pow_registration(who, netuid, work_block, nonce, work, &hotkey)?;
        let pruned_uid = if Self::neuron_count(netuid) < MaxAllowedUids::<T>::get(netuid) {
            None
        } else {
            Some(Self::neuron_to_prune(netuid).ok_or(Error::<T>::NoNeuronIdAvailable)?)
        };
        Self::own_hotkey(who, &hotkey)?;
        let uid = Self::assign_slot(netuid, pruned_uid, &hotkey);
        LastPowRegistrationBlock::<T>::insert(&hotkey, work_block);
        RegistrationsThisBlock::<T>::mutate(netuid, |count| *count = count.saturating_add(1));
        Self::deposit_event(Event::NeuronRegistered(netuid, uid, hotkey));
        Ok(())
    }

    /// Validates a registration by proof of work, without writing.
    ///
    /// # Errors
    /// In this order: `RegistrationNotPermittedOnRootSubnet`, `SubnetNotExists`,
    /// `SubNetRegistrationDisabled`, `HotKeyAlreadyRegisteredInSubNet`,
    /// `TooManyRegistrationsThisBlock`, `InvalidWorkBlock` unless the block is one of the last five
    /// and later than that of the hotkey's last registration, `InvalidSeal`, `InvalidDifficulty`,
    /// `NonAssociatedColdKey`.
    pub(crate) fn check_pow_registration(
        who: &AccountId32,
        netuid: NetUid,
        work_block: u64,
        nonce: u64,
        work: &[u8],
        hotkey: &AccountId32,
    ) -> Result<(), Error<T>> {
        ensure!(netuid != NetUid::ROOT, Error::<T>::RegistrationNotPermittedOnRootSubnet);
        ensure!(Self::subnet_exists(netuid), Error::<T>::SubnetNotExists);
        let is_allowed = NetworkRegistrationAllowed::<T>::get(netuid)
            && NetworkPowRegistrationAllowed::<T>::get(netuid);
        ensure!(is_allowed, Error::<T>::SubNetRegistrationDisabled);
        ensure!(
            Self::uid_of(netuid, hotkey).is_none(),
            Error::<T>::HotKeyAlreadyRegisteredInSubNet
        );
        let has_room =
            RegistrationsThisBlock::<T>::get(netuid) < MaxRegistrationsPerBlock::<T>::get(netuid);
        ensure!(has_room, Error::<T>::TooManyRegistrationsThisBlock);
        let is_recent =
            Self::block_age(work_block).is_some_and(|age| (1..=MAX_WORK_AGE).contains(&age));
        let is_new =
            LastPowRegistrationBlock::<T>::get(hotkey).is_none_or(|last| work_block > last);
        ensure!(is_recent && is_new, Error::<T>::InvalidWorkBlock);
        let block_hash = Self::block_hash(work_block).ok_or(Error::<T>::InvalidWorkBlock)?;
        let seal = registration_seal(netuid, block_hash, hotkey, who, nonce);
        ensure!(work == seal.as_bytes(), Error::<T>::InvalidSeal);
        ensure!(
            meets_difficulty(seal, Self::pow_difficulty(netuid)),
            Error::<T>::InvalidDifficulty
        );
        let has_no_other_owner = Owner::<T>::try_get(hotkey).map_or(true, |owner| owner == *who);
        ensure!(has_no_other_owner, Error::<T>::NonAssociatedColdKey);
        Ok(())
    }

    /// Pays 1 000 TAO for proof of work.
    ///
    /// # Errors
    /// `InvalidWorkBlock` unless the block is the current one or one of the two before,
    /// `InvalidDifficulty`, `InvalidSeal`, also if the faucet has already paid for the same work.
    pub(crate) fn do_faucet(
        who: AccountId32,
        block_number: u64,
        nonce: u64,
        work: Vec<u8>,
    ) -> DispatchResult {
        let is_recent = Self::block_age(block_number).is_some_and(|age| age <= MAX_FAUCET_WORK_AGE);
        ensure!(is_recent, Error::<T>::InvalidWorkBlock);
        let claimed_seal =
            <[u8; 32]>::try_from(work.as_slice()).map_err(|_| Error::<T>::InvalidSeal)?;
        ensure!(
            meets_difficulty(H256(claimed_seal), FAUCET_DIFFICULTY),
            Error::<T>::InvalidDifficulty
        );
        let block_hash = Self::block_hash(block_number).ok_or(Error::<T>::InvalidWorkBlock)?;
        ensure!(
            H256(claimed_seal) == legacy_seal(block_hash, &who, nonce),
            Error::<T>::InvalidSeal
        );
        ensure!(!UsedWork::<T>::contains_key(&work), Error::<T>::InvalidSeal);
        UsedWork::<T>::insert(work, Self::current_block());
        TotalIssuance::<T>::mutate(|total| *total = total.saturating_add(FAUCET_AMOUNT));
        Self::credit(&who, FAUCET_AMOUNT.0);
        Self::deposit_event(Event::Faucet(who, FAUCET_AMOUNT.0));
        Ok(())
    }

    /// Returns the difficulty of a registration: `Difficulty` within its bounds, at least 1.
    fn pow_difficulty(netuid: NetUid) -> u64 {
        let difficulty = Difficulty::<T>::get(netuid).min(MaxDifficulty::<T>::get(netuid));
        difficulty.max(MinDifficulty::<T>::get(netuid)).max(1)
    }

    /// Returns the number of blocks since a block; `None` if it is in the future.
    fn block_age(block: u64) -> Option<u64> {
        Self::current_block().checked_sub(block)
    }

    /// Returns the hash of an earlier block; `None` if the chain no longer stores it.
    fn block_hash(block: u64) -> Option<H256> {
        let block_number: BlockNumberFor<T> = u32::try_from(block).ok()?.into();
        let hash = frame_system::BlockHash::<T>::try_get(block_number).ok()?;
        H256::decode(&mut hash.encode().as_slice()).ok()
    }
}

/// Returns the seal of a registration: keccak256(sha256(prefix ‖ netuid ‖ block hash ‖ hotkey ‖
/// coldkey ‖ nonce)).
fn registration_seal(
    netuid: NetUid,
    block: H256,
    hotkey: &AccountId32,
    coldkey: &AccountId32,
    nonce: u64,
) -> H256 {
    let preimage =
        [REGISTRATION_PREFIX, &(netuid, block, hotkey, coldkey, nonce).encode()].concat();
    H256(keccak_256(&sha2_256(&preimage)))
}

/// Returns the seal of older chains: keccak256(sha256(nonce ‖ keccak256(block hash ‖ key))).
fn legacy_seal(block: H256, key: &AccountId32, nonce: u64) -> H256 {
    let challenge = keccak_256(&(block, key).encode());
    H256(keccak_256(&sha2_256(&(nonce, challenge).encode())))
}

/// Whether a seal, as a little-endian number, meets a difficulty: seal · difficulty does not
/// overflow.
fn meets_difficulty(seal: H256, difficulty: u64) -> bool {
    U256::from_little_endian(seal.as_bytes()).checked_mul(U256::from(difficulty)).is_some()
}

#[cfg(test)]
mod tests;
