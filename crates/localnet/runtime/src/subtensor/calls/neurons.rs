//! Calls that register neurons and announce their endpoints, and the faucet.

macro_rules! calls_of_neurons {
    ([$next:ident $($later:ident)*] $($calls:tt)*) => {
        $next! {
            [$($later)*] $($calls)*

            /// Registers a hotkey on a subnet at the current registration price.
            #[pallet::call_index(7)]
            #[pallet::weight((call_weights::burned_register(), DispatchClass::Normal, Pays::Yes))]
            pub fn burned_register(origin: OriginFor<T>, netuid: NetUid, hotkey: T::AccountId) -> DispatchResult {
                let who = ensure_signed(origin)?;
                Self::do_burned_register(&who, netuid, hotkey)
            }

            /// Registers a hotkey on a subnet if the registration price is at or below a limit.
            #[pallet::call_index(134)]
            #[pallet::weight((call_weights::register_limit(), DispatchClass::Normal, Pays::Yes))]
            pub fn register_limit(
                origin: OriginFor<T>,
                netuid: NetUid,
                hotkey: T::AccountId,
                limit_price: u64,
            ) -> DispatchResult {
                let who = ensure_signed(origin)?;
                Self::do_register_limit(&who, netuid, hotkey, limit_price)
            }

            /// Registers a hotkey on root.
            #[pallet::call_index(62)]
            #[pallet::weight((call_weights::root_register(), DispatchClass::Normal, Pays::Yes))]
            pub fn root_register(origin: OriginFor<T>, hotkey: T::AccountId) -> DispatchResult {
                let who = ensure_signed(origin)?;
                Self::do_root_register(&who, &hotkey)
            }

            /// Announces the caller's axon.
            #[pallet::call_index(4)]
            #[pallet::weight((call_weights::serve_axon(), DispatchClass::Normal, Pays::No))]
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

            /// Announces the caller's axon and its TLS certificate.
            #[pallet::call_index(40)]
            #[pallet::weight((call_weights::serve_axon_tls(), DispatchClass::Normal, Pays::No))]
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

            /// Announces the caller's metrics endpoint.
            #[pallet::call_index(5)]
            #[pallet::weight((call_weights::serve_prometheus(), DispatchClass::Normal, Pays::No))]
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

            /// Registers a hotkey at the current registration price; the proof of work is ignored,
            /// as on the real chain.
            #[pallet::call_index(6)]
            #[pallet::weight((call_weights::register(), DispatchClass::Normal, Pays::Yes))]
            #[allow(clippy::too_many_arguments)]
            pub fn register(
                origin: OriginFor<T>,
                netuid: NetUid,
                _block_number: u64,
                _nonce: u64,
                _work: Vec<u8>,
                hotkey: T::AccountId,
                _coldkey: T::AccountId,
            ) -> DispatchResult {
                let who = ensure_signed(origin)?;
                Self::do_burned_register(&who, netuid, hotkey)
            }

            /// Pays 1 000 TAO for proof of work.
            #[pallet::call_index(60)]
            #[pallet::weight((call_weights::faucet(), DispatchClass::Normal, Pays::No))]
            pub fn faucet(origin: OriginFor<T>, block_number: u64, nonce: u64, work: Vec<u8>) -> DispatchResult {
                let who = ensure_signed(origin)?;
                Self::do_faucet(who, block_number, nonce, work)
            }

            /// Registers a hotkey for proof of work, without a price.
            #[pallet::call_index(151)]
            #[pallet::weight((call_weights::register(), DispatchClass::Normal, Pays::No))]
            pub fn pow_register(
                origin: OriginFor<T>,
                netuid: NetUid,
                work_block: u64,
                nonce: u64,
                work: Vec<u8>,
                hotkey: T::AccountId,
            ) -> DispatchResult {
                let who = ensure_signed(origin)?;
                Self::do_pow_register(&who, netuid, work_block, nonce, &work, hotkey)
            }
        }
    };
}
