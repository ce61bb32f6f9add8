//! Replay protection: a cache of accepted requests.

mod lock;
mod log;

use std::collections::{BTreeSet, HashMap};
use std::hash::Hash;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use sha2::{Digest, Sha256};
use taonet_primitives::Hotkey;

use crate::clock::nanoseconds;
use crate::{Claim, Refusal, ReplayRule, Window};

pub use log::ReplayLogError;

use log::{ReplayEntry, ReplayLog};

/// The interval at which idle senders are evicted.
const SWEEP_INTERVAL: Duration = Duration::from_secs(1);

/// Limits on the number of entries in a [`ReplayGuard`], and thus on its memory. A request of a
/// busy sender takes about 20 bytes, a sender's first request up to 350; where only the last nonce
/// counts, each process takes about 80 bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReplayBounds {
    /// Maximum number of requests (or processes) of one sender.
    pub per_sender: usize,
    /// Maximum number of requests (or processes) of all senders together.
    pub total: usize,
}

/// A cache of accepted requests, which keeps each one for as long as the window would accept it
/// again.
///
/// Memory is bounded: requests beyond the [`ReplayBounds`] are refused. A request that could still
/// be replayed is never evicted, so a flood from one sender cannot displace another's requests.
///
/// With a log ([`Self::open`]) a request is written to the file before it is accepted. The file
/// survives a killed process, but it is not flushed to disk for each request: after a crash of the
/// machine its end may be missing. If the log was written before the machine's last boot, or is
/// missing (as at the first start), torn or corrupt, the guard refuses only what an earlier process
/// may have accepted: requests signed before the start, or dated ahead of it by as much as accepted
/// requests have been (the module `lock` has the argument). At the first start, senders whose clock
/// is not behind the server's lose nothing. (Exception: under [`ReplayRule::IncreasingForEver`] a
/// missing log refuses nothing. Nonces of this rule need not be timestamps, so a nonce refused once
/// would be refused forever.) The guard does not detect a log that another program truncated at the
/// end of a record: let only the server write to its folder.
///
/// The log also stores the floor, the time below which all requests are refused; the floor never
/// falls. If the clock was once far ahead, everything is refused until that time, and a warning is
/// logged. Remedy: correct the clock, stop the server and delete the log.
#[derive(Debug)]
pub struct ReplayGuard {
    rule: ReplayRule,
    bounds: ReplayBounds,
    retention: Duration,
    /// Maximum lead of nonces over the clock, in nanoseconds.
    max_lead_ns: u64,
    state: Mutex<ReplayState>,
}

#[derive(Debug, Default)]
struct ReplayState {
    senders: HashMap<Hotkey, Nonces>,
    count: usize,
    /// The lowest accepted nonce.
    floor: u64,
    next_sweep_at: u64,
    log: Option<ReplayLog>,
    /// Whether the last write to the log failed.
    is_log_failing: bool,
    /// Whether the warning that the floor is ahead of the clock was logged.
    has_warned_ahead: bool,
}

#[derive(Debug)]
enum Nonces {
    Each(BTreeSet<u64>),
    Last(HashMap<u128, u64>),
}

impl ReplayGuard {
    /// Creates a guard whose cache is in memory only.
    pub fn new(window: &Window, rule: ReplayRule, bounds: ReplayBounds) -> Self {
        // The timeout is not signed: a replay may state any, so the longest one counts.
        let retention = window.past.saturating_add(window.max_timeout);
        Self {
            rule,
            bounds,
            retention,
            max_lead_ns: nanoseconds(window.future),
            state: Mutex::default(),
        }
    }

    /// Creates a guard whose cache survives restarts in the file `path` (and `<path>.old`,
    /// `<path>.lock` beside it).
    ///
    /// # Errors
    /// [`ReplayLogError`] when another process has locked the log, or when it cannot be read or
    /// written. A corrupt log is not an error: see above.
    pub fn open(
        path: &Path,
        window: &Window,
        rule: ReplayRule,
        bounds: ReplayBounds,
        now_ns: u64,
    ) -> Result<Self, ReplayLogError> {
        Self::open_with_boot_id(path, window, rule, bounds, now_ns, log::boot_id().as_deref())
    }

    fn open_with_boot_id(
        path: &Path,
        window: &Window,
        rule: ReplayRule,
        bounds: ReplayBounds,
        now_ns: u64,
        boot: Option<&str>,
    ) -> Result<Self, ReplayLogError> {
        let mut guard = Self::new(window, rule, bounds);
        let max_nonce = now_ns.saturating_add(guard.max_lead_ns);
        let mut recovered = log::recover(path, boot)?;
        let ceiling = recovered.lock.start(now_ns, max_nonce, !recovered.is_missing)?;
        let state = guard.state.get_mut().unwrap_or_else(PoisonError::into_inner);
        state.floor = recovered.floor;
        // A floor would refuse nonces that are not timestamps forever, not just for seconds.
        let is_first_start = recovered.is_missing && rule == ReplayRule::IncreasingForEver;
        if !recovered.is_complete && !is_first_start {
            let remaining = Duration::from_nanos(ceiling.saturating_sub(now_ns));
            tracing::info!(
                log = %path.display(),
                until = %utc_text(ceiling),
                ?remaining,
                "replay log is new or incomplete: requests signed before `until` are refused, since they may be replays"
            );
            state.floor = state.floor.max(ceiling.saturating_add(1));
        }
        let lifetime = guard.retention.saturating_add(window.future);
        // The clock may have been set back since: older requests were evicted according to the
        // newest request's time.
        let newest = recovered.entries.iter().map(|entry| entry.nonce).max().unwrap_or_default();
        state.raise_minimum_nonce(rule, newest, lifetime);
        state.raise_minimum_nonce(rule, now_ns, guard.retention);
        state.warn_if_ahead(max_nonce);
        for entry in &recovered.entries {
            if entry.nonce >= state.floor {
                state.insert(rule, entry);
            }
        }
        let keeps_all_records = rule == ReplayRule::IncreasingForEver;
        let log = recovered.start(
            now_ns,
            lifetime,
            keeps_all_records,
            &mut entries(&state.senders),
            state.floor,
        )?;
        state.log = Some(log);
        Ok(guard)
    }

    /// Accepts a request at most once.
    ///
    /// # Errors
    /// [`Refusal::Replayed`] for a request that was accepted before or, where nonces must increase,
    /// is older than the last one; [`Refusal::Stale`] for a nonce older than the cache covers;
    /// [`Refusal::ReplayCacheFull`] at a limit; [`Refusal::ReplayLogFailed`] when the log cannot be
    /// written.
    pub fn accept(&self, claim: &Claim, now_ns: u64) -> Result<(), Refusal> {
        let entry = self.entry(claim);
        let mut state = self.lock();
        state.raise_minimum_nonce(self.rule, now_ns, self.retention);
        if entry.nonce < state.floor {
            state.warn_if_ahead(now_ns.saturating_add(self.max_lead_ns));
            let age = Duration::from_nanos(now_ns.saturating_sub(entry.nonce));
            return Err(Refusal::Stale { age, limit: self.retention });
        }
        if now_ns >= state.next_sweep_at {
            state.next_sweep_at = now_ns.saturating_add(nanoseconds(SWEEP_INTERVAL));
            state.sweep();
        }
        state.check(&entry, self.bounds)?;
        let ReplayState { senders, log, is_log_failing, floor, .. } = &mut *state;
        if let Some(log) = log {
            // A nonce that is not a timestamp may be further ahead than the window allows.
            let lead = entry.nonce.saturating_sub(now_ns).min(self.max_lead_ns);
            let result = log.append(&entry, lead, now_ns, &mut entries(senders), *floor);
            // Logged once: the full disk may be the one with the logs.
            match (&result, *is_log_failing) {
                (Err(error), false) => {
                    tracing::error!(%error, "cannot write the replay log, requests are refused");
                }
                (Ok(()), true) => tracing::info!("replay log is writable again"),
                _ => {}
            }
            *is_log_failing = result.is_err();
            result.map_err(|_| Refusal::ReplayLogFailed)?;
        }
        state.insert(self.rule, &entry);
        Ok(())
    }

    /// Checks whether a request was accepted before, without recording it: a cheap check that saves
    /// expensive ones. Only [`ReplayGuard::accept`] is binding.
    ///
    /// # Errors
    /// [`Refusal::Replayed`] if the request was accepted before.
    pub fn peek(&self, claim: &Claim) -> Result<(), Refusal> {
        let entry = self.entry(claim);
        if self.lock().was_seen(&entry) { Err(Refusal::Replayed) } else { Ok(()) }
    }

    fn entry(&self, claim: &Claim) -> ReplayEntry {
        let process_id = match self.rule {
            ReplayRule::Once => 0,
            ReplayRule::Increasing | ReplayRule::IncreasingForEver => {
                process_id(claim.uuid.as_deref().unwrap_or_default())
            }
        };
        ReplayEntry { sender: claim.sender, process_id, nonce: claim.nonce }
    }

    /// Locks the cache, ignoring poisoning: a panic cannot leave the sets inconsistent, since every
    /// change is one call.
    fn lock(&self) -> MutexGuard<'_, ReplayState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the number of remembered requests (or processes, where only the last nonce counts).
    pub fn len(&self) -> usize {
        self.lock().count
    }

    /// Whether the cache is empty.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl ReplayState {
    /// Raises the floor, never lowers it: after the clock was set back, evicted requests must not
    /// be accepted again.
    fn raise_minimum_nonce(&mut self, rule: ReplayRule, now_ns: u64, retention: Duration) {
        if rule != ReplayRule::IncreasingForEver {
            self.floor = self.floor.max(now_ns.saturating_sub(nanoseconds(retention)));
        }
    }

    /// Warns once when the floor is above `max_nonce`, the highest nonce that our clock accepts
    /// now.
    fn warn_if_ahead(&mut self, max_nonce: u64) {
        // The floor of an incomplete log starts just above `max_nonce`.
        let is_ahead = self.floor > max_nonce.saturating_add(1);
        if is_ahead && !self.has_warned_ahead {
            let seconds = Duration::from_nanos(self.floor - max_nonce).as_secs();
            tracing::warn!(
                seconds,
                "the clock was set back, requests are refused until it catches up; hint: correct the \
                 clock, or if it is correct now, stop the server, delete the replay log and start the server again"
            );
        }
        self.has_warned_ahead = is_ahead;
    }

    fn was_seen(&self, entry: &ReplayEntry) -> bool {
        match self.senders.get(&entry.sender) {
            None => false,
            Some(Nonces::Each(nonces)) => nonces.contains(&entry.nonce),
            Some(Nonces::Last(processes)) => {
                processes.get(&entry.process_id).is_some_and(|last| entry.nonce <= *last)
            }
        }
    }

    /// Checks that the request is new and that the limits leave space for it.
    fn check(&mut self, entry: &ReplayEntry, bounds: ReplayBounds) -> Result<(), Refusal> {
        if self.was_seen(entry) {
            return Err(Refusal::Replayed);
        }
        let Self { senders, count, floor, .. } = self;
        let entries = match senders.get_mut(&entry.sender) {
            None => 0,
            Some(Nonces::Each(nonces)) => {
                *count -= drop_below(nonces, *floor);
                nonces.len()
            }
            Some(Nonces::Last(processes)) if processes.contains_key(&entry.process_id) => {
                return Ok(());
            }
            Some(Nonces::Last(processes)) => processes.len(),
        };
        if entries >= bounds.per_sender || *count >= bounds.total {
            Err(Refusal::ReplayCacheFull)
        } else {
            Ok(())
        }
    }

    fn insert(&mut self, rule: ReplayRule, entry: &ReplayEntry) {
        let nonces = self.senders.entry(entry.sender).or_insert_with(|| match rule {
            ReplayRule::Once => Nonces::Each(BTreeSet::new()),
            ReplayRule::Increasing | ReplayRule::IncreasingForEver => Nonces::Last(HashMap::new()),
        });
        let is_new = match nonces {
            Nonces::Each(nonces) => nonces.insert(entry.nonce),
            Nonces::Last(processes) => match processes.get_mut(&entry.process_id) {
                Some(last) => {
                    *last = entry.nonce.max(*last);
                    false
                }
                None => processes.insert(entry.process_id, entry.nonce).is_none(),
            },
        };
        self.count += usize::from(is_new);
    }

    /// Evicts expired nonces and idle senders. This is not incremental: 2^20 senders with one
    /// request each take about 50 ms, and only admitted senders count.
    fn sweep(&mut self) {
        let Self { senders, count, floor, .. } = self;
        senders.retain(|_, nonces| match nonces {
            Nonces::Each(nonces) => {
                *count -= drop_below(nonces, *floor);
                !nonces.is_empty()
            }
            Nonces::Last(processes) => {
                let before = processes.len();
                processes.retain(|_, last| *last >= *floor);
                *count -= before - processes.len();
                !processes.is_empty()
            }
        });
        shrink(senders);
    }
}

/// Formats a time in nanoseconds since the Unix epoch, in UTC.
fn utc_text(time_ns: u64) -> String {
    jiff::Timestamp::from_nanosecond(time_ns.into())
        .map_or_else(|_| "the year 2262".to_owned(), |time| time.to_string())
}

/// Returns memory after a burst of senders: a table keeps its size when entries are removed.
pub(crate) fn shrink<K: Eq + Hash, V>(table: &mut HashMap<K, V>) {
    if table.capacity() > 1_024 && table.capacity() / 4 > table.len() {
        table.shrink_to(2 * table.len());
    }
}

fn entries(senders: &HashMap<Hotkey, Nonces>) -> impl Iterator<Item = ReplayEntry> {
    senders.iter().flat_map(|(sender, nonces)| {
        let (each, last) = match nonces {
            Nonces::Each(nonces) => (Some(nonces.iter().map(|nonce| (0, *nonce))), None),
            Nonces::Last(processes) => {
                (None, Some(processes.iter().map(|(process_id, nonce)| (*process_id, *nonce))))
            }
        };
        let nonces = each.into_iter().flatten().chain(last.into_iter().flatten());
        nonces.map(|(process_id, nonce)| ReplayEntry { sender: *sender, process_id, nonce })
    })
}

/// Evicts nonces that the window refuses anyway and returns their number.
fn drop_below(nonces: &mut BTreeSet<u64>, floor: u64) -> usize {
    if nonces.first().is_none_or(|oldest| *oldest >= floor) {
        return 0;
    }
    let before = nonces.len();
    *nonces = nonces.split_off(&floor);
    before - nonces.len()
}

/// Hashes a process's UUID, which may be any text, to 16 bytes.
fn process_id(uuid: &str) -> u128 {
    let [bytes @ .., _, _, _, _, _, _, _, _, _, _, _, _, _, _, _, _] =
        <[u8; 32]>::from(Sha256::digest(uuid));
    u128::from_be_bytes(bytes)
}

#[cfg(test)]
mod tests;
