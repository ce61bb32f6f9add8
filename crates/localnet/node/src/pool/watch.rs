//! Status events for the submitter of a call.

use sp_core::H256;
use tokio::sync::mpsc;

/// A status event of a submitted call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum TxEvent {
    /// The call waits for earlier calls of its account.
    Future,
    /// The call is ready for the next block.
    Ready,
    /// The call is included in this block.
    InBlock(H256),
    /// Its block is finalized. The last event.
    Finalized(H256),
    /// The call with this hash, the same account and nonce, replaced it. The last event.
    Usurped(H256),
    /// The call was evicted from a full pool. The last event.
    Dropped,
    /// The call is no longer valid. The last event.
    Invalid,
}

impl TxEvent {
    /// Whether this is the last event.
    pub fn is_last(self) -> bool {
        matches!(self, Self::Finalized(_) | Self::Usurped(_) | Self::Dropped | Self::Invalid)
    }
}

/// The capacity of a watch, in events: a slow reader loses events in between, but never blocks the chain.
const ROOM: usize = 16;

/// The sending side of a watch, or nothing if the call is not watched.
#[derive(Debug, Default)]
pub(crate) struct Watcher(Option<mpsc::Sender<TxEvent>>);

impl Watcher {
    /// Creates a watch and the receiver of its events.
    pub(crate) fn channel() -> (Self, mpsc::Receiver<TxEvent>) {
        let (sender, receiver) = mpsc::channel(ROOM);
        (Self(Some(sender)), receiver)
    }

    pub(crate) fn send(&self, event: TxEvent) {
        if let Some(sender) = &self.0 {
            // The receiver is gone or too slow: both are the watcher's choice.
            let _ = sender.try_send(event);
        }
    }
}
