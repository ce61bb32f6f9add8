//! In-process services of the runner: an engine, a gateway whose chain does not advance, scoring
//! APIs.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::http::StatusCode;
use axum::response::Json;
use axum::routing::post;
use serde_json::json;
use taonet_babelbit_challenges::Challenge;
use taonet_babelbit_engine::server::{Engine, EngineConfig};
use taonet_babelbit_scoring_api::server::{
    Admission, ArtifactStore, ScoringApi, ScoringLimits, Store,
};
use taonet_http::RateLimit;
use taonet_http::{ServeLimits, serve};
use taonet_primitives::SampleRate;
use taonet_service::Shutdown;
use taonet_speech::{Pcm, SynthesisError, Synthesizer, Voice};
use tokio::net::TcpListener;
use url::Url;

use super::{CHALLENGE, UTTERANCES};

/// Number of samples per utterance: five frames.
const SAMPLES: usize = 9_600;

/// An engine and a gateway.
pub(crate) struct Services {
    pub(crate) engine: Url,
    pub(crate) gateway: Url,
}

impl Services {
    pub(crate) async fn start() -> Self {
        // The test starts more processes than the engine's default limit permits.
        let limit = RateLimit { requests: 1_000_000, window: Duration::from_mins(1) };
        let config = EngineConfig {
            auth_limit: limit,
            data_limit: limit,
            ..EngineConfig::new(vec![challenge()], Arc::new(ConstantSynthesizer))
        };
        let gateway = Router::new()
            .route("/v1/block/current", post(|| async { Json(json!({ "block": 7 })) }))
            .route("/v1/block/wait", post(|| async { StatusCode::GATEWAY_TIMEOUT }));
        Self {
            engine: listen(Engine::new(config).unwrap().router()).await,
            gateway: listen(gateway).await,
        }
    }
}

/// A scoring API that stores its files in the directory of one runner.
pub(crate) struct ScoringServer {
    pub(crate) url: Url,
    pub(crate) store: Store,
    pub(crate) database: PathBuf,
    pub(crate) artifacts: PathBuf,
}

impl ScoringServer {
    pub(crate) async fn start(directory: &Path) -> Self {
        let directory = directory.join("scoring-api");
        let (database, artifacts) = (directory.join("scoring.sqlite"), directory.join("artifacts"));
        let artifact_store = ArtifactStore::open(&artifacts, None).unwrap();
        let store = Store::open(&format!("sqlite:{}", database.display())).await.unwrap();
        let api = ScoringApi::new(
            store.clone(),
            artifact_store,
            Admission::Open,
            ScoringLimits::default(),
        );
        Self { url: listen(api.router()).await, store, database, artifacts }
    }
}

async fn listen(router: Router) -> Url {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap()).parse().unwrap();
    tokio::spawn(
        async move { serve(listener, router, &Shutdown::new(), ServeLimits::default()).await },
    );
    url
}

/// Creates a challenge whose reference texts are the scores of the replies.
fn challenge() -> Challenge {
    let utterance = |index: u32| {
        json!({
            "source": { "text": "Hm.", "voice": { "name": "en-gb", "words_per_minute": 200 } },
            "target": { "text": format!("0.{}", index + 1), "wps": 2.5 },
        })
    };
    let utterances: Vec<_> = (0..UTTERANCES).map(utterance).collect();
    let challenge = json!({
        "challenge_uid": CHALLENGE, "title": "Humming", "language": "fr", "target_language": "en",
        "utterances": utterances,
    });
    Challenge::parse("kill.json", &challenge.to_string()).unwrap()
}

/// A synthesiser that returns the same audio for every text.
struct ConstantSynthesizer;

impl Synthesizer for ConstantSynthesizer {
    fn speak(&self, _: &str, _: &Voice) -> Result<Pcm, SynthesisError> {
        Ok(Pcm::mono(vec![0.25; SAMPLES], SampleRate::HZ_24K))
    }
}
