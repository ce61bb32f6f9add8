//! Paged cache of keys and values for many sequences. A sequence holds blocks of a few tokens in
//! any order, so sequences of all lengths share the memory and can start and end at any time.

use candle_core::{Device, Tensor};
use rayon::prelude::*;

use crate::attention::{add_weighted, softmax};
use crate::linear::dot;
use crate::llama::Projected;
use crate::{Llama, LlamaConfig, ModelError};

/// Number of tokens in a block.
const BLOCK_TOKENS: usize = 16;

/// Keys and values of the tokens of a block, in all layers.
struct Block {
    keys: Vec<f32>,
    values: Vec<f32>,
}

/// A paged cache of keys and values for many sequences.
pub(crate) struct PagedCache {
    blocks: Vec<Block>,
    free_blocks: Vec<usize>,
    max_blocks: usize,
    config: LlamaConfig,
    /// Rotary embeddings of global layers, and those of local layers.
    rotations: [Rotations; 2],
}

/// Cosines and sines of rotary embeddings: for each position up to the greatest one used, as many
/// values as half the head size.
struct Rotations {
    cos: Vec<f32>,
    sin: Vec<f32>,
}

impl Rotations {
    const EMPTY: Self = Self { cos: Vec::new(), sin: Vec::new() };

    /// Applies the rotary embedding of a position to each head: rotates pairs of values, one from
    /// each half of the head.
    fn rotate(&self, heads: &mut [f32], half: usize, position: usize) {
        let range = position * half..(position + 1) * half;
        let (Some(cos), Some(sin)) = (self.cos.get(range.clone()), self.sin.get(range)) else {
            return;
        };
        for head in heads.chunks_exact_mut(2 * half) {
            let (first, second) = head.split_at_mut(half);
            for ((one, other), (cos, sin)) in first.iter_mut().zip(second).zip(cos.iter().zip(sin))
            {
                (*one, *other) = (*one * cos - *other * sin, *other * cos + *one * sin);
            }
        }
    }
}

/// The blocks of one sequence.
pub(crate) struct Pages(Vec<usize>);

/// A token to process, as part of a sequence.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Row {
    /// Index of the sequence among those of the step.
    pub(crate) sequence: usize,
    pub(crate) token: u32,
    pub(crate) position: usize,
}

impl PagedCache {
    /// Creates a cache for at most this many tokens; memory is allocated on demand.
    pub(crate) const fn new(model: &Llama, max_tokens: usize) -> Self {
        Self {
            blocks: Vec::new(),
            free_blocks: Vec::new(),
            max_blocks: max_tokens.div_ceil(BLOCK_TOKENS),
            config: *model.config(),
            rotations: [Rotations::EMPTY; 2],
        }
    }

    /// Reserves blocks for a sequence of this many tokens; `None` while too few are free.
    pub(crate) fn reserve(&mut self, tokens: usize) -> Option<Pages> {
        let block_count = tokens.div_ceil(BLOCK_TOKENS);
        if block_count > self.free_blocks.len() + (self.max_blocks - self.blocks.len()) {
            return None;
        }
        let width = self.config.layers * BLOCK_TOKENS * self.config.kv_width();
        let pages = (0..block_count).map(|_| {
            self.free_blocks.pop().unwrap_or_else(|| {
                self.blocks.push(Block { keys: vec![0.0; width], values: vec![0.0; width] });
                self.blocks.len() - 1
            })
        });
        Some(Pages(pages.collect()))
    }

    /// Releases a sequence's blocks.
    pub(crate) fn release(&mut self, pages: Pages) {
        self.free_blocks.extend(pages.0);
    }

    /// Extends the tables of rotations to the greatest position of these rows.
    fn extend_rotations(&mut self, model: &Llama, rows: &[Row]) {
        let [global, _] = &self.rotations;
        let table_positions = global.cos.len() / (self.config.head_size / 2);
        let needed_positions = rows.iter().map(|row| row.position + 1).max().unwrap_or_default();
        if needed_positions > table_positions {
            for (table, are_local) in self.rotations.iter_mut().zip([false, true]) {
                let (cos, sin) = model.rotations(table_positions..needed_positions, are_local);
                table.cos.extend(cos);
                table.sin.extend(sin);
            }
        }
    }

    /// Returns the block of a token's keys and values, and their range within the block.
    fn block_range(
        &self,
        pages: &Pages,
        layer: usize,
        position: usize,
    ) -> Option<(usize, std::ops::Range<usize>)> {
        let block = *pages.0.get(position / BLOCK_TOKENS)?;
        let start = (layer * BLOCK_TOKENS + position % BLOCK_TOKENS) * self.config.kv_width();
        Some((block, start..start + self.config.kv_width()))
    }

    /// Stores the rows' keys and values of one layer, and computes each row's attention up to its
    /// own position.
    fn attend(
        &mut self,
        layer: usize,
        rows: &[Row],
        pages: &[&Pages],
        projected: &Projected,
    ) -> Result<Tensor, ModelError> {
        let mut query = projected.query.flatten_all()?.to_vec1::<f32>()?;
        let mut key = projected.key.flatten_all()?.to_vec1::<f32>()?;
        let value = projected.value.flatten_all()?.to_vec1::<f32>()?;
        let (width, kv) = (self.config.query_width(), self.config.kv_width());
        let ([global, local], half) = (&self.rotations, self.config.head_size / 2);
        let rotations = if self.config.local_layer(layer).is_some() { local } else { global };
        for (row, (query, key)) in
            rows.iter().zip(query.chunks_exact_mut(width).zip(key.chunks_exact_mut(kv)))
        {
            rotations.rotate(query, half, row.position);
            rotations.rotate(key, half, row.position);
        }
        for (row, (key, value)) in rows.iter().zip(key.chunks_exact(kv).zip(value.chunks_exact(kv)))
        {
            let pages = pages.get(row.sequence).ok_or(ModelError::Tokens)?;
            let (block, range) =
                self.block_range(pages, layer, row.position).ok_or(ModelError::Tokens)?;
            let block = self.blocks.get_mut(block).ok_or(ModelError::Tokens)?;
            block.keys.get_mut(range.clone()).ok_or(ModelError::Tokens)?.copy_from_slice(key);
            block.values.get_mut(range).ok_or(ModelError::Tokens)?.copy_from_slice(value);
        }
        let mut output = vec![0.0; query.len()];
        let cache = &*self;
        let work = rows
            .par_iter()
            .zip(query.par_chunks_exact(width))
            .zip(output.par_chunks_exact_mut(width));
        work.try_for_each(|((row, query), output)| {
            let pages = pages.get(row.sequence)?;
            cache.attend_heads(layer, row.position, pages, query, output)
        })
        .ok_or(ModelError::Tokens)?;
        Ok(Tensor::from_vec(output, (rows.len(), width), &Device::Cpu)?)
    }

    /// Computes the attention of one token over its sequence up to itself.
    fn attend_heads(
        &self,
        layer: usize,
        position: usize,
        pages: &Pages,
        query: &[f32],
        output: &mut [f32],
    ) -> Option<()> {
        let size = self.config.head_size;
        let heads_per_kv_head = self.config.heads / self.config.kv_heads;
        let scale = 1.0 / (size as f32).sqrt();
        let first = self
            .config
            .local_layer(layer)
            .map_or(0, |local| (position + 1).saturating_sub(local.window));
        let tokens = position + 1 - first;
        // A row of scores for each head.
        let mut scores = vec![0.0_f32; self.config.heads * tokens];
        for past in first..=position {
            let (block, range) = self.block_range(pages, layer, past)?;
            let keys = self.blocks.get(block)?.keys.get(range)?;
            for (head, query) in query.chunks_exact(size).enumerate() {
                let start = head / heads_per_kv_head * size;
                *scores.get_mut(head * tokens + past - first)? =
                    dot(query, keys.get(start..start + size)?) * scale;
            }
        }
        scores.chunks_exact_mut(tokens).for_each(softmax);
        for past in first..=position {
            let (block, range) = self.block_range(pages, layer, past)?;
            let values = self.blocks.get(block)?.values.get(range)?;
            for (head, output) in output.chunks_exact_mut(size).enumerate() {
                let (start, weight) =
                    (head / heads_per_kv_head * size, *scores.get(head * tokens + past - first)?);
                add_weighted(weight, values.get(start..start + size)?, output);
            }
        }
        Some(())
    }
}

impl Llama {
    /// Processes tokens of many sequences in one pass, and returns the logits after the rows in
    /// `output_rows`. The rows of a sequence must be in the order of their positions, and the
    /// sequence's pages must have room for them.
    pub(crate) fn step(
        &self,
        rows: &[Row],
        output_rows: &[u32],
        pages: &[&Pages],
        cache: &mut PagedCache,
    ) -> Result<Vec<Vec<f32>>, ModelError> {
        let tokens: Vec<u32> = rows.iter().map(|row| row.token).collect();
        cache.extend_rotations(self, rows);
        let hidden = self
            .run_layers(&tokens, |layer, projected| cache.attend(layer, rows, pages, &projected))?;
        if output_rows.is_empty() {
            return Ok(Vec::new());
        }
        let last = hidden.index_select(&Tensor::new(output_rows, &Device::Cpu)?, 0)?;
        Ok(self.logits(&last)?.to_vec2()?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::linear::Weight;
    use crate::{Bits, KvCache, LanguageModel, LlamaKind, LocalLayers};

    fn row(sequence: usize, token: u32, position: usize) -> Row {
        Row { sequence, token, position }
    }

    #[test]
    fn batched_sequences_equal_those_with_separate_caches() {
        let config = *LanguageModel::random("m", 3, 5).unwrap().llama().config();
        let local = Some(LocalLayers { window: 7, rope_theta: 100.0, period: 2 });
        for (kind, head_size, local) in [
            (LlamaKind::Llama, 16, None),
            (LlamaKind::Qwen2, 16, None),
            (LlamaKind::Qwen3, 24, None),
            (LlamaKind::Gemma3, 24, local),
        ] {
            check_sequences(
                &Llama::random(LlamaConfig { kind, head_size, local, ..config }, 5).unwrap(),
            );
        }
    }

    fn check_sequences(llama: &Llama) {
        let sequences: [Vec<u32>; 3] =
            [(5..45).collect(), (60..61).collect(), (100..119).rev().collect()];
        let mut cache = PagedCache::new(llama, 256);
        // Released blocks are reused.
        let pages = cache.reserve(100).unwrap();
        cache.release(pages);
        let pages: Vec<_> =
            sequences.iter().map(|tokens| cache.reserve(tokens.len() + 2).unwrap()).collect();
        let pages: Vec<_> = pages.iter().collect();
        let mut batched = vec![Vec::new(); 3];
        // Read the first sequence in two parts, and the others together with the second part.
        let rows_of = |sequence: usize, range: std::ops::Range<usize>| -> Vec<Row> {
            let tokens: &Vec<u32> = &sequences[sequence];
            range.map(|position| row(sequence, tokens[position], position)).collect()
        };
        assert!(llama.step(&rows_of(0, 0..17), &[], &pages, &mut cache).unwrap().is_empty());
        let rows = [rows_of(2, 0..19), rows_of(0, 17..40), rows_of(1, 0..1)].concat();
        let logits = llama.step(&rows, &[18, 41, 42], &pages, &mut cache).unwrap();
        for (sequence, logits) in [2, 0, 1].into_iter().zip(logits) {
            batched[sequence].push(logits);
        }
        let rows: Vec<_> =
            (0..3).map(|sequence| row(sequence, 77, sequences[sequence].len())).collect();
        for (sequence, logits) in
            llama.step(&rows, &[0, 1, 2], &pages, &mut cache).unwrap().into_iter().enumerate()
        {
            batched[sequence].push(logits);
        }
        for (tokens, batched) in sequences.iter().zip(batched) {
            let mut cache = KvCache::default();
            for (tokens, actual) in [tokens.as_slice(), &[77]].into_iter().zip(batched) {
                let expected = llama.next(tokens, &mut cache).unwrap();
                for (actual, expected) in actual.iter().zip(expected) {
                    assert!((actual - expected).abs() < 1e-3, "{actual} {expected}");
                }
            }
        }
    }

    /// A miner computes many answers in a batch, one token at a time, and a checker each of them in
    /// one pass.
    #[test]
    fn logits_of_quantised_models_are_the_same_in_any_batch() {
        for window in [None, Some(20)] {
            let mut config = *LanguageModel::random("m", 2, 5).unwrap().llama().config();
            config.local =
                window.map(|window| LocalLayers { window, rope_theta: 10_000.0, period: 2 });
            let mut llama = Llama::random(config, 5).unwrap();
            llama.change_weights(|weight| {
                *weight = Weight::new(weight.dense(), Some(Bits::Eight)).unwrap();
            });
            let tokens: Vec<u32> = (0..50).map(|position| (position * 37 + 11) % 256).collect();
            let complete = llama.forward(&tokens, &mut KvCache::default()).unwrap();

            let (mut cache, mut paged) = (KvCache::default(), PagedCache::new(&llama, 1_000));
            let pages: Vec<_> = (0..2).map(|_| paged.reserve(tokens.len()).unwrap()).collect();
            let pages: Vec<&Pages> = pages.iter().collect();
            let prompt: Vec<Row> =
                (0..30).map(|position| row(0, tokens[position], position)).collect();
            let mut actual = llama.forward(&tokens[..30], &mut cache).unwrap();
            let [last] = &llama.step(&prompt, &[29], &pages, &mut paged).unwrap()[..] else {
                panic!("one row is wanted");
            };
            assert_eq!(last, &complete[29]);
            for position in 30..tokens.len() {
                actual.push(llama.next(&tokens[position..=position], &mut cache).unwrap());
                let other = row(1, tokens[position - 30] / 2, position - 30);
                let rows = [other, row(0, tokens[position], position)];
                let logits = llama.step(&rows, &[1], &pages, &mut paged).unwrap();
                assert_eq!(logits, complete[position..=position]);
            }
            assert_eq!(actual, complete);
        }
    }

    #[test]
    fn dropped_sequence_returns_its_blocks() {
        let model = LanguageModel::random("m", 1, 5).unwrap();
        let mut cache = PagedCache::new(model.llama(), 5 * BLOCK_TOKENS);
        let first = cache.reserve(3 * BLOCK_TOKENS).unwrap();
        assert!(cache.reserve(2 * BLOCK_TOKENS + 1).is_none());
        let second = cache.reserve(2 * BLOCK_TOKENS).unwrap();
        assert!(cache.reserve(1).is_none());
        cache.release(first);
        assert!(cache.reserve(3 * BLOCK_TOKENS).is_some());
        cache.release(second);
        assert_eq!(cache.blocks.len(), 5);
    }
}
