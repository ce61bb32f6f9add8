use std::time::Duration;

use serde::{Deserialize, Serialize};
use taonet_primitives::BlockNumber;

/// State of a hotkey after a block, as far as it decides whether to sign weights for a mechanism of
/// a subnet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HotkeyState {
    /// The nonce of the hotkey's next extrinsic, without the extrinsics in the pool.
    pub nonce: u32,
    /// The block in which the hotkey last set or committed weights (storage item `LastUpdate`);
    /// `None` if it has not since its registration, or is not registered.
    pub last_update: Option<BlockNumber>,
    /// The hashes of the hotkey's hash commits that are not revealed, oldest first.
    pub commits: Vec<[u8; 32]>,
    /// The block's timestamp, since the Unix epoch.
    pub time: Duration,
    /// Whether the chain is a development chain; see
    /// [`Client::is_development`](crate::Client::is_development).
    pub is_development: bool,
}
