//! Plays one engine session to all miners concurrently.

use std::time::Duration;

use futures::FutureExt as _;
use futures::future::{OptionFuture, join_all};
use serde::Serialize;
use taonet_babelbit_core::engine_api::TextToken;
use taonet_babelbit_core::text_api::{CONTEXT_SEPARATOR, PredictedUtterance};
use taonet_babelbit_engine::client::{ChallengeKind, EngineClient, EngineError};
use taonet_babelbit_runner::CallError;

use super::steps::{ChainStalled, StepClock};
use super::{BlockSteps, MAX_PREDICTION_BYTES, MAX_SESSION_BYTES, TextMiner};

/// Maximum length of an utterance in bytes: a prediction of the complete utterance must fit into a
/// response, with room for wrong words.
const MAX_UTTERANCE: u64 = MAX_PREDICTION_BYTES as u64 / 2;
/// Maximum number of words of an utterance: each needs a prediction, whose vectors and log entry
/// take time and memory.
const MAX_WORDS: u64 = 1_000;
/// Maximum number of tokens in a session.
const MAX_TOKENS: usize = 1_000_000;

/// Settings of a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PlayOptions {
    /// Challenge stream to request from the engine.
    pub stream: ChallengeKind,
    /// Timeout for a prediction; a slower prediction counts as an error.
    pub step_timeout: Duration,
    /// Number of consecutive errors that deactivate a miner.
    pub max_errors: u32,
    /// Whether a session without an active miner continues, with empty predictions, as in the
    /// arena.
    pub continues_without_miners: bool,
}

impl Default for PlayOptions {
    /// Returns the settings of the main contest.
    fn default() -> Self {
        Self {
            stream: ChallengeKind::Main,
            step_timeout: Duration::from_secs(10),
            max_errors: 5,
            continues_without_miners: false,
        }
    }
}

/// Why a session could not be played to its end.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PlayError {
    /// A request to the engine failed.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// The engine's first token has no session ID.
    #[error("the engine's first token has no session_id")]
    NoSession,
    /// The engine sent an empty token before the end of the challenge.
    #[error("the engine sent no token before the end of the challenge")]
    NoToken,
    /// The engine skipped a token, so the utterance would lack a word or merge with the next one.
    #[error("the engine skipped a token before {0:?}; hint: play the challenge again")]
    Skipped(String),
    /// The chain stopped producing blocks, at which the words are revealed.
    #[error(transparent)]
    Stalled(#[from] ChainStalled),
}

/// An utterance that was left out because it is too long.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, thiserror::Error)]
#[error(
    "utterance {utterance_index} of dialogue {dialogue_uid:?} has {length} {unit}, the limit is {limit}; hint: split the \
     utterance in the engine's challenge"
)]
pub struct OmittedUtterance {
    /// ID of the dialogue.
    pub dialogue_uid: String,
    /// Position of the utterance in the dialogue.
    pub utterance_index: u32,
    /// Length of the utterance up to the word that exceeds the limit.
    pub length: u64,
    /// Maximum length.
    pub limit: u64,
    /// Unit of the lengths: `bytes` or `words`.
    pub unit: &'static str,
}

/// Words and predictions of a played challenge.
#[derive(Debug, Default)]
pub(super) struct PlayedChallenge {
    pub(super) challenge_uid: Option<String>,
    pub(super) dialogues: Vec<PlayedDialogue>,
    /// Utterances that are too long. They are not scored, and miners get no words after the limit.
    pub(super) omitted: Vec<OmittedUtterance>,
    /// Whether the session ended early, because no miner was active or the engine sent too many
    /// tokens.
    pub(super) ended_early: bool,
    /// Number of failed predictions of each miner.
    pub(super) errors: Vec<u32>,
}

impl PlayedChallenge {
    /// Whether a miner has predicted anything but white space.
    pub(super) fn has_prediction(&self, miner: usize) -> bool {
        let utterances = self.dialogues.iter().flat_map(|dialogue| &dialogue.utterances);
        let mut predictions =
            utterances.filter_map(|utterance| utterance.predictions.get(miner)).flatten();
        predictions.any(|prediction| !prediction.trim().is_empty())
    }
}

/// Words and predictions of a played dialogue.
#[derive(Debug)]
pub(super) struct PlayedDialogue {
    pub(super) uid: String,
    pub(super) index: u32,
    pub(super) utterances: Vec<PlayedUtterance>,
}

/// Words and predictions of a played utterance.
#[derive(Debug, Default)]
pub(super) struct PlayedUtterance {
    pub(super) index: u32,
    /// The revealed words, which are incomplete if the session ended early.
    pub(super) words: Vec<String>,
    /// Predictions by miner and step; an empty text for a failed prediction. An inactive miner has
    /// no steps, unless no miner is active.
    pub(super) predictions: Vec<Vec<String>>,
}

/// Plays one session to its end; `first` is the token returned at the start of the session. If
/// there are `steps`, words are revealed at blocks of the chain, and predictions are due before the
/// next block of a step.
pub(super) async fn play(
    engine: &EngineClient,
    first: TextToken,
    miners: &[TextMiner],
    options: &PlayOptions,
    steps: Option<&BlockSteps>,
    observe: impl FnMut(&TextToken),
) -> Result<PlayedChallenge, PlayError> {
    play_up_to(MAX_TOKENS, engine, first, miners, options, steps, observe).await
}

/// Like [`play`], for at most `max_tokens` tokens. The complete utterances of a longer session are
/// kept.
pub(super) async fn play_up_to(
    max_tokens: usize,
    engine: &EngineClient,
    first: TextToken,
    miners: &[TextMiner],
    options: &PlayOptions,
    steps: Option<&BlockSteps>,
    mut observe: impl FnMut(&TextToken),
) -> Result<PlayedChallenge, PlayError> {
    let session = first.session_id.clone().ok_or(PlayError::NoSession)?;
    let mut player = Player {
        session: &session,
        miners,
        options,
        clock: steps.map(StepClock::new),
        consecutive_errors: vec![0; miners.len()],
        bytes_left: vec![Some(MAX_SESSION_BYTES); miners.len()],
        current: None,
        prefix: String::new(),
        is_omitting: false,
        first_position: None,
        numbers_tokens: false,
        played: PlayedChallenge {
            challenge_uid: first.challenge_uid.clone().filter(|uid| !uid.is_empty()),
            errors: vec![0; miners.len()],
            ..PlayedChallenge::default()
        },
    };
    let mut token = first;
    for _ in 0..max_tokens {
        if token.done {
            return Ok(player.finish());
        }
        observe(&token);
        player.numbers_tokens |= token.token_index > 0;
        match token.text().ok_or(PlayError::NoToken)? {
            end @ (TextToken::EOF | TextToken::EOF_EOF) => player.end(end, &token)?,
            word => {
                player.reveal(word, &token)?;
                if !options.continues_without_miners && player.has_no_active_miner() {
                    player.played.ended_early = true;
                    return Ok(player.finish());
                }
                player.step().await?;
            }
        }
        token = engine.next_text(options.stream, &session).await?;
    }
    if token.done {
        return Ok(player.finish());
    }
    tracing::warn!(
        limit = max_tokens,
        dialogues = player.played.dialogues.len(),
        "the engine's session has too many tokens, and ends early; hint: split the challenge"
    );
    player.played.ended_early = true;
    player.current = None;
    Ok(player.finish())
}

struct Player<'a> {
    session: &'a str,
    miners: &'a [TextMiner],
    options: &'a PlayOptions,
    /// Blocks at which the steps begin and end, if any.
    clock: Option<StepClock<'a>>,
    /// Number of failed predictions of each miner since its last success.
    consecutive_errors: Vec<u32>,
    /// Bytes of predictions that each miner may still send; `None` once a prediction has exceeded
    /// them.
    bytes_left: Vec<Option<usize>>,
    /// The utterance in progress.
    current: Option<PlayedUtterance>,
    /// The words of the utterance in progress, separated by spaces.
    prefix: String,
    /// Whether the rest of the utterance in progress is ignored, because the utterance is too long.
    is_omitting: bool,
    /// Position of an utterance's first word: 0, unless the engine counts from another number;
    /// `None` before the session's first word. The reference's engine counts words from 1, and the
    /// `EOF` of an empty utterance from 0.
    first_position: Option<u32>,
    /// Whether the engine numbers its tokens: it has sent a position other than 0, the default of a
    /// missing position.
    numbers_tokens: bool,
    played: PlayedChallenge,
}

impl Player<'_> {
    /// Adds a word to the utterance in progress; starts one if there is none. An utterance that is
    /// too long is omitted.
    fn reveal(&mut self, word: &str, token: &TextToken) -> Result<(), PlayError> {
        let uid = token.dialogue_uid.as_deref().unwrap_or("unknown");
        let is_same = self
            .played
            .dialogues
            .last()
            .is_some_and(|last| last.uid == uid && last.index == token.dialogue_index);
        if !is_same {
            self.close();
            self.is_omitting = false;
            let dialogue = PlayedDialogue {
                uid: uid.to_owned(),
                index: token.dialogue_index,
                utterances: Vec::new(),
            };
            self.played.dialogues.push(dialogue);
        }
        if self.is_omitting {
            return Ok(());
        }
        if self.current.is_none() {
            self.prefix.clear();
        }
        let current = self.current.get_or_insert_with(|| PlayedUtterance {
            index: token.utterance_index,
            words: Vec::new(),
            predictions: vec![Vec::new(); self.miners.len()],
        });
        let first = *self.first_position.get_or_insert(token.token_index);
        let position = first as usize + current.words.len();
        let is_next = !self.numbers_tokens || token.token_index as usize == position;
        if token.utterance_index != current.index || !is_next {
            return Err(PlayError::Skipped(word.chars().take(100).collect()));
        }
        if !current.words.is_empty() {
            self.prefix.push(' ');
        }
        self.prefix.push_str(word);
        current.words.push(word.to_owned());
        let bytes = self.prefix.len() as u64 + 1;
        let limits =
            [("bytes", bytes, MAX_UTTERANCE), ("words", current.words.len() as u64, MAX_WORDS)];
        if let Some((unit, length, limit)) =
            limits.into_iter().find(|(_, length, limit)| length > limit)
        {
            let (dialogue_uid, utterance_index) = (uid.to_owned(), current.index);
            let omitted = OmittedUtterance { dialogue_uid, utterance_index, length, limit, unit };
            tracing::warn!(error = &omitted as &dyn std::error::Error, "utterance omitted");
            self.played.omitted.push(omitted);
            self.current = None;
            self.is_omitting = true;
        }
        Ok(())
    }

    /// Ends the utterance in progress, if any, at an `EOF` or `EOF EOF` token, whose position must
    /// be at most that after the last word.
    fn end(&mut self, end: &str, token: &TextToken) -> Result<(), PlayError> {
        if std::mem::take(&mut self.is_omitting) {
            return Ok(());
        }
        let words = self.current.as_ref().map_or(0, |current| current.words.len());
        if token.token_index as usize > self.first_position.unwrap_or(1) as usize + words {
            return Err(PlayError::Skipped(end.to_owned()));
        }
        self.close();
        Ok(())
    }

    const fn is_active(&self, consecutive_errors: u32) -> bool {
        consecutive_errors < self.options.max_errors
    }

    /// Whether no miner is active.
    fn has_no_active_miner(&self) -> bool {
        !self.consecutive_errors.iter().any(|errors| self.is_active(*errors))
    }

    /// Requests the predictions of a step, between two blocks if the session has block steps.
    async fn step(&mut self) -> Result<(), ChainStalled> {
        if self.current.is_none() {
            return Ok(());
        }
        if let Some(clock) = &mut self.clock {
            clock.begin().await?;
        }
        self.predict().await;
        if let Some(clock) = &mut self.clock {
            clock.next().await?;
        }
        Ok(())
    }

    /// Requests predictions from all active miners concurrently.
    async fn predict(&mut self) {
        let Some(current) = &self.current else { return };
        let request = PredictedUtterance {
            index: self.session.to_owned(),
            step: current.words.len().saturating_sub(1) as u32,
            prefix: self.prefix.clone(),
            context: self.context(),
            done: false,
            prediction: String::new(),
            ground_truth: None,
            evaluation: None,
        };
        let steps = self.clock.as_ref().map(|clock| clock.steps);
        let timeout = steps.map_or(self.options.step_timeout, BlockSteps::deadline);
        let calls = self.miners.iter().zip(&self.consecutive_errors).map(|(miner, errors)| {
            let call = self.is_active(*errors).then(|| {
                let prediction = miner.connection.predict(&request, timeout);
                match steps {
                    Some(steps) => steps.limit(prediction).boxed(),
                    None => prediction,
                }
            });
            OptionFuture::from(call)
        });
        let answers = join_all(calls).await;
        let has_no_active_miner = self.has_no_active_miner();
        let mut predictions = Vec::with_capacity(answers.len());
        for (position, answer) in answers.into_iter().enumerate() {
            let answer = answer.map(|answer| {
                answer.and_then(|prediction| self.spend_budget(position, prediction))
            });
            let (Some(consecutive_errors), Some(errors)) =
                (self.consecutive_errors.get_mut(position), self.played.errors.get_mut(position))
            else {
                continue;
            };
            let prediction = match answer {
                Some(Ok(prediction)) => {
                    *consecutive_errors = 0;
                    Some(prediction)
                }
                Some(Err(error)) => {
                    *consecutive_errors += 1;
                    *errors += 1;
                    tracing::debug!(position, step = request.step, %error, "miner failed to predict");
                    Some(String::new())
                }
                None => has_no_active_miner.then(String::new),
            };
            predictions.push(prediction);
        }
        let Some(current) = &mut self.current else { return };
        for (miner_predictions, prediction) in current.predictions.iter_mut().zip(predictions) {
            miner_predictions.extend(prediction);
        }
    }

    /// Returns a prediction if its miner's budget covers it.
    fn spend_budget(&mut self, miner: usize, prediction: String) -> Result<String, CallError> {
        let (Some(budget), Some(TextMiner { key, .. })) =
            (self.bytes_left.get_mut(miner), self.miners.get(miner))
        else {
            return Ok(prediction);
        };
        let remaining = budget.and_then(|budget| budget.checked_sub(prediction.len()));
        if budget.is_some() && remaining.is_none() {
            tracing::warn!(
                uid = %key.uid, hotkey = %key.hotkey, limit = MAX_SESSION_BYTES,
                "a miner's predictions are too long in total, and count as empty for the rest of the session"
            );
        }
        *budget = remaining;
        remaining.map(|_| prediction).ok_or(CallError::TooLarge { limit: MAX_SESSION_BYTES })
    }

    /// Joins the earlier utterances of the dialogue.
    fn context(&self) -> String {
        let earlier = self.played.dialogues.last().map_or(&[][..], |dialogue| &dialogue.utterances);
        earlier
            .iter()
            .map(|utterance| utterance.words.join(" "))
            .collect::<Vec<_>>()
            .join(CONTEXT_SEPARATOR)
    }

    /// Ends the session. A dialogue whose utterances were all omitted has no score.
    fn finish(mut self) -> PlayedChallenge {
        self.close();
        self.played.dialogues.retain(|dialogue| !dialogue.utterances.is_empty());
        self.played
    }

    /// Ends the utterance in progress, if any.
    fn close(&mut self) {
        if let (Some(current), Some(dialogue)) =
            (self.current.take(), self.played.dialogues.last_mut())
        {
            dialogue.utterances.push(current);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns a player without miners.
    fn player(options: &PlayOptions) -> Player<'_> {
        Player {
            session: "s",
            miners: &[],
            options,
            clock: None,
            consecutive_errors: Vec::new(),
            bytes_left: Vec::new(),
            current: None,
            prefix: String::new(),
            is_omitting: false,
            first_position: None,
            numbers_tokens: false,
            played: PlayedChallenge::default(),
        }
    }

    fn token(utterance_index: u32, token_index: u32) -> TextToken {
        let fields =
            serde_json::json!({ "utterance_index": utterance_index, "token_index": token_index });
        serde_json::from_value(fields).unwrap()
    }

    /// Columns: positions of two words, the end of their utterance, and the next word · whether no
    /// token is missing
    #[test]
    fn token_positions_may_start_at_any_number() {
        for (positions, expected) in [
            ([0, 1, 2, 0], true),
            ([1, 2, 3, 1], true),
            ([0, 0, 0, 0], true),
            ([0, 2, 3, 0], false),
            ([1, 3, 4, 1], false),
            ([1, 2, 4, 1], false),
            ([1, 2, 3, 2], false),
        ] {
            let options = PlayOptions::default();
            let [first, second, end, next] = positions;
            let numbers_tokens = positions.iter().any(|position| *position > 0);
            let mut player = Player { numbers_tokens, ..player(&options) };
            let outcome = player
                .reveal("one", &token(0, first))
                .and_then(|()| player.reveal("two", &token(0, second)))
                .and_then(|()| player.end(TextToken::EOF, &token(0, end)))
                .and_then(|()| player.reveal("three", &token(1, next)));
            assert_eq!(outcome.is_ok(), expected, "{positions:?}: {outcome:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn stalled_chain_ends_the_session() {
        let steps = BlockSteps {
            chain: "finney".to_owned(),
            blocks: std::num::NonZeroU32::MIN.saturating_add(4),
            height: std::sync::Arc::new(|| std::future::ready(Ok(7)).boxed()),
            sleeper: taonet_service::sleeper(),
        };
        let options = PlayOptions::default();
        let mut player = Player { clock: Some(StepClock::new(&steps)), ..player(&options) };
        player.reveal("one", &token(0, 0)).unwrap();
        let error = PlayError::from(player.step().await.unwrap_err()).to_string();
        assert!(
            error.starts_with(
                "the chain finney is stalled: it has produced no block after 7 for 10 min"
            ),
            "{error}"
        );
    }

    #[test]
    fn utterance_with_too_many_words_is_omitted() {
        let options = PlayOptions::default();
        let mut player = player(&options);
        let token = token(7, 0);
        for words in 1..=MAX_WORDS + 2 {
            player.reveal("w", &token).unwrap();
            assert_eq!(player.current.is_some(), words <= MAX_WORDS, "{words}");
        }
        player.end(TextToken::EOF, &token).unwrap();
        player.reveal("w", &TextToken { utterance_index: 8, ..token }).unwrap();
        let played = player.finish();
        let indices: Vec<_> =
            played.dialogues[0].utterances.iter().map(|utterance| utterance.index).collect();
        assert_eq!(indices, [8]);
        let [omitted] = &played.omitted[..] else { panic!("{:?}", played.omitted) };
        assert_eq!((omitted.utterance_index, omitted.length, omitted.unit), (7, 1_001, "words"));
    }
}
