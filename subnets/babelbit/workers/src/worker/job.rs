//! Processing of one job by a worker.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use taonet_babelbit_core::scoring::ScoreError;
use taonet_babelbit_scorer::{
    Audio, AudioHash, RecognizerStopped, TranscriptionResult, transcribe,
};
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
const MAX_AUDIO_BYTES: usize = 256 << 20;
/// Processing time of a job, including its waiting time, after which the worker stops extending its
/// acknowledgement timeout, so that another worker receives the job. Longer than the transcription
/// deadline of any accepted recording.
const MAX_PROCESSING_TIME: Duration = Duration::from_hours(6);

/// How a delivery is acknowledged.
enum Acknowledgement {
    /// The queue removes the job, which has a result.
    Remove,
    /// The queue redelivers the job after this delay.
    Requeue(Duration),
}

/// The audio of a job.
enum FetchedAudio {
    Audio(Vec<u8>),
    /// The audio is missing, too large, or does not match the job's hash.
    Unusable(String),
}

impl Worker {
    /// Processes a delivery; extends its acknowledgement timeout while the work is in progress.
    pub(super) async fn handle(&self, delivery: Delivery, store: &Store, stop: &Shutdown) {
        let Some((id, audio)) = delivery.job(&self.identity) else {
            tracing::error!("dropping a malformed message from the queue");
            delivery.acknowledge().await;
            return;
        };
        metrics::gauge!("taonet_scorer_running").increment(1.0);
        let mut extension_interval =
            tokio::time::interval(self.services.timing.redeliver_after / 3);
        let start = Instant::now();
        let mut processing = std::pin::pin!(self.process(&id, audio, store, stop));
        let acknowledgement = loop {
            tokio::select! {
                acknowledgement = &mut processing => break acknowledgement,
                _ = extension_interval.tick(), if start.elapsed() < MAX_PROCESSING_TIME => {
                    delivery.extend().await;
                }
            }
        };
        match acknowledgement {
            Ok(Acknowledgement::Remove) => delivery.acknowledge().await,
            Ok(Acknowledgement::Requeue(pause)) => delivery.requeue_after(pause).await,
            Err(error) => {
                tracing::warn!(job = %id, %error, "job postponed after a service failure");
                count("postponed");
                delivery.requeue_after(self.services.timing.retry_after).await;
            }
        }
        metrics::gauge!("taonet_scorer_running").decrement(1.0);
    }

    async fn process(
        &self,
        id: &JobId,
        audio: AudioHash,
        store: &Store,
        stop: &Shutdown,
    ) -> Result<Acknowledgement, WorkError> {
        let row = store.find_rows(&[id.to_string()]).await?.pop();
        if row.as_ref().is_some_and(|row| row.result.is_some()) {
            count("known");
            return Ok(Acknowledgement::Remove);
        }
        // Fetch the audio before the attempt begins: service failures must not count as attempts of
        // the job.
        let fetched = self.fetch(id, audio).await?;
        let is_first = row.as_ref().is_none_or(|row| row.tries == 0);
        let attempt_lock = Arc::clone(&self.attempt_lock);
        let _guard = if is_first {
            (Some(attempt_lock.read_owned().await), None)
        } else {
            (None, Some(attempt_lock.write_owned().await))
        };
        // The grace period applies only to jobs in progress, not to jobs that waited for their
        // turn.
        if stop.is_requested() {
            count("handed_back");
            return Ok(Acknowledgement::Requeue(Duration::ZERO));
        }
        let Some(tries) = store.begin_attempt(id, &self.name).await? else {
            count("known");
            return Ok(Acknowledgement::Remove);
        };
        // Another job may have ended the first attempt, but not the later ones, which ran alone.
        // Lost audio has one more attempt: the runner stores it again after the second.
        let max_attempts = self.services.timing.max_attempts
            + i64::from(matches!(fetched, FetchedAudio::Unusable(_)));
        if tries > max_attempts {
            let last_worker = row.map(|row| row.worker).unwrap_or_default();
            let reason = match fetched {
                FetchedAudio::Audio(_) => {
                    format!("the last worker, {last_worker}, did not finish the job")
                }
                FetchedAudio::Unusable(reason) => reason,
            };
            tracing::error!(job = %id, %audio, reason, "job failed permanently after {max_attempts} attempts");
            let message = format!("transcription {id} failed {max_attempts} times: {reason}");
            let failure = Err(ScoreError::failed("RuntimeError", &message));
            store.store_result(id, &encode(&failure), true).await?;
            count("set_aside");
            return Ok(Acknowledgement::Remove);
        }
        match fetched {
            FetchedAudio::Audio(wav) => self.transcribe(id, wav, store, stop).await,
            FetchedAudio::Unusable(reason) => {
                tracing::warn!(job = %id, tries, reason, "job audio is unusable, retrying");
                count("unusable_audio");
                Ok(Acknowledgement::Requeue(self.services.timing.retry_after))
            }
        }
    }

    async fn fetch(&self, id: &JobId, audio: AudioHash) -> Result<FetchedAudio, WorkError> {
        match self.services.bucket.get(&id.object_key(), MAX_AUDIO_BYTES).await {
            Ok(wav) if AudioHash::of(&wav) == audio => Ok(FetchedAudio::Audio(wav)),
            Ok(_) => Ok(FetchedAudio::Unusable("the audio in the bucket was modified".to_owned())),
            Err(error) if error.is_missing() || matches!(error, StorageError::TooLarge { .. }) => {
                Ok(FetchedAudio::Unusable(error.to_string()))
            }
            Err(error) => Err(error.into()),
        }
    }

    async fn transcribe(
        &self,
        id: &JobId,
        wav: Vec<u8>,
        store: &Store,
        stop: &Shutdown,
    ) -> Result<Acknowledgement, WorkError> {
        let audio_duration =
            WavHeader::read(&wav).map(|header| header.duration().get()).unwrap_or_default();
        let audio_duration = Duration::try_from_secs_f64(audio_duration).unwrap_or_default();
        let (recognizer, start) = (Arc::clone(&self.recognizer), Instant::now());
        let transcription_task =
            tokio::task::spawn_blocking(move || transcribe(&*recognizer, &Audio::from(wav)));
        let time_limit = self.services.timing.max_transcription_time(audio_duration);
        let grace_period = async {
            stop.requested().await;
            tokio::time::sleep(self.services.timing.shutdown_grace).await;
        };
        let transcription: TranscriptionResult = tokio::select! {
            // `transcribe` converts panics of the recogniser to results.
            joined = transcription_task => match joined {
                Ok(Ok(transcription)) => transcription,
                Ok(Err(RecognizerStopped)) => {
                    tracing::error!(job = %id, "the recogniser has stopped");
                    return Ok(self.shut_down_worker(stop, "stopped"));
                }
                Err(error) => Err(ScoreError::failed("RuntimeError", &error)),
            },
            () = tokio::time::sleep(time_limit) => {
                tracing::error!(job = %id, deadline = ?time_limit, "the recogniser is stuck: transcription exceeded its deadline");
                return Ok(self.shut_down_worker(stop, "stuck"));
            }
            () = grace_period => {
                // A stuck recogniser may be stuck on this recording too: its next attempt must run
                // alone.
                if !self.is_stuck() {
                    store.return_attempt(id).await?;
                }
                count("handed_back");
                return Ok(Acknowledgement::Requeue(Duration::ZERO));
            }
        };
        metrics::histogram!("taonet_scorer_job_seconds").record(start.elapsed().as_secs_f64());
        let result = encode(&transcription);
        // Retry until the database stores the result: transcribing again would cost more.
        while let Err(error) =
            store.store_result(id, &result, transcription.is_err()).await.map_err(WorkError::from)
        {
            tracing::warn!(job = %id, %error, "cannot store a result, retrying");
            if stop.is_requested() {
                return Err(error);
            }
            tokio::time::sleep(self.services.timing.retry_after).await;
        }
        let milliseconds = u64::try_from(audio_duration.as_millis()).unwrap_or_default();
        let total_milliseconds =
            self.transcribed_ms.fetch_add(milliseconds, Ordering::Relaxed) + milliseconds;
        metrics::counter!("taonet_scorer_audio_seconds_total").absolute(total_milliseconds / 1_000);
        count(if transcription.is_ok() { "transcribed" } else { "failed" });
        Ok(Acknowledgement::Remove)
    }

    /// Shuts the worker down, because its recogniser is unusable. The job counts an attempt and
    /// gets no result.
    fn shut_down_worker(&self, stop: &Shutdown, result: &'static str) -> Acknowledgement {
        self.is_stuck.store(true, Ordering::Relaxed);
        stop.request();
        count(result);
        Acknowledgement::Requeue(Duration::ZERO)
    }
}

fn count(result: &'static str) {
    metrics::counter!("taonet_scorer_jobs_total", "result" => result).increment(1);
}
