use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use taonet_primitives::{Hotkey, NetUid};
use taonet_service::Shutdown;

use super::answer::ApiError;
use taonet_validator::subtensor_gateway::{GatewayClient, GatewayError};

/// Refresh interval of the subnet's neurons.
const REFRESH_INTERVAL: Duration = Duration::from_mins(1);
/// Retry delay after a failed refresh.
const RETRY_DELAY: Duration = Duration::from_secs(5);

/// Hotkeys registered on the subnet, with their uids. Clones share the list.
#[derive(Debug, Clone)]
pub struct Members {
    chain: GatewayClient,
    netuid: NetUid,
    uids: Arc<RwLock<Option<UidsByHotkey>>>,
}

/// Uid of each member.
type UidsByHotkey = Arc<HashMap<Hotkey, u16>>;

impl Members {
    /// Creates a list of a subnet's members, read from the subtensor gateway. Members are unknown
    /// until [`Members::refresh`] succeeds.
    pub fn new(chain: GatewayClient, netuid: NetUid) -> Self {
        Self { chain, netuid, uids: Arc::default() }
    }

    /// Refreshes the list from the chain.
    ///
    /// # Errors
    /// [`GatewayError`] when the neurons cannot be read; the previous list remains valid.
    pub async fn refresh(&self) -> Result<(), GatewayError> {
        let neurons = self.chain.neurons(self.netuid).await?;
        let uids = neurons.list.iter().map(|neuron| (neuron.hotkey, neuron.uid.0));
        *self.uids.write().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(uids.collect()));
        Ok(())
    }

    /// Refreshes the list every minute until shutdown.
    pub async fn follow(&self, shutdown: &Shutdown) {
        loop {
            let pause = match self.refresh().await {
                Ok(()) => REFRESH_INTERVAL,
                Err(error) => {
                    tracing::warn!(%error, "cannot read the subnet's neurons, retrying");
                    RETRY_DELAY
                }
            };
            if !shutdown.sleep(pause).await {
                return;
            }
        }
    }

    /// Returns the last known uids; [`ApiError::MembersUnknown`] before the first successful
    /// refresh.
    pub(super) fn uids(&self) -> Result<UidsByHotkey, ApiError> {
        self.uids
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
            .ok_or(ApiError::MembersUnknown)
    }
}
