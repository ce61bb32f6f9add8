//! Audio processing: WAV files, resampling and framing; speech recognition, sentence embeddings and speech synthesis.
//!
//! The three engines have traits; each implementation is a module beside its trait:
//!
//! | Trait | Implementations |
//! |---|---|
//! | [`Recognizer`] | [`CtcRecognizer`], small and embedded; Whisper in `taonet-whisper` |
//! | [`SentenceEmbedder`] | [`MiniLm`] |
//! | [`Synthesizer`] | [`Espeak`] |
//!
//! All of them are deterministic: the same input gives the same output. Audio is [`Pcm`] inside, [`Wav`] in files, and
//! frames of bytes on the wire ([`split_frames`]). Models come from the catalogue in [`models`], with pinned SHA-256.
//!
//! Uses `taonet-primitives` (sample rates, seconds). Used by Babelbit's engine and miners (speech out), and by its
//! scorer (speech in).

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
pub use recognize::{CtcError, CtcRecognizer, Recognition, RecognizeError, Recognizer, check_recording};
pub use resample::{resample_endpoints, resample_for_recognition};
pub use synthesize::{Espeak, SynthesisError, Synthesizer, Voice};
pub use wav::{Wav, WavError, WavHeader, decode_pcm, encode_pcm};
