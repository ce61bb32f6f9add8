//! Babelbit's table of settings. The module of the same name in `taonet-cli-base` reads the
//! environment and `.env`.

use taonet_babelbit_config::{Config, Difference, differences};
use taonet_cli_base::settings::{network_problems, set_variables, text, usage_error};
use taonet_doctor::Finding;
use taonet_settings::{ConfigError, Warning};

/// Reads Babelbit's configuration and its warnings.
pub(crate) fn read() -> Result<(Config, Vec<Warning>), ConfigError> {
    Config::from_variables(set_variables(), dirs::home_dir().as_deref())
}

/// Like [`read`], and also validates the network, which other commands validate when they connect
/// to it.
pub(crate) fn read_with_network() -> Result<(Config, Vec<Warning>), ConfigError> {
    let network_problems_found = network_problems(text);
    match read() {
        Ok(settings) if network_problems_found.is_empty() => Ok(settings),
        Ok(_) => Err(ConfigError { problems: network_problems_found }),
        Err(ConfigError { mut problems }) => {
            problems.extend(network_problems_found);
            Err(ConfigError { problems })
        }
    }
}

/// Babelbit's valid settings, with warnings and findings about them.
pub struct CheckedSettings {
    /// The settings.
    pub config: Config,
    /// Warnings about unknown settings and those without effect.
    pub(crate) warnings: Vec<Warning>,
    /// The set variables whose values have another effect than in the reference, and no warning.
    pub(crate) differences: Vec<&'static Difference>,
    /// The warnings and differences, as findings of `tao doctor`.
    pub findings: Vec<Finding>,
}

/// Reads and validates Babelbit's settings and the network, and reports on them.
pub fn check() -> Result<CheckedSettings, ConfigError> {
    let (config, warnings) = read_with_network()?;
    let warned_names: Vec<&str> = warnings
        .iter()
        .map(|warning| match warning {
            Warning::Unknown { name, .. } | Warning::NoEffect { name, .. } => name.as_str(),
        })
        .collect();
    let differences: Vec<_> = differences()
        .iter()
        .filter(|row| {
            row.matters(text(row.name).as_deref(), &config) && !warned_names.contains(&row.name)
        })
        .collect();
    let mut findings = Vec::new();
    if differences.is_empty() || !warnings.is_empty() {
        findings = taonet_doctor::settings(Ok(&warnings));
    }
    findings.extend(
        differences
            .iter()
            .map(|row| taonet_doctor::difference(row.name, row.reference, row.here, row.remedy)),
    );
    Ok(CheckedSettings { config, warnings, differences, findings })
}

/// Reads Babelbit's configuration and logs its warnings.
pub fn load() -> anyhow::Result<Config> {
    let (config, warnings) = read().map_err(|error| usage_error(&error))?;
    for warning in warnings {
        tracing::warn!("{warning}");
    }
    Ok(config)
}
