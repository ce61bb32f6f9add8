//! Calls of the Subtensor pallet.

use frame_support::pallet_macros::pallet_section;

/// Calls with the names, indices and arguments of the real chain; each is implemented in the module of its subject.
#[pallet_section]
mod calls {
    #[pallet::call]
    impl<T: Config> Pallet<T> {
        /// Sets weights of the caller's hotkey.
        #[pallet::call_index(0)]
        #[pallet::weight((call_weight(), DispatchClass::Normal, Pays::No))]
        pub fn set_weights(
            origin: OriginFor<T>,
            netuid: NetUid,
            dests: Vec<u16>,
            weights: Vec<u16>,
            version_key: u64,
        ) -> DispatchResult {
            let who = ensure_signed(origin)?;
            Self::do_set_weights(&who, netuid, &dests, &weights, version_key)
        }

        /// Buys a subnet's alpha and stakes it on a hotkey.
        #[pallet::call_index(2)]
        #[pallet::weight((call_weight(), DispatchClass::Normal, Pays::Yes))]
        pub fn add_stake(
            origin: OriginFor<T>,
            hotkey: T::AccountId,
            netuid: NetUid,
            amount_staked: TaoBalance,
        ) -> DispatchResult {
            let who = ensure_signed(origin)?;
            Self::do_add_stake(&who, &hotkey, netuid, amount_staked)
        }

        /// Sells alpha staked on a hotkey.
        #[pallet::call_index(3)]
        #[pallet::weight((call_weight(), DispatchClass::Normal, Pays::Yes))]
        pub fn remove_stake(
            origin: OriginFor<T>,
            hotkey: T::AccountId,
            netuid: NetUid,
            amount_unstaked: AlphaBalance,
        ) -> DispatchResult {
            let who = ensure_signed(origin)?;
            Self::do_remove_stake(&who, &hotkey, netuid, amount_unstaked)
        }

        /// Announces the caller's axon.
        #[pallet::call_index(4)]
        #[pallet::weight((call_weight(), DispatchClass::Normal, Pays::No))]
        #[allow(clippy::too_many_arguments)]
        pub fn serve_axon(
            origin: OriginFor<T>,
            netuid: NetUid,
            version: u32,
            ip: u128,
            port: u16,
            ip_type: u8,
            protocol: u8,
            placeholder1: u8,
            placeholder2: u8,
        ) -> DispatchResult {
            let who = ensure_signed(origin)?;
            Self::do_serve_axon(&who, netuid, version, ip, port, ip_type, protocol, placeholder1, placeholder2)
        }

        /// Announces the caller's metrics endpoint.
        #[pallet::call_index(5)]
        #[pallet::weight((call_weight(), DispatchClass::Normal, Pays::No))]
        pub fn serve_prometheus(
            origin: OriginFor<T>,
            netuid: NetUid,
            version: u32,
            ip: u128,
            port: u16,
            ip_type: u8,
        ) -> DispatchResult {
            let who = ensure_signed(origin)?;
            Self::do_serve_prometheus(&who, netuid, version, ip, port, ip_type)
        }

        /// Registers a hotkey at the current price.
        #[pallet::call_index(7)]
        #[pallet::weight((call_weight(), DispatchClass::Normal, Pays::Yes))]
        pub fn burned_register(origin: OriginFor<T>, netuid: NetUid, hotkey: T::AccountId) -> DispatchResult {
            let who = ensure_signed(origin)?;
            Self::do_burned_register(&who, netuid, hotkey)
        }

        /// Announces the caller's axon with a certificate.
        #[pallet::call_index(40)]
        #[pallet::weight((call_weight(), DispatchClass::Normal, Pays::No))]
        #[allow(clippy::too_many_arguments)]
        pub fn serve_axon_tls(
            origin: OriginFor<T>,
            netuid: NetUid,
            version: u32,
            ip: u128,
            port: u16,
            ip_type: u8,
            protocol: u8,
            placeholder1: u8,
            placeholder2: u8,
            certificate: Vec<u8>,
        ) -> DispatchResult {
            let who = ensure_signed(origin)?;
            Self::do_serve_axon_tls(
                &who,
                netuid,
                version,
                ip,
                port,
                ip_type,
                protocol,
                placeholder1,
                placeholder2,
                &certificate,
            )
        }

        /// Creates a subnet whose first neuron is the given hotkey.
        #[pallet::call_index(59)]
        #[pallet::weight((call_weight(), DispatchClass::Normal, Pays::Yes))]
        pub fn register_network(origin: OriginFor<T>, hotkey: T::AccountId) -> DispatchResult {
            let who = ensure_signed(origin)?;
            Self::do_register_network(&who, &hotkey)
        }

        /// Registers a hotkey on root.
        #[pallet::call_index(62)]
        #[pallet::weight((call_weight(), DispatchClass::Normal, Pays::Yes))]
        pub fn root_register(origin: OriginFor<T>, hotkey: T::AccountId) -> DispatchResult {
            let who = ensure_signed(origin)?;
            Self::do_root_register(&who, hotkey)
        }

        /// Lowers the take of a hotkey.
        #[pallet::call_index(65)]
        #[pallet::weight((call_weight(), DispatchClass::Normal, Pays::No))]
        pub fn decrease_take(origin: OriginFor<T>, hotkey: T::AccountId, take: PerU16) -> DispatchResult {
            let who = ensure_signed(origin)?;
            Self::do_decrease_take(&who, hotkey, take)
        }

        /// Raises the take of a hotkey.
        #[pallet::call_index(66)]
        #[pallet::weight((call_weight(), DispatchClass::Normal, Pays::No))]
        pub fn increase_take(origin: OriginFor<T>, hotkey: T::AccountId, take: PerU16) -> DispatchResult {
            let who = ensure_signed(origin)?;
            Self::do_increase_take(&who, hotkey, take)
        }

        /// Sets the identity of the calling coldkey.
        #[pallet::call_index(68)]
        #[pallet::weight((call_weight(), DispatchClass::Normal, Pays::Yes))]
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

        /// Sets the identity of a subnet.
        #[pallet::call_index(78)]
        #[pallet::weight((call_weight(), DispatchClass::Normal, Pays::Yes))]
        #[allow(clippy::too_many_arguments)]
        pub fn set_subnet_identity(
            origin: OriginFor<T>,
            netuid: NetUid,
            subnet_name: Vec<u8>,
            github_repo: Vec<u8>,
            subnet_contact: Vec<u8>,
            subnet_url: Vec<u8>,
            discord: Vec<u8>,
            description: Vec<u8>,
            logo_url: Vec<u8>,
            additional: Vec<u8>,
        ) -> DispatchResult {
            let who = ensure_signed(origin)?;
            Self::do_set_subnet_identity(
                &who,
                netuid,
                subnet_name,
                github_repo,
                subnet_contact,
                subnet_url,
                discord,
                description,
                logo_url,
                additional,
            )
        }

        /// Creates a subnet with an identity.
        #[pallet::call_index(79)]
        #[pallet::weight((call_weight(), DispatchClass::Normal, Pays::Yes))]
        pub fn register_network_with_identity(
            origin: OriginFor<T>,
            hotkey: T::AccountId,
            identity: Option<SubnetIdentityV3>,
        ) -> DispatchResult {
            let who = ensure_signed(origin)?;
            Self::do_register_network_with_identity(&who, &hotkey, identity)
        }

        /// Sells all stake of the caller on a hotkey, on every subnet and on root.
        #[pallet::call_index(83)]
        #[pallet::weight((call_weight(), DispatchClass::Normal, Pays::Yes))]
        pub fn unstake_all(origin: OriginFor<T>, hotkey: T::AccountId) -> DispatchResult {
            let who = ensure_signed(origin)?;
            Self::do_unstake_all(&who, &hotkey)
        }

        /// Sells all alpha of the caller on a hotkey, and stakes the TAO on root.
        #[pallet::call_index(84)]
        #[pallet::weight((call_weight(), DispatchClass::Normal, Pays::Yes))]
        pub fn unstake_all_alpha(origin: OriginFor<T>, hotkey: T::AccountId) -> DispatchResult {
            let who = ensure_signed(origin)?;
            Self::do_unstake_all_alpha(&who, &hotkey)
        }

        /// Moves stake to another hotkey, another subnet, or both.
        #[pallet::call_index(85)]
        #[pallet::weight((call_weight(), DispatchClass::Normal, Pays::Yes))]
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

        /// Transfers stake to another coldkey, on the same subnet or another one.
        #[pallet::call_index(86)]
        #[pallet::weight((call_weight(), DispatchClass::Normal, Pays::Yes))]
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

        /// Moves stake to another subnet.
        #[pallet::call_index(87)]
        #[pallet::weight((call_weight(), DispatchClass::Normal, Pays::Yes))]
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

        /// Buys alpha while its price stays at or below a limit.
        #[pallet::call_index(88)]
        #[pallet::weight((call_weight(), DispatchClass::Normal, Pays::Yes))]
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

        /// Sells alpha while its price stays at or above a limit.
        #[pallet::call_index(89)]
        #[pallet::weight((call_weight(), DispatchClass::Normal, Pays::Yes))]
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

        /// Moves stake to another subnet, at or above a limit of the prices' ratio.
        #[pallet::call_index(90)]
        #[pallet::weight((call_weight(), DispatchClass::Normal, Pays::Yes))]
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

        /// Makes the caller the owner of a hotkey without an owner.
        #[pallet::call_index(91)]
        #[pallet::weight((call_weight(), DispatchClass::Normal, Pays::Yes))]
        pub fn try_associate_hotkey(origin: OriginFor<T>, hotkey: T::AccountId) -> DispatchResult {
            let who = ensure_signed(origin)?;
            Self::do_try_associate_hotkey(&who, &hotkey)
        }

        /// Starts a subnet: emission begins, alpha can be bought.
        #[pallet::call_index(92)]
        #[pallet::weight((call_weight(), DispatchClass::Normal, Pays::Yes))]
        pub fn start_call(origin: OriginFor<T>, netuid: NetUid) -> DispatchResult {
            let who = ensure_signed(origin)?;
            Self::do_start_call(&who, netuid)
        }

        /// Commits weights by their hash.
        #[pallet::call_index(96)]
        #[pallet::weight((call_weight(), DispatchClass::Normal, Pays::No))]
        pub fn commit_weights(origin: OriginFor<T>, netuid: NetUid, commit_hash: H256) -> DispatchResult {
            let who = ensure_signed(origin)?;
            Self::do_commit_weights(&who, netuid, commit_hash)
        }

        /// Reveals committed weights.
        #[pallet::call_index(97)]
        #[pallet::weight((call_weight(), DispatchClass::Normal, Pays::No))]
        pub fn reveal_weights(
            origin: OriginFor<T>,
            netuid: NetUid,
            uids: Vec<u16>,
            values: Vec<u16>,
            salt: Vec<u16>,
            version_key: u64,
        ) -> DispatchResult {
            let who = ensure_signed(origin)?;
            Self::do_reveal_weights(&who, netuid, &uids, &values, &salt, version_key)
        }

        /// Recycles staked alpha: it can be issued again.
        #[pallet::call_index(101)]
        #[pallet::weight((call_weight(), DispatchClass::Normal, Pays::Yes))]
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
        #[pallet::weight((call_weight(), DispatchClass::Normal, Pays::Yes))]
        pub fn burn_alpha(
            origin: OriginFor<T>,
            hotkey: T::AccountId,
            amount: AlphaBalance,
            netuid: NetUid,
        ) -> DispatchResult {
            let who = ensure_signed(origin)?;
            Self::do_burn_alpha(&who, &hotkey, amount, netuid)
        }

        /// Sells all stake on a hotkey in a subnet, at or above a price if one is given.
        #[pallet::call_index(103)]
        #[pallet::weight((call_weight(), DispatchClass::Normal, Pays::Yes))]
        pub fn remove_stake_full_limit(
            origin: OriginFor<T>,
            hotkey: T::AccountId,
            netuid: NetUid,
            limit_price: Option<TaoBalance>,
        ) -> DispatchResult {
            let who = ensure_signed(origin)?;
            Self::do_remove_stake_full_limit(&who, &hotkey, netuid, limit_price)
        }

        /// Commits timelocked weights, which the chain decrypts later.
        #[pallet::call_index(113)]
        #[pallet::weight((call_weight(), DispatchClass::Normal, Pays::No))]
        pub fn commit_timelocked_weights(
            origin: OriginFor<T>,
            netuid: NetUid,
            commit: BoundedVec<u8, ConstU32<MAX_COMMIT_LEN>>,
            reveal_round: u64,
            commit_reveal_version: u16,
        ) -> DispatchResult {
            let who = ensure_signed(origin)?;
            Self::do_commit_timelocked_weights(&who, netuid, commit, reveal_round, commit_reveal_version)
        }

        /// Sets the hotkey on which the emission of the caller's miners on a subnet is staked.
        #[pallet::call_index(114)]
        #[pallet::weight((call_weight(), DispatchClass::Normal, Pays::Yes))]
        pub fn set_coldkey_auto_stake_hotkey(
            origin: OriginFor<T>,
            netuid: NetUid,
            hotkey: T::AccountId,
        ) -> DispatchResult {
            let who = ensure_signed(origin)?;
            Self::do_set_coldkey_auto_stake_hotkey(&who, netuid, &hotkey)
        }

        /// Commits weights of a mechanism by their hash.
        #[pallet::call_index(115)]
        #[pallet::weight((call_weight(), DispatchClass::Normal, Pays::No))]
        pub fn commit_mechanism_weights(
            origin: OriginFor<T>,
            netuid: NetUid,
            mecid: MechId,
            commit_hash: H256,
        ) -> DispatchResult {
            let who = ensure_signed(origin)?;
            Self::do_commit_mechanism_weights(&who, netuid, mecid, commit_hash)
        }

        /// Reveals weights of a mechanism.
        #[pallet::call_index(116)]
        #[pallet::weight((call_weight(), DispatchClass::Normal, Pays::No))]
        pub fn reveal_mechanism_weights(
            origin: OriginFor<T>,
            netuid: NetUid,
            mecid: MechId,
            uids: Vec<u16>,
            values: Vec<u16>,
            salt: Vec<u16>,
            version_key: u64,
        ) -> DispatchResult {
            let who = ensure_signed(origin)?;
            Self::do_reveal_mechanism_weights(&who, netuid, mecid, &uids, &values, &salt, version_key)
        }

        /// Commits timelocked weights of a mechanism.
        #[pallet::call_index(118)]
        #[pallet::weight((call_weight(), DispatchClass::Normal, Pays::No))]
        pub fn commit_timelocked_mechanism_weights(
            origin: OriginFor<T>,
            netuid: NetUid,
            mecid: MechId,
            commit: BoundedVec<u8, ConstU32<MAX_COMMIT_LEN>>,
            reveal_round: u64,
            commit_reveal_version: u16,
        ) -> DispatchResult {
            let who = ensure_signed(origin)?;
            Self::do_commit_timelocked_mechanism_weights(
                &who,
                netuid,
                mecid,
                commit,
                reveal_round,
                commit_reveal_version,
            )
        }

        /// Sets weights of a mechanism.
        #[pallet::call_index(119)]
        #[pallet::weight((call_weight(), DispatchClass::Normal, Pays::No))]
        pub fn set_mechanism_weights(
            origin: OriginFor<T>,
            netuid: NetUid,
            mecid: MechId,
            dests: Vec<u16>,
            weights: Vec<u16>,
            version_key: u64,
        ) -> DispatchResult {
            let who = ensure_signed(origin)?;
            Self::do_set_mechanism_weights(&who, netuid, mecid, &dests, &weights, version_key)
        }

        /// Buys and burns alpha.
        #[pallet::call_index(132)]
        #[pallet::weight((call_weight(), DispatchClass::Normal, Pays::Yes))]
        pub fn add_stake_burn(
            origin: OriginFor<T>,
            hotkey: T::AccountId,
            netuid: NetUid,
            amount: TaoBalance,
            limit: Option<TaoBalance>,
        ) -> DispatchResult {
            let who = ensure_signed(origin)?;
            Self::do_add_stake_burn(&who, &hotkey, netuid, amount, limit)
        }

        /// Registers a hotkey if the price is at or below a limit.
        #[pallet::call_index(134)]
        #[pallet::weight((call_weight(), DispatchClass::Normal, Pays::Yes))]
        pub fn register_limit(
            origin: OriginFor<T>,
            netuid: NetUid,
            hotkey: T::AccountId,
            limit_price: u64,
        ) -> DispatchResult {
            let who = ensure_signed(origin)?;
            Self::do_register_limit(&who, netuid, hotkey, limit_price)
        }

        /// Sets the tempo, by the subnet's owner.
        #[pallet::call_index(139)]
        #[pallet::weight((call_weight(), DispatchClass::Normal, Pays::Yes))]
        pub fn set_tempo(origin: OriginFor<T>, netuid: NetUid, tempo: u16) -> DispatchResult {
            let who = ensure_signed(origin)?;
            Self::do_set_tempo(&who, netuid, tempo)
        }

        /// Sets the activity cutoff factor, by the subnet's owner.
        #[pallet::call_index(140)]
        #[pallet::weight((call_weight(), DispatchClass::Normal, Pays::Yes))]
        pub fn set_activity_cutoff_factor(origin: OriginFor<T>, netuid: NetUid, factor_milli: u32) -> DispatchResult {
            let who = ensure_signed(origin)?;
            Self::do_set_activity_cutoff_factor(&who, netuid, factor_milli)
        }

        /// Triggers an epoch, by the subnet's owner.
        #[pallet::call_index(141)]
        #[pallet::weight((call_weight(), DispatchClass::Normal, Pays::Yes))]
        pub fn trigger_epoch(origin: OriginFor<T>, netuid: NetUid) -> DispatchResult {
            let who = ensure_signed(origin)?;
            Self::do_trigger_epoch(&who, netuid)
        }

        /// Transfers stake to another coldkey and hotkey.
        #[pallet::call_index(143)]
        #[pallet::weight((call_weight(), DispatchClass::Normal, Pays::Yes))]
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

        /// Moves stake to another hotkey and subnet, at or above a limit of the prices' ratio.
        #[pallet::call_index(149)]
        #[pallet::weight((call_weight(), DispatchClass::Normal, Pays::Yes))]
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
    }
}
