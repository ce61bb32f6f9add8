//! Signing key of a daemon.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use clap::builder::TypedValueParser;
use clap::error::ErrorKind;
use clap::{Arg, Args, Command};
use taonet_babelbit_config::OperatorSettings;
use taonet_settings::Network;
use taonet_wallet::{CryptoType, DEFAULT_ROOT, Keypair, Name, StoredKey, Wallets, expand_home};

use crate::engines::check_development_key;
use crate::exit::{Classified, Failure};
use crate::password::PasswordArgs;
use crate::settings;

/// Signing key
#[derive(Debug, Args)]
pub(crate) struct KeyArgs {
    #[command(flatten)]
    source: SourceArgs,
    #[command(flatten)]
    password: PasswordArgs,
}

/// Source of the key
#[derive(Debug, Args)]
#[group(multiple = false)]
struct SourceArgs {
    /// Hotkey file [default: the hotkey of the wallet in BITTENSOR_WALLET_COLD, BITTENSOR_WALLET_HOT and
    /// BITTENSOR_WALLET_PATH]
    #[arg(long, value_name = "FILE")]
    keyfile: Option<PathBuf>,
    /// Development key such as //Alice; local networks only
    #[arg(long, value_name = "URI", value_parser = DevelopmentUri)]
    key_uri: Option<String>,
}

/// Accepts derivation paths of the public development phrase only, since other users can see arguments. Unlike clap's
/// own parsers, it does not echo a rejected value, which could be a secret passed by mistake.
#[derive(Debug, Clone)]
pub(crate) struct DevelopmentUri;

impl TypedValueParser for DevelopmentUri {
    type Value = String;

    fn parse_ref(&self, command: &Command, _: Option<&Arg>, value: &OsStr) -> Result<String, clap::Error> {
        value.to_str().filter(|uri| uri.starts_with('/')).map(str::to_owned).ok_or_else(|| {
            let message = "--key-uri accepts development keys such as //Alice only, no mnemonics or seeds\n\nhint: \
                write a real key to a file with `tao wallet regen-hotkey`, and pass the file with --keyfile\n";
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
                Keypair::from_uri(uri).context("--key-uri is not a valid key URI")
            }
            (None, None) => {
                let (config, _) = settings::read().map_err(|error| usage(error.to_string()))?;
                self.unlock(&stored_hotkey(&config.operator, dirs::home_dir().as_deref())?)
            }
        }
    }

    fn open(&self, file: &Path) -> anyhow::Result<Keypair> {
        self.unlock(&StoredKey::read(file).with_context(|| format!("cannot use the key file {}", file.display()))?)
    }

    fn unlock(&self, stored: &StoredKey) -> anyhow::Result<Keypair> {
        let file = stored.path();
        let named = || format!("cannot use the key file {}", file.display());
        let pair = self.password.open(stored).with_context(named)?.into_keypair().with_context(named)?;
        match pair.crypto_type() {
            CryptoType::Sr25519 => Ok(pair),
            other @ CryptoType::Ed25519 => {
                bail!("{} is an {other} key, but neurons require sr25519", file.display())
            }
        }
    }
}

/// The hotkey of the configured wallet; if the wallet path is a file, the key in it.
fn stored_hotkey(settings: &OperatorSettings, home: Option<&Path>) -> anyhow::Result<StoredKey> {
    let path = settings.wallet_path.clone().unwrap_or_else(|| PathBuf::from(DEFAULT_ROOT));
    let path = expand_home(path, home)?;
    if path.is_file() {
        return StoredKey::read(&path).with_context(|| format!("BITTENSOR_WALLET_PATH={}", path.display()));
    }
    let name =
        |variable: &str, text: &str| text.parse::<Name>().map_err(|error| usage(format!("{variable}={text}: {error}")));
    let wallet = Wallets::new(path).wallet(name("BITTENSOR_WALLET_COLD", &settings.wallet_name)?);
    wallet.hotkey(&name("BITTENSOR_WALLET_HOT", &settings.wallet_hotkey)?).map_err(|error| {
        let hint = "pass a hotkey file with --keyfile, set BITTENSOR_WALLET_COLD and BITTENSOR_WALLET_HOT, or on a \
            local network use a development key with --key-uri //Alice";
        anyhow::Error::new(error).context(format!("no signing key found\nhint: {hint}"))
    })
}

fn usage(message: String) -> anyhow::Error {
    Classified::error(Failure::Usage, message)
}

#[cfg(test)]
mod tests {
    use taonet_babelbit_config::Config;
    use taonet_wallet::Keyfile;

    use super::*;

    #[test]
    fn the_hotkey_is_that_of_the_wallet_or_of_the_file() {
        let home = tempfile::tempdir().unwrap();
        let pair = |uri| Keypair::from_uri(uri).unwrap();
        let write = |path: &str, uri| {
            let path = home.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, &*Keyfile::from_keypair(pair(uri)).to_json()).unwrap();
        };
        write(".bittensor/wallets/default/hotkeys/default", "//Alice");
        write(".bittensor/wallets/vali/hotkeys/one", "//Bob");
        write("wallets/default/hotkeys/default", "//Charlie");
        write("hotkey.json", "//Dave");
        let (elsewhere, file) = (home.path().join("wallets"), home.path().join("hotkey.json"));
        let (elsewhere, file) = (elsewhere.to_str().unwrap(), file.to_str().unwrap());
        for (variables, uri) in [
            (&[][..], "//Alice"),
            (&[("BITTENSOR_WALLET_COLD", "vali"), ("BITTENSOR_WALLET_HOT", "one")], "//Bob"),
            (&[("BITTENSOR_WALLET_PATH", elsewhere)], "//Charlie"),
            (&[("BITTENSOR_WALLET_PATH", "~/.bittensor/wallets")], "//Alice"),
            (&[("BITTENSOR_WALLET_PATH", file), ("BITTENSOR_WALLET_COLD", "vali")], "//Dave"),
        ] {
            let pairs = variables.iter().map(|(name, value)| ((*name).into(), (*value).into()));
            let (config, _) = Config::from_variables(pairs, Some(home.path())).unwrap();
            let stored = stored_hotkey(&config.operator, Some(home.path())).unwrap();
            let found = stored.open(None).unwrap().into_keypair().unwrap();
            assert_eq!(found.hotkey(), pair(uri).hotkey(), "{variables:?}");
        }
        let pairs = [("BITTENSOR_WALLET_HOT".into(), "none".into())];
        let (config, _) = Config::from_variables(pairs, Some(home.path())).unwrap();
        let error = stored_hotkey(&config.operator, Some(home.path())).unwrap_err().to_string();
        assert!(error.contains("--keyfile"), "{error}");
    }
}
