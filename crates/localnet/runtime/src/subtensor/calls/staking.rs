//! Calls that stake, unstake, recycle and burn. As on the real chain, two of them check the subnet
//! before the origin.

macro_rules! calls_of_staking {
    ([$next:ident $($later:ident)*] $($calls:tt)*) => {
        $next! {
            [$($later)*] $($calls)*

            /// Buys a subnet's alpha and stakes it on a hotkey.
            #[pallet::call_index(2)]
            #[pallet::weight((call_weights::add_stake(), DispatchClass::Normal, Pays::Yes))]
            pub fn add_stake(
                origin: OriginFor<T>,
                hotkey: T::AccountId,
                netuid: NetUid,
                amount_staked: TaoBalance,
            ) -> DispatchResult {
                let who = ensure_signed(origin)?;
                Self::do_add_stake(&who, &hotkey, netuid, amount_staked)
            }

            /// Buys alpha and stakes it, as long as its price stays at or below a limit.
            #[pallet::call_index(88)]
            #[pallet::weight((call_weights::add_stake_limit(), DispatchClass::Normal, Pays::Yes))]
            pub fn add_stake_limit(
                origin: OriginFor<T>,
                hotkey: T::AccountId,
                netuid: NetUid,
                amount_staked: TaoBalance,
                limit_price: TaoBalance,
                allow_partial: bool,
            ) -> DispatchResult {
                let who = ensure_signed(origin)?;
                Self::do_add_stake_limit(&who, &hotkey, netuid, amount_staked, limit_price, allow_partial)
            }

            /// Sells alpha staked on a hotkey.
            #[pallet::call_index(3)]
            #[pallet::weight((call_weights::remove_stake(), DispatchClass::Normal, Pays::Yes))]
            pub fn remove_stake(
                origin: OriginFor<T>,
                hotkey: T::AccountId,
                netuid: NetUid,
                amount_unstaked: AlphaBalance,
            ) -> DispatchResult {
                let who = ensure_signed(origin)?;
                Self::do_remove_stake(&who, &hotkey, netuid, amount_unstaked)
            }

            /// Sells staked alpha, as long as its price stays at or above a limit.
            #[pallet::call_index(89)]
            #[pallet::weight((call_weights::remove_stake_limit(), DispatchClass::Normal, Pays::Yes))]
            pub fn remove_stake_limit(
                origin: OriginFor<T>,
                hotkey: T::AccountId,
                netuid: NetUid,
                amount_unstaked: AlphaBalance,
                limit_price: TaoBalance,
                allow_partial: bool,
            ) -> DispatchResult {
                let who = ensure_signed(origin)?;
                Self::do_remove_stake_limit(&who, &hotkey, netuid, amount_unstaked, limit_price, allow_partial)
            }

            /// Sells all of the caller's stake on a hotkey in a subnet, at or above `limit_price`
            /// if it is given.
            #[pallet::call_index(103)]
            #[pallet::weight((call_weights::remove_stake_full_limit(), DispatchClass::Normal, Pays::Yes))]
            pub fn remove_stake_full_limit(
                origin: OriginFor<T>,
                hotkey: T::AccountId,
                netuid: NetUid,
                limit_price: Option<TaoBalance>,
            ) -> DispatchResult {
                ensure!(Self::subnet_exists(netuid), Error::<T>::SubnetNotExists);
                let who = ensure_signed(origin)?;
                Self::do_remove_stake_full_limit(&who, &hotkey, netuid, limit_price)
            }

            /// Sells all of the caller's stake on a hotkey, on every subnet and on root.
            #[pallet::call_index(83)]
            #[pallet::weight((call_weights::unstake_all(), DispatchClass::Normal, Pays::Yes))]
            pub fn unstake_all(origin: OriginFor<T>, hotkey: T::AccountId) -> DispatchResult {
                let who = ensure_signed(origin)?;
                Self::do_unstake_all(&who, &hotkey)
            }

            /// Sells all alpha that the caller staked on a hotkey, and stakes the TAO on root.
            #[pallet::call_index(84)]
            #[pallet::weight((call_weights::unstake_all_alpha(), DispatchClass::Normal, Pays::Yes))]
            pub fn unstake_all_alpha(origin: OriginFor<T>, hotkey: T::AccountId) -> DispatchResult {
                let who = ensure_signed(origin)?;
                Self::do_unstake_all_alpha(&who, &hotkey)
            }

            /// Recycles staked alpha: it can be issued again.
            #[pallet::call_index(101)]
            #[pallet::weight((call_weights::recycle_alpha(), DispatchClass::Normal, Pays::Yes))]
            pub fn recycle_alpha(
                origin: OriginFor<T>,
                hotkey: T::AccountId,
                amount: AlphaBalance,
                netuid: NetUid,
            ) -> DispatchResult {
                let who = ensure_signed(origin)?;
                Self::do_recycle_alpha(&who, &hotkey, amount, netuid)
            }

            /// Burns staked alpha: it still counts as issued.
            #[pallet::call_index(102)]
            #[pallet::weight((call_weights::burn_alpha(), DispatchClass::Normal, Pays::Yes))]
            pub fn burn_alpha(
                origin: OriginFor<T>,
                hotkey: T::AccountId,
                amount: AlphaBalance,
                netuid: NetUid,
            ) -> DispatchResult {
                let who = ensure_signed(origin)?;
                Self::do_burn_alpha(&who, &hotkey, amount, netuid)
            }

            /// Buys a subnet's alpha and burns it.
            #[pallet::call_index(132)]
            #[pallet::weight((call_weights::add_stake_burn(), DispatchClass::Normal, Pays::Yes))]
            pub fn add_stake_burn(
                origin: OriginFor<T>,
                hotkey: T::AccountId,
                netuid: NetUid,
                amount: TaoBalance,
                limit: Option<TaoBalance>,
            ) -> DispatchResult {
                ensure!(Self::subnet_exists(netuid), Error::<T>::SubnetNotExists);
                let who = ensure_signed(origin)?;
                Self::do_add_stake_burn(&who, &hotkey, netuid, amount, limit)
            }
        }
    };
}
