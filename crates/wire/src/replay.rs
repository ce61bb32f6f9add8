use std::collections::{BTreeSet, HashMap};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use taonet_primitives::Hotkey;

use crate::clock::nanoseconds;
use crate::{Refusal, Window};

/// How often senders that fell silent are forgotten.
const SWEEP_EVERY: Duration = Duration::from_secs(1);

/// Remembers which requests were accepted, as long as the window would accept them again.
///
/// Memory is bounded: a sender may have `per_sender` requests within the window, all senders together `total`. Who
/// asks for more is refused. Nothing that could still be replayed is ever forgotten, so a flood of one sender cannot
/// push out another's requests.
#[derive(Debug)]
pub struct ReplayGuard {
    per_sender: usize,
    total: usize,
    kept: Duration,
    seen: Mutex<Seen>,
}

#[derive(Debug, Default)]
struct Seen {
    senders: HashMap<Hotkey, BTreeSet<u64>>,
    count: usize,
    floor: u64,
    next_sweep: u64,
}

impl ReplayGuard {
    /// A guard for a window with these bounds on memory (about 20 bytes a request).
    pub fn new(window: &Window, per_sender: usize, total: usize) -> Self {
        // The timeout is not signed: a replay may claim any, so the longest one counts.
        let kept = window.past.saturating_add(window.max_timeout);
        Self { per_sender, total, kept, seen: Mutex::default() }
    }

    /// Accepts a request once.
    ///
    /// # Errors
    /// [`Refusal::Replayed`] the second time, [`Refusal::Stale`] when the nonce is older than what is remembered,
    /// [`Refusal::TooMany`] when a bound is reached.
    pub fn accept(&self, sender: &Hotkey, nonce: u64, now_ns: u64) -> Result<(), Refusal> {
        // A panic elsewhere cannot leave the sets half-changed: every change below is one call.
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        // Never lowered: after the clock was set back, what was forgotten must not be accepted again.
        seen.floor = seen.floor.max(now_ns.saturating_sub(nanoseconds(self.kept)));
        if nonce < seen.floor {
            let age = Duration::from_nanos(now_ns.saturating_sub(nonce));
            return Err(Refusal::Stale { age, limit: self.kept });
        }
        if now_ns >= seen.next_sweep {
            seen.next_sweep = now_ns.saturating_add(nanoseconds(SWEEP_EVERY));
            seen.sweep();
        }
        let Seen { senders, count, floor, .. } = &mut *seen;
        let Some(nonces) = senders.get_mut(sender) else {
            if *count >= self.total || self.per_sender == 0 {
                return Err(Refusal::TooMany);
            }
            senders.insert(*sender, BTreeSet::from([nonce]));
            *count += 1;
            return Ok(());
        };
        *count -= forget(nonces, *floor);
        if nonces.contains(&nonce) {
            return Err(Refusal::Replayed);
        }
        if nonces.len() >= self.per_sender || *count >= self.total {
            return Err(Refusal::TooMany);
        }
        nonces.insert(nonce);
        *count += 1;
        Ok(())
    }

    /// How many requests are remembered.
    pub fn len(&self) -> usize {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).count
    }

    /// Whether no request is remembered.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl Seen {
    fn sweep(&mut self) {
        let Self { senders, count, floor, .. } = self;
        senders.retain(|_, nonces| {
            *count -= forget(nonces, *floor);
            !nonces.is_empty()
        });
    }
}

/// Drops what the window would refuse anyway; how many were dropped.
fn forget(nonces: &mut BTreeSet<u64>, floor: u64) -> usize {
    if nonces.first().is_none_or(|oldest| *oldest >= floor) {
        return 0;
    }
    let before = nonces.len();
    *nonces = nonces.split_off(&floor);
    before - nonces.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;
    const NOW: u64 = 1_800_000_000 * SECOND;
    const WINDOW: Window =
        Window { past: Duration::from_secs(4), future: Duration::from_secs(3), max_timeout: Duration::from_mins(1) };

    fn key(byte: u8) -> Hotkey {
        Hotkey::from_bytes([byte; 32])
    }

    #[test]
    fn a_request_passes_once_per_sender() {
        let guard = ReplayGuard::new(&WINDOW, 10, 100);
        assert_eq!(guard.accept(&key(1), NOW, NOW), Ok(()));
        assert_eq!(guard.accept(&key(1), NOW, NOW), Err(Refusal::Replayed));
        assert_eq!(guard.accept(&key(1), NOW - 1, NOW), Ok(()));
        assert_eq!(guard.accept(&key(2), NOW, NOW), Ok(()));
        // Remembered to the end of the longest window, then too old.
        assert_eq!(guard.accept(&key(1), NOW, NOW + 64 * SECOND), Err(Refusal::Replayed));
        assert!(matches!(guard.accept(&key(1), NOW, NOW + 64 * SECOND + 1), Err(Refusal::Stale { .. })));
    }

    #[test]
    fn a_flood_is_refused_and_evicts_nobody() {
        let guard = ReplayGuard::new(&WINDOW, 10, 15);
        assert_eq!(guard.accept(&key(1), NOW, NOW), Ok(()));
        for extra in 0..1_000 {
            let expected = if extra < 10 { Ok(()) } else { Err(Refusal::TooMany) };
            assert_eq!(guard.accept(&key(2), NOW + extra, NOW), expected);
        }
        assert_eq!(guard.accept(&key(1), NOW, NOW), Err(Refusal::Replayed));
        // One flooding sender leaves room for others, many of them use it up.
        for other in 3..=6 {
            assert_eq!(guard.accept(&key(other), NOW, NOW), Ok(()));
        }
        assert_eq!(guard.accept(&key(7), NOW, NOW), Err(Refusal::TooMany));
        assert_eq!(guard.accept(&key(1), NOW + 1, NOW), Err(Refusal::TooMany));
        assert_eq!(guard.len(), 15);
        // When the window has passed, everybody is welcome again.
        let later = NOW + 65 * SECOND;
        assert_eq!(guard.accept(&key(7), later, later), Ok(()));
        assert_eq!(guard.len(), 1);
    }

    #[test]
    fn a_clock_set_back_reopens_nothing() {
        let guard = ReplayGuard::new(&WINDOW, 10, 100);
        assert_eq!(guard.accept(&key(1), NOW, NOW), Ok(()));
        let later = NOW + 100 * SECOND;
        assert_eq!(guard.accept(&key(1), later, later), Ok(()));
        assert!(matches!(guard.accept(&key(1), NOW, NOW), Err(Refusal::Stale { .. })));
    }
}
