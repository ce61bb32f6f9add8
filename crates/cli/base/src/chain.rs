//! Chain access: network selection, signing, and the outcome of calls.

mod account;
mod arguments;
mod expected_refusal;
mod identity;
mod locks;
mod named_calls;
mod proxied;
mod rate_limit;
mod registration;
mod report;
mod shield;
mod signer;
mod spending;
mod submit;
mod withdrawal;

use clap::Args;
use serde_json::{Value, json};
use taonet_chain::{At, Block, Chain as _, ChainError, Client, Network};
use taonet_primitives::{BlockHash, BlockNumber};
use taonet_settings::{NETWORK_VARIABLES, selected_network};

use crate::exit::{ClassifiedError, Failure};
use crate::settings;

pub use account::{Account, ReadColdkeyArgs};
pub use arguments::{HexBytes, JsonArguments, NamedArgument, parse_argument};
pub use expected_refusal::ExpectedRefusal;
pub use identity::{describe_changes, print_identity};
pub use locks::{StakeLock, convictions, lock_on, locks_of};
pub use named_calls::NamedCallChecks;
pub use rate_limit::{RateLimit, stored_blocks};
pub use registration::Registration;
pub use report::report_impersonated_call;
pub use signer::{
    AnyKeyArgs, ColdkeyArgs, PairArgs, SigningHotkeyArgs, check_development, is_loopback,
    not_development_error,
};
pub(crate) use signer::{NetworkSource, check_development_before, query_development};
pub use spending::Spending;
pub use submit::{Plan, SubmitArgs, TxArgs, publish};
pub use withdrawal::{Withdrawal, no_stake};

/// Network name of the node that `tao localnet` runs.
pub const LOCAL_NETWORK: &str = "local";
const DEFAULT_NETWORK: &str = "finney";

/// Arguments that select the network
#[derive(Debug, Args)]
#[command(next_help_heading = "Network options")]
pub struct NetworkArgs {
    /// Network: finney, test, archive, local, or node URLs; a comma-separated list is tried in
    /// order on failure [env: BT_CHAIN_ENDPOINT, BT_NETWORK, BITTENSOR_SUBTENSOR_ENDPOINT]
    /// [default: finney]
    #[arg(long, short = 'n', value_name = "NETWORK")]
    #[arg(aliases = ["subtensor.network", "subtensor.chain_endpoint", "subtensor-chain-endpoint", "chain"])]
    network: Option<String>,
}

/// Argument that selects the block to read
#[derive(Debug, Args)]
pub struct AtArgs {
    /// Read the state after this block: a number, a hash, or `finalized` [default: the newest]
    #[arg(long, short = 'b', value_name = "BLOCK", value_parser = parse_at)]
    block: Option<At>,
}

impl NetworkArgs {
    /// Returns the selected network.
    pub fn network(&self) -> anyhow::Result<Network> {
        self.network.as_deref().map_or_else(|| configured_network(None), parse_network)
    }

    /// Returns the selected network; unless `--network` is set, with a fallback node appended.
    pub fn network_with_fallback(&self, fallback: Option<&str>) -> anyhow::Result<Network> {
        if self.network.is_none() { configured_network(fallback) } else { self.network() }
    }

    /// Connects to the selected network.
    pub async fn connect(&self) -> anyhow::Result<Client> {
        let network = self.network()?;
        tracing::info!(%network, "connecting");
        Client::connect(&network).await.map_err(chain_error)
    }
}

impl AtArgs {
    /// Resolves the block, so that all reads of a command see the same state.
    pub async fn block(&self, chain: &Client) -> anyhow::Result<Block> {
        find_block(chain, self.block.unwrap_or_default()).await
    }
}

/// Looks up a block by number, hash or tag.
pub async fn find_block(chain: &Client, at: At) -> anyhow::Result<Block> {
    match at {
        At::Head => chain.head().await.map_err(chain_error),
        At::Finalized => chain.finalized_head().await.map_err(chain_error),
        At::Number(number) => {
            let hash = chain.block_hash(number).await.map_err(chain_error)?;
            Ok(Block {
                number,
                hash: hash.ok_or_else(|| chain_error(ChainError::NoSuchBlock(at)))?,
            })
        }
        At::Hash(_) => {
            let number = chain.storage("System", "Number", &[], at).await.map_err(chain_error)?;
            let number = serde_json::from_value(number)
                .map_err(|error| anyhow::anyhow!("malformed block number: {error}"));
            let At::Hash(hash) = at else { return Err(chain_error(ChainError::NoSuchBlock(at))) };
            Ok(Block { number: number?, hash })
        }
    }
}

/// Returns the network that the environment selects, with a fallback node appended.
pub fn configured_network(fallback: Option<&str>) -> anyhow::Result<Network> {
    let text = selected_network_name(None, settings::text);
    let text = fallback.map_or_else(|| text.clone(), |fallback| format!("{text},{fallback}"));
    parse_named(network_variable(settings::text).unwrap_or("--network"), &text)
}

/// Returns the environment variable that selects the network; `read_variable` reads one.
fn network_variable(read_variable: impl Fn(&str) -> Option<String>) -> Option<&'static str> {
    NETWORK_VARIABLES
        .into_iter()
        .find(|name| read_variable(name).is_some_and(|value| !value.trim().is_empty()))
}

/// Returns the network name: from the option, the environment, or the default (finney).
fn selected_network_name(
    option: Option<&str>,
    read_variable: impl Fn(&str) -> Option<String>,
) -> String {
    option
        .map(str::to_owned)
        .or_else(|| selected_network(read_variable))
        .unwrap_or_else(|| DEFAULT_NETWORK.to_owned())
}

/// Parses a network name or a list of node URLs.
pub fn parse_network(text: &str) -> anyhow::Result<Network> {
    parse_named("--network", text)
}

/// Like [`parse_network`], with an error that names the variable in place of `--network`.
fn parse_named(name: &str, text: &str) -> anyhow::Result<Network> {
    text.parse().map_err(|error| ClassifiedError::usage(format!("{name}: {error}")))
}

/// Parses a block number, hash or tag.
pub fn parse_at(text: &str) -> Result<At, String> {
    if text == "finalized" {
        return Ok(At::Finalized);
    }
    text.parse::<BlockNumber>()
        .map(At::Number)
        .or_else(|_| text.parse::<BlockHash>().map(At::Hash))
        .map_err(|_| "expected a block number, a block hash, or `finalized`".to_owned())
}

/// Converts a chain error, with its exit code.
pub fn chain_error(error: ChainError) -> anyhow::Error {
    let is_network = matches!(error, ChainError::Unreachable { .. });
    let error = anyhow::Error::new(error);
    if is_network { ClassifiedError::with_causes(Failure::Network, &error) } else { error }
}

/// Returns a block's number and hash as JSON.
pub fn block_json(block: Block) -> Value {
    json!({ "number": block.number, "hash": block.hash })
}

/// Returns bytes as `0x` and hexadecimal digits.
pub fn hex_text(bytes: &[u8]) -> String {
    format!("0x{}", hex::encode(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn network_option_precedes_variables_and_main_network() {
        let all = [
            ("BT_CHAIN_ENDPOINT", "ws://a:1"),
            ("BT_NETWORK", "test"),
            ("BITTENSOR_SUBTENSOR_ENDPOINT", "local"),
        ];
        for (option, set, network) in [
            (Some("local"), &all[..], "local"),
            (None, &all, "ws://a:1"),
            (None, &all[1..], "test"),
            (None, &all[2..], "local"),
            (None, &[("BT_NETWORK", " ")], "finney"),
        ] {
            let variable = |name: &str| {
                set.iter().find(|(key, _)| *key == name).map(|(_, text)| (*text).to_owned())
            };
            assert_eq!(selected_network_name(option, variable), network, "{option:?} {set:?}");
        }
        let error = parse_network("Finney").unwrap_err().to_string();
        assert!(error.contains("unknown network Finney"), "{error}");
    }

    #[test]
    fn block_arguments_are_parsed() {
        let hash = format!("0x{}", "ab".repeat(32));
        assert_eq!(parse_at("17"), Ok(At::Number(BlockNumber::new(17))));
        assert_eq!(parse_at("finalized"), Ok(At::Finalized));
        assert_eq!(parse_at(&hash), Ok(At::Hash(hash.parse().unwrap())));
        for text in ["", "-1", "latest", "0x12", "99999999999"] {
            assert!(parse_at(text).is_err(), "{text}");
        }
    }
}
