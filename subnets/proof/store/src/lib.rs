//! The circuit store: circuits of HTTP and S3 catalogues in a local cache.
//!
//! A catalogue is one JSON document ([`Listing`]) that names circuits and where their files are: any static web server or
//! bucket will do. It is not trusted: a circuit's identity is the hash of its metadata, which holds the hash of every
//! other file, and nothing enters the cache before all of them agree.
//!
//! [`CircuitStore::fetch`] gives a circuit's directory, downloading it if it is not in the cache. An interrupted download
//! continues where it ended. Where the cache is full, the circuits that were not used for longest make room, except
//! pinned ones and those that this process uses.
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
