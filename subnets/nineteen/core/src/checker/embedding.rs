//! Embedding check: compares the miner's vectors with the validator's by cosine similarity.
//!
//! ```text
//! quality = 1 if c ≥ 0.99, (c − 0.95) / 0.04 if c > 0.95, else 0
//! ```
//!
//! c is the lowest cosine similarity among the request's texts, so that a miner cannot compute only
//! some of them. The same model in half precision has a similarity above 0.999; vectors of
//! different texts or of another model stay below 0.95. The reference has no embedding tasks, and
//! so no formula.

use serde_json::Value;

use super::image::cosine;

/// Similarity from which the quality is 1.
const FULL_QUALITY_SIMILARITY: f64 = 0.99;
/// Similarity up to which the quality is 0.
const ZERO_QUALITY_SIMILARITY: f64 = 0.95;

/// Parses the vectors of an answer in OpenAI's format, in the order of the texts; `None` if the
/// answer has not exactly one vector for each of `texts` texts.
pub fn parse_vectors(answer: &Value, texts: usize) -> Option<Vec<Vec<f64>>> {
    let mut vectors = vec![None; texts];
    for entry in answer.get("data")?.as_array()? {
        let slot = vectors.get_mut(usize::try_from(entry.get("index")?.as_u64()?).ok()?)?;
        let numbers = entry.get("embedding")?.as_array()?;
        let vector = numbers.iter().map(Value::as_f64).collect::<Option<Vec<_>>>()?;
        if slot.replace(vector).is_some() {
            return None;
        }
    }
    vectors.into_iter().collect()
}

/// Returns the lowest cosine similarity between the miner's and the validator's vectors; 0 if their
/// numbers or lengths differ, or there are none.
pub fn similarity(miner: &[Vec<f64>], validator: &[Vec<f64>]) -> f64 {
    if miner.is_empty() || miner.len() != validator.len() {
        return 0.0;
    }
    let cosines = miner
        .iter()
        .zip(validator)
        .map(|(actual, expected)| cosine(actual, expected).unwrap_or(0.0));
    // A vector with huge numbers has no finite cosine.
    cosines.map(|cosine| if cosine.is_finite() { cosine } else { 0.0 }).fold(1.0, f64::min)
}

/// Returns the quality of an answer with this similarity.
pub fn quality(similarity: f64) -> f64 {
    ((similarity - ZERO_QUALITY_SIMILARITY) / (FULL_QUALITY_SIMILARITY - ZERO_QUALITY_SIMILARITY))
        .clamp(0.0, 1.0)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    #[rustfmt::skip]
    fn quality_grows_with_similarity() {
        for (similarity, expected) in [
            ( 1.0,  1.0),
            ( 0.99, 1.0),
            ( 0.97, 0.5),
            ( 0.95, 0.0),
            ( 0.3,  0.0),
            (-1.0,  0.0),
        ] {
            assert!((quality(similarity) - expected).abs() < 1e-9, "{similarity}");
        }
    }

    #[test]
    fn similarity_is_the_lowest_of_all_vectors() {
        let own = [vec![1.0, 0.0], vec![0.0, 2.0]];
        assert_eq!(similarity(&own, &own), 1.0);
        assert_eq!(similarity(&own, &[vec![1.0, 0.0], vec![1.0, 0.0]]), 0.0);
        assert_eq!(similarity(&own, &own[..1]), 0.0);
        assert_eq!(
            similarity(&[vec![1.0]], &own[..1]),
            0.0,
            "another model has vectors of another length"
        );
        assert_eq!(similarity(&[vec![f64::MAX, f64::MAX]], &own[..1]), 0.0);
        assert_eq!(similarity(&[], &[]), 0.0);
    }

    #[test]
    fn each_text_needs_exactly_one_vector() {
        let entry = |index: u64, vector: Value| json!({"index": index, "embedding": vector});
        let parse = |data: Value| parse_vectors(&json!({"data": data}), 2);
        let (one, two) = (entry(0, json!([1, 2])), entry(1, json!([3, 4.5])));
        assert_eq!(parse(json!([two, one])), Some(vec![vec![1.0, 2.0], vec![3.0, 4.5]]));
        for broken in [
            json!([one]),
            json!([one, one]),
            json!([one, two, two]),
            json!([one, entry(2, json!([1]))]),
            json!([one, entry(1, json!(["a"]))]),
            json!([one, {"index": 1}]),
            json!("data"),
        ] {
            assert_eq!(parse(broken.clone()), None, "{broken}");
        }
        assert_eq!(parse_vectors(&json!({}), 2), None);
    }
}
