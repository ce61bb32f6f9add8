//! The demonstration's own chain: neurons register on it, the validator sets weights, an epoch shares out emission.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use taonet_chain::weights::{quantise, within_limits};
use taonet_chain::{At, Call, Chain as _, Client, Detail, Follow, WeightRow, calls};
use taonet_localnet::{Clock, Node, NodeConfig, NodeHandle};
use taonet_primitives::{MechId, NetUid, Rao, Uid, Weights};
use taonet_wallet::Keypair;

use crate::commands::serve_axon::version;

/// Babelbit's number, on the development chain as on the real one. Its subnet is started from the beginning.
pub(crate) const NETUID: NetUid = NetUid(59);
/// A block so often: a demonstration need not wait for twelve seconds.
const BLOCK_TIME: Duration = Duration::from_millis(50);
/// Who pays for everything: a development key, which opens nothing of worth.
const COLDKEY: &str = "//Alice";
/// What the validator stakes.
const STAKE: Rao = Rao::new(1_000_000_000_000);
/// Stands for this machine, since the chain takes no loopback address.
pub(crate) const ANNOUNCED: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);

/// A chain in memory, which ends with the demonstration.
pub(crate) struct DemoChain {
    netuid: NetUid,
    node: NodeHandle,
    client: Arc<Client>,
    coldkey: Keypair,
    validator: Keypair,
}

/// What the chain says of a miner after the epoch.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct OnChain {
    /// What the validator submitted for it, 65535 being the most.
    pub(crate) weight_submitted: u16,
    /// What the chain has.
    pub(crate) weight_stored: u16,
    /// Its part of the miners' emission.
    pub(crate) incentive: f64,
    /// What it earned in the epoch, in billionths of alpha.
    pub(crate) emission: u64,
}

impl DemoChain {
    /// Starts a chain and gives the validator of a subnet stake and a permit.
    pub(crate) async fn start(netuid: NetUid, validator: Keypair) -> anyhow::Result<Self> {
        let mut config = NodeConfig::new(taonet_localnet_runtime::genesis::genesis(&[])?);
        config.clock = Clock::Every(BLOCK_TIME);
        let node = Node::start(config).await.context("the demonstration's chain does not start")?;
        let client = Arc::new(Client::connect(&node.url().parse()?).await?);
        let chain = Self { netuid, node, client, coldkey: Keypair::from_uri(COLDKEY)?, validator };
        let hotkey = chain.validator.hotkey();
        if netuid != NETUID {
            chain.send(calls::start_call(netuid), &chain.coldkey).await?;
        }
        chain.send(calls::burned_register(netuid, hotkey), &chain.coldkey).await?;
        chain.send(calls::add_stake(hotkey, netuid, STAKE), &chain.coldkey).await?;
        // A permit comes with the first epoch after the stake.
        chain.pass_epoch().await?;
        Ok(chain)
    }

    /// Registers a miner and announces where it listens.
    pub(crate) async fn register(&self, miner: &Keypair, port: u16) -> anyhow::Result<()> {
        self.send(calls::burned_register(self.netuid, miner.hotkey()), &self.coldkey).await?;
        let address = SocketAddr::new(IpAddr::V4(ANNOUNCED), port);
        self.send(calls::serve_axon(self.netuid, version(), address), miner).await
    }

    /// The client that the subtensor gateway works with.
    pub(crate) fn client(&self) -> Arc<Client> {
        Arc::clone(&self.client)
    }

    /// Goes on to the end of the subnet's epoch: permits are given, emission is shared out.
    pub(crate) async fn pass_epoch(&self) -> anyhow::Result<()> {
        self.node.mine_to_epoch(self.netuid.0).await?;
        Ok(())
    }

    /// What the chain says of every neuron, the validator having asked for `weights`.
    pub(crate) async fn standings(&self, weights: &Weights) -> anyhow::Result<BTreeMap<Uid, OnChain>> {
        let head = self.client.head().await?;
        let rules = self.client.weight_rules(self.netuid, head.into()).await?;
        let shares: Vec<_> = weights.uids.iter().copied().zip(weights.weights.iter().copied()).collect();
        let submitted = quantise(&within_limits(&shares, &rules)?)?;
        let metagraph = self.client.metagraph(self.netuid, MechId(0), Detail::Lite, At::Head).await?;
        let validator = self.client.uid(self.netuid, &self.validator.hotkey(), At::Head).await?;
        let validator = validator.context("the validator has no slot on the chain")?;
        let stored = self.client.weights_of(self.netuid, MechId(0), validator, At::Head).await?;
        let of = |row: &WeightRow, uid| row.iter().find(|(known, _)| *known == uid).map_or(0, |(_, weight)| *weight);
        let row = |neuron: &taonet_chain::Neuron| OnChain {
            weight_submitted: of(&submitted, neuron.uid),
            weight_stored: of(&stored, neuron.uid),
            incentive: f64::from(neuron.incentive) / f64::from(u16::MAX),
            emission: neuron.emission.get(),
        };
        Ok(metagraph.neurons.iter().map(|neuron| (neuron.uid, row(neuron))).collect())
    }

    /// Ends the chain.
    pub(crate) async fn stop(self) {
        self.node.stop().await;
    }

    async fn send(&self, call: Call, signer: &Keypair) -> anyhow::Result<()> {
        let outcome = self.client.send(&call, signer, Follow::default()).await?;
        anyhow::ensure!(outcome.is_success(), "the demonstration's chain refused {}: {outcome:?}", call.name());
        Ok(())
    }
}
