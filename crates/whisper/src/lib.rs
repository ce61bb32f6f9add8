//! Whisper speech recognition in Rust: int8 inference, faster-whisper's rules of transcription, many recordings at once.
//!
//! The subnet's validators hear miners with [faster-whisper](https://github.com/SYSTRAN/faster-whisper), which spends nearly
//! all the time of a challenge. This crate reads the same files (CTranslate2's `model.bin`, or Hugging Face safetensors),
//! applies the same rules and computes the same numbers, in less time and without a C++ build.
//!
//! Uses `taonet-primitives` and `taonet-speech` (the trait); matrix products of `rten-gemm`. Used by `taonet-cli`, behind
//! [`taonet_speech::Recognizer`].
//!
//! # From sound to text
//!
//! 1. The log-mel front end (`mel`) turns samples into 80 or 128 bands a frame of 10 ms.
//! 2. The `encoder` turns a window of 30 s into 1 500 states; the `decoder` keeps their keys and values in 16 bits for its
//!    cross-attention.
//! 3. `search` decodes a window: beam search at temperature 0, best of several samples above it, under the `rules` of
//!    suppressed tokens and timestamps.
//! 4. `transcribe` goes through a recording: language, prompt, fallback to higher temperatures, silence, segments, and
//!    where the next window begins. `align` and `words` time each word.
//! 5. `engine` is the scheduler: the windows of many recordings are decoded together.
//!
//! # Numbers
//!
//! Weights are quantised when they are loaded as CTranslate2 does for `compute_type="int8"`: one scale an output channel;
//! activations are quantised by row at run time. Integer products come from `rten-gemm`, with AVX-512 VNNI, AVX2 or NEON
//! as the machine has them; all give the same integers. Attention, normalisation and convolutions are in f32.
//!
//! # Example
//!
//! ```no_run
//! use std::path::Path;
//! use std::sync::Arc;
//! use taonet_whisper::{EngineSize, Model, Options, Transcriber};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let model = Arc::new(Model::open(Path::new("faster-whisper-small"))?);
//! let options = Options { word_timestamps: true, ..Options::default() };
//! let transcriber = Transcriber::start("faster-whisper-small", &model, options, EngineSize::for_model(&model))?;
//! let samples = vec![0.0; 16_000];
//! for segment in transcriber.transcribe(&samples)?.segments {
//!     assert!(segment.end > segment.start);
//! }
//! # Ok(())
//! # }
//! ```

mod align;
mod config;
mod decoder;
mod encoder;
mod engine;
mod error;
mod files;
mod kernel;
mod load;
mod mel;
mod model;
mod options;
#[cfg(test)]
mod peer;
mod recognizer;
mod rules;
mod search;
mod segments;
#[cfg(test)]
mod testing;
mod transcribe;
mod vocabulary;
mod words;

pub use engine::{Engine, EngineSize};
pub use error::{ModelError, TranscribeError};
pub use mel::SAMPLE_RATE;
pub use model::Model;
pub use options::Options;
pub use recognizer::Transcriber;
pub use transcribe::{Segment, Transcription, Word};
