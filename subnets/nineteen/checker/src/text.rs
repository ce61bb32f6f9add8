//! Quality of text answers.

use serde_json::{Map, Value};
use taonet_nineteen_core::checker::full_text::{self, TokenLikelihood};
use taonet_nineteen_core::checker::text::{
    comparable_positions, distance_score, draw_positions, parse_tokens, token_distance,
};
use taonet_nineteen_core::scoring::ScoringProfile;
use taonet_nineteen_core::task::Endpoint;

use crate::{
    AnswerLogprobs, CheckError, LogprobsRequest, PositionLogprobs, ReferenceModel, TOP_TOKENS,
};

/// Maximum number of tokens of an answer if the request sets none.
const DEFAULT_MAX_TOKENS: usize = 2_048;

/// Result of a check: the quality of an answer, with the reason.
#[derive(Debug, Clone, PartialEq)]
pub struct CheckResult {
    /// Quality in `0..=1`; `None` if the answer cannot be compared.
    pub quality: Option<f64>,
    /// Human-readable reason for the quality.
    pub reason: String,
}

impl CheckResult {
    pub(crate) fn failed(reason: &impl ToString) -> Self {
        Self { quality: Some(0.0), reason: reason.to_string() }
    }
}

/// Checks a text answer: compares the probabilities of the first token, the last token and three
/// random ones with the model's.
///
/// With [`ScoringProfile::Later`], first validates the complete answer if the model covers it in
/// one pass, and also compares the probabilities of all unlikely tokens. Characters that are spread
/// over several tokens are not compared. `draw(n)` returns a random number below `n`.
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
) -> Result<CheckResult, CheckError> {
    let tokens = match parse_tokens(chunks) {
        Ok(tokens) => tokens,
        Err(fault) => return Ok(CheckResult::failed(&fault)),
    };
    let comparable = comparable_positions(&tokens);
    if comparable.is_empty() {
        return Ok(CheckResult {
            quality: None,
            reason: "all characters are spread over several tokens".to_owned(),
        });
    }
    let drawn_positions = draw_positions(comparable.len(), draw);
    let mut positions: Vec<_> = drawn_positions
        .into_iter()
        .filter_map(|position| comparable.get(position).copied())
        .collect();
    let request = LogprobsRequest { endpoint, payload, tokens: &tokens, positions: &positions };
    let logprobs = match model.logprobs(&request).await? {
        AnswerLogprobs::FullText(logprobs) => logprobs,
        AnswerLogprobs::Positions(logprobs) => {
            let distances =
                logprobs.iter().zip(&positions).filter_map(|(model_logprobs, position)| {
                    let token = tokens.get(*position)?;
                    Some(token_distance(
                        model_logprobs.logprob_among_likeliest(&token.text),
                        token.logprob,
                    ))
                });
            return Ok(score_distances(&distances.collect::<Vec<_>>()));
        }
    };
    if logprobs.len() != tokens.len() {
        return Err(CheckError::Malformed("has no probabilities for some tokens"));
    }
    let is_character_part = |position: usize| comparable.binary_search(&position).is_err();
    // The answer's last character may be cut off, so that its tokens are unknown.
    let text_end =
        tokens.iter().rposition(|token| !token.text.is_empty()).map_or(0, |last| last + 1);
    // The model spreads these characters over another number of tokens: a miner could hide its
    // tokens there.
    let unmatched_parts = (0..text_end).filter(|position| {
        is_character_part(*position)
            && logprobs
                .get(*position)
                .is_some_and(|model_logprobs| model_logprobs.miner_token.is_none())
    });
    positions.extend(unmatched_parts);
    if profile.is_later() {
        // Parts of characters that the model spreads over the same tokens, and those after the last
        // character, are exempt.
        let is_exempt = |position: usize, model_logprobs: &PositionLogprobs| {
            is_character_part(position)
                && (model_logprobs.miner_token.is_some() || position >= text_end)
        };
        let likelihoods = logprobs.iter().enumerate().map(|(position, model_logprobs)| {
            likelihood(model_logprobs, is_exempt(position, model_logprobs))
        });
        match full_text::check(&likelihoods.collect::<Vec<_>>(), tokens.len(), max_tokens(payload))
        {
            Ok(unlikely) => {
                let added_positions: Vec<_> =
                    unlikely.into_iter().filter(|position| !positions.contains(position)).collect();
                positions.extend(added_positions);
            }
            Err(fault) => return Ok(CheckResult::failed(&fault)),
        }
    }
    let distances = positions.iter().filter_map(|position| {
        let (model_logprobs, token) = (logprobs.get(*position)?, tokens.get(*position)?);
        let logprob = model_logprobs
            .miner_token
            .filter(|(rank, _)| *rank as usize <= TOP_TOKENS)
            .map(|(_, logprob)| logprob);
        Some(token_distance(
            logprob.or_else(|| model_logprobs.logprob_among_likeliest(&token.text)),
            token.logprob,
        ))
    });
    Ok(score_distances(&distances.collect::<Vec<_>>()))
}

/// Returns the model's likelihood of a token. An exempt token counts as certain.
fn likelihood(model_logprobs: &PositionLogprobs, is_exempt: bool) -> TokenLikelihood {
    let rank_and_logprob = if is_exempt { Some((1, 0.0)) } else { model_logprobs.miner_token };
    TokenLikelihood {
        rank: rank_and_logprob.map(|(rank, _)| rank),
        logprob: rank_and_logprob.map_or(f64::NEG_INFINITY, |(_, logprob)| logprob),
        end_logprob: model_logprobs.end_logprob,
    }
}

/// Returns the maximum number of tokens that a request sets, or the default.
fn max_tokens(payload: &Map<String, Value>) -> usize {
    let maximum = payload.get("max_tokens").and_then(Value::as_u64);
    maximum.map_or(DEFAULT_MAX_TOKENS, |maximum| usize::try_from(maximum).unwrap_or(usize::MAX))
}

fn score_distances(distances: &[f64]) -> CheckResult {
    let quality = distance_score(distances);
    let mean = distances.iter().sum::<f64>() / distances.len().max(1) as f64;
    CheckResult {
        quality: Some(quality),
        reason: format!("mean distance {mean:.4} over {} tokens", distances.len()),
    }
}
