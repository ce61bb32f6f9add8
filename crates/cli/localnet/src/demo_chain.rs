//! A demonstration's chain: registrations, weights, and the emission of an epoch.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use taonet_chain::weights::{quantise, within_limits};
use taonet_chain::{At, Call, Chain as _, Client, Detail, Follow, Network, calls};
use taonet_cli_base::endpoint::version;
use taonet_localnet::{Clock, Node, NodeConfig, NodeHandle};
use taonet_primitives::{MechId, NetUid, Rao, Uid, Weights};
use taonet_validator::{EpochError, EpochReport};
use taonet_wallet::Keypair;

/// Babelbit's netuid, the same as on the main network. The demonstrations of other subnets also use
/// this subnet: only it is started at genesis, and it does not require commit-reveal.
pub const NETUID: NetUid = NetUid(59);
/// The key of a demonstration's validator: a public development key.
pub const VALIDATOR: &str = "//Alice";
/// Block time; much shorter than the main network's 12 s.
const BLOCK_TIME: Duration = Duration::from_millis(50);
/// Number of newest blocks whose headers and bodies are kept in memory: those of ten minutes.
const RETAINED_BLOCKS: u32 = 12_000;
/// Maximum number of submissions of the weights of an epoch.
const MAX_SUBMISSIONS: usize = 20;
/// Key that pays for all registrations: a development key without funds of value.
const COLDKEY: &str = "//Alice";
/// Stake of the validator.
const STAKE: Rao = Rao::new(1_000_000_000_000);
/// Placeholder address for this machine, since the chain rejects loopback addresses.
pub const PLACEHOLDER_ADDRESS: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);

/// An in-memory chain that ends with the demonstration.
pub struct DemoChain {
    node: NodeHandle,
    client: Arc<Client>,
    coldkey: Keypair,
    validator: Keypair,
}

/// A miner's state on the chain after the epoch.
#[derive(Debug, Clone, Copy, Default)]
pub struct MinerOnChain {
    /// Weight that the validator submitted, in parts of 65535.
    pub weight_submitted: u16,
    /// Weight stored on the chain, in parts of 65535.
    pub weight_stored: u16,
    /// Share of the miners' emission.
    pub incentive: f64,
    /// Emission in the epoch, in rao of alpha (10⁻⁹).
    pub emission: u64,
}

/// Returns the configuration of a demonstration's node.
fn node_config() -> anyhow::Result<NodeConfig> {
    let mut config = NodeConfig::new(taonet_localnet_runtime::genesis::genesis(&[])?);
    config.clock = Some(Clock::Every(BLOCK_TIME));
    config.kept_blocks = RETAINED_BLOCKS;
    Ok(config)
}

impl DemoChain {
    /// Starts a chain and sets up the validator with stake and a permit.
    pub async fn start(validator: Keypair) -> anyhow::Result<Self> {
        let node =
            Node::start(node_config()?).await.context("cannot start the demonstration's chain")?;
        let client = Arc::new(Client::connect(&node.url().parse()?).await?);
        let chain = Self { node, client, coldkey: Keypair::from_uri(COLDKEY)?, validator };
        let hotkey = chain.validator.hotkey();
        chain.send(calls::burned_register(NETUID, hotkey), &chain.coldkey).await?;
        chain.send(calls::add_stake(hotkey, NETUID, STAKE), &chain.coldkey).await?;
        // The permit is granted at the first epoch after staking.
        chain.pass_epoch().await?;
        Ok(chain)
    }

    /// Registers a miner and publishes its endpoint.
    pub async fn register(&self, miner: &Keypair, port: u16) -> anyhow::Result<()> {
        self.send(calls::burned_register(NETUID, miner.hotkey()), &self.coldkey).await?;
        let address = SocketAddr::new(IpAddr::V4(PLACEHOLDER_ADDRESS), port);
        self.send(calls::serve_axon(NETUID, version(), address), miner).await
    }

    /// Returns the network that consists of the chain's node.
    pub fn network(&self) -> anyhow::Result<Network> {
        Ok(self.node.url().parse()?)
    }

    /// Returns the chain client that the subtensor gateway uses.
    pub fn client(&self) -> Arc<Client> {
        Arc::clone(&self.client)
    }

    /// Advances past the end of the subnet's epoch, which grants permits and distributes emission.
    pub async fn pass_epoch(&self) -> anyhow::Result<()> {
        self.node.mine_to_epoch(NETUID.0).await?;
        Ok(())
    }

    /// Returns the on-chain state of every neuron, together with the submitted `weights`.
    pub async fn standings(
        &self,
        weights: &Weights,
    ) -> anyhow::Result<BTreeMap<Uid, MinerOnChain>> {
        let head = self.client.head().await?;
        let rules = self.client.weight_rules(NETUID, head.into()).await?;
        let shares: Vec<_> =
            weights.uids.iter().copied().zip(weights.weights.iter().copied()).collect();
        let submitted_weights = quantise(&within_limits(&shares, &rules)?)?;
        let metagraph = self.client.metagraph(NETUID, MechId(0), Detail::Lite, At::Head).await?;
        let validator = self.client.uid(NETUID, &self.validator.hotkey(), At::Head).await?;
        let validator = validator.context("the validator has no uid on the chain")?;
        let stored_weights = self.client.weights_of(NETUID, MechId(0), validator, At::Head).await?;
        let standings = metagraph.neurons.iter().map(|neuron| {
            let on_chain = MinerOnChain {
                weight_submitted: weight_of(&submitted_weights, neuron.uid),
                weight_stored: weight_of(&stored_weights, neuron.uid),
                incentive: f64::from(neuron.incentive) / f64::from(u16::MAX),
                emission: neuron.emission.get(),
            };
            (neuron.uid, on_chain)
        });
        Ok(standings.collect())
    }

    /// Shuts the chain down.
    pub async fn stop(self) {
        self.node.stop().await;
    }

    async fn send(&self, call: Call, signer: &Keypair) -> anyhow::Result<()> {
        // Blocks take milliseconds: on a busy machine, many can pass before the call arrives.
        let follow = Follow { timeout_blocks: 256, ..Follow::default() };
        let outcome = self.client.send(&call, signer, follow).await?;
        anyhow::ensure!(
            outcome.is_success(),
            "the demonstration's chain rejected {}: {outcome:?}",
            call.name()
        );
        Ok(())
    }
}

/// Submits weights until the chain accepts them. On a busy machine the short blocks of a
/// demonstration's chain may outrun a submission, which then expires.
pub async fn submit_weights(
    mut submit: impl AsyncFnMut() -> Result<EpochReport, EpochError>,
) -> anyhow::Result<EpochReport> {
    let mut epoch = submit().await?;
    for _ in 1..MAX_SUBMISSIONS {
        if epoch.outcome.is_success() {
            break;
        }
        epoch = submit().await?;
    }
    let error = epoch.outcome.error().unwrap_or_default();
    anyhow::ensure!(epoch.outcome.is_success(), "the weights were not set: {error}");
    Ok(epoch)
}

fn weight_of(row: &[(Uid, u16)], neuron: Uid) -> u16 {
    row.iter().find(|(uid, _)| *uid == neuron).map_or(0, |(_, weight)| *weight)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// With the default of 100 000 blocks, a demonstration's memory would grow for 83 minutes.
    #[test]
    fn node_of_demonstration_keeps_blocks_of_ten_minutes() {
        let config = node_config().unwrap();
        assert_eq!((config.kept_blocks, config.clock), (12_000, Some(Clock::Every(BLOCK_TIME))));
        assert_eq!(BLOCK_TIME * config.kept_blocks, Duration::from_mins(10));
        assert!(config.directory.is_none(), "the chain is in memory");
    }
}
