//! Sentence vectors, and the baseline of their cosines.

use std::collections::BTreeMap;
use std::num::{NonZeroU32, NonZeroUsize};

use rand_mt::Mt;

/// Options of the semantic similarity.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct VectorOptions {
    /// Number of leading dimensions to use; all if `None`.
    pub dimensions: Option<NonZeroUsize>,
    /// Number of pairs whose mean cosine is the baseline.
    pub pairs: NonZeroU32,
    /// Seed of the pseudo-random numbers that draw the pairs.
    pub seed: u32,
}

impl Default for VectorOptions {
    /// Returns the defaults: all dimensions, 100 pairs, seed 0.
    fn default() -> Self {
        Self { dimensions: None, pairs: NonZeroU32::MIN.saturating_add(99), seed: 0 }
    }
}

/// Why sentence vectors are unusable.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum VectorError {
    /// A text has no vector.
    #[error("no vector for {0:?}")]
    Missing(String),
    /// A vector's length differs from that of the other vectors.
    #[error("the vector of {text:?} has {length} numbers, but the other vectors have {expected}")]
    Length {
        /// Text whose vector has a different length.
        text: String,
        /// Length of the text's vector.
        length: usize,
        /// Length of the other vectors.
        expected: usize,
    },
    /// A vector has a number that is infinite or not a number.
    #[error("the vector of {0:?} has a number that is not finite")]
    NotFinite(String),
}

/// Sentence vectors of length 1, keyed by text.
#[derive(Debug, Clone, Default)]
pub struct SentenceVectors {
    vectors: BTreeMap<String, Vec<f64>>,
    options: VectorOptions,
}

impl SentenceVectors {
    /// Creates a set of sentence vectors, normalised to length 1, with the default options.
    ///
    /// # Errors
    /// [`VectorError::Length`] when a vector's length differs from that of the other vectors,
    /// [`VectorError::NotFinite`] when a vector has a number that is not finite.
    pub fn new(vectors: BTreeMap<String, Vec<f64>>) -> Result<Self, VectorError> {
        Self::with_options(vectors, VectorOptions::default())
    }

    /// Creates a set of sentence vectors, truncated as in `options`, then normalised to length 1.
    ///
    /// # Errors
    /// [`VectorError::Length`] when a vector's length differs from that of the other vectors,
    /// [`VectorError::NotFinite`] when a vector has a number that is not finite.
    pub fn with_options(
        mut vectors: BTreeMap<String, Vec<f64>>,
        options: VectorOptions,
    ) -> Result<Self, VectorError> {
        let expected = vectors.values().next().map_or(0, Vec::len);
        if let Some((text, vector)) = vectors.iter().find(|(_, vector)| vector.len() != expected) {
            return Err(VectorError::Length { text: text.clone(), length: vector.len(), expected });
        }
        for (text, vector) in &mut vectors {
            vector.truncate(options.dimensions.map_or(usize::MAX, NonZeroUsize::get));
            if !vector.iter().all(|number| number.is_finite()) {
                return Err(VectorError::NotFinite(text.clone()));
            }
            normalize(vector);
        }
        Ok(Self { vectors, options })
    }

    /// Computes the cosine between the vectors of two texts. An empty text without a vector has a
    /// cosine of 1 with itself, and of 0 with other texts.
    ///
    /// # Errors
    /// [`VectorError::Missing`] when a non-empty text has no vector.
    pub fn cosine(&self, one: &str, other: &str) -> Result<f64, VectorError> {
        let (Some(one), Some(other)) = (self.vector(one)?, self.vector(other)?) else {
            return Ok(if one == other { 1.0 } else { 0.0 });
        };
        Ok(one.iter().zip(other).map(|(one, other)| one * other).sum())
    }

    fn vector(&self, text: &str) -> Result<Option<&[f64]>, VectorError> {
        match self.vectors.get(text) {
            Some(vector) => Ok(Some(vector)),
            None if text.is_empty() => Ok(None),
            None => Err(VectorError::Missing(text.to_owned())),
        }
    }

    /// Computes the mean cosine of pseudo-random pairs of the non-empty texts; 0 if there are fewer
    /// than two.
    ///
    /// # Errors
    /// [`VectorError::Missing`] when a text has no vector.
    pub fn baseline(&self, texts: &[&str]) -> Result<f64, VectorError> {
        let texts: Vec<_> = texts.iter().filter(|text| !text.is_empty()).collect();
        if texts.len() < 2 {
            return Ok(0.0);
        }
        let mut sum = 0.0;
        let VectorOptions { pairs: count, seed, .. } = self.options;
        for (one, other) in random_pairs(texts.len(), seed).take(count.get() as usize) {
            if let (Some(one), Some(other)) = (texts.get(one), texts.get(other)) {
                sum += self.cosine(one, other)?;
            }
        }
        Ok(sum / f64::from(count.get()))
    }
}

/// Scales a vector of finite numbers to length 1.
fn normalize(vector: &mut [f64]) {
    // The squares of numbers above 1e154 are infinite.
    if !squared_norm(vector).is_finite() {
        let max_abs = vector.iter().fold(0.0, |max_abs: f64, number| max_abs.max(number.abs()));
        for number in &mut *vector {
            *number /= max_abs;
        }
    }
    let norm = squared_norm(vector).sqrt().max(1e-12);
    for number in &mut *vector {
        *number /= norm;
    }
}

/// Computes the sum of the squares.
fn squared_norm(vector: &[f64]) -> f64 {
    vector.iter().map(|number| number * number).sum()
}

/// Returns pairs of different indexes below `count`, as Python's `random.Random(seed)` draws them.
fn random_pairs(count: usize, seed: u32) -> impl Iterator<Item = (usize, usize)> {
    let mut random = Mt::new_with_key([seed]);
    std::iter::repeat_with(move || {
        let (one, other) = (random_below(count, &mut random), random_below(count, &mut random));
        (one, if one == other { (other + 1) % count } else { other })
    })
}

/// Draws like Python's `randrange(count)`: random bits until they are below `count`.
fn random_below(count: usize, random: &mut Mt) -> usize {
    let bits = usize::BITS - count.leading_zeros();
    loop {
        let number = (random.next_u32() >> 32_u32.saturating_sub(bits)) as usize;
        if number < count {
            return number;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn baseline_pairs_match_python() {
        let sampled: Vec<_> = random_pairs(5, 0).take(8).collect();
        assert_eq!(sampled, [(3, 4), (0, 2), (4, 3), (3, 2), (3, 2), (4, 1), (4, 1), (2, 1)]);
        let sampled: Vec<_> = random_pairs(5, 4_294_967_295).take(6).collect();
        assert_eq!(sampled, [(4, 1), (1, 4), (4, 2), (4, 2), (3, 2), (2, 3)]);
        assert!(
            random_pairs(2, 0).take(100).all(|(one, other)| one != other && one < 2 && other < 2)
        );
    }

    #[test]
    fn baseline_is_the_mean_cosine_of_the_pairs() {
        let vectors =
            BTreeMap::from([("a".to_owned(), vec![2.0, 0.0]), ("b".to_owned(), vec![3.0, 4.0])]);
        let vectors = SentenceVectors::new(vectors).unwrap();
        let baseline = vectors.baseline(&["a", "", "b"]).unwrap();
        assert!((baseline - 0.6).abs() < 1e-12, "{baseline}");
        assert_eq!(vectors.baseline(&["a", ""]), Ok(0.0));
        assert_eq!(vectors.baseline(&["a", "c"]), Err(VectorError::Missing("c".to_owned())));
    }

    /// Columns: texts · cosine
    #[test]
    fn empty_texts_are_compared_by_their_vector_if_any() {
        let vectors =
            BTreeMap::from([(String::new(), vec![1.0, 0.0]), ("a".to_owned(), vec![3.0, 4.0])]);
        let vectors = SentenceVectors::new(vectors).unwrap();
        for (one, other, expected) in [("", "", 1.0), ("", "a", 0.6), ("a", "", 0.6)] {
            let cosine = vectors.cosine(one, other).unwrap();
            assert!((cosine - expected).abs() < 1e-12, "{one:?} {other:?}: {cosine}");
        }
        let vectors =
            SentenceVectors::new(BTreeMap::from([("a".to_owned(), vec![3.0, 4.0])])).unwrap();
        for (one, other, expected) in [("", "", 1.0), ("", "a", 0.0), ("a", "", 0.0)] {
            assert_eq!(vectors.cosine(one, other), Ok(expected), "{one:?} {other:?}");
        }
    }

    /// Columns: options, baseline.
    #[test]
    fn similarity_baseline_depends_on_the_vector_options() {
        let texts = [("a", [1.0, 0.0, 2.0]), ("b", [3.0, 4.0, 0.0]), ("c", [0.0, 5.0, 1.0])];
        let options = |dimensions, pairs, seed| VectorOptions {
            dimensions: NonZeroUsize::new(dimensions),
            pairs: NonZeroU32::new(pairs).unwrap(),
            seed,
        };
        for (options, expected) in [
            (VectorOptions::default(), 0.386_002),
            (options(3, 100, 0), 0.386_002),
            (options(9, 100, 0), 0.386_002),
            (options(2, 100, 0), 0.420_000),
            (options(0, 7, 0), 0.536_715),
            (options(0, 100, 7), 0.420_171),
        ] {
            let vectors =
                texts.iter().map(|(text, vector)| ((*text).to_owned(), vector.to_vec())).collect();
            let vectors = SentenceVectors::with_options(vectors, options).unwrap();
            let baseline = vectors.baseline(&["a", "b", "c"]).unwrap();
            assert!((baseline - expected).abs() < 1e-6, "{options:?}: {baseline}");
        }
    }

    #[test]
    fn zero_vectors_are_valid_and_different_lengths_are_not() {
        let zero = BTreeMap::from([("a".to_owned(), vec![0.0]), ("b".to_owned(), vec![1.0])]);
        assert_eq!(SentenceVectors::new(zero).unwrap().cosine("a", "b"), Ok(0.0));
        let other = BTreeMap::from([("a".to_owned(), vec![0.0]), ("b".to_owned(), vec![1.0, 2.0])]);
        assert!(matches!(SentenceVectors::new(other), Err(VectorError::Length { .. })));
    }

    /// Columns: two vectors · cosine
    #[test]
    fn cosine_of_large_vectors_does_not_overflow() {
        for (one, other, expected) in [
            ([1e200, 0.0], [1.0, 0.0], 1.0),
            ([1e300, 1e300], [0.0, -1e200], -std::f64::consts::FRAC_1_SQRT_2),
            ([f64::MAX, f64::MAX], [f64::MAX, f64::MAX], 1.0),
            ([f64::MAX, 1.0], [0.0, 1.0], 0.0),
            ([f64::from(f32::MAX), 0.0], [3.0, 4.0], 0.6),
        ] {
            let vectors =
                BTreeMap::from([("a".to_owned(), one.to_vec()), ("b".to_owned(), other.to_vec())]);
            let cosine = SentenceVectors::new(vectors).unwrap().cosine("a", "b").unwrap();
            assert!((cosine - expected).abs() < 1e-12, "{one:?} {other:?}: {cosine}");
        }
        for number in [f64::INFINITY, f64::NAN] {
            let vectors = BTreeMap::from([("a".to_owned(), vec![1.0, number])]);
            assert_eq!(
                SentenceVectors::new(vectors.clone()).unwrap_err(),
                VectorError::NotFinite("a".to_owned())
            );
            // Dimensions that are not used do not matter.
            let options =
                VectorOptions { dimensions: NonZeroUsize::new(1), ..VectorOptions::default() };
            SentenceVectors::with_options(vectors, options).unwrap();
        }
    }
}
