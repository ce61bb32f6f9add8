//! Load limits: each caller's rate, and the number of running and queued requests.

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use taonet_primitives::Hotkey;
use tokio::sync::oneshot;

use crate::Refusal;
use crate::replay::shrink;

/// The load limits for verified, admitted callers. Unlimited by default.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Load {
    /// The rate limit of one hotkey.
    pub rate: Option<Rate>,
    /// The limit on concurrent requests; further ones are queued.
    pub concurrency: Option<Concurrency>,
}

/// A token-bucket rate limit: `burst` requests, refilled at `per_second`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// Requests per second on average; at least 1.
    pub per_second: u32,
    /// The bucket's capacity in requests; at least 1.
    pub burst: u32,
}

/// Limits on concurrent requests of all callers together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Concurrency {
    /// Maximum number of requests in handlers, or with a response that is still streaming; at least
    /// 1.
    pub running: usize,
    /// Maximum number of queued requests. Callers with more stake are served first; when the queue
    /// is full, the request of the caller with the least stake is refused.
    pub waiting: usize,
    /// Maximum time in the queue. If a caller states a timeout, its requests wait no longer than
    /// that.
    pub max_wait: Duration,
}

/// Rate limits by hotkey.
#[derive(Debug)]
pub(super) struct RateLimiter {
    interval_ns: u64,
    burst_ns: u64,
    state: Mutex<Buckets>,
}

#[derive(Debug, Default)]
struct Buckets {
    /// The time at which each hotkey's allowance is full again, in nanoseconds since the Unix
    /// epoch.
    full_at: HashMap<Hotkey, u64>,
    next_sweep_at: u64,
}

impl RateLimiter {
    pub(super) fn new(rate: Rate) -> Self {
        let interval_ns = 1_000_000_000 / u64::from(rate.per_second.max(1));
        Self {
            interval_ns,
            burst_ns: interval_ns * u64::from(rate.burst.max(1)),
            state: Mutex::default(),
        }
    }

    pub(super) fn check(&self, hotkey: &Hotkey, now_ns: u64) -> Result<(), Refusal> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if now_ns >= state.next_sweep_at {
            // A caller with a full allowance is like an unknown one, so only recent callers are
            // stored.
            state.next_sweep_at = now_ns.saturating_add(self.burst_ns.max(1_000_000_000));
            state.full_at.retain(|_, full_at| *full_at > now_ns);
            shrink(&mut state.full_at);
        }
        let full_at = state.full_at.entry(*hotkey).or_insert(now_ns);
        // After the clock was set back, no caller waits longer than a full refill.
        *full_at = (*full_at).clamp(now_ns, now_ns.saturating_add(self.burst_ns));
        let next_full_at = full_at.saturating_add(self.interval_ns);
        if next_full_at > now_ns.saturating_add(self.burst_ns) {
            return Err(Refusal::RateLimited(*hotkey));
        }
        *full_at = next_full_at;
        Ok(())
    }
}

/// A gate that admits a limited number of running requests, by descending stake.
#[derive(Debug)]
pub(super) struct Gate {
    limits: Concurrency,
    state: Mutex<Queue>,
}

#[derive(Debug, Default)]
struct Queue {
    running: usize,
    arrivals: u64,
    /// The queue, in the order of admission. Dropping an entry refuses its request.
    pending: BTreeMap<QueueKey, oneshot::Sender<Permit>>,
}

type QueueKey = (Reverse<u64>, u64);

/// A permit to run, released on drop.
#[derive(Debug)]
pub struct Permit(Option<Arc<Gate>>);

impl Gate {
    pub(super) fn new(limits: Concurrency) -> Arc<Self> {
        let limits = Concurrency { running: limits.running.max(1), ..limits };
        Arc::new(Self { limits, state: Mutex::default() })
    }

    /// Waits for a permit, no longer than the caller's timeout (zero if not stated).
    pub(super) async fn enter(
        self: &Arc<Self>,
        stake: u64,
        timeout: Duration,
    ) -> Result<Permit, Refusal> {
        let max_wait = if timeout.is_zero() {
            self.limits.max_wait
        } else {
            timeout.min(self.limits.max_wait)
        };
        let (key, permit_receiver) = match self.try_enter(stake)? {
            Ok(permit) => return Ok(permit),
            Err(entry) => entry,
        };
        // Leaves the queue when this future is dropped because the caller disconnects.
        let _guard = QueueGuard { gate: self, key };
        match tokio::time::timeout(max_wait, permit_receiver).await {
            Ok(Ok(permit)) => Ok(permit),
            Ok(Err(_)) => Err(Refusal::Busy),
            Err(_) => Err(Refusal::QueueTimeout { limit: max_wait }),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn try_enter(
        self: &Arc<Self>,
        stake: u64,
    ) -> Result<Result<Permit, (QueueKey, oneshot::Receiver<Permit>)>, Refusal> {
        let mut queue = self.lock();
        if queue.running < self.limits.running {
            queue.running += 1;
            return Ok(Ok(Permit(Some(Arc::clone(self)))));
        }
        queue.arrivals += 1;
        let key = (Reverse(stake), queue.arrivals);
        if queue.pending.len() >= self.limits.waiting {
            match queue.pending.last_entry() {
                Some(last) if *last.key() > key => drop(last.remove()),
                _ => return Err(Refusal::Busy),
            }
        }
        let (sender, receiver) = oneshot::channel();
        queue.pending.insert(key, sender);
        Ok(Err((key, receiver)))
    }
}

struct QueueGuard<'a> {
    gate: &'a Gate,
    key: QueueKey,
}

impl Drop for QueueGuard<'_> {
    fn drop(&mut self) {
        self.gate.lock().pending.remove(&self.key);
    }
}

impl Drop for Permit {
    /// Passes the permit to the next request in the queue, or frees it.
    fn drop(&mut self) {
        let Some(gate) = self.0.take() else { return };
        loop {
            let next = {
                let mut queue = gate.lock();
                let next = queue.pending.pop_first();
                if next.is_none() {
                    queue.running -= 1;
                }
                next
            };
            let Some((_, sender)) = next else { return };
            match sender.send(Self(Some(Arc::clone(&gate)))) {
                Ok(()) => return,
                // The request has left the queue. Its permit is emptied, so that dropping it does
                // not pass the permit on twice.
                Err(mut unused) => unused.0 = None,
            }
        }
    }
}

#[cfg(test)]
mod tests;
