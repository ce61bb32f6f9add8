use std::net::SocketAddr;
use std::sync::Mutex;
use std::time::Duration;

use axum::routing::post;
use axum::{Json, Router};
use serde_json::{Value, json};
use taonet_babelbit_runner::{CallError, RoundDependencies, RoundReport, Rounds, ScheduleSettings};
use taonet_primitives::NetUid;
use taonet_service::{Shutdown, system_clock};
use taonet_validator::subtensor_gateway::GatewayClient;
use tokio::sync::{mpsc, watch};

use super::*;
use crate::tests::{TEXT, engine, failing, miners, runner, scripted};

/// Miners that a test replaces between rounds.
struct ReplaceableMiners(Mutex<Vec<TextMiner>>);

impl TextMiners for ReplaceableMiners {
    fn miners(&self) -> BoxFuture<'_, Result<Vec<TextMiner>, RoundError>> {
        std::future::ready(Ok(self.0.lock().unwrap().clone())).boxed()
    }
}

/// Serves a gateway whose blocks the test produces; every request for the next block waits for a
/// moment.
async fn gateway(blocks: &watch::Sender<u32>) -> GatewayClient {
    let (current, next) = (blocks.subscribe(), blocks.subscribe());
    let wait = move |Json(_): Json<Value>| {
        let next = next.clone();
        async move {
            tokio::time::sleep(Duration::from_millis(10)).await;
            Json(json!({ "block": *next.borrow() }))
        }
    };
    let routes = Router::new()
        .route(
            "/v1/block/current",
            post(move || async move { Json(json!({ "block": *current.borrow() })) }),
        )
        .route("/v1/block/wait", post(wait));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap()).parse().unwrap();
    let service = routes.into_make_service_with_connect_info::<SocketAddr>();
    tokio::spawn(async move { axum::serve(listener, service).await });
    GatewayClient::new(&url, None, Duration::from_mins(1)).unwrap()
}

#[tokio::test]
async fn solo_round_follows_main_round_and_failed_round_is_retried_next_epoch() {
    let directory = tempfile::tempdir().unwrap();
    let runner = runner(&directory).await;
    let engine = engine(TEXT).await;
    let (echo, failing_miner) = (scripted(|request| Ok(request.prefix.clone())), failing());
    let replaceable_miners = Arc::new(ReplaceableMiners(Mutex::new(Vec::new())));
    let (blocks, _) = watch::channel(100);
    let (sender, mut reports) = mpsc::unbounded_channel::<RoundReport>();
    let dependencies = RoundDependencies {
        ledger: Arc::clone(&runner.ledger),
        player: Arc::new(TextRounds {
            runner,
            engine: engine.clone(),
            miners: Arc::clone(&replaceable_miners) as _,
            arena: None,
        }),
        engine,
        chain: Arc::new(ChainView::new(gateway(&blocks).await, NetUid(59), None)),
        on_round: Arc::new(move |report| drop(sender.send(report.clone()))),
        clock: system_clock(),
        sleeper: Arc::new(|_| Box::pin(tokio::time::sleep(Duration::from_millis(2)))),
    };
    let schedule =
        ScheduleSettings { tempo: 10, on_startup: true, solo: true, arena: None, attempts: 1 };
    let mut rounds = Rounds::new(dependencies, schedule).await.unwrap();
    let shutdown = Shutdown::new();
    let stop = shutdown.clone();
    shutdown.spawn("rounds", async move { rounds.run(&stop).await });
    let mut next = async || {
        tokio::time::timeout(Duration::from_mins(1), reports.recv()).await.unwrap().unwrap()
    };

    let report = next().await;
    assert_eq!(
        (report.contest, report.outcome, report.epoch),
        (ChallengeType::Main, "no_miners", Some(10))
    );
    *replaceable_miners.0.lock().unwrap() = miners(&[&failing_miner]);
    blocks.send_replace(110);
    let report = next().await;
    assert_eq!((report.outcome, report.challenge_uid.as_deref()), ("no_score", Some("text-1")));
    let report = next().await;
    let solo = (report.contest, report.outcome, report.challenge_uid.as_deref(), report.epoch);
    assert_eq!(solo, (ChallengeType::Solo, "no_score", Some("solo"), Some(11)));
    *replaceable_miners.0.lock().unwrap() = miners(&[&echo, &failing_miner]);
    blocks.send_replace(120);
    let report = next().await;
    assert_eq!((report.contest, report.outcome, report.miners), (ChallengeType::Main, "played", 1));
    assert_eq!(report.epoch, Some(12));
    let report = next().await;
    let solo = (
        report.contest,
        report.outcome,
        report.challenge_uid.as_deref(),
        report.main_challenge_uid.as_deref(),
    );
    assert_eq!(solo, (ChallengeType::Solo, "played", Some("solo"), Some("text-1")));
    blocks.send_replace(131);
    let report = next().await;
    assert_eq!((report.contest, report.outcome), (ChallengeType::Main, "already_done"));
    shutdown.request();
    shutdown.finished().await.unwrap();
}

/// A miner that never responds does not delay a shutdown.
#[tokio::test]
async fn shutdown_cancels_a_round_in_progress() {
    struct UnresponsiveMiner;
    impl TextConnection for UnresponsiveMiner {
        fn predict<'a>(
            &'a self,
            _: &'a taonet_babelbit_core::text_api::PredictedUtterance,
            _: Duration,
        ) -> BoxFuture<'a, Result<String, CallError>> {
            std::future::pending().boxed()
        }
    }
    let directory = tempfile::tempdir().unwrap();
    let mut miners = miners(&[&failing()]);
    miners[0].connection = Arc::new(UnresponsiveMiner);
    let runner = runner(&directory).await;
    let engine = engine(TEXT).await;
    let (blocks, _) = watch::channel(100);
    let dependencies = RoundDependencies {
        ledger: Arc::clone(&runner.ledger),
        player: Arc::new(TextRounds {
            runner,
            engine: engine.clone(),
            miners: Arc::new(ReplaceableMiners(Mutex::new(miners))) as _,
            arena: None,
        }),
        engine,
        chain: Arc::new(ChainView::new(gateway(&blocks).await, NetUid(59), None)),
        on_round: Arc::new(|report| panic!("{report:?}")),
        clock: system_clock(),
        sleeper: Arc::new(|_| Box::pin(tokio::time::sleep(Duration::from_millis(2)))),
    };
    let schedule =
        ScheduleSettings { tempo: 10, on_startup: true, solo: false, arena: None, attempts: 1 };
    let mut rounds = Rounds::new(dependencies, schedule).await.unwrap();
    let shutdown = Shutdown::new();
    let stop = shutdown.clone();
    shutdown.spawn("rounds", async move { rounds.run(&stop).await });
    tokio::time::sleep(Duration::from_millis(200)).await;
    shutdown.request();
    tokio::time::timeout(Duration::from_secs(5), shutdown.finished()).await.unwrap().unwrap();
}

/// A miner that records the timeout of each request.
struct TimeoutRecorder(Mutex<Vec<Duration>>);

impl TextConnection for TimeoutRecorder {
    fn predict<'a>(
        &'a self,
        request: &'a taonet_babelbit_core::text_api::PredictedUtterance,
        timeout: Duration,
    ) -> BoxFuture<'a, Result<String, CallError>> {
        self.0.lock().unwrap().push(timeout);
        std::future::ready(Ok(request.prefix.clone())).boxed()
    }
}

#[tokio::test]
async fn arena_round_has_separate_miners_files_and_timeout() {
    let directory = tempfile::tempdir().unwrap();
    let (runner, engine) = (runner(&directory).await, engine(TEXT).await);
    let paths = runner.paths.clone();
    let timeout_recorder = Arc::new(TimeoutRecorder(Mutex::default()));
    let mut arena_miners = miners(&[&failing()]);
    arena_miners[0].connection = Arc::clone(&timeout_recorder) as _;
    let default_miner = scripted(|request| Ok(request.prefix.clone()));
    let without_arena = TextRounds {
        runner,
        engine,
        miners: Arc::new(ReplaceableMiners(Mutex::new(miners(&[&default_miner])))),
        arena: None,
    };
    let due_round =
        |contest| DueRound { contest, epoch: Some(1), attempt: 1, main_challenge_uid: None };
    let error = without_arena.play(&due_round(ChallengeType::Arena)).await.unwrap_err();
    assert_eq!(error.outcome(), "no_miners");

    let arena = TextArenaRounds {
        miners: Arc::new(ReplaceableMiners(Mutex::new(arena_miners))),
        step_timeout: Duration::from_secs(11),
    };
    let rounds = TextRounds { arena: Some(arena), ..without_arena };
    let played =
        PlayedRound { challenge_uid: "text-1".to_owned(), miners: 1, was_already_played: false };
    assert_eq!(rounds.play(&due_round(ChallengeType::Main)).await.unwrap(), played);
    assert!(timeout_recorder.0.lock().unwrap().is_empty());
    // The arena has the main contest's challenge, which is recorded separately.
    assert_eq!(rounds.play(&due_round(ChallengeType::Arena)).await.unwrap(), played);
    assert_eq!(*timeout_recorder.0.lock().unwrap(), [Duration::from_secs(11); 6]);
    assert!(rounds.play(&due_round(ChallengeType::Arena)).await.unwrap().was_already_played);
    for directory in [&paths.logs, &paths.scores] {
        let count = |name: &str| {
            let entries = std::fs::read_dir(directory).unwrap();
            entries
                .filter(|entry| {
                    entry.as_ref().unwrap().file_name().to_string_lossy().contains(name)
                })
                .count()
        };
        assert!(count("_text-1_type_arena_miner_1_") > 0, "{directory:?}");
        assert_eq!(count("_text-1_type_arena_miner_1_"), count("_text-1_type_main_miner_1_"));
    }
}

/// Columns: number of miners · maximum · number of miners in a round
#[test]
fn round_has_at_most_max_miners() {
    let echo = scripted(|request| Ok(request.prefix.clone()));
    for (all, max_miners, expected) in [(3, 256, 3), (3, 3, 3), (3, 2, 2), (0, 2, 0)] {
        let reversed_selection = MinerSelection { max_miners, shuffle: Arc::new(<[_]>::reverse) };
        let selected = reversed_selection.select(miners(&vec![&echo; all]));
        assert_eq!(selected.len(), expected);
        assert_eq!(
            MinerSelection::random(max_miners).select(miners(&vec![&echo; all])).len(),
            expected
        );
        if all > max_miners {
            assert_eq!(selected[0].key.uid.0, 3, "the first ones of the order are selected");
        }
    }
}
