//! Calls that create, describe, schedule and dissolve subnets.

macro_rules! calls_of_subnets {
    ([$next:ident $($later:ident)*] $($calls:tt)*) => {
        $next! {
            [$($later)*] $($calls)*

            /// Creates a subnet whose first neuron has the given hotkey.
            #[pallet::call_index(59)]
            #[pallet::weight((call_weights::register_network(), DispatchClass::Normal, Pays::Yes))]
            pub fn register_network(origin: OriginFor<T>, hotkey: T::AccountId) -> DispatchResult {
                let who = ensure_signed(origin)?;
                Self::do_register_network(&who, &hotkey)
            }

            /// Creates a subnet and sets its identity.
            #[pallet::call_index(79)]
            #[pallet::weight((call_weights::register_network_with_identity(), DispatchClass::Normal, Pays::Yes))]
            pub fn register_network_with_identity(
                origin: OriginFor<T>,
                hotkey: T::AccountId,
                identity: Option<SubnetIdentityV3>,
            ) -> DispatchResult {
                let who = ensure_signed(origin)?;
                Self::do_register_network_with_identity(&who, &hotkey, identity)
            }

            /// Sets the identity of a subnet.
            #[pallet::call_index(78)]
            #[pallet::weight((call_weights::set_subnet_identity(), DispatchClass::Normal, Pays::Yes))]
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

            /// Starts a subnet: its emission begins, and its alpha can be bought.
            #[pallet::call_index(92)]
            #[pallet::weight((call_weights::start_call(), DispatchClass::Normal, Pays::Yes))]
            pub fn start_call(origin: OriginFor<T>, netuid: NetUid) -> DispatchResult {
                // Before the origin, as on the real chain.
                ensure!(Self::subnet_exists(netuid), Error::<T>::SubnetNotExists);
                let who = ensure_signed(origin)?;
                Self::do_start_call(&who, netuid)
            }

            /// Deprecated: succeeds without effect, for a fee. `AdminUtils.sudo_set_tempo` sets the
            /// tempo.
            #[pallet::call_index(139)]
            #[pallet::weight((call_weights::set_tempo(), DispatchClass::Normal, Pays::Yes))]
            pub fn set_tempo(_origin: OriginFor<T>, _netuid: NetUid, _tempo: u16) -> DispatchResult {
                Ok(())
            }

            /// Deprecated: succeeds without effect, for a fee.
            /// `AdminUtils.sudo_set_activity_cutoff_factor` sets the factor.
            #[pallet::call_index(140)]
            #[pallet::weight((call_weights::set_activity_cutoff_factor(), DispatchClass::Normal, Pays::Yes))]
            pub fn set_activity_cutoff_factor(
                _origin: OriginFor<T>,
                _netuid: NetUid,
                _factor_milli: u32,
            ) -> DispatchResult {
                Ok(())
            }

            /// Triggers an epoch of a subnet. Only the subnet's owner may call this.
            #[pallet::call_index(141)]
            #[pallet::weight((call_weights::trigger_epoch(), DispatchClass::Normal, Pays::Yes))]
            pub fn trigger_epoch(origin: OriginFor<T>, netuid: NetUid) -> DispatchResult {
                let who = ensure_signed(origin)?;
                Self::do_trigger_epoch(&who, netuid)
            }

            /// Dissolves a subnet; `coldkey` is ignored. Only root may call this.
            #[pallet::call_index(61)]
            #[pallet::weight((call_weights::dissolve_network(), DispatchClass::Normal, Pays::Yes))]
            pub fn dissolve_network(origin: OriginFor<T>, _coldkey: T::AccountId, netuid: NetUid) -> DispatchResult {
                ensure_root(origin)?;
                Self::do_dissolve_network(netuid)
            }

            /// Changes the symbol of a subnet's alpha. Only root and the subnet's owner may call
            /// this.
            #[pallet::call_index(112)]
            #[pallet::weight((call_weights::update_symbol(), DispatchClass::Normal, Pays::Yes))]
            pub fn update_symbol(origin: OriginFor<T>, netuid: NetUid, symbol: Vec<u8>) -> DispatchResult {
                Self::ensure_owner_or_root(origin, netuid)?;
                ensure!(Self::subnet_exists(netuid), Error::<T>::SubnetNotExists);
                Self::do_update_symbol(netuid, symbol)
            }

            /// Dissolves a subnet. Only root may call this.
            #[pallet::call_index(120)]
            #[pallet::weight((call_weights::root_dissolve_network(), DispatchClass::Normal, Pays::Yes))]
            pub fn root_dissolve_network(origin: OriginFor<T>, netuid: NetUid) -> DispatchResult {
                ensure_root(origin)?;
                Self::do_dissolve_network(netuid)
            }

            /// Enables tracking of voting power on a subnet. Only root and the subnet's owner may
            /// call this.
            #[pallet::call_index(129)]
            #[pallet::weight((call_weights::enable_voting_power_tracking(), DispatchClass::Normal, Pays::Yes))]
            pub fn enable_voting_power_tracking(origin: OriginFor<T>, netuid: NetUid) -> DispatchResult {
                Self::ensure_owner_or_root(origin, netuid)?;
                ensure!(Self::subnet_exists(netuid), Error::<T>::SubnetNotExists);
                Self::do_enable_voting_power_tracking(netuid);
                Ok(())
            }

            /// Disables tracking of voting power on a subnet after 100 800 blocks. Only root and
            /// the subnet's owner may call this.
            #[pallet::call_index(130)]
            #[pallet::weight((call_weights::disable_voting_power_tracking(), DispatchClass::Normal, Pays::Yes))]
            pub fn disable_voting_power_tracking(origin: OriginFor<T>, netuid: NetUid) -> DispatchResult {
                Self::ensure_owner_or_root(origin, netuid)?;
                ensure!(Self::subnet_exists(netuid), Error::<T>::SubnetNotExists);
                Self::do_disable_voting_power_tracking(netuid)
            }

            /// Sets the smoothing factor of voting power on a subnet, in parts of 10¹⁸. Only root
            /// may call this.
            #[pallet::call_index(131)]
            #[pallet::weight((call_weights::sudo_set_voting_power_ema_alpha(), DispatchClass::Normal, Pays::Yes))]
            pub fn sudo_set_voting_power_ema_alpha(origin: OriginFor<T>, netuid: NetUid, alpha: u64) -> DispatchResult {
                ensure_root(origin)?;
                ensure!(Self::subnet_exists(netuid), Error::<T>::SubnetNotExists);
                Self::do_set_voting_power_ema_alpha(netuid, alpha)
            }
        }
    };
}
