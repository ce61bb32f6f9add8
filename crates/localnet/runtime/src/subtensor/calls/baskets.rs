//! Calls on baskets: claims of the dividends of root stake.

macro_rules! calls_of_baskets {
    ([$next:ident $($later:ident)*] $($calls:tt)*) => {
        $next! {
            [$($later)*] $($calls)*

            /// Claims the dividends of the caller's root stake on all validators. `subnets` is
            /// ignored, because a basket is not divided by subnet.
            #[pallet::call_index(121)]
            #[pallet::weight((call_weights::claim_root(), DispatchClass::Normal, Pays::Yes))]
            pub fn claim_root(origin: OriginFor<T>, _subnets: BTreeSet<NetUid>) -> DispatchResultWithPostInfo {
                let who = ensure_signed(origin)?;
                let baskets = Self::do_claim_root(who);
                Ok(Some(call_weights::actual_claim_root(baskets)).into())
            }

            /// Sets the minimum value of a claim, in rao. Only root and the subnet's owner may call
            /// this.
            #[pallet::call_index(124)]
            #[pallet::weight((call_weights::sudo_set_root_claim_threshold(), DispatchClass::Normal, Pays::Yes))]
            pub fn sudo_set_root_claim_threshold(
                origin: OriginFor<T>,
                netuid: NetUid,
                new_value: u64,
            ) -> DispatchResult {
                Self::ensure_owner_or_root(origin, netuid)?;
                Self::do_set_root_claim_threshold(netuid, new_value)
            }

            /// Buys shares of a validator's basket.
            #[pallet::call_index(147)]
            #[pallet::weight((call_weights::stake_into_basket(), DispatchClass::Normal, Pays::Yes))]
            pub fn stake_into_basket(
                origin: OriginFor<T>,
                hotkey: T::AccountId,
                amount_staked: TaoBalance,
            ) -> DispatchResultWithPostInfo {
                let who = ensure_signed(origin)?;
                Self::do_stake_into_basket(&who, &hotkey, amount_staked)?;
                Ok(Some(call_weights::actual_stake_into_basket(1, 1)).into())
            }

            /// Claims the dividends of the caller's root stake on one validator.
            #[pallet::call_index(148)]
            #[pallet::weight((call_weights::claim_root(), DispatchClass::Normal, Pays::Yes))]
            pub fn claim_root_with_hotkey(origin: OriginFor<T>, hotkey: T::AccountId) -> DispatchResultWithPostInfo {
                let who = ensure_signed(origin)?;
                Self::do_claim_root_with_hotkey(who, hotkey);
                Ok(Some(call_weights::actual_claim_root(1)).into())
            }
        }
    };
}
