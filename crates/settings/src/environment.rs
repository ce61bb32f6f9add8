use std::ffi::OsString;
use std::fmt;

use crate::network::without_credentials;
use crate::{Network, Variable, selected_network};

/// The variable that selects a node of the network.
const ENDPOINT: &str = "BT_CHAIN_ENDPOINT";

/// Environment variables of a process that have a value; blank values count as unset.
#[derive(Debug)]
pub struct Environment {
    set: Vec<(String, String)>,
    problems: Vec<Problem>,
}

impl Environment {
    /// Creates the environment from `(name, value)` pairs. A value that is not UTF-8 is reported
    /// only for a known variable.
    pub fn new<C>(
        pairs: impl IntoIterator<Item = (OsString, OsString)>,
        variables: &[Variable<C>],
    ) -> Self {
        let mut set: Vec<(String, String)> = Vec::new();
        let mut problems = Vec::new();
        for (name, value) in pairs {
            let Ok(name) = name.into_string() else { continue };
            match value.into_string() {
                Ok(value) if value.trim().is_empty() => {}
                Err(value)
                    if variables
                        .iter()
                        .any(|variable| variable.name == name && variable.apply.is_some()) =>
                {
                    let value = value.to_string_lossy().into_owned();
                    problems.push(Problem { name, value, expected: "text in UTF-8" });
                }
                Ok(value) => set.push((name, value)),
                // Only the name is needed, for a possible warning.
                Err(_) => set.push((name, String::new())),
            }
        }
        Self { set, problems }
    }

    /// Returns the value of a variable, if it is set.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.set.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// Returns the network that the variables name; `None` if none of them is set.
    /// `BT_CHAIN_ENDPOINT` selects a node, and names the network only if no other variable does.
    pub fn network(&self) -> Option<Network> {
        let named =
            selected_network(|name| self.get(name).filter(|_| name != ENDPOINT).map(str::to_owned));
        let text = named.or_else(|| selected_network(|name| self.get(name).map(str::to_owned)))?;
        let Ok(network) = text.parse();
        Some(network)
    }

    /// Applies the variables to a configuration. Returns a warning for each unknown name that
    /// begins with one of `prefixes`, and for each variable without effect. Invalid values are
    /// added to `problems`.
    pub fn apply<C>(
        self,
        variables: &[Variable<C>],
        prefixes: &[&str],
        config: &mut C,
        problems: &mut Vec<Problem>,
    ) -> Vec<Warning> {
        problems.extend(self.problems);
        let mut warnings = Vec::new();
        for (name, value) in self.set {
            match variables.iter().find(|variable| variable.name == name) {
                Some(Variable { apply: Some(apply), .. }) => {
                    if let Err(expected) = apply(config, value.trim()) {
                        problems.push(Problem {
                            name,
                            value: without_credentials(&value),
                            expected,
                        });
                    }
                }
                Some(Variable { apply: None, help, .. }) => {
                    warnings.push(Warning::NoEffect { name, instead: help });
                }
                None if prefixes.iter().any(|prefix| name.starts_with(prefix)) => {
                    let nearest = nearest(&name, variables);
                    warnings.push(Warning::Unknown { name, nearest });
                }
                None => {}
            }
        }
        warnings
    }
}

/// Returns the known name most similar to `name`, for a "did you mean" hint.
fn nearest<C>(name: &str, variables: &[Variable<C>]) -> Option<&'static str> {
    variables
        .iter()
        .map(|variable| (strsim::damerau_levenshtein(variable.name, name), variable.name))
        .min()
        .filter(|(distance, _)| *distance <= 3)
        .map(|(_, name)| name)
}

/// A warning about a variable that is set but has no effect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Warning {
    /// The variable's name is unknown.
    Unknown {
        /// The variable's name.
        name: String,
        /// The most similar known name, if there is one.
        nearest: Option<&'static str>,
    },
    /// The name exists in the reference system but has no effect here.
    NoEffect {
        /// The variable's name.
        name: String,
        /// Hint that names the replacement; empty if the remedy is to remove the variable.
        instead: &'static str,
    },
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown { name, nearest: Some(suggestion) } => {
                write!(f, "unknown setting {name}; hint: did you mean {suggestion}?")
            }
            Self::Unknown { name, nearest: None } => write!(f, "unknown setting {name}"),
            Self::NoEffect { name, instead } => {
                let remedy = if instead.is_empty() { "remove it" } else { *instead };
                write!(f, "{name} has no effect; hint: {remedy}")
            }
        }
    }
}

/// A variable with an invalid value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The variable's name.
    pub name: String,
    /// The invalid value.
    pub value: String,
    /// Expected form of the value.
    pub expected: &'static str,
}

/// Error for an environment that contains invalid values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigError {
    /// All variables with invalid values.
    pub problems: Vec<Problem>,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("invalid settings in the environment")?;
        for Problem { name, value, expected } in &self.problems {
            write!(f, "\n  {name}={value}: expected {expected}")?;
        }
        Ok(())
    }
}

impl std::error::Error for ConfigError {}
