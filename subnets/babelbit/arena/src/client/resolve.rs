//! Resolution of listed miners to routes.

use std::collections::HashMap;

use taonet_babelbit_core::arena_api::GATEWAY_PROVIDER;
use taonet_primitives::{Hotkey, Uid};
use url::Url;

use super::registry_rows::Row;
use taonet_babelbit_runner::{AddressError, AddressPolicy, MinerAddress, MinerEntry};

/// States of a miner, best first.
const RANKS: [&str; 8] =
    ["running", "idle", "warming", "unhealthy", "stopped", "terminated", "unavailable", "failed"];

/// An arena miner that is registered on the chain, with its route.
#[derive(Debug)]
pub(super) struct Route {
    pub(super) miner: MinerEntry,
    pub(super) status: String,
    pub(super) target: Target,
}

impl Route {
    pub(super) fn is_ready(&self) -> bool {
        matches!(self.status.as_str(), "running" | "idle")
    }

    fn rank(&self) -> usize {
        RANKS.iter().position(|rank| *rank == self.status).unwrap_or(99)
    }
}

/// Route to a miner.
#[derive(Debug)]
pub(super) enum Target {
    /// Call through a gateway.
    Gateway {
        /// URL of the gateway's call route.
        url: Url,
        /// Whether the gateway is the configured one.
        is_ours: bool,
    },
    /// Direct call to the miner's own endpoint.
    Container(MinerAddress),
    /// Direct call to the miner's own endpoint, in a pod that may have to be started first.
    Pod {
        /// Address of the miner.
        address: MinerAddress,
        /// The pod to start.
        pod: Pod,
    },
}

/// A pod as described by the registry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Pod {
    pub(super) id: Option<String>,
    /// Whether the pod was running when it was listed.
    pub(super) is_up: bool,
}

/// Why a listed miner is not called.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum RouteError {
    /// The miner's endpoint is not allowed.
    #[error(transparent)]
    Address(#[from] AddressError),
    /// The miner is not behind the configured gateway. A token request names no gateway, so a
    /// request signed for one gateway could be replayed at another.
    #[error(
        "the miner's gateway {origin} is not the configured one, {ours}: with a token request signed for {origin}, \
         that gateway could obtain tokens from {ours} in this validator's name; hint: if {origin} is the arena's own \
         gateway, set BB_ARENA_GATEWAY_URL to it (development mode, BB_DEV_MODE=1, allows other gateways)"
    )]
    ForeignGateway {
        /// Origin of the miner's gateway according to the registry.
        origin: String,
        /// Origin of the configured gateway.
        ours: String,
    },
}

/// Settings that decide whether an endpoint is called.
pub(super) struct Endpoints<'a> {
    pub(super) policy: &'a AddressPolicy,
    pub(super) gateway: &'a Url,
}

/// Routes of the listed miners that are registered, with counts of skipped rows.
#[derive(Debug, Default)]
pub(super) struct ResolvedRoutes {
    /// Routes in the order of the registry.
    pub(super) routes: Vec<Route>,
    pub(super) unregistered: usize,
    pub(super) terminated: usize,
    /// Miners with forbidden endpoints, and the reasons.
    pub(super) refused: Vec<(Uid, RouteError)>,
}

/// Resolves each row to a miner by hotkey, else by uid. If a miner has several rows, the row with
/// the best state wins; if states are equal, the first row.
pub(super) fn resolve(
    rows: &[Row],
    registered: &[MinerEntry],
    endpoints: &Endpoints<'_>,
) -> ResolvedRoutes {
    let by_hotkey: HashMap<Hotkey, &MinerEntry> =
        registered.iter().map(|miner| (miner.hotkey, miner)).collect();
    let by_uid: HashMap<u16, &MinerEntry> =
        registered.iter().map(|miner| (miner.uid.0, miner)).collect();
    let mut resolved = ResolvedRoutes::default();
    let mut positions: HashMap<Hotkey, usize> = HashMap::new();
    for row in rows {
        if row.status == "terminated"
            && !["not_in_list", "idle"].iter().any(|reason| row.reason.contains(reason))
        {
            resolved.terminated += 1;
            continue;
        }
        let hotkey = row.hotkey.parse::<Hotkey>().ok();
        let by_key = hotkey.and_then(|hotkey| by_hotkey.get(&hotkey));
        let Some(miner) = by_key.or_else(|| by_uid.get(&row.uid?)) else {
            resolved.unregistered += 1;
            continue;
        };
        let target = match endpoints.target(row) {
            Ok(target) => target,
            Err(error) => {
                resolved.refused.push((miner.uid, error));
                continue;
            }
        };
        let route = Route { miner: (*miner).clone(), status: row.status.clone(), target };
        match positions.get(&miner.hotkey).and_then(|position| resolved.routes.get_mut(*position)) {
            Some(earlier) if route.rank() < earlier.rank() => *earlier = route,
            Some(_) => {}
            None => {
                positions.insert(miner.hotkey, resolved.routes.len());
                resolved.routes.push(route);
            }
        }
    }
    resolved
}

impl Endpoints<'_> {
    fn target(&self, row: &Row) -> Result<Target, RouteError> {
        if row.provider == GATEWAY_PROVIDER {
            let (origin, ours) = (row.endpoint.origin(), self.gateway.origin());
            // The configured gateway needs no check; other gateways in the list do.
            if origin == ours {
                return Ok(Target::Gateway { url: row.endpoint.clone(), is_ours: true });
            }
            if !self.policy.allow_private {
                let (origin, ours) = (origin.ascii_serialization(), ours.ascii_serialization());
                return Err(RouteError::ForeignGateway { origin, ours });
            }
            let url = self.policy.resolve_managed(row.endpoint.as_str())?.url().clone();
            return Ok(Target::Gateway { url, is_ours: false });
        }
        let address = self.policy.resolve_managed(row.endpoint.as_str())?;
        if row.endpoint_type.as_deref().is_some_and(|kind| kind.eq_ignore_ascii_case("pod")) {
            let is_up = matches!(row.status.as_str(), "running" | "warming" | "idle");
            return Ok(Target::Pod { address, pod: Pod { id: row.endpoint_id.clone(), is_up } });
        }
        Ok(Target::Container(address))
    }
}

#[cfg(test)]
mod tests;
