//! The open period, which is replaced while requests are in flight.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::Duration;

use taonet_nineteen_store::PeriodId;
use tokio::time::{Instant, sleep};

use crate::membership::MAX_HEARTBEAT_AGE;
use crate::{Divisions, PeriodMiners, TaskMiner};

/// Interval between checks of the latest division's age.
const CHECK_INTERVAL: Duration = Duration::from_millis(250);

/// Handle to the miners of the open period. They are replaced atomically when the next period
/// opens. Clones share state.
#[derive(Debug, Clone, Default)]
pub struct Market(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    state: RwLock<State>,
    buyers_requests: AtomicU64,
}

#[derive(Debug, Default)]
struct State {
    period_miners: Option<Arc<PeriodMiners>>,
    divisions: Divisions,
    /// Time of the latest division; `None` if the market is not divided.
    divided_at: Option<Instant>,
}

impl State {
    fn divide(&mut self, divisions: Divisions) {
        if let Some(period_miners) = &self.period_miners {
            period_miners.divide(&divisions);
        }
        self.divisions = divisions;
    }
}

impl Market {
    /// Returns the miners of the open period; `None` before the first one.
    pub fn period_miners(&self) -> Option<Arc<PeriodMiners>> {
        self.read().period_miners.clone()
    }

    /// Opens a period with these miners; returns those of the previous period.
    pub fn open(&self, mut period_miners: PeriodMiners) -> Option<Arc<PeriodMiners>> {
        let mut state = self.write();
        if let Some(previous_period) = state.period_miners.as_deref() {
            period_miners.inherit(previous_period);
        }
        period_miners.divide(&state.divisions);
        state.period_miners.replace(Arc::new(period_miners))
    }

    /// Adds contenders to the open period, unless it is another one than `period`. Ignores tasks
    /// that the period does not offer, and contenders that it has already.
    pub fn admit(&self, period: PeriodId, late_miners: Vec<TaskMiner>) {
        let mut state = self.write();
        let Some(open) =
            state.period_miners.as_ref().filter(|period_miners| period_miners.period == period)
        else {
            return;
        };
        let period_miners = open.with_late_miners(late_miners);
        period_miners.divide(&state.divisions);
        state.period_miners = Some(Arc::new(period_miners));
    }

    /// Sets this process's share of the miners' limits and of the queue's capacity.
    pub fn divide(&self, divisions: Divisions) {
        let mut state = self.write();
        state.divided_at = Some(Instant::now());
        state.divide(divisions);
    }

    /// Lets no rejection count against miners until the next division, because the other processes
    /// may exceed their shares.
    pub(crate) fn unsettle(&self) {
        let mut state = self.write();
        let unsettled_divisions = state.divisions.unsettled();
        state.divide(unsettled_divisions);
    }

    /// Calls [`Self::unsettle`] while the latest division is so old that the other processes may
    /// use this one's share; never returns.
    pub(crate) async fn watch_division(&self) {
        loop {
            sleep(CHECK_INTERVAL).await;
            let divided_at = self.read().divided_at;
            if divided_at.is_some_and(|divided_at| divided_at.elapsed() >= MAX_HEARTBEAT_AGE) {
                self.unsettle();
            }
        }
    }

    /// Returns whether this process knows its share of the market's limits.
    pub(crate) fn is_division_known(&self) -> bool {
        self.read().divisions.is_known()
    }

    /// Returns this process's share of the queue's capacity.
    pub(crate) fn queue_share(&self, total: usize) -> usize {
        self.read().divisions.queue_share(total)
    }

    /// Counts a buyer's request.
    pub(crate) fn count_buyers_request(&self) {
        self.0.buyers_requests.fetch_add(1, Ordering::Relaxed);
    }

    /// Returns the number of buyers' requests since the process has started.
    pub(crate) fn buyers_requests(&self) -> u64 {
        self.0.buyers_requests.load(Ordering::Relaxed)
    }

    fn read(&self) -> RwLockReadGuard<'_, State> {
        self.0.state.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, State> {
        self.0.state.write().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Division;

    impl Market {
        pub(crate) fn divisions(&self) -> Divisions {
            self.read().divisions.clone()
        }
    }

    #[tokio::test(start_paused = true)]
    async fn rejections_do_not_count_after_the_division_expires() {
        let [market, undivided] = [(); 2].map(|()| Market::default());
        for watched in [&market, &undivided] {
            let watched = watched.clone();
            tokio::spawn(async move { watched.watch_division().await });
        }
        let divide = || market.divide(Divisions::new([Division::new(2, 2, Some(0))], true));
        divide();
        sleep(MAX_HEARTBEAT_AGE.mul_f32(0.75)).await;
        assert!(market.divisions().keeps_limit(64));
        sleep(MAX_HEARTBEAT_AGE.mul_f32(0.5)).await;
        assert_eq!((market.divisions().keeps_limit(64), market.divisions().share(64)), (false, 32));
        divide();
        sleep(Duration::from_secs(2)).await;
        assert!(market.divisions().keeps_limit(64) && undivided.divisions().keeps_limit(64));
    }
}
