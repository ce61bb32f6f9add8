//! Calls that set child hotkeys and their takes.

macro_rules! calls_of_children {
    ([$next:ident $($later:ident)*] $($calls:tt)*) => {
        $next! {
            [$($later)*] $($calls)*

            /// Schedules new children of a hotkey on a subnet: proportions of its stake, in parts
            /// of 2⁶⁴, and hotkeys.
            #[pallet::call_index(67)]
            #[pallet::weight((call_weights::set_children(), DispatchClass::Normal, Pays::Yes))]
            pub fn set_children(
                origin: OriginFor<T>,
                hotkey: T::AccountId,
                netuid: NetUid,
                children: Vec<(u64, T::AccountId)>,
            ) -> DispatchResult {
                let who = ensure_signed(origin)?;
                Self::do_set_children(&who, &hotkey, netuid, children)
            }

            /// Sets the minimum interval between increases of a child key take, in blocks.
            #[pallet::call_index(69)]
            #[pallet::weight((call_weights::sudo_set_tx_childkey_take_rate_limit(), DispatchClass::Normal, Pays::Yes))]
            pub fn sudo_set_tx_childkey_take_rate_limit(origin: OriginFor<T>, tx_rate_limit: u64) -> DispatchResult {
                ensure_root(origin)?;
                TxChildkeyTakeRateLimit::<T>::put(tx_rate_limit);
                Self::deposit_event(Event::TxChildKeyTakeRateLimitSet(tx_rate_limit));
                Ok(())
            }

            /// Sets the child key take of a hotkey on a subnet.
            #[pallet::call_index(75)]
            #[pallet::weight((call_weights::set_childkey_take(), DispatchClass::Normal, Pays::Yes))]
            pub fn set_childkey_take(
                origin: OriginFor<T>,
                hotkey: T::AccountId,
                netuid: NetUid,
                take: PerU16,
            ) -> DispatchResult {
                let who = ensure_signed(origin)?;
                Self::do_set_childkey_take(&who, &hotkey, netuid, take)
            }

            /// Sets the minimum child key take on all subnets.
            #[pallet::call_index(76)]
            #[pallet::weight((call_weights::sudo_set_min_childkey_take(), DispatchClass::Normal, Pays::Yes))]
            pub fn sudo_set_min_childkey_take(origin: OriginFor<T>, take: PerU16) -> DispatchResult {
                ensure_root(origin)?;
                MinChildkeyTake::<T>::put(take);
                Self::deposit_event(Event::MinChildKeyTakeSet(take));
                Ok(())
            }

            /// Sets the maximum child key take.
            #[pallet::call_index(77)]
            #[pallet::weight((call_weights::sudo_set_max_childkey_take(), DispatchClass::Normal, Pays::Yes))]
            pub fn sudo_set_max_childkey_take(origin: OriginFor<T>, take: PerU16) -> DispatchResult {
                ensure_root(origin)?;
                MaxChildkeyTake::<T>::put(take);
                Self::deposit_event(Event::MaxChildKeyTakeSet(take));
                Ok(())
            }

            /// Sets the number of blocks before scheduled children apply.
            #[pallet::call_index(109)]
            #[pallet::weight((call_weights::set_pending_childkey_cooldown(), DispatchClass::Normal, Pays::Yes))]
            pub fn set_pending_childkey_cooldown(origin: OriginFor<T>, cooldown: u64) -> DispatchResult {
                ensure_root(origin)?;
                PendingChildKeyCooldown::<T>::put(cooldown);
                Ok(())
            }

            /// Sets whether a member of root makes the owners of new subnets its children.
            #[pallet::call_index(135)]
            #[pallet::weight((call_weights::set_auto_parent_delegation_enabled(), DispatchClass::Normal, Pays::Yes))]
            pub fn set_auto_parent_delegation_enabled(
                origin: OriginFor<T>,
                hotkey: T::AccountId,
                enabled: bool,
            ) -> DispatchResult {
                let who = ensure_signed(origin)?;
                Self::do_set_auto_parent_delegation_enabled(&who, hotkey, enabled)
            }
        }
    };
}
