//! The miner of the text-prediction contest: predicts a whole utterance each time a word of it is revealed.
//!
//! - [`ngram`]: a model that continues the revealed words by the longest context it knows; its training and its file;
//! - [`model`]: the interface of a model, and two trivial ones to compare with;
//! - [`server`]: the HTTP routes.
//!
//! Uses `taonet-wire` (signed requests), `taonet-service` (atomic files) and the messages of
//! `taonet_babelbit_core::text_api`.
//! Used by `bb miner --contest text`, `bb text train` and the demonstration.

mod refusal;

pub mod model;
pub mod ngram;
pub mod server;

pub use refusal::Refusal;
