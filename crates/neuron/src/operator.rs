use std::ffi::OsString;
use std::path::PathBuf;

use taonet_objects::{S3Settings, settings as s3};
use taonet_settings::value::{Expected, any, flag, secret};
use taonet_settings::{
    ConfigError, DisplayValue as _, Environment, Network, Problem, Secret, Variable, Warning,
};

/// Settings of an operator that do not depend on the subnet, under the names of the reference
/// systems' variables.
#[derive(Debug, Clone)]
pub struct OperatorConfig {
    /// Network of the chain.
    pub network: Network,
    /// Wallet whose hotkey signs.
    pub wallet: WalletSettings,
    /// URL of the NATS server between a subnet's processes.
    pub nats_url: Option<Secret>,
    /// URL of the subnet's database: `postgres://…` or `sqlite:FILE`.
    pub database_url: Option<Secret>,
    /// Object storage for result files.
    pub s3: S3Settings,
}

/// The wallet whose hotkey signs when no option names a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WalletSettings {
    /// Name of the wallet.
    pub name: String,
    /// Name of the hotkey in the wallet.
    pub hotkey: String,
    /// Path of the directory of wallets, or of a keyfile; the user's directory of wallets if unset.
    pub path: Option<PathBuf>,
}

/// Defines the variable of a field of the `OperatorConfig` in a configuration `C`.
macro_rules! variable {
    ($name:literal, $help:literal, $($field:ident).+ = $parse:expr) => {
        Variable {
            name: $name,
            help: $help,
            apply: Some(|config: &mut C, text| {
                config.as_mut().$($field).+ = $parse(text)?;
                Ok(())
            }),
            show: |config: &C| config.as_ref().$($field).+.display_value(),
        }
    };
}

impl AsRef<Self> for OperatorConfig {
    fn as_ref(&self) -> &Self {
        self
    }
}

impl AsMut<Self> for OperatorConfig {
    fn as_mut(&mut self) -> &mut Self {
        self
    }
}

impl Default for OperatorConfig {
    fn default() -> Self {
        Self {
            network: Network::Finney,
            wallet: WalletSettings {
                name: "default".to_owned(),
                hotkey: "default".to_owned(),
                path: None,
            },
            nats_url: None,
            database_url: None,
            s3: S3Settings::default(),
        }
    }
}

impl OperatorConfig {
    /// Reads the configuration from `(name, value)` pairs; other names than those of
    /// [`Self::variables`] are ignored.
    ///
    /// # Errors
    /// [`ConfigError`] lists every invalid variable, with its value and the expected form.
    pub fn from_variables(
        pairs: impl IntoIterator<Item = (OsString, OsString)>,
    ) -> Result<Self, ConfigError> {
        let variables = Self::variables();
        let environment = Environment::new(pairs, &variables);
        let (mut config, mut problems) = (Self::default(), Vec::new());
        Self::apply(environment, &variables, &[], &mut config, &mut problems);
        if problems.is_empty() { Ok(config) } else { Err(ConfigError { problems }) }
    }

    /// Applies an environment to a configuration that contains an `OperatorConfig`, as
    /// [`Environment::apply`] does, and sets the network that all its variables together select.
    pub fn apply<C: AsMut<Self>>(
        environment: Environment,
        variables: &[Variable<C>],
        prefixes: &[&str],
        config: &mut C,
        problems: &mut Vec<Problem>,
    ) -> Vec<Warning> {
        let network = environment.network();
        let warnings = environment.apply(variables, prefixes, config, problems);
        if let Some(network) = network {
            config.as_mut().network = network;
        }
        warnings
    }

    /// Returns the table of the variables, for a configuration `C` that contains an
    /// `OperatorConfig`.
    #[rustfmt::skip]
    pub fn variables<C: AsRef<Self> + AsMut<Self>>() -> Vec<Variable<C>> {
        vec![
            variable!("BITTENSOR_SUBTENSOR_ENDPOINT", "Network or node: finney, test, local or a URL; BT_CHAIN_ENDPOINT and BT_NETWORK take precedence", network = |t: &str| t.parse::<Network>().map_err(|_| "a network")),
            variable!("BITTENSOR_WALLET_COLD", "Name of the wallet whose hotkey signs when no option names a key", wallet.name = any),
            variable!("BITTENSOR_WALLET_HOT", "Name of the hotkey in the wallet BITTENSOR_WALLET_COLD", wallet.hotkey = any),
            variable!("BITTENSOR_WALLET_PATH", "Directory of wallets, or path of a keyfile", wallet.path = |t: &str| any(t).map(Some)),
            variable!("NATS_URL", "NATS server of bb runner and its transcription workers, or of tao nineteen's entry processes and query workers; default: none", nats_url = parse_nats_url),
            variable!("DATABASE_URL",
            "Database of bb scoring-api (postgres://… or sqlite:FILE), of bb runner with its transcription workers (postgres://…), or of tao nineteen (postgres://…); each of the three needs its own", database_url = parse_database_url),
            variable!("S3_ENDPOINT_URL", "URL of the S3 service; default: AWS", s3.endpoint_url = s3::endpoint),
            variable!("S3_REGION", "Region of the S3 service", s3.region = any),
            variable!("S3_ACCESS_KEY_ID", "Access key of the S3 service; default: the credentials of the machine's role", s3.access_key_id = secret),
            variable!("S3_SECRET_ACCESS_KEY", "Secret key of the S3 service", s3.secret_access_key = secret),
            variable!("S3_BUCKET_NAME", "Name of the bucket", s3.bucket = any),
            variable!("S3_LOG_DIR", "Prefix of run logs in the bucket", s3.log_dir = s3::folder),
            variable!("S3_ADDRESSING_STYLE", "Bucket addressing in URLs: path or virtual", s3.addressing = s3::addressing),
            variable!("S3_USE_SSL", "Use TLS when S3_ENDPOINT_URL has no scheme", s3.use_ssl = flag),
            Variable {
                name: "S3_SIGNATURE_VERSION",
                help: "Signature version of S3 requests; only s3v4 is supported",
                apply: Some(|_, text| s3::signature_version(text)),
                show: |_| "s3v4".to_owned(),
            },
        ]
    }
}

/// Parses a database URL.
fn parse_database_url(text: &str) -> Result<Option<Secret>, Expected> {
    let is_supported =
        ["postgres://", "postgresql://", "sqlite:"].iter().any(|scheme| text.starts_with(scheme));
    if is_supported {
        Ok(Some(Secret::new(text)))
    } else {
        Err("postgres://USER:PASSWORD@HOST/DATABASE or sqlite:FILE")
    }
}

/// Parses the URL of a NATS server.
fn parse_nats_url(text: &str) -> Result<Option<Secret>, Expected> {
    let is_supported = ["nats://", "tls://"].iter().any(|scheme| text.starts_with(scheme));
    if is_supported {
        Ok(Some(Secret::new(text)))
    } else {
        Err("nats://HOST:4222 or tls://HOST:4222, with USER:PASSWORD@ if needed")
    }
}
