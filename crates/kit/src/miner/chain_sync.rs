use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use taonet_chain::{Chain, ChainError, Follow, calls};
use taonet_neuron::{Neuron, Neurons};
use taonet_primitives::{NetUid, with_causes};
use taonet_service::Shutdown;
use taonet_wallet::Keypair;
use taonet_wire::RegistrationTable;

/// Keeps a server up to date with the chain: reads the stakes and permits by which a
/// [`Policy`](taonet_wire::Policy) admits callers. A [`Miner`](crate::Miner) has one
/// that also publishes its address.
pub struct ChainSync {
    chain: Arc<dyn Chain>,
    netuid: NetUid,
    registrations: Arc<RegistrationTable>,
    published_neuron: Option<PublishedNeuron>,
}

/// The neuron of a miner, whose address the sync publishes.
struct PublishedNeuron {
    keypair: Keypair,
    /// The address to publish; `None` leaves the chain as it is.
    address: Option<SocketAddr>,
    version: u32,
}

impl ChainSync {
    /// Creates a sync that replaces `registrations` by those of a subnet's neurons.
    pub fn new(
        chain: Arc<dyn Chain>,
        netuid: NetUid,
        registrations: Arc<RegistrationTable>,
    ) -> Self {
        Self { chain, netuid, registrations, published_neuron: None }
    }

    /// Publishes the address of a miner, too.
    pub(super) fn with_neuron(
        self,
        keypair: Keypair,
        address: Option<SocketAddr>,
        version: u32,
    ) -> Self {
        Self { published_neuron: Some(PublishedNeuron { keypair, address, version }), ..self }
    }

    /// Reads stakes and permits, and starts a task of `shutdown` that reads them again at each
    /// interval. While the chain is unreachable, the last stakes and permits remain in effect.
    ///
    /// # Errors
    /// [`ChainError`] when the first read fails.
    pub async fn start(self, interval: Duration, shutdown: &Shutdown) -> Result<(), ChainError> {
        let neurons = self.refresh().await?;
        self.spawn(neurons, interval, shutdown);
        Ok(())
    }

    /// Starts the refresh task with the neurons of a first [`Self::refresh`].
    pub(super) fn spawn(self, neurons: Neurons, interval: Duration, shutdown: &Shutdown) {
        shutdown.spawn_until("chain sync", |stop| async move {
            self.follow(neurons, interval, &stop).await;
        });
    }

    /// Reads the neurons of the subnet, with their stakes and permits.
    pub(super) async fn refresh(&self) -> Result<Neurons, ChainError> {
        let neurons = Neurons::read(&*self.chain, self.netuid).await?;
        self.registrations.replace(neurons.registrations());
        Ok(neurons)
    }

    /// Publishes the address if necessary, and refreshes, at each interval until shutdown.
    async fn follow(&self, mut neurons: Neurons, interval: Duration, stop: &Shutdown) {
        loop {
            let next_read = async {
                self.announce(&neurons).await;
                tokio::time::sleep(interval).await;
                self.refresh().await
            };
            let result = tokio::select! {
                () = stop.requested() => return,
                result = next_read => result,
            };
            match result {
                Ok(new_neurons) => neurons = new_neurons,
                Err(error) => {
                    tracing::warn!(error = with_causes(&error), "cannot read stakes and permits");
                }
            }
        }
    }

    /// Publishes the address unless the chain already has it. A failure is logged; the next refresh
    /// tries again, since the chain limits how often an address changes.
    async fn announce(&self, neurons: &Neurons) {
        let Some(PublishedNeuron { keypair, address, version }) = &self.published_neuron else {
            return;
        };
        let hotkey = keypair.hotkey();
        let Some(neuron) = neurons.list.iter().find(|neuron| neuron.hotkey == hotkey) else {
            return tracing::warn!(%hotkey, netuid = self.netuid.0, "not registered");
        };
        let Some(address) = address.filter(|address| !is_published(*address, neuron)) else {
            return;
        };
        let call = calls::serve_axon(self.netuid, *version, address);
        match self.chain.send(&call, keypair, Follow::default()).await {
            Ok(outcome) if outcome.is_success() => {
                tracing::info!(%address, "address published on the chain");
            }
            Ok(outcome) => {
                tracing::warn!(%address, ?outcome, "cannot publish the address, trying again later");
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
