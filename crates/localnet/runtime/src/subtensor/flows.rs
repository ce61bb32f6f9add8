//! TAO flows into and out of the subnets' pools.
//!
//! Flows are only counted; emission does not follow them. That this is so on the real chain in spec
//! version 461 is inferred, not recorded. Its metadata is contradictory: the documentation of
//! `EmissionGateBar` says that shares of average prices drive emission, that of
//! `sudo_set_net_tao_flow_enabled` that the shares use flows. The published source
//! (`pallets/subtensor/src/coinbase/subnet_emissions.rs` of RaoFoundation/subtensor at f8ff769a)
//! computes shares from prices, and has a computation from flows that no code calls.

use super::{Config, Pallet, SubnetProtocolFlow, SubnetTaoFlow};
use crate::types::{NetUid, TaoBalance};

impl<T: Config> Pallet<T> {
    /// Counts TAO that an account paid into the pool of a subnet.
    pub(super) fn record_tao_inflow(netuid: NetUid, tao: TaoBalance) {
        SubnetTaoFlow::<T>::mutate(netuid, |flow| *flow = flow.saturating_add_unsigned(tao.0));
    }

    /// Counts TAO that an account received from the pool of a subnet.
    pub(super) fn record_tao_outflow(netuid: NetUid, tao: TaoBalance) {
        SubnetTaoFlow::<T>::mutate(netuid, |flow| *flow = flow.saturating_sub_unsigned(tao.0));
    }

    /// Counts TAO that emission added to the pool of a subnet.
    pub(super) fn record_protocol_inflow(netuid: NetUid, tao: TaoBalance) {
        SubnetProtocolFlow::<T>::mutate(netuid, |flow| *flow = flow.saturating_add_unsigned(tao.0));
    }

    /// Counts TAO for which root dividends were sold to the pool of a subnet.
    pub(super) fn record_protocol_outflow(netuid: NetUid, tao: TaoBalance) {
        SubnetProtocolFlow::<T>::mutate(netuid, |flow| *flow = flow.saturating_sub_unsigned(tao.0));
    }
}

#[cfg(test)]
mod tests;
