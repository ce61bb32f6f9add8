//! Signing key of a daemon.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use clap::builder::TypedValueParser;
use clap::error::ErrorKind;
use clap::{Arg, Args, Command};
use taonet_chain::{Client, Network};
use taonet_neuron::WalletSettings;
use taonet_wallet::{
    CryptoType, DEFAULT_ROOT, Keypair, Mnemonic, Name, StoredKey, Wallet, Wallets, WordCount,
    expand_home,
};

use crate::chain::{
    NetworkArgs, NetworkSource, check_development, check_development_before, configured_network,
    not_development_error, query_development,
};
use crate::exit::{ClassifiedError, is_missing_key};
use crate::password::PasswordArgs;
use crate::settings;

/// Arguments that select the signing key of a daemon
#[derive(Debug, Args)]
pub struct KeyArgs {
    #[command(flatten)]
    source: SourceArgs,
    #[command(flatten)]
    password: PasswordArgs,
}

/// Signing key of a subnet 2 neuron; wallet and hotkey names also select it, as in the reference's
/// programs
#[derive(Debug, Args)]
pub struct NeuronKeyArgs {
    /// Name of the wallet with the hotkey [default: BITTENSOR_WALLET_COLD, else default]
    #[arg(long, alias = "wallet.name", value_name = "NAME", conflicts_with_all = ["keyfile", "key_uri"])]
    wallet_name: Option<Name>,
    /// Name of the hotkey [default: BITTENSOR_WALLET_HOT, else default]
    #[arg(long, alias = "wallet.hotkey", value_name = "NAME", conflicts_with_all = ["keyfile", "key_uri"])]
    wallet_hotkey: Option<Name>,
    /// Wallet directory [default: BITTENSOR_WALLET_PATH, else ~/.bittensor/wallets]
    #[arg(long, alias = "wallet.path", value_name = "DIR", conflicts_with_all = ["keyfile", "key_uri"])]
    wallet_path: Option<PathBuf>,
    #[command(flatten)]
    key: KeyArgs,
}

/// Arguments that select the source of the signing key
#[derive(Debug, Args)]
#[group(multiple = false)]
struct SourceArgs {
    /// Hotkey file [default: the hotkey of the wallet in BITTENSOR_WALLET_COLD,
    /// BITTENSOR_WALLET_HOT and BITTENSOR_WALLET_PATH]
    #[arg(long, value_name = "FILE")]
    keyfile: Option<PathBuf>,
    /// Development key such as //Alice; development chains only
    #[arg(long, value_name = "URI", value_parser = DevelopmentUri)]
    key_uri: Option<String>,
}

/// Value parser that accepts derivation paths of the public development phrase only, since other
/// users can see arguments. Unlike clap's own parsers, it does not echo a rejected value, which
/// could be a secret passed by mistake.
#[derive(Debug, Clone)]
pub(crate) struct DevelopmentUri;

impl TypedValueParser for DevelopmentUri {
    type Value = String;

    fn parse_ref(
        &self,
        command: &Command,
        _: Option<&Arg>,
        value: &OsStr,
    ) -> Result<String, clap::Error> {
        value.to_str().filter(|uri| uri.starts_with('/')).map(str::to_owned).ok_or_else(|| {
            let message = "--key-uri accepts only development keys such as //Alice, not mnemonics or seeds\n\nhint: \
                write a real key to a file with `tao wallet regen-hotkey`, and pass the file with --keyfile\n";
            clap::Error::raw(ErrorKind::ValueValidation, message).with_cmd(command)
        })
    }
}

impl NeuronKeyArgs {
    /// Like [`KeyArgs::load`].
    pub fn load(&self, network: Option<&NetworkArgs>) -> anyhow::Result<Keypair> {
        self.key.load_from(Some(&network_or_configured(network)?), |settings| {
            self.override_wallet(settings);
        })
    }

    /// Like [`KeyArgs::connect`].
    pub async fn connect(&self, network: &NetworkArgs) -> anyhow::Result<Client> {
        self.key.connect(network).await
    }

    /// Like [`Self::load`], for a service that connects to no chain: development keys are accepted.
    pub fn load_offline(&self) -> anyhow::Result<Keypair> {
        self.key.load_from(None, |settings| self.override_wallet(settings))
    }

    /// Replaces the configured wallet by the given names.
    fn override_wallet(&self, settings: &mut WalletSettings) {
        if let Some(path) = &self.wallet_path {
            settings.path = Some(path.clone());
        } else if self.wallet_name.is_some() || self.wallet_hotkey.is_some() {
            // A configured path of a key file would take precedence over the names, so it is
            // dropped.
            settings.path = settings.path.take().filter(|path| !path.is_file());
        }
        if let Some(name) = &self.wallet_name {
            settings.name = name.to_string();
        }
        if let Some(hotkey) = &self.wallet_hotkey {
            settings.hotkey = hotkey.to_string();
        }
    }
}

impl KeyArgs {
    /// Whether an option selects the key, instead of the configured wallet.
    pub const fn is_given(&self) -> bool {
        self.source.keyfile.is_some() || self.source.key_uri.is_some()
    }

    /// Whether the selected key is a development key.
    pub const fn is_development(&self) -> bool {
        self.source.key_uri.is_some()
    }

    /// Connects to the selected network. A development key is an error unless it is a development
    /// chain: a node of this machine may not have responded when [`Self::load`] asked.
    pub async fn connect(&self, network: &NetworkArgs) -> anyhow::Result<Client> {
        let chain = network.connect().await?;
        if self.is_development() {
            check_development(&chain, &network.network()?).await?;
        }
        Ok(chain)
    }

    /// Opens the selected key without a request to a node, for a command that must not wait. A
    /// development key is an error on a public network; on any other network, the caller checks
    /// later that it is a development chain, with [`Self::connect`] or
    /// [`Self::check_development_chain`].
    pub fn load_unchecked(&self, network: &NetworkArgs) -> anyhow::Result<Keypair> {
        let network = network.network()?;
        if self.is_development() && network.genesis().is_some() {
            return Err(not_development_error(&network));
        }
        self.load_from(None, |_| ())
    }

    /// Checks that a development key is used on a development chain, for a command that connects to
    /// none. The key is accepted if no node responds at an address of this machine.
    pub async fn check_development_chain(&self, network: &NetworkArgs) -> anyhow::Result<()> {
        if self.is_development() {
            query_development(&network.network()?, NetworkSource::Arguments).await
        } else {
            Ok(())
        }
    }

    /// Opens the selected key for a service on the network that the command's arguments select, or
    /// without them the environment. A development key is an error unless the network is a
    /// development chain.
    pub fn load(&self, network: Option<&NetworkArgs>) -> anyhow::Result<Keypair> {
        self.load_from(Some(&network_or_configured(network)?), |_| ())
    }

    /// Like [`Self::load`], with changes to the configured wallet. Without a network, development
    /// keys are accepted.
    fn load_from(
        &self,
        network: Option<&(Network, NetworkSource)>,
        adjust_settings: impl FnOnce(&mut WalletSettings),
    ) -> anyhow::Result<Keypair> {
        match (&self.source.keyfile, &self.source.key_uri) {
            (Some(file), _) => self.open(file),
            (None, Some(uri)) => {
                if let Some((network, source)) = network {
                    check_development_before(network, *source)?;
                }
                Keypair::from_uri(uri).context("--key-uri is not a valid key URI")
            }
            (None, None) => {
                let mut settings = settings::wallet_settings()?;
                adjust_settings(&mut settings);
                self.unlock(&stored_hotkey(
                    &settings,
                    dirs::home_dir().as_deref(),
                    MISSING_HOTKEY_HINT,
                )?)
            }
        }
    }

    fn open(&self, file: &Path) -> anyhow::Result<Keypair> {
        self.unlock(
            &StoredKey::read(file)
                .with_context(|| format!("cannot use the key file {}", file.display()))?,
        )
    }

    fn unlock(&self, stored: &StoredKey) -> anyhow::Result<Keypair> {
        let file = stored.path();
        let keyfile = self.password.open(stored).with_context(|| unusable_file_message(file))?;
        let keypair = keyfile.into_keypair().with_context(|| unusable_file_message(file))?;
        match keypair.crypto_type() {
            CryptoType::Sr25519 => Ok(keypair),
            other @ CryptoType::Ed25519 => {
                bail!("{} is an {other} key, but neurons require sr25519", file.display())
            }
        }
    }
}

/// Generates a key for requests to a miner that admits any caller.
pub fn temporary_key() -> anyhow::Result<Keypair> {
    Ok(Keypair::from_seed(&Mnemonic::generate(WordCount::Twelve)?.to_seed("")))
}

/// Returns the network that the arguments select, or without them the environment.
fn network_or_configured(
    network: Option<&NetworkArgs>,
) -> anyhow::Result<(Network, NetworkSource)> {
    Ok(match network {
        Some(arguments) => (arguments.network()?, NetworkSource::Arguments),
        None => (configured_network(None)?, NetworkSource::Environment),
    })
}

/// Hint of the error for a missing hotkey.
const MISSING_HOTKEY_HINT: &str = "pass a hotkey file with --keyfile, set BITTENSOR_WALLET_COLD and BITTENSOR_WALLET_HOT, or on a \
    development chain use a development key with --key-uri //Alice";

/// Returns the configured wallet; `None` if the wallet path is that of a keyfile.
pub fn configured_wallet(
    settings: &WalletSettings,
    home: Option<&Path>,
) -> anyhow::Result<Option<Wallet>> {
    let path = settings.path.clone().unwrap_or_else(|| PathBuf::from(DEFAULT_ROOT));
    let path = expand_home(path, home)?;
    if path.is_file() {
        return Ok(None);
    }
    Ok(Some(Wallets::new(path).wallet(parse_name("BITTENSOR_WALLET_COLD", &settings.name)?)))
}

/// Parses the name of a wallet or hotkey in an environment variable.
fn parse_name(variable: &str, text: &str) -> anyhow::Result<Name> {
    text.parse().map_err(|error| ClassifiedError::usage(format!("{variable}={text}: {error}")))
}

/// Returns the hotkey of the configured wallet; if the wallet path is a file, the key in it. The
/// error for a missing hotkey ends with `hint`.
pub fn stored_hotkey(
    settings: &WalletSettings,
    home: Option<&Path>,
    hint: &str,
) -> anyhow::Result<StoredKey> {
    let Some(wallet) = configured_wallet(settings, home)? else {
        let path = expand_home(settings.path.clone().unwrap_or_default(), home)?;
        return StoredKey::read(&path)
            .with_context(|| format!("BITTENSOR_WALLET_PATH={}", path.display()));
    };
    wallet.hotkey(&parse_name("BITTENSOR_WALLET_HOT", &settings.hotkey)?).map_err(|error| {
        let error = anyhow::Error::new(error);
        if is_missing_key(&error) {
            error.context(format!("no signing key found\nhint: {hint}"))
        } else {
            error.context("cannot use the configured hotkey")
        }
    })
}

fn unusable_file_message(file: &Path) -> String {
    format!("cannot use the key file {}", file.display())
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;
    use taonet_neuron::OperatorConfig;
    use taonet_wallet::Keyfile;

    use super::*;

    /// A command with the options of a neuron's key.
    #[derive(Debug, clap::Parser)]
    struct Line {
        #[command(flatten)]
        key: NeuronKeyArgs,
    }

    #[test]
    fn hotkey_comes_from_wallet_or_key_file() {
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
        let (other_directory, file) =
            (home.path().join("wallets"), home.path().join("hotkey.json"));
        let (other_directory, file) = (other_directory.to_str().unwrap(), file.to_str().unwrap());
        for (variables, uri) in [
            (&[][..], "//Alice"),
            (&[("BITTENSOR_WALLET_COLD", "vali"), ("BITTENSOR_WALLET_HOT", "one")], "//Bob"),
            (&[("BITTENSOR_WALLET_PATH", other_directory)], "//Charlie"),
            (&[("BITTENSOR_WALLET_PATH", "~/.bittensor/wallets")], "//Alice"),
            (&[("BITTENSOR_WALLET_PATH", file), ("BITTENSOR_WALLET_COLD", "vali")], "//Dave"),
        ] {
            let pairs = variables.iter().map(|(name, value)| ((*name).into(), (*value).into()));
            let settings = OperatorConfig::from_variables(pairs).unwrap().wallet;
            let stored = stored_hotkey(&settings, Some(home.path()), MISSING_HOTKEY_HINT).unwrap();
            let keypair = stored.open(None).unwrap().into_keypair().unwrap();
            assert_eq!(keypair.hotkey(), pair(uri).hotkey(), "{variables:?}");
        }
        // Only a missing file has the hint to create one.
        std::fs::create_dir_all(home.path().join("wallets/default/hotkeys/folder")).unwrap();
        for (hotkey, message) in
            [("none", "no signing key found"), ("folder", "cannot use the configured hotkey")]
        {
            let pairs =
                [("BITTENSOR_WALLET_PATH", other_directory), ("BITTENSOR_WALLET_HOT", hotkey)]
                    .map(|(name, value)| (name.into(), value.into()));
            let settings = OperatorConfig::from_variables(pairs).unwrap().wallet;
            let error =
                stored_hotkey(&settings, Some(home.path()), MISSING_HOTKEY_HINT).unwrap_err();
            assert!(error.to_string().starts_with(message), "{error}");
            assert_eq!(
                error.to_string().contains(MISSING_HOTKEY_HINT),
                hotkey == "none",
                "{error}"
            );
        }
        // Names on the command line win over the environment.
        let one = &["--wallet-name", "vali", "--wallet.hotkey", "one"][..];
        for (path, words, uri) in [
            (None, one, "//Bob"),
            (Some(file), one, "//Bob"),
            (Some(other_directory), &[], "//Charlie"),
            (None, &["--wallet-path", other_directory], "//Charlie"),
        ] {
            let pairs = path.map(|path| ("BITTENSOR_WALLET_PATH".into(), path.into()));
            let mut settings = OperatorConfig::from_variables(pairs).unwrap().wallet;
            let line = Line::try_parse_from([&["program"][..], words].concat()).unwrap();
            line.key.override_wallet(&mut settings);
            let stored = stored_hotkey(&settings, Some(home.path()), MISSING_HOTKEY_HINT).unwrap();
            let keypair = stored.open(None).unwrap().into_keypair().unwrap();
            assert_eq!(keypair.hotkey(), pair(uri).hotkey(), "{path:?} {words:?}");
        }
        let pairs = [("BITTENSOR_WALLET_HOT".into(), "none".into())];
        let settings = OperatorConfig::from_variables(pairs).unwrap().wallet;
        let error = stored_hotkey(&settings, Some(home.path()), MISSING_HOTKEY_HINT)
            .unwrap_err()
            .to_string();
        assert!(error.contains("--keyfile"), "{error}");
    }
}
