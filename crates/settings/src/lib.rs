//! Typed settings from environment variables.
//!
//! A program lists its variables in one table of [`Variable`]s: name, help, parser, and the field of its configuration
//! `C` that the value goes to. From that table come the configuration ([`Environment::apply`]), warnings about unknown
//! names with the nearest known one, errors that name every invalid value at once, and the commented example file
//! ([`example`]). Nothing here reads the environment: the caller passes the variables in.
//!
//! - [`value`]: parsers of single values; errors say what was expected;
//! - [`Secret`]: a value that is never printed and is zeroized on drop;
//! - [`Network`]: the configured chain network, which decides whether development keys are allowed.
//!
//! Uses `taonet-primitives` only. Used by each subnet's configuration crate, and by crates whose settings hold secrets,
//! such as `taonet-objects`.

mod environment;
mod example;
mod network;
mod secret;
pub mod value;
mod variable;

pub use environment::{ConfigError, Environment, Problem, Warning};
pub use example::{Section, example};
pub use network::Network;
pub use secret::Secret;
pub use variable::{Apply, Shown, Variable, replaced, unused};
