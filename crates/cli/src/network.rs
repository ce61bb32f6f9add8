//! Which chain a command talks to.

use clap::Args;

use crate::exit::{Classified, Failure};

/// The word for the node of `tao localnet` and of the reference's local chain.
pub(crate) const LOCAL: &str = "local";
/// Where that node is.
pub(crate) const LOCAL_URL: &str = "ws://127.0.0.1:9944";
const DEFAULT: &str = "finney";
/// The variables that name a network, the first that is set counts.
const VARIABLES: [&str; 3] = ["BT_CHAIN_ENDPOINT", "BT_NETWORK", "BITTENSOR_SUBTENSOR_ENDPOINT"];

/// Which chain
#[derive(Debug, Args)]
#[command(next_help_heading = "Network options")]
pub(crate) struct NetworkArgs {
    /// The network: finney, test, archive, local, or the URL of a node. Given several times, a node that fails is replaced
    /// by the next. BT_CHAIN_ENDPOINT, BT_NETWORK or BITTENSOR_SUBTENSOR_ENDPOINT set it, too [default: finney]
    #[arg(
        long,
        short = 'n',
        aliases = ["subtensor.network", "subtensor.chain_endpoint", "chain"],
        value_name = "NETWORK|URL"
    )]
    network: Vec<String>,
}

impl NetworkArgs {
    /// The network that was asked for.
    pub(crate) fn network(&self) -> anyhow::Result<Network> {
        Network::of(&self.network, |name| std::env::var(name).ok())
    }
}

/// A chain by its nodes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Network {
    /// The nodes in the order in which they are tried.
    pub(crate) endpoints: Vec<String>,
}

impl Network {
    fn of(given: &[String], variable: impl Fn(&str) -> Option<String>) -> anyhow::Result<Self> {
        let set = || VARIABLES.iter().find_map(|name| variable(name).filter(|value| !value.trim().is_empty()));
        let names = if given.is_empty() { vec![set().unwrap_or_else(|| DEFAULT.to_owned())] } else { given.to_vec() };
        let endpoints: anyhow::Result<Vec<_>> = names.iter().map(|name| endpoint(name.trim())).collect();
        Ok(Self { endpoints: endpoints? })
    }

    /// Whether development keys may sign: all nodes are on this machine. That the chain is no public one, its genesis
    /// tells later.
    pub(crate) fn is_on_this_machine(&self) -> bool {
        let on_this_machine = |endpoint: &String| {
            let url = url::Url::parse(endpoint);
            url.is_ok_and(|url| match url.host() {
                Some(url::Host::Domain(name)) => name == "localhost",
                Some(url::Host::Ipv4(address)) => address.is_loopback(),
                Some(url::Host::Ipv6(address)) => address.is_loopback(),
                None => false,
            })
        };
        self.endpoints.iter().all(on_this_machine)
    }
}

/// The URL of a network's node, or the URL that was given.
pub(crate) fn endpoint(name: &str) -> anyhow::Result<String> {
    let known = match name {
        "finney" => "wss://entrypoint-finney.opentensor.ai:443",
        "test" => "wss://test.finney.opentensor.ai:443",
        "archive" => "wss://archive.chain.opentensor.ai:443",
        LOCAL => LOCAL_URL,
        other => {
            let url = url::Url::parse(other).ok().filter(|url| matches!(url.scheme(), "ws" | "wss") && url.has_host());
            return url.map(|_| other.to_owned()).ok_or_else(|| {
                let text = format!(
                    "{other} is no network: expected finney, test, archive, local, or a URL such as {LOCAL_URL}"
                );
                Classified::error(Failure::Usage, text)
            });
        }
    };
    Ok(known.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(given: &[&str], set: &[(&str, &str)]) -> anyhow::Result<Vec<String>> {
        let given: Vec<_> = given.iter().map(|text| (*text).to_owned()).collect();
        let variable = |name: &str| set.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned());
        Network::of(&given, variable).map(|network| network.endpoints)
    }

    #[test]
    fn options_come_before_variables_and_those_before_the_main_network() {
        let all = [("BT_CHAIN_ENDPOINT", "ws://a:1"), ("BT_NETWORK", "test"), ("BITTENSOR_SUBTENSOR_ENDPOINT", "local")];
        for (given, set, endpoints) in [
            (&["local"][..], &all[..], &[LOCAL_URL][..]),
            (&["ws://x:1", "ws://y:2"], &all, &["ws://x:1", "ws://y:2"]),
            (&[], &all, &["ws://a:1"]),
            (&[], &all[1..], &["wss://test.finney.opentensor.ai:443"]),
            (&[], &all[2..], &[LOCAL_URL]),
            (&[], &[("BT_NETWORK", " ")], &["wss://entrypoint-finney.opentensor.ai:443"]),
        ] {
            assert_eq!(of(given, set).unwrap(), endpoints, "{given:?} {set:?}");
        }
        for wrong in ["Finney", "http://a:1", "127.0.0.1:9944", "", "ws://"] {
            let error = of(&[wrong], &[]).unwrap_err().to_string();
            assert!(error.contains("is no network"), "{error}");
        }
    }

    #[test]
    fn this_machine_is_known_by_its_addresses() {
        for (endpoints, here) in [
            (&["ws://127.0.0.1:9944"][..], true),
            (&["ws://localhost:1", "ws://[::1]:2"], true),
            (&["ws://127.0.0.1:9944", "wss://node.example:443"], false),
            (&["ws://localhost.example:1"], false),
        ] {
            let endpoints = endpoints.iter().map(|text| (*text).to_owned()).collect();
            assert_eq!(Network { endpoints }.is_on_this_machine(), here);
        }
    }
}
