//! Sessions: each caller's position in a challenge of either contest.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use taonet_primitives::Hotkey;
use uuid::Uuid;

use super::answer::ApiError;
use taonet_babelbit_challenges::BuiltChallenge;

/// Stream of a session's challenge: main or solo.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stream {
    Main,
    Solo,
}

/// A challenge that a session serves item by item.
pub(super) trait SessionContent {
    /// Name of the contest in metrics.
    const CONTEST: &'static str;

    /// Returns the number of items.
    fn len(&self) -> usize;
}

impl SessionContent for BuiltChallenge {
    const CONTEST: &'static str = "speech";

    fn len(&self) -> usize {
        self.audio.len()
    }
}

struct Session<C> {
    // A session belongs to a hotkey, not to a token, so it survives a renewal of the token.
    hotkey: Hotkey,
    stream: Stream,
    content: Arc<C>,
    /// Position of the next item to serve.
    next_position: usize,
    last_used: SystemTime,
    /// Serial number of the session: it identifies the oldest session independently of the clock.
    serial: u64,
}

pub(super) struct Sessions<C> {
    idle_timeout: Duration,
    max_per_hotkey: usize,
    table: Mutex<SessionTable<C>>,
}

struct SessionTable<C> {
    sessions: HashMap<String, Session<C>>,
    last_serial: u64,
}

impl<C: SessionContent> Sessions<C> {
    pub(super) fn new(idle_timeout: Duration, max_per_hotkey: usize) -> Self {
        Self {
            idle_timeout,
            max_per_hotkey: max_per_hotkey.max(1),
            table: Mutex::new(SessionTable { sessions: HashMap::new(), last_serial: 0 }),
        }
    }

    /// Opens a session at position 0 and returns its ID.
    pub(super) fn start(
        &self,
        hotkey: Hotkey,
        stream: Stream,
        content: Arc<C>,
        now: SystemTime,
    ) -> String {
        let id = Uuid::new_v4().to_string();
        let mut table = self.lock();
        table.sessions.retain(|_, session| self.is_unexpired(session, now));
        let hotkey_sessions =
            || table.sessions.iter().filter(|(_, session)| session.hotkey == hotkey);
        if hotkey_sessions().count() >= self.max_per_hotkey {
            let oldest = hotkey_sessions()
                .min_by_key(|(_, session)| session.serial)
                .map(|(id, _)| id.clone());
            oldest.map(|id| table.sessions.remove(&id));
        }
        table.last_serial += 1;
        let serial = table.last_serial;
        table.sessions.insert(
            id.clone(),
            Session { hotkey, stream, content, next_position: 1, last_used: now, serial },
        );
        metrics::gauge!("taonet_engine_sessions", "contest" => C::CONTEST)
            .set(table.sessions.len() as f64);
        id
    }

    /// Advances a session. Returns its content and its new position, at most the content's length.
    pub(super) fn next(
        &self,
        hotkey: Hotkey,
        stream: Stream,
        id: &str,
        now: SystemTime,
    ) -> Result<(Arc<C>, usize), ApiError> {
        let mut table = self.lock();
        // Another hotkey's session is indistinguishable from a missing one.
        let session = table
            .sessions
            .get_mut(id)
            .filter(|session| session.hotkey == hotkey && self.is_unexpired(session, now))
            .ok_or(ApiError::UnknownSession)?;
        if session.stream != stream {
            return Err(ApiError::WrongRoute);
        }
        session.last_used = now;
        let (content, position) =
            (Arc::clone(&session.content), session.next_position.min(session.content.len()));
        session.next_position = position.saturating_add(1);
        Ok((content, position))
    }

    /// Returns the content of the hotkey's latest main session.
    pub(super) fn latest_main(&self, hotkey: Hotkey, now: SystemTime) -> Option<Arc<C>> {
        let table = self.lock();
        let main_sessions = table.sessions.values().filter(|session| {
            session.hotkey == hotkey
                && session.stream == Stream::Main
                && self.is_unexpired(session, now)
        });
        main_sessions
            .max_by_key(|session| session.serial)
            .map(|session| Arc::clone(&session.content))
    }

    fn is_unexpired(&self, session: &Session<C>, now: SystemTime) -> bool {
        now.duration_since(session.last_used).map_or(true, |idle| idle < self.idle_timeout)
    }

    fn lock(&self) -> MutexGuard<'_, SessionTable<C>> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
