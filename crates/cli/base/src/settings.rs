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
use taonet_babelbit_config::{Config, Difference, differences};
use taonet_chain::Network;
use taonet_doctor::{Check, Finding};
use taonet_neuron::{OperatorConfig, WalletSettings};
use taonet_settings::{ConfigError, FALLBACK_VARIABLE, NETWORK_VARIABLES, Problem, Warning, file_variables};

use crate::exit::{Classified, Failure};

/// Variables of the wallet whose hotkey signs.
const WALLET: [&str; 3] = ["BITTENSOR_WALLET_COLD", "BITTENSOR_WALLET_HOT", "BITTENSOR_WALLET_PATH"];

/// Expected form of the variables that select the network.
const NETWORK_FORM: &str =
    "finney, test, archive, local, or URLs of nodes (ws://HOST:PORT or wss://HOST:PORT), separated by commas";

/// The file of settings in the working directory.
const FILE: &str = ".env";

/// The variables of the loaded file. The environment takes precedence.
static FROM_FILE: OnceLock<BTreeMap<String, String>> = OnceLock::new();

/// Loads `.env` in the working directory, if it exists, as the reference's programs do.
pub(crate) fn load_env_file() -> anyhow::Result<()> {
    let path = Path::new(FILE);
    if !path.is_file() {
        return Ok(());
    }
    load_file(path)
}

/// Loads a file of settings in place of `.env`.
pub(crate) fn load_file(path: &Path) -> anyhow::Result<()> {
    let file = path.display();
    let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {file}"))?;
    let variables =
        file_variables(&text).map_err(|error| Classified::error(Failure::Usage, format!("{file}: {error}")))?;
    tracing::debug!(%file, variables = variables.len(), "settings read");
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
    if NETWORK_VARIABLES.contains(&name)
        && let Some(selecting) = NETWORK_VARIABLES.into_iter().find(|variable| is_set(variable))
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

/// Like [`read`], and also validates the network, which other commands validate when they connect to it.
pub(crate) fn read_with_network() -> Result<(Config, Vec<Warning>), ConfigError> {
    let further = network_problems(text);
    match read() {
        Ok(read) if further.is_empty() => Ok(read),
        Ok(_) => Err(ConfigError { problems: further }),
        Err(ConfigError { mut problems }) => {
            problems.extend(further);
            Err(ConfigError { problems })
        }
    }
}

/// Babelbit's valid settings, and what is wrong with them nevertheless.
pub(crate) struct CheckedSettings {
    /// The settings.
    pub(crate) config: Config,
    /// Warnings about unknown settings and those without effect.
    pub(crate) warnings: Vec<Warning>,
    /// The set variables whose values have another effect than in the reference, and no warning.
    pub(crate) differences: Vec<&'static Difference>,
    /// All of these.
    pub(crate) findings: Vec<Finding>,
}

/// Reads Babelbit's settings, as [`read_with_network`] does, and reports on them.
pub(crate) fn check() -> Result<CheckedSettings, ConfigError> {
    let (config, warnings) = read_with_network()?;
    let has_warning = |name: &str| {
        let mut names = warnings.iter().map(|warning| match warning {
            Warning::Unknown { name, .. } | Warning::NoEffect { name, .. } => name,
        });
        names.any(|warned| warned == name)
    };
    let differences: Vec<_> = differences()
        .iter()
        .filter(|row| row.matters(text(row.name).as_deref(), &config) && !has_warning(row.name))
        .collect();
    let mut findings = Vec::new();
    if differences.is_empty() || !warnings.is_empty() {
        findings = taonet_doctor::settings(Ok(&warnings));
    }
    findings
        .extend(differences.iter().map(|row| taonet_doctor::difference(row.name, row.reference, row.here, row.remedy)));
    Ok(CheckedSettings { config, warnings, differences, findings })
}

/// Reports the variables that select the network and are invalid; other subnets than Babelbit have no further settings
/// in the environment.
pub(crate) fn check_network() -> Vec<Finding> {
    let problems = network_problems(text);
    if problems.is_empty() {
        let reason = "the variables of Babelbit's daemons are not used by other subnets";
        return vec![Finding::skipped(Check::Settings, "environment", reason)];
    }
    taonet_doctor::settings(Err(&ConfigError { problems }))
}

/// Whether a variable has a value that is not blank.
pub(crate) fn is_set(name: &str) -> bool {
    text(name).is_some_and(|value| !value.trim().is_empty())
}

/// Returns the variables that do not name a network. `variable` returns the value of a variable.
fn network_problems(variable: impl Fn(&str) -> Option<String>) -> Vec<Problem> {
    let values =
        NETWORK_VARIABLES.into_iter().chain([FALLBACK_VARIABLE]).filter_map(|name| Some((name, variable(name)?)));
    let set = values.map(|(name, value)| (name, value.trim().to_owned())).filter(|(_, value)| !value.is_empty());
    let invalid = set.filter(|(_, value)| value.parse::<Network>().is_err());
    invalid
        .map(|(name, value)| {
            // A malformed URL can contain credentials that no parser finds.
            let value = if value.contains('@') { "…".to_owned() } else { value };
            Problem { name: name.to_owned(), value, expected: NETWORK_FORM }
        })
        .collect()
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variable_that_names_no_network_is_problem() {
        for (set, expected) in [
            (&[][..], &[][..]),
            (&[("BT_NETWORK", "local"), ("BT_CHAIN_ENDPOINT", "ws://127.0.0.1:9944, finney")], &[]),
            (&[("BT_NETWORK", " test "), ("BT_CHAIN_ENDPOINT", " ")], &[]),
            (&[("BT_NETWORK", "locall")], &["BT_NETWORK=locall"]),
            (&[("BT_CHAIN_ENDPOINT", "127.0.0.1:9944")], &["BT_CHAIN_ENDPOINT=127.0.0.1:9944"]),
            (&[("BT_CHAIN_ENDPOINT", "http://node.example")], &["BT_CHAIN_ENDPOINT=http://node.example"]),
            (&[("BT_CHAIN_ENDPOINT", "ws://me:hunter2@node.example:x")], &["BT_CHAIN_ENDPOINT=…"]),
            // Also variables that another one overrides.
            (
                &[("BT_NETWORK", "local"), ("BITTENSOR_SUBTENSOR_ENDPOINT", "Finney")],
                &["BITTENSOR_SUBTENSOR_ENDPOINT=Finney"],
            ),
            (&[("BITTENSOR_SUBTENSOR_FALLBACK", "lite")], &["BITTENSOR_SUBTENSOR_FALLBACK=lite"]),
        ] {
            let variable =
                |name: &str| set.iter().find(|(known, _)| *known == name).map(|(_, text)| (*text).to_owned());
            let problems = network_problems(variable);
            let shown: Vec<_> = problems.iter().map(|problem| format!("{}={}", problem.name, problem.value)).collect();
            assert_eq!(shown, expected, "{set:?}");
            assert!(
                problems.iter().all(|problem| problem.expected.starts_with("finney, test, archive, local, or URLs"))
            );
        }
    }
}
