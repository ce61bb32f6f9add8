use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use taonet_primitives::{Hotkey, NetUid};
use taonet_service::Shutdown;

use super::error::ApiError;
use taonet_validator::subtensor_gateway::{GatewayClient, GatewayError};

/// How often the subnet's validators are looked up.
const LOOK_EVERY: Duration = Duration::from_mins(1);
/// How soon again after that failed.
const PAUSE: Duration = Duration::from_secs(5);

/// Who may submit and ask.
#[derive(Debug, Clone)]
pub enum Admission {
    /// Everybody: for local networks.
    Open,
    /// These; all count the same.
    Listed(BTreeSet<Hotkey>),
    /// Who has a validator permit on a subnet; each counts by its stake.
    Permits {
        /// Who knows the subnet.
        gateway: GatewayClient,
        /// The subnet.
        netuid: NetUid,
    },
}

/// The validators as they are known now.
pub(super) struct Validators {
    admission: Admission,
    stakes: RwLock<Option<Arc<HashMap<Hotkey, u64>>>>,
}

#[derive(Debug, thiserror::Error)]
enum LookupError {
    #[error(transparent)]
    Gateway(#[from] GatewayError),
    #[error("the gateway does not say who has a validator permit; name the validators with --validators")]
    NoPermits,
}

impl Validators {
    pub(super) fn new(admission: Admission) -> Self {
        Self { admission, stakes: RwLock::default() }
    }

    /// Refuses who is none.
    pub(super) fn admit(&self, hotkey: &Hotkey) -> Result<(), ApiError> {
        let is_admitted = match &self.admission {
            Admission::Open => true,
            Admission::Listed(listed) => listed.contains(hotkey),
            Admission::Permits { .. } => self.known().ok_or(ApiError::ValidatorsUnknown)?.contains_key(hotkey),
        };
        if is_admitted { Ok(()) } else { Err(ApiError::NotAdmitted(hotkey.to_string())) }
    }

    /// How much a validator's scores count; `None` where they no longer do.
    pub(super) fn stake(&self) -> impl Fn(&Hotkey) -> Option<u64> + '_ {
        let known = self.known();
        move |hotkey| match &self.admission {
            Admission::Open => Some(1),
            Admission::Listed(listed) => listed.contains(hotkey).then_some(1),
            Admission::Permits { .. } => known.as_ref()?.get(hotkey).copied(),
        }
    }

    /// Keeps the list up to date until the end is asked for. What was known stays where it cannot be looked up.
    pub(super) async fn follow(&self, shutdown: &Shutdown) {
        let Admission::Permits { gateway, netuid } = &self.admission else { return };
        loop {
            let pause = match look_up(gateway, *netuid).await {
                Ok(stakes) => {
                    metrics::gauge!("taonet_scoring_api_validators").set(stakes.len() as f64);
                    *self.stakes.write().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(stakes));
                    LOOK_EVERY
                }
                Err(error) => {
                    tracing::warn!(%error, "the subnet's validators are not known");
                    PAUSE
                }
            };
            tokio::select! {
                () = shutdown.requested() => return,
                () = tokio::time::sleep(pause) => {}
            }
        }
    }

    fn known(&self) -> Option<Arc<HashMap<Hotkey, u64>>> {
        self.stakes.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

async fn look_up(gateway: &GatewayClient, netuid: NetUid) -> Result<HashMap<Hotkey, u64>, LookupError> {
    let snapshot = gateway.snapshot(netuid).await?;
    if snapshot.validator_permit.len() != snapshot.hotkeys.len() || snapshot.stake.len() != snapshot.hotkeys.len() {
        return Err(LookupError::NoPermits);
    }
    let neurons = snapshot.hotkeys.iter().zip(snapshot.validator_permit).zip(snapshot.stake);
    let permitted = neurons.filter(|((_, has_permit), _)| *has_permit);
    Ok(permitted.filter_map(|((hotkey, _), stake)| Some((hotkey.parse().ok()?, stake))).collect())
}
