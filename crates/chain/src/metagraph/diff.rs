use serde::{Deserialize, Serialize};
use serde_json::Value as Json;
use taonet_primitives::{Hotkey, Uid};

use super::{Metagraph, Neuron};
use crate::Block;

/// The changes of a subnet between two blocks.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Difference {
    /// The earlier block.
    pub from: Block,
    /// The later block.
    pub to: Block,
    /// The uids whose hotkey changed, as tuples of uid, old hotkey and new hotkey.
    pub replaced: Vec<(Uid, Option<Hotkey>, Option<Hotkey>)>,
    /// The neurons with changed fields.
    pub changed: Vec<NeuronChange>,
}

/// The changes of one neuron.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct NeuronChange {
    /// The neuron's uid.
    pub uid: Uid,
    /// The neuron's hotkey.
    pub hotkey: Hotkey,
    /// The changed fields, as tuples of name, old value and new value.
    pub fields: Vec<(String, Json, Json)>,
}

impl Metagraph {
    /// Compares this metagraph with a later one of the same subnet.
    pub fn diff(&self, later: &Self) -> Difference {
        let count = self.neurons.len().max(later.neurons.len());
        let (mut replaced, mut changed) = (Vec::new(), Vec::new());
        for (index, uid) in (0..count).zip((0..).map(Uid)) {
            match (self.neurons.get(index), later.neurons.get(index)) {
                (Some(before), Some(after)) if before.hotkey == after.hotkey => {
                    changed.extend(compare_neurons(before, after));
                }
                (before, after) => {
                    replaced.push((
                        uid,
                        before.map(|neuron| neuron.hotkey),
                        after.map(|neuron| neuron.hotkey),
                    ));
                }
            }
        }
        Difference { from: self.block, to: later.block, replaced, changed }
    }
}

fn compare_neurons(before: &Neuron, after: &Neuron) -> Option<NeuronChange> {
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
