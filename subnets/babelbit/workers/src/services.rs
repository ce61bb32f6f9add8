use std::time::Duration;

use taonet_objects::ObjectStorage;

/// Services that runner and workers share. Not `Debug`, since the URLs may contain passwords.
#[derive(Clone)]
pub struct Services {
    /// URL of NATS, such as `nats://host:4222`.
    pub nats_url: String,
    /// URL of the PostgreSQL database.
    pub database_url: String,
    /// Bucket of pending audio.
    pub bucket: ObjectStorage,
    /// Timeouts, intervals and tries.
    pub pace: Pace,
}

/// Timeouts and intervals of runner and workers, and tries of a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pace {
    /// Time without a sign of life from its worker after which a job is given to another one.
    pub redeliver_after: Duration,
    /// Pause before a job without audio, or whose services fail, is tried again.
    pub retry_after: Duration,
    /// Interval at which the runner looks for results.
    pub poll: Duration,
    /// Time without a result after which the runner publishes a job again.
    pub resubmit_after: Duration,
    /// Time in which a stopping worker may finish its jobs.
    pub grace: Duration,
    /// Number of failed tries after which a job is set aside.
    pub tries: i64,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            redeliver_after: Duration::from_secs(30),
            retry_after: Duration::from_secs(5),
            poll: Duration::from_millis(100),
            resubmit_after: Duration::from_mins(1),
            grace: Duration::from_secs(10),
            tries: 3,
        }
    }
}
