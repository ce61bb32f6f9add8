//! Transcription of replies on many machines.
//!
//! One runner feeds any number of workers (`bb scorer`). [`Workers`] is the runner's side, a
//! [`taonet_babelbit_scorer::Backend`]; [`Worker`] is the other side. They share three services ([`Services`]):
//!
//! - a queue, NATS JetStream: one message per job on a work-queue stream, acknowledged after the result is stored;
//! - a bucket: the audio of each pending job;
//! - PostgreSQL: the tries and the result of each job.
//!
//! # Life of a job
//!
//! 1. The runner computes the job's ID, the SHA-256 of the audio and the recogniser's name and fingerprint. If the
//!    database has its result, that is all.
//! 2. Else the runner stores the audio under the ID, and publishes a message on a subject that ends with the ID. The
//!    stream keeps one message per subject, so a repeated message is refused while the first is pending, however old.
//! 3. A worker with this recogniser receives the message, fetches and checks the audio, and records in the database that
//!    it begins. It extends the message's deadline while it transcribes, stores the result, and acknowledges.
//! 4. The runner polls the database, passes the result on and deletes the audio. It publishes jobs again that have no
//!    result after a while, in case the queue lost them.
//!
//! A worker that dies at any point leaves an unacknowledged message, which another worker receives. The first result
//! of a job stays: a worker that finds or loses to one only acknowledges. Workers process first tries together and
//! later tries alone, so a recording that kills its worker is known from those that died with it; after
//! [`Pace::tries`] tries it gets an error as its result.
//!
//! Uses `taonet-babelbit-scorer` (transcription of a file), `taonet-objects` (the bucket), `taonet-service` (shutdown)
//! and `async-nats`. Used by `bb scorer` and `bb runner`. With the feature `testing`, `testing::Servers`
//! starts the three services.

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

pub use error::{QueueError, StoreError, WorkError};
pub use job::JobId;
pub use remote::Workers;
pub use services::{Pace, Services};
pub use worker::Worker;

#[cfg(test)]
mod tests;
