use std::time::Duration;

use taonet_objects::ObjectStorage;

/// Services that the runner and its workers share. They have no `Debug`, since the URLs may contain
/// passwords.
#[derive(Clone)]
pub struct Services {
    /// URL of NATS, such as `nats://host:4222`.
    pub nats_url: String,
    /// URL of the PostgreSQL database.
    pub database_url: String,
    /// Bucket for the audio of pending jobs.
    pub bucket: ObjectStorage,
    /// Timeouts, intervals and the maximum number of attempts.
    pub timing: JobTiming,
}

/// Timeouts and intervals of the runner and its workers, and the maximum number of attempts per
/// job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct JobTiming {
    /// Acknowledgement timeout of a job: if its worker neither acknowledges nor extends it within
    /// this time, another worker receives the job.
    pub redeliver_after: Duration,
    /// Delay before a retry, after the audio of a job was missing or a service failed.
    pub retry_after: Duration,
    /// Interval at which the runner polls the database for results.
    pub poll: Duration,
    /// Time without a result after which the runner publishes a job again.
    pub resubmit_after: Duration,
    /// Time without a result from any worker after which the runner starts a worker in its own
    /// process.
    pub fallback_after: Duration,
    /// Time that a worker has at shutdown to finish its transcriptions.
    pub shutdown_grace: Duration,
    /// Maximum number of attempts of a job, after which its result is an error. All but the first
    /// run alone, so that no other job of the worker can end them.
    pub max_attempts: i64,
    /// Fixed part of the maximum time for transcribing a recording.
    pub transcription: Duration,
    /// Additional maximum time for each second of audio, in seconds.
    pub transcription_per_second: u32,
}

impl JobTiming {
    /// Returns the maximum transcription time of a recording, after which its recogniser is
    /// considered stuck.
    pub(crate) fn max_transcription_time(&self, audio: Duration) -> Duration {
        self.transcription.saturating_add(audio.saturating_mul(self.transcription_per_second))
    }
}

impl Default for JobTiming {
    fn default() -> Self {
        Self {
            redeliver_after: Duration::from_secs(30),
            retry_after: Duration::from_secs(5),
            poll: Duration::from_millis(100),
            resubmit_after: Duration::from_mins(1),
            fallback_after: Duration::from_mins(5),
            shutdown_grace: Duration::from_secs(10),
            max_attempts: 3,
            // 40 minutes for a minute of audio: a machine that needs so long cannot keep up with
            // any challenge, even if it transcribes twelve recordings at once.
            transcription: Duration::from_mins(10),
            transcription_per_second: 30,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn transcription_deadline_grows_with_duration() {
        let timing = JobTiming::default();
        for (audio, minutes) in [(0, 10), (30, 25), (60, 40), (600, 310)] {
            assert_eq!(
                timing.max_transcription_time(Duration::from_secs(audio)),
                Duration::from_mins(minutes)
            );
        }
        assert_eq!(timing.max_transcription_time(Duration::MAX), Duration::MAX);
    }
}
