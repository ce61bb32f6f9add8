//! Dimensions of a model.

/// Why creating or running a model failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ModelError {
    /// The dimensions are inconsistent.
    #[error("invalid model configuration: {0}")]
    Config(&'static str),
    /// A text is longer than the model's context.
    #[error("{tokens} tokens exceed the context of {context} tokens")]
    TooLong {
        /// Number of tokens of the text.
        tokens: usize,
        /// The model's context, in tokens.
        context: usize,
    },
    /// There are no tokens, or a token is outside the vocabulary.
    #[error("the prompt has no tokens, or tokens outside the vocabulary")]
    Tokens,
    /// The model's chat template rejects the conversation.
    #[error("cannot apply the chat template: {0}")]
    Template(String),
    /// The tokenizer rejects the text.
    #[error("tokenisation failed: {0}")]
    Tokenizer(String),
    /// The tensor library failed.
    #[error("the tensor library failed")]
    Tensor(#[from] candle_core::Error),
}

/// Scaling of rotary embeddings as in Llama 3.1: low frequencies are divided by `factor`, high
/// frequencies are unchanged.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RopeScaling {
    /// Divisor of low frequencies.
    pub factor: f64,
    /// Low-frequency bound: wavelengths above `original_context / low` tokens are scaled by the
    /// full factor.
    pub low: f64,
    /// High-frequency bound: wavelengths below `original_context / high` tokens are not scaled.
    pub high: f64,
    /// Context length before scaling, in tokens.
    pub original_context: f64,
}

impl RopeScaling {
    /// Returns the scaled frequency, in radians per token.
    pub(crate) fn apply(&self, frequency: f64) -> f64 {
        let rotations = self.original_context * frequency / std::f64::consts::TAU;
        // Unscaled share of the frequency: 0 for full scaling, 1 for none.
        let unscaled_share = ((rotations - self.low) / (self.high - self.low)).clamp(0.0, 1.0);
        frequency * (unscaled_share + (1.0 - unscaled_share) / self.factor)
    }
}

/// Architectures of the Llama family.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum LlamaKind {
    /// Llama.
    #[default]
    Llama,
    /// Qwen 2 and 2.5: queries, keys and values have a bias.
    Qwen2,
    /// Qwen 3: each head of queries and keys has an RMS norm before the rotation.
    Qwen3,
    /// Gemma 3: like Qwen 3, with norms of the outputs of attention and feed-forward layers, scaled
    /// embeddings, GELU, and [local layers](LocalLayers).
    Gemma3,
}

impl LlamaKind {
    /// Returns the architecture with this name in GGUF files.
    pub(crate) fn from_name(name: &str) -> Option<Self> {
        match name {
            "llama" => Some(Self::Llama),
            "qwen2" => Some(Self::Qwen2),
            "qwen3" => Some(Self::Qwen3),
            "gemma3" => Some(Self::Gemma3),
            _ => None,
        }
    }

    /// Returns the name for readers.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Llama => "Llama",
            Self::Qwen2 => "Qwen 2",
            Self::Qwen3 => "Qwen 3",
            Self::Gemma3 => "Gemma 3",
        }
    }

    /// Whether prompts begin with the BOS token of the configuration, unless the tokenizer says
    /// otherwise. The configurations of Qwen name a token that their tokenizers do not add.
    pub(crate) const fn adds_bos(self) -> bool {
        !matches!(self, Self::Qwen2 | Self::Qwen3)
    }

    /// Whether each head of queries and keys has a norm.
    pub(crate) const fn has_head_norms(self) -> bool {
        matches!(self, Self::Qwen3 | Self::Gemma3)
    }
}

/// Local layers, whose tokens attend to a window of the latest tokens only.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LocalLayers {
    /// Number of tokens that a token attends to, with itself.
    pub window: usize,
    /// Base of the rotary embeddings of local layers.
    pub rope_theta: f64,
    /// Every `period`-th layer is global, all others are local.
    pub period: usize,
}

/// Dimensions of a model of the Llama family.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LlamaConfig {
    /// Architecture.
    pub kind: LlamaKind,
    /// Number of tokens in the vocabulary.
    pub vocabulary: usize,
    /// Width of the residual stream.
    pub hidden: usize,
    /// Width of the feed-forward layers.
    pub intermediate: usize,
    /// Number of layers.
    pub layers: usize,
    /// Number of attention heads.
    pub heads: usize,
    /// Number of key-value heads; each is shared by `heads / kv_heads` attention heads.
    pub kv_heads: usize,
    /// Width of a head: `hidden / heads`, except for Qwen 3 and Gemma 3.
    pub head_size: usize,
    /// Local layers, if there are any.
    pub local: Option<LocalLayers>,
    /// Maximum context length, in tokens.
    pub context: usize,
    /// Base of the rotary embeddings.
    pub rope_theta: f64,
    /// Scaling of the rotary embeddings for contexts longer than the original one.
    pub rope_scaling: Option<RopeScaling>,
    /// Epsilon added to the mean square in each norm.
    pub norm_eps: f64,
}

/// Greatest context length, in tokens. Positions are 32-bit floats, which represent every integer
/// up to this one.
const MAX_CONTEXT: usize = 1 << 24;

impl LlamaConfig {
    /// Returns the width of the queries of all heads.
    pub(crate) const fn query_width(&self) -> usize {
        self.heads * self.head_size
    }

    /// Returns the width of the keys, and of the values, of all heads.
    pub(crate) const fn kv_width(&self) -> usize {
        self.kv_heads * self.head_size
    }

    /// Returns the local layers' parameters if this layer is one of them.
    pub(crate) fn local_layer(&self, layer: usize) -> Option<LocalLayers> {
        self.local.filter(|local| !(layer + 1).is_multiple_of(local.period))
    }

    /// Returns the size of heads that divide the width of the residual stream evenly; 0, which
    /// [`check`](Self::check) rejects, if they cannot.
    pub(crate) fn default_head_size(hidden: usize, heads: usize) -> usize {
        if heads > 0 && hidden.is_multiple_of(heads) { hidden / heads } else { 0 }
    }

    pub(crate) fn check(&self) -> Result<(), ModelError> {
        let counts = [
            self.vocabulary,
            self.hidden,
            self.intermediate,
            self.layers,
            self.heads,
            self.kv_heads,
            self.context,
        ];
        if counts.contains(&0) {
            return Err(ModelError::Config("every dimension must be above 0"));
        }
        if self.head_size == 0 || !self.head_size.is_multiple_of(2) {
            return Err(ModelError::Config(
                "hidden must be an even multiple of heads, or the head size be even",
            ));
        }
        if self.heads.checked_mul(self.head_size).is_none() {
            return Err(ModelError::Config("heads of this size are too large"));
        }
        if !self.heads.is_multiple_of(self.kv_heads) {
            return Err(ModelError::Config("heads must be a multiple of kv_heads"));
        }
        if self.context > MAX_CONTEXT {
            return Err(ModelError::Config(
                "the context length (max_position_embeddings, or llama.context_length) must be at most 16777216 tokens",
            ));
        }
        let thetas = [Some(self.rope_theta), self.local.map(|local| local.rope_theta)];
        if !thetas.into_iter().flatten().all(|theta| theta > 0.0 && theta.is_finite()) {
            return Err(ModelError::Config("rope_theta must be above 0"));
        }
        if self.local.is_some_and(|local| local.window == 0 || local.period == 0) {
            return Err(ModelError::Config(
                "the window and the period of local layers must be above 0",
            ));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::RopeScaling;

    #[test]
    fn low_rotary_frequencies_are_scaled() {
        // Parameters of Llama 3.1.
        let scaling = RopeScaling { factor: 8.0, low: 1.0, high: 4.0, original_context: 8_192.0 };
        let frequency_ratio = |wavelength: f64| {
            let frequency = std::f64::consts::TAU / wavelength;
            scaling.apply(frequency) / frequency
        };
        for (wavelength, expected) in
            [(100.0, 1.0), (2_048.0, 1.0), (8_192.0, 0.125), (100_000.0, 0.125)]
        {
            assert!((frequency_ratio(wavelength) - expected).abs() < 1e-12, "{wavelength}");
        }
        // Halfway between 1 and 4 turns.
        assert!((frequency_ratio(8_192.0 / 2.5) - 0.5625).abs() < 1e-12);
    }
}
