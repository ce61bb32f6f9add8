//! Requests in flight at a miner, over all its tasks.

use std::sync::{Mutex, MutexGuard, PoisonError};

use taonet_nineteen_core::routing::InFlightLimit;

/// Requests in flight at a miner, over all its tasks, and their limit.
#[derive(Debug)]
pub(crate) struct MinerLoad(Mutex<State>);

#[derive(Debug)]
struct State {
    running: usize,
    announced: Option<usize>,
    limit: InFlightLimit,
}

/// Position of a request among the requests in flight when it was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Position {
    /// Number of requests in flight, including this one.
    pub(crate) nth: usize,
    /// Whether the miner may reject the request, because it is more than the miner must accept.
    pub(crate) is_probe: bool,
}

/// What a finished request shows of a miner's capacity.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sign {
    /// The miner answered.
    Answered,
    /// The miner was overloaded.
    Overloaded,
    /// The request was cancelled, or failed for another reason.
    Unknown,
}

impl Default for MinerLoad {
    fn default() -> Self {
        Self(Mutex::new(State { running: 0, announced: None, limit: InFlightLimit::unannounced() }))
    }
}

impl MinerLoad {
    /// Reserves a slot for a request; returns `None` if the limit, or `most`, is reached.
    pub(crate) fn enter(&self, most: usize) -> Option<Position> {
        let mut state = self.state();
        if state.running >= state.limit.get().min(most) {
            return None;
        }
        state.running += 1;
        Some(Position { nth: state.running, is_probe: state.limit.is_probe(state.running) })
    }

    /// Releases a slot.
    pub(crate) fn leave(&self, position: Position, sign: Sign) {
        let mut state = self.state();
        state.running = state.running.saturating_sub(1);
        match sign {
            Sign::Answered => state.limit.answered(position.nth),
            Sign::Overloaded => state.limit.overloaded(position.nth),
            Sign::Unknown => {}
        }
    }

    /// Sets the number of concurrent requests that the miner announces. What was learned remains if the number does.
    pub(crate) fn announce(&self, concurrency: Option<usize>) {
        let mut state = self.state();
        if state.announced != concurrency {
            state.announced = concurrency;
            state.limit = concurrency.map_or_else(InFlightLimit::unannounced, InFlightLimit::announced);
        }
    }

    /// Returns the current limit.
    pub(crate) fn limit(&self) -> usize {
        self.state().limit.get()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_are_limited_by_announcement_and_ceiling() {
        let load = MinerLoad::default();
        load.announce(Some(2));
        let first = load.enter(8).unwrap();
        assert_eq!(first, Position { nth: 1, is_probe: false });
        assert!(load.enter(1).is_none(), "the ceiling applies to announced limits too");
        assert!(load.enter(8).is_some() && load.enter(8).is_none());
        load.leave(first, Sign::Answered);
        assert_eq!(load.enter(8), Some(Position { nth: 2, is_probe: false }));
    }

    #[test]
    fn repeated_announcement_keeps_the_learned_limit() {
        let load = MinerLoad::default();
        load.announce(Some(4));
        let entered: Vec<_> = (0..4).map(|_| load.enter(8).unwrap()).collect();
        for position in entered.into_iter().rev() {
            load.leave(position, if position.nth > 1 { Sign::Overloaded } else { Sign::Unknown });
        }
        load.announce(Some(4));
        assert!(load.enter(8).is_some() && load.enter(8).is_none());
        load.announce(Some(3));
        assert!(load.enter(8).is_some() && load.enter(8).is_some() && load.enter(8).is_none());
    }
}
