//! Calls on the collateral of miners.

macro_rules! calls_of_collateral {
    ([$next:ident $($later:ident)*] $($calls:tt)*) => {
        $next! {
            [$($later)*] $($calls)*

            /// Locks alpha as collateral on one of the caller's hotkeys: free stake first, then
            /// alpha bought at or below a price limit.
            #[pallet::call_index(144)]
            #[pallet::weight((call_weights::add_collateral(), DispatchClass::Normal, Pays::Yes))]
            pub fn add_collateral(
                origin: OriginFor<T>,
                netuid: NetUid,
                hotkey: T::AccountId,
                alpha: AlphaBalance,
                limit_price: TaoBalance,
            ) -> DispatchResult {
                let who = ensure_signed(origin)?;
                Self::do_add_collateral(&who, netuid, &hotkey, alpha, limit_price)
            }

            /// Sets the minimum collateral of one of the caller's hotkeys on a subnet.
            #[pallet::call_index(145)]
            #[pallet::weight((call_weights::set_min_collateral(), DispatchClass::Normal, Pays::Yes))]
            pub fn set_min_collateral(
                origin: OriginFor<T>,
                netuid: NetUid,
                hotkey: T::AccountId,
                min_locked: AlphaBalance,
            ) -> DispatchResult {
                let who = ensure_signed(origin)?;
                Self::do_set_min_collateral(&who, netuid, hotkey, min_locked)
            }
        }
    };
}
