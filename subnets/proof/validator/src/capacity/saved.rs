//! Measured performance of all miners as a document, so that a restarted validator does not measure
//! them from scratch.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use taonet_primitives::Hotkey;
use taonet_proof_core::Digest;

use super::{MAX_CONCURRENT_PER_MINER, MAX_STORED_TIMES, Performance, ResponseTimes};

/// The version of the document.
const VERSION: u32 = 1;
/// Time in which a saved capacity halves: the miner may have changed while the validator was
/// stopped.
const HALF_LIFE: Duration = Duration::from_mins(10);

/// Measured performance of all miners, with circuits by identity.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SavedPerformance {
    version: u32,
    /// Time of the save since the Unix epoch.
    at: Duration,
    miners: BTreeMap<Hotkey, SavedMiner>,
    /// Response times of all miners.
    market: BTreeMap<Digest, ResponseTimes>,
}

/// Measured performance of one miner.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct SavedMiner {
    capacity: usize,
    times: BTreeMap<Digest, ResponseTimes>,
    /// Response times of the idle miner in seconds.
    idle: BTreeMap<Digest, f64>,
}

/// Why a document is rejected.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SavedError {
    #[error(transparent)]
    Malformed(#[from] serde_json::Error),
    #[error("unsupported version {0}, expected {VERSION}")]
    Version(u32),
}

impl SavedPerformance {
    /// Creates the document. `circuits` are the identities of the circuits by position.
    pub(crate) fn new<'a>(
        miners: impl Iterator<Item = (&'a Hotkey, &'a Performance)>,
        market: &BTreeMap<usize, ResponseTimes>,
        circuits: &[Digest],
        at: Duration,
    ) -> Self {
        let miners = miners.map(|(hotkey, performance)| {
            let miner = SavedMiner {
                capacity: performance.capacity,
                times: by_identity(&performance.times, circuits),
                idle: by_identity(&performance.idle_times, circuits),
            };
            (*hotkey, miner)
        });
        Self {
            version: VERSION,
            at,
            miners: miners.collect(),
            market: by_identity(market, circuits),
        }
    }

    /// Parses a document.
    ///
    /// # Errors
    /// When the text is malformed or of another version.
    pub(crate) fn from_json(text: &[u8]) -> Result<Self, SavedError> {
        let saved: Self = serde_json::from_slice(text)?;
        if saved.version == VERSION { Ok(saved) } else { Err(SavedError::Version(saved.version)) }
    }

    /// Returns the performance of each miner and the response times of all miners, without circuits
    /// that are no longer served. A capacity halves every ten minutes since the save.
    pub(crate) fn restore(
        self,
        circuits: &[Digest],
        now: Duration,
    ) -> (BTreeMap<Hotkey, Performance>, BTreeMap<usize, ResponseTimes>) {
        let halvings = now.saturating_sub(self.at).as_secs() / HALF_LIFE.as_secs();
        let restore = |(hotkey, miner): (Hotkey, SavedMiner)| {
            let capacity = miner
                .capacity
                .min(MAX_CONCURRENT_PER_MINER)
                .checked_shr(u32::try_from(halvings).unwrap_or(u32::MAX));
            let times = by_position(miner.times, circuits)
                .map(|(position, times)| (position, times.sanitised()));
            let idle = by_position(miner.idle, circuits)
                .filter(|(_, seconds)| seconds.is_finite() && *seconds > 0.0);
            let performance = Performance {
                capacity: capacity.unwrap_or_default().max(1),
                times: times.collect(),
                idle_times: idle.collect(),
                // The first request measures the idle response time again.
                proofs_until_probe: 0,
                ..Performance::default()
            };
            (hotkey, performance)
        };
        let market = by_position(self.market, circuits)
            .map(|(position, times)| (position, times.sanitised()));
        (self.miners.into_iter().map(restore).collect(), market.collect())
    }
}

impl ResponseTimes {
    /// Removes negative and non-finite times, and the oldest ones beyond the limit.
    fn sanitised(mut self) -> Self {
        self.0.retain(|seconds| seconds.is_finite() && *seconds >= 0.0);
        self.0.drain(..self.0.len().saturating_sub(MAX_STORED_TIMES));
        self
    }
}

fn by_identity<T: Clone>(values: &BTreeMap<usize, T>, circuits: &[Digest]) -> BTreeMap<Digest, T> {
    values
        .iter()
        .filter_map(|(&position, value)| Some((*circuits.get(position)?, value.clone())))
        .collect()
}

fn by_position<T>(
    values: BTreeMap<Digest, T>,
    circuits: &[Digest],
) -> impl Iterator<Item = (usize, T)> {
    values.into_iter().filter_map(|(circuit, value)| {
        let position = circuits.iter().position(|candidate| *candidate == circuit)?;
        Some((position, value))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Duration = Duration::from_hours(500_000);

    fn circuit(name: &str) -> Digest {
        Digest::of(name.as_bytes())
    }

    fn miner() -> (Hotkey, Performance) {
        let mut performance =
            Performance { capacity: 12, proofs_until_probe: 100, ..Performance::default() };
        for number in 0..60 {
            performance.record_verified(number % 2, Duration::from_secs(2 + number as u64 % 2), 1);
        }
        performance.capacity = 12;
        (Hotkey::from_bytes([7; 32]), performance)
    }

    fn saved() -> SavedPerformance {
        let (hotkey, performance) = miner();
        let market = BTreeMap::from([(1, performance.times[&1].clone())]);
        SavedPerformance::new(
            [(&hotkey, &performance)].into_iter(),
            &market,
            &[circuit("a"), circuit("b")],
            NOW,
        )
    }

    #[test]
    fn performance_round_trips_as_json() {
        let document = SavedPerformance::from_json(&serde_json::to_vec(&saved()).unwrap()).unwrap();
        assert_eq!(document, saved());
        // The circuits have other positions now, and one is no longer served.
        let (miners, market) = document.restore(&[circuit("c"), circuit("b")], NOW);
        let (hotkey, before) = miner();
        let mut after = miners[&hotkey].clone();
        assert_eq!(after.times.keys().copied().collect::<Vec<_>>(), [1]);
        assert_eq!(after.times[&1], before.times[&1]);
        assert_eq!(market, BTreeMap::from([(1, before.times[&1].clone())]));
        assert_eq!(after.capacity(), 1, "the first request goes to the idle miner");
        after.record_verified(1, Duration::from_secs(3), 1);
        assert_eq!(after.capacity(), 12);
    }

    #[test]
    fn old_capacities_decay() {
        let capacity = |minutes| {
            let (miners, _) = saved().restore(&[circuit("a")], NOW + Duration::from_mins(minutes));
            miners.values().next().unwrap().capacity
        };
        assert_eq!([0, 9, 10, 25, 30, 100_000_000].map(capacity), [12, 12, 6, 3, 1, 1]);
    }

    #[test]
    fn impossible_stored_values_are_dropped() {
        let mut saved = saved();
        let miner = saved.miners.values_mut().next().unwrap();
        miner.capacity = usize::MAX;
        miner.idle.insert(circuit("a"), -1.0);
        let times = miner.times.get_mut(&circuit("a")).unwrap();
        times.0.extend([-1.0, f32::INFINITY]);
        times.0.extend([5.0; MAX_STORED_TIMES]);
        let (miners, _) = saved.restore(&[circuit("a")], NOW);
        let restored = miners.values().next().unwrap();
        assert_eq!((restored.capacity, restored.idle_times.len()), (MAX_CONCURRENT_PER_MINER, 0));
        assert_eq!(restored.times[&0].0, [5.0; MAX_STORED_TIMES]);
    }

    #[test]
    fn malformed_or_newer_document_is_refused() {
        let mut other = saved();
        other.version += 1;
        let text = serde_json::to_vec(&other).unwrap();
        assert!(matches!(SavedPerformance::from_json(&text), Err(SavedError::Version(2))));
        for text in ["", "{}", "[]", r#"{"version":1}"#] {
            assert!(
                matches!(
                    SavedPerformance::from_json(text.as_bytes()),
                    Err(SavedError::Malformed(_))
                ),
                "{text}"
            );
        }
    }
}
