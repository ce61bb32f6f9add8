//! Quality of text answers.

use serde_json::{Map, Value};
use taonet_nineteen_core::checker::text::{distance_score, positions, token_distance, tokens};
use taonet_nineteen_core::checker::whole::{self, Verdict};
use taonet_nineteen_core::scoring::ScoringProfile;
use taonet_nineteen_core::task::Endpoint;

use crate::{CheckError, LIKELIEST, Question, Reading, ReferenceModel};

/// Maximum tokens of an answer if the request does not set one.
const DEFAULT_TOKENS: usize = 2_048;

/// The result of a check.
#[derive(Debug, Clone, PartialEq)]
pub struct Checked {
    /// Quality in `0..=1`.
    pub quality: f64,
    /// Human-readable reason.
    pub reason: String,
}

impl Checked {
    fn failed(reason: &impl ToString) -> Self {
        Self { quality: 0.0, reason: reason.to_string() }
    }
}

/// Checks a text answer: compares the first token, the last and three others with the tokens that the model expects.
///
/// With [`ScoringProfile::Later`], the whole answer is validated first if the model reads it in one pass, and its
/// unlikely tokens are compared as well. `draw(n)` returns a number below `n`.
///
/// # Errors
/// [`CheckError`] when the model fails; the check can be retried.
pub async fn check_text(
    model: &dyn ReferenceModel,
    endpoint: Endpoint,
    payload: &Map<String, Value>,
    chunks: &[Value],
    profile: ScoringProfile,
    draw: impl FnMut(usize) -> usize + Send,
) -> Result<Checked, CheckError> {
    let tokens = match tokens(chunks) {
        Ok(tokens) => tokens,
        Err(fault) => return Ok(Checked::failed(&fault)),
    };
    let mut places = positions(tokens.len(), draw);
    let question = Question { endpoint, payload, tokens: &tokens, places: &places };
    let reading = model.read(&question).await?;
    let whole = match reading {
        Reading::Whole(whole) => whole,
        Reading::Places(readings) => {
            let distances = readings.iter().zip(&places).filter_map(|(reading, place)| {
                let token = tokens.get(*place)?;
                Some(token_distance(reading.among_likeliest(&token.text), token.logprob))
            });
            return Ok(judged(&distances.collect::<Vec<_>>()));
        }
    };
    if whole.len() != tokens.len() {
        return Err(CheckError::Malformed("a reading for each token"));
    }
    if profile == ScoringProfile::Later {
        let verdicts: Vec<_> = whole
            .iter()
            .map(|reading| Verdict {
                rank: reading.own.map(|(rank, _)| rank),
                logprob: reading.own.map_or(f64::NEG_INFINITY, |(_, logprob)| logprob),
                end_logprob: reading.end_logprob,
            })
            .collect();
        let most = payload.get("max_tokens").and_then(Value::as_u64);
        let most = most.map_or(DEFAULT_TOKENS, |most| usize::try_from(most).unwrap_or(usize::MAX));
        match whole::check(&verdicts, tokens.len(), most) {
            Ok(unlikely) => {
                let further: Vec<_> = unlikely.into_iter().filter(|place| !places.contains(place)).collect();
                places.extend(further);
            }
            Err(fault) => return Ok(Checked::failed(&fault)),
        }
    }
    let distances = places.iter().filter_map(|place| {
        let (reading, token) = (whole.get(*place)?, tokens.get(*place)?);
        let own = reading.own.filter(|(rank, _)| *rank as usize <= LIKELIEST).map(|(_, logprob)| logprob);
        Some(token_distance(own.or_else(|| reading.among_likeliest(&token.text)), token.logprob))
    });
    Ok(judged(&distances.collect::<Vec<_>>()))
}

fn judged(distances: &[f64]) -> Checked {
    let quality = distance_score(distances);
    let mean = distances.iter().sum::<f64>() / distances.len().max(1) as f64;
    Checked { quality, reason: format!("mean distance {mean:.4} over {} tokens", distances.len()) }
}
