use serde::{Deserialize, Serialize};

/// Something that a block recorded.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// Its place among the block's events.
    pub index: u32,
    /// What ran when it was recorded.
    pub phase: Phase,
    /// The pallet, e.g. `SubtensorModule`.
    pub pallet: String,
    /// The event, e.g. `WeightsSet`.
    pub name: String,
    /// Its values: an object where they have names, an array where not. Accounts are addresses, bytes are text where
    /// they are UTF-8 and hex otherwise.
    pub fields: serde_json::Value,
}

impl Event {
    /// Whether it is this pallet's event of this name.
    pub fn is(&self, pallet: &str, name: &str) -> bool {
        self.pallet == pallet && self.name == name
    }
}

/// What ran when an event was recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// The block's preparation.
    Initialization,
    /// The extrinsic at this place of the block.
    ApplyExtrinsic(u32),
    /// The block's completion.
    Finalization,
}
