//! Audio processing: WAV files, resampling and framing; speech recognition, sentence embeddings and
//! speech synthesis.
//!
//! Recognition, embedding and synthesis are traits, with these local implementations:
//!
//! | Trait | Implementations |
//! |---|---|
//! | [`Recognizer`] | [`CtcRecognizer`], small and embedded; Whisper in `taonet-whisper` |
//! | [`SimultaneousRecognizer`] | [`LocalAgreement`], for any recogniser; AlignAtt in `taonet-whisper` |
//! | [`SentenceEmbedder`] | [`MiniLm`] |
//! | [`Synthesizer`] | [`Espeak`]; neural voices in `taonet-voice` |
//!
//! These implementations are deterministic: on one machine, the same input gives the same output.
//! Audio is [`Pcm`] in memory, [`Wav`] in files, and frames of bytes on the wire
//! ([`split_frames`]). Models come from the catalogue in [`models`], with pinned SHA-256 hashes.
//! `taonet-babelbit-miner` also implements [`Recognizer`] and [`Synthesizer`] as clients of
//! inference servers.
//!
//! ```
//! use taonet_primitives::SampleRate;
//! use taonet_speech::{Pcm, SampleFormat, Wav, resample_for_recognition};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let second = Pcm::mono(vec![0.5; 24_000], SampleRate::new(24_000)?);
//! let file = Wav::encode(&second, SampleFormat::S16)?;
//! let samples = resample_for_recognition(&Wav::decode(&file)?.pcm);
//! assert_eq!(samples.len(), 16_000);
//! # Ok(())
//! # }
//! ```
//!
//! Scores depend on every sample, so decoding, encoding and resampling follow the arithmetic of
//! Babelbit's reference system exactly. Files come from untrusted peers: [`WavError`] names the
//! malformed field, and [`check_recording`] refuses recordings longer than 10 minutes by their
//! header, before they are decoded. A file that is shorter than its header states, such as an
//! interrupted recording, is read to its end. Calls of the traits block: make them on a thread for
//! CPU-heavy work, never on an async executor.
//!
//! The crate plays and records nothing, and supports no file format but WAV. espeak-ng is a
//! separate program that must be installed; models are downloaded only on request
//! ([`models::ModelStore::pull`]).
//!
//! Uses `taonet-primitives` (sample rates, seconds). Used by `taonet-whisper`, which implements
//! [`Recognizer`], by `taonet-voice`, which implements [`Synthesizer`], by `taonet-doctor`, which
//! verifies models, and by nearly every crate of Babelbit that handles speech: engine and miner
//! synthesise it; scorer, workers and miner recognise it.

mod embed;
mod frames;
pub mod models;
mod pcm;
mod recognize;
mod resample;
mod synthesize;
mod wav;

pub use embed::{EmbedError, Embedding, MiniLm, SentenceEmbedder};
pub use frames::{FrameError, bytes_to_samples, samples_to_bytes, split_frames};
pub use pcm::{Pcm, SampleFormat};
pub use recognize::{
    CtcError, CtcRecognizer, LocalAgreement, Recognition, RecognizeError, Recognizer,
    SimultaneousRecognition, SimultaneousRecognizer, check_recording,
};
pub use resample::{resample_endpoints, resample_for_recognition};
pub use synthesize::{Espeak, SynthesisError, Synthesizer, Voice};
pub use wav::{Wav, WavError, WavHeader, encode_pcm};
