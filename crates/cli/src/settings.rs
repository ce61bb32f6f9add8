//! Settings from the environment.

use taonet_babelbit_config::Config;
use taonet_settings::{ConfigError, Warning};

use crate::exit::{Classified, Failure};

/// Reads the configuration and its warnings.
pub(crate) fn read() -> Result<(Config, Vec<Warning>), ConfigError> {
    Config::from_variables(std::env::vars_os(), dirs::home_dir().as_deref())
}

/// Reads the configuration and logs its warnings.
pub(crate) fn load() -> anyhow::Result<Config> {
    let (config, warnings) = read().map_err(|error| Classified::error(Failure::Usage, error.to_string()))?;
    for warning in warnings {
        tracing::warn!("{warning}");
    }
    Ok(config)
}
