//! Commitments: short public data of neurons, such as a URL, a hash or a line of text.

mod data;
mod reveal;
#[cfg(test)]
mod tests;

use codec::{Decode, DecodeWithMemTracking, Encode, MaxEncodedLen};
use frame_support::pallet_prelude::*;
use scale_info::TypeInfo;

pub use data::Data;
pub use pallet::*;

use crate::subtensor;
use crate::types::{NetUid, TaoBalance};

/// Maximum number of fields of a commitment.
pub const MAX_FIELDS: u32 = 3;
/// Minimum space that a commitment uses of its neuron's quota, in bytes.
const MIN_SPACE: u64 = 100;

/// Content of a commitment. Decoding fails if there are more than [`MAX_FIELDS`] fields.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode, DecodeWithMemTracking, TypeInfo)]
pub struct CommitmentInfo {
    /// Fields of the commitment.
    pub fields: BoundedVec<Data, ConstU32<MAX_FIELDS>>,
}

/// A stored commitment.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, DecodeWithMemTracking, TypeInfo)]
pub struct Registration {
    /// The reserved deposit in rao: always 0.
    pub deposit: TaoBalance,
    /// Block in which the commitment was made.
    pub block: u32,
    /// Content of the commitment.
    pub info: CommitmentInfo,
}

/// Space used by a neuron's commitments in an epoch.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    Encode,
    Decode,
    DecodeWithMemTracking,
    MaxEncodedLen,
    TypeInfo,
)]
pub struct UsageTracker {
    /// The epoch of the last commitment.
    pub last_epoch: u64,
    /// Number of bytes used in `last_epoch`.
    pub used_space: u64,
}

/// Why revealing a timelocked commitment failed.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    Encode,
    Decode,
    DecodeWithMemTracking,
    MaxEncodedLen,
    TypeInfo,
)]
pub enum RevealFailure {
    /// The signature of the drand pulse is not a point on the curve.
    SignatureDeserialize,
    /// The ciphertext is malformed.
    CiphertextDeserialize,
    /// The ciphertext was encrypted for a different round, or is damaged.
    Decrypt,
    /// The plaintext is empty.
    EmptyPlaintext,
    /// The drand pulse of the reveal round is no longer stored.
    PulseExpired,
    /// The round beside the ciphertext is not the reveal round.
    RoundMismatch,
}

#[allow(
    missing_docs,
    unreachable_pub,
    clippy::expect_used,
    clippy::if_not_else,
    clippy::wildcard_imports
)]
#[frame_support::pallet]
pub mod pallet {
    use std::collections::BTreeSet;

    use frame_support::traits::ConstU32;
    use frame_system::pallet_prelude::*;

    use super::*;
    use crate::call_weights::commitments as call_weights;

    /// The Commitments pallet.
    #[pallet::pallet]
    #[pallet::without_storage_info] // The set of neurons with timelocked commitments has no bound in its type.
    pub struct Pallet<T>(_);

    /// Configuration of the pallet.
    #[pallet::config]
    pub trait Config: frame_system::Config + subtensor::Config {
        /// Maximum number of fields of a commitment.
        #[pallet::constant]
        type MaxFields: Get<u32>;
        /// Deposit reserved for a commitment, in rao.
        #[pallet::constant]
        type InitialDeposit: Get<TaoBalance>;
        /// Deposit reserved for each field, in rao.
        #[pallet::constant]
        type FieldDeposit: Get<TaoBalance>;
    }

    /// Events of the pallet.
    #[pallet::event]
    #[pallet::generate_deposit(pub(super) fn deposit_event)]
    pub enum Event<T: Config> {
        /// A neuron set a commitment.
        Commitment {
            /// Netuid of the subnet.
            netuid: NetUid,
            /// The neuron's hotkey.
            who: T::AccountId,
        },
        /// A neuron set a timelocked commitment.
        TimelockCommitment {
            /// Netuid of the subnet.
            netuid: NetUid,
            /// The neuron's hotkey.
            who: T::AccountId,
            /// Round of the drand beacon from which the commitment can be revealed.
            reveal_round: u64,
        },
        /// A timelocked commitment was revealed.
        CommitmentRevealed {
            /// Netuid of the subnet.
            netuid: NetUid,
            /// The neuron's hotkey.
            who: T::AccountId,
        },
        /// Revealing a timelocked commitment failed.
        CommitmentRevealFailed {
            /// Netuid of the subnet.
            netuid: NetUid,
            /// The neuron's hotkey.
            who: T::AccountId,
            /// Round of the drand beacon from which the commitment can be revealed.
            reveal_round: u64,
            /// Why the reveal failed.
            error: RevealFailure,
        },
    }

    /// Errors of the pallet's calls.
    #[pallet::error]
    pub enum Error<T> {
        /// Account passed too many additional fields to their commitment
        TooManyFieldsInCommitmentInfo,
        /// Account is not allowed to make commitments to the chain
        AccountNotAllowedCommit,
        /// Space Limit Exceeded for the current interval
        SpaceLimitExceeded,
        /// Indicates that unreserve returned a leftover, which is unexpected.
        UnexpectedUnreserveLeftover,
        /// `TimelockRevealFailed` fields may only be created by the runtime.
        TimelockRevealFailedNotAllowed,
    }

    /// Neurons with timelocked commitments.
    #[pallet::storage]
    pub type TimelockedIndex<T: Config> =
        StorageValue<_, BTreeSet<(NetUid, T::AccountId)>, ValueQuery>;
    /// The current commitment of a neuron.
    #[pallet::storage]
    pub type CommitmentOf<T: Config> = StorageDoubleMap<
        _,
        Identity,
        NetUid,
        Twox64Concat,
        T::AccountId,
        Registration,
        OptionQuery,
    >;
    /// The block of a neuron's last commitment.
    #[pallet::storage]
    pub type LastCommitment<T: Config> =
        StorageDoubleMap<_, Identity, NetUid, Twox64Concat, T::AccountId, u32, OptionQuery>;
    /// The block of a neuron's last bond reset.
    #[pallet::storage]
    pub type LastBondsReset<T: Config> =
        StorageDoubleMap<_, Identity, NetUid, Twox64Concat, T::AccountId, u32, OptionQuery>;
    /// The last ten revealed commitments of a neuron, with the blocks in which they were revealed.
    #[pallet::storage]
    pub type RevealedCommitments<T: Config> = StorageDoubleMap<
        _,
        Identity,
        NetUid,
        Twox64Concat,
        T::AccountId,
        Vec<(Vec<u8>, u64)>,
        OptionQuery,
    >;
    /// Space used by a neuron's commitments in the epoch of its last commitment.
    #[pallet::storage]
    pub type UsedSpaceOf<T: Config> = StorageDoubleMap<
        _,
        Identity,
        NetUid,
        Twox64Concat,
        T::AccountId,
        UsageTracker,
        OptionQuery,
    >;
    /// Maximum space for a neuron's commitments per epoch, in bytes.
    #[pallet::storage]
    pub type MaxSpace<T> = StorageValue<_, u32, ValueQuery, ConstU32<3_100>>;

    #[pallet::hooks]
    impl<T: Config> Hooks<BlockNumberFor<T>> for Pallet<T> {
        fn on_initialize(_: BlockNumberFor<T>) -> Weight {
            Self::reveal_timelocked();
            Weight::zero()
        }
    }

    #[pallet::call]
    impl<T: Config> Pallet<T> {
        /// Sets the commitment of the caller's hotkey, replacing the previous one.
        #[pallet::call_index(0)]
        #[pallet::weight((call_weights::set_commitment(), DispatchClass::Normal, Pays::No))]
        pub fn set_commitment(
            origin: OriginFor<T>,
            netuid: NetUid,
            info: Box<CommitmentInfo>,
        ) -> DispatchResult {
            let who = ensure_signed(origin)?;
            Self::do_set_commitment(who, netuid, *info)
        }

        /// Sets the maximum space for a neuron's commitments per epoch, in bytes.
        #[pallet::call_index(2)]
        #[pallet::weight((call_weights::set_max_space(), DispatchClass::Normal, Pays::Yes))]
        pub fn set_max_space(origin: OriginFor<T>, new_limit: u32) -> DispatchResult {
            ensure_root(origin)?;
            MaxSpace::<T>::put(new_limit);
            Ok(())
        }
    }
}

impl<T: Config> subtensor::Commitments for Pallet<T> {
    fn purge(netuid: NetUid) {
        // There is at most one entry per hotkey, so one call clears all.
        let _ = CommitmentOf::<T>::clear_prefix(netuid, u32::MAX, None);
        let _ = LastCommitment::<T>::clear_prefix(netuid, u32::MAX, None);
        let _ = LastBondsReset::<T>::clear_prefix(netuid, u32::MAX, None);
        let _ = RevealedCommitments::<T>::clear_prefix(netuid, u32::MAX, None);
        let _ = UsedSpaceOf::<T>::clear_prefix(netuid, u32::MAX, None);
        TimelockedIndex::<T>::mutate(|neurons| neurons.retain(|(subnet, _)| *subnet != netuid));
    }
}

impl<T: Config> Pallet<T> {
    fn do_set_commitment(
        who: T::AccountId,
        netuid: NetUid,
        info: CommitmentInfo,
    ) -> DispatchResult {
        ensure!(
            subtensor::Pallet::<T>::uid_of(netuid, &who).is_some(),
            Error::<T>::AccountNotAllowedCommit
        );
        ensure!(
            !info.fields.iter().any(|field| matches!(field, Data::TimelockRevealFailed { .. })),
            Error::<T>::TimelockRevealFailedNotAllowed
        );
        Self::reserve_space(netuid, &who, &info)?;

        let block = frame_system::Pallet::<T>::block_number().try_into().unwrap_or(u32::MAX);
        if info.fields.contains(&Data::ResetBondsFlag) {
            LastBondsReset::<T>::insert(netuid, &who, block);
            subtensor::Pallet::<T>::remove_bonds_of(netuid, &who);
        }
        let timelock_round = info.fields.iter().find_map(|field| match field {
            Data::TimelockEncrypted { reveal_round, .. } => Some(*reveal_round),
            _ => None,
        });
        CommitmentOf::<T>::insert(
            netuid,
            &who,
            Registration { deposit: TaoBalance::ZERO, block, info },
        );
        LastCommitment::<T>::insert(netuid, &who, block);
        let entry = (netuid, who.clone());
        if let Some(reveal_round) = timelock_round {
            TimelockedIndex::<T>::mutate(|index| index.insert(entry));
            Self::deposit_event(Event::TimelockCommitment { netuid, who, reveal_round });
        } else {
            TimelockedIndex::<T>::mutate(|index| index.remove(&entry));
            Self::deposit_event(Event::Commitment { netuid, who });
        }
        Ok(())
    }

    /// Charges a commitment against its neuron's space for this epoch.
    fn reserve_space(netuid: NetUid, who: &T::AccountId, info: &CommitmentInfo) -> DispatchResult {
        let space =
            info.fields.iter().map(|field| field.space() as u64).sum::<u64>().max(MIN_SPACE);
        let epoch = subtensor::Pallet::<T>::epoch_index_now(netuid);
        let previously_used = UsedSpaceOf::<T>::get(netuid, who)
            .filter(|usage| usage.last_epoch == epoch)
            .map_or(0, |usage| usage.used_space);
        let used_space = previously_used.saturating_add(space);
        ensure!(used_space <= u64::from(MaxSpace::<T>::get()), Error::<T>::SpaceLimitExceeded);
        UsedSpaceOf::<T>::insert(netuid, who, UsageTracker { last_epoch: epoch, used_space });
        Ok(())
    }
}
