//! Whisper speech recognition in Rust: int8 inference, faster-whisper's transcription rules,
//! batched decoding.
//!
//! Validators transcribe miners' audio with
//! [faster-whisper](https://github.com/SYSTRAN/faster-whisper); transcription dominates the run
//! time of a challenge. This crate reads the same files (CTranslate2's `model.bin`, or Hugging Face
//! safetensors), applies the same rules and computes nearly the same numbers, in less time and
//! without a C++ build; docs/benchmarks.md lists the remaining differences.
//!
//! Uses `taonet-primitives`, `taonet-speech` (the trait), `rten-gemm`, `taonet-amx` and
//! `taonet-avx512` (matrix products). Used by the commands of `tao` through
//! [`taonet_speech::Recognizer`].
//!
//! # Pipeline
//!
//! 1. The log-mel front end (`mel`) computes 80 or 128 mel bands per frame of 10 ms.
//! 2. The `encoder` maps a window of 30 s to 1 500 hidden states; the `decoder` stores their
//!    cross-attention keys and values as f16, and those of its tokens as f32: rounding these moves
//!    word times.
//! 3. `search` decodes a window: beam search at temperature 0, best-of-n sampling above it, under
//!    the `rules` for suppressed tokens and timestamps.
//! 4. `transcribe` handles a complete recording: language detection, prompt, temperature fallback,
//!    silence detection, segments, and the start of the next window. `align` and `words` compute
//!    word timestamps, also those of a known text ([`Model::time_words`]).
//! 5. `simultaneous` recognises unfinished speech: [`AlignAtt`] decides which of its words are
//!    ready for use.
//! 6. `engine` is the scheduler: each of its threads decodes the windows of several recordings in
//!    one batch.
//!
//! # Numbers
//!
//! Weights are quantised at load time as CTranslate2 does for `compute_type="int8"`: one scale per
//! output channel; activations are quantised per row at run time. Files are read tensor by tensor
//! and not memory-mapped: weights are packed for the processor anyway, mapping needs `unsafe`, and
//! a mapped file that is truncated kills the process. Integer products come from
//! `taonet-amx`, `taonet-avx512`, or `rten-gemm` with AVX2 or NEON, depending on the CPU; all give
//! the same integers. Attention, normalisation and convolutions run in f32, whose last digits
//! depend on the CPU's instruction set. With AMX, attention and convolutions multiply f32 values in
//! three bf16 parts, which have all bits of f32. With AVX-512 VNNI, the encoder's attention
//! multiplies in 16-bit fixed point, which is finer than the rounding of the int8 products around
//! it: to 2^-12 of a value of typical size, where they round to about 2^-7. Keys and values are
//! stored less their means. The instruction multiplies twice as many values of int16 as of f32, so
//! that the encoder takes a fifth less time; bf16, as fast, moved the outputs of a layer twice as
//! far, and with them word times. [`Model::kernels`] names the kernels, and is part of a
//! recogniser's fingerprint.
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
//!     println!("{:.2} s to {:.2} s:{}", segment.start, segment.end, segment.text);
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
mod memory;
mod model;
mod options;
#[cfg(test)]
mod peer_tests;
mod recognizer;
mod rules;
mod search;
mod segments;
mod simultaneous;
#[cfg(test)]
mod testing;
mod transcribe;
mod vocabulary;
mod words;

pub use engine::{Engine, EngineSize};
pub use error::{ModelError, TranscribeError};
pub use mel::SAMPLE_RATE;
pub use model::Model;
pub use options::{Options, SpeechTask, language_code};
pub use recognizer::Transcriber;
pub use simultaneous::{AlignAtt, AlignAttOptions};
pub use transcribe::{Segment, Transcription, Word};
