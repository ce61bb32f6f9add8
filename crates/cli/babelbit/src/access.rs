//! Access control of signer and subtensor gateway.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Args;
use taonet_babelbit_config::Config;
use taonet_cli_base::exit::ClassifiedError;
use taonet_cli_base::secret_file;
use taonet_http::AccessToken;

/// Argument that names the bearer token file
#[derive(Debug, Args)]
pub(crate) struct TokenArgs {
    /// File with the bearer token for signer and subtensor gateway; use the same for all daemons
    /// [env: BB_API_TOKEN_FILE]
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
}

/// Arguments for access control of signer and subtensor gateway
#[derive(Debug, Args)]
pub(crate) struct AccessArgs {
    #[command(flatten)]
    token: TokenArgs,
    /// Listen beyond loopback without a token: every caller can act as the validator
    #[arg(long)]
    insecure: bool,
}

impl TokenArgs {
    /// Reads the token, if a file is configured.
    pub(crate) fn token(&self, config: &Config) -> anyhow::Result<Option<AccessToken>> {
        let token_file = self.token_file.as_deref().or(config.services.token_file.as_deref());
        token_file.map(secret_file::read_token).transpose()
    }
}

impl AccessArgs {
    /// Returns the token that a service at this address requires from callers.
    pub(crate) fn token(
        &self,
        config: &Config,
        listen: SocketAddr,
    ) -> anyhow::Result<Option<AccessToken>> {
        let token = self.token.token(config)?;
        if let Err(error) = check_token_set(token.is_some(), listen) {
            if !self.insecure {
                return Err(error);
            }
            tracing::warn!(%listen, "no token required: every caller can act as the validator");
        }
        Ok(token)
    }
}

/// Checks that a service at this address has a token, unless only this machine can call it.
pub fn check_token_set(has_token: bool, listen: SocketAddr) -> anyhow::Result<()> {
    if has_token || listen.ip().is_loopback() {
        return Ok(());
    }
    let message = format!(
        "{listen} is not a loopback address: a token is required, since every caller can act as the validator\n\
         hint: write one with `openssl rand -hex 32 > token` and set --token-file or BB_API_TOKEN_FILE, or pass \
         --insecure"
    );
    Err(ClassifiedError::usage(message))
}
