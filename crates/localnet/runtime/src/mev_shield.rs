//! MEV shield: calls that stay encrypted until they are in a block.
//!
//! A client encrypts a signed call to `NextKey` and submits the ciphertext. The node's author decrypts it while
//! building the block, and includes the call in the same block. This chain has a single author with a single key: all
//! keys that the real chain rotates from block to block are equal here, and none is announced.

mod cipher;
#[cfg(test)]
mod tests;

pub use cipher::{KEY_LEN, Parts, ShieldKey};
pub use pallet::*;

/// Maximum size of a ciphertext, in bytes.
pub const MAX_CIPHERTEXT: u32 = 8_192;

#[allow(missing_docs, unreachable_pub)]
#[allow(clippy::if_not_else, clippy::expect_used, reason = "the framework's macro writes so")]
#[allow(clippy::missing_errors_doc, reason = "the calls are the real chain's")]
#[frame_support::pallet]
pub mod pallet {
    use codec::{Decode, Encode, MaxEncodedLen};
    use frame_support::dispatch::DispatchClass;
    use frame_support::pallet_prelude::*;
    use frame_support::traits::{ConstU32, ConstU64};
    use frame_system::pallet_prelude::*;
    use scale_info::TypeInfo;
    use sp_consensus_aura::sr25519::AuthorityId;
    use sp_runtime::traits::Hash as _;

    use super::{KEY_LEN, MAX_CIPHERTEXT};
    use crate::subtensor::call_weight;

    /// An encapsulation key of ML-KEM-768.
    pub type EncapsulationKey = BoundedVec<u8, ConstU32<2_048>>;
    /// Upper bound of the weight settings of stored calls.
    const MAX_STORED_WEIGHT: u64 = 2_000_000_000_000;

    /// The MevShield pallet.
    #[pallet::pallet]
    pub struct Pallet<T>(_);

    /// Configuration of the pallet.
    #[pallet::config]
    pub trait Config: frame_system::Config {
        /// The author of the block.
        type BlockAuthor: Get<Option<AuthorityId>>;
    }

    /// A stored ciphertext.
    #[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, MaxEncodedLen, TypeInfo)]
    #[scale_info(skip_type_params(T))]
    pub struct PendingExtrinsic<T: Config> {
        /// The account that stored the ciphertext.
        pub who: T::AccountId,
        /// The ciphertext.
        pub encrypted_call: BoundedVec<u8, ConstU32<MAX_CIPHERTEXT>>,
        /// The block in which the ciphertext was stored.
        pub submitted_at: BlockNumberFor<T>,
    }

    /// The key of this block's author.
    #[pallet::storage]
    pub type CurrentKey<T> = StorageValue<_, EncapsulationKey, OptionQuery>;
    /// The key of the next block's author.
    #[pallet::storage]
    pub type PendingKey<T> = StorageValue<_, EncapsulationKey, OptionQuery>;
    /// The key that clients encrypt to.
    #[pallet::storage]
    pub type NextKey<T> = StorageValue<_, EncapsulationKey, OptionQuery>;
    /// The key of each author.
    #[pallet::storage]
    pub type AuthorKeys<T> = StorageMap<_, Twox64Concat, AuthorityId, EncapsulationKey, OptionQuery>;
    /// The block from which `PendingKey` is expired.
    #[pallet::storage]
    pub type PendingKeyExpiresAt<T: Config> = StorageValue<_, BlockNumberFor<T>, OptionQuery>;
    /// The block from which `NextKey` is expired.
    #[pallet::storage]
    pub type NextKeyExpiresAt<T: Config> = StorageValue<_, BlockNumberFor<T>, OptionQuery>;
    /// Migrations that ran; none here.
    #[pallet::storage]
    pub type HasMigrationRun<T> = StorageMap<_, Identity, BoundedVec<u8, ConstU32<128>>, bool, ValueQuery>;
    /// Maximum number of stored ciphertexts.
    #[pallet::storage]
    pub type MaxPendingExtrinsicsLimit<T> = StorageValue<_, u32, ValueQuery, ConstU32<100>>;
    /// Blocks after which a stored ciphertext expires.
    #[pallet::storage]
    pub type ExtrinsicLifetime<T> = StorageValue<_, u32, ValueQuery, ConstU32<10>>;
    /// Maximum weight of stored calls per block.
    #[pallet::storage]
    pub type OnInitializeWeight<T> = StorageValue<_, u64, ValueQuery, ConstU64<500_000_000_000>>;
    /// Maximum weight of one stored call.
    #[pallet::storage]
    pub type MaxExtrinsicWeight<T> = StorageValue<_, u64, ValueQuery, ConstU64<50_000_000_000>>;
    /// Stored ciphertexts, by number.
    #[pallet::storage]
    pub type PendingExtrinsics<T: Config> = CountedStorageMap<_, Identity, u32, PendingExtrinsic<T>, OptionQuery>;
    /// The number of the next stored ciphertext.
    #[pallet::storage]
    pub type NextPendingExtrinsicIndex<T> = StorageValue<_, u32, ValueQuery>;

    /// Events of the pallet.
    #[pallet::event]
    #[pallet::generate_deposit(pub(super) fn deposit_event)]
    pub enum Event<T: Config> {
        /// A ciphertext was submitted.
        EncryptedSubmitted {
            /// Hash of sender and ciphertext.
            id: T::Hash,
            /// The sender.
            who: T::AccountId,
        },
        /// A ciphertext was stored.
        ExtrinsicStored {
            /// The index.
            index: u32,
            /// The account that stored the ciphertext.
            who: T::AccountId,
        },
        /// A stored ciphertext could not be decrypted.
        ExtrinsicDecodeFailed {
            /// The index.
            index: u32,
        },
        /// A stored call was dispatched and failed.
        ExtrinsicDispatchFailed {
            /// The index.
            index: u32,
            /// The error.
            error: DispatchError,
        },
        /// A stored call was dispatched.
        ExtrinsicDispatched {
            /// The index.
            index: u32,
        },
        /// A stored ciphertext expired.
        ExtrinsicExpired {
            /// The index.
            index: u32,
        },
        /// A stored call was postponed to a block with more weight left.
        ExtrinsicPostponed {
            /// The index.
            index: u32,
        },
        /// The maximum number of stored ciphertexts changed.
        MaxPendingExtrinsicsNumberSet {
            /// The new number.
            value: u32,
        },
        /// The maximum weight of stored calls per block changed.
        OnInitializeWeightSet {
            /// The new weight.
            value: u64,
        },
        /// The lifetime of stored ciphertexts changed.
        ExtrinsicLifetimeSet {
            /// The new lifetime, in blocks.
            value: u32,
        },
        /// The maximum weight of a stored call changed.
        MaxExtrinsicWeightSet {
            /// The new weight.
            value: u64,
        },
        /// A stored call exceeded the maximum weight.
        ExtrinsicWeightExceeded {
            /// The index.
            index: u32,
        },
    }

    /// Errors of the pallet's calls.
    #[pallet::error]
    pub enum Error<T> {
        /// The encapsulation key does not have 1 184 bytes.
        BadEncKeyLen,
        /// The block has no author.
        Unreachable,
        /// The queue of stored ciphertexts is full.
        TooManyPendingExtrinsics,
        /// The weight exceeds half of a block's weight.
        WeightExceedsAbsoluteMax,
    }

    /// Genesis configuration of the shield.
    #[pallet::genesis_config]
    #[derive(frame_support::DefaultNoBound)]
    pub struct GenesisConfig<T: Config> {
        /// The author and its encapsulation key.
        pub author: Option<(AuthorityId, Vec<u8>)>,
        #[serde(skip)]
        pub _config: core::marker::PhantomData<T>,
    }

    #[pallet::genesis_build]
    impl<T: Config> BuildGenesisConfig for GenesisConfig<T> {
        fn build(&self) {
            if let Some((author, key)) = &self.author {
                let key = EncapsulationKey::truncate_from(key.clone());
                AuthorKeys::<T>::insert(author, &key);
                CurrentKey::<T>::put(&key);
                PendingKey::<T>::put(&key);
                NextKey::<T>::put(&key);
            }
        }
    }

    #[pallet::hooks]
    impl<T: Config> Hooks<BlockNumberFor<T>> for Pallet<T> {
        fn on_initialize(block: BlockNumberFor<T>) -> Weight {
            Self::clear_pending(block);
            Weight::zero()
        }
    }

    #[pallet::call]
    impl<T: Config> Pallet<T> {
        /// Rotates the keys and announces the author's. The real chain calls it as an inherent; this chain does not.
        #[pallet::call_index(0)]
        #[pallet::weight((call_weight(), DispatchClass::Normal, Pays::Yes))]
        pub fn announce_next_key(origin: OriginFor<T>, enc_key: Option<EncapsulationKey>) -> DispatchResult {
            ensure_none(origin)?;
            let author = T::BlockAuthor::get().ok_or(Error::<T>::Unreachable)?;
            ensure!(enc_key.as_ref().is_none_or(|key| key.len() == KEY_LEN), Error::<T>::BadEncKeyLen);
            CurrentKey::<T>::set(PendingKey::<T>::take());
            PendingKey::<T>::set(NextKey::<T>::take());
            NextKey::<T>::set(AuthorKeys::<T>::get(&author));
            AuthorKeys::<T>::set(author, enc_key);
            let after = |blocks: u32| frame_system::Pallet::<T>::block_number() + blocks.into();
            PendingKeyExpiresAt::<T>::set(PendingKey::<T>::exists().then(|| after(2)));
            NextKeyExpiresAt::<T>::set(NextKey::<T>::exists().then(|| after(3)));
            Ok(())
        }

        /// Submits an encrypted call, which is executed directly after this one.
        #[pallet::call_index(1)]
        #[pallet::weight((call_weight(), DispatchClass::Normal, Pays::Yes))]
        pub fn submit_encrypted(
            origin: OriginFor<T>,
            ciphertext: BoundedVec<u8, ConstU32<MAX_CIPHERTEXT>>,
        ) -> DispatchResult {
            let who = ensure_signed(origin)?;
            let id = T::Hashing::hash_of(&(&who, &ciphertext));
            Self::deposit_event(Event::EncryptedSubmitted { id, who });
            Ok(())
        }

        /// Stores a ciphertext. Like the real chain of this version, this chain never decrypts it.
        #[pallet::call_index(2)]
        #[pallet::weight((Weight::from_parts(20_000_000_000, 0), DispatchClass::Normal, Pays::Yes))]
        pub fn store_encrypted(
            origin: OriginFor<T>,
            encrypted_call: BoundedVec<u8, ConstU32<MAX_CIPHERTEXT>>,
        ) -> DispatchResult {
            let who = ensure_signed(origin)?;
            let room = PendingExtrinsics::<T>::count() < MaxPendingExtrinsicsLimit::<T>::get();
            ensure!(room, Error::<T>::TooManyPendingExtrinsics);
            let index = NextPendingExtrinsicIndex::<T>::get();
            let submitted_at = frame_system::Pallet::<T>::block_number();
            PendingExtrinsics::<T>::insert(index, PendingExtrinsic { who: who.clone(), encrypted_call, submitted_at });
            NextPendingExtrinsicIndex::<T>::put(index.saturating_add(1));
            Self::deposit_event(Event::ExtrinsicStored { index, who });
            Ok(())
        }

        /// Sets the maximum number of stored ciphertexts.
        #[pallet::call_index(3)]
        #[pallet::weight((call_weight(), DispatchClass::Normal, Pays::Yes))]
        pub fn set_max_pending_extrinsics_number(origin: OriginFor<T>, value: u32) -> DispatchResult {
            ensure_root(origin)?;
            MaxPendingExtrinsicsLimit::<T>::put(value);
            Self::deposit_event(Event::MaxPendingExtrinsicsNumberSet { value });
            Ok(())
        }

        /// Sets the maximum weight of stored calls per block.
        #[pallet::call_index(4)]
        #[pallet::weight((call_weight(), DispatchClass::Normal, Pays::Yes))]
        pub fn set_on_initialize_weight(origin: OriginFor<T>, value: u64) -> DispatchResult {
            ensure_root(origin)?;
            ensure!(value <= MAX_STORED_WEIGHT, Error::<T>::WeightExceedsAbsoluteMax);
            OnInitializeWeight::<T>::put(value);
            Self::deposit_event(Event::OnInitializeWeightSet { value });
            Ok(())
        }

        /// Sets the lifetime of stored ciphertexts, in blocks.
        #[pallet::call_index(5)]
        #[pallet::weight((call_weight(), DispatchClass::Normal, Pays::Yes))]
        pub fn set_stored_extrinsic_lifetime(origin: OriginFor<T>, value: u32) -> DispatchResult {
            ensure_root(origin)?;
            ExtrinsicLifetime::<T>::put(value);
            Self::deposit_event(Event::ExtrinsicLifetimeSet { value });
            Ok(())
        }

        /// Sets the maximum weight of one stored call.
        #[pallet::call_index(6)]
        #[pallet::weight((call_weight(), DispatchClass::Normal, Pays::Yes))]
        pub fn set_max_extrinsic_weight(origin: OriginFor<T>, value: u64) -> DispatchResult {
            ensure_root(origin)?;
            ensure!(value <= MAX_STORED_WEIGHT, Error::<T>::WeightExceedsAbsoluteMax);
            MaxExtrinsicWeight::<T>::put(value);
            Self::deposit_event(Event::MaxExtrinsicWeightSet { value });
            Ok(())
        }
    }

    impl<T: Config> Pallet<T> {
        /// Whether a hash is that of the current or the next author's key.
        pub fn is_known_key(hash: [u8; 16]) -> bool {
            let keys = [PendingKey::<T>::get(), CurrentKey::<T>::get()];
            keys.iter().flatten().any(|key| sp_io::hashing::twox_128(key) == hash)
        }

        /// Removes the ciphertexts stored before this block: none of them is ever decrypted.
        fn clear_pending(block: BlockNumberFor<T>) {
            let count = PendingExtrinsics::<T>::count();
            if count == 0 {
                return;
            }
            let next = NextPendingExtrinsicIndex::<T>::get();
            let lifetime = ExtrinsicLifetime::<T>::get().into();
            for index in next.saturating_sub(count)..next {
                let Some(pending) = PendingExtrinsics::<T>::take(index) else { continue };
                let is_expired = block > pending.submitted_at + lifetime;
                Self::deposit_event(if is_expired {
                    Event::ExtrinsicExpired { index }
                } else {
                    Event::ExtrinsicDecodeFailed { index }
                });
            }
        }
    }
}
