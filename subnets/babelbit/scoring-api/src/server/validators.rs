use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use taonet_primitives::{Hotkey, NetUid};
use taonet_service::Shutdown;

use super::error::ApiError;
use taonet_validator::subtensor_gateway::{GatewayClient, GatewayError};

/// Refresh interval of the list of the subnet's validators.
const REFRESH_INTERVAL: Duration = Duration::from_mins(1);
/// Retry delay after a failed refresh.
const RETRY_DELAY: Duration = Duration::from_secs(5);

/// Policy for submitting and reading scores.
#[derive(Debug, Clone)]
pub enum Admission {
    /// Admits all hotkeys, for local networks.
    Open,
    /// Admits only the listed hotkeys. Their scores have equal weight.
    Listed(BTreeSet<Hotkey>),
    /// Admits holders of a validator permit on a subnet. Their scores are weighted by stake.
    Permits {
        /// Source of the metagraph.
        gateway: GatewayClient,
        /// Netuid of the subnet.
        netuid: NetUid,
    },
}

/// The current list of validators.
pub(super) struct Validators {
    admission: Admission,
    stakes: RwLock<Option<Arc<HashMap<Hotkey, u64>>>>,
}

#[derive(Debug, thiserror::Error)]
enum LookupError {
    #[error(transparent)]
    Gateway(#[from] GatewayError),
    #[error(
        "the gateway does not report validator permits; hint: list the validators with --validators"
    )]
    NoPermits,
}

impl Validators {
    pub(super) fn new(admission: Admission) -> Self {
        Self { admission, stakes: RwLock::default() }
    }

    /// Rejects a hotkey that is not a validator.
    pub(super) fn admit(&self, hotkey: &Hotkey) -> Result<(), ApiError> {
        let is_admitted = match &self.admission {
            Admission::Open => true,
            Admission::Listed(listed) => listed.contains(hotkey),
            Admission::Permits { .. } => {
                self.current_stakes().ok_or(ApiError::ValidatorsUnknown)?.contains_key(hotkey)
            }
        };
        if is_admitted { Ok(()) } else { Err(ApiError::NotAdmitted(hotkey.to_string())) }
    }

    /// Returns the weight of a validator's scores; `None` excludes them.
    pub(super) fn stake(&self) -> impl Fn(&Hotkey) -> Option<u64> + '_ {
        let permits = self.current_stakes();
        move |hotkey| match &self.admission {
            Admission::Open => Some(1),
            Admission::Listed(listed) => listed.contains(hotkey).then_some(1),
            Admission::Permits { .. } => permits.as_ref()?.get(hotkey).copied(),
        }
    }

    /// Refreshes the list until shutdown. After a failure, the previous list stays in use.
    pub(super) async fn refresh_until_shutdown(&self, shutdown: &Shutdown) {
        let Admission::Permits { gateway, netuid } = &self.admission else { return };
        loop {
            let pause = match read_stakes(gateway, *netuid).await {
                Ok(stakes) => {
                    metrics::gauge!("taonet_scoring_api_validators").set(stakes.len() as f64);
                    *self.stakes.write().unwrap_or_else(PoisonError::into_inner) =
                        Some(Arc::new(stakes));
                    REFRESH_INTERVAL
                }
                Err(error) => {
                    tracing::warn!(%error, "cannot fetch the subnet's validators");
                    RETRY_DELAY
                }
            };
            if !shutdown.sleep(pause).await {
                return;
            }
        }
    }

    fn current_stakes(&self) -> Option<Arc<HashMap<Hotkey, u64>>> {
        self.stakes.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

async fn read_stakes(
    gateway: &GatewayClient,
    netuid: NetUid,
) -> Result<HashMap<Hotkey, u64>, LookupError> {
    let mut stakes = HashMap::new();
    for neuron in gateway.neurons(netuid).await?.list {
        let (Some(has_permit), Some(stake)) = (neuron.validator_permit, neuron.stake) else {
            return Err(LookupError::NoPermits);
        };
        if has_permit {
            stakes.insert(neuron.hotkey, stake.get());
        }
    }
    Ok(stakes)
}
