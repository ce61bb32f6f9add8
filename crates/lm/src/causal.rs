//! Causal language models of any supported architecture, file format and device.

use std::fmt;
use std::path::Path;
use std::str::FromStr;

use candle_core::Device;

use crate::checkpoint::{self, Checkpoint, Conversion, GgufCheckpoint};
use crate::linear::Bits;
use crate::network::Network;
use crate::{KvCache, LoadError, ModelError, Vocabulary};

/// Device on which a model runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Compute {
    /// The processor.
    #[default]
    Cpu,
    /// The first NVIDIA GPU; needs the cargo feature `cuda`.
    Cuda,
    /// Apple's GPU; needs the cargo feature `metal`.
    Metal,
}

impl Compute {
    /// Returns the name of the device: `cpu`, `cuda` or `mps`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Cpu => "cpu",
            Self::Cuda => "cuda",
            Self::Metal => "mps",
        }
    }

    fn open(self) -> Result<Device, LoadError> {
        let (device, feature) = match self {
            Self::Cpu => return Ok(Device::Cpu),
            Self::Cuda => (Device::new_cuda(0), "cuda"),
            Self::Metal => (Device::new_metal(0), "metal"),
        };
        device.map_err(|source| LoadError::Device { name: self.as_str(), feature, source })
    }
}

impl fmt::Display for Compute {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

impl FromStr for Compute {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let devices = [Self::Cpu, Self::Cuda, Self::Metal];
        devices.into_iter().find(|device| device.as_str() == text).ok_or("cpu, cuda or mps")
    }
}

/// Options for loading a model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LoadOptions {
    /// Device on which a model runs.
    pub device: Compute,
    /// Width to which matrices of floats are quantised; `None` keeps 32-bit floats. Quantised
    /// matrices of a GGUF file are not converted.
    pub bits: Option<Bits>,
}

/// A causal language model: GPT-2 or Llama with its vocabulary.
#[derive(Debug)]
pub struct CausalModel {
    pub(crate) network: Network,
    vocabulary: Vocabulary,
    has_quantized_file: bool,
}

impl CausalModel {
    /// Loads a model from a GGUF file, from a directory with one GGUF file, or from a directory in
    /// Hugging Face's format: `config.json`, `model.safetensors` (or parts with an index) and
    /// `tokenizer.json`. The tokenizer of a GGUF file is the `tokenizer.json` beside it, or the one
    /// in the file: byte-level BPE with one of llama.cpp's pre-tokenizers, or SentencePiece.
    ///
    /// # Errors
    /// [`LoadError`], which names the file, field or tensor that is missing, malformed or
    /// unsupported.
    pub fn open(path: &Path, options: LoadOptions) -> Result<Self, LoadError> {
        let LoadOptions { device, bits } = options;
        let device = device.open()?;
        let Some(path) = checkpoint::gguf_file(path)? else {
            let Checkpoint { network, bos_token, end_tokens } =
                checkpoint::load(path, device, bits)?;
            let vocabulary = Vocabulary::open(path, network.vocabulary(), bos_token, end_tokens)?;
            return Ok(Self { network, vocabulary, has_quantized_file: false });
        };
        let GgufCheckpoint { checkpoint, tokenizer, is_quantized, .. } =
            checkpoint::load_gguf(&path, device, Conversion::Floats(bits))?;
        let Checkpoint { network, bos_token, end_tokens } = checkpoint;
        let vocabulary =
            Vocabulary::from_gguf(&path, tokenizer, network.vocabulary(), bos_token, end_tokens)?;
        Ok(Self { network, vocabulary, has_quantized_file: is_quantized })
    }

    /// Whether the model is from a GGUF file with quantised matrices, to which
    /// [`LoadOptions::bits`] does not apply.
    pub const fn has_quantized_file(&self) -> bool {
        self.has_quantized_file
    }

    /// Returns the name of the architecture.
    pub const fn architecture(&self) -> &'static str {
        self.network.architecture()
    }

    /// Returns the maximum context length, in tokens.
    pub const fn context(&self) -> usize {
        self.network.context()
    }

    /// Returns the model's vocabulary.
    pub const fn vocabulary(&self) -> &Vocabulary {
        &self.vocabulary
    }

    /// Processes tokens that follow those in the cache, and returns the logits after the last one.
    /// Blocks while it computes.
    ///
    /// # Errors
    /// [`ModelError::TooLong`] when the tokens exceed the context, [`ModelError::Tokens`] when
    /// there are none or one is outside the vocabulary; the cache is unchanged then.
    pub fn next(&self, tokens: &[u32], cache: &mut KvCache) -> Result<Vec<f32>, ModelError> {
        self.network.next(tokens, cache)
    }
}

#[cfg(test)]
mod tests;
