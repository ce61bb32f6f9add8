//! The supported architectures.

use crate::gpt2::Gpt2;
use crate::{KvCache, Llama, ModelError};

/// A network of one of the supported architectures.
#[derive(Debug)]
pub(crate) enum Network {
    /// GPT-2.
    Gpt2(Gpt2),
    /// Llama or a similar architecture.
    Llama(Llama),
}

impl Network {
    pub(crate) const fn architecture(&self) -> &'static str {
        match self {
            Self::Gpt2(_) => "GPT-2",
            Self::Llama(model) => model.architecture(),
        }
    }

    pub(crate) const fn vocabulary(&self) -> usize {
        match self {
            Self::Gpt2(model) => model.config.vocabulary,
            Self::Llama(model) => model.config().vocabulary,
        }
    }

    pub(crate) const fn context(&self) -> usize {
        match self {
            Self::Gpt2(model) => model.config.context,
            Self::Llama(model) => model.config().context,
        }
    }

    pub(crate) fn next(&self, tokens: &[u32], cache: &mut KvCache) -> Result<Vec<f32>, ModelError> {
        match self {
            Self::Gpt2(model) => model.next(tokens, cache),
            Self::Llama(model) => model.next(tokens, cache),
        }
    }
}
