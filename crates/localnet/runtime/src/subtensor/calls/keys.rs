//! Calls that concern hotkeys and coldkeys: ownership, takes, automatic staking, identities,
//! Ethereum addresses.

macro_rules! calls_of_keys {
    ([$next:ident $($later:ident)*] $($calls:tt)*) => {
        $next! {
            [$($later)*] $($calls)*

            /// Makes the caller the owner of a hotkey that has no owner.
            #[pallet::call_index(91)]
            #[pallet::weight((call_weights::try_associate_hotkey(), DispatchClass::Normal, Pays::Yes))]
            pub fn try_associate_hotkey(origin: OriginFor<T>, hotkey: T::AccountId) -> DispatchResult {
                let who = ensure_signed(origin)?;
                Self::do_try_associate_hotkey(&who, &hotkey)
            }

            /// Associates the caller, a hotkey, with an Ethereum address that signed the hotkey.
            #[pallet::call_index(93)]
            #[pallet::weight((call_weights::associate_evm_key(), DispatchClass::Normal, Pays::No))]
            pub fn associate_evm_key(
                origin: OriginFor<T>,
                netuid: NetUid,
                evm_key: H160,
                block_number: u64,
                signature: ecdsa::Signature,
            ) -> DispatchResult {
                let who = ensure_signed(origin)?;
                Self::do_associate_evm_key(who, netuid, evm_key, block_number, signature)
            }

            /// Lowers the delegate take of a hotkey.
            #[pallet::call_index(65)]
            #[pallet::weight((call_weights::decrease_take(), DispatchClass::Normal, Pays::No))]
            pub fn decrease_take(origin: OriginFor<T>, hotkey: T::AccountId, take: PerU16) -> DispatchResult {
                let who = ensure_signed(origin)?;
                Self::do_decrease_take(&who, hotkey, take)
            }

            /// Raises the delegate take of a hotkey.
            #[pallet::call_index(66)]
            #[pallet::weight((call_weights::increase_take(), DispatchClass::Normal, Pays::No))]
            pub fn increase_take(origin: OriginFor<T>, hotkey: T::AccountId, take: PerU16) -> DispatchResult {
                let who = ensure_signed(origin)?;
                Self::do_increase_take(&who, hotkey, take)
            }

            /// Sets the hotkey on which the emission of the caller's miners on a subnet is staked.
            #[pallet::call_index(114)]
            #[pallet::weight((call_weights::set_coldkey_auto_stake_hotkey(), DispatchClass::Normal, Pays::Yes))]
            pub fn set_coldkey_auto_stake_hotkey(
                origin: OriginFor<T>,
                netuid: NetUid,
                hotkey: T::AccountId,
            ) -> DispatchResult {
                let who = ensure_signed(origin)?;
                Self::do_set_coldkey_auto_stake_hotkey(&who, netuid, &hotkey)
            }

            /// Sets the identity of the calling coldkey.
            #[pallet::call_index(68)]
            #[pallet::weight((call_weights::set_identity(), DispatchClass::Normal, Pays::Yes))]
            #[allow(clippy::too_many_arguments)]
            pub fn set_identity(
                origin: OriginFor<T>,
                name: Vec<u8>,
                url: Vec<u8>,
                github_repo: Vec<u8>,
                image: Vec<u8>,
                discord: Vec<u8>,
                description: Vec<u8>,
                additional: Vec<u8>,
            ) -> DispatchResult {
                let who = ensure_signed(origin)?;
                Self::do_set_identity(&who, name, url, github_repo, image, discord, description, additional)
            }
        }
    };
}
