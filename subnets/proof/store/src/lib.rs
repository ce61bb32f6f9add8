//! The circuit store: a local cache of circuits from HTTP and S3 catalogues.
//!
//! A catalogue is one JSON document ([`Listing`]) that lists circuits with the locations of their
//! files, and sliced models, on any static web server or bucket. Catalogues are not trusted: a
//! circuit's identity is the hash of its metadata, which contains the hash of every other file, and
//! no circuit enters the cache before all hashes match and its verification key is found to follow
//! from its network. A catalogue does not decide which circuits to prove: only circuits
//! whose identities the caller gives are fetched.
//!
//! [`CircuitStore::fetch`] returns a circuit's directory and downloads it if it is not in the
//! cache; [`CircuitStore::sync`] fetches several circuits and sliced models. A [`Source`] is one
//! catalogue; several are tried in order.
//!
//! ```no_run
//! use std::collections::BTreeSet;
//!
//! use taonet_proof_store::{CircuitStore, Source, StoreSettings};
//! use url::Url;
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let catalogue = Url::parse("https://circuits.example.org/catalogue.json")?;
//! let store = CircuitStore::open(StoreSettings {
//!     directory: "circuits".into(),
//!     sources: vec![Source::http(&catalogue)?],
//!     limit: 20 << 30, // 20 GiB
//!     pinned: BTreeSet::new(),
//! })?;
//! for circuit in store.listing().await?.circuits {
//!     println!("{}", store.fetch(&circuit.id).await?.display());
//! }
//! # Ok(())
//! # }
//! ```
//!
//! - **Interrupted downloads resume** at the last byte on disk, except that of the metadata, which
//!   always restarts. A complete circuit enters the cache by one rename, so a crash leaves no
//!   incomplete circuit in the cache.
//! - **A cached circuit is checked** when a process first fetches it: a circuit with a corrupt file
//!   is downloaded again.
//! - **The cache has a size limit.** A full cache evicts the least recently used circuits, except
//!   pinned ones and those that this process has fetched; if these exceed the limit, the result is
//!   [`StoreError::CacheFull`].
//! - **Sizes are bounded**: 64 MiB for a catalogue, 1 MiB for metadata, 4 GiB for any other file. A
//!   server that sends nothing for 30 s is treated as failed. Redirects are not followed.
//!
//! The crate uploads nothing, and creates no circuits: [`Listing::of`] creates the catalogue of a
//! directory that `taonet-proof-circuits` compiled. Several processes should not share a cache
//! directory, because each protects only the circuits that it has fetched itself.
//!
//! Uses `taonet-proof-circuits` (circuit directories), `taonet-proof-core`, `taonet-http` and
//! `taonet-objects` (downloads). Used by `tao proof miner`, `tao proof validator` and `tao proof
//! catalogue`.

mod cache;
mod download;
mod listing;
mod source;
mod store;

pub use cache::is_fetched;
pub use listing::{ListedCircuit, Listing, ListingError};
pub use source::{Source, SourceError};
pub use store::{CircuitStore, StoreError, StoreSettings};
