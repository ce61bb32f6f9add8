use std::collections::VecDeque;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, SystemTime};

use taonet_chain::{Block, Chain, ChainError, Client, Detail, Metagraph, Network};
use taonet_primitives::{MechId, NetUid};
use taonet_service::unix_time;
use tokio::time::{Instant, sleep};

use crate::changes::Changes;

/// Number of remembered blocks.
const MAX_BLOCKS: usize = 30;
/// Minimum interval between two reads of the metagraph.
const METAGRAPH_EVERY: Duration = Duration::from_secs(6);
/// Minimum interval between two reports, for chains with fast blocks.
const REPORT_EVERY: Duration = Duration::from_secs(1);
/// Pause before connecting again.
const RETRY_AFTER: Duration = Duration::from_secs(5);

/// What is known of the chain.
#[derive(Debug, Clone, Default)]
pub(super) struct State {
    /// The latest blocks with the time at which they were seen (Unix seconds), latest first.
    pub(super) blocks: VecDeque<(Block, i64)>,
    /// The subnet, as last read.
    pub(super) metagraph: Option<Arc<Metagraph>>,
    /// Why the chain cannot be read. The data is then that of the last successful read.
    pub(super) problem: Option<String>,
}

/// Follows the chain.
#[derive(Debug, Default)]
pub(super) struct Source(RwLock<Arc<State>>);

impl Source {
    pub(super) fn state(&self) -> Arc<State> {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }

    #[cfg(test)]
    pub(super) fn set(&self, state: State) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(state);
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        let mut state = State::clone(&self.state());
        change(&mut state);
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(state);
    }

    /// Connects, and follows the chain for ever.
    pub(super) async fn follow(&self, network: &Network, netuid: NetUid, changes: &Changes) {
        loop {
            match Client::connect(network).await {
                Ok(client) => self.follow_blocks(&client, netuid, changes).await,
                Err(error) => self.report_problem(&error, changes),
            }
            sleep(RETRY_AFTER).await;
        }
    }

    /// Follows the blocks of a connection until it ends.
    pub(super) async fn follow_blocks(&self, chain: &dyn Chain, netuid: NetUid, changes: &Changes) {
        let mut heads = chain.heads();
        let mut read_at: Option<Instant> = None;
        loop {
            let head = *heads.borrow_and_update();
            let head = match head {
                Some(head) => Ok(head),
                None => chain.head().await,
            };
            let seen = match head {
                Ok(head) => self.see(chain, head, netuid, &mut read_at).await,
                Err(error) => Err(error),
            };
            match seen {
                Ok(()) => changes.report(),
                Err(error) => {
                    read_at = None;
                    self.report_problem(&error, changes);
                }
            }
            sleep(REPORT_EVERY).await;
            // An unreachable chain is asked again from time to time.
            if let Ok(Err(_)) = tokio::time::timeout(RETRY_AFTER, heads.changed()).await {
                return;
            }
        }
    }

    async fn see(
        &self,
        chain: &dyn Chain,
        head: Block,
        netuid: NetUid,
        read_at: &mut Option<Instant>,
    ) -> Result<(), ChainError> {
        let is_due = read_at.is_none_or(|at| at.elapsed() >= METAGRAPH_EVERY);
        let metagraph = if is_due {
            let metagraph = chain.metagraph(netuid, MechId(0), Detail::Full, head.into()).await?;
            *read_at = Some(Instant::now());
            Some(Arc::new(metagraph))
        } else {
            None
        };
        let now = i64::try_from(unix_time(SystemTime::now()).as_secs()).unwrap_or(i64::MAX);
        self.change(|state| {
            state.problem = None;
            if state.blocks.front().is_none_or(|(known, _)| known.hash != head.hash) {
                state.blocks.push_front((head, now));
                state.blocks.truncate(MAX_BLOCKS);
            }
            if let Some(metagraph) = metagraph {
                state.metagraph = Some(metagraph);
            }
        });
        Ok(())
    }

    fn report_problem(&self, error: &ChainError, changes: &Changes) {
        let problem = Some(format!("{error}; hint: check the node, and the address in --chain"));
        if self.state().problem != problem {
            tracing::warn!(%error, "the chain cannot be read");
            self.change(|state| state.problem = problem);
            changes.report();
        }
    }
}
