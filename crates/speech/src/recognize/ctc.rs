//! tiny-ctc: a test double of a Whisper model, built into the program for tests and development
//! networks.

use std::io;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};
use taonet_primitives::{Transcript, Word, bytes_without_bom};

use super::{Recognition, RecognizeError, Recognizer, check_duration};

mod align;
mod beam;
mod config;
mod features;
mod labels;
mod lexicon;
mod network;

/// The delay of labels behind the audio in milliseconds, measured against the synthesiser's word
/// start times.
const LABEL_DELAY_MS: u64 = 103;

const EMBEDDED_CONFIG: &[u8] =
    include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/../../models/tiny-ctc/config.json"));
const EMBEDDED_WEIGHTS: &[u8] =
    include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/../../models/tiny-ctc/model.safetensors"));
const EMBEDDED_LEXICON: &[u8] =
    include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/../../models/tiny-ctc/lexicon.txt"));

/// Why loading a model failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CtcError {
    /// Reading a file of the model failed.
    #[error("cannot read {}", path.display())]
    Io {
        /// Path of the file.
        path: PathBuf,
        /// The operating system's error.
        source: io::Error,
    },
    /// `config.json` is malformed.
    #[error("config.json is malformed")]
    Json(#[from] serde_json::Error),
    /// The value of a setting in `config.json` is unsupported.
    #[error("config.json: unsupported value of `{setting}`")]
    Config {
        /// Name of the setting.
        setting: &'static str,
    },
    /// `model.safetensors` is corrupt or does not match the configuration.
    #[error("model.safetensors is corrupt or does not match config.json")]
    Weights(#[from] candle_core::Error),
    /// A line of `lexicon.txt` does not have the form `word cost`, or the words are not sorted.
    #[error(
        "malformed lexicon.txt, line {line}: expected a lower-case word greater than the previous one, a space and a \
         cost"
    )]
    Lexicon {
        /// The line number, from 1.
        line: usize,
    },
}

/// The tiny-ctc recogniser: a convolutional network with CTC labels, a lexicon and a beam search.
///
/// English only, for synthesised speech in tests and on development networks. Loading takes about
/// 20 ms; one instance serves any number of threads. Matrix products may use rayon's global thread
/// pool, sized by `RAYON_NUM_THREADS`; results do not depend on the number of threads.
pub struct CtcRecognizer {
    features: features::LogMel,
    network: network::Network,
    lexicon: lexicon::Lexicon,
    decoder: config::Decoder,
    label_ms: u64,
    fingerprint: String,
}

fn read_file(path: PathBuf) -> Result<Vec<u8>, CtcError> {
    std::fs::read(&path).map_err(|source| CtcError::Io { path, source })
}

impl CtcRecognizer {
    /// Loads the model that is built into the program.
    ///
    /// # Errors
    /// [`CtcError`] only if the program was built with a corrupt model.
    pub fn embedded() -> Result<Self, CtcError> {
        Self::from_files(EMBEDDED_CONFIG, EMBEDDED_WEIGHTS, EMBEDDED_LEXICON)
    }

    /// Loads `config.json`, `model.safetensors` and `lexicon.txt` from a folder.
    ///
    /// # Errors
    /// [`CtcError`] when a file is missing, corrupt, or not of this model type.
    pub fn load(folder: &Path) -> Result<Self, CtcError> {
        let config = read_file(folder.join("config.json"))?;
        let weights = read_file(folder.join("model.safetensors"))?;
        Self::from_files(&config, &weights, &read_file(folder.join("lexicon.txt"))?)
    }

    fn from_files(config: &[u8], weights: &[u8], lexicon: &[u8]) -> Result<Self, CtcError> {
        let hash = Sha256::new()
            .chain_update(weights)
            .chain_update(lexicon)
            .chain_update(config)
            .finalize();
        let config = config::Config::parse(config)?;
        let decoder = config.lexicon;
        let lexicon = str::from_utf8(bytes_without_bom(lexicon))
            .map_err(|_| CtcError::Lexicon { line: 1 })?;
        Ok(Self {
            features: features::LogMel::new(),
            network: network::Network::load(weights, &config)?,
            lexicon: lexicon::Lexicon::parse(lexicon, decoder.alpha, decoder.beta)?,
            decoder,
            label_ms: (config.label_seconds * 1000.0).round() as u64,
            fingerprint: hex::encode(hash),
        })
    }

    /// Finds the timestamps of known words in a recording (forced alignment).
    ///
    /// Words keep their spelling in the result. Characters other than letters (A to Z, of either
    /// case) and the apostrophe are ignored; a word that has neither gets no entry.
    ///
    /// # Errors
    /// [`RecognizeError`] when the recording is empty or too long, or the engine fails.
    pub fn time_words(&self, samples: &[f32], words: &[&str]) -> Result<Vec<Word>, RecognizeError> {
        check_length(samples)?;
        let rows = self.probabilities(samples)?;
        let (spellings, labels): (Vec<&str>, Vec<Vec<u8>>) = words
            .iter()
            .map(|word| {
                (
                    *word,
                    word.to_ascii_lowercase()
                        .bytes()
                        .filter_map(labels::from_byte)
                        .collect::<Vec<u8>>(),
                )
            })
            .filter(|(_, labels)| !labels.is_empty())
            .unzip();
        Ok(self.words_with_times(&spellings, &align::align(&rows, &labels)))
    }

    fn words_with_times(&self, words: &[&str], alignment: &align::Alignment) -> Vec<Word> {
        let words_with_times = words.iter().zip(&alignment.words).map(|(word, frames)| Word {
            text: (*word).to_owned(),
            start: self.label_time(frames.start),
            end: self.label_time(frames.end),
        });
        words_with_times.collect()
    }

    /// Computes label log-probabilities (natural logarithm), one row of 29 per 30 ms.
    fn probabilities(&self, samples: &[f32]) -> Result<Vec<f32>, RecognizeError> {
        let features =
            self.features.compute(samples).map_err(|error| RecognizeError::Engine(error.into()))?;
        self.network.forward(features).map_err(|error| RecognizeError::Engine(error.into()))
    }

    /// Returns the start time of a label frame in seconds, corrected for the delay of labels.
    fn label_time(&self, label_frame: usize) -> f64 {
        (self.label_ms * label_frame as u64).saturating_sub(LABEL_DELAY_MS) as f64 / 1000.0
    }
}

fn check_length(samples: &[f32]) -> Result<(), RecognizeError> {
    let seconds = samples.len() as f64 / f64::from(features::SAMPLE_RATE);
    if samples.is_empty() {
        return Err(RecognizeError::Empty);
    }
    check_duration(seconds)
}

impl Recognizer for CtcRecognizer {
    fn name(&self) -> &'static str {
        "tiny-ctc"
    }

    fn fingerprint(&self) -> &str {
        &self.fingerprint
    }

    fn recognize(&self, samples: &[f32]) -> Result<Recognition, RecognizeError> {
        check_length(samples)?;
        // Features are relative to the loudest moment of a recording, so digital silence would
        // appear as constant loud sound.
        if samples.iter().all(|&sample| sample == 0.0 || sample.is_nan()) {
            return Ok(Recognition { transcript: Transcript::default(), confidence: 1.0 });
        }
        let rows = self.probabilities(samples)?;
        let words = beam::search(&rows, &self.lexicon, &self.decoder);
        let spellings: Vec<&str> = words.iter().map(|&word| self.lexicon.spelling(word)).collect();
        let labels: Vec<Vec<u8>> = spellings
            .iter()
            .map(|word| word.bytes().filter_map(labels::from_byte).collect())
            .collect();
        let alignment = align::align(&rows, &labels);
        let language = if spellings.is_empty() { "" } else { "en" };
        let transcript = Transcript {
            text: spellings.join(" "),
            words: self.words_with_times(&spellings, &alignment),
            detected_language: language.into(),
        };
        Ok(Recognition { transcript, confidence: alignment.confidence })
    }
}

#[cfg(test)]
mod tests;
