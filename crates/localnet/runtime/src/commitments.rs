//! Short public statements of neurons: an address, a hash, a line of text.

mod data;
#[cfg(test)]
mod tests;

use codec::{Decode, DecodeWithMemTracking, Encode, MaxEncodedLen};
use frame_support::pallet_prelude::*;
use scale_info::TypeInfo;

pub use data::Data;
pub use pallet::*;

use crate::subtensor;
use crate::types::{NetUid, TaoBalance};

/// How many fields a statement has at most.
pub const MAX_FIELDS: u32 = 3;
/// What a statement costs at least of its neuron's space, in bytes.
const LEAST_SPACE: u64 = 100;

/// A statement. One with more fields does not decode.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode, DecodeWithMemTracking, TypeInfo)]
pub struct CommitmentInfo {
    /// What is stated.
    pub fields: BoundedVec<Data, ConstU32<MAX_FIELDS>>,
}

/// A statement as it is stored.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, DecodeWithMemTracking, TypeInfo)]
pub struct Registration {
    /// What is held back for it: nothing.
    pub deposit: TaoBalance,
    /// The block in which it was made.
    pub block: u32,
    /// The statement.
    pub info: CommitmentInfo,
}

/// How much a neuron stated in an epoch.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Encode, Decode, DecodeWithMemTracking, MaxEncodedLen, TypeInfo,
)]
pub struct UsageTracker {
    /// The epoch of its last statement.
    pub last_epoch: u64,
    /// Bytes of that epoch.
    pub used_space: u64,
}

/// Why an encrypted statement could not be opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode, DecodeWithMemTracking, MaxEncodedLen, TypeInfo)]
pub enum RevealFailure {
    /// The pulse's signature is no point of the curve.
    SignatureDeserialize,
    /// The ciphertext is malformed.
    CiphertextDeserialize,
    /// The ciphertext is not of this round, or damaged.
    Decrypt,
    /// Nothing was encrypted.
    EmptyPlaintext,
    /// The pulse is no longer stored.
    PulseExpired,
    /// The pulse is of another round.
    RoundMismatch,
}

#[allow(missing_docs, unreachable_pub, clippy::expect_used, clippy::if_not_else, clippy::wildcard_imports)]
#[frame_support::pallet]
pub mod pallet {
    use std::collections::BTreeSet;

    use frame_support::traits::ConstU32;
    use frame_system::pallet_prelude::*;

    use super::*;

    /// The pallet.
    #[pallet::pallet]
    #[pallet::without_storage_info] // The list of encrypted statements has no bound in its type.
    pub struct Pallet<T>(_);

    /// What the pallet needs of the chain.
    #[pallet::config]
    pub trait Config: frame_system::Config + subtensor::Config {
        /// How many fields a statement has at most.
        #[pallet::constant]
        type MaxFields: Get<u32>;
        /// What is held back for a statement.
        #[pallet::constant]
        type InitialDeposit: Get<TaoBalance>;
        /// What is held back for each field.
        #[pallet::constant]
        type FieldDeposit: Get<TaoBalance>;
    }

    /// What happened.
    #[pallet::event]
    #[pallet::generate_deposit(pub(super) fn deposit_event)]
    pub enum Event<T: Config> {
        /// A neuron made a statement.
        Commitment {
            /// The subnet.
            netuid: NetUid,
            /// The neuron's hotkey.
            who: T::AccountId,
        },
        /// A neuron made a statement that is to be opened later.
        TimelockCommitment {
            /// The subnet.
            netuid: NetUid,
            /// The neuron's hotkey.
            who: T::AccountId,
            /// The round that opens it.
            reveal_round: u64,
        },
        /// An encrypted statement was opened.
        CommitmentRevealed {
            /// The subnet.
            netuid: NetUid,
            /// The neuron's hotkey.
            who: T::AccountId,
        },
        /// An encrypted statement could not be opened.
        CommitmentRevealFailed {
            /// The subnet.
            netuid: NetUid,
            /// The neuron's hotkey.
            who: T::AccountId,
            /// The round that should have opened it.
            reveal_round: u64,
            /// Why not.
            error: RevealFailure,
        },
    }

    /// Why a call was refused.
    #[pallet::error]
    pub enum Error<T> {
        /// The statement has too many fields.
        TooManyFieldsInCommitmentInfo,
        /// Only neurons of the subnet make statements: register the hotkey first.
        AccountNotAllowedCommit,
        /// The neuron stated too much in this epoch: wait for the next one.
        SpaceLimitExceeded,
        /// More was held back than could be returned.
        UnexpectedUnreserveLeftover,
        /// Only the chain says that a statement could not be opened.
        TimelockRevealFailedNotAllowed,
    }

    /// Whose statements wait to be opened.
    #[pallet::storage]
    pub type TimelockedIndex<T: Config> = StorageValue<_, BTreeSet<(NetUid, T::AccountId)>, ValueQuery>;
    /// What a neuron stated last.
    #[pallet::storage]
    pub type CommitmentOf<T: Config> =
        StorageDoubleMap<_, Identity, NetUid, Twox64Concat, T::AccountId, Registration, OptionQuery>;
    /// When a neuron made its last statement.
    #[pallet::storage]
    pub type LastCommitment<T: Config> =
        StorageDoubleMap<_, Identity, NetUid, Twox64Concat, T::AccountId, u32, OptionQuery>;
    /// When a neuron last asked for its bonds to be forgotten.
    #[pallet::storage]
    pub type LastBondsReset<T: Config> =
        StorageDoubleMap<_, Identity, NetUid, Twox64Concat, T::AccountId, u32, OptionQuery>;
    /// Opened statements of a neuron with the block in which they were opened, the last ten.
    #[pallet::storage]
    pub type RevealedCommitments<T: Config> =
        StorageDoubleMap<_, Identity, NetUid, Twox64Concat, T::AccountId, Vec<(Vec<u8>, u64)>, OptionQuery>;
    /// How much a neuron stated in its last epoch.
    #[pallet::storage]
    pub type UsedSpaceOf<T: Config> =
        StorageDoubleMap<_, Identity, NetUid, Twox64Concat, T::AccountId, UsageTracker, OptionQuery>;
    /// How much a neuron may state in an epoch, in bytes.
    #[pallet::storage]
    pub type MaxSpace<T> = StorageValue<_, u32, ValueQuery, ConstU32<3_100>>;

    #[pallet::call]
    impl<T: Config> Pallet<T> {
        /// Makes a statement of the caller's hotkey, in place of its last one.
        #[pallet::call_index(0)]
        #[pallet::weight((subtensor::call_weight(), DispatchClass::Normal, Pays::No))]
        pub fn set_commitment(origin: OriginFor<T>, netuid: NetUid, info: Box<CommitmentInfo>) -> DispatchResult {
            let who = ensure_signed(origin)?;
            Self::do_set_commitment(who, netuid, *info)
        }

        /// Sets how much a neuron may state in an epoch.
        #[pallet::call_index(2)]
        #[pallet::weight((subtensor::call_weight(), DispatchClass::Normal, Pays::Yes))]
        pub fn set_max_space(origin: OriginFor<T>, new_limit: u32) -> DispatchResult {
            ensure_root(origin)?;
            MaxSpace::<T>::put(new_limit);
            Ok(())
        }
    }
}

impl<T: Config> Pallet<T> {
    fn do_set_commitment(who: T::AccountId, netuid: NetUid, info: CommitmentInfo) -> DispatchResult {
        ensure!(subtensor::Pallet::<T>::uid_of(netuid, &who).is_some(), Error::<T>::AccountNotAllowedCommit);
        let failed = |field: &Data| matches!(field, Data::TimelockRevealFailed { .. });
        ensure!(!info.fields.iter().any(failed), Error::<T>::TimelockRevealFailedNotAllowed);
        Self::take_space(netuid, &who, &info)?;

        let block = frame_system::Pallet::<T>::block_number().try_into().unwrap_or(u32::MAX);
        if info.fields.contains(&Data::ResetBondsFlag) {
            LastBondsReset::<T>::insert(netuid, &who, block);
            subtensor::Pallet::<T>::forget_bonds_of(netuid, &who);
        }
        let round = info.fields.iter().find_map(|field| match field {
            Data::TimelockEncrypted { reveal_round, .. } => Some(*reveal_round),
            _ => None,
        });
        CommitmentOf::<T>::insert(netuid, &who, Registration { deposit: TaoBalance::ZERO, block, info });
        LastCommitment::<T>::insert(netuid, &who, block);
        let entry = (netuid, who.clone());
        if let Some(reveal_round) = round {
            TimelockedIndex::<T>::mutate(|waiting| waiting.insert(entry));
            Self::deposit_event(Event::TimelockCommitment { netuid, who, reveal_round });
        } else {
            TimelockedIndex::<T>::mutate(|waiting| waiting.remove(&entry));
            Self::deposit_event(Event::Commitment { netuid, who });
        }
        Ok(())
    }

    /// Counts a statement against its neuron's space of this epoch.
    fn take_space(netuid: NetUid, who: &T::AccountId, info: &CommitmentInfo) -> DispatchResult {
        let space = info.fields.iter().map(|field| field.space() as u64).sum::<u64>().max(LEAST_SPACE);
        let epoch = subtensor::Pallet::<T>::epoch_index_now(netuid);
        let used = UsedSpaceOf::<T>::get(netuid, who)
            .filter(|usage| usage.last_epoch == epoch)
            .map_or(0, |usage| usage.used_space);
        let used_space = used.saturating_add(space);
        ensure!(used_space <= u64::from(MaxSpace::<T>::get()), Error::<T>::SpaceLimitExceeded);
        UsedSpaceOf::<T>::insert(netuid, who, UsageTracker { last_epoch: epoch, used_space });
        Ok(())
    }
}
