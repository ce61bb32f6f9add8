//! A validator that is killed during a period, and the process that resumes it.

use taonet_database::testing::Postgres;

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn killed_validator_resumes_its_period() {
    let folder = tempfile::tempdir().unwrap();
    assert_period_is_resumed(Store::open(folder.path()).await.unwrap()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_validator_resumes_its_period_on_postgres() {
    let Some(server) = Postgres::start() else { return };
    assert_period_is_resumed(Store::connect(&server.url()).await.unwrap()).await;
}

async fn assert_period_is_resumed(store: Store) {
    let model = Arc::new(LanguageModel::random("m", 2, 1).unwrap());
    let handshakes = Arc::new(AtomicU32::new(0));
    let nodes = [
        miner("//Bob", 1, &model, &handshakes).await,
        miner("//Charlie", 2, &model, &handshakes).await,
        // The validator itself, and an unreachable miner.
        neuron(0, &key("//Alice"), "127.0.0.1:9".parse().unwrap()),
        neuron(3, &key("//Dave"), "127.0.0.1:9".parse().unwrap()),
    ];
    let total_requests = async |store: &Store, period| -> f64 {
        store
            .contenders(PeriodId(period))
            .await
            .unwrap()
            .iter()
            .map(|row| row.counts.total_requests)
            .sum()
    };
    let mut first = process(&store, &nodes, &model);
    let shutdown = Shutdown::new();
    first.spawn(&shutdown);
    // Kill the process in the middle of its first period.
    let two_requests = async {
        while total_requests(&store, 1).await < 2.0 {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::select! {
        ended = first.controller.run_period() => panic!("the period is over: {ended:?}"),
        () = two_requests => {}
    }
    shutdown.request();
    // The last counters are stored before the other process reads what is left to send.
    shutdown.finished().await.unwrap();
    let before = total_requests(&store, 1).await;
    assert!(before > 0.0);
    drop(first);
    // Another process resumes the period with the same session keys.
    let mut second = process(&store, &nodes, &model);
    let shutdown = Shutdown::new();
    second.spawn(&shutdown);
    assert!(second.controller.run_period().await.unwrap());
    assert_eq!(store.newest_period().await.unwrap().unwrap().id, PeriodId(1));
    let period_miners = second.live_market.period_miners().unwrap();
    assert_eq!(
        period_miners.limit(&key("//Bob").hotkey()),
        Some(7),
        "the announced concurrency outlives the process"
    );
    assert!(total_requests(&store, 1).await >= before);
    let planned = store.budgets(PeriodId(1), None).await.unwrap()[0].planned as f64;
    assert!(total_requests(&store, 1).await <= planned, "no request is planned twice");
    assert!(second.controller.run_period().await.unwrap());
    assert_eq!(handshakes.load(Ordering::SeqCst), 2, "session keys outlive a period");
    second.controller.close().await.unwrap();
    let history = store.history_since(0).await.unwrap();
    assert_eq!(history.len(), 4, "one row per miner and period");
    assert!(history.iter().all(|row| row.score.is_some_and(|score| score > 0.99)), "{history:?}");
    // Checked answers result in weights.
    while second.scorer.check_next().await.unwrap() {}
    let report = market_report(&store, &second.market.current(), i64::MAX).await.unwrap();
    assert!(report.miners.is_empty(), "all rows are outside the windows");
    // Answers are checked after their period has closed.
    let now = store.newest_period().await.unwrap().unwrap().closed_ms.unwrap() + 60_000;
    let report = market_report(&store, &second.market.current(), now).await.unwrap();
    assert_eq!(report.miners.iter().map(|miner| miner.uid.0).collect::<Vec<_>>(), [1, 2]);
    assert!((report.miners.iter().map(|miner| miner.weight).sum::<f64>() - 1.0).abs() < 1e-9);
    for miner in &report.miners {
        assert!(miner.tasks[0].average_quality > 0.99, "{miner:?}");
    }
    // The export has all that determines the weights: period scores are computed from their
    // counters.
    let config = second.market.current();
    let mut export = MarketState::load(&store, &config, now).await.unwrap().export(&config);
    let weights = taonet_nineteen_core::document::weights(&export, None).unwrap();
    let miner_weights: Vec<_> = report.miners.iter().map(|miner| miner.weight).collect();
    assert_eq!(weights, serde_json::json!({"uids": [1, 2], "weights": miner_weights}));
    export["period_scores"][0]["requests_500"] = 1.0.into();
    assert!(taonet_nineteen_core::document::weights(&export, None).is_err());
    shutdown.request();
}
