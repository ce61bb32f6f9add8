//! Calls that swap hotkeys and coldkeys.

macro_rules! calls_of_swaps {
    ([$next:ident $($later:ident)*] $($calls:tt)*) => {
        $next! {
            [$($later)*] $($calls)*

            /// Replaces a hotkey by another one, on a subnet or on all subnets.
            #[pallet::call_index(70)]
            #[pallet::weight((call_weights::swap_hotkey(*netuid, false), DispatchClass::Normal, Pays::Yes))]
            pub fn swap_hotkey(
                origin: OriginFor<T>,
                hotkey: T::AccountId,
                new_hotkey: T::AccountId,
                netuid: Option<NetUid>,
            ) -> DispatchResultWithPostInfo {
                let who = ensure_signed(origin)?;
                let subnets = Self::do_swap_hotkey(&who, &hotkey, &new_hotkey, netuid, false)?;
                Ok(Some(call_weights::actual_swap_hotkey(subnets)).into())
            }

            /// Replaces a coldkey by another one, for `swap_cost`. Only root may call this.
            #[pallet::call_index(71)]
            #[pallet::weight((call_weights::swap_coldkey(), DispatchClass::Normal, Pays::Yes))]
            pub fn swap_coldkey(
                origin: OriginFor<T>,
                old_coldkey: T::AccountId,
                new_coldkey: T::AccountId,
                swap_cost: TaoBalance,
            ) -> DispatchResult {
                ensure_root(origin)?;
                Self::do_swap_coldkey(&old_coldkey, &new_coldkey, swap_cost)
            }

            /// Replaces a hotkey by another one; with `keep_stake`, the stake stays on the old
            /// hotkey.
            #[pallet::call_index(72)]
            #[pallet::weight((call_weights::swap_hotkey(*netuid, *keep_stake), DispatchClass::Normal, Pays::Yes))]
            pub fn swap_hotkey_v2(
                origin: OriginFor<T>,
                hotkey: T::AccountId,
                new_hotkey: T::AccountId,
                netuid: Option<NetUid>,
                keep_stake: bool,
            ) -> DispatchResultWithPostInfo {
                let who = ensure_signed(origin)?;
                let subnets = Self::do_swap_hotkey(&who, &hotkey, &new_hotkey, netuid, keep_stake)?;
                Ok(Some(call_weights::actual_swap_hotkey(subnets)).into())
            }

            /// Fails with `Deprecated`: use `announce_coldkey_swap`.
            #[pallet::call_index(73)]
            #[pallet::weight((call_weights::schedule_swap_coldkey(), DispatchClass::Normal, Pays::Yes))]
            pub fn schedule_swap_coldkey(_origin: OriginFor<T>, _new_coldkey: T::AccountId) -> DispatchResult {
                Err(Error::<T>::Deprecated.into())
            }

            /// Announces a swap of the calling coldkey, by the BLAKE2b-256 hash of the new coldkey.
            #[pallet::call_index(125)]
            #[pallet::weight((call_weights::announce_coldkey_swap(), DispatchClass::Normal, Pays::Yes))]
            pub fn announce_coldkey_swap(origin: OriginFor<T>, new_coldkey_hash: H256) -> DispatchResult {
                let who = ensure_signed(origin)?;
                Self::do_announce_coldkey_swap(&who, new_coldkey_hash)
            }

            /// Replaces the calling coldkey by the announced one.
            #[pallet::call_index(126)]
            #[pallet::weight((call_weights::swap_coldkey_announced(), DispatchClass::Normal, Pays::Yes))]
            pub fn swap_coldkey_announced(origin: OriginFor<T>, new_coldkey: T::AccountId) -> DispatchResult {
                let who = ensure_signed(origin)?;
                Self::do_swap_coldkey_announced(&who, &new_coldkey)
            }

            /// Disputes the announced swap of the calling coldkey, which blocks all of its calls.
            #[pallet::call_index(127)]
            #[pallet::weight((call_weights::dispute_coldkey_swap(), DispatchClass::Normal, Pays::Yes))]
            pub fn dispute_coldkey_swap(origin: OriginFor<T>) -> DispatchResult {
                let who = ensure_signed(origin)?;
                Self::do_dispute_coldkey_swap(who)
            }

            /// Removes the announcement and the dispute of a coldkey. Only root may call this.
            #[pallet::call_index(128)]
            #[pallet::weight((call_weights::reset_coldkey_swap(), DispatchClass::Normal, Pays::Yes))]
            pub fn reset_coldkey_swap(origin: OriginFor<T>, coldkey: T::AccountId) -> DispatchResult {
                ensure_root(origin)?;
                Self::do_reset_coldkey_swap(coldkey);
                Ok(())
            }

            /// Withdraws the announced swap of the calling coldkey.
            #[pallet::call_index(133)]
            #[pallet::weight((call_weights::clear_coldkey_swap_announcement(), DispatchClass::Normal, Pays::Yes))]
            pub fn clear_coldkey_swap_announcement(origin: OriginFor<T>) -> DispatchResult {
                let who = ensure_signed(origin)?;
                Self::do_clear_coldkey_swap_announcement(who)
            }
        }
    };
}
