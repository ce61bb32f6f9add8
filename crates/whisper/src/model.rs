//! Model loading and encoding.

use std::path::Path;

use sha2::{Digest, Sha256};

use crate::ModelError;
use crate::TranscribeError;
use crate::config::Config;
use crate::decoder::{Decoder, EncoderMemory};
use crate::encoder::{Buffers, Encoder};
use crate::files::Weights;
use crate::kernel::{Extension, Gemm};
use crate::load::Loader;
use crate::mel::{LogMel, WINDOW_FRAMES};
use crate::memory::{self, Dimensions};
use crate::transcribe::CONTEXT_TOKENS;
use crate::vocabulary::Vocabulary;

/// A Whisper model in memory, with its weights quantised to int8 and packed for this machine.
///
/// Any number of threads can share a model.
pub struct Model {
    pub(crate) encoder: Encoder,
    pub(crate) decoder: Decoder,
    pub(crate) vocabulary: Vocabulary,
    pub(crate) config: Config,
    pub(crate) log_mel: LogMel,
    digest: String,
    kernels: String,
    /// The extension for which the weights are packed.
    extension: Option<Extension>,
    /// Test fault of the engine's steps, given the lengths of the recordings in the batch, in
    /// samples.
    #[cfg(test)]
    pub(crate) fault: Option<Fault>,
}

#[cfg(test)]
pub(crate) type Fault = Box<dyn Fn(&[usize]) -> Result<(), TranscribeError> + Send + Sync>;

impl Model {
    /// Loads a model directory: `model.bin` (CTranslate2: float32, float16, bfloat16 or int8) or
    /// `model.safetensors` (Hugging Face), `config.json`, `tokenizer.json`, and `vocabulary.json`
    /// or `vocabulary.txt` if present.
    ///
    /// # Errors
    /// [`ModelError`] when a file is missing, truncated or of a different architecture, the files
    /// are inconsistent, or the model exceeds the available memory.
    pub fn open(directory: &Path) -> Result<Self, ModelError> {
        Self::open_with(directory, &Gemm::default())
    }

    /// Loads a model directory and packs the weights for these kernels.
    pub(crate) fn open_with(directory: &Path, gemm: &Gemm) -> Result<Self, ModelError> {
        let InspectedModel { mut config, mut weights, dimensions, vocabulary } =
            inspect(directory)?;
        check_memory(dimensions.min_bytes(weights.quantized_bytes()), memory::available())?;
        let digest = digest(directory, &mut weights)?;
        let mut loader = Loader(weights);
        let encoder = Encoder::load(&mut loader, gemm, config.heads.map(|heads| heads.0))?;
        let decoder =
            Decoder::load(&mut loader, gemm, config.heads.map(|heads| heads.1), encoder.width())?;
        config
            .alignment_heads
            .retain(|&(layer, head)| layer < decoder.layers() && head < decoder.heads());
        if config.alignment_heads.is_empty() {
            // All heads of the upper half of the layers, the default of CTranslate2's converter.
            config.alignment_heads = (decoder.layers() / 2..decoder.layers())
                .flat_map(|layer| (0..decoder.heads()).map(move |head| (layer, head)))
                .collect();
        }
        let log_mel = LogMel::new(encoder.mels());
        Ok(Self {
            encoder,
            decoder,
            vocabulary,
            config,
            log_mel,
            digest,
            kernels: gemm.kernel_name(),
            extension: gemm.extension,
            #[cfg(test)]
            fault: None,
        })
    }

    /// Computes [`Self::digest`] and [`Self::kernels`] of a model directory without loading its
    /// weights.
    pub(crate) fn identify(directory: &Path) -> Result<(String, String), ModelError> {
        let mut weights = inspect(directory)?.weights;
        Ok((digest(directory, &mut weights)?, Gemm::default().kernel_name()))
    }

    /// Returns a SHA-256 over all files of the model, in hexadecimal.
    pub fn digest(&self) -> &str {
        &self.digest
    }

    /// Returns the names of the matrix kernels selected for this CPU. Results of different kernels
    /// may differ in about 1 % of the tokens.
    pub fn kernels(&self) -> &str {
        &self.kernels
    }

    /// Creates the buffers of a thread, with the kernels for which the weights are packed.
    pub(crate) fn buffers(&self) -> Buffers {
        Buffers::new(Gemm::new(self.extension))
    }

    /// Returns whether the model supports languages other than English.
    pub(crate) fn is_multilingual(&self) -> bool {
        self.vocabulary.is_multilingual()
    }

    /// Encodes the first 30 s of samples at 16 kHz into 1 500 hidden states, `[position][width]`.
    ///
    /// # Errors
    /// [`TranscribeError`] when a matrix product fails.
    pub fn encode(&self, samples: &[f32]) -> Result<Vec<f32>, TranscribeError> {
        let window = self.log_mel.features(samples).window(0, WINDOW_FRAMES);
        let mut buffers = self.buffers();
        let gemm = buffers.gemm.clone();
        self.encoder.forward(&gemm, &mut buffers, &window)?;
        Ok(buffers.encoded)
    }

    /// Encodes a window and computes its cross-attention memory.
    pub(crate) fn encode_audio(
        &self,
        buffers: &mut Buffers,
        window: &[f32],
    ) -> Result<EncoderMemory, TranscribeError> {
        let gemm = buffers.gemm.clone();
        self.encoder.forward(&gemm, buffers, window)?;
        self.decoder.memory(&gemm, buffers)
    }
}

/// A model directory whose files are consistent.
struct InspectedModel {
    config: Config,
    weights: Weights,
    dimensions: Dimensions,
    vocabulary: Vocabulary,
}

/// Reads and checks a model directory, except for the values of the weights.
fn inspect(directory: &Path) -> Result<InspectedModel, ModelError> {
    let config = Config::read(directory)?;
    let weights = Weights::open(directory)?;
    let dimensions = dimensions(&weights)?;
    let vocabulary = check_decoder(directory, &weights, &config, dimensions)?;
    Ok(InspectedModel { config, weights, dimensions, vocabulary })
}

/// Files besides the weights that determine a transcription.
const HASHED_FILES: [&str; 5] = [
    "config.json",
    "generation_config.json",
    "tokenizer.json",
    "vocabulary.json",
    "vocabulary.txt",
];

/// Hashes the weights and the names and contents of the other files.
fn digest(directory: &Path, weights: &mut Weights) -> Result<String, ModelError> {
    let mut hash = Sha256::new().chain_update(weights.digest()?);
    for name in HASHED_FILES {
        let path = directory.join(name);
        if path.is_file() {
            let content = std::fs::read(&path).map_err(|source| ModelError::Io { path, source })?;
            hash = hash.chain_update(name).chain_update(Sha256::digest(content));
        }
    }
    Ok(hex::encode(hash.finalize()))
}

/// Reads the dimensions of the decoder from the index of its weights.
fn dimensions(weights: &Weights) -> Result<Dimensions, ModelError> {
    let shape = weights.shape("decoder/embeddings/weight")?;
    let &[tokens, width] = shape.as_slice() else {
        return Err(ModelError::Shape {
            name: "decoder/embeddings/weight".to_owned(),
            actual: shape,
            expected: vec![0, 0],
        });
    };
    let layers = (0..usize::MAX).take_while(|layer| {
        weights.has(&format!("decoder/layer_{layer}/self_attention/linear_0/weight"))
    });
    Ok(Dimensions { layers: layers.count(), width, tokens })
}

/// Checks context and vocabulary of the decoder before any work; returns the vocabulary.
fn check_decoder(
    directory: &Path,
    weights: &Weights,
    config: &Config,
    dimensions: Dimensions,
) -> Result<Vocabulary, ModelError> {
    let context =
        weights.shape("decoder/position_encodings/encodings")?.first().copied().unwrap_or(0);
    if context < CONTEXT_TOKENS {
        return Err(ModelError::Unsupported {
            path: weights.path().to_owned(),
            reason: format!(
                "the decoder has a context of {context} tokens, expected at least {CONTEXT_TOKENS}"
            ),
        });
    }
    Vocabulary::load(directory, dimensions.tokens, &config.languages)
}

/// Rejects a model that needs more than the available memory, both in bytes.
fn check_memory(needed: u64, available: Option<u64>) -> Result<(), ModelError> {
    match available {
        Some(available) if needed > available => {
            Err(ModelError::Memory { needed: needed >> 20, available: available >> 20 })
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests;
