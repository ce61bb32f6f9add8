//! Session table: binds each session to a hotkey and enforces the limits.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use taonet_babelbit_core::protocol::InitRequest;
use taonet_primitives::Hotkey;
use tokio::sync::OwnedMutexGuard;
use uuid::Uuid;

use super::profile::Profile;
use super::{Limits, Refusal, metrics};

mod state;

pub use state::SessionState;

/// Session table of a miner: bounded in size, each session bound to the hotkey that opened it.
pub struct Sessions {
    limits: Limits,
    entries: Mutex<HashMap<Uuid, Entry>>,
}

struct Entry {
    owner: Hotkey,
    challenge_uid: String,
    utterance_id: String,
    last_used: Instant,
    is_finished: bool,
    state: Arc<tokio::sync::Mutex<SessionState>>,
}

impl Entry {
    /// Whether the idle timeout has passed. A session with work in flight is never stale, because
    /// the work holds a second handle to the session.
    fn is_stale(&self, now: Instant, idle: Duration) -> bool {
        now.saturating_duration_since(self.last_used) >= idle && Arc::strong_count(&self.state) == 1
    }
}

impl Sessions {
    /// Creates an empty table.
    pub fn new(limits: Limits) -> Self {
        Self { limits, entries: Mutex::default() }
    }

    /// Opens a session for one utterance at time `now`.
    ///
    /// Replaces a live session of the same hotkey for the same utterance, because a validator
    /// retries after a timeout or restart. Other callers are not affected.
    ///
    /// # Errors
    /// [`Refusal::TooManySessions`] or [`Refusal::TooManySessionsOfCaller`] when the respective
    /// limit is reached.
    pub fn open(
        &self,
        owner: Hotkey,
        request: &InitRequest,
        profile: &dyn Profile,
        now: Instant,
    ) -> Result<Uuid, Refusal> {
        let mut entries = self.lock();
        remove_stale(&mut entries, now, self.limits.idle);
        entries.retain(|_, entry| {
            entry.owner != owner
                || entry.challenge_uid != request.challenge_uid
                || entry.utterance_id != request.utterance_id
        });
        let live = entries.values().filter(|entry| !entry.is_finished);
        let (mut total, mut owned) = (0, 0);
        for entry in live {
            total += 1;
            owned += usize::from(entry.owner == owner);
        }
        if owned >= self.limits.sessions_per_hotkey {
            return Err(Refusal::TooManySessionsOfCaller(self.limits.sessions_per_hotkey));
        }
        if total >= self.limits.sessions {
            return Err(Refusal::TooManySessions(self.limits.sessions));
        }
        let id = Uuid::new_v4();
        let state = SessionState::new(
            profile.open(request.channels, request.language.as_deref()),
            request.channels,
            &self.limits,
        );
        entries.insert(
            id,
            Entry {
                owner,
                challenge_uid: request.challenge_uid.clone(),
                utterance_id: request.utterance_id.clone(),
                last_used: now,
                is_finished: false,
                state: Arc::new(tokio::sync::Mutex::new(state)),
            },
        );
        metrics::set_sessions(total + 1);
        Ok(id)
    }

    /// Locks the session for one request at time `now`.
    ///
    /// # Errors
    /// [`Refusal::UnknownSession`] when the session does not exist, expired or belongs to another
    /// hotkey; [`Refusal::Busy`] while another request of the session is in flight.
    pub fn acquire(
        &self,
        id: &str,
        caller: Hotkey,
        now: Instant,
    ) -> Result<(Uuid, OwnedMutexGuard<SessionState>), Refusal> {
        let id = Uuid::try_parse(id).map_err(|_| Refusal::UnknownSession)?;
        let mut entries = self.lock();
        remove_stale(&mut entries, now, self.limits.idle);
        let entry = entries
            .get_mut(&id)
            .filter(|entry| entry.owner == caller)
            .ok_or(Refusal::UnknownSession)?;
        entry.last_used = now;
        let state = Arc::clone(&entry.state).try_lock_owned().map_err(|_| Refusal::Busy)?;
        Ok((id, state))
    }

    /// Marks the session's reply as complete. The session still accepts late requests, but counts
    /// towards no limit.
    pub fn finish(&self, id: Uuid) {
        let mut entries = self.lock();
        if let Some(entry) = entries.get_mut(&id) {
            entry.is_finished = true;
        }
        let finished = entries.iter().filter(|(_, entry)| entry.is_finished);
        if finished.clone().count() > self.limits.sessions
            && let Some(oldest) =
                finished.min_by_key(|(_, entry)| entry.last_used).map(|(id, _)| *id)
        {
            entries.remove(&oldest);
        }
        metrics::set_sessions(entries.values().filter(|entry| !entry.is_finished).count());
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Uuid, Entry>> {
        // No code can panic during an update of the table.
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn remove_stale(entries: &mut HashMap<Uuid, Entry>, now: Instant, idle: Duration) {
    entries.retain(|_, entry| !entry.is_stale(now, idle));
}

#[cfg(test)]
mod tests;
