//! The challenge that an argument names.

use std::path::Path;

use anyhow::Context as _;
use taonet_babelbit_challenges::{Challenge, Challenges};
use taonet_cli_base::exit::ClassifiedError;

/// Finds a shipped challenge by name, or reads one from a file. Errors begin with `label`, the
/// argument of the command line.
pub fn find(label: &str, path: &Path) -> anyhow::Result<Challenge> {
    if let Some(challenge) = Challenges::find(path.to_str().unwrap_or_default())? {
        return Ok(challenge);
    }
    if path.extension().is_none() && !path.exists() {
        let names = Challenges::names().collect::<Vec<_>>().join(", ");
        return Err(ClassifiedError::usage(format!(
            "{label}: neither a shipped challenge nor a file\nhint: the shipped challenges are {names}"
        )));
    }
    Challenge::load(path).with_context(|| format!("{label}: not a readable challenge file"))
}
