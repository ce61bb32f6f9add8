//! Object storage: a bucket of an S3 service.
//!
//! [`ObjectStorage`] uploads files of any size (large ones in parts), streams objects from any byte offset, lists old
//! objects and deletes them. Requests have a timeout and at most two retries, since the uploader keeps the file and
//! retries later. [`S3Settings`] contains the connection settings; [`settings`] also parses their environment
//! variables.
//!
//! Uses `taonet-settings` (secrets). Used by validators, which upload result files before they submit them, by the
//! scoring API, which may keep artifacts there, by transcription workers, and by the store of proof circuits. With
//! the feature `testing`, `testing::S3Server` is an in-process server that checks signatures.

mod bucket;
pub mod settings;
#[cfg(any(test, feature = "testing"))]
pub mod testing;

pub use bucket::{ObjectStorage, StorageError, client_options};
pub use settings::{S3Addressing, S3Settings};
