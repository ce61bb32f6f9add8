//! Settings from the environment, and for Babelbit's commands from the file `.env`.
//!
//! A command reads and validates only the settings that it uses, and a subnet never reads
//! another's: a command names the variables of the operator that it uses ([`operator_config`]). The
//! crates of Babelbit's commands and of the models read Babelbit's table, with the functions of
//! this module.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::ErrorKind;
use std::path::Path;
use std::sync::OnceLock;

use taonet_chain::Network;
use taonet_doctor::{Check, Finding};
use taonet_neuron::{OperatorConfig, WalletSettings};
use taonet_settings::{ConfigError, FALLBACK_VARIABLE, NETWORK_VARIABLES, Problem, file_variables};

use crate::exit::ClassifiedError;

/// Variables of the wallet whose hotkey signs.
const WALLET_VARIABLES: [&str; 3] =
    ["BITTENSOR_WALLET_COLD", "BITTENSOR_WALLET_HOT", "BITTENSOR_WALLET_PATH"];

/// Expected form of the variables that select the network.
const NETWORK_FORM: &str = "finney, test, archive, local, or URLs of nodes (ws://HOST:PORT or wss://HOST:PORT), separated by commas";

/// The file of settings in the working directory.
const ENV_FILE: &str = ".env";

/// The variables of the loaded file. The environment takes precedence.
static FILE_VARIABLES: OnceLock<BTreeMap<String, String>> = OnceLock::new();

/// Loads `.env` in the working directory, if it exists, as the reference's programs do.
pub fn load_env_file() -> anyhow::Result<()> {
    let path = Path::new(ENV_FILE);
    if !path.is_file() {
        return Ok(());
    }
    load_file(path)
}

/// Loads a file of settings in place of `.env`.
pub fn load_file(path: &Path) -> anyhow::Result<()> {
    let variables = read_file(path)?;
    tracing::debug!(file = %path.display(), variables = variables.len(), "settings read");
    FILE_VARIABLES.get_or_init(|| variables);
    Ok(())
}

/// Reads the variables of a file such as `.env`, without loading them.
pub fn read_file(path: &Path) -> anyhow::Result<BTreeMap<String, String>> {
    let file = path.display();
    let text = std::fs::read_to_string(path).map_err(|error| {
        let hint = match error.kind() {
            ErrorKind::InvalidData => "save the file in UTF-8",
            _ => "check the path, and the permissions of the file",
        };
        ClassifiedError::usage(format!("cannot read {file}: {error}\nhint: {hint}"))
    })?;
    file_variables(&text).map_err(|error| ClassifiedError::usage(format!("{file}: {error}")))
}

/// Returns the value of a variable.
pub(crate) fn variable(name: &str) -> Option<OsString> {
    std::env::var_os(name).or_else(|| Some(FILE_VARIABLES.get()?.get(name)?.into()))
}

/// Returns the value of a variable, if it is text.
pub fn text(name: &str) -> Option<String> {
    variable(name)?.into_string().ok()
}

/// Returns where a variable is set: `environment`, `.env`, or `default` if it is not set. The
/// network's origin is the name of the variable that selects it, unless that is the variable
/// itself.
pub fn origin(name: &str) -> &'static str {
    if NETWORK_VARIABLES.contains(&name)
        && let Some(selecting_variable) =
            NETWORK_VARIABLES.into_iter().find(|variable| is_set(variable))
        && selecting_variable != name
    {
        return selecting_variable;
    }
    if !is_set(name) {
        "default"
    } else if std::env::var_os(name).is_some() {
        "environment"
    } else {
        ENV_FILE
    }
}

/// Reports the variables that select the network and are invalid; other subnets than Babelbit have
/// no further settings in the environment.
pub fn check_network() -> Vec<Finding> {
    let problems = network_problems(text);
    if problems.is_empty() {
        let reason = "the variables of Babelbit's daemons are not used by other subnets";
        return vec![Finding::skipped(Check::Settings, "environment", reason)];
    }
    taonet_doctor::settings(Err(&ConfigError { problems }))
}

/// Whether a variable has a value that is not blank.
pub fn is_set(name: &str) -> bool {
    text(name).is_some_and(|value| !value.trim().is_empty())
}

/// Returns the variables that do not name a network. `read_variable` reads a variable.
pub fn network_problems(read_variable: impl Fn(&str) -> Option<String>) -> Vec<Problem> {
    let values = NETWORK_VARIABLES
        .into_iter()
        .chain([FALLBACK_VARIABLE])
        .filter_map(|name| Some((name, read_variable(name)?)));
    let set_values = values
        .map(|(name, value)| (name, value.trim().to_owned()))
        .filter(|(_, value)| !value.is_empty());
    let invalid = set_values.filter(|(_, value)| value.parse::<Network>().is_err());
    invalid
        .map(|(name, value)| {
            // A malformed URL can contain credentials that no parser finds.
            let value = if value.contains('@') { "…".to_owned() } else { value };
            Problem { name: name.to_owned(), value, expected: NETWORK_FORM }
        })
        .collect()
}

/// Reads only the named variables of the operator; all other fields have their defaults. Invalid
/// values of other variables are not an error.
pub fn operator_config(names: &[&str]) -> anyhow::Result<OperatorConfig> {
    OperatorConfig::from_variables(variables_named(names)).map_err(|error| usage_error(&error))
}

/// Reads the wallet whose hotkey signs.
pub fn wallet_settings() -> anyhow::Result<WalletSettings> {
    Ok(operator_config(&WALLET_VARIABLES)?.wallet)
}

/// Returns those of the named variables that are set.
pub fn variables_named(names: &[&str]) -> impl Iterator<Item = (OsString, OsString)> {
    set_variables().filter(|(name, _)| names.iter().any(|candidate| name == candidate))
}

/// Converts an error in the settings, with the exit code of wrong usage.
pub fn usage_error(error: &ConfigError) -> anyhow::Error {
    ClassifiedError::usage(error.to_string())
}

/// Returns the variables that are set in the environment or the file.
pub fn set_variables() -> impl Iterator<Item = (OsString, OsString)> {
    let from_file = FILE_VARIABLES
        .get()
        .into_iter()
        .flatten()
        .filter(|(name, _)| std::env::var_os(name).is_none());
    std::env::vars_os().chain(from_file.map(|(name, value)| (name.into(), value.into())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exit::exit_code;

    #[test]
    fn unreadable_file_is_usage_error_with_hint_for_its_cause() {
        let folder = tempfile::tempdir().unwrap();
        let latin1 = folder.path().join("latin1.env");
        std::fs::write(&latin1, b"A=\xe9\n").unwrap();
        for (path, hint) in
            [(latin1, "in UTF-8"), (folder.path().join("none.env"), "check the path")]
        {
            let result = read_file(&path).map(|_| ());
            assert_eq!(exit_code(&result), 2);
            let text = result.unwrap_err().to_string();
            assert!(text.contains("cannot read ") && text.contains(hint), "{text}");
        }
    }

    #[test]
    fn invalid_network_variable_is_reported() {
        for (variables, expected) in [
            (&[][..], &[][..]),
            (&[("BT_NETWORK", "local"), ("BT_CHAIN_ENDPOINT", "ws://127.0.0.1:9944, finney")], &[]),
            (&[("BT_NETWORK", " test "), ("BT_CHAIN_ENDPOINT", " ")], &[]),
            (&[("BT_NETWORK", "locall")], &["BT_NETWORK=locall"]),
            (&[("BT_CHAIN_ENDPOINT", "127.0.0.1:9944")], &["BT_CHAIN_ENDPOINT=127.0.0.1:9944"]),
            (
                &[("BT_CHAIN_ENDPOINT", "http://node.example")],
                &["BT_CHAIN_ENDPOINT=http://node.example"],
            ),
            (&[("BT_CHAIN_ENDPOINT", "ws://me:hunter2@node.example:x")], &["BT_CHAIN_ENDPOINT=…"]),
            // Also variables that another one overrides.
            (
                &[("BT_NETWORK", "local"), ("BITTENSOR_SUBTENSOR_ENDPOINT", "Finney")],
                &["BITTENSOR_SUBTENSOR_ENDPOINT=Finney"],
            ),
            (&[("BITTENSOR_SUBTENSOR_FALLBACK", "lite")], &["BITTENSOR_SUBTENSOR_FALLBACK=lite"]),
        ] {
            let variable = |name: &str| {
                variables.iter().find(|(key, _)| *key == name).map(|(_, text)| (*text).to_owned())
            };
            let problems = network_problems(variable);
            let assignments: Vec<_> = problems
                .iter()
                .map(|problem| format!("{}={}", problem.name, problem.value))
                .collect();
            assert_eq!(assignments, expected, "{variables:?}");
            assert!(problems.iter().all(|problem| {
                problem.expected.starts_with("finney, test, archive, local, or URLs")
            }));
        }
    }
}
