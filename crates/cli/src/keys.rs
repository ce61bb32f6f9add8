//! The key that a daemon signs with.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use clap::builder::TypedValueParser;
use clap::error::ErrorKind;
use clap::{Arg, Args, Command};
use taonet_babelbit_node::config::Network;
use taonet_wallet::{CryptoType, Keypair, StoredKey};

use crate::engines::check_development_key;
use crate::password::PasswordArgs;

/// Which key signs
#[derive(Debug, Args)]
pub(crate) struct KeyArgs {
    #[command(flatten)]
    source: SourceArgs,
    #[command(flatten)]
    password: PasswordArgs,
}

/// Where the key comes from
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
struct SourceArgs {
    /// A hotkey file
    #[arg(long, value_name = "FILE")]
    keyfile: Option<PathBuf>,
    /// A development key, e.g. //Alice; local networks only
    #[arg(long, value_name = "URI", value_parser = DevelopmentUri)]
    key_uri: Option<String>,
}

/// Takes paths below the phrase that everybody knows, and nothing else: arguments are seen by all who list processes. Unlike
/// clap's own parsers it does not repeat what it refuses, which may be a secret in the wrong place.
#[derive(Debug, Clone)]
pub(crate) struct DevelopmentUri;

impl TypedValueParser for DevelopmentUri {
    type Value = String;

    fn parse_ref(&self, command: &Command, _: Option<&Arg>, value: &OsStr) -> Result<String, clap::Error> {
        value.to_str().filter(|uri| uri.starts_with('/')).map(str::to_owned).ok_or_else(|| {
            let message = "--key-uri takes development keys such as //Alice, no mnemonics or seeds: put a real key into \
                           a file with tao wallet regen-hotkey, and name it with --keyfile\n";
            clap::Error::raw(ErrorKind::ValueValidation, message).with_cmd(command)
        })
    }
}

impl KeyArgs {
    pub(crate) fn load(&self, network: &Network) -> anyhow::Result<Keypair> {
        match (&self.source.keyfile, &self.source.key_uri) {
            (Some(file), _) => self.open(file),
            (None, Some(uri)) => {
                check_development_key(network)?;
                Keypair::from_uri(uri).context("--key-uri names no key")
            }
            (None, None) => bail!("give --keyfile FILE or, on a local network, --key-uri URI"),
        }
    }

    fn open(&self, file: &Path) -> anyhow::Result<Keypair> {
        let named = || format!("cannot use the key file {}", file.display());
        let stored = StoredKey::read(file).with_context(named)?;
        let pair = self.password.open(&stored).with_context(named)?.into_keypair().with_context(named)?;
        match pair.crypto_type() {
            CryptoType::Sr25519 => Ok(pair),
            other @ CryptoType::Ed25519 => {
                bail!("{} holds an {other} key, and neurons sign with sr25519", file.display())
            }
        }
    }
}
