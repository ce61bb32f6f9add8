//! The processes that send requests of a market, as listed in the database.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use taonet_nineteen_store::{Process, ProcessRow, Store, StoreError};
use tokio::time::Instant;

use crate::{Division, Divisions, Market};

/// Number of latest updates whose smallest share counts, so that the other processes reduce their
/// shares before the share of this process grows. Each process updates its row once per second.
const UPDATES_BEFORE_GROWTH: usize = 3;
/// Time without a change of a process's row after which the process is dead.
pub(crate) const MAX_HEARTBEAT_AGE: Duration = Duration::from_secs(5);
/// Time after which the row of a dead process is deleted.
const MAX_ROW_AGE: Duration = Duration::from_mins(1);
/// Time after a change of the processes in which requests from before it may be in flight.
const SETTLING_TIME: Duration = Duration::from_mins(1);
/// Time since the last buyer's request after which a process that need not serve buyers does not.
/// Much longer than [`SETTLING_TIME`], so that an occasional buyer does not keep the division
/// changing.
const SERVING_TIME: Duration = Duration::from_mins(10);

/// Counts the processes that send requests, and divides the market's limits among them.
///
/// Each process changes its row in the database once per second. Times are those of this process's
/// monotonic clock, because the clocks of machines differ.
#[derive(Debug)]
pub(crate) struct Membership {
    process: Process,
    /// Whether this process has a full share of the limits even without buyers' requests.
    always_serves: bool,
    heartbeats: i64,
    /// Other processes: their last row, and when it changed.
    other_processes: HashMap<Process, (ProcessRow, Instant)>,
    latest_divisions: VecDeque<Division>,
    changed_at: Option<Instant>,
    /// Time of the latest update.
    updated_at: Option<Instant>,
    /// Number of buyers' requests, and when it changed.
    buyers_requests: (u64, Option<Instant>),
}

impl Membership {
    pub(crate) fn new(process: Process, always_serves: bool) -> Self {
        Self {
            process,
            always_serves,
            heartbeats: 0,
            other_processes: HashMap::new(),
            latest_divisions: VecDeque::from([Division::UNKNOWN]),
            changed_at: None,
            updated_at: None,
            buyers_requests: (0, None),
        }
    }

    /// Updates this process's row, reads those of the others, and divides the limits of `market`.
    ///
    /// # Errors
    /// [`StoreError`] when the database fails; the division remains.
    pub(crate) async fn update(
        &mut self,
        store: &Store,
        market: &Market,
        now: Instant,
    ) -> Result<(), StoreError> {
        self.heartbeats += 1;
        let serves = self.serves(market, now);
        let own_row =
            ProcessRow { process: self.process.clone(), heartbeats: self.heartbeats, serves };
        let rows = store.heartbeat(&own_row).await?;
        // The others may have taken this process for dead, and use its share.
        if self
            .updated_at
            .is_some_and(|updated| now.saturating_duration_since(updated) >= MAX_HEARTBEAT_AGE)
        {
            self.changed_at = Some(now);
        }
        self.updated_at = Some(now);
        let expired_processes = self.record_rows(rows, now);
        for process in &expired_processes {
            store.delete_process(process).await?;
        }
        market.divide(self.divide(serves, now));
        Ok(())
    }

    /// Returns whether this process serves buyers.
    fn serves(&mut self, market: &Market, now: Instant) -> bool {
        let requests = market.buyers_requests();
        if requests != self.buyers_requests.0 {
            self.buyers_requests = (requests, Some(now));
        }
        self.always_serves
            || self
                .buyers_requests
                .1
                .is_some_and(|last| now.saturating_duration_since(last) < SERVING_TIME)
    }

    /// Records the rows of the other processes; returns those to be deleted.
    fn record_rows(&mut self, rows: Vec<ProcessRow>, now: Instant) -> Vec<Process> {
        let mut previous_rows = std::mem::take(&mut self.other_processes);
        for row in rows.into_iter().filter(|row| row.process != self.process) {
            let changed_at = match previous_rows.remove(&row.process) {
                Some((previous_row, changed_at)) if previous_row.heartbeats == row.heartbeats => {
                    changed_at
                }
                _ => now,
            };
            self.other_processes.insert(row.process.clone(), (row, changed_at));
        }
        let is_expired = |changed: &Instant| now.saturating_duration_since(*changed) > MAX_ROW_AGE;
        let expired_processes =
            self.other_processes.iter().filter(|(_, (_, changed))| is_expired(changed));
        expired_processes.map(|(process, _)| process.clone()).collect()
    }

    /// Computes the division from the live processes.
    fn divide(&mut self, serves: bool, now: Instant) -> Divisions {
        let is_live = |changed: Instant| now.saturating_duration_since(changed) < MAX_HEARTBEAT_AGE;
        let live_processes = self.other_processes.values().filter(|(_, changed)| is_live(*changed));
        let live: Vec<&ProcessRow> = live_processes.map(|(row, _)| row).collect();
        let serving: Vec<&Process> =
            live.iter().filter(|row| row.serves).map(|row| &row.process).collect();
        // Without workers, a validator has all slots for its first buyer.
        let is_only_process = serving.is_empty();
        let serves = serves || is_only_process;
        let index =
            serves.then(|| serving.iter().filter(|process| **process < &self.process).count());
        let division = Division::new(1 + live.len(), serving.len() + usize::from(serves), index);
        // At the start, a validator need not wait for its predecessor, which it replaces.
        if self.changed_at.is_none() && is_only_process && !self.always_serves {
            self.latest_divisions.clear();
        } else if self.latest_divisions.back() != Some(&division) {
            self.changed_at = Some(now);
        }
        self.latest_divisions.push_back(division);
        while self.latest_divisions.len() > UPDATES_BEFORE_GROWTH {
            self.latest_divisions.pop_front();
        }
        Divisions::new(self.latest_divisions.iter().copied(), self.is_settled(now))
    }

    /// Returns whether the processes have not changed for long.
    fn is_settled(&self, now: Instant) -> bool {
        self.changed_at
            .is_none_or(|changed| now.saturating_duration_since(changed) >= SETTLING_TIME)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Processes that share a database.
    struct Processes {
        store: Store,
        members: Vec<(Membership, Market)>,
        now: Instant,
        _folder: tempfile::TempDir,
    }

    impl Processes {
        async fn new() -> Self {
            let folder = tempfile::tempdir().unwrap();
            let store = Store::open(folder.path()).await.unwrap();
            Self { store, members: Vec::new(), now: Instant::now(), _folder: folder }
        }

        fn start(&mut self, always_serves: bool) {
            let market = Market::default();
            market.divide(Divisions::new([Division::UNKNOWN], false));
            self.members.push((Membership::new(Process::random(), always_serves), market));
        }

        /// Lets time pass; each process updates its row once per second.
        async fn advance(&mut self, seconds: u64) {
            self.advance_in_steps(seconds, 1).await;
        }

        /// Like [`Self::advance`], with an update in each step of some seconds.
        async fn advance_in_steps(&mut self, steps: u64, seconds: u64) {
            for _ in 0..steps {
                self.now += Duration::from_secs(seconds);
                for (membership, market) in &mut self.members {
                    membership.update(&self.store, market, self.now).await.unwrap();
                }
            }
        }

        fn shares(&self, total: usize) -> Vec<usize> {
            self.members.iter().map(|(_, market)| market.divisions().share(total)).collect()
        }

        /// Returns whether rejections count, by process.
        fn are_settled(&self) -> Vec<bool> {
            self.members.iter().map(|(_, market)| market.divisions().keeps_limit(64)).collect()
        }
    }

    #[tokio::test]
    async fn limits_are_divided_among_live_processes() {
        let mut processes = Processes::new().await;
        processes.start(false);
        assert_eq!(processes.shares(64), [1], "unknown before the first update");
        processes.advance(1).await;
        assert_eq!(processes.shares(64), [64], "a validator alone need not wait for others");
        processes.start(true);
        processes.advance(1).await;
        let shares = processes.shares(64);
        assert_eq!(shares[1], 1, "a new worker waits until the others have made room");
        processes.advance(3).await;
        assert_eq!(processes.shares(64), [1, 63], "the validator has no buyers");
        processes.start(true);
        for _ in 0..3 {
            processes.advance(1).await;
            assert!(processes.shares(64).iter().sum::<usize>() <= 66, "{:?}", processes.shares(64));
        }
        processes.advance(1).await;
        let mut shares = processes.shares(64);
        assert_eq!((shares[0], shares.iter().sum()), (1, 64));
        shares.sort_unstable();
        assert_eq!(shares, [1, 31, 32]);
        // One worker is killed.
        processes.members.remove(1);
        processes.advance(4).await;
        assert!(processes.shares(64)[1] <= 32);
        processes.advance(4).await;
        assert_eq!(processes.shares(64), [1, 63]);
        assert_eq!(processes.shares(0), [0, 0]);
    }

    #[tokio::test]
    async fn restarted_validator_gets_nearly_all_slots_at_once() {
        let mut processes = Processes::new().await;
        processes.start(false);
        processes.advance(5).await;
        processes.members.clear();
        processes.start(false);
        processes.advance(1).await;
        assert_eq!(processes.shares(64), [63]);
        processes.advance(10).await;
        assert_eq!(processes.shares(64), [64]);
    }

    #[tokio::test]
    async fn validator_with_buyers_gets_an_equal_share() {
        let mut processes = Processes::new().await;
        processes.start(false);
        processes.start(true);
        processes.advance(5).await;
        assert_eq!(processes.shares(65), [1, 64]);
        processes.members[0].1.count_buyers_request();
        processes.advance(5).await;
        assert_eq!(processes.shares(64), [32, 32]);
        processes.advance(70).await;
        assert_eq!(processes.shares(64), [32, 32]);
        // An occasional request does not change the division.
        processes.members[0].1.count_buyers_request();
        processes.advance_in_steps(135, 4).await;
        assert_eq!(
            (processes.shares(64), processes.are_settled()),
            (vec![32, 32], vec![true, true])
        );
        processes.advance(70).await;
        assert_eq!(processes.shares(65), [1, 64]);
    }

    #[tokio::test]
    async fn rejections_do_not_count_after_a_pause_of_the_updates() {
        let mut processes = Processes::new().await;
        processes.start(true);
        processes.start(true);
        processes.advance(70).await;
        assert_eq!(processes.are_settled(), [true, true]);
        // The database cannot be reached by any process: each keeps its list of the others.
        processes.now += Duration::from_secs(20);
        processes.advance(1).await;
        assert_eq!(processes.are_settled(), [false, false]);
        processes.advance(70).await;
        assert_eq!(processes.are_settled(), [true, true]);
    }

    #[tokio::test]
    async fn processes_are_settled_70_seconds_after_the_last_start() {
        let mut processes = Processes::new().await;
        processes.start(false);
        processes.start(true);
        processes.advance(30).await;
        assert_eq!(processes.are_settled(), [false, false]);
        processes.advance(40).await;
        assert_eq!(processes.are_settled(), [true, true]);
    }

    #[tokio::test]
    async fn rows_of_dead_processes_are_deleted() {
        let mut processes = Processes::new().await;
        processes.start(true);
        processes.start(true);
        processes.advance(2).await;
        processes.members.pop();
        processes.advance(70).await;
        let own_row = ProcessRow {
            process: processes.members[0].0.process.clone(),
            heartbeats: 1_000,
            serves: true,
        };
        assert_eq!(processes.store.heartbeat(&own_row).await.unwrap(), [own_row]);
    }
}
