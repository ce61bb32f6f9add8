use std::net::{IpAddr, Ipv4Addr};

use taonet_primitives::{Hotkey, is_public};
use taonet_wire::{Peer, PeerError};
use url::{Host, ParseError, Url};

/// Host name of the Docker host, as seen from a container.
const DOCKER_HOST_NAME: &str = "host.docker.internal";
/// Published address that stands for this machine on Nineteen's development networks.
const PLACEHOLDER_IP: Ipv4Addr = Ipv4Addr::new(0, 0, 0, 1);

/// Address of a miner: a base URL with a known host and port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MinerAddress {
    url: Url,
    host: String,
    port: u16,
}

impl MinerAddress {
    /// Returns the base URL, without the path of the predict route.
    pub fn url(&self) -> &Url {
        &self.url
    }

    /// Returns the host for signed headers.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// Returns the port of the URL, explicit or implied by the scheme.
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// Returns the peer at this address, for signed requests.
    ///
    /// # Errors
    /// [`PeerError`] when requests to the host cannot be signed.
    pub fn peer(&self, hotkey: Hotkey) -> Result<Peer, PeerError> {
        Peer::new(hotkey, self.host.as_str(), self.port)
    }
}

/// Policy that decides which miner addresses are permitted, and maps each to the address that is
/// called.
///
/// By default, only public IP addresses are permitted: signed requests to internal addresses could
/// attack the operator's network, and a host name can resolve to any address.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct AddressPolicy {
    /// Whether loopback, private and link-local addresses and host names are permitted. If so, a
    /// miner can make the caller send requests to hosts in the caller's own network. The address 0.0.0.1
    /// then represents this machine.
    pub allow_private: bool,
    /// Whether this process runs in a container, which reaches the programs of this machine at the
    /// container's host.
    pub in_container: bool,
    /// Address that represents this machine, as IP address or host name: it is replaced by loopback
    /// or, in a container, by the container's host. Chains reject loopback addresses, so miners of
    /// a development chain publish this one. Set it for development chains only: every miner of a
    /// chain can publish it.
    pub local_miner_ip: Option<String>,
}

/// Why an address is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AddressError {
    /// The text is neither `ip:port` nor a URL.
    #[error("`{address}` is neither `ip:port` nor a URL: {source}")]
    Malformed {
        /// The malformed address.
        address: String,
        /// The parse error.
        source: ParseError,
    },
    /// The URL's scheme is neither http nor https.
    #[error("`{0}` is not an http or https URL")]
    Scheme(String),
    /// The URL has a user name, query or fragment.
    #[error("`{0}` must not contain a user name, a query or a fragment")]
    ForbiddenParts(String),
    /// The port is 0.
    #[error("`{0}` has port 0; hint: use a port from 1 to 65535")]
    Port(String),
    /// The host cannot be part of signed headers.
    #[error("invalid host in `{0}`; hint: host names have letters, digits, `.`, `-` and `_`")]
    Host(String),
    /// The address is loopback, private or otherwise not public.
    #[error("`{0}` is not a public address")]
    NotPublic(IpAddr),
    /// The host is a name instead of an IP address.
    #[error("`{0}` is a host name, expected an IP address")]
    HostName(String),
}

impl AddressError {
    /// Returns whether the address is well-formed, but forbidden by the policy.
    pub const fn is_forbidden(&self) -> bool {
        matches!(self, Self::NotPublic(_) | Self::HostName(_))
    }
}

impl AddressPolicy {
    /// Returns the policy of development networks, which permits private addresses and host names.
    pub fn private() -> Self {
        Self { allow_private: true, ..Self::default() }
    }

    /// Resolves an `ip:port`, an `[ip]:port` or a URL to a permitted address.
    ///
    /// # Errors
    /// [`AddressError`] when the text is malformed or the address is not allowed.
    pub fn resolve(&self, text: &str) -> Result<MinerAddress, AddressError> {
        self.resolve_text(text, false)
    }

    /// Resolves the address of a managed miner, which may also be a public host name. The name
    /// resolves only at connection time, so use a client that checks the resulting IP addresses
    /// with [`Self::permitted`].
    ///
    /// # Errors
    /// [`AddressError`] when the text is malformed or the address is not allowed.
    pub fn resolve_managed(&self, text: &str) -> Result<MinerAddress, AddressError> {
        self.resolve_text(text, true)
    }

    /// Returns a predicate that decides to which IP addresses host names may resolve.
    pub fn permitted(&self) -> fn(IpAddr) -> bool {
        if self.allow_private { |_| true } else { is_public }
    }

    fn resolve_text(&self, text: &str, allow_names: bool) -> Result<MinerAddress, AddressError> {
        let url_text =
            if text.contains("://") { text.to_owned() } else { format!("http://{text}") };
        let mut url = Url::parse(&url_text).map_err(|source| malformed(text, source))?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(AddressError::Scheme(text.to_owned()));
        }
        if !url.username().is_empty()
            || url.password().is_some()
            || url.query().is_some()
            || url.fragment().is_some()
        {
            return Err(AddressError::ForbiddenParts(text.to_owned()));
        }
        let port = url.port_or_known_default().filter(|port| *port != 0);
        let port = port.ok_or_else(|| AddressError::Port(text.to_owned()))?;
        let Some(published_host) = url.host() else {
            return Err(malformed(text, ParseError::EmptyHost));
        };
        let published_host = published_host.to_owned();
        let host_to_call = self.resolve_host(published_host.clone(), allow_names)?;
        if host_to_call != published_host {
            url.set_host(Some(&host_to_call.to_string()))
                .map_err(|source| malformed(text, source))?;
        }
        let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']).to_owned();
        if !Peer::is_valid_host(&host) {
            return Err(AddressError::Host(text.to_owned()));
        }
        Ok(MinerAddress { url, host, port })
    }

    /// Returns the host to call for a published one. `allow_names` permits public host names.
    fn resolve_host(&self, published_host: Host, allow_names: bool) -> Result<Host, AddressError> {
        let is_local = self.is_local_miner(&published_host)
            || self.allow_private && is_placeholder(&published_host);
        if is_local || self.allow_private && is_loopback(&published_host) {
            return Ok(match published_host {
                _ if self.in_container => Host::Domain(DOCKER_HOST_NAME.to_owned()),
                _ if is_local => Host::Ipv4(Ipv4Addr::LOCALHOST),
                published_host => published_host,
            });
        }
        let ip = match published_host {
            _ if self.allow_private => return Ok(published_host),
            Host::Domain(name) if allow_names && is_public_name(&name) => {
                return Ok(Host::Domain(name));
            }
            Host::Domain(name) => return Err(AddressError::HostName(name)),
            Host::Ipv4(ip) => IpAddr::V4(ip),
            Host::Ipv6(ip) => IpAddr::V6(ip),
        };
        if is_public(ip) { Ok(published_host) } else { Err(AddressError::NotPublic(ip)) }
    }

    fn is_local_miner(&self, host: &Host) -> bool {
        self.local_miner_ip
            .as_deref()
            .is_some_and(|local_ip| local_ip.trim() == host_without_brackets(host))
    }
}

fn malformed(address: &str, source: ParseError) -> AddressError {
    AddressError::Malformed { address: address.to_owned(), source }
}

fn host_without_brackets(host: &Host) -> String {
    match host {
        Host::Ipv4(ip) => ip.to_string(),
        Host::Ipv6(ip) => ip.to_string(),
        Host::Domain(name) => name.clone(),
    }
}

fn is_placeholder(host: &Host) -> bool {
    matches!(host, Host::Ipv4(ip) if *ip == PLACEHOLDER_IP)
}

/// Whether a host is loopback, or unspecified, which connects to loopback.
fn is_loopback(host: &Host) -> bool {
    match host {
        Host::Ipv4(ip) => ip.is_loopback() || ip.is_unspecified(),
        Host::Ipv6(ip) => ip.is_loopback() || ip.is_unspecified(),
        Host::Domain(name) => name == "localhost",
    }
}

/// Whether a host name can be public; false for names of this machine, its network or its cluster.
fn is_public_name(name: &str) -> bool {
    let name = name.trim_end_matches('.').to_ascii_lowercase();
    let local_domains = [
        "localhost",
        "local",
        "internal",
        "intranet",
        "lan",
        "home",
        "corp",
        "arpa",
        "test",
        "invalid",
        "example",
    ];
    name.rsplit_once('.').is_some_and(|(_, top_level)| !local_domains.contains(&top_level))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn in_production(text: &str) -> Result<MinerAddress, AddressError> {
        AddressPolicy::default().resolve(text)
    }

    #[test]
    fn public_addresses_are_permitted() {
        for (text, url, host, port) in [
            ("8.8.8.8:8092", "http://8.8.8.8:8092/", "8.8.8.8", 8092),
            ("[2606:4700::1111]:80", "http://[2606:4700::1111]/", "2606:4700::1111", 80),
            ("https://1.1.1.1/miner", "https://1.1.1.1/miner", "1.1.1.1", 443),
        ] {
            let address = in_production(text).unwrap();
            assert_eq!((address.url().as_str(), address.host(), address.port()), (url, host, port));
        }
    }

    #[test]
    fn private_addresses_are_refused() {
        for ip in [
            "127.0.0.1",
            "127.9.9.9",
            "0.0.0.0",
            "10.1.2.3",
            "172.16.0.1",
            "192.168.1.1",
            "169.254.169.254",
            "100.64.0.1",
            "192.0.0.8",
            "198.18.0.1",
            "224.0.0.1",
            "240.0.0.1",
            "255.255.255.255",
            "203.0.113.7",
            "[::1]",
            "[::]",
            "[fe80::1]",
            "[fc00::1]",
            "[fd12::1]",
            "[ff02::1]",
            "[2001:db8::1]",
            "[::ffff:127.0.0.1]",
            "[::ffff:10.0.0.1]",
            "[64:ff9b::7f00:1]",
            "[2002:7f00:1::]",
            "[2001::1]",
            // Alternative spellings of 127.0.0.1.
            "2130706433",
            "0x7f.1",
            "0177.0.0.1",
        ] {
            let error = in_production(&format!("http://{ip}:8092"));
            assert!(matches!(error, Err(AddressError::NotPublic(_))), "{ip}: {error:?}");
        }
        for name in ["localhost", "miner.example.com", "metadata.google.internal"] {
            assert_eq!(
                in_production(&format!("{name}:80")),
                Err(AddressError::HostName(name.to_owned()))
            );
        }
    }

    #[test]
    fn managed_miners_may_have_public_names() {
        let policy = AddressPolicy::default();
        for name in ["pod-8000.proxy.runpod.net", "miner.example.com", "miner.example.com."] {
            let address = policy.resolve_managed(&format!("https://{name}/v1/predict")).unwrap();
            assert_eq!((address.host(), address.port()), (name, 443));
        }
        for name in [
            "localhost",
            "redis",
            "metadata.google.internal",
            "printer.local",
            "x.localhost",
            "x.LOCALHOST.",
        ] {
            assert!(
                matches!(
                    policy.resolve_managed(&format!("http://{name}:80")),
                    Err(AddressError::HostName(_))
                ),
                "{name}"
            );
        }
        for name in ["a+b.example.com", "a_b.example.com,x"] {
            let error = policy.resolve_managed(&format!("http://{name}:80")).unwrap_err();
            assert!(matches!(error, AddressError::Host(_)), "{error}");
        }
        assert!(matches!(policy.resolve_managed("127.0.0.1:80"), Err(AddressError::NotPublic(_))));
        assert!(!(policy.permitted())("10.0.0.1".parse().unwrap()));
        assert!((policy.permitted())("8.8.8.8".parse().unwrap()));
        let dev = AddressPolicy { allow_private: true, ..policy };
        assert!(
            (dev.permitted())("10.0.0.1".parse().unwrap())
                && dev.resolve_managed("localhost:80").is_ok()
        );
    }

    #[test]
    fn malformed_addresses_are_reported() {
        for text in ["", "8.8.8.8:99999", "http://", "8.8.8.8:port", "::1:80", "8.8.8.8 :1"] {
            assert!(matches!(in_production(text), Err(AddressError::Malformed { .. })), "{text}");
        }
        assert_eq!(
            in_production("ftp://8.8.8.8:1"),
            Err(AddressError::Scheme("ftp://8.8.8.8:1".into()))
        );
        assert_eq!(in_production("8.8.8.8:0"), Err(AddressError::Port("8.8.8.8:0".into())));
        for text in ["http://me@8.8.8.8:1", "http://8.8.8.8:1/?q", "http://8.8.8.8:1/#f"] {
            assert_eq!(in_production(text), Err(AddressError::ForbiddenParts(text.into())));
        }
    }

    #[test]
    fn development_mode_permits_private_addresses_and_maps_loopback_in_containers() {
        let host = |in_container, text: &str| {
            let local_miner_ip = Some("192.168.7.7".to_owned());
            let policy = AddressPolicy { allow_private: true, in_container, local_miner_ip };
            policy.resolve(text).unwrap().host().to_owned()
        };
        for own in ["127.0.0.1:1", "localhost:1", "0.0.0.0:1", "192.168.7.7:1"] {
            assert_eq!(host(true, own), DOCKER_HOST_NAME, "{own}");
        }
        for own in ["127.0.0.1:1", "localhost:1", "0.0.0.0:1"] {
            assert_eq!(host(false, own), own.trim_end_matches(":1"));
        }
        assert_eq!(host(false, "192.168.7.7:1"), "127.0.0.1");
        assert_eq!(host(true, "192.168.7.8:1"), "192.168.7.8");
        // Outside of development, a container makes no difference.
        let policy = AddressPolicy { in_container: true, ..AddressPolicy::default() };
        assert!(policy.resolve("127.0.0.1:1").is_err());
        assert_eq!(policy.resolve("8.8.8.8:1").unwrap().host(), "8.8.8.8");
    }
}
