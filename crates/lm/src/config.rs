//! Dimensions of a model.

/// Why a model cannot be made or run.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ModelError {
    /// The dimensions do not fit together.
    #[error("model configuration: {0}")]
    Config(&'static str),
    /// A text is longer than the model's context.
    #[error("{tokens} tokens do not fit into a context of {context}")]
    TooLong {
        /// Tokens of the text.
        tokens: usize,
        /// The model's context, in tokens.
        context: usize,
    },
    /// A token is outside the vocabulary, or there is none.
    #[error("tokens are empty or outside the vocabulary")]
    Tokens,
    /// The model's chat template refuses the conversation.
    #[error("chat template: {0}")]
    Template(String),
    /// The tokenizer refuses the text.
    #[error("tokenizer: {0}")]
    Tokenizer(String),
    /// The tensor library failed.
    #[error("model failed")]
    Tensor(#[from] candle_core::Error),
}

/// Stretching of rotary embeddings as in Llama 3.1: slow rotations by `factor`, fast ones not at all.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RopeScaling {
    /// How many times slower the slow rotations are.
    pub factor: f64,
    /// Wavelengths above `original_context / low` are stretched by the whole factor.
    pub low: f64,
    /// Wavelengths below `original_context / high` stay.
    pub high: f64,
    /// Context of the first training, in tokens.
    pub original_context: f64,
}

impl RopeScaling {
    /// The stretched frequency, in radians a token.
    pub(crate) fn apply(&self, frequency: f64) -> f64 {
        let turns = self.original_context * frequency / std::f64::consts::TAU;
        // 0 is stretched, 1 stays.
        let stays = ((turns - self.low) / (self.high - self.low)).clamp(0.0, 1.0);
        frequency * (stays + (1.0 - stays) / self.factor)
    }
}

/// Dimensions of a model.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LlamaConfig {
    /// Tokens of the vocabulary.
    pub vocabulary: usize,
    /// Width of the residual stream.
    pub hidden: usize,
    /// Width of the feed-forward layers.
    pub intermediate: usize,
    /// Layers.
    pub layers: usize,
    /// Attention heads.
    pub heads: usize,
    /// Heads of keys and values; each is shared by `heads / kv_heads` heads.
    pub kv_heads: usize,
    /// Longest text, in tokens.
    pub context: usize,
    /// Base of the rotary embeddings.
    pub rope_theta: f64,
    /// Stretching of the rotary embeddings beyond the context of the first training.
    pub rope_scaling: Option<RopeScaling>,
    /// Added to the mean square in each norm.
    pub norm_eps: f64,
}

impl LlamaConfig {
    pub(crate) const fn head_size(&self) -> usize {
        self.hidden / self.heads
    }

    pub(crate) fn check(&self) -> Result<(), ModelError> {
        let counts =
            [self.vocabulary, self.hidden, self.intermediate, self.layers, self.heads, self.kv_heads, self.context];
        if counts.contains(&0) {
            return Err(ModelError::Config("every dimension must be above 0"));
        }
        if !self.hidden.is_multiple_of(self.heads) || !self.head_size().is_multiple_of(2) {
            return Err(ModelError::Config("hidden must be an even multiple of heads"));
        }
        if !self.heads.is_multiple_of(self.kv_heads) {
            return Err(ModelError::Config("heads must be a multiple of kv_heads"));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::RopeScaling;

    #[test]
    fn slow_rotations_are_stretched() {
        // Llama 3.1's numbers.
        let scaling = RopeScaling { factor: 8.0, low: 1.0, high: 4.0, original_context: 8_192.0 };
        let of_wavelength = |wavelength: f64| {
            let frequency = std::f64::consts::TAU / wavelength;
            scaling.apply(frequency) / frequency
        };
        for (wavelength, expected) in [(100.0, 1.0), (2_048.0, 1.0), (8_192.0, 0.125), (100_000.0, 0.125)] {
            assert!((of_wavelength(wavelength) - expected).abs() < 1e-12, "{wavelength}");
        }
        // Half way between 1 and 4 turns.
        assert!((of_wavelength(8_192.0 / 2.5) - 0.5625).abs() < 1e-12);
    }
}
