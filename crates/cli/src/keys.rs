//! The key that a daemon signs with.

use std::path::PathBuf;

use anyhow::Context as _;
use clap::Args;
use taonet_babelbit_node::config::Network;
use taonet_wallet::Keypair;

use crate::engines::check_development_key;

/// Which key signs
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub(crate) struct KeyArgs {
    /// A hotkey file
    #[arg(long, value_name = "FILE")]
    keyfile: Option<PathBuf>,
    /// A development key, e.g. //Alice; local networks only
    #[arg(long, value_name = "URI")]
    key_uri: Option<String>,
}

impl KeyArgs {
    pub(crate) fn load(&self, network: &Network) -> anyhow::Result<Keypair> {
        match (&self.keyfile, &self.key_uri) {
            (Some(file), _) => {
                Keypair::from_keyfile(file).with_context(|| format!("cannot use the key file {}", file.display()))
            }
            (None, Some(uri)) => {
                check_development_key(uri, network)?;
                Keypair::from_uri(uri).context("--key-uri names no key")
            }
            (None, None) => anyhow::bail!("give --keyfile FILE or, on a local network, --key-uri URI"),
        }
    }
}
