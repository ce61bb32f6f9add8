//! Holds and charges of this process's requests.
//!
//! A process leases credits of an API key (`held:ID`), and divides the lease among the holds of its
//! running requests in memory. Only holds that exceed the lease, and charges, need the database.
//! All of them that are pending share one transaction: those that arrive during a transaction join
//! the next one. A charge is complete once it is on disk.
//!
//! A lease consists of the holds, plus a reserve for further requests. The reserve is at most 1/64
//! of the key's credits and of its budgets, so that other processes can use almost all credits;
//! keys with few credits have no reserve. Half of a reserve is left when it is refilled, so that
//! requests of a busy key do not wait for the database. A reserve that is unused for a second is
//! returned. The lease of a killed process is released like its holds.
//!
//! Holds from the lease do not read the budgets. Each transaction on a key does, except those that
//! return its reserve. If the lease exceeds a budget, because the budget was lowered or the key has
//! joined a team, its reserve is returned. After a second without a transaction, the next hold
//! needs one. So a changed budget limits all holds after about a second.

#![deny(clippy::arithmetic_side_effects)]

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use taonet_database::Database;
use tokio::sync::{Notify, oneshot};
use tokio::time::Instant;

use crate::credits::{HoldRefusal, Usage};
use crate::{Process, StoreError};

mod batch;
mod plan;
mod teams;

use plan::{Plan, SettledKey};

/// Maximum pause of the writer after a transaction with several charges, so that more charges share
/// the next one, like PostgreSQL's `commit_delay`. A hold that needs the database ends the pause,
/// and so do the charges of half of the requests in flight: with fewer left to run, the processors
/// would become idle.
const COMMIT_DELAY: Duration = Duration::from_millis(5);
/// Time after which an unused reserve is returned.
const IDLE_TIMEOUT: Duration = Duration::from_secs(1);
/// Maximum age of the budgets that a hold may rely on, even if the lease has enough credits.
const BUDGET_MAX_AGE: Duration = Duration::from_secs(1);
/// Interval at which the lease of a key with long requests is marked as alive.
const RENEWAL_INTERVAL: Duration = Duration::from_mins(1);

/// Leases, holds and pending charges of this process.
#[derive(Debug)]
pub(crate) struct CreditLeases {
    process: Process,
    state: Mutex<State>,
    /// Locked during a transaction.
    transaction_lock: tokio::sync::Mutex<()>,
    /// Notified to end the pause of the writer early.
    wake_writer: Notify,
    /// Maximum pause of the writer, [`COMMIT_DELAY`] except in tests.
    pub(crate) commit_delay: Duration,
    /// ID of the transfer of the next charge, without its sign bit.
    next_transfer: AtomicI64,
}

#[derive(Debug, Default)]
struct State {
    /// Holds by request ID.
    holds: HashMap<String, Hold>,
    /// Leases by the ID of the API key.
    leases: HashMap<String, Lease>,
    pending_holds: Vec<PendingHold>,
    pending_charges: Vec<PendingCharge>,
    /// Keys whose unused credits are to be returned.
    keys_to_settle: BTreeSet<String>,
    /// Keys whose reserves are to be refilled, each with the day in UTC.
    keys_to_refill: BTreeMap<String, String>,
    is_sweeping: bool,
    /// Whether a task writes the pending work until none is left.
    is_writing: bool,
    /// Whether this process no longer keeps reserves.
    is_closing: bool,
}

/// Credits reserved for a request.
#[derive(Debug)]
pub(crate) struct Hold {
    /// ID of the API key.
    pub(crate) key: String,
    /// Maximum price of the request, in credits.
    pub(crate) amount: i64,
    /// Unix time in milliseconds of the request or, once an attempt to charge it has failed, of the
    /// latest attempt.
    pub(crate) created_ms: i64,
    /// ID of the transfer that charges the request, by which a repeated charge is recognised.
    pub(crate) transfer_id: i64,
    /// Whether an attempt to charge the request failed, possibly after its transaction was
    /// committed.
    pub(crate) is_retried: bool,
}

/// This process's lease of a key's credits.
#[derive(Debug)]
struct Lease {
    amount: i64,
    /// Whether `amount` is that of the database. After a failed transaction, it may not be.
    is_confirmed: bool,
    /// Whether the lease exceeds what remains of a budget. Then, holds need the database, and the
    /// reserve is returned.
    is_over_budget: bool,
    /// Credits of holds and pending charges, and those set aside for a transaction.
    held: i64,
    /// Credits that the lease may have beyond the holds.
    reserve: i64,
    is_refilling: bool,
    /// Time of the last hold, also as Unix time in milliseconds.
    last_hold: (Instant, i64),
    /// Time of the last transaction.
    written_at: Instant,
}

/// A hold that needs credits from the database.
#[derive(Debug)]
struct PendingHold {
    request: String,
    hold: Hold,
    /// Day in UTC, such as `2026-11-21`.
    day: String,
    reply: oneshot::Sender<Result<Result<(), HoldRefusal>, Arc<StoreError>>>,
}

/// A charge that is waiting for its transaction.
#[derive(Debug)]
struct PendingCharge {
    request: String,
    hold: Hold,
    usage: Usage,
    now_ms: i64,
    reply: oneshot::Sender<Result<Option<i64>, Arc<StoreError>>>,
}

impl Lease {
    fn new(now_ms: i64) -> Self {
        let now = Instant::now();
        Self {
            amount: 0,
            is_confirmed: true,
            is_over_budget: false,
            held: 0,
            reserve: 0,
            is_refilling: false,
            last_hold: (now, now_ms),
            written_at: now,
        }
    }

    /// Returns whether a hold of `amount` credits needs no transaction.
    fn covers(&self, amount: i64) -> bool {
        self.is_confirmed
            && !self.is_over_budget
            && self.free() >= amount
            && self.written_at.elapsed() < BUDGET_MAX_AGE
    }

    /// Returns the credits that are available to further holds.
    fn free(&self) -> i64 {
        if self.is_confirmed { self.amount.saturating_sub(self.held) } else { 0 }
    }

    // No sum overflows: amounts that exceed the lease are not held, and all leases together are at
    // most `MAX_CREDITS`.
    fn hold(&mut self, amount: i64) {
        self.held = self.held.saturating_add(amount);
    }

    fn release(&mut self, amount: i64) {
        self.held = self.held.saturating_sub(amount);
    }

    fn needs_transaction(&self) -> bool {
        let is_idle = self.free() > 0 && self.last_hold.0.elapsed() >= IDLE_TIMEOUT;
        !self.is_confirmed
            || self.is_over_budget
            || is_idle
            || self.written_at.elapsed() >= RENEWAL_INTERVAL
    }

    /// Returns the Unix time in milliseconds.
    fn now_ms(&self) -> i64 {
        self.last_hold
            .1
            .saturating_add(i64::try_from(self.last_hold.0.elapsed().as_millis()).unwrap_or(0))
    }
}

impl State {
    /// Grants a hold from the lease, if it covers the hold; returns whether the reserve is to be
    /// refilled.
    fn hold_from_lease(&mut self, request: &str, hold: Hold, day: &str) -> Result<bool, Hold> {
        let lease =
            self.leases.entry(hold.key.clone()).or_insert_with(|| Lease::new(hold.created_ms));
        lease.last_hold = (Instant::now(), hold.created_ms);
        if !lease.covers(hold.amount) {
            return Err(hold);
        }
        lease.hold(hold.amount);
        let is_low = !lease.is_refilling && lease.free() < lease.reserve / 2;
        if is_low {
            lease.is_refilling = true;
            self.keys_to_refill.insert(hold.key.clone(), day.to_owned());
        }
        self.holds.insert(request.to_owned(), hold);
        Ok(is_low)
    }

    /// Releases a hold in memory; returns its key.
    fn release(&mut self, request: &str) -> Option<String> {
        let hold = self.holds.remove(request)?;
        if let Some(lease) = self.leases.get_mut(&hold.key) {
            lease.release(hold.amount);
        }
        Some(hold.key)
    }

    /// Ends the writer, unless work is pending; returns whether it has ended. Later work starts
    /// another writer.
    fn end_idle_writer(&mut self) -> bool {
        let is_idle = self.pending_holds.is_empty()
            && self.pending_charges.is_empty()
            && self.keys_to_refill.is_empty()
            && self.keys_to_settle.is_empty();
        self.is_writing = !is_idle;
        is_idle
    }

    /// Returns whether the next transaction may wait for more charges: no hold needs it, and most
    /// requests in flight have not ended.
    fn may_wait_for_charges(&self) -> bool {
        self.pending_holds.is_empty() && self.pending_charges.len() < self.holds.len()
    }

    /// Plans the next transaction from all pending work.
    fn take_plans(&mut self) -> BTreeMap<String, Plan> {
        let mut plans: BTreeMap<String, Plan> = BTreeMap::new();
        // A plan has the budgets of one day. Requests of a later day are left to the next
        // transaction, which follows: the writer ends only when no work is left.
        let day = self.pending_holds.iter().map(|pending_hold| &pending_hold.day).min().cloned();
        let is_on_day = |pending_hold: &PendingHold| Some(&pending_hold.day) == day.as_ref();
        let (pending_holds, later_holds): (Vec<_>, _) =
            std::mem::take(&mut self.pending_holds).into_iter().partition(is_on_day);
        self.pending_holds = later_holds;
        for pending_hold in pending_holds {
            plans
                .entry(pending_hold.hold.key.clone())
                .or_default()
                .pending_holds
                .push(pending_hold);
        }
        for pending_charge in std::mem::take(&mut self.pending_charges) {
            plans
                .entry(pending_charge.hold.key.clone())
                .or_default()
                .pending_charges
                .push(pending_charge);
        }
        for (key, day) in std::mem::take(&mut self.keys_to_refill) {
            plans.entry(key).or_default().refill_day = Some(day);
        }
        let keys_to_settle = std::mem::take(&mut self.keys_to_settle);
        for key in &keys_to_settle {
            plans.entry(key.clone()).or_default();
        }
        for (key, plan) in &mut plans {
            let lease = self.leases.entry(key.clone()).or_insert_with(|| Lease::new(0));
            plan.prepare(lease, self.is_closing || keys_to_settle.contains(key));
        }
        plans
    }

    /// Completes a transaction: updates the leases, and reports the results.
    fn apply_results(&mut self, plans: BTreeMap<String, Plan>, results: Vec<SettledKey>) {
        for ((key, plan), result) in plans.into_iter().zip(results) {
            let Some(lease) = self.leases.get_mut(&key) else { continue };
            lease.release(plan.set_aside);
            lease.is_refilling &= plan.refill_day.is_none();
            (lease.amount, lease.is_confirmed, lease.written_at) =
                (result.lease, true, Instant::now());
            lease.is_over_budget = result.is_over_budget;
            lease.reserve = result.reserve.unwrap_or(lease.reserve);
            for (pending_charge, charged) in plan.pending_charges.into_iter().zip(result.charges) {
                lease.release(pending_charge.hold.amount);
                let _ = pending_charge.reply.send(Ok(charged));
            }
            for (pending_hold, granted) in plan.pending_holds.into_iter().zip(result.hold_results) {
                // A buyer that has disconnected gets no hold.
                if pending_hold.reply.send(Ok(granted)).is_ok() && granted.is_ok() {
                    lease.hold(pending_hold.hold.amount);
                    self.holds.insert(pending_hold.request, pending_hold.hold);
                }
            }
            if lease.amount == 0 && lease.held == 0 {
                self.leases.remove(&key);
            }
        }
    }

    /// Reports a failed transaction, whose outcome is unknown.
    fn fail_plans(&mut self, plans: BTreeMap<String, Plan>, error: &Arc<StoreError>) {
        for (key, plan) in plans {
            if let Some(lease) = self.leases.get_mut(&key) {
                lease.release(plan.set_aside);
                lease.is_refilling &= plan.refill_day.is_none();
                lease.is_confirmed = false;
            }
            for pending_hold in plan.pending_holds {
                let _ = pending_hold.reply.send(Err(Arc::clone(error)));
            }
            for PendingCharge { request, hold, now_ms, reply, .. } in plan.pending_charges {
                let hold = Hold { is_retried: true, created_ms: now_ms, ..hold };
                self.holds.insert(request, hold);
                let _ = reply.send(Err(Arc::clone(error)));
            }
        }
    }
}

impl CreditLeases {
    pub(crate) fn new() -> Self {
        Self {
            process: Process::random(),
            state: Mutex::default(),
            transaction_lock: tokio::sync::Mutex::default(),
            wake_writer: Notify::new(),
            commit_delay: COMMIT_DELAY,
            next_transfer: AtomicI64::new(rand::random()),
        }
    }

    /// Returns an ID for a transfer. The IDs of a process follow one another from a random one, so
    /// that the rows of a transaction share pages of the database, and those of different processes
    /// do not collide.
    pub(crate) fn next_transfer_id(&self) -> i64 {
        self.next_transfer.fetch_add(1, Ordering::Relaxed) & i64::MAX
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns whether the row with this ID in the table `hold` is a lease of this process.
    pub(crate) fn is_own_lease(&self, id: &str) -> bool {
        id.strip_prefix(self.process.as_str()).is_some_and(|suffix| suffix.starts_with(':'))
    }

    /// Returns the leased credits of a key that no request holds.
    pub(crate) fn free(&self, key: &str) -> i64 {
        self.state().leases.get(key).map_or(0, |lease| lease.free().max(0))
    }

    /// Reserves the maximum price of a request; see [`crate::Store::hold`].
    pub(crate) async fn hold(
        self: &Arc<Self>,
        database: &Database,
        request: &str,
        hold: Hold,
        day: &str,
    ) -> Result<Result<(), HoldRefusal>, StoreError> {
        let mut guard = HoldGuard { leases: self, request, is_finished: false };
        let (reply, result) = oneshot::channel();
        {
            let mut state = self.state();
            match state.hold_from_lease(request, hold, day) {
                Ok(is_low) => {
                    guard.is_finished = true;
                    if is_low {
                        self.start_writer(&mut state, database);
                    }
                    return Ok(Ok(()));
                }
                Err(hold) => {
                    state.pending_holds.push(PendingHold {
                        request: request.to_owned(),
                        hold,
                        day: day.to_owned(),
                        reply,
                    });
                    self.start_writer(&mut state, database);
                }
            }
        }
        let result = result.await;
        guard.is_finished = true;
        result.map_err(|_| StoreError::Stopping)?.map_err(StoreError::HoldFailed)
    }

    /// Charges a request; see [`crate::Store::charge`].
    pub(crate) async fn charge(
        self: &Arc<Self>,
        database: &Database,
        request: &str,
        usage: &Usage,
        now_ms: i64,
    ) -> Result<Option<i64>, StoreError> {
        let (reply, result) = oneshot::channel();
        {
            let mut state = self.state();
            let Some(hold) = state.holds.remove(request) else { return Ok(None) };
            state.pending_charges.push(PendingCharge {
                request: request.to_owned(),
                hold,
                usage: usage.clone(),
                now_ms,
                reply,
            });
            self.start_writer(&mut state, database);
        }
        result.await.map_err(|_| StoreError::Stopping)?.map_err(StoreError::ChargeFailed)
    }

    /// Releases the holds of this process that are older than `before_ms` (Unix time in
    /// milliseconds), and that `is_abandoned` selects; returns the number of holds.
    pub(crate) async fn release_holds(
        self: &Arc<Self>,
        database: &Database,
        before_ms: i64,
        is_abandoned: fn(&Hold) -> bool,
    ) -> usize {
        let released = {
            let mut state = self.state();
            let is_old =
                |(_, hold): &(&String, &Hold)| hold.created_ms < before_ms && is_abandoned(hold);
            let old_requests: Vec<_> =
                state.holds.iter().filter(is_old).map(|(request, _)| request.clone()).collect();
            let keys: Vec<_> =
                old_requests.iter().filter_map(|request| state.release(request)).collect();
            state.keys_to_settle.extend(keys);
            old_requests.len()
        };
        self.write_pending(database).await;
        released
    }

    /// Returns all reserves, and keeps none from now on.
    pub(crate) async fn close(self: &Arc<Self>, database: &Database) {
        self.state().is_closing = true;
        self.return_reserves(database).await;
    }

    /// Returns all reserves.
    pub(crate) async fn return_reserves(self: &Arc<Self>, database: &Database) {
        {
            let mut state = self.state();
            let keys: Vec<_> = state.leases.keys().cloned().collect();
            state.keys_to_settle.extend(keys);
        }
        self.write_pending(database).await;
    }

    /// Starts the task that writes the pending work, or ends its pause if it runs. It is a separate
    /// task, so that a cancelled caller does not cancel the transaction.
    fn start_writer(self: &Arc<Self>, state: &mut State, database: &Database) {
        if state.is_writing {
            if !state.may_wait_for_charges() {
                self.wake_writer.notify_waiters();
            }
            return;
        }
        state.is_writing = true;
        tokio::spawn(Writer { leases: Arc::clone(self), has_ended: false }.run(database.clone()));
    }

    fn spawn_sweep(self: &Arc<Self>, database: &Database) {
        tokio::spawn(sweep(Arc::downgrade(self), database.clone()));
    }

    /// Writes all pending work in one transaction; returns its number of charges, or `None` if
    /// there is no work.
    async fn write_pending(self: &Arc<Self>, database: &Database) -> Option<usize> {
        let _lock = self.transaction_lock.lock().await;
        let plans = {
            let mut state = self.state();
            let plans = state.take_plans();
            if plans.is_empty() {
                return None;
            }
            plans
        };
        let charges = plans.values().map(|plan| plan.pending_charges.len()).sum();
        let result = batch::write(database, &self.process, &plans).await;
        let mut state = self.state();
        match result {
            Ok(results) => state.apply_results(plans, results),
            Err(error) => state.fail_plans(plans, &Arc::new(error)),
        }
        if !state.is_sweeping && !state.leases.is_empty() {
            state.is_sweeping = true;
            self.spawn_sweep(database);
        }
        Some(charges)
    }
}

/// The task that writes pending work. If it is cancelled or panics, later work starts another one.
struct Writer {
    leases: Arc<CreditLeases>,
    has_ended: bool,
}

impl Writer {
    async fn run(mut self, database: Database) {
        loop {
            let Some(charges) = self.leases.write_pending(&database).await else {
                if self.leases.state().end_idle_writer() {
                    break;
                }
                continue;
            };
            let wake_writer = self.leases.wake_writer.notified();
            if charges > 1 && self.leases.state().may_wait_for_charges() {
                let _ = tokio::time::timeout(self.leases.commit_delay, wake_writer).await;
            }
        }
        self.has_ended = true;
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        if !self.has_ended {
            self.leases.state().is_writing = false;
        }
    }
}

/// Returns unused reserves, and marks the other leases as alive, as long as there are any.
async fn sweep(leases: Weak<CreditLeases>, database: Database) {
    loop {
        tokio::time::sleep(IDLE_TIMEOUT).await;
        let Some(leases) = leases.upgrade() else { return };
        {
            let mut state = leases.state();
            if state.leases.is_empty() {
                state.is_sweeping = false;
                return;
            }
            let keys_to_write: Vec<_> = state
                .leases
                .iter()
                .filter(|(_, lease)| lease.needs_transaction())
                .map(|(key, _)| key.clone())
                .collect();
            state.keys_to_settle.extend(keys_to_write);
        }
        leases.write_pending(&database).await;
    }
}

/// A hold whose caller waits for it. Dropping it before it is finished releases the hold.
struct HoldGuard<'a> {
    leases: &'a CreditLeases,
    request: &'a str,
    is_finished: bool,
}

impl Drop for HoldGuard<'_> {
    fn drop(&mut self) {
        if !self.is_finished {
            let mut state = self.leases.state();
            state.pending_holds.retain(|pending_hold| pending_hold.request != self.request);
            state.release(self.request);
        }
    }
}

#[cfg(test)]
mod tests;
