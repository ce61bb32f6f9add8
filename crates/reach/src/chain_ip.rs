use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Why an address entry on the chain is not an IP address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ChainIpError {
    /// The IP version is neither 4 nor 6.
    #[error("IP version is {0}, expected 4 or 6")]
    Version(u8),
    /// The number exceeds the 32 bits of an IPv4 address.
    #[error("{0} is too large for an IPv4 address")]
    TooLarge(u128),
}

/// An IP address as stored in the chain's storage map `Axons`: an integer, and the IP version 4 or 6.
///
/// ```
/// use taonet_reach::ChainIp;
///
/// let home = ChainIp::from("127.0.0.1".parse::<std::net::IpAddr>()?);
/// assert_eq!((home.ip, home.ip_type), (2_130_706_433, 4));
/// assert!(home.is_serving());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ChainIp {
    /// The address's bytes in network order, as one integer.
    pub ip: u128,
    /// The IP version: 4 or 6.
    pub ip_type: u8,
}

impl ChainIp {
    /// Converts the entry to an IP address.
    ///
    /// # Errors
    /// [`ChainIpError`] if the entry is malformed. The chain validates new entries, but may contain
    /// malformed old ones.
    pub fn to_ip(self) -> Result<IpAddr, ChainIpError> {
        match self.ip_type {
            4 => {
                let bits = u32::try_from(self.ip).map_err(|_| ChainIpError::TooLarge(self.ip))?;
                Ok(Ipv4Addr::from_bits(bits).into())
            }
            6 => Ok(Ipv6Addr::from_bits(self.ip).into()),
            other => Err(ChainIpError::Version(other)),
        }
    }

    /// Whether a neuron with this address is serving: on the chain, the address 0.0.0.0 means "not
    /// serving".
    pub const fn is_serving(self) -> bool {
        self.ip != 0
    }
}

impl From<IpAddr> for ChainIp {
    fn from(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(address) => Self { ip: address.to_bits().into(), ip_type: 4 },
            IpAddr::V6(address) => Self { ip: address.to_bits(), ip_type: 6 },
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn ip_addresses_have_the_numbers_of_the_chain() {
        for (text, ip, ip_type) in [
            ("0.0.0.0", 0, 4),
            ("127.0.0.1", 2_130_706_433, 4),
            ("192.168.1.2", 3_232_235_778, 4),
            ("255.255.255.255", 4_294_967_295, 4),
            ("::1", 1, 6),
            ("2001:db8::1", 42_540_766_411_282_592_856_903_984_951_653_826_561, 6),
        ] {
            let address: IpAddr = text.parse().unwrap();
            assert_eq!(ChainIp::from(address), ChainIp { ip, ip_type });
            assert_eq!(ChainIp { ip, ip_type }.to_ip(), Ok(address));
            assert_eq!(ChainIp { ip, ip_type }.is_serving(), text != "0.0.0.0");
        }
    }

    #[test]
    fn ip_out_of_range_or_unknown_type_is_error() {
        assert_eq!(
            ChainIp { ip: 1 << 32, ip_type: 4 }.to_ip(),
            Err(ChainIpError::TooLarge(1 << 32))
        );
        assert_eq!(ChainIp { ip: 1, ip_type: 0 }.to_ip(), Err(ChainIpError::Version(0)));
    }

    proptest! {
        #[test]
        fn every_address_round_trips(address: IpAddr) {
            prop_assert_eq!(ChainIp::from(address).to_ip(), Ok(address));
        }
    }
}
