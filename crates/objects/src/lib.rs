//! Object storage: a bucket of an S3 service.
//!
//! [`ObjectStorage`] uploads files of any size (large ones in parts), streams objects from any byte
//! offset, lists old objects and deletes them. Every request has a timeout. A failed request is
//! retried at most twice within 30 s; further retries are left to the caller.
//!
//! - [`S3Settings`] has the endpoint, the bucket and the keys, which are never printed; without
//!   keys, the credentials of the machine's instance role apply. [`settings`] has the parsers for
//!   the variables `S3_*` of Babelbit's reference system.
//! - [`StorageError::is_missing`] and [`StorageError::is_refusal`] identify errors that are not
//!   outages: a missing object or bucket, and requests that the service refuses until credentials
//!   or permissions change.
//! - With the feature `testing`, `testing::S3Server` is an in-process server that checks
//!   signatures.
//!
//! ```no_run
//! use taonet_objects::{ObjectStorage, S3Settings};
//!
//! # async fn example() -> Result<(), taonet_objects::StorageError> {
//! let settings = S3Settings { bucket: "results".to_owned(), ..S3Settings::default() };
//! let bucket = ObjectStorage::open(&settings)?;
//! bucket.upload("logs/run.json", "run.json".as_ref()).await?;
//! let document = bucket.get("logs/run.json", 1 << 20).await?;
//! println!("{} bytes", document.len());
//! # Ok(())
//! # }
//! ```
//!
//! The crate has no backend for local directories: callers that keep local files choose their own
//! paths. It does not create buckets, and sets no access rules.
//!
//! Uses `taonet-settings` (secrets, parsers). Used by `taonet-neuron` for an operator's settings,
//! by `taonet-babelbit-runner`, which uploads result files before it submits them, by
//! `taonet-babelbit-scoring-api`, which can store artifacts in a bucket, by
//! `taonet-babelbit-workers` for the audio of jobs, by `taonet-proof-store` for circuits, and by
//! the tests of `taonet-babelbit-config`.

mod bucket;
pub mod settings;
#[cfg(any(test, feature = "testing"))]
pub mod testing;

pub use bucket::{ObjectStorage, StorageError, client_options};
pub use settings::{S3Addressing, S3Settings};
