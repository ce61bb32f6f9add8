//! Sessions: each caller's position in a challenge.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use taonet_babelbit_core::engine_api::UtterancePayload;
use taonet_primitives::Hotkey;
use uuid::Uuid;

use super::answer::ApiError;
use taonet_babelbit_challenges::BuiltChallenge;

/// The stream of a session's challenge.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stream {
    Main,
    Solo,
}

struct Session {
    // A session belongs to a hotkey, not to a token: it survives a renewal of the token.
    hotkey: Hotkey,
    stream: Stream,
    built: Arc<BuiltChallenge>,
    /// Position of the next utterance.
    next: usize,
    used: SystemTime,
    /// Serial number of the session, so that the oldest is known regardless of the clock.
    serial: u64,
}

pub(super) struct Sessions {
    idle: Duration,
    per_hotkey: usize,
    table: Mutex<Table>,
}

#[derive(Default)]
struct Table {
    sessions: HashMap<String, Session>,
    serial: u64,
}

impl Sessions {
    pub(super) fn new(idle: Duration, per_hotkey: usize) -> Self {
        Self { idle, per_hotkey: per_hotkey.max(1), table: Mutex::default() }
    }

    /// Opens a session and returns the first utterance.
    pub(super) fn start(
        &self,
        hotkey: Hotkey,
        stream: Stream,
        built: Arc<BuiltChallenge>,
        now: SystemTime,
    ) -> UtterancePayload {
        let id = Uuid::new_v4().to_string();
        let first = built.payload(&id, 0);
        let mut table = self.lock();
        table.sessions.retain(|_, session| self.lives(session, now));
        let of_hotkey = || table.sessions.iter().filter(|(_, session)| session.hotkey == hotkey);
        if of_hotkey().count() >= self.per_hotkey {
            let oldest = of_hotkey().min_by_key(|(_, session)| session.serial).map(|(id, _)| id.clone());
            oldest.map(|id| table.sessions.remove(&id));
        }
        table.serial += 1;
        let serial = table.serial;
        table.sessions.insert(id, Session { hotkey, stream, built, next: 1, used: now, serial });
        metrics::gauge!("taonet_engine_sessions").set(table.sessions.len() as f64);
        first
    }

    /// Returns the next utterance of a session, or the end marker.
    pub(super) fn next(
        &self,
        hotkey: Hotkey,
        stream: Stream,
        id: &str,
        now: SystemTime,
    ) -> Result<UtterancePayload, ApiError> {
        let mut table = self.lock();
        // Another hotkey's session is indistinguishable from a missing one.
        let session = table
            .sessions
            .get_mut(id)
            .filter(|session| session.hotkey == hotkey && self.lives(session, now))
            .ok_or(ApiError::NoSession)?;
        if session.stream != stream {
            return Err(ApiError::OtherKind);
        }
        session.used = now;
        let (built, index) = (Arc::clone(&session.built), session.next);
        session.next = index.saturating_add(1).min(built.audio.len());
        drop(table);
        Ok(built.payload(id, index))
    }

    /// The challenge of the hotkey's latest main session.
    pub(super) fn latest_main(&self, hotkey: Hotkey, now: SystemTime) -> Option<Arc<BuiltChallenge>> {
        let table = self.lock();
        let mine =
            table.sessions.values().filter(|s| s.hotkey == hotkey && s.stream == Stream::Main && self.lives(s, now));
        mine.max_by_key(|session| session.serial).map(|session| Arc::clone(&session.built))
    }

    fn lives(&self, session: &Session, now: SystemTime) -> bool {
        now.duration_since(session.used).map_or(true, |idle| idle < self.idle)
    }

    fn lock(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
