//! A chat model in the process that proposes shorter phrases.

use std::time::Instant;

use taonet_lm::{KvCache, LanguageModel, Message, ModelError};

use super::{PhraseModel, ProposalError, ProposalLimits};

/// Instructions for the model.
const INSTRUCTIONS: &str = "You make spoken sentences shorter. Leave out needless words. Keep the meaning and every \
    fact, name, number and negation.";
/// Phrases and their answers, which show a small model what the instructions mean. Each answer is shorter: after an
/// example whose answer is the phrase itself, a small model repeats most phrases.
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
    ("and at this moment he is of the opinion that it would be better to wait", "and he thinks it is better to wait"),
];
/// Number of tokens of a prompt that are read between two looks at the clock.
const STEP: usize = 16;
/// Maximum number of tokens for each word of a proposal.
const TOKENS_PER_WORD: usize = 4;

/// A chat model that shortens phrases by greedy decoding. The instructions and examples, which begin every prompt, are
/// read once.
pub struct ChatPhraseModel {
    model: LanguageModel,
    /// Whether the chat template supports messages of the role `system`.
    has_system: bool,
    /// The tokens that all prompts begin with.
    prefix: Vec<u32>,
    /// Keys and values of these tokens.
    cache: KvCache,
}

impl ChatPhraseModel {
    /// Prepares a model. Blocks while it reads the instructions.
    ///
    /// # Errors
    /// [`ModelError`] when the model has no chat template, or when the instructions exceed its context.
    pub fn new(model: LanguageModel) -> Result<Self, ModelError> {
        let has_system = match model.direct_prompt(&messages("a", true)) {
            Ok(_) => true,
            Err(ModelError::Template(_)) => false,
            Err(error) => return Err(error),
        };
        // The common tokens of two prompts whose phrases differ from the first letter on.
        let [one, other] = ["a", "the"].map(|phrase| model.direct_prompt(&messages(phrase, has_system)));
        let (one, other) = (one?, other?);
        let prefix: Vec<u32> = one.iter().zip(&other).take_while(|(a, b)| a == b).map(|(token, _)| *token).collect();
        let mut cache = KvCache::default();
        if !prefix.is_empty() {
            model.llama().next(&prefix, &mut cache)?;
        }
        Ok(Self { model, has_system, prefix, cache })
    }

    /// Returns the logits after the prompt, and the cache of its tokens.
    fn read(&self, prompt: &[u32], deadline: Instant) -> Result<(Vec<f32>, KvCache), ProposalError> {
        let shared = self.prefix.iter().zip(prompt).take_while(|(a, b)| a == b).count();
        // The logits of the prefix are not kept: at least the last token is read.
        let shared = shared.min(prompt.len().saturating_sub(1));
        let mut cache = self.cache.fork(shared)?;
        let mut logits = Vec::new();
        for tokens in prompt.get(shared..).unwrap_or_default().chunks(STEP) {
            check(deadline)?;
            logits = self.model.llama().next(tokens, &mut cache)?;
        }
        Ok((logits, cache))
    }
}

impl PhraseModel for ChatPhraseModel {
    fn propose(&self, phrase: &str, limits: ProposalLimits) -> Result<String, ProposalError> {
        let prompt = self.model.direct_prompt(&messages(phrase, self.has_system))?;
        let (mut logits, mut cache) = self.read(&prompt, limits.deadline)?;
        let vocabulary = self.model.vocabulary();
        let mut tokens = Vec::new();
        loop {
            vocabulary.silence(&mut logits);
            let token = likeliest(&logits);
            if vocabulary.ends().contains(&token) {
                return Ok(vocabulary.decode(&tokens));
            }
            tokens.push(token);
            let text = vocabulary.decode(&tokens);
            // What follows the first line is a comment.
            if let Some((line, _)) = text.trim_start().split_once('\n') {
                return Ok(line.to_owned());
            }
            let words = text.split_whitespace().count();
            if words > limits.most_words || tokens.len() > TOKENS_PER_WORD * limits.most_words {
                return Err(ProposalError::TooLong);
            }
            check(limits.deadline)?;
            logits = self.model.llama().next(&[token], &mut cache)?;
        }
    }
}

/// Returns the conversation that ends with a phrase. Without the role `system`, the instructions precede the first
/// example.
fn messages(phrase: &str, has_system: bool) -> Vec<Message> {
    let message = |role: &str, content: String| Message { role: role.to_owned(), content };
    let mut messages = Vec::new();
    let mut instructions = Some(INSTRUCTIONS);
    if has_system {
        messages.extend(instructions.take().map(|text| message("system", text.to_owned())));
    }
    for (said, shorter) in EXAMPLES {
        let said = instructions.take().map_or_else(|| said.to_owned(), |text| format!("{text}\n\n{said}"));
        messages.extend([message("user", said), message("assistant", shorter.to_owned())]);
    }
    messages.push(message("user", phrase.to_owned()));
    messages
}

/// Returns the token with the largest logit; the first one of equal logits.
fn likeliest(logits: &[f32]) -> u32 {
    let mut likeliest = (0, f32::NEG_INFINITY);
    for (token, logit) in (0..).zip(logits) {
        if *logit > likeliest.1 {
            likeliest = (token, *logit);
        }
    }
    likeliest.0
}

fn check(deadline: Instant) -> Result<(), ProposalError> {
    if Instant::now() > deadline { Err(ProposalError::TooSlow) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn limits(most_words: usize, time: Duration) -> ProposalLimits {
        ProposalLimits { most_words, deadline: Instant::now() + time }
    }

    fn random() -> LanguageModel {
        LanguageModel::random("m", 2, 7).unwrap()
    }

    #[test]
    fn prompt_after_the_cached_prefix_has_the_logits_of_the_whole_prompt() {
        let (phrases, other) = (ChatPhraseModel::new(random()).unwrap(), random());
        assert!(phrases.prefix.len() > 100);
        assert_eq!(phrases.cache.tokens(), phrases.prefix.len());
        for phrase in ["the train is late today", "a"] {
            let prompt = other.direct_prompt(&messages(phrase, true)).unwrap();
            let deadline = Instant::now() + Duration::from_mins(1);
            let (logits, cache) = phrases.read(&prompt, deadline).unwrap();
            assert_eq!(cache.tokens(), prompt.len());
            let expected = other.llama().next(&prompt, &mut KvCache::default()).unwrap();
            assert!(logits.iter().zip(&expected).all(|(one, other)| (one - other).abs() < 1e-3), "{phrase}");
        }
    }

    #[test]
    fn same_phrase_has_the_same_proposal() {
        let phrases = ChatPhraseModel::new(random()).unwrap();
        let propose = || phrases.propose("we want to buy the old house", limits(40, Duration::from_mins(1)));
        assert_eq!(format!("{:?}", propose()), format!("{:?}", propose()));
    }

    #[test]
    fn proposal_ends_at_its_limits() {
        let phrases = ChatPhraseModel::new(random()).unwrap();
        let late = phrases.propose("the train is late", limits(20, Duration::ZERO));
        assert!(matches!(late, Err(ProposalError::TooSlow)), "{late:?}");
        let long = phrases.propose(&"word ".repeat(5_000), limits(20, Duration::from_mins(1)));
        assert!(matches!(long, Err(ProposalError::Model(ModelError::TooLong { .. }))), "{long:?}");
    }

    #[test]
    fn instructions_precede_the_first_example_without_a_system_message() {
        let (with, without) = (messages("hello", true), messages("hello", false));
        assert_eq!((with[0].role.as_str(), without[0].role.as_str()), ("system", "user"));
        assert_eq!(without[0].content, format!("{}\n\n{}", with[0].content, with[1].content));
        assert_eq!(with[2..], without[1..]);
        assert_eq!(without.last().unwrap().content, "hello");
    }
}
