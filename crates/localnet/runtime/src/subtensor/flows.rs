//! TAO flows into and out of the subnets' pools.
//!
//! As on the real chain in spec version 461, flows are only counted; emission does not follow them.

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
