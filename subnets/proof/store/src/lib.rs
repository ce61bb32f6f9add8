//! The circuit store: a local cache of circuits from HTTP and S3 catalogues.
//!
//! A catalogue is one JSON document ([`Listing`]) that names circuits and the locations of their files, on any static
//! web server or bucket. Catalogues are not trusted: a circuit's identity is the hash of its metadata, which contains
//! the hash of every other file, and nothing enters the cache before all hashes match.
//!
//! [`CircuitStore::fetch`] returns a circuit's directory and downloads it if it is not in the cache. Interrupted
//! downloads resume. A full cache evicts the least recently used circuits, except pinned ones and those that this
//! process uses.
//!
//! Uses `taonet-proof-circuits` (circuit directories), `taonet-http` and `taonet-objects` (downloads).
//! Used by `tao proof miner`, `tao proof validator` and `tao proof catalogue`.

mod download;
mod listing;
mod source;
mod store;

pub use listing::{Listed, Listing, ListingError};
pub use source::{Source, SourceError};
pub use store::{CircuitStore, StoreError, StoreSettings};
