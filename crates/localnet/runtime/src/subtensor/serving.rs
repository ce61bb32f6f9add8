//! Announcement of endpoints.

use frame_support::pallet_prelude::*;
use sp_runtime::AccountId32;

use super::types::{AxonInfo, NeuronCertificate, PrometheusInfo};
use super::{
    Axons, Config, Error, Event, NeuronCertificates, Pallet, Prometheus, ServingRateLimit,
};
use crate::types::NetUid;

impl<T: Config> Pallet<T> {
    /// Checks whether a hotkey may publish this axon now. The address 0 withdraws the endpoint.
    ///
    /// # Errors
    /// In this order: `HotKeyNotRegisteredInNetwork` if it is not registered on this subnet,
    /// `InvalidIpType`, `InvalidIpAddress`, `ServingRateLimitExceeded`, `InvalidPort`.
    pub fn check_axon(
        hotkey: &AccountId32,
        netuid: NetUid,
        ip: u128,
        port: u16,
        ip_type: u8,
    ) -> Result<(), Error<T>> {
        Self::check_neuron(hotkey, netuid)?;
        Self::check_address(ip == 0 || is_reachable(ip, ip_type), ip_type)?;
        let last_block = Axons::<T>::get(netuid, hotkey).map_or(0, |axon| axon.block);
        Self::check_rate_and_port(netuid, last_block, port)
    }

    /// Checks whether a hotkey may publish this metrics endpoint now.
    ///
    /// # Errors
    /// Same as [`Self::check_axon`], but `HotKeyNotRegisteredInNetwork` follows `InvalidIpAddress`,
    /// which is also the error for the address 0.
    pub fn check_prometheus(
        hotkey: &AccountId32,
        netuid: NetUid,
        ip: u128,
        port: u16,
        ip_type: u8,
    ) -> Result<(), Error<T>> {
        Self::check_address(ip != 0 && is_reachable(ip, ip_type), ip_type)?;
        Self::check_neuron(hotkey, netuid)?;
        let last_block = Prometheus::<T>::get(netuid, hotkey).map_or(0, |endpoint| endpoint.block);
        Self::check_rate_and_port(netuid, last_block, port)
    }

    fn check_neuron(hotkey: &AccountId32, netuid: NetUid) -> Result<(), Error<T>> {
        ensure!(Self::uid_of(netuid, hotkey).is_some(), Error::<T>::HotKeyNotRegisteredInNetwork);
        Ok(())
    }

    fn check_address(is_valid_address: bool, ip_type: u8) -> Result<(), Error<T>> {
        ensure!(matches!(ip_type, 4 | 6), Error::<T>::InvalidIpType);
        ensure!(is_valid_address, Error::<T>::InvalidIpAddress);
        Ok(())
    }

    fn check_rate_and_port(netuid: NetUid, last_block: u64, port: u16) -> Result<(), Error<T>> {
        let limit = ServingRateLimit::<T>::get(netuid);
        ensure!(Self::rate_allows(last_block, limit), Error::<T>::ServingRateLimitExceeded);
        ensure!(port != 0, Error::<T>::InvalidPort);
        Ok(())
    }

    #[allow(clippy::too_many_arguments)]
    pub(crate) fn do_serve_axon(
        who: &AccountId32,
        netuid: NetUid,
        version: u32,
        ip: u128,
        port: u16,
        ip_type: u8,
        protocol: u8,
        placeholder1: u8,
        placeholder2: u8,
    ) -> DispatchResult {
        ensure!(Self::subnet_exists(netuid), Error::<T>::SubnetNotExists);
        Self::check_axon(who, netuid, ip, port, ip_type)?;
        let block = Self::current_block();
        let axon =
            AxonInfo { block, version, ip, port, ip_type, protocol, placeholder1, placeholder2 };
        Axons::<T>::insert(netuid, who, axon);
        Self::deposit_event(Event::AxonServed(netuid, who.clone()));
        Ok(())
    }

    #[allow(clippy::too_many_arguments)]
    pub(crate) fn do_serve_axon_tls(
        who: &AccountId32,
        netuid: NetUid,
        version: u32,
        ip: u128,
        port: u16,
        ip_type: u8,
        protocol: u8,
        placeholder1: u8,
        placeholder2: u8,
        certificate: &[u8],
    ) -> DispatchResult {
        Self::do_serve_axon(
            who,
            netuid,
            version,
            ip,
            port,
            ip_type,
            protocol,
            placeholder1,
            placeholder2,
        )?;
        // A malformed certificate is ignored; the endpoint is stored without it.
        if let Some(certificate) = read_certificate(certificate) {
            NeuronCertificates::<T>::insert(netuid, who, certificate);
        }
        Ok(())
    }

    pub(crate) fn do_serve_prometheus(
        who: &AccountId32,
        netuid: NetUid,
        version: u32,
        ip: u128,
        port: u16,
        ip_type: u8,
    ) -> DispatchResult {
        ensure!(Self::subnet_exists(netuid), Error::<T>::SubnetNotExists);
        Self::check_prometheus(who, netuid, ip, port, ip_type)?;
        let block = Self::current_block();
        Prometheus::<T>::insert(netuid, who, PrometheusInfo { block, version, ip, port, ip_type });
        Self::deposit_event(Event::PrometheusServed(netuid, who.clone()));
        Ok(())
    }
}

/// Whether an address is reachable: neither loopback nor broadcast, and within the range of its
/// type.
fn is_reachable(ip: u128, ip_type: u8) -> bool {
    const LOOPBACK_V4: u128 = 0x7f00_0001;
    const LOOPBACK_V6: u128 = 1;
    match ip_type {
        4 => ip < u128::from(u32::MAX) && ip != LOOPBACK_V4,
        _ => ip != u128::MAX && ip != LOOPBACK_V6,
    }
}

/// Parses a certificate: one byte of algorithm, then a public key of at most 64 bytes.
fn read_certificate(bytes: &[u8]) -> Option<NeuronCertificate> {
    let (algorithm, key) = bytes.split_first()?;
    Some(NeuronCertificate { public_key: key.to_vec().try_into().ok()?, algorithm: *algorithm })
}

#[cfg(test)]
mod tests;
