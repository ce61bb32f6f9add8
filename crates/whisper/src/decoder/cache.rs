//! Self-attention key-value cache of decoded tokens, in slots that sequences share.
#![allow(clippy::indexing_slicing)] // Numeric loops over slots that the cache itself allocated.

use crate::kernel::{accumulate, dot_heads, softmax};

/// Index of a token's keys and values in the cache.
pub(crate) type Slot = u32;

/// Keys and values by layer and slot, with a reference count per slot.
pub(crate) struct Cache {
    width: usize,
    layers: Vec<(Vec<f32>, Vec<f32>)>,
    holders: Vec<u32>,
    free: Vec<Slot>,
}

impl Cache {
    pub(crate) fn new(layers: usize, width: usize) -> Self {
        Self { width, layers: vec![Default::default(); layers], holders: Vec::new(), free: Vec::new() }
    }

    /// Allocates a slot with one reference.
    pub(crate) fn take(&mut self) -> Slot {
        if let Some(slot) = self.free.pop() {
            self.holders[slot as usize] = 1;
            return slot;
        }
        self.holders.push(1);
        for (keys, values) in &mut self.layers {
            keys.resize(self.holders.len() * self.width, 0.0);
            values.resize(self.holders.len() * self.width, 0.0);
        }
        (self.holders.len() - 1) as Slot
    }

    /// Adds a reference to each slot.
    pub(crate) fn hold(&mut self, slots: &[Slot]) {
        for &slot in slots {
            self.holders[slot as usize] += 1;
        }
    }

    /// Removes a reference from each slot; slots without references are freed.
    pub(crate) fn release(&mut self, slots: &[Slot]) {
        for &slot in slots {
            let holders = &mut self.holders[slot as usize];
            *holders -= 1;
            if *holders == 0 {
                self.free.push(slot);
            }
        }
    }

    /// Returns the number of slots in use.
    #[cfg(test)]
    pub(crate) fn used(&self) -> usize {
        self.holders.len() - self.free.len()
    }

    pub(super) fn store(&mut self, layer: usize, slot: Slot, keys: &[f32], values: &[f32]) {
        let at = slot as usize * self.width;
        let (all_keys, all_values) = &mut self.layers[layer];
        all_keys[at..at + self.width].copy_from_slice(keys);
        all_values[at..at + self.width].copy_from_slice(values);
    }

    /// Computes the attention of a row over its slots; `scores` is a scratch buffer.
    pub(super) fn attend(
        &self,
        layer: usize,
        slots: &[Slot],
        query: &[f32],
        heads: usize,
        scores: &mut Vec<f32>,
        context: &mut [f32],
    ) {
        let (keys, values) = &self.layers[layer];
        let head = self.width / heads;
        let scale = 1.0 / (head as f32).sqrt();
        scores.resize(heads * slots.len(), 0.0);
        for (t, &slot) in slots.iter().enumerate() {
            let keys = &keys[slot as usize * self.width..][..self.width];
            dot_heads(query, keys, head, scale, &mut scores[t..], slots.len());
        }
        for scores in scores.chunks_exact_mut(slots.len()) {
            softmax(scores);
        }
        context.fill(0.0);
        for (t, &slot) in slots.iter().enumerate() {
            let values = &values[slot as usize * self.width..][..self.width];
            accumulate(&scores[t..], slots.len(), values, head, context);
        }
    }
}
