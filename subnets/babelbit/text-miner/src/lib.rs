//! The miner of the text-prediction contest: predicts the complete utterance each time one of its
//! words is revealed.
//!
//! The engine reveals a dialogue word by word. After each word the validator asks the miner for the
//! complete utterance, and scores how early and how well the prediction matches. Predictions
//! therefore have to be fast and cheap: an n-gram model answers in microseconds, without an
//! accelerator; an inference server answers within its deadline.
//!
//! - [`ngram`]: [`ngram::NgramModel`], a model with back-off: the longest known context at the end
//!   of the text selects the next word. [`ngram::Trainer`] builds one from utterances;
//!   [`ngram::NgramModel::save`] and [`ngram::NgramModel::load`] use a file format with a checksum.
//! - [`backend`]: [`backend::Backend`], the model of any inference server with OpenAI's API, with a
//!   timeout and the n-gram model as a fallback.
//! - [`causal`]: [`causal::Causal`], GPT-2 or Llama in this process, with a key-value cache for
//!   each utterance.
//! - [`model`]: the trait [`model::TextModel`], for models of your own, and two trivial models as
//!   baselines.
//! - [`server`]: the HTTP routes of any model. [`server::router`] serves requests that a
//!   [`server::signed_requests`] layer has verified, [`server::unsigned_router`] also those without
//!   a signature; a [`Refusal`] says why a request was refused.
//!
//! ```
//! use taonet_babelbit_text_miner::ngram::{TrainError, Trainer};
//!
//! # fn main() -> Result<(), TrainError> {
//! let mut trainer = Trainer::new(3)?;
//! trainer.add("the ferry leaves at noon")?;
//! trainer.add("the ferry leaves at noon")?;
//! let model = trainer.finish(|_| ())?;
//! assert_eq!(model.complete("the ferry"), "the ferry leaves at noon");
//! # Ok(())
//! # }
//! ```
//!
//! `bb text train` trains a model from a corpus, `bb miner --contest text` serves it. A model of
//! your own implements [`model::TextModel`] and is passed to [`server::router`]; it runs on the
//! server's async threads, so it must compute for a few milliseconds at most. The crate does not
//! score predictions (`taonet_babelbit_core::text` does) and downloads no corpus.
//!
//! Uses `taonet-wire` (signed requests), `taonet-http` (inference servers), `taonet-lm` (language
//! models), `taonet-babelbit-core` (the messages of `text_api`), `taonet-service` (atomic files)
//! and `taonet-primitives`. Used by `bb miner --contest text`, `bb text train` and the
//! demonstration.

mod line;
mod refusal;

pub mod backend;
pub mod causal;
pub mod model;
pub mod ngram;
pub mod server;

pub use refusal::Refusal;
