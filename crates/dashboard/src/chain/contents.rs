use std::sync::Arc;

use taonet_chain::{Block, Chain, ChainError, Event, Extrinsic, Phase};
use taonet_primitives::{AccountId, ExtrinsicHash, Rao, truncated};

use crate::format::now_unix;

/// Maximum number of events, and of extrinsics, of a block in memory.
const MAX_ITEMS: usize = 500;
/// Maximum length of an event's fields, and of a call's arguments, in characters.
const MAX_FIELDS: usize = 400;

/// One of the latest blocks.
#[derive(Debug, Clone)]
pub(super) struct BlockContents {
    pub(super) block: Block,
    /// Time of the read, in seconds since the Unix epoch.
    pub(super) read_unix: i64,
    /// Time of the block in seconds since the Unix epoch; `None` if unknown.
    pub(super) time_unix: Option<i64>,
    pub(super) extrinsics: TruncatedList<ExtrinsicSummary>,
    pub(super) events: TruncatedList<EventSummary>,
}

/// A list of a block, of which only the first items are in memory.
#[derive(Debug, Clone)]
pub(super) struct TruncatedList<T> {
    /// Number of items in the block.
    pub(super) count: usize,
    pub(super) items: Arc<[T]>,
    /// Why the list could not be read, if so.
    pub(super) problem: Option<String>,
}

impl<T> Default for TruncatedList<T> {
    fn default() -> Self {
        Self { count: 0, items: Arc::default(), problem: None }
    }
}

impl<T> TruncatedList<T> {
    /// Converts a list that was read from a node. If it is unreadable, for instance because of an
    /// unknown type, the reason replaces the items; errors of the connection are returned.
    fn from_read<I>(
        read: Result<Vec<I>, ChainError>,
        convert: impl Fn(&I) -> T,
    ) -> Result<Self, ChainError> {
        match read {
            Ok(items) => {
                let converted = items.iter().take(MAX_ITEMS).map(convert).collect();
                Ok(Self { count: items.len(), items: converted, problem: None })
            }
            Err(error) if error.is_retryable() => Err(error),
            Err(error) => {
                // The page shows it; blocks are too frequent for warnings.
                tracing::debug!(%error, "a part of a block is unreadable");
                Ok(Self { problem: Some(error.to_string()), ..Self::default() })
            }
        }
    }
}

impl BlockContents {
    /// Returns the number of extrinsics and events in memory.
    pub(super) fn items(&self) -> usize {
        self.extrinsics.items.len() + self.events.items.len()
    }

    /// Reads the extrinsics and events of a block.
    pub(super) async fn read(chain: &dyn Chain, block: Block) -> Result<Self, ChainError> {
        let (extrinsics, events) =
            tokio::join!(chain.extrinsics(block.into()), chain.events(block.into()));
        let time_unix = extrinsics.as_ref().ok().and_then(|extrinsics| time_of(extrinsics));
        Ok(Self {
            block,
            read_unix: now_unix(),
            time_unix,
            extrinsics: TruncatedList::from_read(extrinsics, ExtrinsicSummary::new)?,
            events: TruncatedList::from_read(events, EventSummary::new)?,
        })
    }
}

/// Returns the time that the author of a block set, in seconds since the Unix epoch.
fn time_of(extrinsics: &[Extrinsic]) -> Option<i64> {
    let set = extrinsics
        .iter()
        .find(|extrinsic| extrinsic.pallet == "Timestamp" && extrinsic.name == "set")?;
    Some(set.args.get("now")?.as_i64()? / 1_000)
}

/// An extrinsic, with its call as text.
#[derive(Debug, Clone)]
pub(super) struct ExtrinsicSummary {
    pub(super) index: u32,
    pub(super) hash: ExtrinsicHash,
    /// The signer; `None` for an unsigned extrinsic.
    pub(super) signer: Option<AccountId>,
    /// Pallet and name, such as `SubtensorModule.set_weights`.
    pub(super) call: String,
    /// The call's arguments, as JSON.
    pub(super) args: String,
    pub(super) fee: Option<Rao>,
    /// Result of the call, with the reason of a failure; `None` if unknown.
    pub(super) result: Option<Result<(), String>>,
}

impl ExtrinsicSummary {
    fn new(extrinsic: &Extrinsic) -> Self {
        Self {
            index: extrinsic.index,
            hash: extrinsic.hash,
            signer: extrinsic.signer,
            call: format!("{}.{}", extrinsic.pallet, extrinsic.name),
            args: truncated(extrinsic.args.to_string(), MAX_FIELDS),
            fee: extrinsic.fee,
            result: extrinsic
                .result
                .as_ref()
                .map(|result| result.as_ref().copied().map_err(ToString::to_string)),
        }
    }
}

/// An event as text.
#[derive(Debug, Clone)]
pub(super) struct EventSummary {
    /// Index of the extrinsic that emitted the event; `None` for an event of the block itself.
    pub(super) extrinsic: Option<u32>,
    /// Pallet and name, such as `SubtensorModule.WeightsSet`.
    pub(super) name: String,
    /// The event's fields as JSON.
    pub(super) fields: String,
}

impl EventSummary {
    fn new(event: &Event) -> Self {
        let extrinsic = match event.phase {
            Phase::ApplyExtrinsic(index) => Some(index),
            Phase::Initialization | Phase::Finalization => None,
        };
        Self {
            extrinsic,
            name: format!("{}.{}", event.pallet, event.name),
            fields: truncated(event.fields.to_string(), MAX_FIELDS),
        }
    }
}
