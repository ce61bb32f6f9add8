//! Calls that lease subnets.

macro_rules! calls_of_leases {
    ([$next:ident $($later:ident)*] $($calls:tt)*) => {
        $next! {
            [$($later)*] $($calls)*

            /// Creates a leased subnet with the TAO of a crowdloan. Only a crowdloan's finalization
            /// can make this call.
            #[pallet::call_index(110)]
            #[pallet::weight((call_weights::register_leased_network(), DispatchClass::Normal, Pays::Yes))]
            pub fn register_leased_network(
                origin: OriginFor<T>,
                emissions_share: Percent,
                end_block: Option<u32>,
            ) -> DispatchResult {
                let who = ensure_signed(origin)?;
                Self::do_register_leased_network(&who, emissions_share, end_block)
            }

            /// Ends the caller's lease, and makes the caller the owner of the subnet.
            #[pallet::call_index(111)]
            #[pallet::weight((call_weights::terminate_lease(), DispatchClass::Normal, Pays::Yes))]
            pub fn terminate_lease(
                origin: OriginFor<T>,
                lease_id: u32,
                hotkey: T::AccountId,
            ) -> DispatchResultWithPostInfo {
                let who = ensure_signed(origin)?;
                let contributors = Self::do_terminate_lease(&who, lease_id, &hotkey)?;
                Ok(Some(call_weights::actual_terminate_lease(contributors)).into())
            }
        }
    };
}
