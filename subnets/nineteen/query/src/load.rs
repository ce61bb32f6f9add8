//! Requests in flight at a miner, over all its tasks.

use std::sync::{Mutex, MutexGuard, PoisonError};

use taonet_nineteen_core::routing::{InFlightLimit, Position};

/// Requests in flight at a miner, over all its tasks, and their limit.
#[derive(Debug)]
pub(crate) struct MinerLoad(Mutex<State>);

#[derive(Debug)]
struct State {
    running: usize,
    announced: Option<usize>,
    limit: InFlightLimit,
}

/// What a finished request shows of a miner's capacity.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CapacitySignal {
    /// The miner answered.
    Answered,
    /// The miner rejected the request with status 429.
    RateLimited,
    /// The request was cancelled, or failed for another reason.
    None,
}

impl MinerLoad {
    /// Creates the load of a miner that announces a number of concurrent requests; `None` if it announces none.
    pub(crate) fn new(announced: Option<usize>) -> Self {
        Self(Mutex::new(State { running: 0, announced, limit: initial(announced) }))
    }

    /// Reserves a slot for a buyer's request; returns `None` if the limit, or `max`, is reached.
    pub(crate) fn enter(&self, max: usize) -> Option<Position> {
        self.enter_below(|limit| limit.get().min(max))
    }

    /// Reserves a slot for a test; returns `None` if a buyer's request would get none, or if the test would be a probe,
    /// which the miner may reject.
    pub(crate) fn enter_test(&self, max: usize) -> Option<Position> {
        self.enter_below(|limit| limit.get().min(limit.required()).min(max))
    }

    fn enter_below(&self, slots: impl FnOnce(&InFlightLimit) -> usize) -> Option<Position> {
        let mut state = self.state();
        if state.running >= slots(&state.limit) {
            return None;
        }
        state.running += 1;
        Some(state.limit.position(state.running))
    }

    /// Releases a slot.
    pub(crate) fn leave(&self, position: Position, signal: CapacitySignal) {
        let mut state = self.state();
        state.running = state.running.saturating_sub(1);
        match signal {
            CapacitySignal::Answered => state.limit.answered(position),
            CapacitySignal::RateLimited => state.limit.rate_limited(position),
            CapacitySignal::None => {}
        }
    }

    /// Sets the number of concurrent requests that the miner announces for a period. The learned limit remains if the number
    /// does.
    pub(crate) fn announce(&self, concurrency: Option<usize>) {
        let mut state = self.state();
        if state.announced == concurrency {
            state.limit.renew();
        } else {
            state.announced = concurrency;
            state.limit = initial(concurrency);
        }
    }

    /// Returns the announced number of concurrent requests.
    pub(crate) fn announced(&self) -> Option<usize> {
        self.state().announced
    }

    /// Returns the current limit.
    pub(crate) fn limit(&self) -> usize {
        self.state().limit.get()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn initial(announced: Option<usize>) -> InFlightLimit {
    announced.map_or_else(InFlightLimit::unannounced, InFlightLimit::announced)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_are_limited_by_announcement_and_ceiling() {
        let load = MinerLoad::new(Some(2));
        let first = load.enter(8).unwrap();
        assert_eq!((first.nth, first.is_probe), (1, false));
        assert!(load.enter(1).is_none(), "the ceiling applies to announced limits too");
        assert!(load.enter(8).is_some() && load.enter(8).is_none());
        load.leave(first, CapacitySignal::Answered);
        assert_eq!(load.enter(8).unwrap().nth, 2);
    }

    #[test]
    fn test_is_no_probe() {
        let load = MinerLoad::new(Some(4));
        let entered: Vec<_> = (0..4).map(|_| load.enter_test(8).unwrap()).collect();
        assert!(load.enter_test(8).is_none());
        // The miner accepts fewer requests than it announces.
        for position in entered {
            load.leave(position, if position.nth > 2 { CapacitySignal::RateLimited } else { CapacitySignal::None });
        }
        assert!(load.enter_test(1).is_some() && load.enter_test(1).is_none());
        assert!(load.enter_test(8).is_some() && load.enter_test(8).is_none());
        assert!(load.enter(8).unwrap().is_probe);
    }

    #[test]
    fn repeated_announcement_keeps_the_limit_and_renews_the_promise() {
        let load = MinerLoad::new(Some(4));
        let entered: Vec<_> = (0..4).map(|_| load.enter(8).unwrap()).collect();
        for position in entered {
            load.leave(position, if position.nth > 1 { CapacitySignal::RateLimited } else { CapacitySignal::None });
        }
        let enter_all = || std::iter::from_fn(|| load.enter(8)).collect::<Vec<_>>();
        let probes = |entered: &[Position]| entered.iter().map(|position| position.is_probe).collect::<Vec<_>>();
        let entered = enter_all();
        assert_eq!(probes(&entered), [false, true, true]);
        for position in entered {
            load.leave(position, CapacitySignal::None);
        }
        load.announce(Some(4));
        let entered = enter_all();
        assert_eq!(probes(&entered), [false; 3]);
        for position in entered {
            load.leave(position, CapacitySignal::None);
        }
        load.announce(Some(5));
        assert_eq!(enter_all().len(), 5);
    }
}
