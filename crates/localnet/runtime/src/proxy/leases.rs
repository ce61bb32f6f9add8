//! Proxies of leases: the beneficiary operates the leased subnet for the coldkey of the lease.

use sp_runtime::DispatchResult;

use super::{Pallet, ProxyType};
use crate::runtime::{AccountId, Runtime};
use crate::subtensor::Proxies;

impl Proxies<AccountId> for Pallet<Runtime> {
    fn add_beneficiary(lease_coldkey: &AccountId, beneficiary: &AccountId) -> DispatchResult {
        Self::add_proxy_delegate(
            lease_coldkey,
            beneficiary.clone(),
            ProxyType::SubnetLeaseBeneficiary,
            0,
        )
    }

    fn remove_beneficiary(lease_coldkey: &AccountId, beneficiary: &AccountId) -> DispatchResult {
        Self::remove_proxy_delegate(
            lease_coldkey,
            beneficiary.clone(),
            ProxyType::SubnetLeaseBeneficiary,
            0,
        )
    }
}
