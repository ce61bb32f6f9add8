//! The user API of `tao proof validator`, and `tao proof api-key`.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context as _;
use clap::{Args, Subcommand};
use serde_json::json;
use taonet_cli_base::context::Context;
use taonet_cli_base::daemon::{bind, state_directory};
use taonet_http::ServeLimits;
use taonet_proof_api::{
    ApiKeys, ApiSettings, Identity, JobSettings, LiveKeys, Relay, router, serve_tls,
};
use taonet_proof_validator::Examiner;
use taonet_service::Shutdown;
use taonet_wallet::Keypair;

/// Arguments of the user API
#[derive(Debug, Args)]
pub(crate) struct ApiArgs {
    /// Listen address of the user API over TLS, such as 0.0.0.0:8443 [default: no user API]
    #[arg(long, value_name = "ADDRESS")]
    api: Option<SocketAddr>,
    /// Certificate chain in PEM [default: a self-signed one for localhost, stored in the state
    /// directory]
    #[arg(long, value_name = "FILE", requires = "api", requires = "api_certificate_key")]
    api_certificate: Option<PathBuf>,
    /// Private key of the certificate in PEM
    #[arg(long, value_name = "FILE", requires = "api_certificate")]
    api_certificate_key: Option<PathBuf>,
    /// File with the users' API keys, written by `tao proof api-key` [default: api-keys.json in the
    /// state directory]
    #[arg(long, value_name = "FILE", requires = "api")]
    api_keys: Option<PathBuf>,
    /// WebSocket URL of a relay that forwards users' requests, such as wss://relay.example:8443
    /// [default: no relay]
    #[arg(long, value_name = "URL")]
    relay_url: Option<String>,
    /// Trust the relay: also sign challenges of 32 bytes, which could be hashes of transactions
    #[arg(long, requires = "relay_url")]
    trust_relay: bool,
}

impl ApiArgs {
    /// Returns whether users can send requests.
    pub(crate) const fn serves_users(&self) -> bool {
        self.api.is_some() || self.relay_url.is_some()
    }

    /// Serves the API until shutdown, if an address is configured.
    pub(crate) async fn serve(
        &self,
        examiner: &Arc<Examiner>,
        state: &Path,
        shutdown: &Shutdown,
        context: &Context,
    ) -> anyhow::Result<()> {
        let Some(address) = self.api else { return Ok(()) };
        let keys = LiveKeys::open(&api_key_file(self.api_keys.as_deref())?)?;
        if keys.is_empty() {
            context.print_notice(
                "the user API has no keys yet: create one with `tao proof api-key add NAME`",
            );
        }
        let identity = match (&self.api_certificate, &self.api_certificate_key) {
            (Some(certificate), Some(key)) => Identity::read(certificate, key)?,
            _ => Identity::self_signed(state)?,
        };
        let listener = bind(address).await.context("cannot serve the user API")?;
        context.print_notice(&format!("user API at https://{}", listener.local_addr()?));
        let defaults = ApiSettings::default();
        let jobs = JobSettings { directory: Some(state.join("user-proofs")), ..defaults.jobs };
        let routes =
            router(Arc::clone(examiner), keys, &ApiSettings { jobs, ..defaults }, shutdown)?;
        shutdown.spawn_until("api", |stop| async move {
            if let Err(error) =
                serve_tls(listener, routes, &identity, ServeLimits::default(), &stop).await
            {
                tracing::error!(%error, "the user API stopped");
            }
        });
        Ok(())
    }

    /// Serves the requests of a relay until shutdown, if one is configured.
    pub(crate) fn follow_relay(
        &self,
        examiner: &Arc<Examiner>,
        keypair: &Arc<Keypair>,
        shutdown: &Shutdown,
    ) -> anyhow::Result<()> {
        let Some(url) = &self.relay_url else { return Ok(()) };
        let relay = Relay::new(url, Arc::clone(keypair), Arc::clone(examiner), shutdown)?
            .with_trusted(self.trust_relay);
        shutdown.spawn_until("relay", |stop| async move { relay.run(&stop).await });
        Ok(())
    }
}

fn api_key_file(option: Option<&Path>) -> anyhow::Result<PathBuf> {
    if let Some(path) = option {
        return Ok(path.to_owned());
    }
    let directory = state_directory("proof-validator");
    std::fs::create_dir_all(&directory)
        .with_context(|| format!("cannot create {}", directory.display()))?;
    Ok(directory.join("api-keys.json"))
}

/// Create, remove and list keys of the user API
#[derive(Debug, Args)]
pub struct ApiKeyArgs {
    #[command(subcommand)]
    command: ApiKeyCommand,
    /// File with the users' API keys [default: api-keys.json in the state directory]
    #[arg(long, value_name = "FILE", global = true)]
    api_keys: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
enum ApiKeyCommand {
    /// Create a key and print it; only its hash is stored
    Add {
        /// Name of the user
        name: String,
    },
    /// Remove a key
    Remove {
        /// Name of the user
        name: String,
    },
    /// List the names of all keys
    List,
}

pub(crate) fn manage_keys(args: &ApiKeyArgs, context: &Context) -> anyhow::Result<()> {
    let path = api_key_file(args.api_keys.as_deref())?;
    let mut keys = ApiKeys::open(&path)?;
    match &args.command {
        ApiKeyCommand::Add { name } => {
            let key = keys.add(name, &path)?;
            context.print_notice("the key is shown only once");
            if context.json {
                context.print_json(&json!({ "name": name, "key": key }))
            } else {
                context.print(&key)
            }
        }
        ApiKeyCommand::Remove { name } => {
            keys.remove(name, &path)?;
            context.print_notice(&format!("removed the key of {name}"));
            if context.json { context.print_json(&json!({ "removed": name })) } else { Ok(()) }
        }
        ApiKeyCommand::List => {
            let names: Vec<&str> = keys.names().collect();
            if context.json {
                context.print_json(&json!({ "names": names }))
            } else {
                context.print(&names.join("\n"))
            }
        }
    }
}
