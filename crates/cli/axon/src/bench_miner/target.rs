//! The axon to load: given by address, or by hotkey and looked up on the chain.

use std::convert::Infallible;
use std::net::IpAddr;
use std::str::FromStr;

use anyhow::{Context as _, bail};
use clap::Args;
use taonet_cli_base::chain::{NetworkArgs, chain_error};
use taonet_cli_base::exit::{ClassifiedError, Failure};
use taonet_neuron::{AddressPolicy, Neurons};
use taonet_primitives::{Hotkey, NetUid};
use taonet_wire::{Peer, is_public, permitted_addresses};

/// Arguments that select the axon
#[derive(Debug, Args)]
pub(super) struct TargetArgs {
    /// Address of the axon (URL or HOST:PORT, with --hotkey), or hotkey of the miner (with --netuid)
    #[arg(value_name = "URL|HOTKEY")]
    target: Target,
    /// Hotkey of the miner at the address; requests are signed for this receiver
    #[arg(long, value_name = "HOTKEY")]
    hotkey: Option<Hotkey>,
    /// Subnet of the miner, whose published address is called
    #[arg(long, value_name = "NETUID", conflicts_with = "hotkey")]
    netuid: Option<NetUid>,
    /// Published address that represents this machine, on a development chain
    #[arg(long, value_name = "IP", requires = "netuid", conflicts_with = "hotkey")]
    local_miner_ip: Option<String>,
    /// Call a private address that the miner publishes; others can publish an address of your own
    /// network, too
    #[arg(long, requires = "netuid", conflicts_with = "hotkey")]
    allow_private: bool,
    /// Load a public address, too: only a miner of your own, or with its operator's consent
    #[arg(long, short = 'y')]
    yes: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Target {
    Hotkey(Hotkey),
    Address(String),
}

impl FromStr for Target {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        Ok(text.parse::<Hotkey>().map_or_else(|_| Self::Address(text.to_owned()), Self::Hotkey))
    }
}

impl TargetArgs {
    /// Returns the axon; an error for a public address, unless `--yes` is set.
    pub(super) async fn resolve(&self, network: &NetworkArgs) -> anyhow::Result<Peer> {
        let peer = match (&self.target, self.hotkey, self.netuid) {
            (Target::Hotkey(hotkey), None, Some(netuid)) => {
                self.published_peer(*hotkey, netuid, network).await?
            }
            (Target::Hotkey(_), ..) => {
                return Err(ClassifiedError::usage(
                    "a hotkey requires --netuid, to look up its address",
                ));
            }
            (Target::Address(address), Some(hotkey), _) => {
                resolve_peer(hotkey, address, &AddressPolicy::private())?
            }
            (Target::Address(_), None, _) => {
                return Err(ClassifiedError::usage(
                    "an address requires --hotkey, the receiver that the requests are signed for",
                ));
            }
        };
        if !self.yes
            && let Some(address) = public_address(&peer).await?
        {
            return Err(ClassifiedError::usage(format!(
                "{address} is a public address, and a load test can disturb its operator\nhint: pass --yes if the \
                 miner is yours"
            )));
        }
        Ok(peer)
    }

    /// Returns to which addresses a host name may resolve when the client connects.
    pub(super) fn address_filter(&self) -> fn(IpAddr) -> bool {
        if self.yes { |_| true } else { |address| !is_public(address) }
    }

    /// Looks up the address that the miner publishes on the chain.
    async fn published_peer(
        &self,
        hotkey: Hotkey,
        netuid: NetUid,
        network: &NetworkArgs,
    ) -> anyhow::Result<Peer> {
        let chain = network.connect().await?;
        let neurons = Neurons::read(&chain, netuid).await.map_err(chain_error)?;
        let Some(neuron) = neurons.list.iter().find(|neuron| neuron.hotkey == hotkey) else {
            bail!("{hotkey} is not registered on subnet {netuid}");
        };
        let Some(address) = neuron.address else {
            bail!(
                "{hotkey} publishes no address on subnet {netuid}\nhint: pass the address, and --hotkey {hotkey}"
            );
        };
        resolve_peer(hotkey, &address.to_string(), &self.published_policy())
    }

    /// Returns which published addresses are called: anyone can publish an address in the caller's
    /// own network.
    fn published_policy(&self) -> AddressPolicy {
        AddressPolicy {
            allow_private: self.allow_private,
            local_miner_ip: self.local_miner_ip.clone(),
            ..AddressPolicy::default()
        }
    }
}

/// Returns the peer at an address that the policy permits.
fn resolve_peer(hotkey: Hotkey, address: &str, policy: &AddressPolicy) -> anyhow::Result<Peer> {
    let address = policy.resolve(address).map_err(|error| {
        let hint = if error.is_forbidden() {
            "\nhint: pass --allow-private if the miner is in your network"
        } else {
            ""
        };
        ClassifiedError::usage(format!("{error}{hint}"))
    })?;
    if address.url().scheme() != "http" || address.url().path() != "/" {
        return Err(ClassifiedError::usage(format!(
            "{}: expected http://HOST:PORT, without a path",
            address.url()
        )));
    }
    address.peer(hotkey).map_err(|error| ClassifiedError::usage(error.to_string()))
}

/// Returns the first public address of the peer's host, if it has one.
async fn public_address(peer: &Peer) -> anyhow::Result<Option<IpAddr>> {
    if let Ok(address) = peer.host().parse() {
        return Ok(Some(address).filter(|address| is_public(*address)));
    }
    let addresses = permitted_addresses(peer.host(), |_| true).await;
    let addresses = addresses
        .with_context(|| format!("cannot resolve {}", peer.host()))
        .map_err(|error| ClassifiedError::error(Failure::Network, format!("{error:#}")))?;
    Ok(addresses.into_iter().map(|address| address.ip()).find(|address| is_public(*address)))
}

#[cfg(test)]
mod tests {
    use clap::Parser;
    use taonet_cli_base::exit::exit_code;

    use super::*;

    const BOB: &str = "5FHneW46xGXgs5mUiveU4sbTyGBzmstUspZC92UhjJM694ty";

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        target: TargetArgs,
        #[command(flatten)]
        network: NetworkArgs,
    }

    async fn resolve(words: &[&str]) -> anyhow::Result<String> {
        let line = Line::try_parse_from([&["bench-miner"], words].concat())?;
        line.target.resolve(&line.network).await.map(|peer| peer.url(""))
    }

    #[tokio::test]
    async fn public_addresses_require_confirmation() {
        for (words, url) in [
            (&["127.0.0.1:8091", "--hotkey", BOB][..], "http://127.0.0.1:8091/"),
            (&["http://127.0.0.1:8091/", "--hotkey", BOB], "http://127.0.0.1:8091/"),
            (&["[::1]:8091", "--hotkey", BOB], "http://[::1]:8091/"),
            (&["10.0.0.7:8091", "--hotkey", BOB], "http://10.0.0.7:8091/"),
            (&["localhost:8091", "--hotkey", BOB], "http://localhost:8091/"),
            (&["8.8.8.8:8091", "--hotkey", BOB, "--yes"], "http://8.8.8.8:8091/"),
        ] {
            assert_eq!(resolve(words).await.unwrap(), url, "{words:?}");
        }
        for (words, error) in [
            (&["8.8.8.8:8091", "--hotkey", BOB][..], "8.8.8.8 is a public address"),
            (&["[2606:4700::1]:8091", "--hotkey", BOB], "2606:4700::1 is a public address"),
            (&["127.0.0.1:8091"], "an address requires --hotkey"),
            (&[BOB], "a hotkey requires --netuid"),
            (&[BOB, "--hotkey", BOB], "a hotkey requires --netuid"),
            (
                &["https://127.0.0.1:8091", "--hotkey", BOB],
                "expected http://HOST:PORT, without a path",
            ),
            (&["127.0.0.1:8091/Sum", "--hotkey", BOB], "expected http://HOST:PORT, without a path"),
            (&["127.0.0.1:0", "--hotkey", BOB], "has port 0"),
        ] {
            let result = resolve(words).await.map(drop);
            assert_eq!(exit_code(&result), 2, "{words:?}");
            let text = result.unwrap_err().to_string();
            assert!(text.contains(error), "{words:?}: {text}");
        }
    }

    #[test]
    fn private_published_addresses_require_confirmation() {
        let published = |words: &[&str], address: &str| {
            let words = [&["bench-miner", BOB, "--netuid", "59"], words].concat();
            let policy = Line::try_parse_from(words).unwrap().target.published_policy();
            resolve_peer(BOB.parse().unwrap(), address, &policy).map(|peer| peer.url(""))
        };
        for (words, address, url) in [
            (&[] as &[&str], "8.8.8.8:8091", "http://8.8.8.8:8091/"),
            (&["--local-miner-ip", "192.0.2.1"], "192.0.2.1:8091", "http://127.0.0.1:8091/"),
            (&["--allow-private"], "10.0.0.7:8091", "http://10.0.0.7:8091/"),
        ] {
            assert_eq!(published(words, address).unwrap(), url);
        }
        for address in ["10.0.0.7:8091", "127.0.0.1:8091", "169.254.169.254:80", "192.0.2.1:8091"] {
            let result = published(&[], address).map(drop);
            assert_eq!(exit_code(&result), 2, "{address}");
            let text = result.unwrap_err().to_string();
            assert!(
                text.contains("is not a public address") && text.contains("--allow-private"),
                "{text}"
            );
        }
        assert!(
            Line::try_parse_from([
                "bench-miner",
                "127.0.0.1:1",
                "--hotkey",
                BOB,
                "--allow-private"
            ])
            .is_err()
        );
    }

    #[test]
    fn resolved_public_addresses_require_confirmation() {
        let line = |words: &[&str]| {
            Line::try_parse_from([&["bench-miner", "host:1"], words].concat()).unwrap()
        };
        let (public, private): (IpAddr, IpAddr) =
            ("8.8.8.8".parse().unwrap(), "10.0.0.7".parse().unwrap());
        let (permits_unconfirmed, permits_confirmed) =
            (line(&[]).target.address_filter(), line(&["--yes"]).target.address_filter());
        assert_eq!((permits_unconfirmed(public), permits_unconfirmed(private)), (false, true));
        assert_eq!((permits_confirmed(public), permits_confirmed(private)), (true, true));
    }
}
