//! Calls that set, commit and reveal weights. As on the real chain, some checks precede that of the
//! origin.

macro_rules! calls_of_weights {
    ([$next:ident $($later:ident)*] $($calls:tt)*) => {
        $next! {
            [$($later)*] $($calls)*

            /// Sets the weights of the caller's hotkey.
            #[pallet::call_index(0)]
            #[pallet::weight((call_weights::set_weights(), DispatchClass::Normal, Pays::No))]
            pub fn set_weights(
                origin: OriginFor<T>,
                netuid: NetUid,
                dests: Vec<u16>,
                weights: Vec<u16>,
                version_key: u64,
            ) -> DispatchResult {
                Self::ensure_commits_disabled(netuid)?;
                let who = ensure_signed(origin)?;
                Self::do_set_weights(&who, netuid, &dests, &weights, version_key)
            }

            /// Sets the weights of the caller's hotkey for one mechanism.
            #[pallet::call_index(119)]
            #[pallet::weight((call_weights::set_mechanism_weights(dests), DispatchClass::Normal, Pays::No))]
            pub fn set_mechanism_weights(
                origin: OriginFor<T>,
                netuid: NetUid,
                mecid: MechId,
                dests: Vec<u16>,
                weights: Vec<u16>,
                version_key: u64,
            ) -> DispatchResult {
                Self::ensure_commits_disabled(netuid)?;
                let who = ensure_signed(origin)?;
                Self::do_set_mechanism_weights(&who, netuid, mecid, &dests, &weights, version_key)
            }

            /// Commits the hash of weights, to be revealed later.
            #[pallet::call_index(96)]
            #[pallet::weight((call_weights::commit_weights(), DispatchClass::Normal, Pays::No))]
            pub fn commit_weights(origin: OriginFor<T>, netuid: NetUid, commit_hash: H256) -> DispatchResult {
                Self::ensure_mechanism_exists(netuid, MechId(0))?;
                let who = ensure_signed(origin)?;
                Self::do_commit_weights(&who, netuid, commit_hash)
            }

            /// Commits the hash of weights for one mechanism, to be revealed later.
            #[pallet::call_index(115)]
            #[pallet::weight((call_weights::commit_mechanism_weights(), DispatchClass::Normal, Pays::No))]
            pub fn commit_mechanism_weights(
                origin: OriginFor<T>,
                netuid: NetUid,
                mecid: MechId,
                commit_hash: H256,
            ) -> DispatchResult {
                Self::ensure_mechanism_exists(netuid, mecid)?;
                let who = ensure_signed(origin)?;
                Self::do_commit_mechanism_weights(&who, netuid, mecid, commit_hash)
            }

            /// Reveals committed weights.
            #[pallet::call_index(97)]
            #[pallet::weight((call_weights::reveal_weights(), DispatchClass::Normal, Pays::No))]
            pub fn reveal_weights(
                origin: OriginFor<T>,
                netuid: NetUid,
                uids: Vec<u16>,
                values: Vec<u16>,
                salt: Vec<u16>,
                version_key: u64,
            ) -> DispatchResult {
                ensure!(Self::subnet_exists(netuid), Error::<T>::SubnetNotExists);
                let who = ensure_signed(origin)?;
                Self::do_reveal_weights(&who, netuid, &uids, &values, &salt, version_key)
            }

            /// Reveals committed weights for one mechanism.
            #[pallet::call_index(116)]
            #[pallet::weight((call_weights::reveal_mechanism_weights(uids), DispatchClass::Normal, Pays::No))]
            pub fn reveal_mechanism_weights(
                origin: OriginFor<T>,
                netuid: NetUid,
                mecid: MechId,
                uids: Vec<u16>,
                values: Vec<u16>,
                salt: Vec<u16>,
                version_key: u64,
            ) -> DispatchResult {
                ensure!(Self::subnet_exists(netuid), Error::<T>::SubnetNotExists);
                let who = ensure_signed(origin)?;
                Self::do_reveal_mechanism_weights(&who, netuid, mecid, &uids, &values, &salt, version_key)
            }

            /// Commits timelocked weights, which the drand pulse of the reveal round reveals.
            #[pallet::call_index(113)]
            #[pallet::weight((call_weights::commit_timelocked_weights(), DispatchClass::Normal, Pays::No))]
            pub fn commit_timelocked_weights(
                origin: OriginFor<T>,
                netuid: NetUid,
                commit: BoundedVec<u8, ConstU32<MAX_COMMIT_LEN>>,
                reveal_round: u64,
                commit_reveal_version: u16,
            ) -> DispatchResult {
                Self::ensure_mechanism_exists(netuid, MechId(0))?;
                let who = ensure_signed(origin)?;
                Self::do_commit_timelocked_weights(&who, netuid, commit, reveal_round, commit_reveal_version)
            }

            /// Commits timelocked weights for one mechanism, which the drand pulse of the reveal
            /// round reveals.
            #[pallet::call_index(118)]
            #[pallet::weight((call_weights::commit_timelocked_mechanism_weights(), DispatchClass::Normal, Pays::No))]
            pub fn commit_timelocked_mechanism_weights(
                origin: OriginFor<T>,
                netuid: NetUid,
                mecid: MechId,
                commit: BoundedVec<u8, ConstU32<MAX_COMMIT_LEN>>,
                reveal_round: u64,
                commit_reveal_version: u16,
            ) -> DispatchResult {
                Self::ensure_mechanism_exists(netuid, mecid)?;
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

            /// Sets the weights of the caller's hotkey on several subnets.
            #[pallet::call_index(80)]
            #[pallet::weight((call_weights::batch_set_weights(), DispatchClass::Normal, Pays::No))]
            pub fn batch_set_weights(
                origin: OriginFor<T>,
                netuids: Vec<Compact<NetUid>>,
                weights: Vec<Vec<(Compact<u16>, Compact<u16>)>>,
                version_keys: Vec<Compact<u64>>,
            ) -> DispatchResult {
                let who = ensure_signed(origin)?;
                Self::do_batch_set_weights(&who, netuids, &weights, &version_keys)
            }

            /// Reveals several commits of the caller's hotkey on one subnet.
            #[pallet::call_index(98)]
            #[pallet::weight((call_weights::batch_reveal_weights(), DispatchClass::Normal, Pays::No))]
            pub fn batch_reveal_weights(
                origin: OriginFor<T>,
                netuid: NetUid,
                uids_list: Vec<Vec<u16>>,
                values_list: Vec<Vec<u16>>,
                salts_list: Vec<Vec<u16>>,
                version_keys: Vec<u64>,
            ) -> DispatchResult {
                ensure!(Self::subnet_exists(netuid), Error::<T>::SubnetNotExists);
                let who = ensure_signed(origin)?;
                Self::do_batch_reveal_weights(&who, netuid, &uids_list, &values_list, &salts_list, &version_keys)
            }

            /// Commits weights of the caller's hotkey on several subnets.
            #[pallet::call_index(100)]
            #[pallet::weight((call_weights::batch_commit_weights(), DispatchClass::Normal, Pays::No))]
            pub fn batch_commit_weights(
                origin: OriginFor<T>,
                netuids: Vec<Compact<NetUid>>,
                commit_hashes: Vec<H256>,
            ) -> DispatchResult {
                let who = ensure_signed(origin)?;
                Self::do_batch_commit_weights(&who, netuids, &commit_hashes)
            }

            /// Commits timelocked weights for one mechanism, with version 4 of commit-reveal.
            #[pallet::call_index(117)]
            #[pallet::weight((call_weights::commit_crv3_mechanism_weights(), DispatchClass::Normal, Pays::No))]
            pub fn commit_crv3_mechanism_weights(
                origin: OriginFor<T>,
                netuid: NetUid,
                mecid: MechId,
                commit: BoundedVec<u8, ConstU32<MAX_COMMIT_LEN>>,
                reveal_round: u64,
            ) -> DispatchResult {
                Self::ensure_mechanism_exists(netuid, mecid)?;
                let who = ensure_signed(origin)?;
                Self::do_commit_timelocked_mechanism_weights(&who, netuid, mecid, commit, reveal_round, 4)
            }
        }
    };
}
