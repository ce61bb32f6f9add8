//! The challenge with Shapley values: next tokens of texts, and the rewards of the predictions.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use taonet_kit::{BoxError, Challenge, MinerEntry, Reply, RequestHash};
use taonet_lm::{LanguageModel, ModelError};
use taonet_prompting_core::{Contribution, Draws, NextTokenLosses, contributions};
use tokio::task::spawn_blocking;

use crate::events::truncate_text;
use crate::{AnswerRecord, Dataset, EventLog, Item, NextTokens, StepRecord};

/// Number of texts in a step, all of different items: a longer part of an item would reveal the
/// token after a shorter part.
const TEXTS_PER_STEP: usize = 8;
/// Minimum number of tokens before the token that is predicted.
const MIN_CONTEXT_TOKENS: usize = 8;
/// Maximum number of items that are drawn for the texts of a step.
const MAX_DRAWS: usize = 256;

/// Why a challenge with next tokens is impossible.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NextTokenError {
    /// The items of the dataset are too short.
    #[error(
        "no text of the dataset has more than {} tokens; hint: use longer passages",
        MIN_CONTEXT_TOKENS
    )]
    TooShort,
    /// The tokenizer failed.
    #[error("cannot tokenise a text of the dataset")]
    Tokenizer(#[from] ModelError),
}

/// The challenge with Shapley values: miners predict the next token of several texts, and the
/// reward of each is what it contributes to the joint prediction of all, as in the text validator
/// before the prompting subnet.
///
/// The texts are beginnings of the dataset's items, and the tokens are those of the validator's
/// language model, of which only the vocabulary is used.
#[derive(Debug)]
pub struct NextTokenChallenge {
    model: Arc<LanguageModel>,
    dataset: Dataset,
    events: EventLog,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    draws: Draws,
    /// The true tokens of the current step.
    truths: Vec<String>,
}

/// A beginning of a text, and the token after it.
struct TextPrefix {
    text: String,
    truth: String,
}

impl NextTokenChallenge {
    /// Creates the challenge of a validator, which records all steps in `events.jsonl` of
    /// `directory`. `seed` decides the texts: use another one at each start, and none that miners
    /// know.
    ///
    /// # Errors
    /// [`NextTokenError`] when the dataset has no text of a sufficient length.
    pub fn new(
        directory: &Path,
        model: Arc<LanguageModel>,
        dataset: Dataset,
        seed: u64,
    ) -> Result<Self, NextTokenError> {
        let mut draws = Draws::new(seed);
        draw_texts(&model, &dataset, &mut draws)?;
        let state = Mutex::new(State { draws, truths: Vec::new() });
        Ok(Self { model, dataset, events: EventLog::in_directory(directory), state })
    }

    /// Locks the state. A panic of another holder leaves it usable.
    fn lock_state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Challenge for NextTokenChallenge {
    type Request = NextTokens;

    async fn request(&self, _: &[MinerEntry]) -> Result<NextTokens, BoxError> {
        let mut state = self.lock_state();
        let (texts, truths) = draw_texts(&self.model, &self.dataset, &mut state.draws)?
            .into_iter()
            .map(|item| (item.text, item.truth))
            .unzip();
        state.truths = truths;
        Ok(NextTokens { texts, tokenizer: self.model.name().to_owned(), predictions: Vec::new() })
    }

    async fn rewards(
        &self,
        request: &NextTokens,
        replies: &[Reply<NextTokens>],
    ) -> Result<Vec<f64>, BoxError> {
        let (truths, seed) = {
            let mut state = self.lock_state();
            (state.truths.clone(), state.draws.next_u64())
        };
        // Miners without a response are not part of the joint prediction.
        let responses = replies.iter().filter_map(|reply| reply.response.as_ref().ok());
        let probabilities: Vec<Vec<f64>> =
            responses.map(|response| response.probabilities(&truths)).collect();
        let (results, events) = (
            spawn_blocking(move || compute_results(probabilities, seed)).await?,
            self.events.clone(),
        );
        let mut results = results.into_iter();
        let answers: Vec<AnswerRecord> = replies
            .iter()
            .map(|reply| {
                let result = reply.response.is_ok().then(|| results.next()).flatten();
                answer_record(reply, result.unwrap_or_default())
            })
            .collect();
        let shares = answers.iter().map(|answer| answer.share).collect();
        let question = request.texts.last().map(|text| truncate_text(text)).unwrap_or_default();
        // The request was sent, so it can be serialised.
        let hash = RequestHash::of(request).ok();
        let record = StepRecord { question, request: hash, seed: Some(seed), answers };
        spawn_blocking(move || events.append(&record)).await??;
        Ok(shares)
    }
}

/// The result of a miner in a step.
#[derive(Debug, Clone, PartialEq, Default)]
struct MinerResult {
    /// Probability of each true token.
    probabilities: Vec<f64>,
    /// Loss of the miner alone, in nats per token.
    loss: f64,
    contribution: Contribution,
}

fn compute_results(probabilities: Vec<Vec<f64>>, seed: u64) -> Vec<MinerResult> {
    let positions = probabilities.first().map_or(0, Vec::len);
    let losses = NextTokenLosses::new(&probabilities, positions);
    let values = contributions(&losses, seed).into_iter().enumerate();
    let result = |((miner, contribution), probabilities): ((usize, Contribution), Vec<f64>)| {
        MinerResult { probabilities, loss: losses.loss(&[miner]), contribution }
    };
    values.zip(probabilities).map(result).collect()
}

fn answer_record(reply: &Reply<NextTokens>, result: MinerResult) -> AnswerRecord {
    let MinerResult { probabilities, loss, contribution } = result;
    let mut parts: BTreeMap<String, f64> = BTreeMap::new();
    if reply.response.is_ok() {
        let values =
            [("loss", loss), ("shapley", contribution.shapley), ("synergy", contribution.synergy)];
        parts.extend(values.map(|(name, value)| (name.to_owned(), value)));
        // From these and the seed, the Shapley values can be recomputed.
        parts.extend(
            (1..)
                .zip(probabilities)
                .map(|(position, probability)| (format!("p{position}"), probability)),
        );
    }
    let predicted =
        reply.response.as_ref().ok().and_then(|response| response.predictions.last()?.first());
    AnswerRecord {
        uid: reply.uid,
        hotkey: reply.hotkey,
        share: contribution.share,
        reward: contribution.reward(),
        parts,
        completion: predicted.map(|(token, _)| truncate_text(token)).unwrap_or_default(),
        error: reply.response.as_ref().err().map(|error| truncate_text(&error.to_string())),
        seconds: reply.elapsed.as_secs_f64(),
    }
}

/// Draws the texts of a step: beginnings of different items, fewer for a small dataset.
fn draw_texts(
    model: &LanguageModel,
    dataset: &Dataset,
    draws: &mut Draws,
) -> Result<Vec<TextPrefix>, NextTokenError> {
    let (mut prefixes, mut seen) = (Vec::new(), BTreeSet::new());
    for _ in 0..MAX_DRAWS {
        let (Item::Question(text) | Item::Passage(text)) = dataset.sample(draws);
        if seen.contains(&text) {
            continue;
        }
        prefixes.extend(draw_prefix(model, &text, draws)?);
        seen.insert(text);
        if prefixes.len() == TEXTS_PER_STEP {
            break;
        }
    }
    if prefixes.is_empty() { Err(NextTokenError::TooShort) } else { Ok(prefixes) }
}

/// Cuts a text before a random token; `None` if it is too short, or the token is only a part of a
/// character.
fn draw_prefix(
    model: &LanguageModel,
    text: &str,
    draws: &mut Draws,
) -> Result<Option<TextPrefix>, ModelError> {
    let tokens = model.vocabulary().encode(text)?;
    let choices = tokens.len().saturating_sub(MIN_CONTEXT_TOKENS);
    let (before, after) =
        tokens.split_at(tokens.len().min(MIN_CONTEXT_TOKENS + draws.below(choices)));
    let truth = after.first().map(|token| model.vocabulary().text(*token)).unwrap_or_default();
    let is_complete_token = !truth.is_empty() && !truth.contains(char::REPLACEMENT_CHARACTER);
    Ok(is_complete_token
        .then(|| TextPrefix { text: model.vocabulary().decode(before), truth: truth.to_owned() }))
}

#[cfg(test)]
mod tests;
