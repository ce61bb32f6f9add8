use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use taonet_primitives::{Hotkey, NetUid};
use taonet_service::Shutdown;

use super::answer::ApiError;
use taonet_validator::subtensor_gateway::{GatewayClient, GatewayError};

/// How often the subnet's neurons are looked up.
const LOOK_EVERY: Duration = Duration::from_mins(1);
/// How soon it is tried again where that fails.
const TRY_AGAIN: Duration = Duration::from_secs(5);

/// Who is registered on the subnet, and in which slot. Clones share what is known.
#[derive(Debug, Clone)]
pub struct Members {
    chain: GatewayClient,
    netuid: NetUid,
    slots: Arc<RwLock<Option<Slots>>>,
}

/// The slot of each member.
type Slots = Arc<HashMap<Hotkey, u16>>;

impl Members {
    /// The members of a subnet, as the subtensor gateway tells. Nobody is known before [`Members::refresh`].
    pub fn new(chain: GatewayClient, netuid: NetUid) -> Self {
        Self { chain, netuid, slots: Arc::default() }
    }

    /// Asks the chain.
    ///
    /// # Errors
    /// [`GatewayError`]; what was known counts on.
    pub async fn refresh(&self) -> Result<(), GatewayError> {
        let snapshot = self.chain.snapshot(self.netuid).await?;
        let slots = (0..).zip(&snapshot.hotkeys).filter_map(|(uid, hotkey)| Some((hotkey.parse().ok()?, uid)));
        *self.slots.write().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(slots.collect()));
        Ok(())
    }

    /// Asks the chain every minute, until the end is asked for.
    pub async fn follow(&self, shutdown: &Shutdown) {
        loop {
            let pause = match self.refresh().await {
                Ok(()) => LOOK_EVERY,
                Err(error) => {
                    tracing::warn!(%error, "the subnet's neurons are not known, trying again");
                    TRY_AGAIN
                }
            };
            tokio::select! {
                () = shutdown.requested() => return,
                () = tokio::time::sleep(pause) => {}
            }
        }
    }

    /// The slots as they were read last; [`ApiError::MembersUnknown`] where they never were.
    pub(super) fn slots(&self) -> Result<Slots, ApiError> {
        self.slots.read().unwrap_or_else(PoisonError::into_inner).clone().ok_or(ApiError::MembersUnknown)
    }
}
