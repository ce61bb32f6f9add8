use serde::{Deserialize, Serialize};

/// An event of a block.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// The event's index in the block.
    pub index: u32,
    /// The phase of block execution that emitted the event.
    pub phase: Phase,
    /// The pallet, e.g. `SubtensorModule`.
    pub pallet: String,
    /// The event's name, e.g. `WeightsSet`.
    pub name: String,
    /// The event's fields: an object where they have names, otherwise an array. Accounts are SS58
    /// addresses; bytes are text where they are UTF-8, otherwise hex.
    pub fields: serde_json::Value,
}

impl Event {
    /// Whether the event has this pallet and name.
    pub fn is(&self, pallet: &str, name: &str) -> bool {
        self.pallet == pallet && self.name == name
    }
}

/// The phase of block execution that emitted an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// The event was emitted while the block was initialised.
    Initialization,
    /// The event was emitted by the extrinsic with this index.
    ApplyExtrinsic(u32),
    /// The event was emitted at the end of block execution.
    Finalization,
}
