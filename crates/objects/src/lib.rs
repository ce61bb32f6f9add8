//! Object storage: a bucket of an S3 service.
//!
//! [`ObjectStorage`] uploads files of any size (in parts where they are large), lists what is old and removes it. Requests
//! have a deadline and few retries: whoever uploads keeps the file and tries again. [`S3Settings`] has the settings under
//! the names that operators know.
//!
//! Uses `taonet-settings` (secrets). A validator uploads result files before it submits them; a scoring API may keep
//! artifacts there. With the feature `testing`, [`testing::S3Server`] is a server in the process that checks signatures.

mod bucket;
pub mod settings;
#[cfg(any(test, feature = "testing"))]
pub mod testing;

pub use bucket::{ObjectStorage, StorageError, client_options};
pub use settings::{S3Addressing, S3Settings};
