//! Miners of the demonstration: the real miner in front of models that behave differently.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::Context as _;
use axum::extract::Request;
use axum::http::StatusCode;
use axum::middleware::{self, Next};
use axum::response::IntoResponse as _;
use axum::{Json, Router};
use serde_json::json;
use taonet_cli_base::daemon::serve_on_loopback;
use taonet_cli_localnet::demo_chain::DemoChain;
use taonet_lm::EngineSettings;
use taonet_lm::server::router;
use taonet_nineteen_core::task::{Endpoint, TaskType};
use taonet_nineteen_images::{PaintRequest, paint, worker_answer};
use taonet_nineteen_miner::{Backend, Deadlines, Miner, MinerConfig, ServedTask, miner_router};
use taonet_nineteen_transport::{
    FiberRules, MAX_REQUEST_BYTES, MinerHandshake, RsaKey, signed_requests,
};
use taonet_primitives::Hotkey;
use taonet_service::Shutdown;
use taonet_wallet::Keypair;
use taonet_wire::{Limits, Policy};
use url::Url;

use super::demo_market::DemoMarket;

/// Rejection interval: the rate-limiting miner and the failing miner reject every third request of
/// each task.
const REJECTION_INTERVAL: u64 = 3;
/// Maximum concurrent requests per miner.
const MAX_CONCURRENCY: usize = 64;

/// Behaviour of a demonstration miner.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Behaviour {
    Good,
    Slow,
    Limiting,
    Failing,
    /// Serves the model with its weights rounded to 4 bits.
    Quantised,
    /// Serves another model.
    Cheating,
    /// Serves images.
    Painting,
    /// Answers every request with the same image.
    Reusing,
}

impl Behaviour {
    const TEXT: [Self; 6] =
        [Self::Good, Self::Slow, Self::Limiting, Self::Failing, Self::Quantised, Self::Cheating];
    const IMAGE: [Self; 2] = [Self::Painting, Self::Reusing];

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Good => "good",
            Self::Slow => "slow",
            Self::Limiting => "limiting",
            Self::Failing => "failing",
            Self::Quantised => "quantised",
            Self::Cheating => "cheating",
            Self::Painting => "painting",
            Self::Reusing => "reusing",
        }
    }

    /// Returns the delay before the first token. Without a delay, short answers of all miners would
    /// be equally fast. If a trained model makes sense of buyers' requests, the cheating miner,
    /// whose answers mean nothing, is the slowest, so that it gets few of them before its answers
    /// are checked.
    const fn delay(self, is_trained: bool) -> Duration {
        Duration::from_millis(match self {
            Self::Cheating if is_trained => 3_000,
            Self::Good | Self::Cheating | Self::Painting | Self::Reusing => 0,
            Self::Limiting | Self::Failing | Self::Quantised => 150,
            Self::Slow => 500,
        })
    }

    /// Returns the time per token, as if each miner had its own machine.
    const fn pace(self) -> Duration {
        Duration::from_millis(match self {
            Self::Painting | Self::Reusing => 0,
            Self::Cheating => 2,
            Self::Good => 4,
            Self::Limiting | Self::Failing | Self::Quantised => 10,
            Self::Slow => 30,
        })
    }
}

/// A running miner of the demonstration.
pub(super) struct DemoMiner {
    pub(super) behaviour: Behaviour,
    pub(super) hotkey: Hotkey,
}

/// Starts and registers one miner of each behaviour that the market has tasks for.
pub(super) async fn start(
    chain: &DemoChain,
    validator: &Keypair,
    demo_market: &DemoMarket,
    shutdown: &Shutdown,
) -> anyhow::Result<Vec<DemoMiner>> {
    let mut miners = Vec::new();
    for behaviour in Behaviour::TEXT {
        let model = match behaviour {
            Behaviour::Cheating => &demo_market.cheaper_model,
            Behaviour::Quantised => match &demo_market.quantised_model {
                Some(quantised) => quantised,
                None => continue,
            },
            _ => &demo_market.model,
        };
        let settings = EngineSettings {
            streams: MAX_CONCURRENCY,
            pace: behaviour.pace(),
            ..EngineSettings::default()
        };
        let backend = with_faults(
            router(Arc::clone(model), settings)?,
            behaviour,
            behaviour.delay(demo_market.is_trained),
        );
        let backend = serve_on_loopback("model", backend, shutdown).await?.join("/v1")?;
        let served = vec!["chat-demo=demo".parse()?, "chat-demo-comp=demo".parse()?];
        let miner = create_miner(TaskType::Text, served, &backend)?;
        miners.push(register(miner, behaviour, chain, validator, shutdown).await?);
    }
    if !demo_market.has_images {
        return Ok(miners);
    }
    for behaviour in Behaviour::IMAGE {
        let is_painter = behaviour == Behaviour::Painting;
        let backend =
            if is_painter { taonet_nineteen_images::router() } else { repeated_image_router()? };
        let backend = serve_on_loopback("painter", backend, shutdown).await?;
        let tasks =
            demo_market.market.tasks.iter().filter(|task| task.task_type == TaskType::Image);
        let served = tasks
            .map(|task| ServedTask { task: task.task.clone(), model: None, capacity: None })
            .collect();
        let miner = create_miner(TaskType::Image, served, &backend)?;
        miners.push(register(miner, behaviour, chain, validator, shutdown).await?);
    }
    Ok(miners)
}

fn create_miner(
    task_type: TaskType,
    served: Vec<ServedTask>,
    backend: &Url,
) -> anyhow::Result<Miner> {
    let config = MinerConfig {
        task_type,
        served,
        concurrency: MAX_CONCURRENCY,
        deadlines: Deadlines::default(),
    };
    Ok(Miner::new(config, Backend::new(backend, None)?, None))
}

/// Starts a miner and registers it on the chain.
async fn register(
    miner: Miner,
    behaviour: Behaviour,
    chain: &DemoChain,
    validator: &Keypair,
    shutdown: &Shutdown,
) -> anyhow::Result<DemoMiner> {
    let keypair = Keypair::from_uri(&format!("//nineteen//{}", behaviour.name()))?;
    let limits = Limits { body_bytes: MAX_REQUEST_BYTES, ..Limits::default() };
    let layer = signed_requests(keypair.hotkey(), FiberRules::Strict)
        .policy(Policy::only([validator.hotkey()]));
    let signature_layer = layer.limits(limits).build();
    let handshake = MinerHandshake::new(keypair.clone(), RsaKey::generate()?, FiberRules::Strict);
    let url = serve_on_loopback("miner", miner_router(miner, handshake, signature_layer), shutdown)
        .await?;
    chain.register(&keypair, url.port().unwrap_or_default()).await?;
    Ok(DemoMiner { behaviour, hotkey: keypair.hotkey() })
}

/// Returns an image server that sends the same image, with its hashes, for every request.
fn repeated_image_router() -> anyhow::Result<Router> {
    let request = json!({"prompt": "a red boat on a blue lake"});
    let picture = paint(&PaintRequest::parse(
        Endpoint::TextToImage,
        request.as_object().context("no object")?,
    )?);
    let response = worker_answer(&picture)?;
    Ok(Router::new().fallback(move || async move { Json(response) }))
}

/// Adds the first-token delay and the faults of a behaviour to a backend.
fn with_faults(router: Router, behaviour: Behaviour, delay: Duration) -> Router {
    let rejection_status = match behaviour {
        Behaviour::Limiting => Some(StatusCode::TOO_MANY_REQUESTS),
        Behaviour::Failing => Some(StatusCode::INTERNAL_SERVER_ERROR),
        _ => None,
    };
    // Counted by task: with one counter, all rejections could affect the same task.
    let counters = Arc::new([AtomicU64::new(0), AtomicU64::new(0)]);
    router.layer(middleware::from_fn(move |request: Request, next: Next| {
        let [chats, completions] = &*counters;
        let counter = if request.uri().path().contains("/chat/") { chats } else { completions };
        let count = counter.fetch_add(1, Ordering::Relaxed);
        async move {
            if let Some(status) =
                rejection_status.filter(|_| count.is_multiple_of(REJECTION_INTERVAL))
            {
                return status.into_response();
            }
            tokio::time::sleep(delay).await;
            next.run(request).await
        }
    }))
}
