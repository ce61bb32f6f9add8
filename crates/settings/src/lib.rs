//! Typed settings from environment variables.
//!
//! A program lists its variables in one table of [`Variable`]s: name, help, parser, and the field
//! of its configuration `C` that receives the value. The crate derives from that table the
//! configuration ([`Environment::apply`]), warnings that suggest the nearest known name for an
//! unknown one, an error that lists all invalid values, and the commented example file
//! ([`example`]). The crate does not read the environment: the caller passes the variables in.
//!
//! - [`variable!`]: the entry of one field; [`unused`] and [`replaced`] define variables of the
//!   subnet's reference system that have no effect in this one;
//! - [`file_variables`]: the variables of a file such as `.env`;
//! - [`value`]: parsers of single values, whose errors state the expected form;
//! - [`Secret`]: a value that is never printed and is zeroized on drop;
//! - [`Network`]: the configured chain network, and the variables that select it.
//!
//! ```
//! use taonet_settings::{Environment, Variable, value, variable};
//!
//! struct Config {
//!     retries: u32,
//! }
//! static VARIABLES: &[Variable<Config>] = &[variable!("APP_RETRIES", "Number of retries", retries = value::integer)];
//!
//! let variables = [("APP_RETRIES".into(), "5".into()), ("APP_RETRIE".into(), "7".into())];
//! let (mut config, mut problems) = (Config { retries: 3 }, Vec::new());
//! let warnings = Environment::new(variables, VARIABLES).apply(VARIABLES, &["APP_"], &mut config, &mut problems);
//! assert_eq!((config.retries, problems.len()), (5, 0));
//! assert_eq!(warnings[0].to_string(), "unknown setting APP_RETRIE; hint: did you mean APP_RETRIES?");
//! ```
//!
//! A blank value counts as unset. An invalid value leaves its field unchanged and becomes a
//! [`Problem`]; [`ConfigError`] reports all problems together, without the credentials of URLs. The
//! crate opens no files and has no precedence rules: a caller that also has files or flags applies
//! them in its own order.
//!
//! Uses `taonet-primitives` only. Used by `taonet-neuron` and `taonet-babelbit-config`, which have
//! tables of variables, by `taonet-doctor`, which reports problems, and by crates whose settings
//! hold secrets: `taonet-objects`, `taonet-babelbit-arena` and `taonet-babelbit-chutes`.

mod environment;
mod example;
mod file;
mod network;
mod secret;
pub mod value;
mod variable;

pub use environment::{ConfigError, Environment, Problem, Warning};
pub use example::{Section, example};
pub use file::{LineError, file_variables};
pub use network::{FALLBACK_VARIABLE, NETWORK_VARIABLES, Network, selected_network};
pub use secret::Secret;
pub use variable::{Apply, DisplayValue, Variable, replaced, unused};
