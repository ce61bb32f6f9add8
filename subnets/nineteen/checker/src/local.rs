//! Reference model in this process.

use std::sync::Arc;

use async_trait::async_trait;
use serde_json::Value;
use taonet_lm::{LanguageModel, Message, Vocabulary};
use taonet_nineteen_core::checker::text::Token;
use taonet_nineteen_core::task::Endpoint;

use crate::{
    AnswerLogprobs, CheckError, LogprobsRequest, PositionLogprobs, ReferenceModel, TOP_TOKENS,
};

/// A language model in this process, which processes every answer in one pass.
#[derive(Debug, Clone)]
pub struct LocalReference {
    model: Arc<LanguageModel>,
}

impl LocalReference {
    /// Creates a reference model from `model`.
    pub const fn new(model: Arc<LanguageModel>) -> Self {
        Self { model }
    }
}

#[async_trait]
impl ReferenceModel for LocalReference {
    async fn logprobs(&self, request: &LogprobsRequest<'_>) -> Result<AnswerLogprobs, CheckError> {
        let prompt = tokenise_prompt(&self.model, request)?;
        let vocabulary = self.model.vocabulary();
        let TokenisedAnswer { tokens, positions } =
            TokenisedAnswer::tokenise(vocabulary, request.tokens)?;
        let model = Arc::clone(&self.model);
        let probabilities = tokio::task::spawn_blocking(move || {
            model.answer_probabilities(&prompt, &tokens, TOP_TOKENS)
        })
        .await;
        let probabilities = probabilities.map_err(|_| CheckError::ShuttingDown)??;
        let token_text = |token: u32| vocabulary.text(token).to_owned();
        let position_logprobs = |position: Option<usize>| match position
            .and_then(|position| probabilities.get(position))
        {
            Some(at_position) => PositionLogprobs {
                top: at_position
                    .top
                    .iter()
                    .map(|(token, logprob)| (token_text(*token), *logprob))
                    .collect(),
                miner_token: Some((at_position.rank, at_position.logprob)),
                end_logprob: Some(at_position.end_logprob),
            },
            None => PositionLogprobs { top: Vec::new(), miner_token: None, end_logprob: None },
        };
        Ok(AnswerLogprobs::FullText(positions.into_iter().map(position_logprobs).collect()))
    }
}

/// An answer in the tokens of the model.
#[derive(Debug, PartialEq)]
struct TokenisedAnswer {
    tokens: Vec<u32>,
    /// Index in `tokens` of each of the miner's tokens; `None` if the model has no such token.
    positions: Vec<Option<usize>>,
}

impl TokenisedAnswer {
    /// Tokenises an answer by its text.
    ///
    /// The text of a single token does not identify it: characters may be spread over several
    /// tokens, and vocabularies such as SentencePiece's drop the space before a word that stands
    /// alone. The joined answer is tokenised instead, and compared with the miner's tokens in the
    /// shortest runs of the same length.
    fn tokenise(vocabulary: &Vocabulary, miner_tokens: &[Token]) -> Result<Self, CheckError> {
        let text: String = miner_tokens.iter().map(|token| token.text.as_str()).collect();
        let text_tokens = vocabulary.split(&text)?;
        let (mut model_tokens, mut miner_tokens) = (text_tokens.as_slice(), miner_tokens);
        let mut answer = Self {
            tokens: Vec::with_capacity(text_tokens.len()),
            positions: Vec::with_capacity(miner_tokens.len()),
        };
        while !miner_tokens.is_empty() {
            let (model_count, miner_count) = same_text_lengths(model_tokens, miner_tokens);
            let (model_run, model_rest) = model_tokens.split_at(model_count);
            let (miner_run, miner_rest) = miner_tokens.split_at(miner_count);
            answer.add_run(vocabulary, model_run, miner_run);
            (model_tokens, miner_tokens) = (model_rest, miner_rest);
        }
        Ok(answer)
    }

    /// Adds a run of the miner's tokens, which has the same text as `model_run`, a run of the
    /// tokenised answer.
    fn add_run(
        &mut self,
        vocabulary: &Vocabulary,
        model_run: &[(u32, String)],
        miner_run: &[Token],
    ) {
        let is_same = model_run.len() == miner_run.len()
            && model_run.iter().zip(miner_run).all(|((_, text), token)| *text == token.text);
        let model_ids = || model_run.iter().map(|(token, _)| *token).collect::<Vec<_>>();
        // A sampled answer may have other tokens than the tokeniser chooses for the same text.
        let miner_ids = || {
            miner_run.iter().map(|token| vocabulary.token(&token.text)).collect::<Option<Vec<_>>>()
        };
        let tokens = if is_same { Some(model_ids()) } else { miner_ids() };
        let (first, has_positions) = (self.tokens.len(), tokens.is_some());
        // Unknown tokens are read as the tokens of the same text, so that later positions still
        // match the answer.
        self.tokens.extend(tokens.unwrap_or_else(model_ids));
        self.positions.extend(
            (first..).take(miner_run.len()).map(|position| has_positions.then_some(position)),
        );
    }
}

/// Returns the lengths of the shortest non-empty beginnings of two token sequences that have texts
/// of the same length, or the complete lengths.
fn same_text_lengths(model_tokens: &[(u32, String)], miner_tokens: &[Token]) -> (usize, usize) {
    let (mut model_count, mut miner_count, mut model_bytes, mut miner_bytes) = (0, 0, 0, 0);
    loop {
        if miner_bytes <= model_bytes {
            let Some(token) = miner_tokens.get(miner_count) else {
                return (model_tokens.len(), miner_count);
            };
            miner_bytes += token.text.len();
            miner_count += 1;
        } else {
            let Some((_, text)) = model_tokens.get(model_count) else {
                return (model_count, miner_tokens.len());
            };
            model_bytes += text.len();
            model_count += 1;
        }
        if model_bytes == miner_bytes && model_bytes > 0 {
            return (model_count, miner_count);
        }
    }
}

fn tokenise_prompt(
    model: &LanguageModel,
    request: &LogprobsRequest<'_>,
) -> Result<Vec<u32>, CheckError> {
    if request.endpoint == Endpoint::Completions {
        let text = request
            .payload
            .get("prompt")
            .and_then(Value::as_str)
            .ok_or(CheckError::MalformedSample("no prompt"))?;
        return Ok(model.completion_prompt(text)?);
    }
    let messages = request
        .payload
        .get("messages")
        .and_then(Value::as_array)
        .ok_or(CheckError::MalformedSample("no messages"))?;
    let message = |value: &Value| {
        let field =
            |name: &str| value.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
        Message { role: field("role"), content: field("content") }
    };
    Ok(model.chat_prompt(&messages.iter().map(message).collect::<Vec<_>>(), false)?)
}
