//! Rewards of completions.

use std::sync::Arc;

use taonet_kit::Reply;
use taonet_lm::{LanguageModel, Message, ModelError};
use taonet_prompting_core::{Blend, BlendWeights, Completion, Prompt, Reward};
use taonet_speech::{EmbedError, SentenceEmbedder};
use tokio::task::{JoinError, spawn_blocking};

use crate::Prompting;
use crate::protocol::last_text;

/// Number of characters of a completion, from its start, that are rewarded.
pub const MAX_TEXT: usize = 8_000;
/// Number of tokens of a completion, from its start, whose likelihood is computed.
const MAX_TOKENS: usize = 256;

/// Why completions cannot be rewarded.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum JudgeError {
    /// The embedding model failed.
    #[error("cannot embed the texts")]
    Embed(#[from] EmbedError),
    /// The language model failed, or the conversation is too long for it.
    #[error("cannot compute the likelihood of the completions")]
    Model(#[from] ModelError),
    /// The caller no longer waits for the rewards.
    #[error("the rewards are not needed any more")]
    Abandoned,
    /// The computation panicked.
    #[error("the computation of the rewards failed")]
    Panicked(#[source] JoinError),
}

/// Rewards completions with the subnet's blend of reward models.
///
/// [`Judge::embed`] blocks: call it on a thread for CPU-heavy work, never on an async executor.
pub struct Judge {
    embedder: Arc<dyn SentenceEmbedder>,
    model: Option<Arc<LanguageModel>>,
    blend: Blend,
}

/// A completion before it is rewarded.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Answer {
    /// The text, empty if the miner gave none.
    pub(crate) text: String,
    /// Time that the miner took, as a share of the deadline.
    pub(crate) elapsed: f64,
}

impl Answer {
    /// Returns the answer in a reply, limited to [`MAX_TEXT`].
    pub(crate) fn from_reply(reply: &Reply<Prompting>, timeout: std::time::Duration) -> Self {
        let text = reply
            .response
            .as_ref()
            .map(|response| response.completion.as_str())
            .unwrap_or_default();
        let elapsed = reply.elapsed.as_secs_f64() / timeout.as_secs_f64().max(f64::MIN_POSITIVE);
        Self { text: text.trim().chars().take(MAX_TEXT).collect(), elapsed }
    }
}

/// The rewards of completions.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct JudgedCompletions {
    /// The reward of each completion, in their order.
    pub(crate) rewards: Vec<Reward>,
    /// Embedding of the conversation's last message.
    pub(crate) embedding: Vec<f32>,
}

impl Judge {
    /// Creates a judge. Without a language model, likelihood is not part of the rewards.
    pub fn new(embedder: Arc<dyn SentenceEmbedder>, model: Option<Arc<LanguageModel>>) -> Self {
        let blend = Blend::standard(BlendWeights::default(), model.is_some());
        Self { embedder, model, blend }
    }

    /// Sets the weights of the reward models.
    #[must_use]
    pub fn with_weights(self, weights: BlendWeights) -> Self {
        let blend = Blend::standard(weights, self.model.is_some());
        Self { blend, ..self }
    }

    /// Returns the fingerprint of the embedding model.
    pub fn fingerprint(&self) -> &str {
        self.embedder.fingerprint()
    }

    /// Embeds a text.
    ///
    /// # Errors
    /// [`JudgeError`] when the model fails.
    pub fn embed(&self, text: &str) -> Result<Vec<f32>, JudgeError> {
        let embeddings = self.embedder.embed(&[text])?;
        Ok(embeddings.first().map(|embedding| embedding.0.to_vec()).unwrap_or_default())
    }

    /// Rewards the completions of a conversation, on a thread for CPU-heavy work. If the returned
    /// future is dropped, such as after a timeout, the work ends with the completion in progress:
    /// otherwise slow models would pile up work.
    pub(crate) async fn judge(
        self: &Arc<Self>,
        conversation: Vec<Message>,
        answers: Vec<Answer>,
    ) -> Result<JudgedCompletions, JudgeError> {
        let (judge, caller_token) = (Arc::clone(self), Arc::new(()));
        let weak_token = Arc::downgrade(&caller_token);
        let compute_rewards =
            move || judge.rewards(&conversation, answers, || weak_token.strong_count() == 0);
        let result = spawn_blocking(compute_rewards).await;
        drop(caller_token);
        result.map_err(JudgeError::Panicked)?
    }

    /// Rewards the completions of a conversation; stops when `is_abandoned` returns `true`.
    fn rewards(
        &self,
        conversation: &[Message],
        answers: Vec<Answer>,
        is_abandoned: impl Fn() -> bool,
    ) -> Result<JudgedCompletions, JudgeError> {
        let texts: Vec<&str> = std::iter::once(last_text(conversation))
            .chain(answers.iter().map(|answer| answer.text.as_str()))
            .collect();
        let mut embeddings =
            self.embedder.embed(&texts)?.into_iter().map(|embedding| embedding.0.to_vec());
        let embedding = embeddings.next().unwrap_or_default();
        let mut completions = Vec::with_capacity(answers.len());
        for (Answer { text, elapsed }, embedding) in answers.into_iter().zip(embeddings) {
            if is_abandoned() {
                return Err(JudgeError::Abandoned);
            }
            let logprobs = self.logprobs(conversation, &text)?;
            completions.push(Completion { text, embedding, logprobs, elapsed });
        }
        let messages = conversation.iter().map(|message| message.content.clone()).collect();
        let prompt = Prompt { messages, embedding };
        let rewards = self.blend.rewards(&prompt, &completions);
        Ok(JudgedCompletions { rewards, embedding: prompt.embedding })
    }

    /// Computes the log-probabilities of a completion's tokens; none without a language model.
    fn logprobs(&self, conversation: &[Message], text: &str) -> Result<Vec<f64>, ModelError> {
        let Some(model) = self.model.as_ref().filter(|_| !text.is_empty()) else {
            return Ok(Vec::new());
        };
        let prompt = model.chat_prompt(conversation, false)?;
        let mut answer = model.vocabulary().encode(text)?;
        let context = model.llama().config().context;
        answer.truncate(MAX_TOKENS.min(context.saturating_sub(prompt.len())));
        Ok(model
            .answer_probabilities(&prompt, &answer, 0)?
            .into_iter()
            .map(|position| position.logprob)
            .collect())
    }
}

impl std::fmt::Debug for Judge {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Judge")
            .field("embedder", &self.embedder.name())
            .field("blend", &self.blend)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::HashedWords;

    fn conversation() -> Vec<Message> {
        vec![Message::new("user", "What is the capital of Texas?")]
    }

    fn answers() -> Vec<Answer> {
        let texts =
            ["The capital of Texas is Austin.", "Austin", "What is the capital of Texas?", ""];
        texts.map(|text| Answer { text: text.to_owned(), elapsed: 0.05 }).to_vec()
    }

    #[test]
    fn sentence_earns_more_than_a_word_and_repeated_question_nothing() {
        let judged = Judge::new(Arc::new(HashedWords), None)
            .rewards(&conversation(), answers(), || false)
            .unwrap();
        let totals: Vec<f64> = judged.rewards.iter().map(|reward| reward.total).collect();
        assert!(totals[0] > totals[1] && totals[1] > 0.0, "{totals:?}");
        assert!(totals[2..].iter().all(|total| total.abs() < f64::MIN_POSITIVE), "{totals:?}");
        assert_eq!(
            judged.embedding,
            Judge::new(Arc::new(HashedWords), None).embed(&conversation()[0].content).unwrap()
        );
    }

    #[test]
    fn likelihood_comes_from_the_language_model() {
        let model = Arc::new(LanguageModel::random("m", 2, 1).unwrap());
        let judge = Judge::new(Arc::new(HashedWords), Some(Arc::clone(&model)));
        let prompt = model.chat_prompt(&conversation(), false).unwrap();
        let sampling = taonet_lm::Sampling {
            temperature: 0.0,
            max_tokens: 1,
            ..taonet_lm::Sampling::default()
        };
        let step = model.generate(prompt, sampling).next().unwrap().unwrap();
        let logprobs =
            judge.logprobs(&conversation(), model.vocabulary().text(step.token)).unwrap();
        assert!(
            logprobs.len() == 1 && (logprobs[0] - step.logprob).abs() < 1e-3,
            "{logprobs:?} {step:?}"
        );

        let rewards = judge.rewards(&conversation(), answers(), || false).unwrap().rewards;
        let likelihood = |index: usize| {
            rewards[index].parts.iter().find(|(name, _)| *name == "likelihood").unwrap().1
        };
        assert!(
            (0..3).all(|index| likelihood(index) > 0.0 && likelihood(index) < 1.0),
            "{rewards:?}"
        );
        assert!(likelihood(3).abs() < f64::MIN_POSITIVE, "{rewards:?}");
    }

    #[test]
    fn long_completion_is_judged_by_its_start() {
        let model = Arc::new(LanguageModel::random("m", 1, 1).unwrap());
        let judge = Judge::new(Arc::new(HashedWords), Some(model));
        let logprobs = judge.logprobs(&conversation(), &"stan ".repeat(2_000)).unwrap();
        assert_eq!(logprobs.len(), MAX_TOKENS);
        let long_conversation = [Message::new("user", "stan ".repeat(5_000))];
        let judged = judge.rewards(&long_conversation, answers(), || false);
        assert!(matches!(judged, Err(JudgeError::Model(ModelError::TooLong { .. }))), "{judged:?}");
    }

    #[test]
    fn scoring_stops_when_its_caller_is_dropped() {
        let (judge, check_count) =
            (Judge::new(Arc::new(HashedWords), None), std::cell::Cell::new(0));
        let is_abandoned = || check_count.replace(check_count.get() + 1) == 2;
        let judged = judge.rewards(&conversation(), answers(), is_abandoned);
        assert!(matches!(judged, Err(JudgeError::Abandoned)), "{judged:?}");
        assert_eq!(check_count.get(), 3, "two completions were rewarded before");
    }
}
