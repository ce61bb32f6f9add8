//! Proofs of texts.

use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};
use taonet_primitives::{Hotkey, bytes_without_bom};
use taonet_proof_circuits::{Backends, Bundle, CircuitDirectory, CircuitError};
use taonet_proof_core::Digest;
use taonet_proof_core::metadata::CircuitMetadata;

use crate::answer::{answer_length, generate_inputs};
use crate::model::{FILE, TOKENIZER};
use crate::{Finish, LanguageModel, LmError};

const VERSION: u32 = 1;

/// A proof of a text: a proof of the circuit, with the tokenizer that turns its integers into text.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TextBundle {
    /// Version of the format.
    version: u32,
    /// The prompt. Its tokens are the first inputs of the circuit.
    prompt: String,
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
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
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
    /// When the circuit is not that of a language model, a file of it is missing or modified, or
    /// the prompt is too long.
    pub fn prove(
        directory: &CircuitDirectory,
        prompt: &str,
        nonce: Digest,
        miner: Hotkey,
    ) -> Result<Self, LmError> {
        let inputs = Self::inputs(directory, prompt)?;
        Self::new(directory, prompt, Bundle::prove(directory, &inputs, nonce, miner)?)
    }

    /// Returns the inputs of a circuit for a prompt: the tokens of the prompt, those of the answer,
    /// which the integer network chooses, and zeros. A proof of the outputs for these inputs proves
    /// the answer: a miner needs no prompt.
    ///
    /// # Errors
    /// When the circuit is not that of a language model, a file of it is missing or modified, or
    /// the prompt is too long.
    pub fn inputs(directory: &CircuitDirectory, prompt: &str) -> Result<Vec<i64>, LmError> {
        let files = ModelFiles::read(directory)?;
        generate_inputs(directory.circuit(), &files.language_model, &files.tokens(prompt)?)
    }

    /// Checks that a prompt leaves room for an answer in the circuit, without computing the answer.
    ///
    /// # Errors
    /// As [`Self::inputs`].
    pub fn check_prompt(directory: &CircuitDirectory, prompt: &str) -> Result<(), LmError> {
        ModelFiles::read(directory)?.tokens(prompt).map(drop)
    }

    /// Creates a bundle from a proof for the inputs that [`Self::inputs`] returns for a prompt. The
    /// proof is not verified.
    ///
    /// # Errors
    /// When the proof has other inputs or is for another circuit, or a file of the circuit is
    /// missing or modified.
    pub fn new(directory: &CircuitDirectory, prompt: &str, proof: Bundle) -> Result<Self, LmError> {
        if proof.circuit_id()? != directory.id() {
            return Err(LmError::Bundle("proof is for another circuit"));
        }
        let files = ModelFiles::read(directory)?;
        let answer =
            answer_length(&files.language_model, &proof.outputs, files.tokens(prompt)?.len());
        let ModelFiles { model, tokenizer, .. } = files;
        let bundle =
            Self { version: VERSION, prompt: prompt.to_owned(), answer, model, tokenizer, proof };
        bundle.text()?;
        Ok(bundle)
    }

    /// Parses a bundle; `None` if the document is that of another kind of bundle.
    ///
    /// # Errors
    /// When the document is malformed.
    pub fn from_json(text: &[u8]) -> Result<Option<Self>, LmError> {
        #[derive(Deserialize)]
        struct BundleHeader {
            #[serde(default)]
            tokenizer: Option<IgnoredAny>,
        }
        let text = bytes_without_bom(text);
        let malformed = |source| CircuitError::Json { document: "bundle", source };
        let header: BundleHeader = serde_json::from_slice(text).map_err(malformed)?;
        if header.tokenizer.is_none() {
            return Ok(None);
        }
        Ok(Some(serde_json::from_slice(text).map_err(malformed)?))
    }

    /// Verifies the proof, and that each token of the answer is the likeliest one after those
    /// before it. Returns the text.
    ///
    /// # Errors
    /// When the proof does not verify, a file does not match the circuit, or a token is another
    /// one.
    pub fn verify_with(&self, backends: &Backends) -> Result<Text, LmError> {
        self.proof.verify_with(backends)?;
        self.text()
    }

    /// Returns the text, without verification of the proof: what it would prove.
    ///
    /// # Errors
    /// When a token of the answer is not the likeliest one by the outputs, the prompt is not that
    /// of the inputs, or a file does not match the circuit.
    pub fn text(&self) -> Result<Text, LmError> {
        let Bundle { circuit, inputs, outputs, .. } = &self.proof;
        if self.version != VERSION {
            return Err(LmError::Bundle("version is unsupported; hint: update tao"));
        }
        circuit.check(FILE, self.model.as_bytes())?;
        circuit.check(TOKENIZER, self.tokenizer.as_bytes())?;
        let model = LanguageModel::from_json(self.model.as_bytes(), circuit)?;
        // The tokenizer takes memory for each token of the vocabulary: the bundle must have a logit
        // for each.
        if inputs.len() != model.tokens
            || Some(outputs.len()) != model.tokens.checked_mul(model.vocabulary)
        {
            return Err(LmError::Bundle("inputs or outputs do not match the circuit in number"));
        }
        let vocabulary = model.parse_tokenizer(self.tokenizer.as_bytes())?;
        let prompt = model.encode_prompt(&vocabulary, &self.prompt)?;
        let (prompt_tokens, answer_tokens) = (prompt.len(), self.answer);
        let (prompt_inputs, after_prompt) =
            inputs.split_at_checked(prompt_tokens).unwrap_or_default();
        if !prompt_inputs.iter().copied().eq(prompt.iter().copied().map(i64::from)) {
            return Err(LmError::Bundle("prompt is not that of its inputs"));
        }
        let answer = match after_prompt.split_at_checked(answer_tokens) {
            Some((answer, unused))
                if !answer.is_empty() && unused.iter().all(|&token| token == 0) =>
            {
                answer
            }
            _ => {
                return Err(LmError::Bundle(
                    "number of tokens of the answer is not that of its inputs",
                ));
            }
        };
        let finish = check_answer(&model, answer, outputs, prompt_tokens)?;
        // A tokenizer may treat the beginning of a text differently, so the answer is decoded after
        // its prompt.
        let prompt_text = vocabulary.decode(&prompt);
        let tokens: Vec<u32> = answer.iter().filter_map(|&token| token.try_into().ok()).collect();
        let complete_text = vocabulary.decode(&[prompt.as_slice(), tokens.as_slice()].concat());
        let answer = complete_text
            .strip_prefix(&prompt_text)
            .map_or_else(|| vocabulary.decode(&tokens), str::to_owned);
        Ok(Text { prompt: self.prompt.clone(), answer, prompt_tokens, answer_tokens, finish })
    }
}

/// Checks that each token of an answer is the likeliest one after those before it, and returns why
/// the answer ends.
fn check_answer(
    model: &LanguageModel,
    answer: &[i64],
    outputs: &[i64],
    prompt_length: usize,
) -> Result<Finish, LmError> {
    for (position, &claimed) in answer.iter().enumerate() {
        let last = (prompt_length + position).checked_sub(1);
        let next_token = last.and_then(|last| model.likeliest_token(outputs, last));
        let next_token =
            next_token.ok_or(LmError::Bundle("outputs do not match the circuit in number"))?;
        if claimed != next_token {
            return Err(LmError::Token { position, claimed, expected: next_token });
        }
    }
    let mut before_last = answer.iter().rev().skip(1);
    if before_last.any(|&token| model.is_end(token)) {
        return Err(LmError::Bundle("answer continues after its end"));
    }
    Ok(match answer.last() {
        Some(&last) if model.is_end(last) => Finish::Stop,
        _ if prompt_length + answer.len() == model.tokens => Finish::Length,
        _ => Finish::Cut,
    })
}

/// The files of a language model in a circuit's directory.
struct ModelFiles {
    model: String,
    tokenizer: String,
    language_model: LanguageModel,
}

impl ModelFiles {
    fn read(directory: &CircuitDirectory) -> Result<Self, LmError> {
        if !is_language_model(directory.metadata()) {
            return Err(LmError::NoLanguageModel);
        }
        let read_file = |name: &'static str| -> Result<String, LmError> {
            String::from_utf8(directory.file(name)?)
                .map_err(|_| LmError::Bundle("files are not UTF-8"))
        };
        let (model, tokenizer) = (read_file(FILE)?, read_file(TOKENIZER)?);
        let language_model = LanguageModel::from_json(model.as_bytes(), directory.metadata())?;
        Ok(Self { model, tokenizer, language_model })
    }

    /// Returns the tokens of a prompt.
    fn tokens(&self, prompt: &str) -> Result<Vec<u32>, LmError> {
        let vocabulary = self.language_model.parse_tokenizer(self.tokenizer.as_bytes())?;
        self.language_model.encode_prompt(&vocabulary, prompt)
    }
}

/// Returns whether a circuit is that of a language model.
pub fn is_language_model(metadata: &CircuitMetadata) -> bool {
    metadata.files.contains_key(FILE)
}
