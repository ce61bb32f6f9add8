//! One job of a worker.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use taonet_babelbit_core::scoring::ScoreError;
use taonet_babelbit_scorer::{Audio, AudioHash, Hearing, transcribe};
use taonet_objects::StorageError;
use taonet_service::Shutdown;
use taonet_speech::WavHeader;

use super::Worker;
use crate::error::WorkError;
use crate::job::JobId;
use crate::outcome::encode;
use crate::queue::Delivery;
use crate::store::Store;

/// Maximum size of a recording in bytes: ten minutes of two channels of floats at 48 kHz.
const MAX_AUDIO: usize = 256 << 20;
/// Time after which a job that does not end is left to another worker, as a failed try.
const LONGEST: Duration = Duration::from_hours(1);

/// What becomes of a delivery.
enum Next {
    /// The job has a result.
    Done,
    /// The job is delivered again after a pause.
    Later(Duration),
}

/// The audio of a job.
enum Fetched {
    Audio(Vec<u8>),
    /// It is missing, or not what the job says.
    Unusable(String),
}

impl Worker {
    /// Processes a delivery, and extends its deadline meanwhile.
    pub(super) async fn handle(&self, delivery: Delivery, store: &Store, stop: &Shutdown) {
        let Some((id, audio)) = delivery.job(&self.identity) else {
            tracing::error!("dropping a malformed message from the queue");
            delivery.done().await;
            return;
        };
        metrics::gauge!("taonet_scorer_running").increment(1.0);
        let mut extensions = tokio::time::interval(self.services.pace.redeliver_after / 3);
        let began = Instant::now();
        let mut work = std::pin::pin!(self.process(&id, audio, store, stop));
        let next = loop {
            tokio::select! {
                next = &mut work => break next,
                _ = extensions.tick(), if began.elapsed() < LONGEST => delivery.extend().await,
            }
        };
        match next {
            Ok(Next::Done) => delivery.done().await,
            Ok(Next::Later(pause)) => delivery.later(pause).await,
            Err(error) => {
                tracing::warn!(job = %id, %error, "a job is postponed");
                count("postponed");
                delivery.later(self.services.pace.retry_after).await;
            }
        }
        metrics::gauge!("taonet_scorer_running").decrement(1.0);
    }

    async fn process(&self, id: &JobId, audio: AudioHash, store: &Store, stop: &Shutdown) -> Result<Next, WorkError> {
        let known = store.look(&[id.to_string()]).await?.pop();
        if known.as_ref().is_some_and(|row| row.result.is_some()) {
            count("known");
            return Ok(Next::Done);
        }
        // Failures of the services are no tries of the job: the audio is fetched before the try begins.
        let fetched = self.fetch(id, audio).await?;
        let is_first = known.as_ref().is_none_or(|row| row.tries == 0);
        let turns = Arc::clone(&self.turns);
        let _turn =
            if is_first { (Some(turns.read_owned().await), None) } else { (None, Some(turns.write_owned().await)) };
        // Only jobs in process get the grace, not those that waited for their turn.
        if stop.is_requested() {
            count("handed_back");
            return Ok(Next::Later(Duration::ZERO));
        }
        let Some(tries) = store.begin(id, &self.name).await? else {
            count("known");
            return Ok(Next::Done);
        };
        let most = self.services.pace.tries;
        if tries > most {
            let last = known.map(|row| row.worker).unwrap_or_default();
            let reason = match fetched {
                Fetched::Audio(_) => format!("its last worker, {last}, did not finish it"),
                Fetched::Unusable(reason) => reason,
            };
            tracing::error!(job = %id, %audio, reason, "a job is set aside after {most} tries");
            let message = format!("transcription {id} failed {most} times: {reason}");
            let failure = Err(ScoreError::failed("RuntimeError", &message));
            store.finish(id, &encode(&failure), true).await?;
            count("set_aside");
            return Ok(Next::Done);
        }
        match fetched {
            Fetched::Audio(wav) => self.transcribe(id, wav, store, stop).await,
            Fetched::Unusable(reason) => {
                tracing::warn!(job = %id, tries, reason, "the audio of a job is unusable");
                count("unusable_audio");
                Ok(Next::Later(self.services.pace.retry_after))
            }
        }
    }

    async fn fetch(&self, id: &JobId, audio: AudioHash) -> Result<Fetched, WorkError> {
        match self.services.bucket.get(&id.object(), MAX_AUDIO).await {
            Ok(wav) if AudioHash::of(&wav) == audio => Ok(Fetched::Audio(wav)),
            Ok(_) => Ok(Fetched::Unusable("its audio in the bucket was modified".to_owned())),
            Err(error) if error.is_missing() || matches!(error, StorageError::TooLarge { .. }) => {
                Ok(Fetched::Unusable(error.to_string()))
            }
            Err(error) => Err(error.into()),
        }
    }

    async fn transcribe(&self, id: &JobId, wav: Vec<u8>, store: &Store, stop: &Shutdown) -> Result<Next, WorkError> {
        let length = WavHeader::read(&wav).map(|header| header.duration().get()).unwrap_or_default();
        let length = Duration::try_from_secs_f64(length).unwrap_or_default();
        let (recognizer, began) = (Arc::clone(&self.recognizer), Instant::now());
        let work = tokio::task::spawn_blocking(move || transcribe(&*recognizer, &Audio::from(wav)));
        let overdue = async {
            stop.requested().await;
            tokio::time::sleep(self.services.pace.grace).await;
        };
        let hearing: Hearing = tokio::select! {
            // Panics of the recogniser are results already.
            done = work => done.unwrap_or_else(|error| Err(ScoreError::failed("RuntimeError", &error))),
            () = overdue => {
                store.hand_back(id).await?;
                count("handed_back");
                return Ok(Next::Later(Duration::ZERO));
            }
        };
        metrics::histogram!("taonet_scorer_job_seconds").record(began.elapsed().as_secs_f64());
        let result = encode(&hearing);
        // The result is kept until the database takes it: the work is more expensive than the memory.
        while let Err(error) = store.finish(id, &result, hearing.is_err()).await {
            tracing::warn!(job = %id, %error, "cannot store a result; trying again");
            if stop.is_requested() {
                return Err(error.into());
            }
            tokio::time::sleep(self.services.pace.retry_after).await;
        }
        let new = u64::try_from(length.as_millis()).unwrap_or_default();
        let heard = self.heard.fetch_add(new, Ordering::Relaxed) + new;
        metrics::counter!("taonet_scorer_audio_seconds_total").absolute(heard / 1_000);
        count(if hearing.is_ok() { "transcribed" } else { "failed" });
        Ok(Next::Done)
    }
}

fn count(result: &'static str) {
    metrics::counter!("taonet_scorer_jobs_total", "result" => result).increment(1);
}
