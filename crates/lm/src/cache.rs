//! The key-value cache of one sequence.

use candle_core::{DType, Tensor};

use crate::ModelError;

/// Minimum number of tokens by which the capacity of a cache grows.
const MIN_GROWTH: usize = 64;

/// Key-value cache of the tokens processed so far.
#[derive(Debug, Default)]
pub struct KvCache {
    layers: Vec<LayerCache>,
    tokens: usize,
}

/// Keys and values of one layer: for each head, one row per token, with spare capacity for further
/// tokens.
#[derive(Debug)]
struct LayerCache {
    keys: Tensor,
    values: Tensor,
}

impl KvCache {
    /// Returns the number of tokens processed so far.
    pub const fn tokens(&self) -> usize {
        self.tokens
    }

    /// Truncates the cache to this number of tokens.
    pub fn truncate(&mut self, tokens: usize) {
        self.tokens = self.tokens.min(tokens);
    }

    /// Copies the first tokens to a new cache.
    ///
    /// # Errors
    /// [`ModelError::Tensor`] when the memory of the device is exhausted.
    pub fn fork(&self, tokens: usize) -> Result<Self, ModelError> {
        let tokens = tokens.min(self.tokens);
        let mut layers = Vec::with_capacity(self.layers.len());
        for layer_cache in &self.layers {
            let (keys, values) = (
                reallocated(&layer_cache.keys, tokens, tokens)?,
                reallocated(&layer_cache.values, tokens, tokens)?,
            );
            layers.push(LayerCache { keys, values });
        }
        Ok(Self { layers, tokens })
    }

    /// Returns the memory of the cache in bytes.
    pub fn bytes(&self) -> usize {
        self.layers
            .iter()
            .map(|layer| tensor_bytes(&layer.keys) + tensor_bytes(&layer.values))
            .sum()
    }

    /// Checks that a model of these dimensions can process these tokens after those in the cache.
    pub(crate) fn check(
        &self,
        tokens: &[u32],
        context: usize,
        vocabulary: usize,
    ) -> Result<(), ModelError> {
        let end = self.tokens + tokens.len();
        if end > context {
            return Err(ModelError::TooLong { tokens: end, context });
        }
        if tokens.is_empty() || tokens.iter().any(|token| *token as usize >= vocabulary) {
            return Err(ModelError::Tokens);
        }
        Ok(())
    }

    /// Stores a layer's keys and values (heads, tokens, size) after those of the processed tokens,
    /// and returns all of them. They count as processed after [`advance`](Self::advance), so that a
    /// failed pass changes nothing.
    pub(crate) fn append(
        &mut self,
        layer: usize,
        keys: &Tensor,
        values: &Tensor,
    ) -> Result<(Tensor, Tensor), ModelError> {
        let (processed, new_tokens) = (self.tokens, keys.dim(1)?);
        let end = processed + new_tokens;
        match self.layers.get_mut(layer) {
            Some(layer_cache) if layer_cache.keys.dim(1)? >= end => {}
            Some(layer_cache) => {
                // Doubling the capacity copies a long sequence in time proportional to its length.
                let capacity = end.max(2 * processed);
                *layer_cache = LayerCache {
                    keys: reallocated(&layer_cache.keys, processed, capacity)?,
                    values: reallocated(&layer_cache.values, processed, capacity)?,
                };
            }
            None => {
                let (heads, _, size) = keys.dims3()?;
                let shape = (heads, end + MIN_GROWTH, size);
                self.layers.push(LayerCache {
                    keys: Tensor::zeros(shape, DType::F32, keys.device())?,
                    values: Tensor::zeros(shape, DType::F32, values.device())?,
                });
            }
        }
        let layer_cache = self.layers.get(layer).ok_or(ModelError::Tokens)?;
        layer_cache.keys.slice_set(&keys.contiguous()?, 1, processed)?;
        layer_cache.values.slice_set(&values.contiguous()?, 1, processed)?;
        Ok((layer_cache.keys.narrow(1, 0, end)?, layer_cache.values.narrow(1, 0, end)?))
    }

    /// Marks tokens as processed, once every layer has stored their keys and values.
    pub(crate) const fn advance(&mut self, tokens: usize) {
        self.tokens += tokens;
    }
}

fn tensor_bytes(tensor: &Tensor) -> usize {
    tensor.elem_count() * tensor.dtype().size_in_bytes()
}

/// Reallocates the rows of each head: keeps the first `tokens` rows, with spare capacity beyond
/// `capacity` tokens.
fn reallocated(rows: &Tensor, tokens: usize, capacity: usize) -> Result<Tensor, ModelError> {
    let (heads, _, size) = rows.dims3()?;
    let new_rows = Tensor::zeros((heads, capacity + MIN_GROWTH, size), DType::F32, rows.device())?;
    if tokens > 0 {
        new_rows.slice_set(&rows.narrow(1, 0, tokens)?.contiguous()?, 1, 0)?;
    }
    Ok(new_rows)
}

#[cfg(test)]
mod tests {
    use candle_core::Device;

    use super::*;

    /// Two heads of three values for `tokens` tokens, all `value`.
    fn rows(tokens: usize, value: f32) -> Tensor {
        Tensor::full(value, (2, tokens, 3), &Device::Cpu).unwrap()
    }

    fn values(tensor: &Tensor) -> Vec<f32> {
        // One value per token of the second head.
        tensor
            .narrow(0, 1, 1)
            .unwrap()
            .narrow(2, 0, 1)
            .unwrap()
            .flatten_all()
            .unwrap()
            .to_vec1()
            .unwrap()
    }

    #[test]
    fn cache_grows_and_truncates() {
        let mut cache = KvCache::default();
        let mut expected = Vec::new();
        for (step, tokens) in [1, 200, 1, 300].into_iter().enumerate() {
            let (keys, cached_values) =
                cache.append(0, &rows(tokens, step as f32), &rows(tokens, -(step as f32))).unwrap();
            cache.advance(tokens);
            expected.extend(std::iter::repeat_n(step as f32, tokens));
            assert_eq!(values(&keys), expected);
            assert_eq!(values(&cached_values).last(), Some(&-(step as f32)));
        }
        cache.truncate(2);
        let (keys, _) = cache.append(0, &rows(1, 9.0), &rows(1, 9.0)).unwrap();
        assert_eq!(values(&keys), [0.0, 1.0, 9.0]);
        // Without `advance`, the tokens of a failed pass are overwritten.
        let (keys, _) = cache.append(0, &rows(1, 7.0), &rows(1, 7.0)).unwrap();
        assert_eq!(values(&keys), [0.0, 1.0, 7.0]);
        assert!(cache.bytes() >= 2 * 502 * 2 * 3 * 4);
    }

    #[test]
    fn forked_cache_has_its_own_memory() {
        let mut cache = KvCache::default();
        cache.append(0, &rows(4, 1.0), &rows(4, 1.0)).unwrap();
        cache.advance(4);
        let mut copy = cache.fork(2).unwrap();
        assert_eq!(copy.tokens(), 2);
        copy.append(0, &rows(2, 5.0), &rows(2, 5.0)).unwrap();
        let (keys, _) = cache.append(0, &rows(1, 2.0), &rows(1, 2.0)).unwrap();
        assert_eq!(values(&keys), [1.0, 1.0, 1.0, 1.0, 2.0]);
    }
}
