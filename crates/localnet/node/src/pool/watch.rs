//! What a submitter is told about its call.

use sp_core::H256;
use tokio::sync::mpsc;

/// What happened to a submitted call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum TxEvent {
    /// It waits for calls before it.
    Future,
    /// It can be in the next block.
    Ready,
    /// It is in this block.
    InBlock(H256),
    /// Its block is final. The last event.
    Finalized(H256),
    /// The call of this hash, of the same account and nonce, took its place. The last event.
    Usurped(H256),
    /// It had to leave a full pool. The last event.
    Dropped,
    /// It is no longer valid. The last event.
    Invalid,
}

impl TxEvent {
    /// Whether no other event follows.
    pub fn is_last(self) -> bool {
        matches!(self, Self::Finalized(_) | Self::Usurped(_) | Self::Dropped | Self::Invalid)
    }
}

/// Room for the events of one call: who reads slower misses the middle of the story, never blocks the chain.
const ROOM: usize = 16;

/// The sending side of a watch, or nothing where nobody watches.
#[derive(Debug, Default)]
pub(crate) struct Watcher(Option<mpsc::Sender<TxEvent>>);

impl Watcher {
    /// A watch and where its events arrive.
    pub(crate) fn channel() -> (Self, mpsc::Receiver<TxEvent>) {
        let (sender, receiver) = mpsc::channel(ROOM);
        (Self(Some(sender)), receiver)
    }

    pub(crate) fn send(&self, event: TxEvent) {
        if let Some(sender) = &self.0 {
            // Nobody listens any more, or does not keep up: both are the watcher's choice.
            let _ = sender.try_send(event);
        }
    }
}
