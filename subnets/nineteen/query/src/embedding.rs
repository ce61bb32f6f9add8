//! Embeddings in miners' answers.

use serde_json::Value;

/// Returns the number of dimensions of an answer's embeddings if all have the same one, and not the
/// `requested` one: many models' servers ignore the field `dimensions`.
pub(crate) fn ignored_dimensions(answer: &Value, requested: u64) -> Option<usize> {
    let entries = answer.get("data")?.as_array()?.iter();
    let mut dimension_counts =
        entries.map(|entry| entry.get("embedding").and_then(Value::as_array).map_or(0, Vec::len));
    let dimensions = dimension_counts.next()?;
    let is_ignored = dimensions > 0
        && u64::try_from(dimensions).ok() != Some(requested)
        && dimension_counts.all(|other| other == dimensions);
    is_ignored.then_some(dimensions)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn dimensions_count_as_ignored_if_all_embeddings_share_another_size() {
        let ignored = |vectors: [Value; 2]| {
            ignored_dimensions(
                &json!({"data": vectors.map(|vector| json!({"embedding": vector}))}),
                2,
            )
        };
        assert_eq!(ignored([json!([1, 2, 3]), json!([4, 5, 6])]), Some(3));
        // The buyer gets the vectors, or the miner's server is broken.
        for vectors in
            [[json!([1, 2]), json!([3, 4])], [json!([1, 2, 3]), json!([4])], [json!([]), json!([])]]
        {
            assert_eq!(ignored(vectors), None);
        }
        assert_eq!(ignored_dimensions(&json!({"data": 7}), 2), None);
    }
}
