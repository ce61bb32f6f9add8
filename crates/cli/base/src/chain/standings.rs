//! Stakes and validator permits of a subnet's neurons, for daemons that admit callers by stake and
//! permit.

use std::collections::HashMap;
use std::time::Duration;

use taonet_chain::{ChainError, Client};
use taonet_neuron::Neurons;
use taonet_primitives::{Hotkey, NetUid};
use taonet_service::Shutdown;
use taonet_wire::Standing;

/// Reads stakes and permits of a subnet's neurons at the newest block.
pub async fn standings(
    chain: &Client,
    netuid: NetUid,
) -> Result<HashMap<Hotkey, Standing>, ChainError> {
    Ok(Neurons::read(chain, netuid).await?.standings())
}

/// Reads the standings at each interval and passes them to `replace`, until shutdown. While the
/// chain is unreachable, the last standings remain in effect.
pub async fn keep_fresh(
    chain: &Client,
    netuid: NetUid,
    interval: Duration,
    replace: impl Fn(HashMap<Hotkey, Standing>),
    stop: &Shutdown,
) {
    loop {
        tokio::select! {
            () = stop.requested() => return,
            () = tokio::time::sleep(interval) => {}
        }
        tokio::select! {
            () = stop.requested() => return,
            read = standings(chain, netuid) => match read {
                Ok(standings) => replace(standings),
                Err(error) => {
                    tracing::warn!(error = &error as &dyn std::error::Error, "cannot read stakes and permits");
                }
            },
        }
    }
}
