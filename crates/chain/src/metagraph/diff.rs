use serde::{Deserialize, Serialize};
use serde_json::Value as Json;
use taonet_primitives::{Hotkey, Uid};

use super::{Metagraph, Neuron};
use crate::Block;

/// What changed on a subnet between two blocks.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Difference {
    /// The earlier block.
    pub from: Block,
    /// The later block.
    pub to: Block,
    /// The slots that another hotkey has: the slot, who left, who came.
    pub replaced: Vec<(Uid, Option<Hotkey>, Option<Hotkey>)>,
    /// The neurons of which something changed.
    pub changed: Vec<NeuronChange>,
}

/// What changed of a neuron.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct NeuronChange {
    /// Its slot.
    pub uid: Uid,
    /// Its key.
    pub hotkey: Hotkey,
    /// The fields by their name: before, after.
    pub fields: Vec<(String, Json, Json)>,
}

impl Metagraph {
    /// What changed from this one to a later one of the same subnet.
    pub fn diff(&self, later: &Self) -> Difference {
        let count = self.neurons.len().max(later.neurons.len());
        let (mut replaced, mut changed) = (Vec::new(), Vec::new());
        for (place, uid) in (0..count).zip((0..).map(Uid)) {
            match (self.neurons.get(place), later.neurons.get(place)) {
                (Some(before), Some(after)) if before.hotkey == after.hotkey => changed.extend(change(before, after)),
                (before, after) => {
                    replaced.push((uid, before.map(|neuron| neuron.hotkey), after.map(|neuron| neuron.hotkey)));
                }
            }
        }
        Difference { from: self.block, to: later.block, replaced, changed }
    }
}

fn change(before: &Neuron, after: &Neuron) -> Option<NeuronChange> {
    if before == after {
        return None;
    }
    let (Ok(Json::Object(old)), Ok(Json::Object(mut new))) =
        (serde_json::to_value(before), serde_json::to_value(after))
    else {
        return None;
    };
    let fields = old.into_iter().filter_map(|(name, old)| {
        let new = new.remove(&name).unwrap_or_default();
        (old != new).then_some((name, old, new))
    });
    Some(NeuronChange { uid: after.uid, hotkey: after.hotkey, fields: fields.collect() })
}
