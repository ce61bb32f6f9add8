//! The files of a language model in a circuit's directory.

use std::path::Path;

use serde::{Deserialize, Serialize};
use taonet_lm::Vocabulary;
use taonet_primitives::bytes_without_bom;
use taonet_proof_core::Shape;
use taonet_proof_core::metadata::CircuitMetadata;

use crate::LmError;

/// Name of the file that describes a language model, in its circuit's directory.
pub(crate) const FILE: &str = "language_model.json";
/// Name of the tokenizer's file, in the circuit's directory.
pub(crate) const TOKENIZER: &str = "tokenizer.json";
const VERSION: u32 = 1;

/// Mapping between the inputs and outputs of a circuit and the tokens and logits of a language
/// model.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct LanguageModel {
    /// Version of the description.
    version: u32,
    /// Number of tokens of prompt and answer together.
    pub(crate) tokens: usize,
    /// Number of tokens in the vocabulary.
    pub(crate) vocabulary: usize,
    /// Token that begins a prompt.
    pub(crate) begin: Option<u32>,
    /// Tokens that end an answer.
    pub(crate) ends: Vec<u32>,
}

impl LanguageModel {
    pub(crate) fn new(tokens: usize, vocabulary: &Vocabulary, vocabulary_size: usize) -> Self {
        Self {
            version: VERSION,
            tokens,
            vocabulary: vocabulary_size,
            begin: vocabulary.bos_token(),
            ends: vocabulary.end_tokens().to_vec(),
        }
    }

    /// Parses a description, which must be that of a circuit with this metadata.
    pub(crate) fn from_json(text: &[u8], metadata: &CircuitMetadata) -> Result<Self, LmError> {
        let model: Self =
            serde_json::from_slice(bytes_without_bom(text)).map_err(LmError::Malformed)?;
        // The metadata of a bundle is not validated yet.
        let elements = |shape: Shape| shape.checked().map_or(0, |shape| shape.elements());
        let is_consistent = model.version == VERSION
            && model.tokens > 0
            && model.vocabulary > 0
            && elements(metadata.input.shape) == model.tokens
            && model.tokens.checked_mul(model.vocabulary) == Some(elements(metadata.output.shape))
            && model
                .ends
                .iter()
                .chain(&model.begin)
                .all(|&token| (token as usize) < model.vocabulary);
        if is_consistent {
            Ok(model)
        } else {
            Err(LmError::Bundle("language model does not match its circuit"))
        }
    }

    pub(crate) fn to_json(&self) -> Result<Vec<u8>, LmError> {
        serde_json::to_vec_pretty(self).map_err(LmError::Malformed)
    }

    /// Parses the model's tokenizer.
    pub(crate) fn parse_tokenizer(&self, text: &[u8]) -> Result<Vocabulary, LmError> {
        Ok(Vocabulary::parse(
            Path::new(TOKENIZER),
            text,
            self.vocabulary,
            self.begin,
            self.ends.clone(),
        )?)
    }

    /// Returns the tokens of a prompt.
    pub(crate) fn encode_prompt(
        &self,
        vocabulary: &Vocabulary,
        text: &str,
    ) -> Result<Vec<u32>, LmError> {
        let tokens: Vec<u32> = self.begin.into_iter().chain(vocabulary.encode(text)?).collect();
        match tokens.len() {
            0 => Err(LmError::Input("the prompt has no tokens; hint: pass a text")),
            prompt if prompt >= self.tokens => Err(LmError::Prompt { prompt, tokens: self.tokens }),
            _ => Ok(tokens),
        }
    }

    /// Returns the likeliest token after the token at `position`: the first one of several.
    /// `outputs` are the logits of the circuit.
    pub(crate) fn likeliest_token(&self, outputs: &[i64], position: usize) -> Option<i64> {
        let logits = outputs.chunks_exact(self.vocabulary).nth(position)?;
        let largest = logits.iter().max()?;
        let token = logits.iter().position(|logit| logit == largest)?;
        i64::try_from(token).ok()
    }

    pub(crate) fn is_end(&self, token: i64) -> bool {
        self.ends.iter().any(|&end| i64::from(end) == token)
    }
}
