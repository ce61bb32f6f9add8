//! In-process neural voices: the VITS models of
//! [Piper](https://github.com/OHF-Voice/piper1-gpl), on rten.
//!
//! A reply in espeak-ng's formant synthesis sounds like a machine, and recognisers that were
//! trained on people make many errors with it. A voice of Piper is a network of about 16 million
//! parameters that has learnt from recordings of a person: `FILE.onnx`, with its configuration in
//! `FILE.onnx.json`. [`PiperVoice`] implements [`taonet_speech::Synthesizer`], so that it can take
//! the place of espeak-ng everywhere.
//!
//! Compiling rten takes longer than the crate of the trait, whose many users do not need it: hence
//! a separate crate.
//!
//! Uses `taonet-speech` (the trait, and the process of espeak-ng) and `taonet-primitives` (sample
//! rates). Used by the commands of `tao`, for miners and `tao speech synthesize`.
//!
//! # Pipeline
//!
//! 1. `clauses` splits the text into clauses at the same punctuation as espeak-ng.
//! 2. The process of espeak-ng translates a sentence into phonemes of the International Phonetic
//!    Alphabet, clause by clause; the punctuation is added again, since the network has learnt its
//!    intonation.
//! 3. `phonemes` splits sentences of more than 10 s into phrases, and maps each phoneme to its
//!    IDs in the configuration.
//! 4. `network` turns the phoneme IDs of a phrase into samples: rten runs the network up to its
//!    decoder, and `decoder` the rest, with its own kernels: twice as fast with half of the
//!    memory, since rten gathers the inputs of each convolution in a matrix. A network whose
//!    decoder has other nodes than those of Piper's runs on rten as a whole.
//!
//! # Numbers
//!
//! The random variations in pitch and duration are off, so that the same text always gives the same
//! samples; recognisers understand them as well. As in Piper, each sentence is scaled to the full
//! range. A sentence's samples are those of `piper-tts` with its noise scales set to 0, except for
//! two deviations: a long sentence is spoken in several phrases, whose intonation ends at each,
//! while `piper-tts` runs the network once; and espeak-ng on this machine can be another version
//! than that within `piper-tts`, with other phonemes of a few words. `pace` compares the voice with
//! espeak-ng, so that a speaking rate in words per minute means the same with both: it scales the
//! durations of all phonemes.
//!
//! # Files of voices
//!
//! `onnx` checks the structure of a network before rten reads it, so that a damaged file is an
//! error. A network is a program, though: a malicious one could take any amount of time and memory.
//!
//! ```no_run
//! use std::path::Path;
//! use taonet_speech::{SampleFormat, Synthesizer, Voice, Wav};
//! use taonet_voice::PiperVoice;
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let piper = PiperVoice::open(Path::new("en_US-joe-medium.onnx"))?;
//! let voice = Voice { name: piper.name().to_owned(), words_per_minute: 150, pitch: 50 };
//! let file = Wav::encode(&piper.speak("Good morning.", &voice)?, SampleFormat::S16)?;
//! # Ok(())
//! # }
//! ```

mod clauses;
mod config;
mod decoder;
mod error;
mod file;
mod network;
mod onnx;
mod pace;
mod phonemes;
mod piper;
#[cfg(test)]
mod testing;

pub use error::VoiceError;
pub use piper::PiperVoice;
