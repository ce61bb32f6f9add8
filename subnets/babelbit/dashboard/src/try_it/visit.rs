//! Sessions of visitors with miners.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use taonet_babelbit_core::scoring::Timeline;
use taonet_babelbit_runner::{LiveUtterance, Miner, PlaySettings};
use taonet_http::random_hex;
use tokio::sync::{Mutex as AsyncMutex, OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

use super::MAX_SECONDS;
use super::captions::CaptionTrack;
use super::error::TryError;

/// Maximum number of samples of a visitor's speech.
const MAX_SAMPLES: usize = MAX_SECONDS as usize * 24_000;
/// Time without a request after which a visit expires.
const IDLE_TIMEOUT: Duration = Duration::from_secs(15);
/// Maximum duration of a visit.
const MAX_VISIT_DURATION: Duration = Duration::from_mins(2);
/// Challenge ID in requests to miners.
const CHALLENGE: &str = "try-it";

/// Mono samples at 24 kHz of a visit.
#[derive(Debug, Clone, Default)]
pub(super) struct VisitAudio {
    pub(super) source: Vec<f32>,
    pub(super) reply: Vec<f32>,
}

/// Captions of a visitor and a miner.
#[derive(Default)]
pub(super) struct VisitCaptions {
    pub(super) source: CaptionTrack,
    pub(super) reply: CaptionTrack,
}

/// Timing of a reply so far.
#[derive(Debug, Clone, Default)]
pub(super) struct Timing {
    pub(super) timeline: Timeline,
    /// Wall-clock time from the last frame to the end of the reply; `None` before its end.
    pub(super) after_source: Option<Duration>,
}

/// A visitor's session with a miner.
pub(super) struct Visit {
    pub(super) miner: Miner,
    /// Whether the visitor allows the recordings to be stored.
    pub(super) allows_storage: bool,
    opened: Instant,
    last_used: Mutex<Instant>,
    speech: AsyncMutex<SpeechStream>,
    audio: Mutex<VisitAudio>,
    timing: Mutex<Timing>,
    /// Captions so far; locked while they are extended.
    pub(super) captions: AsyncMutex<VisitCaptions>,
    _slot: OwnedSemaphorePermit,
}

/// Stream of a visitor's speech to the miner; one request at a time can use it.
struct SpeechStream {
    live: LiveUtterance,
    /// Samples of an incomplete frame.
    pending: Vec<f32>,
    has_ended: bool,
}

impl Visit {
    /// Opens a session with a miner.
    pub(super) async fn open(
        miner: Miner,
        allows_storage: bool,
        settings: PlaySettings,
        slot: OwnedSemaphorePermit,
    ) -> Result<Self, TryError> {
        // Not the visit's own ID, with which the miner could join the conversation.
        let utterance = format!("{CHALLENGE}:{}", random_hex());
        let live =
            LiveUtterance::open(Arc::clone(&miner.connection), CHALLENGE, &utterance, settings)
                .await?;
        let now = Instant::now();
        Ok(Self {
            miner,
            allows_storage,
            opened: now,
            last_used: Mutex::new(now),
            speech: AsyncMutex::new(SpeechStream { live, pending: Vec::new(), has_ended: false }),
            audio: Mutex::default(),
            timing: Mutex::default(),
            captions: AsyncMutex::default(),
            _slot: slot,
        })
    }

    /// Sends samples to the miner; returns the samples of the reply that are ready. After the last
    /// samples, returns the rest of the reply.
    pub(super) async fn send(&self, samples: &[f32], is_last: bool) -> Result<Vec<f32>, TryError> {
        let mut speech = self.speech.try_lock().map_err(|_| TryError::Concurrent)?;
        if speech.has_ended {
            return Err(TryError::Ended);
        }
        self.mark_used();
        {
            let mut audio = lock(&self.audio);
            if audio.source.len() + samples.len() > MAX_SAMPLES {
                return Err(TryError::TooLong);
            }
            audio.source.extend_from_slice(samples);
        }
        let reply = speech.send(samples, is_last, &self.timing).await?;
        lock(&self.audio).reply.extend_from_slice(&reply);
        self.mark_used();
        Ok(reply)
    }

    /// Returns the audio so far.
    pub(super) fn audio(&self) -> VisitAudio {
        lock(&self.audio).clone()
    }

    /// Returns the audio so far, without this many samples of source and reply.
    pub(super) fn audio_after(&self, source: usize, reply: usize) -> VisitAudio {
        let audio = lock(&self.audio);
        VisitAudio {
            source: audio.source.get(source..).unwrap_or_default().to_vec(),
            reply: audio.reply.get(reply..).unwrap_or_default().to_vec(),
        }
    }

    /// Returns the timing of the reply so far.
    pub(super) fn timing(&self) -> Timing {
        lock(&self.timing).clone()
    }

    fn mark_used(&self) {
        *lock(&self.last_used) = Instant::now();
    }

    fn is_expired(&self, now: Instant) -> bool {
        now.duration_since(*lock(&self.last_used)) > IDLE_TIMEOUT
            || now.duration_since(self.opened) > MAX_VISIT_DURATION
    }
}

impl SpeechStream {
    async fn send(
        &mut self,
        samples: &[f32],
        is_last: bool,
        timing: &Mutex<Timing>,
    ) -> Result<Vec<f32>, TryError> {
        self.has_ended = is_last;
        self.pending.extend_from_slice(samples);
        if is_last {
            // The last frame is padded, and there is at least one.
            let frames = self.pending.len().div_ceil(LiveUtterance::FRAME).max(1);
            self.pending.resize(frames * LiveUtterance::FRAME, 0.0);
        }
        let frame_samples = self.pending.len() / LiveUtterance::FRAME * LiveUtterance::FRAME;
        let frame_samples: Vec<f32> = self.pending.drain(..frame_samples).collect();
        let mut reply = Vec::new();
        let mut frames = frame_samples.chunks_exact(LiveUtterance::FRAME).peekable();
        while let Some(frame) = frames.next() {
            if !is_last || frames.peek().is_some() {
                reply.extend(self.live.send(frame, false).await?);
                lock(timing).timeline = self.live.timeline();
                continue;
            }
            let sent_at = Instant::now();
            reply.extend(self.live.send(frame, true).await?);
            reply.extend(self.live.drain().await?);
            *lock(timing) =
                Timing { timeline: self.live.timeline(), after_source: Some(sent_at.elapsed()) };
        }
        Ok(reply)
    }
}

/// The open visits, by ID.
pub(super) struct Visits {
    slots: Arc<Semaphore>,
    capacity: usize,
    open: Mutex<HashMap<String, Arc<Visit>>>,
}

impl Visits {
    /// Creates a table for at most `capacity` concurrent visits.
    pub(super) fn new(capacity: usize) -> Self {
        Self { slots: Arc::new(Semaphore::new(capacity)), capacity, open: Mutex::default() }
    }

    /// Reserves a slot for a visit.
    pub(super) fn reserve_slot(&self) -> Result<OwnedSemaphorePermit, TryError> {
        self.remove_expired(Instant::now());
        Arc::clone(&self.slots).try_acquire_owned().map_err(|_| TryError::Full(self.capacity))
    }

    /// Adds a visit; returns its ID, which is random, so that no other visitor can guess it.
    pub(super) fn add(&self, visit: Visit) -> String {
        let id = random_hex();
        lock(&self.open).insert(id.clone(), Arc::new(visit));
        id
    }

    pub(super) fn find(&self, id: &str) -> Result<Arc<Visit>, TryError> {
        lock(&self.open).get(id).cloned().ok_or(TryError::Ended)
    }

    pub(super) fn remove(&self, id: &str) {
        lock(&self.open).remove(id);
    }

    /// Removes expired visits.
    pub(super) fn remove_expired(&self, now: Instant) {
        lock(&self.open).retain(|_, visit| !visit.is_expired(now));
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
