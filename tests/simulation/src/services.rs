//! The daemons of Babelbit's validator, and the subnet owner's services, with the settings of their
//! commands.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use taonet_babelbit_challenges::Challenge;
use taonet_babelbit_core::Rules;
use taonet_babelbit_core::weights::ArenaShare;
use taonet_babelbit_engine::client::{EngineClient, EngineOptions};
use taonet_babelbit_engine::server::{Engine, EngineConfig, Rotation};
use taonet_babelbit_scoring_api::ScoresClient;
use taonet_babelbit_scoring_api::server::{
    Admission, ArtifactStore, ScoringApi, ScoringLimits, Store,
};
use taonet_babelbit_validator::{Babelbit, BabelbitSettings, CurrentChallenge, PayloadPolicy};
use taonet_http::{ServeLimits, serve};
use taonet_ledger::{Ledger, Submitter};
use taonet_primitives::{Hotkey, Uid};
use taonet_service::{Shutdown, sleeper, system_clock};
use taonet_speech::{Pcm, SynthesisError, Synthesizer, Voice};
use taonet_validator::operator_http::OperatorLimits;
use taonet_validator::signer::{AuditLog, Signer, SignerClient, SignerConfig};
use taonet_validator::subtensor_gateway::{Gateway, GatewayClient, GatewaySettings};
use taonet_validator::{HttpWeights, StateFile, Validator, ValidatorSettings};
use taonet_wallet::Keypair;
use tokio::net::TcpListener;
use url::Url;

use crate::chain::{NETUID, TEMPO};
use crate::endpoint::{Endpoint, Node};
use crate::process::ProcessRun;
use crate::schedule::EPOCH_TIME;
use crate::service_fault::ServiceFaults;

/// Number of miners. Neuron 0 is the validator.
pub(crate) const MINERS: u16 = 3;
/// Number of utterances of a challenge.
pub(crate) const UTTERANCES: u32 = 2;
/// Number of challenges: none returns within a simulation.
const CHALLENGES: u64 = 40;
/// Number of samples of an utterance: five frames.
const SAMPLES: usize = 9_600;
/// Number of blocks of the validator's own epochs: as on the main network, several of them are in
/// one epoch of the chain.
pub(crate) const VALIDATOR_TEMPO: u32 = TEMPO / 3;
/// Pause between attempts to connect to the chain.
const CONNECT_RETRY_DELAY: Duration = Duration::from_secs(5);

/// Returns the validator's key.
pub(crate) fn validator_key() -> Keypair {
    Keypair::from_seed(&[1; 32])
}

/// Returns the hotkey of a miner.
pub(crate) fn miner(uid: u16) -> Hotkey {
    Hotkey::from_bytes([uid as u8 + 100; 32])
}

/// Returns the hotkeys of all neurons. They publish no addresses: the miners are in the runner's
/// process.
pub(crate) fn neurons() -> Vec<(Hotkey, Option<SocketAddr>)> {
    let hotkeys = std::iter::once(validator_key().hotkey()).chain((1..=MINERS).map(miner));
    hotkeys.map(|hotkey| (hotkey, None)).collect()
}

/// Serves routes on the listener of a process.
pub(crate) async fn listen(
    process_run: &ProcessRun,
    router: Router,
    shutdown: &Shutdown,
) -> anyhow::Result<()> {
    let listener = TcpListener::from_std(process_run.listener.try_clone()?)?;
    serve(listener, router, shutdown, ServeLimits::default()).await;
    Ok(())
}

/// Runs the subtensor gateway, like `bb subtensor-gateway`.
pub(crate) async fn gateway(process_run: ProcessRun, node: Node) -> anyhow::Result<()> {
    let key = validator_key();
    let gateway = Gateway::new(GatewaySettings::new(NETUID, key.hotkey()));
    let mut ledger = Some(Ledger::open(&process_run.directory).await?);
    let shutdown = Shutdown::new();
    let chain = async {
        let endpoint = Arc::new(Endpoint::new(node));
        let submitter = loop {
            let open = match ledger.take() {
                Some(open) => open,
                None => Ledger::open(&process_run.directory).await?,
            };
            match Submitter::new(open, Arc::clone(&endpoint) as _, key.clone()).await {
                Ok(submitter) => break submitter,
                Err(_) => tokio::time::sleep(CONNECT_RETRY_DELAY).await,
            }
        };
        gateway.connect(endpoint, submitter);
        gateway.follow(&shutdown).await;
        anyhow::Ok(())
    };
    let served = listen(&process_run, gateway.router(OperatorLimits::new(None)), &shutdown);
    tokio::try_join!(served, chain)?;
    Ok(())
}

/// Runs the signer, like `bb signer`.
pub(crate) async fn signer(process_run: ProcessRun, gateway: Url) -> anyhow::Result<()> {
    let keypair = Arc::new(validator_key());
    let policy = PayloadPolicy::new(keypair.hotkey()).into_signing_policy();
    let signer = Signer::new(SignerConfig {
        keypair,
        netuid: NETUID,
        gateway: GatewayClient::new(&gateway, None, Duration::from_secs(30))?,
        retries: 5,
        retry_delay: Duration::from_secs(2),
        policy,
        audit: AuditLog::open(&process_run.directory.join("audit.jsonl"))?,
    });
    listen(&process_run, signer.router(OperatorLimits::new(None)), &Shutdown::new()).await
}

/// Addresses of the services that validator and runner call.
#[derive(Debug, Clone)]
pub(crate) struct Services {
    pub(crate) engine: Url,
    pub(crate) scoring: Url,
    pub(crate) gateway: Url,
}

/// Runs the validator, like `bb validate`.
pub(crate) async fn validator(
    process_run: ProcessRun,
    services: Services,
    signer: Url,
) -> anyhow::Result<()> {
    let keypair = Arc::new(validator_key());
    let engine = EngineClient::new(
        services.engine.as_str(),
        Arc::clone(&keypair),
        EngineOptions::default(),
    )?;
    let scores = ScoresClient::new(&services.scoring, keypair)?;
    let settings = BabelbitSettings {
        current: CurrentChallenge::Speech,
        arena_share: ArenaShare::from_percent(0.0),
        rules: Rules::Reference,
        cache_dir: process_run.directory.join("cache"),
    };
    let babelbit = Babelbit::new(engine, scores, settings);
    let service = HttpWeights {
        gateway: GatewayClient::new(&services.gateway, None, Duration::from_secs(30))?,
        signer: SignerClient::new(&signer, None)?,
        retries: 5,
        retry_delay: Duration::from_secs(2),
    };
    let settings = ValidatorSettings {
        netuid: NETUID,
        tempo: VALIDATOR_TEMPO,
        burn_uid: Uid(0),
        max_skipped_epochs: 1,
    };
    let state = StateFile::open(&process_run.directory.join("state.json"))?;
    Validator::new(babelbit, service.into(), settings, state, system_clock(), sleeper())
        .run(&Shutdown::new())
        .await;
    Ok(())
}

/// Runs the scoring API, like `bb scoring-api`.
pub(crate) async fn scoring(process_run: ProcessRun, faults: ServiceFaults) -> anyhow::Result<()> {
    let store =
        Store::open(&format!("sqlite:{}", scoring_database(&process_run.directory).display()))
            .await?;
    let artifacts = ArtifactStore::open(&process_run.directory.join("artifacts"), None)?;
    let admission = Admission::Listed([validator_key().hotkey()].into());
    let api = ScoringApi::new(store, artifacts, admission, ScoringLimits::default());
    let shutdown = Shutdown::new();
    let served = listen(&process_run, faults.apply(api.router()), &shutdown);
    tokio::join!(api.follow(&shutdown), served).1
}

/// Returns the path of the scoring API's database.
pub(crate) fn scoring_database(directory: &Path) -> std::path::PathBuf {
    directory.join("scoring.sqlite")
}

/// Runs the utterance engine, like `bb engine`. It keeps nothing on disk.
pub(crate) async fn engine(process_run: ProcessRun, faults: ServiceFaults) -> anyhow::Result<()> {
    let challenges = (0..CHALLENGES).map(challenge).collect::<anyhow::Result<_>>()?;
    let config = EngineConfig {
        rotation: Rotation::Every(EPOCH_TIME),
        ..EngineConfig::new(challenges, Arc::new(ConstantSynthesizer))
    };
    listen(&process_run, faults.apply(Engine::new(config)?.router()), &Shutdown::new()).await
}

/// Creates a challenge whose reference texts are the scores of the replies.
fn challenge(number: u64) -> anyhow::Result<Challenge> {
    let utterance = |index: u32| {
        serde_json::json!({
            "source": { "text": "Hm.", "voice": { "name": "en-gb", "words_per_minute": 200 } },
            "target": { "text": format!("0.{}", index + 1), "wps": 2.5 },
        })
    };
    let utterances: Vec<_> = (0..UTTERANCES).map(utterance).collect();
    let challenge = serde_json::json!({
        "challenge_uid": format!("challenge-{number}"), "title": "Humming", "language": "fr", "target_language": "en",
        "utterances": utterances,
    });
    Ok(Challenge::parse("challenge.json", &challenge.to_string())?)
}

/// A synthesiser that returns the same audio for every text.
struct ConstantSynthesizer;

impl Synthesizer for ConstantSynthesizer {
    fn speak(&self, _: &str, _: &Voice) -> Result<Pcm, SynthesisError> {
        Ok(Pcm::mono(vec![0.25; SAMPLES], taonet_primitives::SampleRate::HZ_24K))
    }
}
