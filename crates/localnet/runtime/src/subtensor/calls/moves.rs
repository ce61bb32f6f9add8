//! Calls that move stake to another hotkey, coldkey or subnet.

macro_rules! calls_of_moves {
    ([$next:ident $($later:ident)*] $($calls:tt)*) => {
        $next! {
            [$($later)*] $($calls)*

            /// Moves stake to another hotkey, another subnet, or both.
            #[pallet::call_index(85)]
            #[pallet::weight((call_weights::move_stake(), DispatchClass::Normal, Pays::Yes))]
            pub fn move_stake(
                origin: OriginFor<T>,
                origin_hotkey: T::AccountId,
                destination_hotkey: T::AccountId,
                origin_netuid: NetUid,
                destination_netuid: NetUid,
                alpha_amount: AlphaBalance,
            ) -> DispatchResult {
                let who = ensure_signed(origin)?;
                Self::do_move_stake(
                    &who,
                    &origin_hotkey,
                    &destination_hotkey,
                    origin_netuid,
                    destination_netuid,
                    alpha_amount,
                )
            }

            /// Moves stake to another hotkey and subnet, as long as the ratio of the two alpha
            /// prices stays at or above a limit.
            #[pallet::call_index(149)]
            #[pallet::weight((call_weights::move_stake_limit(), DispatchClass::Normal, Pays::Yes))]
            #[allow(clippy::too_many_arguments)]
            pub fn move_stake_limit(
                origin: OriginFor<T>,
                origin_hotkey: T::AccountId,
                destination_hotkey: T::AccountId,
                origin_netuid: NetUid,
                destination_netuid: NetUid,
                alpha_amount: AlphaBalance,
                limit_price: TaoBalance,
                allow_partial: bool,
            ) -> DispatchResult {
                let who = ensure_signed(origin)?;
                Self::do_move_stake_limit(
                    &who,
                    &origin_hotkey,
                    &destination_hotkey,
                    origin_netuid,
                    destination_netuid,
                    alpha_amount,
                    limit_price,
                    allow_partial,
                )
            }

            /// Moves stake to another subnet.
            #[pallet::call_index(87)]
            #[pallet::weight((call_weights::swap_stake(), DispatchClass::Normal, Pays::Yes))]
            pub fn swap_stake(
                origin: OriginFor<T>,
                hotkey: T::AccountId,
                origin_netuid: NetUid,
                destination_netuid: NetUid,
                alpha_amount: AlphaBalance,
            ) -> DispatchResult {
                let who = ensure_signed(origin)?;
                Self::do_swap_stake(&who, &hotkey, origin_netuid, destination_netuid, alpha_amount)
            }

            /// Moves stake to another subnet, as long as the ratio of the two alpha prices stays at
            /// or above a limit.
            #[pallet::call_index(90)]
            #[pallet::weight((call_weights::swap_stake_limit(), DispatchClass::Normal, Pays::Yes))]
            pub fn swap_stake_limit(
                origin: OriginFor<T>,
                hotkey: T::AccountId,
                origin_netuid: NetUid,
                destination_netuid: NetUid,
                alpha_amount: AlphaBalance,
                limit_price: TaoBalance,
                allow_partial: bool,
            ) -> DispatchResult {
                let who = ensure_signed(origin)?;
                Self::do_swap_stake_limit(
                    &who,
                    &hotkey,
                    origin_netuid,
                    destination_netuid,
                    alpha_amount,
                    limit_price,
                    allow_partial,
                )
            }

            /// Transfers stake to another coldkey, within a subnet or to another subnet.
            #[pallet::call_index(86)]
            #[pallet::weight((call_weights::transfer_stake(), DispatchClass::Normal, Pays::Yes))]
            pub fn transfer_stake(
                origin: OriginFor<T>,
                destination_coldkey: T::AccountId,
                hotkey: T::AccountId,
                origin_netuid: NetUid,
                destination_netuid: NetUid,
                alpha_amount: AlphaBalance,
            ) -> DispatchResult {
                let who = ensure_signed(origin)?;
                Self::do_transfer_stake(
                    &who,
                    &destination_coldkey,
                    &hotkey,
                    origin_netuid,
                    destination_netuid,
                    alpha_amount,
                )
            }

            /// Transfers stake to another coldkey and hotkey.
            #[pallet::call_index(143)]
            #[pallet::weight((call_weights::transfer_stake_and_hotkey(), DispatchClass::Normal, Pays::Yes))]
            pub fn transfer_stake_and_hotkey(
                origin: OriginFor<T>,
                destination_coldkey: T::AccountId,
                origin_hotkey: T::AccountId,
                destination_hotkey: T::AccountId,
                origin_netuid: NetUid,
                destination_netuid: NetUid,
                alpha_amount: AlphaBalance,
            ) -> DispatchResult {
                let who = ensure_signed(origin)?;
                Self::do_transfer_stake_and_hotkey(
                    &who,
                    &destination_coldkey,
                    &origin_hotkey,
                    &destination_hotkey,
                    origin_netuid,
                    destination_netuid,
                    alpha_amount,
                )
            }
        }
    };
}
