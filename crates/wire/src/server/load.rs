//! How much work is taken on: each caller's rate, and how many requests run and wait at once.

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use taonet_primitives::Hotkey;
use tokio::sync::oneshot;

use crate::Refusal;

/// The load that a server takes from proven, admitted callers. The default sets no bounds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Load {
    /// How often one hotkey may call.
    pub rate: Option<Rate>,
    /// How many requests run at once; further ones wait.
    pub concurrency: Option<Concurrency>,
}

/// A hotkey's allowance: `burst` requests at once, refilled with `per_second`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// Requests a second in the long run; at least 1.
    pub per_second: u32,
    /// Requests at once after a pause; at least 1.
    pub burst: u32,
}

/// Bounds on requests at once, of all callers together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Concurrency {
    /// Requests in handlers, or in answers that are still streamed; at least 1.
    pub running: usize,
    /// Requests that wait for their turn. Larger stake goes first; who has least is refused when there is no room.
    pub waiting: usize,
    /// The longest wait. A caller that says how long it waits for the answer does not wait longer than that.
    pub patience: Duration,
}

/// Each hotkey's next free moment.
#[derive(Debug)]
pub(super) struct RateLimiter {
    interval: u64,
    burst: u64,
    state: Mutex<Buckets>,
}

#[derive(Debug, Default)]
struct Buckets {
    /// When each hotkey's allowance is full again, in nanoseconds since the Unix epoch.
    full_at: HashMap<Hotkey, u64>,
    next_sweep: u64,
}

impl RateLimiter {
    pub(super) fn new(rate: Rate) -> Self {
        let interval = 1_000_000_000 / u64::from(rate.per_second.max(1));
        Self { interval, burst: interval * u64::from(rate.burst.max(1)), state: Mutex::default() }
    }

    pub(super) fn check(&self, hotkey: &Hotkey, now_ns: u64) -> Result<(), Refusal> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if now_ns >= state.next_sweep {
            // Full allowances are those of callers never seen: memory holds recent callers only.
            state.next_sweep = now_ns.saturating_add(self.burst.max(1_000_000_000));
            state.full_at.retain(|_, full_at| *full_at > now_ns);
        }
        let full_at = state.full_at.entry(*hotkey).or_insert(now_ns);
        // After the clock was set back, nobody waits longer than a whole allowance takes.
        *full_at = (*full_at).clamp(now_ns, now_ns.saturating_add(self.burst));
        let next = full_at.saturating_add(self.interval);
        if next > now_ns.saturating_add(self.burst) {
            return Err(Refusal::TooOften(*hotkey));
        }
        *full_at = next;
        Ok(())
    }
}

/// Lets so many requests run, those with the largest stake first.
#[derive(Debug)]
pub(super) struct Gate {
    bounds: Concurrency,
    state: Mutex<Queue>,
}

#[derive(Debug, Default)]
struct Queue {
    running: usize,
    arrivals: u64,
    /// The first is next. Whoever is dropped from here is refused.
    waiting: BTreeMap<Place, oneshot::Sender<Permit>>,
}

type Place = (Reverse<u64>, u64);

/// The right to run, until it is dropped.
#[derive(Debug)]
pub(super) struct Permit(Option<Arc<Gate>>);

impl Gate {
    pub(super) fn new(bounds: Concurrency) -> Arc<Self> {
        let bounds = Concurrency { running: bounds.running.max(1), ..bounds };
        Arc::new(Self { bounds, state: Mutex::default() })
    }

    /// Waits for a turn, no longer than the caller waits for the answer (zero when it does not say).
    pub(super) async fn enter(self: &Arc<Self>, stake: u64, timeout: Duration) -> Result<Permit, Refusal> {
        let patience = if timeout.is_zero() { self.bounds.patience } else { timeout.min(self.bounds.patience) };
        let (place, turn) = match self.queue(stake)? {
            Ok(permit) => return Ok(permit),
            Err(waiting) => waiting,
        };
        // Dropped with this future too, when the caller hangs up.
        let _leave = Leave { gate: self, place };
        match tokio::time::timeout(patience, turn).await {
            Ok(Ok(permit)) => Ok(permit),
            Ok(Err(_)) => Err(Refusal::Busy),
            Err(_) => Err(Refusal::WaitedTooLong { limit: patience }),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn queue(self: &Arc<Self>, stake: u64) -> Result<Result<Permit, (Place, oneshot::Receiver<Permit>)>, Refusal> {
        let mut queue = self.lock();
        if queue.running < self.bounds.running {
            queue.running += 1;
            return Ok(Ok(Permit(Some(Arc::clone(self)))));
        }
        queue.arrivals += 1;
        let place = (Reverse(stake), queue.arrivals);
        if queue.waiting.len() >= self.bounds.waiting {
            match queue.waiting.last_entry() {
                Some(last) if *last.key() > place => drop(last.remove()),
                _ => return Err(Refusal::Busy),
            }
        }
        let (sender, receiver) = oneshot::channel();
        queue.waiting.insert(place, sender);
        Ok(Err((place, receiver)))
    }
}

struct Leave<'a> {
    gate: &'a Gate,
    place: Place,
}

impl Drop for Leave<'_> {
    fn drop(&mut self) {
        self.gate.lock().waiting.remove(&self.place);
    }
}

impl Drop for Permit {
    /// Passes the right on to the next, or gives it back.
    fn drop(&mut self) {
        let Some(gate) = self.0.take() else { return };
        loop {
            let next = {
                let mut queue = gate.lock();
                let next = queue.waiting.pop_first();
                if next.is_none() {
                    queue.running -= 1;
                }
                next
            };
            let Some((_, sender)) = next else { return };
            match sender.send(Self(Some(Arc::clone(&gate)))) {
                Ok(()) => return,
                // Gone in the meantime. Emptied, so that its drop does not pass the right on as well.
                Err(mut unused) => unused.0 = None,
            }
        }
    }
}

#[cfg(test)]
mod tests;
