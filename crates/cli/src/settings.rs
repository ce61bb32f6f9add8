//! Settings from the environment, and for Babelbit's commands from the file `.env`.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::Path;
use std::sync::OnceLock;

use anyhow::Context as _;
use taonet_babelbit_config::Config;
use taonet_settings::{ConfigError, Warning, file_variables};

use crate::exit::{Classified, Failure};

/// The file of settings in the working directory.
const FILE: &str = ".env";

/// The variables in [`FILE`]. The environment takes precedence.
static FROM_FILE: OnceLock<BTreeMap<String, String>> = OnceLock::new();

/// Loads `.env` in the working directory, if it exists, as the reference's programs do.
pub(crate) fn load_env_file() -> anyhow::Result<()> {
    let path = Path::new(FILE);
    if !path.is_file() {
        return Ok(());
    }
    let text = std::fs::read_to_string(path).context("cannot read .env")?;
    let variables =
        file_variables(&text).map_err(|error| Classified::error(Failure::Usage, format!("{FILE}: {error}")))?;
    tracing::debug!(file = FILE, variables = variables.len(), "settings read");
    FROM_FILE.get_or_init(|| variables);
    Ok(())
}

/// Returns the value of a variable.
pub(crate) fn variable(name: &str) -> Option<OsString> {
    std::env::var_os(name).or_else(|| Some(FROM_FILE.get()?.get(name)?.into()))
}

/// Returns the value of a variable, if it is text.
pub(crate) fn text(name: &str) -> Option<String> {
    variable(name)?.into_string().ok()
}

/// Returns where a variable is set: `environment`, `.env`, or `default` if it is not set.
pub(crate) fn origin(name: &str) -> &'static str {
    if text(name).is_none_or(|value| value.trim().is_empty()) {
        "default"
    } else if std::env::var_os(name).is_some() {
        "environment"
    } else {
        FILE
    }
}

/// Reads the configuration and its warnings.
pub(crate) fn read() -> Result<(Config, Vec<Warning>), ConfigError> {
    let from_file = FROM_FILE.get().into_iter().flatten().filter(|(name, _)| std::env::var_os(name).is_none());
    let from_file = from_file.map(|(name, value)| (name.into(), value.into()));
    Config::from_variables(std::env::vars_os().chain(from_file), dirs::home_dir().as_deref())
}

/// Reads the configuration and logs its warnings.
pub(crate) fn load() -> anyhow::Result<Config> {
    let (config, warnings) = read().map_err(|error| Classified::error(Failure::Usage, error.to_string()))?;
    for warning in warnings {
        tracing::warn!("{warning}");
    }
    Ok(config)
}
