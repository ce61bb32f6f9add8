//! The services of a validator and of the subnet owner, on free ports of this machine.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use taonet_babelbit_arena::gateway::{ArenaGateway, ArenaGatewayConfig, Results, submit};
use taonet_babelbit_core::arena_api::Submission;
use taonet_babelbit_engine::client::EngineClient;
use taonet_babelbit_runner::AddressPolicy;
use taonet_babelbit_scoring_api::ScoresClient;
use taonet_babelbit_scoring_api::server::{
    Admission, ArtifactStore, ScoringApi, ScoringLimits, Store,
};
use taonet_babelbit_validator::PayloadPolicy;
use taonet_cli_dashboard::new_weight_ledger;
use taonet_cli_localnet::demo_chain::{DemoChain, NETUID};
use taonet_ledger::{Ledger, Submitter};
use taonet_primitives::Uid;
use taonet_service::Shutdown;
use taonet_validator::operator_http::OperatorLimits;
use taonet_validator::signer::{AuditLog, Signer, SignerClient, SignerConfig};
use taonet_validator::subtensor_gateway::{Gateway, GatewayClient, GatewaySettings};
use taonet_wallet::Keypair;
use url::Url;

use super::page::{Page, serve_listed};

/// Names of the services, also used as labels of their metrics.
const GATEWAY: &str = "subtensor-gateway";
const SIGNER: &str = "signer";
const SCORING_API: &str = "scoring-api";
const ARENA: &str = "arena-gateway";
/// The subnet owner's key: a development key without funds of value.
const OWNER: &str = "//Bob";
/// Timeout of a call to a service on this machine.
const CALL_TIMEOUT: Duration = Duration::from_mins(1);
/// Maximum number of attempts to confirm weights, and the delay between them.
const WEIGHT_ATTEMPTS: (u32, Duration) = (20, Duration::from_millis(100));

/// The running services and their URLs.
pub(crate) struct Services {
    pub(crate) gateway: GatewayClient,
    pub(crate) signer: SignerClient,
    pub(crate) scoring_url: Url,
    pub(crate) arena_url: Url,
    /// Directory of the weight ledger.
    pub(crate) weight_ledger: PathBuf,
    arena: ArenaGateway,
    owner: Arc<Keypair>,
}

impl Services {
    /// Starts subtensor gateway, signer, scoring API and arena gateway for a validator with a
    /// permit. Results and weights are stored in `persistent_directory`; state that is useless
    /// without the in-memory chain is stored in `temporary_directory`.
    pub(crate) async fn start(
        chain: &DemoChain,
        validator: &Arc<Keypair>,
        temporary_directory: &Path,
        persistent_directory: &Path,
        page: Option<&Page>,
        shutdown: &Shutdown,
    ) -> anyhow::Result<Self> {
        let weight_ledger = new_weight_ledger(persistent_directory);
        let gateway = start_gateway(chain, validator, &weight_ledger, page, shutdown).await?;
        let audit_log = temporary_directory.join("audit.jsonl");
        let signer = start_signer(validator, gateway.clone(), &audit_log, page, shutdown).await?;
        let owner = Arc::new(Keypair::from_uri(OWNER)?);
        let scoring_url = start_scoring_api(
            &persistent_directory.join("scoring-api"),
            gateway.clone(),
            &owner,
            page,
            shutdown,
        )
        .await?;
        let config = ArenaGatewayConfig {
            policy: AddressPolicy::private(),
            wins_needed: true,
            ..ArenaGatewayConfig::new(Arc::clone(&owner))
        };
        let arena =
            ArenaGateway::open(config, &temporary_directory.join("arena"), false, None).await?;
        let arena_url = serve_listed(page, ARENA, ARENA, arena.router(), shutdown).await?;
        Ok(Self { gateway, signer, scoring_url, arena_url, weight_ledger, arena, owner })
    }

    /// Submits a miner to the arena gateway.
    pub(crate) async fn enter_arena(
        &self,
        miner: &Keypair,
        uid: Uid,
        address: &Url,
    ) -> anyhow::Result<()> {
        let submission = Submission { endpoint_url: address.to_string(), uid: uid.0 };
        submit(&self.arena_url, Some(self.arena.hotkey()), miner, &submission).await?;
        Ok(())
    }

    /// Returns a client that reads the scoring API with this key.
    pub(crate) fn scores_client(&self, keypair: &Arc<Keypair>) -> anyhow::Result<ScoresClient> {
        Ok(ScoresClient::new(&self.scoring_url, Arc::clone(keypair))?)
    }

    /// Refreshes the arena, so that recent winners qualify.
    pub(crate) async fn refresh_winners(&self, engine: EngineClient) -> anyhow::Result<()> {
        let scores = self.scores_client(&self.owner)?;
        self.arena.poll(&Results { engine, scores, interval: CALL_TIMEOUT }).await;
        Ok(())
    }

    /// Returns the key of the owner's services, whose hotkey the engine must admit.
    pub(crate) fn owner(&self) -> &Arc<Keypair> {
        &self.owner
    }
}

async fn start_gateway(
    chain: &DemoChain,
    validator: &Keypair,
    ledger: &Path,
    page: Option<&Page>,
    shutdown: &Shutdown,
) -> anyhow::Result<GatewayClient> {
    let gateway = Gateway::new(GatewaySettings::new(NETUID, validator.hotkey()));
    let client = chain.client();
    let submitter =
        Submitter::new(Ledger::open(ledger).await?, Arc::clone(&client) as _, validator.clone())
            .await?;
    gateway.connect(client, submitter);
    let routes = gateway.router(OperatorLimits::new(None));
    let url = serve_listed(page, GATEWAY, GATEWAY, routes, shutdown).await?;
    shutdown.spawn_until("unfinished weights", |stop| async move { gateway.follow(&stop).await });
    Ok(GatewayClient::new(&url, None, CALL_TIMEOUT)?)
}

async fn start_signer(
    validator: &Arc<Keypair>,
    gateway: GatewayClient,
    audit_log: &Path,
    page: Option<&Page>,
    shutdown: &Shutdown,
) -> anyhow::Result<SignerClient> {
    let (retries, retry_delay) = WEIGHT_ATTEMPTS;
    let signer = Signer::new(SignerConfig {
        keypair: Arc::clone(validator),
        netuid: NETUID,
        gateway,
        retries,
        retry_delay,
        policy: PayloadPolicy::new(validator.hotkey()).into_signing_policy(),
        audit: AuditLog::open(audit_log)?,
    });
    let url =
        serve_listed(page, SIGNER, SIGNER, signer.router(OperatorLimits::new(None)), shutdown)
            .await?;
    Ok(SignerClient::new(&url, None)?)
}

/// Starts the scoring API: validators need a permit on the chain, the owner is a reader.
async fn start_scoring_api(
    directory: &Path,
    gateway: GatewayClient,
    owner: &Keypair,
    page: Option<&Page>,
    shutdown: &Shutdown,
) -> anyhow::Result<Url> {
    std::fs::create_dir_all(directory).with_context(|| unusable_directory_message(directory))?;
    let store =
        Store::open(&format!("sqlite:{}", directory.join("scoring.sqlite").display())).await;
    let artifacts = ArtifactStore::open(&directory.join("artifacts"), None)?;
    let admission = Admission::Permits { gateway, netuid: NETUID };
    let limits = ScoringLimits { readers: [owner.hotkey()].into(), ..ScoringLimits::default() };
    let api = ScoringApi::new(
        store.with_context(|| unusable_directory_message(directory))?,
        artifacts,
        admission,
        limits,
    );
    let url = serve_listed(page, SCORING_API, SCORING_API, api.router(), shutdown).await?;
    shutdown.spawn_until("upkeep", |stop| async move { api.follow(&stop).await });
    Ok(url)
}

fn unusable_directory_message(directory: &Path) -> String {
    format!("the scoring API cannot use the directory {}", directory.display())
}
