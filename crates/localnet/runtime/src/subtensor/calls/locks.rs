//! Calls that lock stake.

macro_rules! calls_of_locks {
    ([$next:ident $($later:ident)*] $($calls:tt)*) => {
        $next! {
            [$($later)*] $($calls)*

            /// Locks part of the caller's stake on a subnet to a hotkey.
            #[pallet::call_index(136)]
            #[pallet::weight((call_weights::lock_stake(), DispatchClass::Normal, Pays::Yes))]
            pub fn lock_stake(
                origin: OriginFor<T>,
                hotkey: T::AccountId,
                netuid: NetUid,
                amount: AlphaBalance,
            ) -> DispatchResult {
                let who = ensure_signed(origin)?;
                Self::do_lock_stake(&who, &hotkey, netuid, amount)
            }

            /// Moves the caller's lock on a subnet to another hotkey.
            #[pallet::call_index(137)]
            #[pallet::weight((call_weights::move_lock(), DispatchClass::Normal, Pays::Yes))]
            pub fn move_lock(origin: OriginFor<T>, destination_hotkey: T::AccountId, netuid: NetUid) -> DispatchResult {
                let who = ensure_signed(origin)?;
                Self::do_move_lock(&who, &destination_hotkey, netuid)
            }

            /// Makes the caller's lock on a subnet perpetual, or lets it decay.
            #[pallet::call_index(138)]
            #[pallet::weight((call_weights::set_perpetual_lock(), DispatchClass::Normal, Pays::Yes))]
            pub fn set_perpetual_lock(origin: OriginFor<T>, netuid: NetUid, enabled: bool) -> DispatchResult {
                let who = ensure_signed(origin)?;
                Self::do_set_perpetual_lock(who, netuid, enabled)
            }

            /// Sets whether the caller refuses locked alpha that others transfer to it.
            #[pallet::call_index(142)]
            #[pallet::weight((call_weights::set_reject_locked_alpha(), DispatchClass::Normal, Pays::Yes))]
            pub fn set_reject_locked_alpha(origin: OriginFor<T>, enabled: bool) -> DispatchResult {
                let who = ensure_signed(origin)?;
                Self::do_set_reject_locked_alpha(who, enabled);
                Ok(())
            }
        }
    };
}
