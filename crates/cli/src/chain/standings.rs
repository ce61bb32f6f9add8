//! Stakes and validator permits of a subnet's neurons, for daemons that admit callers by stake and permit.

use std::collections::HashMap;
use std::time::Duration;

use taonet_chain::{At, Chain as _, ChainError, Client, Detail, Neuron};
use taonet_primitives::{Hotkey, MechId, NetUid};
use taonet_service::Shutdown;
use taonet_wire::Standing;

/// Reads stakes and permits of a subnet's neurons at the newest block.
pub(crate) async fn standings(chain: &Client, netuid: NetUid) -> Result<HashMap<Hotkey, Standing>, ChainError> {
    let metagraph = chain.metagraph(netuid, MechId::default(), Detail::Lite, At::Head).await?;
    let standing = |neuron: &Neuron| {
        let standing = Standing { stake: neuron.total_stake.get(), validator_permit: neuron.validator_permit };
        (neuron.hotkey, standing)
    };
    Ok(metagraph.neurons.iter().map(standing).collect())
}

/// Reads the standings at each interval and passes them to `replace`, until shutdown. While the chain is unreachable,
/// the last standings remain in effect.
pub(crate) async fn keep_fresh(
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
