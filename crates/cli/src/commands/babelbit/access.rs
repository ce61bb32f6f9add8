//! Who may call signer and subtensor gateway.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use clap::Args;
use taonet_babelbit_config::Config;
use taonet_http::AccessToken;

use crate::exit::{Classified, Failure};
use crate::secret_file;

/// The token that callers show
#[derive(Debug, Args)]
pub(super) struct TokenArgs {
    /// A file with the token that signer and subtensor gateway ask of their callers; the same for all three.
    /// BB_API_TOKEN_FILE names it, too
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
}

/// Who may call
#[derive(Debug, Args)]
pub(super) struct AccessArgs {
    #[command(flatten)]
    token: TokenArgs,
    /// Serve everybody who reaches an address beyond this machine, without a token: they act as the validator
    #[arg(long)]
    insecure: bool,
}

impl TokenArgs {
    /// The token, where a file is named.
    pub(super) fn token(&self, config: &Config) -> anyhow::Result<Option<AccessToken>> {
        let named = self.token_file.as_deref().or(config.operator.token_file.as_deref());
        named.map(read).transpose()
    }
}

impl AccessArgs {
    /// The token that a service at this address asks for.
    pub(super) fn token(&self, config: &Config, listen: SocketAddr) -> anyhow::Result<Option<AccessToken>> {
        let token = self.token.token(config)?;
        if token.is_some() || listen.ip().is_loopback() {
            return Ok(token);
        }
        if self.insecure {
            tracing::warn!(%listen, "everybody who reaches this address acts as the validator");
            return Ok(None);
        }
        let message = format!(
            "{listen} is reached from other machines, and whoever reaches it acts as the validator: name a file with a \
             token (openssl rand -hex 32 makes one) with --token-file or BB_API_TOKEN_FILE, or say --insecure"
        );
        Err(Classified::error(Failure::Usage, message))
    }
}

fn read(path: &Path) -> anyhow::Result<AccessToken> {
    let text = secret_file::read(path)?;
    let token = AccessToken::parse(&text);
    token.map_err(|error| Classified::error(Failure::Usage, format!("{}: {error}", path.display())))
}
