use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use taonet_chain::{Chain, ChainError, Follow, calls};
use taonet_neuron::{Neuron, Neurons};
use taonet_primitives::{NetUid, with_causes};
use taonet_service::Shutdown;
use taonet_wallet::Keypair;
use taonet_wire::StandingTable;

/// Keeps the miner and the chain up to date: publishes the miner's address, and reads the stakes
/// and permits of its callers.
pub(super) struct ChainSync {
    pub(super) keypair: Keypair,
    pub(super) chain: Arc<dyn Chain>,
    pub(super) netuid: NetUid,
    pub(super) announce: Option<SocketAddr>,
    pub(super) version: u32,
    pub(super) standings: Arc<StandingTable>,
}

impl ChainSync {
    /// Reads stakes and permits; returns the miner's own neuron, or `None` if its hotkey is not
    /// registered.
    pub(super) async fn refresh(&self) -> Result<Option<Neuron>, ChainError> {
        let neurons = Neurons::read(&*self.chain, self.netuid).await?;
        self.standings.replace(neurons.standings());
        let hotkey = self.keypair.hotkey();
        Ok(neurons.list.into_iter().find(|neuron| neuron.hotkey == hotkey))
    }

    /// Publishes the address if necessary, and refreshes, at each interval until shutdown. While
    /// the chain is unreachable, the last stakes and permits remain in effect.
    pub(super) async fn follow(&self, mut own: Option<Neuron>, every: Duration, stop: &Shutdown) {
        loop {
            let turn = async {
                self.announce(own).await;
                tokio::time::sleep(every).await;
                self.refresh().await
            };
            let read = tokio::select! {
                () = stop.requested() => return,
                read = turn => read,
            };
            match read {
                Ok(neuron) => own = neuron,
                Err(error) => {
                    tracing::warn!(error = with_causes(&error), "cannot read stakes and permits")
                }
            }
        }
    }

    /// Publishes the address unless the chain already has it. A failure is logged; the next refresh
    /// tries again, since the chain limits how often an address changes.
    async fn announce(&self, own: Option<Neuron>) {
        let Some(own) = own else {
            return tracing::warn!(hotkey = %self.keypair.hotkey(), netuid = self.netuid.0, "not registered");
        };
        let Some(address) = self.announce.filter(|address| !is_published(*address, &own)) else {
            return;
        };
        let call = calls::serve_axon(self.netuid, self.version, address);
        match self.chain.send(&call, &self.keypair, Follow::default()).await {
            Ok(outcome) if outcome.is_success() => {
                tracing::info!(%address, "address published on the chain")
            }
            Ok(outcome) => {
                tracing::warn!(%address, ?outcome, "cannot publish the address, trying again later")
            }
            Err(error) => {
                tracing::warn!(%address, error = with_causes(&error), "cannot publish the address, trying again later");
            }
        }
    }
}

/// Whether the chain has this address for the neuron. An IPv4 address in IPv6 form is published as
/// IPv4.
fn is_published(address: SocketAddr, neuron: &Neuron) -> bool {
    neuron.address == Some(SocketAddr::new(address.ip().to_canonical(), address.port()))
}
