//! Distributed transcription of replies.
//!
//! One runner submits jobs to any number of workers (`bb scorer`). [`Workers`] is the runner's
//! client, a [`taonet_babelbit_scorer::Backend`]; [`Worker`] processes the jobs. They share three
//! services ([`Services`]):
//!
//! - a queue, NATS JetStream: one message per job on a work-queue stream, acknowledged after the
//!   result is stored;
//! - a bucket: the audio of each pending job;
//! - PostgreSQL: the number of attempts and the result of each job.
//!
//! Only transcription is distributed: it is nearly all of the cost. Gates, embeddings, rules and
//! the ledger stay in the runner, since they need all replies to an utterance.
//!
//! # Life of a job
//!
//! 1. The runner computes the job's ID, a SHA-256 over the hash of the audio and the recogniser's
//!    name and fingerprint. If the database already has a result for this ID, the runner uses it.
//! 2. Otherwise the runner stores the audio under the ID, and publishes a message on a subject that
//!    ends with the ID. The stream allows one message per subject, so it rejects a duplicate while
//!    the first message is pending.
//! 3. A worker with this recogniser receives the message, fetches the audio, verifies its hash, and
//!    records the attempt in the database. It extends the message's deadline during transcription,
//!    stores the result, and acknowledges the message.
//! 4. The runner polls the database, returns the result to the scorer and deletes the audio. It
//!    publishes a job again if the result is missing after [`JobTiming::resubmit_after`], in case
//!    the queue has lost the message.
//!
//! Workers process only the jobs of their own recogniser, whose fingerprint includes the
//! processor's matrix kernels: sums in another order can change a transcript. If no worker returns
//! a result for [`JobTiming::fallback_after`], for example because all run on other processors, the
//! runner starts a worker in its own process.
//!
//! If a worker crashes, its unacknowledged messages go to another worker. The first result of a job
//! is final: a worker that finds an existing result only acknowledges the message. A worker runs
//! first attempts concurrently and later attempts alone, so that a recording that crashes its
//! worker again affects no other job. After [`JobTiming::max_attempts`] attempts, the job gets an
//! error as its result. A transcription has a deadline, [`JobTiming::transcription`] plus
//! [`JobTiming::transcription_per_second`] per second of audio. If the recogniser exceeds this
//! deadline or stops, the attempt has failed, and the worker stops, so that its supervisor restarts
//! it.
//!
//! Uses `taonet-babelbit-scorer` (transcription of a file), `taonet-babelbit-core`,
//! `taonet-database`, `taonet-objects` (the bucket), `taonet-speech`, `taonet-service` (shutdown)
//! and `async-nats`. Used by `bb scorer` and `bb runner`. With the feature `testing`,
//! `testing::Servers` starts the three services.

mod error;
mod job;
mod outcome;
mod queue;
mod remote;
mod services;
mod store;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
mod worker;

pub use error::{QueueError, WorkError};
pub use job::JobId;
pub use remote::{LoadRecognizer, Workers};
pub use services::{JobTiming, Services};
pub use worker::Worker;

#[cfg(test)]
mod tests;
