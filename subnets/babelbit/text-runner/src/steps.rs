//! Steps that begin and end at blocks of the chain.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use futures::future::{BoxFuture, Either, select};
use taonet_babelbit_runner::CallError;
use taonet_service::{BLOCK_TIME, Sleeper};
use tokio::time::Instant;

use super::ReadError;

/// Pause between two reads of the newest block's height.
const POLL_INTERVAL: Duration = Duration::from_secs(1);
/// Time without a new block after which the chain counts as stalled: 50 blocks of the public chain.
const STALL_TIMEOUT: Duration = Duration::from_mins(10);

/// Function that reads the height of the chain's newest block.
pub type ReadHeight = Arc<dyn Fn() -> BoxFuture<'static, Result<u32, ReadError>> + Send + Sync>;

/// Steps of a fixed number of blocks: each word is revealed at a multiple of this number, and its
/// predictions are due before the next one.
#[derive(Clone)]
pub struct BlockSteps {
    /// Name of the chain, for errors.
    pub chain: String,
    /// Number of blocks per step.
    pub blocks: NonZeroU32,
    /// Function that reads the height of the newest block.
    pub height: ReadHeight,
    /// Function that sleeps for a given duration.
    pub sleeper: Sleeper,
}

impl BlockSteps {
    /// Returns the time of a step's blocks.
    fn duration(&self) -> Duration {
        BLOCK_TIME.saturating_mul(self.blocks.get())
    }

    /// Returns the timeout of the predictions of a step: nine tenths of the time of its blocks.
    pub(super) fn deadline(&self) -> Duration {
        self.duration() / 10 * 9
    }

    /// Waits for the prediction of a miner; cancels a call that exceeds the step's timeout.
    pub(super) async fn limit(
        &self,
        call: BoxFuture<'_, Result<String, CallError>>,
    ) -> Result<String, CallError> {
        let deadline = self.deadline();
        match select(call, (self.sleeper)(deadline)).await {
            Either::Left((answer, _)) => answer,
            Either::Right(_) => Err(CallError::Timeout(deadline)),
        }
    }
}

impl std::fmt::Debug for BlockSteps {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BlockSteps").field("blocks", &self.blocks).finish_non_exhaustive()
    }
}

/// The chain stopped producing blocks during a session with block steps.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "the chain {chain} is stalled: it has produced no block after {height} for {} minutes, and words are revealed at \
     blocks; hint: check its nodes, or unset BB_STEP_BLOCK_MODULO", STALL_TIMEOUT.as_secs() / 60
)]
pub struct ChainStalled {
    /// Name of the chain.
    pub chain: String,
    /// Height of the newest block.
    pub height: u32,
}

/// Position of a session in the chain's blocks.
pub(super) struct StepClock<'a> {
    pub(super) steps: &'a BlockSteps,
    has_begun: bool,
    /// The newest observed multiple.
    last: Option<u32>,
    /// Height of the newest observed block, and the time at which it was first observed.
    newest: Option<(u32, Instant)>,
}

impl<'a> StepClock<'a> {
    pub(super) const fn new(steps: &'a BlockSteps) -> Self {
        Self { steps, has_begun: false, last: None, newest: None }
    }

    /// Waits for the beginning of a step. Only the first step waits, since each step ends at the
    /// beginning of the next.
    pub(super) async fn begin(&mut self) -> Result<(), ChainStalled> {
        if !std::mem::replace(&mut self.has_begun, true) {
            self.next().await?;
        }
        Ok(())
    }

    /// Waits for the first block at or after the next multiple. If the chain is unreadable, waits
    /// for the time of a step's blocks.
    pub(super) async fn next(&mut self) -> Result<(), ChainStalled> {
        let blocks = self.steps.blocks.get();
        loop {
            let height = match (self.steps.height)().await {
                Ok(height) => height,
                Err(error) => {
                    tracing::warn!(%error, "cannot read the newest block, the next step begins by the clock");
                    self.newest = None;
                    (self.steps.sleeper)(self.steps.duration()).await;
                    return Ok(());
                }
            };
            self.observe(height)?;
            let multiple = height / self.steps.blocks;
            let is_due =
                self.last.map_or_else(|| height.is_multiple_of(blocks), |last| multiple > last);
            self.last = self.last.max(Some(multiple));
            if is_due {
                return Ok(());
            }
            (self.steps.sleeper)(POLL_INTERVAL).await;
        }
    }

    /// Checks that the chain still produces blocks.
    fn observe(&mut self, height: u32) -> Result<(), ChainStalled> {
        match self.newest {
            Some((newest, since)) if height <= newest => {
                if since.elapsed() >= STALL_TIMEOUT {
                    return Err(ChainStalled { chain: self.steps.chain.clone(), height: newest });
                }
            }
            _ => self.newest = Some((height, Instant::now())),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use std::collections::VecDeque;

    use futures::FutureExt as _;

    use super::*;

    /// Returns the steps of a chain with these heights, `None` for an unreadable one, and the
    /// recorded pauses.
    fn steps(blocks: u32, heights: &[Option<u32>]) -> (BlockSteps, Arc<Mutex<Vec<u64>>>) {
        let heights = Mutex::new(VecDeque::from(heights.to_vec()));
        let pauses = Arc::new(Mutex::new(Vec::new()));
        let recorded = Arc::clone(&pauses);
        let steps = BlockSteps {
            chain: "test".to_owned(),
            blocks: NonZeroU32::new(blocks).unwrap(),
            height: Arc::new(move || {
                let height = heights.lock().unwrap().pop_front().unwrap();
                std::future::ready(height.ok_or_else(|| "no node responds".into())).boxed()
            }),
            sleeper: Arc::new(move |pause: Duration| {
                recorded.lock().unwrap().push(pause.as_secs());
                Box::pin(std::future::ready(()))
            }),
        };
        (steps, pauses)
    }

    /// Columns: blocks per step · heights that are read · number of steps · pauses in seconds
    #[tokio::test]
    async fn steps_start_and_end_at_block_multiples() {
        for (blocks, heights, count, expected) in [
            // A session that starts at a multiple begins at once.
            (5, &[Some(10), Some(11), Some(14), Some(15)][..], 1, &[1, 1][..]),
            (5, &[Some(11), Some(14), Some(15), Some(15), Some(20)], 1, &[1, 1, 1]),
            // A multiple that is not observed counts when it has passed.
            (5, &[Some(13), Some(16), Some(19), Some(21), Some(27)], 2, &[1, 1]),
            // A lagging node does not begin a step again.
            (5, &[Some(20), Some(19), Some(20), Some(25)], 1, &[1, 1]),
            (1, &[Some(7), Some(8), Some(9)], 2, &[]),
            (2, &[None, None, Some(8)], 2, &[24, 24]),
        ] {
            let (steps, pauses) = steps(blocks, heights);
            let mut clock = StepClock::new(&steps);
            for _ in 0..count {
                clock.begin().await.unwrap();
                clock.next().await.unwrap();
            }
            assert_eq!(*pauses.lock().unwrap(), expected, "{blocks} {heights:?}");
        }
    }

    /// Columns: seconds per block; none for a stalled chain · outcome · seconds until then
    #[tokio::test(start_paused = true)]
    async fn step_waits_for_slow_blocks_but_not_for_a_stalled_chain() {
        let stalled = ChainStalled { chain: "test".to_owned(), height: 11 };
        for (block_time, expected, seconds) in
            [(Some(12), Ok(()), 48), (Some(599), Ok(()), 4 * 599), (None, Err(stalled), 600)]
        {
            let start = Instant::now();
            let steps = BlockSteps {
                chain: "test".to_owned(),
                blocks: NonZeroU32::new(5).unwrap(),
                height: Arc::new(move || {
                    let blocks =
                        block_time.map_or(0, |block_time| start.elapsed().as_secs() / block_time);
                    std::future::ready(Ok(11 + blocks as u32)).boxed()
                }),
                sleeper: taonet_service::sleeper(),
            };
            assert_eq!(StepClock::new(&steps).begin().await, expected, "{block_time:?}");
            let waited_seconds = start.elapsed().as_secs();
            assert!(
                (seconds..seconds + 2).contains(&waited_seconds),
                "{block_time:?}: {waited_seconds}"
            );
        }
    }

    /// After an outage, the first height read may be stale.
    #[tokio::test(start_paused = true)]
    async fn unreadable_chain_does_not_count_as_stalled() {
        let (steps, _) = steps(5, &[Some(11), None, Some(11), Some(15)]);
        let mut clock = StepClock::new(&steps);
        clock.observe(11).unwrap();
        tokio::time::sleep(STALL_TIMEOUT).await;
        clock.next().await.unwrap_err();
        clock.next().await.unwrap();
        clock.next().await.unwrap();
    }

    /// Columns: blocks per step · timeout of a prediction in milliseconds
    #[test]
    fn prediction_timeout_is_nine_tenths_of_a_step() {
        for (blocks, expected) in [(1, 10_800), (5, 54_000)] {
            assert_eq!(steps(blocks, &[]).0.deadline(), Duration::from_millis(expected));
        }
    }
}
