//! From a model's weights to its circuit.

use std::path::{Path, PathBuf};

use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use taonet_lm::{CausalModel, KvCache, LoadOptions, Vocabulary, gguf_file, greedy_token};
use taonet_primitives::counted;
use taonet_proof_circuits::{CircuitError, CompileOptions, Compiled, ParsedModel};
use taonet_proof_core::circuit::Circuit;
use taonet_proof_core::float::FloatNetwork;
use taonet_proof_core::quantise::{QuantiseError, QuantiseOptions, Sample};
use taonet_proof_core::{Digest, Range};
use taonet_proof_onnx::MAX_PARAMETERS;

use crate::model::{FILE, TOKENIZER};
use crate::{LanguageModel, LmError, graph};

/// Maximum number of texts for calibration and tests.
const MAX_TEXTS: usize = 32;
/// Maximum number of tokens of any circuit: an attention has a score for each pair of tokens, and a
/// tensor has at most 2^24 elements.
const MAX_TOKENS: usize = 1 << 12;
/// Maximum size of a file of weights, in bytes: 32 bits for each weight of the largest circuit, and
/// a vocabulary.
const MAX_WEIGHTS: u64 = 4 * MAX_PARAMETERS + (64 << 20);
/// Bits of the sums of layers in a large model. The product of a sum and a factor of a norm, which
/// has up to 14 bits, fits the field of `stark`.
const RESIDUAL_BITS: u8 = 15;
/// Seed of the texts that a model writes.
const SEED: u64 = 59;

/// Options of [`compile`] besides those of any circuit.
#[derive(Clone, Copy, Debug)]
pub struct LmOptions<'a> {
    /// Number of tokens of prompt and answer together.
    pub tokens: usize,
    /// Lines of text like those that the model will read; `None` for texts that the model writes
    /// itself.
    pub sample: Option<&'a str>,
}

/// Compiles a language model, from a directory in Hugging Face's format or a GGUF file, into a
/// circuit. The input range of `options` is replaced by that of the model's tokens.
///
/// # Errors
/// When the model is too large, cannot be loaded or is unsupported, or compiling its graph fails.
pub fn compile(
    path: &Path,
    options: &CompileOptions,
    lm: LmOptions<'_>,
) -> Result<Compiled, LmError> {
    compile_with_sample(path, options, lm).map(|(compiled, _)| compiled)
}

/// Compiles a language model like [`compile`]. Returns the tokens of the texts for calibration and
/// tests, too.
///
/// # Errors
/// As [`compile`].
pub fn compile_with_sample(
    path: &Path,
    options: &CompileOptions,
    lm: LmOptions<'_>,
) -> Result<(Compiled, Sample), LmError> {
    let prepared = PreparedModel::new(path, &options.quantise, lm)?;
    let PreparedModel { parsed, description, tokenizer, sample, options: quantise } = prepared;
    let options = CompileOptions { quantise, ..options.clone() };
    let (mut compiled, circuit) = parsed.compile(&sample, &options)?;
    let (_, test) = sample.split();
    let note = describe_agreement(parsed.network(), &circuit, &description, &test.inputs)?;
    compiled.metadata.notes.push(note);
    for (name, contents) in [(FILE, description.to_json()?), (TOKENIZER, tokenizer.into_bytes())] {
        compiled.metadata.files.insert(name.to_owned(), Digest::of(&contents));
        compiled.files.insert(name.to_owned(), contents);
    }
    Ok((compiled, sample))
}

/// A language model before it is quantised.
pub(crate) struct PreparedModel {
    pub(crate) parsed: ParsedModel,
    pub(crate) description: LanguageModel,
    /// The model's tokenizer, a file of the circuit.
    pub(crate) tokenizer: String,
    /// Texts for calibration and tests.
    pub(crate) sample: Sample,
    /// Options with the model's own input range.
    pub(crate) options: QuantiseOptions,
}

impl PreparedModel {
    /// Reads a model. The input range of `options` is replaced by that of the model's tokens.
    pub(crate) fn new(
        path: &Path,
        options: &QuantiseOptions,
        lm: LmOptions<'_>,
    ) -> Result<Self, LmError> {
        check_size(path)?;
        let model = CausalModel::open(path, LoadOptions::default())?;
        let (tokens, limit) = (lm.tokens, model.context().min(MAX_TOKENS));
        if !(2..=limit).contains(&tokens) {
            return Err(LmError::Tokens { tokens, limit });
        }
        let decoder = model.decoder(tokens)?;
        let vocabulary_size = decoder.embeddings.rows;
        let graph = graph::onnx(&decoder, tokens);
        let residual_bits = graph::is_large(&decoder).then_some(RESIDUAL_BITS);
        drop(decoder);
        // A model that is too large is rejected before it writes texts, which would take minutes.
        let parsed = ParsedModel::read(&graph)?;
        drop(graph);
        let vocabulary = model.vocabulary();
        let tokenizer = vocabulary.to_json().ok_or(LmError::Input(
            "the model has no tokenizer; hint: use a model with a tokenizer.json",
        ))?;
        let texts = match lm.sample {
            Some(text) => encode_sample(vocabulary, text, tokens)?,
            None => generate_texts(&model, tokens)?,
        };
        let description = LanguageModel::new(tokens, vocabulary, vocabulary_size);
        let high = i64::try_from(vocabulary_size).unwrap_or(i64::MAX) - 1;
        let input_range = Range { low: 0, high };
        let options =
            QuantiseOptions { input_range, input_scale: 0, residual_bits, ..options.clone() };
        let sample = Sample { inputs: texts, ..Sample::default() };
        Ok(Self { parsed, description, tokenizer, sample, options })
    }

    /// Returns all lines of a text as inputs.
    pub(crate) fn encode_lines(&self, text: &str) -> Result<Vec<Vec<i64>>, LmError> {
        let vocabulary = self.description.parse_tokenizer(self.tokenizer.as_bytes())?;
        let lines = text.lines().filter(|line| !line.trim().is_empty());
        lines.map(|line| encode_line(&vocabulary, line, self.description.tokens)).collect()
    }
}

/// Rejects files of weights that are too large for any circuit, before they are read.
fn check_size(path: &Path) -> Result<(), LmError> {
    let is_weights =
        |file: &PathBuf| file.extension().is_some_and(|extension| extension == "safetensors");
    let files: Vec<PathBuf> = match (gguf_file(path)?, std::fs::read_dir(path)) {
        (Some(file), _) => vec![file],
        (None, Ok(entries)) => {
            entries.flatten().map(|entry| entry.path()).filter(is_weights).collect()
        }
        // The loader reports the error.
        (None, Err(_)) => Vec::new(),
    };
    for path in files {
        let bytes = std::fs::metadata(&path).map_or(0, |metadata| metadata.len());
        if bytes > MAX_WEIGHTS {
            return Err(LmError::Size { path, bytes, limit: MAX_WEIGHTS });
        }
    }
    Ok(())
}

/// Describes how often the integer network chooses the token that the model chooses.
fn describe_agreement(
    float: &FloatNetwork,
    circuit: &Circuit,
    model: &LanguageModel,
    texts: &[Vec<i64>],
) -> Result<String, LmError> {
    let (mut matching, mut total) = (0, 0);
    for text in texts {
        let inputs: Vec<f32> = text.iter().map(|&token| token as f32).collect();
        let model_logits = float
            .run(&inputs)
            .map_err(|source| CircuitError::from(QuantiseError::from(source)))?
            .pop()
            .unwrap_or_default();
        let outputs = circuit.execute(text)?.outputs(circuit);
        let length = text.iter().rposition(|&token| token != 0).map_or(0, |last| last + 1);
        for (position, logits) in model_logits.chunks(model.vocabulary).take(length).enumerate() {
            total += 1;
            matching += usize::from(
                model.likeliest_token(&outputs, position) == Some(i64::from(greedy_token(logits))),
            );
        }
    }
    Ok(format!(
        "the network chooses the same token as the model at {:.1} % of {} of the sample",
        100.0 * matching as f64 / total.max(1) as f64,
        counted(total, "position")
    ))
}

/// Returns lines of a text as inputs: each begins as a prompt does, and zeros follow it.
fn encode_sample(
    vocabulary: &Vocabulary,
    text: &str,
    tokens: usize,
) -> Result<Vec<Vec<i64>>, LmError> {
    let lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
    if lines.is_empty() {
        return Err(LmError::Input(
            "the sample has no text; hint: pass a file with a text in each line",
        ));
    }
    // Evenly spread over the file.
    let step = lines.len().div_ceil(MAX_TEXTS);
    lines.into_iter().step_by(step).map(|line| encode_line(vocabulary, line, tokens)).collect()
}

/// Returns a line of a text as an input.
fn encode_line(vocabulary: &Vocabulary, line: &str, tokens: usize) -> Result<Vec<i64>, LmError> {
    let line = vocabulary.encode(line)?;
    let line = vocabulary
        .bos_token()
        .into_iter()
        .chain(line)
        .chain(vocabulary.end_tokens().first().copied());
    Ok(padded_with_zeros(line, tokens))
}

/// Returns the first tokens of a text, and zeros after it.
fn padded_with_zeros(text: impl Iterator<Item = u32>, tokens: usize) -> Vec<i64> {
    let mut inputs: Vec<i64> = text.take(tokens).map(i64::from).collect();
    inputs.resize(tokens, 0);
    inputs
}

/// Returns texts that the model writes: each token is drawn by its probability.
fn generate_texts(model: &CausalModel, tokens: usize) -> Result<Vec<Vec<i64>>, LmError> {
    let mut rng = StdRng::seed_from_u64(SEED);
    let bos_token = model.vocabulary().bos_token();
    let mut texts = Vec::with_capacity(MAX_TEXTS);
    for _ in 0..MAX_TEXTS {
        let (mut cache, mut text) = (KvCache::default(), Vec::with_capacity(tokens));
        let mut next = bos_token.unwrap_or_else(|| model.vocabulary().end_token());
        while text.len() < tokens {
            text.push(next);
            if text.len() > 1 && model.vocabulary().end_tokens().contains(&next) {
                break;
            }
            let logits = model.next(&[next], &mut cache)?;
            next = token_at_probability(&logits, rng.random());
        }
        texts.push(padded_with_zeros(text.into_iter(), tokens));
    }
    Ok(texts)
}

/// Returns the token at which the cumulative probability reaches `probability`. The sampler of
/// `taonet-lm` adds the largest ones first: its texts would change the scales, and so the keys, of
/// models that are compiled again.
fn token_at_probability(logits: &[f32], probability: f64) -> u32 {
    let largest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let weights = || logits.iter().map(|logit| f64::from(logit - largest).exp());
    let mut remaining = probability * weights().sum::<f64>();
    let limit_position = weights().position(|weight| {
        remaining -= weight;
        remaining <= 0.0
    });
    limit_position.unwrap_or_default() as u32
}
