//! Sound in and out: WAV files, resampling and framing; recognisers, sentence embeddings and speech synthesis.
//!
//! The three engines stand behind traits, [`Recognizer`], [`SentenceEmbedder`] and [`Synthesizer`]; each
//! implementation is a module beside its trait. All of them are deterministic: the same input gives the same output.

mod embed;
pub mod models;
mod pcm;
mod recognize;
mod synthesize;

pub use embed::{CachedEmbedder, EmbedError, Embedding, MiniLm, SentenceEmbedder};
pub use pcm::{Pcm, SampleFormat};
pub use recognize::{Recognition, RecognizeError, Recognizer};
pub use synthesize::{SynthesisError, Synthesizer, Voice};
