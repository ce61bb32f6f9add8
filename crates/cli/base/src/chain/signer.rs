//! Signer selection: wallet keys and development keys.

use std::time::Duration;

use anyhow::Context as _;
use clap::Args;
use taonet_chain::{ChainError, Client, Network};
use taonet_neuron::WalletSettings;
use taonet_primitives::Hotkey;
use taonet_wallet::Keypair;
use tokio::runtime::Builder;
use tokio::time::timeout;
use url::{Host, Url};

use super::{Account, LOCAL_NETWORK, chain_error, configured_network, network_variable};
use crate::exit::{ClassifiedError, Failure};
use crate::keys::DevelopmentUri;
use crate::memory;
use crate::password::PasswordArgs;
use crate::settings;
use crate::wallet_args::{self, HotkeyArgs, WalletArgs};

/// Argument that selects a development key
#[derive(Debug, Args)]
#[command(next_help_heading = "Wallet options")]
struct DevelopmentArgs {
    /// Sign with a development key such as //Alice instead of the wallet's key; development chains
    /// only
    #[arg(long, value_name = "URI", value_parser = DevelopmentUri)]
    key_uri: Option<String>,
}

/// Arguments that select the coldkey that signs a call
#[derive(Debug, Args)]
pub struct ColdkeyArgs {
    #[command(flatten)]
    wallet: WalletArgs,
    #[command(flatten)]
    development: DevelopmentArgs,
    #[command(flatten)]
    password: PasswordArgs,
}

/// Arguments that select the hotkey that signs a call
#[derive(Debug, Args)]
pub struct SigningHotkeyArgs {
    #[command(flatten)]
    hotkey: HotkeyArgs,
    #[command(flatten)]
    development: DevelopmentArgs,
    #[command(flatten)]
    password: PasswordArgs,
}

/// Arguments that select the coldkey or the hotkey that signs a call
#[derive(Debug, Args)]
pub struct AnyKeyArgs {
    #[command(flatten)]
    key: wallet_args::KeyArgs,
    #[command(flatten)]
    development: DevelopmentArgs,
    #[command(flatten)]
    password: PasswordArgs,
}

/// Arguments that select a hotkey, and the coldkey that signs a call for it
#[derive(Debug, Args)]
pub struct PairArgs {
    #[command(flatten)]
    hotkey: HotkeyArgs,
    /// Address of the hotkey, instead of a hotkey of the wallet
    #[arg(
        long,
        alias = "hotkey-ss58-address",
        value_name = "ADDRESS",
        help_heading = "Wallet options"
    )]
    hotkey_ss58: Option<Account>,
    #[command(flatten)]
    development: DevelopmentArgs,
    #[command(flatten)]
    password: PasswordArgs,
}

/// Arguments that select the key that signs a call.
pub trait SigningKey: Args {
    /// Whether the arguments select a development key.
    fn is_development(&self) -> bool;

    /// Opens the selected key. The caller checks that the chain accepts a development key: see
    /// [`check_development`].
    fn unlock(&self) -> anyhow::Result<Keypair>;
}

impl DevelopmentArgs {
    /// Returns the development key, if the arguments select one.
    fn key(&self) -> anyhow::Result<Option<Keypair>> {
        memory::protect();
        self.key_uri
            .as_deref()
            .map(|uri| Keypair::from_uri(uri).context("invalid key URI"))
            .transpose()
    }
}

impl SigningKey for ColdkeyArgs {
    fn is_development(&self) -> bool {
        self.development.key_uri.is_some()
    }

    fn unlock(&self) -> anyhow::Result<Keypair> {
        match self.development.key()? {
            Some(key) => Ok(key),
            None => wallet_args::unlock(&self.wallet.wallet()?.coldkey()?, &self.password),
        }
    }
}

impl SigningKey for SigningHotkeyArgs {
    fn is_development(&self) -> bool {
        self.development.key_uri.is_some()
    }

    fn unlock(&self) -> anyhow::Result<Keypair> {
        match self.development.key()? {
            Some(key) => Ok(key),
            None => self.hotkey.unlock(&self.password),
        }
    }
}

impl SigningHotkeyArgs {
    /// Opens the key that an option selects, for requests to a neuron; `None` if none does. A
    /// development key is an error unless the network that the environment selects is a development
    /// chain.
    pub fn unlock_selected(&self) -> anyhow::Result<Option<Keypair>> {
        if self.is_development() {
            check_development_before(&configured_network(None)?, NetworkSource::Environment)?;
        } else if !self.hotkey.is_given() {
            return Ok(None);
        }
        self.unlock().map(Some)
    }

    /// Like `SigningKey::unlock`, but by default with the hotkey in the operator's settings.
    pub fn unlock_configured(&self, settings: &WalletSettings) -> anyhow::Result<Keypair> {
        match self.development.key()? {
            Some(key) => Ok(key),
            None => self.hotkey.unlock_configured(settings.clone(), &self.password),
        }
    }
}

impl SigningKey for AnyKeyArgs {
    fn is_development(&self) -> bool {
        self.development.key_uri.is_some()
    }

    fn unlock(&self) -> anyhow::Result<Keypair> {
        match self.development.key()? {
            Some(key) => Ok(key),
            None => self.key.unlock(&self.password),
        }
    }
}

impl SigningKey for PairArgs {
    fn is_development(&self) -> bool {
        self.development.key_uri.is_some()
    }

    fn unlock(&self) -> anyhow::Result<Keypair> {
        match self.development.key()? {
            Some(key) => Ok(key),
            None => wallet_args::unlock(&self.hotkey.wallet()?.coldkey()?, &self.password),
        }
    }
}

impl PairArgs {
    /// Returns the arguments that select the wallet and its hotkey.
    pub const fn wallet_hotkey(&self) -> &HotkeyArgs {
        &self.hotkey
    }

    /// Returns the address of the selected hotkey.
    pub fn hotkey(&self) -> anyhow::Result<Hotkey> {
        match self.hotkey_ss58 {
            Some(account) => Ok(account.hotkey()),
            None => Ok(self.hotkey.wallet()?.hotkeypub(&self.hotkey.name()?)?.hotkey()),
        }
    }
}

/// Timeout of the query whether a chain is a development chain, for a key that is opened before its
/// command connects.
const DEVELOPMENT_QUERY_TIMEOUT: Duration = Duration::from_secs(5);

/// Where a command reads its network from, for the hints of its errors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NetworkSource {
    /// The option `--network`, or the environment.
    Arguments,
    /// The environment: the command has no option `--network`.
    Environment,
}

impl NetworkSource {
    /// Returns a setting that selects the local development chain; `read_variable` reads an
    /// environment variable.
    fn local_network_setting(self, read_variable: impl Fn(&str) -> Option<String>) -> String {
        match self {
            Self::Arguments => format!("--network {LOCAL_NETWORK}"),
            Self::Environment => {
                let name = network_variable(read_variable).unwrap_or("BT_NETWORK");
                format!("{name}={LOCAL_NETWORK}")
            }
        }
    }

    /// Returns the settings that select the network.
    const fn network_settings(self) -> &'static str {
        match self {
            Self::Arguments => "--network, BT_NETWORK and BITTENSOR_SUBTENSOR_ENDPOINT",
            Self::Environment => "BT_CHAIN_ENDPOINT, BT_NETWORK and BITTENSOR_SUBTENSOR_ENDPOINT",
        }
    }
}

/// Refuses development keys on chains other than development chains, because the secrets of these
/// keys are public. The chain itself decides, not its address: many operators run a node of the
/// main network on their machine.
pub async fn check_development(chain: &Client, network: &Network) -> anyhow::Result<()> {
    check_development_from(chain, network, NetworkSource::Arguments).await
}

async fn check_development_from(
    chain: &Client,
    network: &Network,
    source: NetworkSource,
) -> anyhow::Result<()> {
    if chain.is_development().await.map_err(chain_error)? {
        Ok(())
    } else {
        Err(not_development_error_from(network, source))
    }
}

/// Like [`check_development`], for a key that is opened before its command connects, if it connects
/// at all. See [`query_development`].
pub(crate) fn check_development_before(
    network: &Network,
    source: NetworkSource,
) -> anyhow::Result<()> {
    if network.genesis().is_some() {
        return Err(not_development_error_from(network, source));
    }
    // Callers can be in an asynchronous runtime, in which another one cannot block.
    let runtime =
        Builder::new_current_thread().enable_all().build().context("cannot start a runtime")?;
    let is_development = std::thread::scope(|scope| {
        scope.spawn(|| runtime.block_on(query_development(network, source))).join()
    });
    is_development.unwrap_or_else(|_| Err(anyhow::anyhow!("the question to {network} ended early")))
}

/// Connects to a chain that its command does not need, to ask whether it is a development chain. If
/// no node responds at an address of this machine, the key is accepted: miners, validators and
/// gateways ask again when they connect.
pub(crate) async fn query_development(
    network: &Network,
    source: NetworkSource,
) -> anyhow::Result<()> {
    match timeout(DEVELOPMENT_QUERY_TIMEOUT, Client::connect(network)).await {
        Ok(Ok(chain)) => check_development_from(&chain, network, source).await,
        Ok(Err(ChainError::Unreachable { .. })) | Err(_) if is_on_this_machine(network) => {
            tracing::info!(%network, "no node responds, so a development key is accepted without asking the chain");
            Ok(())
        }
        Ok(Err(error)) => Err(chain_error(error)),
        Err(_) => {
            let text = format!(
                "no node of {network} responds, so the development key in --key-uri is not accepted\nhint: check {}",
                source.network_settings()
            );
            Err(ClassifiedError::error(Failure::Network, text))
        }
    }
}

/// Creates the error for a development key on another chain than a development chain, for a command
/// with the option `--network`.
pub fn not_development_error(network: &Network) -> anyhow::Error {
    not_development_error_from(network, NetworkSource::Arguments)
}

fn not_development_error_from(network: &Network, source: NetworkSource) -> anyhow::Error {
    let text = format!(
        "--key-uri selects a development key, whose secret is public, and {network} is not a development chain\nhint: use \
         a wallet's key, or select a development chain, such as with {}",
        source.local_network_setting(settings::text)
    );
    ClassifiedError::usage(text)
}

fn is_on_this_machine(network: &Network) -> bool {
    network
        .nodes()
        .iter()
        .all(|node| Url::parse(&node.to_string()).is_ok_and(|url| is_loopback(&url)))
}

/// Returns whether a URL is one of this machine's loopback addresses.
pub fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn development_keys_need_development_chain() {
        for (network, is_accepted) in [
            // Nothing listens at port 1.
            ("ws://localhost:1,ws://[::1]:1", true),
            ("ws://127.0.0.1:1", true),
            ("finney", false),
            ("ws://127.0.0.1:1,archive", false),
            ("ws://192.0.2.1:1", false),
        ] {
            let network = network.parse().unwrap();
            let result = check_development_before(&network, NetworkSource::Environment);
            assert_eq!(result.is_ok(), is_accepted, "{network}: {result:?}");
        }
    }

    #[test]
    fn hint_selects_network_by_setting_of_the_command() {
        use NetworkSource::{Arguments, Environment};

        for (source, variable, expected) in [
            (Arguments, Some("BT_CHAIN_ENDPOINT"), "--network local"),
            (Environment, None, "BT_NETWORK=local"),
            // A variable that takes precedence must be changed.
            (Environment, Some("BT_CHAIN_ENDPOINT"), "BT_CHAIN_ENDPOINT=local"),
            (
                Environment,
                Some("BITTENSOR_SUBTENSOR_ENDPOINT"),
                "BITTENSOR_SUBTENSOR_ENDPOINT=local",
            ),
        ] {
            let hint = source.local_network_setting(|name| {
                (Some(name) == variable).then(|| "ws://192.0.2.1".to_owned())
            });
            assert_eq!(hint, expected, "{source:?} {variable:?}");
        }
        let finney = "finney".parse().unwrap();
        let error = check_development_before(&finney, Environment).unwrap_err().to_string();
        assert!(error.ends_with("=local") && !error.contains("--network"), "{error}");
        let error = not_development_error(&finney).to_string();
        assert!(error.ends_with("such as with --network local"), "{error}");
    }
}
