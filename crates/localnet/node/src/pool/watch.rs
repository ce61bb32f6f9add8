//! Status events for the submitter of an extrinsic.

use sp_core::H256;
use tokio::sync::mpsc;

/// A status event of a submitted extrinsic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum TxEvent {
    /// The extrinsic waits for earlier nonces of its account.
    Future,
    /// The extrinsic is ready for the next block.
    Ready,
    /// The extrinsic is included in this block.
    InBlock(H256),
    /// The block of the extrinsic is finalized, or will be when enough blocks follow it. This is
    /// the last event.
    Finalized(H256),
    /// The extrinsic was replaced by the one with this hash, which has the same account and nonce.
    /// This is the last event.
    Usurped(H256),
    /// The extrinsic was evicted from a full pool, the chain was reverted, or the node is shutting
    /// down. This is the last event.
    Dropped,
    /// The extrinsic is no longer valid. This is the last event.
    Invalid,
}

impl TxEvent {
    /// Whether no event follows this one.
    pub fn is_last(self) -> bool {
        matches!(self, Self::Finalized(_) | Self::Usurped(_) | Self::Dropped | Self::Invalid)
    }
}

/// The capacity of a watch channel, in events. A slow reader misses events, and never delays block
/// production.
const CHANNEL_CAPACITY: usize = 16;

/// The sending side of a watch channel; `None` if the extrinsic is not watched.
#[derive(Debug, Default)]
pub(crate) struct StatusSender(Option<mpsc::Sender<TxEvent>>);

impl StatusSender {
    /// Creates a sender and the receiver of its events.
    pub(crate) fn channel() -> (Self, mpsc::Receiver<TxEvent>) {
        let (sender, receiver) = mpsc::channel(CHANNEL_CAPACITY);
        (Self(Some(sender)), receiver)
    }

    pub(crate) fn send(&self, event: TxEvent) {
        if let Some(sender) = &self.0 {
            // The receiver was dropped or is too slow; block production does not wait for it.
            let _ = sender.try_send(event);
        }
    }
}
