//! Speech and language models that commands of several subnets run, and the commands `tao models`
//! and `tao speech`.
//!
//! - [`engines`] loads recognisers by their names in Babelbit's settings: the embedded one, or
//!   Whisper from the model store or a directory. It refuses a recogniser whose scores would differ
//!   from those of other validators.
//! - [`download`] downloads models.
//! - [`language`] parses the language of speech.
//! - [`voice`] selects a synthesiser: espeak-ng, or a neural voice.
//! - [`chat_model`] opens a language model by path or by name: miners of Nineteen and of text
//!   prompting serve it, and validators compare answers with it.
//! - [`models`] lists, downloads and verifies models; [`speech`] transcribes, synthesises, compares
//!   and resamples.
//! - [`settings`] reads the few variables that select models, such as `BB_MODELS_DIR`.
//!
//! Models are files of a store that `taonet-speech` defines, with sizes and sums; a command that
//! needs a missing one fails with the command that downloads it, except for the demonstrations,
//! which download it themselves.
//!
//! A recogniser's settings are part of Babelbit's table of settings, since validators of Babelbit
//! must agree on them; this is why a crate for all subnets uses two crates of Babelbit. Other
//! subnets use [`chat_model`] only, which reads the directory of models and nothing else from that
//! table.
//!
//! The crate runs no service: the daemons that serve a model are in the crates of their subnets.
//!
//! Uses `taonet-babelbit-config`, `taonet-babelbit-scorer`, `taonet-cli-base`, `taonet-lm`,
//! `taonet-primitives`, `taonet-service`, `taonet-speech`, `taonet-voice` and `taonet-whisper`.
//! Used by `taonet-cli`, `taonet-cli-babelbit`, `taonet-cli-demo`, `taonet-cli-nineteen` and
//! `taonet-cli-prompting`.

#![allow(
    clippy::missing_errors_doc,
    reason = "errors are messages for the user, with an exit code"
)]

pub mod chat_model;
pub mod download;
pub mod engines;
pub mod language;
pub mod models;
mod named_model;
pub mod settings;
pub mod speech;
pub mod voice;
