//! Miners of the demonstration: the real miner in front of models that behave differently.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use axum::http::StatusCode;
use axum::middleware::{self, Next};
use axum::response::IntoResponse as _;
use taonet_lm::EngineSettings;
use taonet_lm::server::router;
use taonet_nineteen_core::task::TaskType;
use taonet_nineteen_miner::{Backend, Deadlines, Miner, MinerConfig, miner_router};
use taonet_nineteen_transport::{FiberRules, MinerHandshake, RsaKey, signed_requests};
use taonet_primitives::Hotkey;
use taonet_service::Shutdown;
use taonet_wallet::Keypair;
use taonet_wire::Policy;

use super::goods::Goods;
use crate::daemon::serve_here;
use crate::demo_chain::DemoChain;

/// Rejection interval: the rate-limiting miner and the failing miner reject every third request of each task.
const REFUSES: u64 = 3;
/// Maximum concurrent requests per miner.
const CONCURRENCY: usize = 64;

/// Behaviour of a demonstration miner.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Behaviour {
    Good,
    Slow,
    Limiting,
    Failing,
    Cheating,
}

impl Behaviour {
    const ALL: [Self; 5] = [Self::Good, Self::Slow, Self::Limiting, Self::Failing, Self::Cheating];

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Good => "good",
            Self::Slow => "slow",
            Self::Limiting => "limiting",
            Self::Failing => "failing",
            Self::Cheating => "cheating",
        }
    }

    /// Returns the delay before the first token. Without a delay, short answers of all miners would be equally fast. If a
    /// trained model makes sense of buyers' requests, the cheating miner, whose answers mean nothing, is the slowest, so
    /// that it gets few of them before its answers are checked.
    const fn delay(self, is_trained: bool) -> Duration {
        Duration::from_millis(match self {
            Self::Cheating if is_trained => 3_000,
            Self::Good | Self::Cheating => 0,
            Self::Limiting | Self::Failing => 150,
            Self::Slow => 500,
        })
    }

    /// Returns the time per token, as if each miner had its own machine.
    const fn pace(self) -> Duration {
        Duration::from_millis(match self {
            Self::Cheating => 2,
            Self::Good => 4,
            Self::Limiting | Self::Failing => 10,
            Self::Slow => 30,
        })
    }
}

/// A running miner of the demonstration.
pub(super) struct DemoMiner {
    pub(super) behaviour: Behaviour,
    pub(super) hotkey: Hotkey,
}

/// Starts and registers one miner of each behaviour.
pub(super) async fn start(
    chain: &DemoChain,
    validator: &Keypair,
    goods: &Goods,
    shutdown: &Shutdown,
) -> anyhow::Result<Vec<DemoMiner>> {
    let mut miners = Vec::new();
    for behaviour in Behaviour::ALL {
        let model = if behaviour == Behaviour::Cheating { &goods.cheaper } else { &goods.model };
        let settings = EngineSettings { streams: CONCURRENCY, pace: behaviour.pace(), ..EngineSettings::default() };
        let backend = with_faults(router(Arc::clone(model), settings)?, behaviour, behaviour.delay(goods.is_trained));
        let backend = serve_here("model", backend, shutdown).await?.join("/v1")?;
        let keypair = Keypair::from_uri(&format!("//nineteen//{}", behaviour.name()))?;
        let config = MinerConfig {
            task_type: TaskType::Text,
            served: vec!["chat-demo=demo".parse()?, "chat-demo-comp=demo".parse()?],
            concurrency: CONCURRENCY,
            deadlines: Deadlines::default(),
        };
        let signed =
            signed_requests(keypair.hotkey(), FiberRules::Strict).policy(Policy::only([validator.hotkey()])).build();
        let handshake = MinerHandshake::new(keypair.clone(), RsaKey::generate()?, FiberRules::Strict);
        let miner = Miner::new(config, Backend::new(&backend, None)?, None);
        let url = serve_here("miner", miner_router(miner, handshake, signed), shutdown).await?;
        chain.register(&keypair, url.port().unwrap_or_default()).await?;
        miners.push(DemoMiner { behaviour, hotkey: keypair.hotkey() });
    }
    Ok(miners)
}

/// Adds the first-token delay and the faults of a behaviour to a backend.
fn with_faults(router: Router, behaviour: Behaviour, delay: Duration) -> Router {
    let refusal = match behaviour {
        Behaviour::Limiting => Some(StatusCode::TOO_MANY_REQUESTS),
        Behaviour::Failing => Some(StatusCode::INTERNAL_SERVER_ERROR),
        Behaviour::Good | Behaviour::Slow | Behaviour::Cheating => None,
    };
    // Counted by task: with one counter, all rejections could affect the same task.
    let seen = Arc::new([AtomicU64::new(0), AtomicU64::new(0)]);
    router.layer(middleware::from_fn(move |request: Request, next: Next| {
        let [chats, completions] = &*seen;
        let task = if request.uri().path().contains("/chat/") { chats } else { completions };
        let count = task.fetch_add(1, Ordering::Relaxed);
        async move {
            if let Some(status) = refusal.filter(|_| count.is_multiple_of(REFUSES)) {
                return status.into_response();
            }
            tokio::time::sleep(delay).await;
            next.run(request).await
        }
    }))
}
