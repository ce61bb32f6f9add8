//! Scheduling of a period's synthetic requests.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rand::SeedableRng as _;
use rand::rngs::StdRng;
use serde_json::{Map, Value};
use taonet_nineteen_core::schedule::{Schedule, SlotAction};
use taonet_nineteen_core::task::TaskType;
use taonet_nineteen_core::{KeyWeight, MarketConfig, TaskName};
use taonet_nineteen_query::{EarlierTasks, PeriodMiners, Querier, Request, RequestKind};
use taonet_primitives::Seconds;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

use crate::synthetic::Drafts;
use crate::{metrics, synthetic};

/// Maximum number of synthetic requests in flight; beyond it, slots are skipped. The limit does not
/// apply to organic requests.
const MAX_IN_FLIGHT: usize = 100;
/// Grace period for requests in flight at the period's end.
const GRACE_PERIOD: Duration = Duration::from_secs(10);

/// A source of random numbers that tests can seed.
pub(crate) type Random = Arc<Mutex<StdRng>>;

pub(crate) fn seeded_random(seed: Option<u64>) -> Random {
    Arc::new(Mutex::new(seed.map_or_else(StdRng::from_os_rng, StdRng::seed_from_u64)))
}

pub(crate) fn draw(random: &Random) -> f64 {
    rand::Rng::random(&mut *random.lock().unwrap_or_else(PoisonError::into_inner))
}

/// Sends the synthetic requests that remain in the budgets of `period_miners`, spread over the time
/// `remaining_time`, and waits for the answers. Uses the conversations in `drafts` while there are
/// any. `config` is that of the period. Dropping the future cancels the requests in flight.
pub(crate) async fn send_all(
    querier: &Querier,
    period_miners: &Arc<PeriodMiners>,
    remaining_time: Duration,
    random: &Random,
    drafts: &Drafts,
    config: &MarketConfig,
) {
    let start = Instant::now();
    let end = start + remaining_time;
    let budgets = period_miners
        .tasks()
        .iter()
        .map(|task_miners| (task_miners.task.task.clone(), task_miners.budget()));
    let duration = Seconds::new(remaining_time.as_secs_f64()).unwrap_or_default();
    let mut schedule = Schedule::new(duration, budgets, || draw(random));
    let permits = Arc::new(Semaphore::new(MAX_IN_FLIGHT));
    let mut in_flight = JoinSet::new();
    while let Some((time, task)) = schedule.next() {
        let Some(task_miners) = period_miners.task(task.as_str()) else { break };
        let send_at = start + Duration::from_secs_f64(time.get().max(0.0));
        if send_at > end {
            break;
        }
        while in_flight.try_join_next().is_some() {}
        sleep_until(send_at).await;
        let Some((task, action)) = schedule.take(task_miners.budget(), draw(random)) else { break };
        if action != SlotAction::Send {
            continue;
        }
        task_miners.spend();
        let Ok(permit) = Arc::clone(&permits).try_acquire_owned() else {
            metrics::count_skipped("busy");
            continue;
        };
        let (querier, definition) = (querier.clone(), Arc::clone(&task_miners.task));
        let names_task = config.names_task(&definition);
        let is_text = definition.task_type != TaskType::Image;
        let draft = if is_text { drafts.take() } else { None };
        let seed: u64 =
            rand::Rng::random(&mut *random.lock().unwrap_or_else(PoisonError::into_inner));
        in_flight.spawn(async move {
            // Drawing an input image takes too long for an async task.
            let generate = move || {
                synthetic::payload(&definition, draft, names_task, &mut StdRng::seed_from_u64(seed))
            };
            if let Ok(Some(payload)) = tokio::task::spawn_blocking(generate).await {
                send_and_drain(&querier, synthetic_request(&task, payload), &task).await;
            }
            drop(permit);
        });
    }
    sleep_until(end).await;
    let drain = async { while in_flight.join_next().await.is_some() {} };
    if tokio::time::timeout(GRACE_PERIOD, drain).await.is_err() {
        tracing::debug!("requests still in flight after the period's end");
    }
}

/// Creates a synthetic request from its payload.
fn synthetic_request(task: &TaskName, payload: Map<String, Value>) -> Request {
    Request {
        task: task.clone(),
        has_images: false,
        kind: RequestKind::Synthetic,
        max_chunks: synthetic::max_chunks(&payload),
        payload: payload.into(),
        key: "".into(),
        weight: KeyWeight::default(),
        is_collected: false,
        relays_logprobs: false,
        max_wait: None,
        cache_key: None,
        earlier: EarlierTasks::default(),
    }
}

async fn send_and_drain(querier: &Querier, request: Request, task: &TaskName) {
    match querier.query(request).await {
        // Reading the answer to its end records the outcome.
        Ok(mut answer) => while let Some(Ok(_)) = answer.next().await {},
        Err(error) => tracing::debug!(%task, %error, "synthetic request failed"),
    }
}
