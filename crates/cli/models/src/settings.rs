//! Settings of models, which are part of Babelbit's table.

use taonet_babelbit_config::Config;
use taonet_cli_base::settings::{usage_error, variables_named};

/// Reads only the named variables of Babelbit; all other fields have their defaults. Invalid values
/// of other variables are not an error.
pub fn load_only(names: &[&str]) -> anyhow::Result<Config> {
    let (config, _) = Config::from_variables(variables_named(names), dirs::home_dir().as_deref())
        .map_err(|error| usage_error(&error))?;
    Ok(config)
}
