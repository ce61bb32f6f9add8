//! Language models as circuits: a proof that a model continues a prompt with a text.
//!
//! [`compile`] makes a circuit of a model of the families that `taonet-lm` loads: it reads up to a fixed number of tokens
//! and computes the logits after each of them. One proof covers a whole answer: the tokens of prompt and answer are the
//! inputs, and each token of the answer is the likeliest one after those before it. [`Text::prove`] writes the answer by the
//! integer network of the circuit, so it is the answer of the quantised model. [`TextBundle::verify_with`] verifies the
//! proof, and that every token of the answer is the one with the largest logit.
//!
//! A later token does not change the logits before it, since attention is causal. So the tokens that an answer leaves
//! unused are zeros.
//!
//! Compiling and proving are CPU-bound and block.
//!
//! Uses `taonet-lm`, `taonet-proof-onnx`, `taonet-proof-core`, `taonet-proof-circuits` and `taonet-primitives`. Used by
//! the `tao proof` commands.

mod answer;
mod bundle;
mod compile;
mod error;
mod graph;
mod model;

pub use answer::{Answer, Finish};
pub use bundle::{Text, TextBundle};
pub use compile::{LmOptions, compile};
pub use error::LmError;
pub use model::LanguageModel;
