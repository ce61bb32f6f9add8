//! Rate limits of calls, compared with the chain before a call is sent.

use std::time::Duration;

use serde_json::Value;
use taonet_chain::{At, Client};
use taonet_primitives::{BlockNumber, counted};

use super::{ExpectedRefusal, chain_error};

/// A rate limit: the name of the chain's error, and what it limits, such as `changes of children`.
#[derive(Debug, Clone, Copy)]
pub struct RateLimit {
    /// Name of the chain's error, such as `SubtensorModule.TxRateLimitExceeded`.
    pub error: &'static str,
    /// The limited actions, in the plural.
    pub actions: &'static str,
}

impl RateLimit {
    /// Returns why the limit does not allow another action in the next block; `None` if it does.
    /// `last_block` is that of the last action.
    pub async fn expected_refusal(
        self,
        chain: &Client,
        last_block: u64,
        limit_blocks: u64,
        head: BlockNumber,
    ) -> anyhow::Result<Option<ExpectedRefusal>> {
        let Some(wait_blocks) = blocks_to_wait(last_block, limit_blocks, head) else {
            return Ok(None);
        };
        let interval = chain.block_interval().await.map_err(chain_error)?;
        Ok(Some(self.refusal(last_block, limit_blocks, wait_blocks, interval)))
    }

    /// Returns the expected refusal of an action that has to wait for `wait_blocks` more blocks.
    /// Without an interval, the chain makes blocks on demand, and the time is unknown.
    fn refusal(
        self,
        last_block: u64,
        limit_blocks: u64,
        wait_blocks: u64,
        interval: Option<Duration>,
    ) -> ExpectedRefusal {
        let time = interval.map_or_else(String::new, |interval| {
            format!(", about {}", format_duration(interval.as_secs_f64() * wait_blocks as f64))
        });
        let text = format!(
            "the rate limit is {} between {}, and the last one is in block {last_block}\nhint: wait {}{time}",
            counted(limit_blocks, "block"),
            self.actions,
            counted(wait_blocks, "block")
        );
        ExpectedRefusal { name: self.error, text }
    }
}

/// Reads a block number or a number of blocks; 0 if there is none.
pub async fn stored_blocks(
    chain: &Client,
    item: &str,
    keys: &[Value],
    at: At,
) -> anyhow::Result<u64> {
    let value = chain.storage("SubtensorModule", item, keys, at).await.map_err(chain_error)?;
    Ok(value.as_u64().unwrap_or_default())
}

/// Returns the number of blocks until a rate limit allows an action; `None` if it allows one in the
/// next block. The chain treats block 0 as "never".
fn blocks_to_wait(last_block: u64, limit_blocks: u64, head: BlockNumber) -> Option<u64> {
    let wait_blocks =
        last_block.saturating_add(limit_blocks).saturating_sub(u64::from(head.get()) + 1);
    (last_block > 0 && wait_blocks > 0).then_some(wait_blocks)
}

/// Formats a duration: minutes, or seconds below two minutes.
fn format_duration(seconds: f64) -> String {
    if seconds < 120.0 {
        format!("{seconds:.0} s")
    } else {
        format!("{:.0} minutes", seconds / 60.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rate_limit_counts_from_last_action() {
        let max = u64::from(u32::MAX);
        for (last, limit, head, wait) in [
            (40, 100, 100, Some(39)),
            (40, 100, 138, Some(1)),
            (40, 100, 139, None),
            (40, 0, 40, None),
            (0, 100, 5, None),
            (max, max, u32::MAX, Some(max - 1)),
            (max, u64::MAX, 0, Some(u64::MAX - 1)),
        ] {
            assert_eq!(
                blocks_to_wait(last, limit, BlockNumber::new(head)),
                wait,
                "{last} {limit} {head}"
            );
        }
        assert_eq!(
            (format_duration(36.4), format_duration(468.0)),
            ("36 s".to_owned(), "8 minutes".to_owned())
        );
    }

    #[test]
    fn rate_limit_obstacle_states_limit_and_wait() {
        let limit = RateLimit {
            error: "SubtensorModule.SettingWeightsTooFast",
            actions: "two submissions of weights",
        };
        for (interval, wait) in
            [(Some(Duration::from_secs(12)), "39 blocks, about 8 minutes"), (None, "39 blocks")]
        {
            let ExpectedRefusal { name, text } = limit.refusal(40, 100, 39, interval);
            assert_eq!(name, limit.error);
            let last = "the rate limit is 100 blocks between two submissions of weights, and the last one is in block 40";
            assert_eq!(text, format!("{last}\nhint: wait {wait}"));
        }
    }
}
