//! Work and speed of results.

/// Number of characters counted as one token.
const CHARACTERS_PER_TOKEN: f64 = 4.0;

/// Returns the work of a text result, in tokens: a quarter of its number of characters, or 1 if it
/// is empty.
pub fn text_work(characters: usize) -> f64 {
    if characters == 0 { 1.0 } else { characters as f64 / CHARACTERS_PER_TOKEN }
}

/// Returns the work of an embedding result, in tokens: a quarter of the number of characters in the
/// request's texts, or 1 if there are none.
pub fn embedding_work(payload: &serde_json::Map<String, serde_json::Value>) -> f64 {
    let characters =
        |text: &serde_json::Value| text.as_str().map_or(0, |text| text.chars().count());
    let characters = match payload.get("input") {
        Some(serde_json::Value::Array(texts)) => texts.iter().map(characters).sum(),
        Some(text) => characters(text),
        None => 0,
    };
    text_work(characters)
}

/// Returns the work of an image result, in denoising steps.
pub fn image_work(steps: u32) -> f64 {
    f64::from(steps)
}

/// Returns the speed of a result: work per second, from sending the request to the last byte of the
/// answer; `None` without a positive response time.
pub fn speed(work: f64, response_time: Option<f64>) -> Option<f64> {
    response_time.filter(|seconds| *seconds > 0.0).map(|seconds| work / seconds)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_counts_four_characters_per_token_and_image_steps() {
        assert_eq!([text_work(0), text_work(1), text_work(400)], [1.0, 0.25, 100.0]);
        assert_eq!(image_work(8), 8.0);
    }

    #[test]
    fn embedding_work_counts_characters_of_input() {
        let work = |payload: serde_json::Value| embedding_work(payload.as_object().unwrap());
        assert_eq!(work(serde_json::json!({"input": ["abcd", "\u{e9}f"]})), 1.5);
        assert_eq!(
            [work(serde_json::json!({"input": "ab"})), work(serde_json::json!({}))],
            [0.5, 1.0]
        );
    }

    #[test]
    fn speed_without_positive_time_is_missing() {
        assert_eq!(speed(100.0, Some(0.5)), Some(200.0));
        assert_eq!(
            [speed(100.0, Some(0.0)), speed(100.0, Some(-1.0)), speed(100.0, None)],
            [None; 3]
        );
    }
}
