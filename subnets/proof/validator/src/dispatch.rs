//! Dispatch by measured capacity: selects the miner for the next request, and the timeout of its
//! answer.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use taonet_neuron::Backoff;
use taonet_primitives::Hotkey;
use taonet_proof_core::Digest;
use tokio::sync::Notify;

use crate::ProofMiner;
use crate::capacity::{Performance, ResponseTimes, SavedPerformance};

/// Pauses after consecutive failures.
const BACKOFF: Backoff = Backoff::new(Duration::from_millis(500), Duration::from_mins(1));

/// Requests in flight and measured performance, by miner.
#[derive(Debug)]
pub(crate) struct Dispatcher {
    state: Mutex<State>,
    /// Signals that a request ended.
    request_ended: Notify,
    limits: Limits,
}

/// Limits of a [`Dispatcher`].
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// Minimum time between two benchmark requests to a miner of capacity 1. For a miner of
    /// capacity n, it is divided by n.
    pub(crate) interval: Duration,
    /// Maximum timeout of a request.
    pub(crate) timeout: Duration,
    /// Minimum time before an answer is overdue.
    pub(crate) overdue_after: Duration,
    /// Share of the miners, the fastest, that users' requests prefer, in percent.
    pub(crate) users_percent: u8,
    /// Whether benchmark requests are sent, which detect the recovery of a failed miner. Otherwise,
    /// users' requests detect it.
    pub(crate) benchmarks: bool,
}

#[derive(Debug, Default)]
struct State {
    /// Sequence number of the last assignment.
    last_assignment: u64,
    miners: BTreeMap<Hotkey, MinerLoad>,
    /// Performance before the restart of miners that have not received a request since.
    restored: BTreeMap<Hotkey, Performance>,
    /// Response times of all miners, by the circuit's position.
    times_by_circuit: BTreeMap<usize, ResponseTimes>,
}

#[derive(Debug, Default)]
struct MinerLoad {
    in_flight: usize,
    /// Number of requests in flight for users.
    for_users: usize,
    /// Number of requests in flight whose answer is overdue.
    overdue: usize,
    /// Sequence number of the miner's last assignment.
    last_assignment: u64,
    /// Earliest start of the next benchmark request.
    ready_at: Option<Instant>,
    performance: Performance,
}

impl MinerLoad {
    /// Returns whether the miner is in its pause after a failure.
    fn is_paused(&self, now: Instant) -> bool {
        self.performance.is_failing() && self.ready_at.is_some_and(|ready_at| ready_at > now)
    }

    fn is_full(&self) -> bool {
        self.in_flight >= self.performance.capacity()
    }
}

impl State {
    /// Returns the given percentage of the miners: those whose answers for a circuit are overdue
    /// soonest. Miners with too few response times are not among them. With 100 %, the set is
    /// empty, since all miners are equal.
    fn fastest_miners(
        &self,
        circuit: usize,
        miners: &[ProofMiner],
        percent: u8,
    ) -> BTreeSet<Hotkey> {
        if percent >= 100 {
            return BTreeSet::new();
        }
        let estimate = |hotkey: &Hotkey| {
            let miner_times = self.miners.get(hotkey).map(|load| &load.performance);
            miner_times.or_else(|| self.restored.get(hotkey))?.times(circuit)?.estimate()
        };
        let miner_times =
            miners.iter().filter_map(|miner| Some((estimate(miner.hotkey())?, *miner.hotkey())));
        let mut miner_times: Vec<(Duration, Hotkey)> = miner_times.collect();
        miner_times.sort_unstable();
        let count = (miners.len() * usize::from(percent)).div_ceil(100);
        miner_times.into_iter().take(count).map(|(_, hotkey)| hotkey).collect()
    }
}

/// Purpose of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    Benchmark,
    User,
}

/// Outcome of an assigned request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AssignmentOutcome {
    /// The proof verified; contains the response time.
    Verified(Duration),
    /// The miner was at capacity.
    Busy,
    /// The request failed.
    Failed,
}

impl Dispatcher {
    pub(crate) fn new(limits: Limits) -> Arc<Self> {
        Arc::new(Self { state: Mutex::default(), request_ended: Notify::new(), limits })
    }

    /// Restores the performance of miners and circuits. `circuits` are the identities of the
    /// circuits by position.
    pub(crate) fn restore(&self, saved: SavedPerformance, circuits: &[Digest], now: Duration) {
        let (miners, times_by_circuit) = saved.restore(circuits, now);
        let mut state = self.lock();
        (state.restored, state.times_by_circuit) = (miners, times_by_circuit);
    }

    /// Returns the performance of all miners, for [`Dispatcher::restore`].
    pub(crate) fn save(&self, circuits: &[Digest], now: Duration) -> SavedPerformance {
        let state = self.lock();
        let measured = state.miners.iter().map(|(hotkey, load)| (hotkey, &load.performance));
        SavedPerformance::new(
            state.restored.iter().chain(measured),
            &state.times_by_circuit,
            circuits,
            now,
        )
    }

    /// Assigns a user's request for a circuit. Prefers miners whose last proof verified, then those
    /// with free capacity, then the fastest share, then those with the fewest requests in flight,
    /// then the one with the oldest last request. Without benchmarks, a miner that failed is tried
    /// again after its pause.
    pub(crate) fn assign_user_request(
        self: &Arc<Self>,
        circuit: usize,
        miners: &[ProofMiner],
        excluded: &BTreeSet<Hotkey>,
        now: Instant,
    ) -> Option<Assignment> {
        let mut state = self.lock();
        let fastest = state.fastest_miners(circuit, miners, self.limits.users_percent);
        let eligible = miners.iter().filter(|miner| !excluded.contains(miner.hotkey()));
        let rank = |miner: &&ProofMiner| {
            let default_load = MinerLoad::default();
            let load = state.miners.get(miner.hotkey()).unwrap_or(&default_load);
            let is_failing = if self.limits.benchmarks {
                load.performance.is_failing()
            } else {
                load.is_paused(now)
            };
            (
                is_failing || load.overdue > 0,
                load.is_full(),
                !fastest.contains(miner.hotkey()),
                load.in_flight,
                load.last_assignment,
            )
        };
        let miner = eligible.min_by_key(rank)?.clone();
        Some(self.create_assignment(&mut state, miner, circuit, Purpose::User, now))
    }

    /// Assigns a benchmark request to one miner.
    pub(crate) fn assign_benchmark_to(
        self: &Arc<Self>,
        circuit: usize,
        miner: &ProofMiner,
    ) -> Assignment {
        self.create_assignment(
            &mut self.lock(),
            miner.clone(),
            circuit,
            Purpose::Benchmark,
            Instant::now(),
        )
    }

    /// Assigns the next benchmark request to a miner with free capacity: the one with the fewest
    /// requests in flight, on a tie the one with the oldest last request. Assigns one request per
    /// call, so that every miner receives its first request before any miner receives a second.
    ///
    /// # Errors
    /// When no miner may receive a request now; contains the earliest time at which one may, if
    /// known.
    pub(crate) fn next_benchmark(
        self: &Arc<Self>,
        circuit: usize,
        miners: &[ProofMiner],
        now: Instant,
    ) -> Result<Assignment, Option<Instant>> {
        let mut state = self.lock();
        let (mut best, mut earliest) = (None, None::<Instant>);
        for miner in miners {
            let default_load = MinerLoad::default();
            let load = state.miners.get(miner.hotkey()).unwrap_or(&default_load);
            // Users have priority: a miner that works for a user receives no benchmarks.
            if load.is_full() || load.overdue > 0 || load.for_users > 0 {
                continue;
            }
            if let Some(ready_at) = load.ready_at.filter(|ready_at| *ready_at > now) {
                earliest = Some(earliest.map_or(ready_at, |earliest| earliest.min(ready_at)));
                continue;
            }
            let rank = (load.in_flight, load.last_assignment);
            if best.is_none_or(|(_, best)| rank < best) {
                best = Some((miner, rank));
            }
        }
        let miner = best.ok_or(earliest)?.0.clone();
        Ok(self.create_assignment(&mut state, miner, circuit, Purpose::Benchmark, now))
    }

    /// Waits until a request ends.
    pub(crate) async fn wait_for_request_end(&self) {
        self.request_ended.notified().await;
    }

    /// Returns the number of requests in flight.
    pub(crate) fn in_flight(&self) -> usize {
        self.lock().miners.values().map(|load| load.in_flight).sum()
    }

    /// Removes the records of miners that left the list.
    pub(crate) fn retain(&self, miners: &[ProofMiner]) {
        let listed: BTreeSet<&Hotkey> = miners.iter().map(ProofMiner::hotkey).collect();
        let mut state = self.lock();
        state.miners.retain(|hotkey, load| load.in_flight > 0 || listed.contains(hotkey));
        // The list is empty until the metagraph is read for the first time.
        if !miners.is_empty() {
            state.restored.retain(|hotkey, _| listed.contains(hotkey));
        }
    }

    fn create_assignment(
        self: &Arc<Self>,
        state: &mut State,
        miner: ProofMiner,
        circuit: usize,
        purpose: Purpose,
        now: Instant,
    ) -> Assignment {
        let State { last_assignment, miners, restored, times_by_circuit } = state;
        *last_assignment += 1;
        let load = miners.entry(*miner.hotkey()).or_insert_with(|| {
            let performance = restored.remove(miner.hotkey()).unwrap_or_default();
            MinerLoad { performance, ..MinerLoad::default() }
        });
        load.last_assignment = *last_assignment;
        load.in_flight += 1;
        match purpose {
            Purpose::User => load.for_users += 1,
            Purpose::Benchmark => {
                let share = u32::try_from(load.performance.capacity()).unwrap_or(1).max(1);
                load.ready_at = Some(now + self.limits.interval / share);
            }
        }
        let (in_flight, times) = (load.in_flight, load.performance.times(circuit));
        let Limits { timeout, overdue_after, .. } = self.limits;
        let clamp = |time: Duration| time.clamp(overdue_after.min(timeout), timeout);
        let estimate = times
            .and_then(ResponseTimes::estimate)
            .or_else(|| times_by_circuit.get(&circuit)?.estimate());
        Assignment {
            timeout: times.and_then(ResponseTimes::timeout).map_or(timeout, clamp),
            overdue_after: clamp(estimate.unwrap_or(overdue_after)),
            miner,
            circuit,
            purpose,
            in_flight,
            is_overdue: false,
            dispatcher: Arc::clone(self),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Guard that counts a miner's request as in flight until it is dropped.
#[derive(Debug)]
pub(crate) struct Assignment {
    pub(crate) miner: ProofMiner,
    /// Timeout of the request: twice the 95th percentile of the miner's response times, once there
    /// are enough.
    pub(crate) timeout: Duration,
    /// Time after which the answer is overdue.
    pub(crate) overdue_after: Duration,
    circuit: usize,
    purpose: Purpose,
    /// Number of the miner's requests in flight when this one was sent, including this one.
    in_flight: usize,
    is_overdue: bool,
    dispatcher: Arc<Dispatcher>,
}

impl Assignment {
    /// Returns the position of the requested circuit.
    pub(crate) const fn circuit(&self) -> usize {
        self.circuit
    }

    /// Marks the answer as overdue: the miner receives no benchmarks until this request ends.
    pub(crate) fn set_overdue(&mut self) {
        if !self.is_overdue {
            self.is_overdue = true;
            if let Some(load) = self.dispatcher.lock().miners.get_mut(self.miner.hotkey()) {
                load.overdue += 1;
            }
        }
    }

    /// Records the outcome.
    pub(crate) fn settle(self, outcome: AssignmentOutcome) {
        let mut state = self.dispatcher.lock();
        if let AssignmentOutcome::Verified(time) = outcome {
            state.times_by_circuit.entry(self.circuit).or_default().add(time);
        }
        let Some(load) = state.miners.get_mut(self.miner.hotkey()) else { return };
        let pause = match outcome {
            AssignmentOutcome::Verified(time) => {
                load.performance.record_verified(self.circuit, time, self.in_flight);
                return;
            }
            AssignmentOutcome::Busy => {
                load.performance.record_busy(self.in_flight);
                BACKOFF.delay(0)
            }
            AssignmentOutcome::Failed => {
                load.performance.record_failure();
                BACKOFF.delay(load.performance.failures().saturating_sub(1))
            }
        };
        let ready_at = Instant::now() + pause.max(self.dispatcher.limits.interval);
        load.ready_at = load.ready_at.max(Some(ready_at));
    }
}

impl Drop for Assignment {
    fn drop(&mut self) {
        if let Some(load) = self.dispatcher.lock().miners.get_mut(self.miner.hotkey()) {
            load.in_flight -= 1;
            load.overdue -= usize::from(self.is_overdue);
            load.for_users -= usize::from(self.purpose == Purpose::User);
        }
        // `notify_one` stores the notification if no task is waiting.
        self.dispatcher.request_ended.notify_one();
    }
}

#[cfg(test)]
mod tests;
