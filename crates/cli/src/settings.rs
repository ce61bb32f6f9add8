//! Settings from the environment, and for Babelbit's commands from the file `.env`.
//!
//! A command reads and validates only the settings that it uses, and a subnet never reads another's. Babelbit's commands
//! read Babelbit's whole table ([`load`]); all other commands name the variables of the operator that they use
//! ([`operator`]), or of a model ([`load_only`]).

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::Path;
use std::sync::OnceLock;

use anyhow::Context as _;
use taonet_babelbit_config::Config;
use taonet_neuron::{OperatorConfig, WalletSettings};
use taonet_settings::{ConfigError, NETWORK_VARIABLES, Warning, file_variables};

use crate::exit::{Classified, Failure};

/// Variables of the wallet whose hotkey signs.
const WALLET: [&str; 3] = ["BITTENSOR_WALLET_COLD", "BITTENSOR_WALLET_HOT", "BITTENSOR_WALLET_PATH"];

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

/// Returns where a variable is set: `environment`, `.env`, or `default` if it is not set. The network's origin is the
/// name of the variable that selects it, unless that is the variable itself.
pub(crate) fn origin(name: &str) -> &'static str {
    let is_set = |name: &str| text(name).is_some_and(|value| !value.trim().is_empty());
    if NETWORK_VARIABLES.contains(&name)
        && let Some(selecting) = NETWORK_VARIABLES.into_iter().find(|known| is_set(known))
        && selecting != name
    {
        return selecting;
    }
    if !is_set(name) {
        "default"
    } else if std::env::var_os(name).is_some() {
        "environment"
    } else {
        FILE
    }
}

/// Reads Babelbit's configuration and its warnings.
pub(crate) fn read() -> Result<(Config, Vec<Warning>), ConfigError> {
    Config::from_variables(set(), dirs::home_dir().as_deref())
}

/// Reads only the named variables of Babelbit; all other fields have their defaults. Invalid values of other variables
/// are no error.
pub(crate) fn load_only(names: &[&str]) -> anyhow::Result<Config> {
    let (config, _) =
        Config::from_variables(named(names), dirs::home_dir().as_deref()).map_err(|error| usage(&error))?;
    Ok(config)
}

/// Reads only the named variables of the operator, as [`load_only`] does.
pub(crate) fn operator(names: &[&str]) -> anyhow::Result<OperatorConfig> {
    OperatorConfig::from_variables(named(names)).map_err(|error| usage(&error))
}

/// Reads the wallet whose hotkey signs.
pub(crate) fn wallet() -> anyhow::Result<WalletSettings> {
    Ok(operator(&WALLET)?.wallet)
}

/// Returns those of the named variables that are set.
fn named(names: &[&str]) -> impl Iterator<Item = (OsString, OsString)> {
    set().filter(|(name, _)| names.iter().any(|known| name == known))
}

fn usage(error: &ConfigError) -> anyhow::Error {
    Classified::error(Failure::Usage, error.to_string())
}

/// Returns the variables that are set in the environment or the file.
fn set() -> impl Iterator<Item = (OsString, OsString)> {
    let from_file = FROM_FILE.get().into_iter().flatten().filter(|(name, _)| std::env::var_os(name).is_none());
    std::env::vars_os().chain(from_file.map(|(name, value)| (name.into(), value.into())))
}

/// Reads Babelbit's configuration and logs its warnings.
pub(crate) fn load() -> anyhow::Result<Config> {
    let (config, warnings) = read().map_err(|error| usage(&error))?;
    for warning in warnings {
        tracing::warn!("{warning}");
    }
    Ok(config)
}
