//! In-process chat model that proposes shorter phrases.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use taonet_lm::{KvCache, LanguageModel, Message, ModelError, greedy_token};

use super::{ProposalError, ProposalLimits};

/// Instructions for the model.
const INSTRUCTIONS: &str = "You make spoken sentences shorter. Leave out needless words. Keep the meaning and every \
    fact, name, number and negation.";
/// Example phrases with a shorter version each, which show a small model what the instructions
/// mean. After an example whose result is the phrase itself, a small model repeats most phrases.
const EXAMPLES: [(&str, &str); 5] = [
    (
        "i would just like to say that we are very happy to see all of you here today",
        "we are happy to see you all today",
    ),
    (
        "what i am trying to tell you is that the train does not stop at this station",
        "the train does not stop at this station",
    ),
    (
        "it is the case that there are three people who want to buy the old house",
        "three people want to buy the old house",
    ),
    (
        "my brother who lives in the city told me that he will come and visit us on sunday",
        "my brother will visit us on sunday",
    ),
    (
        "and at this moment he is of the opinion that it would be better to wait",
        "and he thinks it is better to wait",
    ),
];
/// Number of tokens of a prompt that are read in one step, which cannot be interrupted.
const STEP_TOKENS: usize = 16;
/// Maximum number of tokens for each word of a proposal.
const MAX_TOKENS_PER_WORD: usize = 4;

/// A chat model that shortens phrases by greedy decoding. The instructions and examples, which
/// begin every prompt, are read once.
pub struct ChatPhraseModel {
    model: LanguageModel,
    /// Whether the chat template supports messages of the role `system`.
    has_system: bool,
    /// The tokens that all prompts begin with.
    prefix: Vec<u32>,
    /// Keys and values of these tokens.
    cache: KvCache,
    /// Expected time of a step of [`STEP_TOKENS`] tokens, in microseconds.
    step_time: AtomicU64,
}

impl ChatPhraseModel {
    /// Prepares a model. Blocks while it reads the instructions.
    ///
    /// # Errors
    /// [`ModelError`] when the model has no chat template, or when the instructions exceed its
    /// context.
    pub fn new(model: LanguageModel) -> Result<Self, ModelError> {
        let has_system = match model.direct_prompt(&messages("a", true)) {
            Ok(_) => true,
            Err(ModelError::Template(_)) => false,
            Err(error) => return Err(error),
        };
        // The common tokens of two prompts whose phrases differ from the first letter on.
        let [first, second] =
            ["a", "the"].map(|phrase| model.direct_prompt(&messages(phrase, has_system)));
        let (first, second) = (first?, second?);
        let prefix: Vec<u32> = first
            .iter()
            .zip(&second)
            .take_while(|(a, b)| a == b)
            .map(|(token, _)| *token)
            .collect();
        let (mut cache, mut step_time) = (KvCache::default(), Duration::ZERO);
        for tokens in prefix.chunks(STEP_TOKENS) {
            let start = Instant::now();
            model.llama().next(tokens, &mut cache)?;
            if tokens.len() == STEP_TOKENS {
                step_time = start.elapsed();
            }
        }
        Ok(Self {
            model,
            has_system,
            prefix,
            cache,
            step_time: AtomicU64::new(microseconds(step_time)),
        })
    }

    /// Returns the logits after the prompt, and the cache of its tokens.
    fn read_prompt(
        &self,
        prompt: &[u32],
        deadline: Instant,
    ) -> Result<(Vec<f32>, KvCache), ProposalError> {
        let context = self.model.llama().config().context;
        if prompt.len() > context {
            return Err(ModelError::TooLong { tokens: prompt.len(), context }.into());
        }
        let shared_tokens = self.prefix.iter().zip(prompt).take_while(|(a, b)| a == b).count();
        // The logits of the prefix are not kept: at least the last token is read.
        let shared_tokens = shared_tokens.min(prompt.len().saturating_sub(1));
        let mut cache = self.cache.fork(shared_tokens)?;
        let mut logits = Vec::new();
        for tokens in prompt.get(shared_tokens..).unwrap_or_default().chunks(STEP_TOKENS) {
            let expected = self.step_time.load(Ordering::Relaxed);
            let result =
                self.run_step(tokens, &mut cache, deadline, Duration::from_micros(expected));
            let measured = match &result {
                Ok((_, elapsed)) if tokens.len() == STEP_TOKENS => microseconds(*elapsed),
                Ok((_, elapsed)) => expected.max(microseconds(*elapsed)),
                // The machine may have been busy only when the last step was measured. An
                // expectation that becomes too low is corrected by the next step.
                Err(_) => expected / 2,
            };
            self.step_time.store(measured, Ordering::Relaxed);
            (logits, _) = result?;
        }
        Ok((logits, cache))
    }

    /// Runs the model for some tokens; returns the logits after them, and the time that it took. A
    /// step cannot be interrupted, so it starts only if it is expected to end by the deadline.
    fn run_step(
        &self,
        tokens: &[u32],
        cache: &mut KvCache,
        deadline: Instant,
        expected: Duration,
    ) -> Result<(Vec<f32>, Duration), ProposalError> {
        let start = Instant::now();
        if start.checked_add(expected).is_none_or(|end| end > deadline) {
            return Err(ProposalError::TooSlow);
        }
        let logits = self.model.llama().next(tokens, cache)?;
        Ok((logits, start.elapsed()))
    }

    /// Proposes a shorter version of a phrase; see [`Propose`](super::Propose).
    ///
    /// # Errors
    /// [`ProposalError`] when there is no proposal within the limits, or the model fails.
    pub fn propose(&self, phrase: &str, limits: ProposalLimits) -> Result<String, ProposalError> {
        let prompt = self.model.direct_prompt(&messages(phrase, self.has_system))?;
        let (mut logits, mut cache) = self.read_prompt(&prompt, limits.deadline)?;
        let vocabulary = self.model.vocabulary();
        let (mut tokens, mut elapsed) = (Vec::new(), Duration::ZERO);
        loop {
            vocabulary.mask_unused(&mut logits);
            let token = greedy_token(&logits);
            if vocabulary.end_tokens().contains(&token) {
                return Ok(vocabulary.decode(&tokens));
            }
            tokens.push(token);
            let text = vocabulary.decode(&tokens);
            // What follows the first line is a comment.
            if let Some((line, _)) = text.trim_start().split_once('\n') {
                return Ok(line.to_owned());
            }
            let words = text.split_whitespace().count();
            if words > limits.max_words || tokens.len() > MAX_TOKENS_PER_WORD * limits.max_words {
                return Err(ProposalError::TooLong);
            }
            (logits, elapsed) = self.run_step(&[token], &mut cache, limits.deadline, elapsed)?;
        }
    }
}

/// Returns the conversation that ends with a phrase. Without the role `system`, the instructions
/// precede the first example.
fn messages(phrase: &str, has_system: bool) -> Vec<Message> {
    let mut messages = Vec::new();
    let mut instructions = Some(INSTRUCTIONS);
    if has_system {
        messages.extend(instructions.take().map(|text| Message::new("system", text)));
    }
    for (long_phrase, short_phrase) in EXAMPLES {
        let long_phrase = instructions
            .take()
            .map_or_else(|| long_phrase.to_owned(), |text| format!("{text}\n\n{long_phrase}"));
        messages
            .extend([Message::new("user", long_phrase), Message::new("assistant", short_phrase)]);
    }
    messages.push(Message::new("user", phrase));
    messages
}

fn microseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits(max_words: usize, time: Duration) -> ProposalLimits {
        ProposalLimits { max_words, deadline: Instant::now() + time }
    }

    fn random_model() -> LanguageModel {
        LanguageModel::random("m", 2, 7).unwrap()
    }

    #[test]
    fn cached_prefix_does_not_change_the_logits() {
        let (phrases, other) = (ChatPhraseModel::new(random_model()).unwrap(), random_model());
        assert!(phrases.prefix.len() > 100);
        assert_eq!(phrases.cache.tokens(), phrases.prefix.len());
        for phrase in ["the train is late today", "a"] {
            let prompt = other.direct_prompt(&messages(phrase, true)).unwrap();
            let deadline = Instant::now() + Duration::from_mins(1);
            let (logits, cache) = phrases.read_prompt(&prompt, deadline).unwrap();
            assert_eq!(cache.tokens(), prompt.len());
            let expected = other.llama().next(&prompt, &mut KvCache::default()).unwrap();
            assert!(
                logits.iter().zip(&expected).all(|(one, other)| (one - other).abs() < 1e-3),
                "{phrase}"
            );
        }
    }

    #[test]
    fn same_phrase_has_the_same_proposal() {
        let phrases = ChatPhraseModel::new(random_model()).unwrap();
        let propose =
            || phrases.propose("we want to buy the old house", limits(40, Duration::from_mins(1)));
        assert_eq!(format!("{:?}", propose()), format!("{:?}", propose()));
    }

    #[test]
    fn proposal_beyond_its_time_or_context_limit_fails() {
        let phrases = ChatPhraseModel::new(random_model()).unwrap();
        let late_proposal = phrases.propose("the train is late", limits(20, Duration::ZERO));
        assert!(matches!(late_proposal, Err(ProposalError::TooSlow)), "{late_proposal:?}");
        let long_proposal =
            phrases.propose(&"word ".repeat(5_000), limits(20, Duration::from_mins(1)));
        assert!(
            matches!(
                long_proposal,
                Err(ProposalError::Model(ModelError::TooLong { context: 4_096, .. }))
            ),
            "{long_proposal:?}"
        );
        // Random weights seldom end an answer within a word.
        let too_long = phrases.propose("the train is late", limits(1, Duration::from_mins(1)));
        assert!(matches!(too_long, Err(ProposalError::TooLong)), "{too_long:?}");
    }

    #[test]
    fn generation_step_too_late_for_the_deadline_is_skipped() {
        let phrases = ChatPhraseModel::new(random_model()).unwrap();
        assert!(
            phrases.step_time.load(Ordering::Relaxed) > 0,
            "measured while the instructions are read"
        );
        phrases.step_time.store(80_000_000, Ordering::Relaxed);
        let slow_proposal =
            phrases.propose("the train is late", limits(20, Duration::from_mins(1)));
        assert!(matches!(slow_proposal, Err(ProposalError::TooSlow)), "{slow_proposal:?}");
        // The expectation halves, so that one slow step does not disable the model for ever.
        assert_eq!(phrases.step_time.load(Ordering::Relaxed), 40_000_000);
        let next = phrases.propose("the train is late", limits(20, Duration::from_mins(1)));
        assert!(!matches!(next, Err(ProposalError::TooSlow)), "{next:?}");
    }

    #[test]
    fn instructions_precede_the_first_example_without_a_system_message() {
        let (with_system, without_system) = (messages("hello", true), messages("hello", false));
        assert_eq!(
            (with_system[0].role.as_str(), without_system[0].role.as_str()),
            ("system", "user")
        );
        assert_eq!(
            without_system[0].content,
            format!("{}\n\n{}", with_system[0].content, with_system[1].content)
        );
        assert_eq!(with_system[2..], without_system[1..]);
        assert_eq!(without_system.last().unwrap().content, "hello");
    }
}
