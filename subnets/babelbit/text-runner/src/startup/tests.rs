use std::sync::Mutex;
use std::sync::atomic::AtomicU64;
use std::time::Instant;

use taonet_babelbit_runner::{AddressPolicy, MinerEntry};
use taonet_primitives::NetUid;
use taonet_validator::subtensor_gateway::GatewayClient;

use super::*;
use crate::tests::{failing, miners};

/// A virtual clock that advances while a task sleeps on it, or a miner responds.
#[derive(Clone, Default)]
struct VirtualClock(Arc<AtomicU64>);

impl VirtualClock {
    fn advance(&self, seconds: u64) {
        self.0.fetch_add(seconds, Ordering::SeqCst);
    }

    fn startup(&self, budget: u64) -> Startup {
        let (seconds, start, clock) = (Arc::clone(&self.0), Instant::now(), self.clone());
        Startup {
            now: Arc::new(move || start + Duration::from_secs(seconds.load(Ordering::SeqCst))),
            sleeper: Arc::new(move |pause: Duration| {
                clock.advance(pause.as_secs());
                Box::pin(std::future::ready(()))
            }),
            ..Startup::new(Duration::from_secs(budget), Duration::from_mins(1))
        }
    }
}

/// A miner that records the timeouts of its calls, in seconds. Each response takes the whole
/// timeout; a missing one never arrives.
#[derive(Default)]
struct SlowStartMiner {
    clock: VirtualClock,
    answers: Mutex<Vec<Option<Result<String, CallError>>>>,
    timeouts: Mutex<Vec<u64>>,
    /// Number of health checks that fail.
    failing_pings: Mutex<u64>,
    pings: Mutex<Vec<u64>>,
}

impl TextConnection for SlowStartMiner {
    fn predict<'a>(
        &'a self,
        _: &'a PredictedUtterance,
        timeout: Duration,
    ) -> BoxFuture<'a, Result<String, CallError>> {
        self.timeouts.lock().unwrap().push(timeout.as_secs());
        let Some(answer) = self.answers.lock().unwrap().remove(0) else {
            return std::future::pending().boxed();
        };
        self.clock.advance(timeout.as_secs());
        std::future::ready(answer).boxed()
    }

    fn is_healthy(&self, timeout: Duration) -> BoxFuture<'_, bool> {
        self.pings.lock().unwrap().push(timeout.as_secs());
        let mut failing = self.failing_pings.lock().unwrap();
        let is_healthy = *failing == 0;
        *failing = failing.saturating_sub(1);
        std::future::ready(is_healthy).boxed()
    }
}

fn miner_with_connection(connection: &Arc<SlowStartMiner>) -> TextMiner {
    let mut miner = miners(&[&failing()]).remove(0);
    miner.connection = Arc::clone(connection) as _;
    miner
}

fn request() -> PredictedUtterance {
    serde_json::from_value(serde_json::json!({ "index": "s", "step": 0, "prefix": "Is" })).unwrap()
}

/// Columns: startup budget · responses to the calls · errors of the calls · timeouts of the
/// requests
///
/// Each call has the miner timeout of 11 s, unless it is the first one.
#[tokio::test]
async fn first_call_is_retried_with_the_startup_timeout() {
    let predicted = |text: &str| Some(Ok(text.to_owned()));
    let timeout_error = || Some(Err(CallError::Timeout(Duration::from_mins(1))));
    let status = |status| Some(Err(CallError::Status { status, body: String::new() }));
    for (budget, answers, errors, expected) in [
        (
            300,
            vec![timeout_error(), timeout_error(), predicted("Is it"), predicted("Is it")],
            vec![false, false],
            &[60, 60, 60, 11][..],
        ),
        // An empty prediction counts as a failure until the miner has started.
        (
            300,
            vec![predicted(" "), status(503), predicted("Is it"), predicted("")],
            vec![false, false],
            &[60, 60, 60, 11],
        ),
        // The attempts, with pauses of 1 s, share one budget, which is not renewed.
        (
            194,
            vec![
                timeout_error(),
                timeout_error(),
                timeout_error(),
                timeout_error(),
                timeout_error(),
            ],
            vec![true, true],
            &[60, 60, 60, 11, 11],
        ),
        (
            120,
            vec![timeout_error(), predicted(""), predicted("Is it")],
            vec![true, false],
            &[60, 59, 11],
        ),
        // These statuses are final.
        (300, vec![status(400), predicted("Is it")], vec![true, false], &[60, 11]),
        (300, vec![status(401), predicted("Is it")], vec![true, false], &[60, 11]),
        (300, vec![status(403), predicted("Is it")], vec![true, false], &[60, 11]),
        (300, vec![status(404), predicted("Is it")], vec![true, false], &[60, 11]),
        (300, vec![status(422), predicted("Is it")], vec![true, false], &[60, 11]),
        (0, vec![timeout_error(), predicted("Is it")], vec![true, false], &[11, 11]),
    ] {
        let clock = VirtualClock::default();
        let slow_miner = Arc::new(SlowStartMiner {
            clock: clock.clone(),
            answers: Mutex::new(answers),
            ..SlowStartMiner::default()
        });
        let miner = clock.startup(budget).with_startup_timeout(miner_with_connection(&slow_miner));
        for is_error in errors {
            let answer = miner.connection.predict(&request(), Duration::from_secs(11)).await;
            assert_eq!(answer.is_err(), is_error, "{budget} {expected:?}: {answer:?}");
        }
        assert_eq!(*slow_miner.timeouts.lock().unwrap(), expected, "{budget}");
    }
}

#[tokio::test]
async fn cancelled_call_preserves_the_startup_budget() {
    let clock = VirtualClock::default();
    let answers = vec![
        None,
        Some(Err(CallError::InvalidPayloadType)),
        None,
        Some(Ok("Is it".to_owned())),
        None,
    ];
    let slow_miner = Arc::new(SlowStartMiner {
        clock: clock.clone(),
        answers: Mutex::new(answers),
        ..SlowStartMiner::default()
    });
    let miner = clock.startup(100).with_startup_timeout(miner_with_connection(&slow_miner));
    let timeout = Duration::from_secs(11);
    for (expected, timeouts) in [
        (None, &[60][..]),
        // The second attempt has the rest of a budget of 100 s, which begins with the call.
        (None, &[60, 60, 39]),
        (Some(Ok("Is it".to_owned())), &[60, 60, 39, 60]),
        (None, &[60, 60, 39, 60, 11]),
    ] {
        assert_eq!(miner.connection.predict(&request(), timeout).now_or_never(), expected);
        assert_eq!(*slow_miner.timeouts.lock().unwrap(), timeouts);
    }
}

/// Columns: health checks that fail · miners that play · timeouts of the checks
#[tokio::test]
async fn round_waits_until_its_miners_are_healthy() {
    for (failing_pings, count, expected) in [
        (0, 2, vec![30]),
        (3, 2, vec![30; 4]),
        (1_000, 1, [vec![30; 271], (1..30).rev().collect()].concat()),
    ] {
        let clock = VirtualClock::default();
        let slow_miner = SlowStartMiner {
            clock: clock.clone(),
            failing_pings: Mutex::new(failing_pings),
            ..SlowStartMiner::default()
        };
        let slow_miner = Arc::new(slow_miner);
        // The other miner has no health check, like those behind the gateway.
        let all_miners = [miners(&[&failing()]), vec![miner_with_connection(&slow_miner)]].concat();
        assert_eq!(
            clock.startup(300).wait_for_healthy(all_miners).await.len(),
            count,
            "{failing_pings}"
        );
        assert_eq!(*slow_miner.pings.lock().unwrap(), expected);
    }
}

#[tokio::test]
async fn each_round_has_its_own_startup_budget() {
    let clock = VirtualClock::default();
    let answers = vec![Some(Ok("Is it".to_owned())); 4];
    let slow_miner = SlowStartMiner {
        clock: clock.clone(),
        answers: Mutex::new(answers),
        failing_pings: Mutex::new(1),
        ..SlowStartMiner::default()
    };
    let slow_miner = Arc::new(slow_miner);
    let policy = AddressPolicy::private();
    let entry = MinerEntry {
        uid: taonet_primitives::Uid(1),
        hotkey: taonet_primitives::Hotkey::from_bytes([1; 32]),
        address: policy.resolve("127.0.0.1:9").unwrap(),
        name: None,
    };
    let gateway =
        GatewayClient::new(&"http://127.0.0.1:9".parse().unwrap(), None, Duration::from_secs(1))
            .unwrap();
    let connection = Arc::clone(&slow_miner);
    let list: ListArenaMiners<TextMiner> = Arc::new(move |registered| {
        assert_eq!(registered.len(), 1);
        std::future::ready(Ok(vec![miner_with_connection(&connection)])).boxed()
    });
    let arena = TextArena {
        arena: list,
        source: MinerSource::Listed(vec![entry]),
        chain: Arc::new(ChainView::new(gateway, NetUid(59), None)),
        startup: clock.startup(300),
    };
    for _ in 0..2 {
        let miners = arena.miners().await.unwrap();
        for _ in 0..2 {
            miners[0].connection.predict(&request(), Duration::from_secs(11)).await.unwrap();
        }
    }
    assert_eq!(*slow_miner.timeouts.lock().unwrap(), [60, 11, 60, 11]);
    assert_eq!(*slow_miner.pings.lock().unwrap(), [30, 30, 30]);
}
