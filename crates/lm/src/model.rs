//! Language models: weights with a vocabulary.

use std::path::Path;

use candle_core::Device;
use serde::{Deserialize, Serialize};

use crate::checkpoint::{self, Checkpoint, Conversion, GgufCheckpoint};
use crate::generate::{likeliest, log_softmax};
use crate::linear::Bits;
use crate::network::Network;
use crate::template::{ChatTemplate, Turn};
use crate::{
    Generation, KvCache, Llama, LlamaConfig, LlamaKind, LoadError, ModelError, Sampling, Vocabulary,
};

/// A message of a conversation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Message {
    /// Role of the author: `system`, `user`, `assistant` or `tool`.
    pub role: String,
    /// Text of the message.
    #[serde(default)]
    pub content: String,
}

impl Message {
    /// Creates a message of a role.
    pub fn new(role: impl Into<String>, content: impl Into<String>) -> Self {
        Self { role: role.into(), content: content.into() }
    }
}

/// A model's probabilities at one position of a given answer.
#[derive(Debug, Clone, PartialEq)]
pub struct PositionProbabilities {
    /// Rank of the answer's token among all tokens, by probability; 1 is the likeliest.
    pub rank: u32,
    /// Log-probability of the answer's token.
    pub logprob: f64,
    /// Log-probability of the likeliest end token at this position.
    pub end_logprob: f64,
    /// The likeliest tokens with their log-probabilities, the likeliest first.
    pub top: Vec<(u32, f64)>,
}

/// A language model: weights and vocabulary.
#[derive(Debug)]
pub struct LanguageModel {
    name: String,
    llama: Llama,
    vocabulary: Vocabulary,
    template: Option<ChatTemplate>,
}

impl LanguageModel {
    /// Creates a small model with random weights, which are determined by `seed`: about half a
    /// million parameters with 4 layers.
    ///
    /// # Errors
    /// [`ModelError`] when `layers` is 0.
    pub fn random(name: impl Into<String>, layers: usize, seed: u64) -> Result<Self, ModelError> {
        Self::random_sized(name, layers, 96, seed)
    }

    /// Creates a model with random weights and a width of `hidden`, a multiple of 12.
    ///
    /// # Errors
    /// [`ModelError`] when the dimensions are inconsistent.
    pub fn random_sized(
        name: impl Into<String>,
        layers: usize,
        hidden: usize,
        seed: u64,
    ) -> Result<Self, ModelError> {
        let vocabulary = Vocabulary::default();
        let config = LlamaConfig {
            kind: LlamaKind::Llama,
            vocabulary: vocabulary.len(),
            hidden,
            intermediate: hidden * 8 / 3,
            layers,
            heads: 6,
            kv_heads: 2,
            head_size: LlamaConfig::default_head_size(hidden, 6),
            local: None,
            context: 4_096,
            rope_theta: 10_000.0,
            rope_scaling: None,
            norm_eps: 1e-5,
        };
        Ok(Self {
            name: name.into(),
            llama: Llama::random(config, seed)?,
            vocabulary,
            template: None,
        })
    }

    /// Loads a model of the Llama family from a GGUF file, from a directory with one GGUF file, or
    /// from a directory in Hugging Face's format: `config.json`, `model.safetensors` (or parts with
    /// an index), `tokenizer.json`, and for chats a template in `tokenizer_config.json` or
    /// `chat_template.jinja`.
    ///
    /// The weights of a directory are converted to 32-bit floats. A GGUF file contains the
    /// tokenizer and the template; its matrices keep their precision, except that formats other
    /// than Q8_0, Q4_0, floats and, on x86-64 with AVX2, Q4_1 are converted to 8 bits, which takes
    /// more memory and less time.
    ///
    /// # Errors
    /// [`LoadError`], which names the file, field or tensor that is missing, malformed or
    /// unsupported.
    pub fn open(name: impl Into<String>, path: &Path) -> Result<Self, LoadError> {
        Self::load(name.into(), path, None)
    }

    /// Like [`open`](Self::open), with all matrices rounded to this width, also those that are
    /// quantised in a GGUF file. Rows whose length is not a multiple of 32 remain floats.
    ///
    /// # Errors
    /// See [`open`](Self::open).
    pub fn open_rounded(
        name: impl Into<String>,
        path: &Path,
        bits: Bits,
    ) -> Result<Self, LoadError> {
        Self::load(name.into(), path, Some(bits))
    }

    fn load(name: String, path: &Path, bits: Option<Bits>) -> Result<Self, LoadError> {
        if let Some(file) = checkpoint::gguf_file(path)? {
            let conversion = bits.map_or(Conversion::SlowBlocks, Conversion::All);
            return Self::load_gguf(name, &file, conversion);
        }
        let Checkpoint { network: llama, bos_token, end_tokens } =
            checkpoint::load_llama(path, bits)?;
        let vocabulary = Vocabulary::open(path, llama.config().vocabulary, bos_token, end_tokens)?;
        let template = ChatTemplate::open(path)?;
        Ok(Self { name, llama, vocabulary, template })
    }

    fn load_gguf(name: String, path: &Path, conversion: Conversion) -> Result<Self, LoadError> {
        let GgufCheckpoint { checkpoint, tokenizer, template, .. } =
            checkpoint::load_gguf(path, Device::Cpu, conversion)?;
        let Checkpoint { network, bos_token, end_tokens } = checkpoint;
        let llama = match network {
            Network::Llama(llama) => llama,
            other @ Network::Gpt2(_) => {
                return Err(LoadError::Unsupported {
                    path: path.to_owned(),
                    feature: other.architecture().to_owned(),
                });
            }
        };
        let vocabulary = Vocabulary::from_gguf(
            path,
            tokenizer,
            llama.config().vocabulary,
            bos_token,
            end_tokens,
        )?;
        let template = template.map(|source| ChatTemplate::parse(source, path)).transpose()?;
        Ok(Self { name, llama, vocabulary, template })
    }

    /// Returns the model's name in requests.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns the model's weights.
    pub const fn llama(&self) -> &Llama {
        &self.llama
    }

    /// Returns the model's vocabulary.
    pub const fn vocabulary(&self) -> &Vocabulary {
        &self.vocabulary
    }

    /// Encodes a conversation as a prompt for the assistant's turn. With `continues`, the last
    /// message is an unfinished turn that the model continues.
    ///
    /// # Errors
    /// [`ModelError::Template`] when the model's chat template rejects the conversation, or a
    /// loaded model has none.
    pub fn chat_prompt(
        &self,
        messages: &[Message],
        continues: bool,
    ) -> Result<Vec<u32>, ModelError> {
        self.prompt(messages, if continues { Turn::Continued } else { Turn::Answer })
    }

    /// Encodes a conversation as a prompt for the assistant's turn, like
    /// [`chat_prompt`](Self::chat_prompt). A reasoning model, such as Qwen 3, answers without
    /// thinking first, if its chat template supports that.
    ///
    /// # Errors
    /// See [`chat_prompt`](Self::chat_prompt).
    pub fn direct_prompt(&self, messages: &[Message]) -> Result<Vec<u32>, ModelError> {
        self.prompt(messages, Turn::Direct)
    }

    fn prompt(&self, messages: &[Message], turn: Turn) -> Result<Vec<u32>, ModelError> {
        if let Some(template) = &self.template {
            return self.vocabulary.encode_with_special_tokens(&template.render(messages, turn)?);
        }
        let continues = turn == Turn::Continued;
        let bos_token = self.vocabulary.bos_token().filter(|_| self.vocabulary.has_roles());
        let bos_token = bos_token.ok_or_else(|| {
            ModelError::Template(
                "the model has none; hint: use completions, or a model that was trained to chat"
                    .to_owned(),
            )
        })?;
        let mut prompt = vec![bos_token];
        let last = messages.len().saturating_sub(1);
        for (index, message) in messages.iter().enumerate() {
            prompt.push(self.vocabulary.role(&message.role));
            prompt.extend(self.vocabulary.encode(&message.content)?);
            if !(continues && index == last) {
                prompt.push(self.vocabulary.end_token());
            }
        }
        if !continues {
            prompt.push(self.vocabulary.role("assistant"));
        }
        Ok(prompt)
    }

    /// Encodes a text as a prompt that the model continues.
    ///
    /// # Errors
    /// [`ModelError::Tokenizer`] when the tokenizer rejects the text.
    pub fn completion_prompt(&self, text: &str) -> Result<Vec<u32>, ModelError> {
        let mut prompt: Vec<u32> = self.vocabulary.bos_token().into_iter().collect();
        prompt.extend(self.vocabulary.encode(text)?);
        Ok(prompt)
    }

    /// Returns the unit-length embedding of a text (the normalised mean of its tokens' last hidden
    /// states), and the number of its tokens.
    ///
    /// # Errors
    /// [`ModelError`] when the text is longer than the context.
    pub fn embed(&self, text: &str) -> Result<(Vec<f32>, usize), ModelError> {
        let tokens = self.completion_prompt(text)?;
        let mut mean = self.llama.mean_state(&tokens)?;
        let length = mean
            .iter()
            .map(|number| f64::from(*number).powi(2))
            .sum::<f64>()
            .sqrt()
            .max(f64::MIN_POSITIVE);
        for number in &mut mean {
            *number = (f64::from(*number) / length) as f32;
        }
        Ok((mean, tokens.len()))
    }

    /// Returns an iterator over the tokens that continue a prompt.
    pub fn generate(&self, prompt: Vec<u32>, sampling: Sampling) -> Generation<'_> {
        Generation::new(self, prompt, sampling)
    }

    /// Computes the probability of each token of an answer, and the `top` likeliest tokens at its
    /// position, in one pass over prompt and answer.
    ///
    /// # Errors
    /// [`ModelError`] when the prompt is empty, or prompt and answer together exceed the context.
    pub fn answer_probabilities(
        &self,
        prompt: &[u32],
        answer: &[u32],
        top: usize,
    ) -> Result<Vec<PositionProbabilities>, ModelError> {
        let last_prompt_position = prompt.len().checked_sub(1).ok_or(ModelError::Tokens)?;
        let mut tokens = prompt.to_vec();
        // The logits after the last token are not needed.
        tokens.extend(answer.split_last().map(|(_, earlier)| earlier).unwrap_or_default());
        let logits = self.llama.forward(&tokens, &mut KvCache::default())?;
        let positions = logits.into_iter().skip(last_prompt_position).zip(answer);
        Ok(positions
            .map(|(logits, token)| self.position_probabilities(logits, *token, top))
            .collect())
    }

    /// Returns the probability of a token at the position of these logits.
    fn position_probabilities(
        &self,
        mut logits: Vec<f32>,
        token: u32,
        top: usize,
    ) -> PositionProbabilities {
        self.vocabulary.mask_unused(&mut logits);
        let logprobs = log_softmax(&logits);
        let logprob = logprob_of(&logprobs, token);
        let better_count = logprobs.iter().filter(|other| **other > logprob).count();
        let rank = u32::try_from(better_count + 1).unwrap_or(u32::MAX);
        let end_logprobs =
            self.vocabulary.end_tokens().iter().map(|token| logprob_of(&logprobs, *token));
        let end_logprob = end_logprobs.fold(f64::NEG_INFINITY, f64::max);
        PositionProbabilities { rank, logprob, end_logprob, top: likeliest(&logprobs, top) }
    }
}

fn logprob_of(logprobs: &[f64], token: u32) -> f64 {
    logprobs.get(token as usize).copied().unwrap_or(f64::NEG_INFINITY)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn messages() -> Vec<Message> {
        vec![Message::new("system", "Be brief."), Message::new("user", "What is stan?")]
    }

    fn answer(model: &LanguageModel, seed: u64) -> Vec<crate::Step> {
        let sampling =
            Sampling { top_k: 5, seed, max_tokens: 40, top_logprobs: 5, ..Sampling::default() };
        model
            .generate(model.chat_prompt(&messages(), false).unwrap(), sampling)
            .map(Result::unwrap)
            .collect()
    }

    #[test]
    fn answer_probabilities_equal_generated_ones() {
        let model = LanguageModel::random("m", 4, 1).unwrap();
        let steps = answer(&model, 7);
        assert!(steps.len() > 5, "{}", steps.len());
        let tokens: Vec<_> = steps.iter().map(|step| step.token).collect();
        let positions = model
            .answer_probabilities(&model.chat_prompt(&messages(), false).unwrap(), &tokens, 5)
            .unwrap();
        assert_eq!(positions.len(), steps.len());
        for (position, step) in positions.iter().zip(&steps) {
            assert!((position.logprob - step.logprob).abs() < 1e-3, "{position:?} {step:?}");
            assert!(position.rank <= 5, "{position:?}");
            assert_eq!(position.top.len(), 5);
        }
    }

    #[test]
    fn tokens_of_another_model_are_improbable() {
        let (model, other) = (
            LanguageModel::random("m", 4, 1).unwrap(),
            LanguageModel::random("smaller", 2, 9).unwrap(),
        );
        let tokens: Vec<_> = answer(&other, 7).iter().map(|step| step.token).collect();
        let positions = model
            .answer_probabilities(&model.chat_prompt(&messages(), false).unwrap(), &tokens, 5)
            .unwrap();
        let unlikely_count = positions.iter().filter(|position| position.rank > 5).count();
        assert!(
            unlikely_count * 10 > positions.len() * 8,
            "{unlikely_count} of {}",
            positions.len()
        );
    }

    #[test]
    fn completion_has_at_least_one_token() {
        let model = LanguageModel::random("m", 1, 1).unwrap();
        for seed in 0..300 {
            let prompt = model.completion_prompt(&format!("number {seed}")).unwrap();
            let sampling =
                Sampling { seed, temperature: 2.0, max_tokens: 1, ..Sampling::default() };
            assert_eq!(model.generate(prompt, sampling).count(), 1, "{seed}");
        }
    }

    /// This includes the first token, which cannot be the end token: a checker expects every token
    /// among the likeliest.
    #[test]
    fn sampled_tokens_are_among_the_top_k_of_all() {
        let model = LanguageModel::random("m", 1, 1).unwrap();
        for seed in 0..400 {
            let prompt = model.completion_prompt(&format!("number {seed}")).unwrap();
            let sampling =
                Sampling { seed, temperature: 2.0, top_k: 5, max_tokens: 2, ..Sampling::default() };
            let steps = model.generate(prompt.clone(), sampling);
            let tokens: Vec<u32> = steps.map(|step| step.unwrap().token).collect();
            for position in model.answer_probabilities(&prompt, &tokens, 5).unwrap() {
                assert!(position.rank <= 5, "{seed}: {position:?}");
            }
        }
    }

    #[test]
    fn seed_determines_the_samples() {
        let model = LanguageModel::random("m", 2, 1).unwrap();
        assert_eq!(answer(&model, 1), answer(&model, 1));
        assert_ne!(answer(&model, 1), answer(&model, 2));
    }

    #[test]
    fn unfinished_assistant_turn_is_continued() {
        let model = LanguageModel::random("m", 2, 1).unwrap();
        let sampling = Sampling { temperature: 0.0, max_tokens: 12, ..Sampling::default() };
        let text = |prompt| {
            let steps = model.generate(prompt, sampling).map(Result::unwrap);
            steps.map(|step| model.vocabulary().text(step.token).to_owned()).collect::<Vec<_>>()
        };
        let rendered = text(model.chat_prompt(&messages(), false).unwrap());
        let mut unfinished = messages();
        // Split at a point that leaves the tokens unchanged.
        unfinished.push(Message::new("assistant", rendered[..1].concat()));
        let remaining = text(model.chat_prompt(&unfinished, true).unwrap());
        assert_eq!(rendered[1..], remaining[..rendered.len() - 1]);
    }
}
