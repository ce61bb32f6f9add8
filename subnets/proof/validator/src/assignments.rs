use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use taonet_primitives::Hotkey;

use crate::MinerEntry;

/// Users' requests in flight, by miner.
#[derive(Debug, Default)]
pub(crate) struct Assignments(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    /// Sequence number of the last assignment.
    last: u64,
    miners: BTreeMap<Hotkey, Load>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
struct Load {
    in_flight: usize,
    /// Sequence number of the miner's last assignment.
    last: u64,
}

impl Assignments {
    /// Assigns the miner with the fewest requests in flight, the least recently assigned of these; none of `excluded`.
    pub(crate) fn assign(&self, miners: &[MinerEntry], excluded: &BTreeSet<Hotkey>) -> Option<Assignment<'_>> {
        let mut state = self.lock();
        let eligible = miners.iter().filter(|miner| !excluded.contains(miner.hotkey()));
        let load = |miner: &&MinerEntry| state.miners.get(miner.hotkey()).copied().unwrap_or_default();
        let miner = eligible.min_by_key(load)?.clone();
        state.last += 1;
        let last = state.last;
        let load = state.miners.entry(*miner.hotkey()).or_default();
        load.in_flight += 1;
        load.last = last;
        Some(Assignment { miner, of: self })
    }

    /// Returns whether the miner has a request in flight.
    pub(crate) fn is_busy(&self, miner: &Hotkey) -> bool {
        self.lock().miners.get(miner).is_some_and(|load| load.in_flight > 0)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Guard of a miner's request in flight, until it is dropped.
pub(crate) struct Assignment<'a> {
    pub(crate) miner: MinerEntry,
    of: &'a Assignments,
}

impl Drop for Assignment<'_> {
    fn drop(&mut self) {
        if let Some(load) = self.of.lock().miners.get_mut(self.miner.hotkey()) {
            load.in_flight -= 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use taonet_wire::Peer;

    use super::*;
    use crate::Wire;

    #[test]
    fn work_goes_to_the_least_loaded_and_then_to_the_longest_idle() {
        let key = |byte| Hotkey::from_bytes([byte; 32]);
        let entry =
            |byte| MinerEntry { uid: None, peer: Peer::new(key(byte), "127.0.0.1", 1).unwrap(), wire: Wire::Http };
        let (miners, nobody) = ([1, 2, 3].map(entry), BTreeSet::new());
        let assignments = Assignments::default();
        let assign = |excluded: &BTreeSet<Hotkey>| assignments.assign(&miners, excluded);
        let first = assign(&nobody).unwrap();
        let second = assign(&nobody).unwrap();
        let third = assign(&nobody).unwrap();
        let all: BTreeSet<Hotkey> = [&first, &second, &third].map(|assigned| *assigned.miner.hotkey()).into();
        assert_eq!(all.len(), 3, "each has one");
        let (one, two) = (*first.miner.hotkey(), *second.miner.hotkey());
        drop(second);
        assert!(!assignments.is_busy(&two) && assignments.is_busy(&one));
        assert_eq!(*assign(&nobody).unwrap().miner.hotkey(), two, "the only idle one");
        drop((first, third));
        assert_eq!(*assign(&nobody).unwrap().miner.hotkey(), one, "the longest idle");
        assert_ne!(*assign(&BTreeSet::from([one])).unwrap().miner.hotkey(), one);
        assert!(assign(&all).is_none());
    }
}
