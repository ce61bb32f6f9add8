//! Sentence vectors, and the baseline of their cosines.

use std::collections::BTreeMap;

use rand_mt::Mt;

/// Number of pairs whose mean cosine is the baseline.
const PAIRS: u32 = 100;

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
}

/// Sentence vectors of length 1, keyed by text.
#[derive(Debug, Clone, Default)]
pub struct SentenceVectors(BTreeMap<String, Vec<f64>>);

impl SentenceVectors {
    /// Creates a set of sentence vectors, normalised to length 1.
    ///
    /// # Errors
    /// [`VectorError::Length`] when a vector's length differs from that of the other vectors.
    pub fn new(mut vectors: BTreeMap<String, Vec<f64>>) -> Result<Self, VectorError> {
        let expected = vectors.values().next().map_or(0, Vec::len);
        if let Some((text, vector)) = vectors.iter().find(|(_, vector)| vector.len() != expected) {
            return Err(VectorError::Length { text: text.clone(), length: vector.len(), expected });
        }
        for vector in vectors.values_mut() {
            let norm = vector.iter().map(|number| number * number).sum::<f64>().sqrt().max(1e-12);
            for number in vector {
                *number /= norm;
            }
        }
        Ok(Self(vectors))
    }

    /// Computes the cosine between the vectors of two texts. For an empty text without a vector, the cosine is 0.
    ///
    /// # Errors
    /// [`VectorError::Missing`] when a non-empty text has no vector.
    pub fn cosine(&self, one: &str, other: &str) -> Result<f64, VectorError> {
        let (Some(one), Some(other)) = (self.vector(one)?, self.vector(other)?) else { return Ok(0.0) };
        Ok(one.iter().zip(other).map(|(one, other)| one * other).sum())
    }

    fn vector(&self, text: &str) -> Result<Option<&[f64]>, VectorError> {
        match self.0.get(text) {
            Some(vector) => Ok(Some(vector)),
            None if text.is_empty() => Ok(None),
            None => Err(VectorError::Missing(text.to_owned())),
        }
    }

    /// Computes the mean cosine of 100 pseudo-random pairs of the non-empty texts; 0 if there are fewer than two.
    ///
    /// # Errors
    /// [`VectorError::Missing`] when a text has no vector.
    pub fn baseline(&self, texts: &[&str]) -> Result<f64, VectorError> {
        let texts: Vec<_> = texts.iter().filter(|text| !text.is_empty()).collect();
        if texts.len() < 2 {
            return Ok(0.0);
        }
        let mut total = 0.0;
        for (one, other) in pairs(texts.len()).take(PAIRS as usize) {
            if let (Some(one), Some(other)) = (texts.get(one), texts.get(other)) {
                total += self.cosine(one, other)?;
            }
        }
        Ok(total / f64::from(PAIRS))
    }
}

/// Returns pairs of different indexes below `count`, as Python's `random.Random(0)` draws them.
fn pairs(count: usize) -> impl Iterator<Item = (usize, usize)> {
    let mut random = Mt::new_with_key([0]);
    std::iter::repeat_with(move || {
        let (one, other) = (below(count, &mut random), below(count, &mut random));
        (one, if one == other { (other + 1) % count } else { other })
    })
}

/// Draws like Python's `randrange(count)`: random bits until they are below `count`.
fn below(count: usize, random: &mut Mt) -> usize {
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
    fn pairs_are_those_of_python() {
        let drawn: Vec<_> = pairs(5).take(8).collect();
        assert_eq!(drawn, [(3, 4), (0, 2), (4, 3), (3, 2), (3, 2), (4, 1), (4, 1), (2, 1)]);
        assert!(pairs(2).take(100).all(|(one, other)| one != other && one < 2 && other < 2));
    }

    #[test]
    fn the_baseline_is_the_mean_cosine_of_the_pairs() {
        let vectors = BTreeMap::from([("a".to_owned(), vec![2.0, 0.0]), ("b".to_owned(), vec![3.0, 4.0])]);
        let vectors = SentenceVectors::new(vectors).unwrap();
        let baseline = vectors.baseline(&["a", "", "b"]).unwrap();
        assert!((baseline - 0.6).abs() < 1e-12, "{baseline}");
        assert_eq!(vectors.baseline(&["a", ""]), Ok(0.0));
        assert_eq!(vectors.baseline(&["a", "c"]), Err(VectorError::Missing("c".to_owned())));
    }

    #[test]
    fn vectors_have_one_length_and_zero_has_no_direction() {
        let zero = BTreeMap::from([("a".to_owned(), vec![0.0]), ("b".to_owned(), vec![1.0])]);
        assert_eq!(SentenceVectors::new(zero).unwrap().cosine("a", "b"), Ok(0.0));
        let other = BTreeMap::from([("a".to_owned(), vec![0.0]), ("b".to_owned(), vec![1.0, 2.0])]);
        assert!(matches!(SentenceVectors::new(other), Err(VectorError::Length { .. })));
    }
}
