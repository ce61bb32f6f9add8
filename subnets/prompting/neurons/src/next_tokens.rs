use http::StatusCode;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::json;
use taonet_kit::{Protocol, SynapseClass, SynapseError};

use crate::bounded::bounded_list;

/// Maximum number of texts in a request.
const MAX_TEXTS: usize = 16;
/// Maximum size of the texts of a request in bytes.
const MAX_TEXT_BYTES: usize = 64 << 10;
/// Maximum number of predicted tokens for a text.
pub(crate) const MAX_PREDICTIONS: usize = 64;

/// Texts, and the probabilities of the token that follows each of them. In Python:
///
/// ```python
/// class NextTokens(bt.Synapse):
///     texts: List[str]
///     tokenizer: str = ""
///     predictions: List[List[Tuple[str, float]]] = []
///     required_hash_fields: ClassVar[tuple[str, ...]] = ("texts",)
/// ```
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct NextTokens {
    /// The texts.
    #[serde(deserialize_with = "bounded_list::<_, _, MAX_TEXTS>")]
    pub texts: Vec<String>,
    /// Name of the model whose tokens are to be predicted.
    #[serde(default)]
    pub tokenizer: String,
    /// For each text, the texts of at most 64 tokens with their probabilities. Empty in requests.
    #[serde(default, deserialize_with = "distributions")]
    pub predictions: Vec<Vec<(String, f64)>>,
}

#[derive(Deserialize)]
struct Distribution(
    #[serde(deserialize_with = "bounded_list::<_, _, MAX_PREDICTIONS>")] Vec<(String, f64)>,
);

fn distributions<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Vec<Vec<(String, f64)>>, D::Error> {
    let distributions = bounded_list::<_, Distribution, MAX_TEXTS>(deserializer)?;
    Ok(distributions.into_iter().map(|Distribution(tokens)| tokens).collect())
}

impl Protocol for NextTokens {
    fn class() -> SynapseClass {
        SynapseClass::new("NextTokens").hash(["texts"]).required("texts", json!([]))
    }
}

impl NextTokens {
    /// Checks the size of a request.
    ///
    /// # Errors
    /// Status 413 for the caller when the texts have more than 64 KiB.
    pub(crate) fn check_size(&self) -> Result<(), SynapseError> {
        if self.texts.iter().map(String::len).sum::<usize>() > MAX_TEXT_BYTES {
            return Err(SynapseError::new(
                StatusCode::PAYLOAD_TOO_LARGE,
                "the texts are longer than 64 KiB",
            ));
        }
        Ok(())
    }

    /// Returns the predicted probability of each true token. Probabilities of a text whose sum
    /// exceeds 1 are scaled down to 1; invalid and missing ones are 0.
    pub(crate) fn probabilities(&self, truths: &[String]) -> Vec<f64> {
        let probability = |(index, truth): (usize, &String)| {
            let predictions = self.predictions.get(index).map(Vec::as_slice).unwrap_or_default();
            let valid_predictions = predictions
                .iter()
                .filter(|(_, probability)| probability.is_finite() && *probability > 0.0);
            let sum: f64 =
                valid_predictions.clone().map(|(_, probability)| probability.min(1.0)).sum();
            let truth_probability = valid_predictions
                .filter(|(token, _)| token == truth)
                .map(|(_, probability)| probability.min(1.0));
            // The sum of no numbers is -0.
            truth_probability.fold(0.0, |total, probability| total + probability) / sum.max(1.0)
        };
        truths.iter().enumerate().map(probability).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(text: &str, probability: f64) -> (String, f64) {
        (text.to_owned(), probability)
    }

    #[test]
    fn probability_of_the_true_token_is_returned() {
        let truths = [" Austin", "s", ".", "!", "?"].map(str::to_owned);
        let predictions = vec![
            vec![token(" Dallas", 0.5), token(" Austin", 0.25)],
            // Their sum is 4: each counts a quarter.
            vec![token("s", 1.0), token("t", 1.0), token("u", 7.0), token("v", 1.0)],
            vec![token(".", f64::NAN), token(".", -1.0), token(".", 0.5), token(".", 0.25)],
            vec![token("?", 1.0)],
        ];
        let actual = NextTokens { predictions, ..NextTokens::default() }.probabilities(&truths);
        assert_eq!(actual.len(), truths.len());
        for (actual, expected) in actual.iter().zip([0.25, 0.25, 0.75, 0.0, 0.0]) {
            let is_close = (actual - expected).abs() < 1e-12 && actual.is_sign_positive();
            assert!(is_close, "{actual}, expected {expected}");
        }
    }

    /// Columns: number of texts · number of distributions · tokens of each · whether the message is
    /// read
    #[test]
    fn next_tokens_with_overlong_lists_are_refused() {
        for (texts, distributions, tokens, is_read) in
            [(16, 16, 64, true), (17, 0, 0, false), (1, 17, 0, false), (1, 1, 65, false)]
        {
            let predictions = vec![vec![json!([" a", 0.01]); tokens]; distributions];
            let body = json!({ "texts": vec![""; texts], "predictions": predictions, "name": "NextTokens" });
            let read = serde_json::from_str::<NextTokens>(&body.to_string());
            assert_eq!(read.is_ok(), is_read, "{texts} {distributions} {tokens}");
        }
        let empty: NextTokens = serde_json::from_str(r#"{"texts": ["a"]}"#).unwrap();
        assert_eq!(empty, NextTokens { texts: vec!["a".to_owned()], ..NextTokens::default() });
    }

    #[test]
    fn texts_above_the_byte_limit_are_refused() {
        let with_text_bytes =
            |bytes| NextTokens { texts: vec!["x".repeat(bytes)], ..NextTokens::default() };
        assert!(with_text_bytes(MAX_TEXT_BYTES).check_size().is_ok());
        assert!(with_text_bytes(MAX_TEXT_BYTES + 1).check_size().is_err());
    }
}
