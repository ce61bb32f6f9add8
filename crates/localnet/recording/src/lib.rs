//! Recordings: the state of some subnets of another chain, for the genesis state of a fork.
//!
//! [`record`] reads everything that belongs to the subnets from a node: their storage, their
//! neurons, every stake in them, and the accounts of their owners and stakers, with the root stake
//! on their hotkeys. [`Recording::fork`] writes it into a genesis state. Both omit, and list, the
//! storage items that the development chain lacks or encodes differently. Shares of stake that the
//! main network stores in older items are converted.
//!
//! ```no_run
//! # use std::path::Path;
//! use taonet_localnet_recording::Recording;
//! use taonet_localnet_runtime::genesis::genesis;
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let recording = Recording::read(Path::new("babelbit.recording"))?;
//! let mut genesis = genesis(&[])?;
//! let fork = recording.fork(&mut genesis)?;
//! println!("{} entries after block {}", fork.entries, recording.origin().block);
//! # Ok(())
//! # }
//! ```
//!
//! The caller reads the node, as a [`Source`] of keys and values, and starts the development chain
//! with the genesis state. A recording has no blocks, and no state of other subnets.
//!
//! Uses `taonet-localnet-runtime` (storage items and their encodings). Used by `tao localnet
//! record` and `tao localnet --fork`, and by the tests of `taonet-localnet`.

mod file;
mod fork;
mod record;
mod shares;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use sp_core::H256;
use taonet_localnet_runtime::fork::MetadataError;

pub use fork::Fork;
pub use record::{RecordError, Source, record};

/// Items without which a subnet cannot continue.
const REQUIRED_ITEMS: [&str; 11] = [
    "SubtensorModule.AlphaV2",
    "SubtensorModule.Keys",
    "SubtensorModule.NetworksAdded",
    "SubtensorModule.Owner",
    "SubtensorModule.SubnetOwner",
    "SubtensorModule.SubnetTAO",
    "SubtensorModule.SubnetworkN",
    "SubtensorModule.TotalHotkeyAlpha",
    "SubtensorModule.TotalHotkeySharesV2",
    "SubtensorModule.Uids",
    "System.Account",
];

/// The chain and the block of a recording.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Origin {
    /// Name of the chain, such as `Bittensor`.
    pub chain: String,
    /// Hash of the chain's genesis block.
    pub genesis: H256,
    /// Height of the recorded block.
    pub block: u32,
    /// Hash of the recorded block.
    pub block_hash: H256,
    /// Spec version of the chain's runtime.
    pub spec_version: u32,
}

/// A storage item that a recording or a fork lacks.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OmittedItem {
    /// Name of the item, such as `SubtensorModule.Tempo`.
    pub item: String,
    /// Why it was omitted.
    pub reason: String,
}

impl OmittedItem {
    fn new(item: &str, reason: &str) -> Self {
        Self { item: item.to_owned(), reason: reason.to_owned() }
    }
}

/// The entries of a storage item: values by storage key.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct RecordedItem {
    /// The encoding of keys and values.
    encoding: String,
    /// The common prefix of all keys.
    prefix: Vec<u8>,
    /// Values by key, without the prefix.
    entries: BTreeMap<Vec<u8>, Vec<u8>>,
}

/// The recorded state of some subnets of a chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recording {
    origin: Origin,
    netuids: Vec<u16>,
    omitted_items: Vec<OmittedItem>,
    items: BTreeMap<String, RecordedItem>,
}

impl Recording {
    /// Returns the chain and the block.
    pub fn origin(&self) -> &Origin {
        &self.origin
    }

    /// Returns the recorded subnets.
    pub fn netuids(&self) -> &[u16] {
        &self.netuids
    }

    /// Returns the items of the chain that the recording lacks.
    pub fn omitted_items(&self) -> &[OmittedItem] {
        &self.omitted_items
    }

    /// Returns the number of storage entries.
    pub fn len(&self) -> usize {
        self.items.values().map(|item| item.entries.len()).sum()
    }

    /// Whether the recording has no storage entries.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Why a recording cannot be read or written, or a chain cannot continue from it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RecordingError {
    /// A file operation failed.
    #[error("cannot read the recording {path}: {source}")]
    File {
        /// Path of the file.
        path: PathBuf,
        /// The operating system's error.
        source: io::Error,
    },
    /// The file is not a recording.
    #[error("{0} is not a recording; hint: create one with tao localnet record")]
    Format(PathBuf),
    /// The file has a different format version.
    #[error(
        "the recording {path} has format version {actual}, expected {expected}; hint: record the state again with this \
         version of tao"
    )]
    Version {
        /// Path of the file.
        path: PathBuf,
        /// The format version of the file.
        actual: u64,
        /// The format version of this program.
        expected: u64,
    },
    /// The file is truncated or corrupt.
    #[error(
        "the recording {path} is truncated or corrupt: line {line}: {reason}; hint: get another copy, or record the \
         state again"
    )]
    Damaged {
        /// Path of the file.
        path: PathBuf,
        /// Number of the line, from 1.
        line: usize,
        /// Why the line is invalid.
        reason: String,
    },
    /// An item without which the subnets cannot continue has a different encoding in this program.
    #[error(
        "the recording's {item} cannot be used: {reason}; hint: record the state again, with this version of tao"
    )]
    Item {
        /// Name of the item.
        item: String,
        /// Why it cannot be used.
        reason: String,
    },
    /// A storage key does not belong to its item or to the recorded subnets.
    #[error(
        "the recording has a key of {item} that it cannot have: 0x{}; hint: record the state again",
        hex::encode(key)
    )]
    Key {
        /// Name of the item.
        item: String,
        /// The storage key.
        key: Vec<u8>,
    },
    /// A recorded subnet is not in the recorded state.
    #[error("the recording has no subnet {0}, but names it; hint: record the state again")]
    Subnet(u16),
    /// The program's own metadata or keys cannot be read: a bug in this crate.
    #[error("cannot read this program's storage items: {0}")]
    Metadata(#[from] MetadataError),
    /// A development key cannot be derived: a bug in this crate.
    #[error("cannot derive a development key: {0:?}")]
    DevelopmentKey(sp_core::crypto::SecretStringError),
}
