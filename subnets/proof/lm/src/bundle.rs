//! Proofs of texts.

use serde::{Deserialize, Serialize};
use taonet_lm::Vocabulary;
use taonet_primitives::{Hotkey, bytes_without_bom};
use taonet_proof_circuits::{Backends, Bundle, CircuitDirectory};
use taonet_proof_core::Digest;
use taonet_proof_core::metadata::CircuitMetadata;

use crate::model::{FILE, TOKENIZER};
use crate::{Answer, Finish, LanguageModel, LmError};

const VERSION: u32 = 1;

/// A proof of a text: a proof of the circuit, with what turns its integers into a text.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TextBundle {
    /// Version of the format.
    version: u32,
    /// Number of tokens of the prompt.
    prompt: usize,
    /// Number of tokens of the answer, with the one that ends it.
    answer: usize,
    /// Description of the language model, a file of the circuit.
    model: String,
    /// The model's tokenizer, a file of the circuit.
    tokenizer: String,
    /// Proof of the logits.
    pub proof: Bundle,
}

/// A prompt and its answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Text {
    /// The prompt.
    pub prompt: String,
    /// The answer.
    pub answer: String,
    /// Number of tokens of the prompt.
    pub prompt_tokens: usize,
    /// Number of tokens of the answer.
    pub answer_tokens: usize,
    /// Why the answer ends.
    pub finish: Finish,
}

impl TextBundle {
    /// Continues a prompt by a circuit, and proves the answer for one request to one miner.
    ///
    /// # Errors
    /// When the circuit is not that of a language model, a file of it is missing or modified, or the prompt is too long.
    pub fn prove(directory: &CircuitDirectory, prompt: &str, nonce: Digest, miner: Hotkey) -> Result<Self, LmError> {
        if !is_language_model(directory.metadata()) {
            return Err(LmError::NoLanguageModel);
        }
        let (description, tokenizer) = (directory.file(FILE)?, directory.file(TOKENIZER)?);
        let model = LanguageModel::of(&description, directory.metadata())?;
        let prompt = model.prompt(&model.parse_tokenizer(&tokenizer)?, prompt)?;
        let answer = Answer::of(directory.circuit(), &model, &prompt)?;
        let proof = Bundle::prove(directory, &answer.inputs, nonce, miner)?;
        let text = |bytes| String::from_utf8(bytes).map_err(|_| LmError::Bundle("files are not UTF-8"));
        Ok(Self {
            version: VERSION,
            prompt: answer.prompt,
            answer: answer.length,
            model: text(description)?,
            tokenizer: text(tokenizer)?,
            proof,
        })
    }

    /// Parses a bundle; `None` if the text is not that of a [`TextBundle`].
    pub fn from_json(text: &[u8]) -> Option<Self> {
        serde_json::from_slice(bytes_without_bom(text)).ok()
    }

    /// Verifies the proof, and that each token of the answer is the likeliest one after those before it. Returns the text.
    ///
    /// # Errors
    /// When the proof does not verify, a file does not match the circuit, or a token is another one.
    pub fn verify_with(&self, backends: &Backends) -> Result<Text, LmError> {
        self.proof.verify_with(backends)?;
        self.text()
    }

    /// Returns the text, without verification of the proof: what it would prove.
    ///
    /// # Errors
    /// When a token of the answer is not the likeliest one by the outputs, or a file does not match the circuit.
    pub fn text(&self) -> Result<Text, LmError> {
        let Bundle { circuit, inputs, outputs, .. } = &self.proof;
        if self.version != VERSION {
            return Err(LmError::Bundle("version is unsupported"));
        }
        circuit.check(FILE, self.model.as_bytes())?;
        circuit.check(TOKENIZER, self.tokenizer.as_bytes())?;
        let model = LanguageModel::of(self.model.as_bytes(), circuit)?;
        let count = self.prompt.checked_add(self.answer).filter(|&count| count <= inputs.len());
        let (Some(count), true) = (count, self.prompt > 0 && self.answer > 0) else {
            return Err(LmError::Bundle("numbers of tokens do not match the circuit"));
        };
        let (text, unused) = inputs.split_at(count);
        if unused.iter().any(|&token| token != 0) {
            return Err(LmError::Bundle("tokens after the answer are not zeros"));
        }
        let (prompt, answer) = text.split_at(self.prompt);
        for (position, &claimed) in answer.iter().enumerate() {
            let chosen = model.next(outputs, self.prompt + position - 1);
            let chosen = chosen.ok_or(LmError::Bundle("logits do not match the circuit"))?;
            if claimed != chosen {
                return Err(LmError::Token { position, claimed, chosen });
            }
        }
        let mut before_last = answer.iter().rev().skip(1);
        if before_last.any(|&token| model.is_end(token)) {
            return Err(LmError::Bundle("answer continues after its end"));
        }
        let finish = match answer.last() {
            Some(&last) if model.is_end(last) => Finish::Stop,
            _ if count == model.tokens => Finish::Length,
            _ => Finish::Cut,
        };
        let vocabulary = model.parse_tokenizer(self.tokenizer.as_bytes())?;
        Ok(Text {
            prompt: decoded(&vocabulary, prompt),
            answer: decoded(&vocabulary, answer),
            prompt_tokens: prompt.len(),
            answer_tokens: answer.len(),
            finish,
        })
    }

    /// Returns whether the prompt of the proof has exactly the tokens of this text.
    ///
    /// # Errors
    /// When a file of the bundle is malformed.
    pub fn is_of_prompt(&self, text: &str) -> Result<bool, LmError> {
        let model = LanguageModel::of(self.model.as_bytes(), &self.proof.circuit)?;
        let vocabulary = model.parse_tokenizer(self.tokenizer.as_bytes())?;
        let expected = model.prompt(&vocabulary, text)?;
        let tokens = self.proof.inputs.iter().take(self.prompt).copied();
        Ok(tokens.eq(expected.into_iter().map(i64::from)))
    }
}

/// Returns whether a circuit is that of a language model.
fn is_language_model(metadata: &CircuitMetadata) -> bool {
    metadata.files.contains_key(FILE)
}

fn decoded(vocabulary: &Vocabulary, tokens: &[i64]) -> String {
    let tokens: Vec<u32> = tokens.iter().filter_map(|&token| token.try_into().ok()).collect();
    vocabulary.decode(&tokens)
}
