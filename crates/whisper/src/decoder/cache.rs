//! Self-attention key-value cache of decoded tokens, in slots that sequences share.
//!
//! Slots are in blocks of memory, which later windows reuse.
#![allow(clippy::indexing_slicing)] // Numeric loops over slots that the cache itself allocated.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use crate::kernel::{accumulate, dot_heads, softmax};

/// Slots per block.
const BLOCK_SLOTS: usize = 64;

/// Index of a token's keys and values in the cache.
pub(crate) type Slot = u32;

/// Keys and values by slot and layer, with a reference count per slot.
pub(crate) struct Cache {
    layers: usize,
    width: usize,
    /// Keys of all layers, `[layer][slot][width]`, and then their values.
    blocks: Vec<Vec<f32>>,
    reference_counts: Vec<u32>,
    /// Free slots, the lowest on top, so that the slots of a sequence are close together.
    free: BinaryHeap<Reverse<Slot>>,
}

/// Returns the size of a number of slots in bytes, for a decoder of this many layers and this
/// width.
pub(crate) fn slot_bytes(slots: usize, layers: usize, width: usize) -> usize {
    slots.next_multiple_of(BLOCK_SLOTS) * 2 * layers * width * size_of::<f32>()
}

impl Cache {
    pub(crate) fn new(layers: usize, width: usize) -> Self {
        Self {
            layers,
            width,
            blocks: Vec::new(),
            reference_counts: Vec::new(),
            free: BinaryHeap::new(),
        }
    }

    /// Allocates a slot with one reference.
    pub(crate) fn allocate(&mut self) -> Slot {
        let slot = self.free.pop().map_or_else(|| self.grow(), |Reverse(slot)| slot);
        self.reference_counts[slot as usize] = 1;
        slot
    }

    /// Adds a block and returns its first slot.
    fn grow(&mut self) -> Slot {
        let first = self.reference_counts.len() as Slot;
        self.blocks.push(vec![0.0; 2 * self.layers * BLOCK_SLOTS * self.width]);
        self.reference_counts.resize(self.reference_counts.len() + BLOCK_SLOTS, 0);
        self.free.extend((first + 1..first + BLOCK_SLOTS as Slot).map(Reverse));
        first
    }

    /// Adds a reference to each slot.
    pub(crate) fn retain(&mut self, slots: &[Slot]) {
        for &slot in slots {
            self.reference_counts[slot as usize] += 1;
        }
    }

    /// Removes a reference from each slot; slots without references are freed.
    pub(crate) fn release(&mut self, slots: &[Slot]) {
        for &slot in slots {
            let reference_count = &mut self.reference_counts[slot as usize];
            *reference_count -= 1;
            if *reference_count == 0 {
                self.free.push(Reverse(slot));
            }
        }
    }

    /// Returns the number of slots in use.
    #[cfg(test)]
    pub(crate) fn used_slots(&self) -> usize {
        self.reference_counts.len() - self.free.len()
    }

    /// Returns the offset of a slot's keys in its block. Its values are one half of the block
    /// later.
    fn offset(&self, layer: usize, slot: Slot) -> usize {
        (layer * BLOCK_SLOTS + slot as usize % BLOCK_SLOTS) * self.width
    }

    fn keys(&self, layer: usize, slot: Slot) -> &[f32] {
        &self.blocks[slot as usize / BLOCK_SLOTS][self.offset(layer, slot)..][..self.width]
    }

    fn values(&self, layer: usize, slot: Slot) -> &[f32] {
        let values_offset = self.layers * BLOCK_SLOTS * self.width;
        &self.blocks[slot as usize / BLOCK_SLOTS][values_offset + self.offset(layer, slot)..]
            [..self.width]
    }

    pub(super) fn store(&mut self, layer: usize, slot: Slot, keys: &[f32], values: &[f32]) {
        let (offset, width) = (self.offset(layer, slot), self.width);
        let (all_keys, all_values) = self.blocks[slot as usize / BLOCK_SLOTS]
            .split_at_mut(self.layers * BLOCK_SLOTS * width);
        all_keys[offset..offset + width].copy_from_slice(keys);
        all_values[offset..offset + width].copy_from_slice(values);
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
        let head_width = self.width / heads;
        let scale = 1.0 / (head_width as f32).sqrt();
        scores.resize(heads * slots.len(), 0.0);
        for (t, &slot) in slots.iter().enumerate() {
            dot_heads(
                query,
                self.keys(layer, slot),
                head_width,
                scale,
                &mut scores[t..],
                slots.len(),
            );
        }
        for scores in scores.chunks_exact_mut(slots.len()) {
            softmax(scores);
        }
        context.fill(0.0);
        for (t, &slot) in slots.iter().enumerate() {
            accumulate(&scores[t..], slots.len(), self.values(layer, slot), head_width, context);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns the size of all blocks in bytes.
    fn bytes(cache: &Cache) -> usize {
        cache.blocks.iter().map(|block| block.capacity() * size_of::<f32>()).sum()
    }

    #[test]
    fn released_slots_are_reused() {
        let mut cache = Cache::new(2, 32);
        let slots: Vec<Slot> = (0..1_000).map(|_| cache.allocate()).collect();
        assert_eq!((cache.used_slots(), bytes(&cache)), (1_000, slot_bytes(1_000, 2, 32)));
        cache.retain(&slots[..100]);
        cache.release(&slots);
        assert_eq!(cache.used_slots(), 100);
        let reused: Vec<Slot> = (0..900).map(|_| cache.allocate()).collect();
        assert_eq!(
            (reused, bytes(&cache)),
            ((100..1_000).collect::<Vec<_>>(), slot_bytes(1_000, 2, 32))
        );
        cache.release(&(0..1_000).collect::<Vec<_>>());
        assert_eq!(cache.used_slots(), 0);
    }

    #[test]
    fn slots_keep_their_keys_and_values() {
        let (layers, width, heads) = (2, 32, 1);
        let mut cache = Cache::new(layers, width);
        let slots: Vec<Slot> = (0..200).map(|_| cache.allocate()).collect();
        for layer in 0..layers {
            for &slot in &slots {
                let value = (1_000 * layer + slot as usize) as f32;
                cache.store(layer, slot, &[0.0; 32], &[value; 32]);
            }
        }
        // Equal keys: the mean of the values.
        let mut context = vec![0.0; width];
        for (layer, slots, expected) in [(0, [0, 64, 199], 263.0 / 3.0), (1, [199, 1, 70], 1_090.0)]
        {
            cache.attend(layer, &slots, &[1.0; 32], heads, &mut Vec::new(), &mut context);
            assert!(context.iter().all(|value| (value - expected).abs() < 1e-2), "{context:?}");
        }
    }
}
