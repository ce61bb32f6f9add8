//! Weights rank all registered neurons by speed, as the reference does, also those without an axon.

use taonet_neuron::Neurons;
use taonet_nineteen_core::capacity::Capacity;
use taonet_nineteen_core::period::PeriodProfile;
use taonet_nineteen_core::scoring::ScoringProfile;
use taonet_nineteen_store::{NewContender, Process as ProcessId, Reward};
use taonet_service::unix_time;
use taonet_validator::Subnet as _;

use super::*;

/// Miners with the uids 1, 2, …, and their speeds. Eve's axon is gone when the second period
/// begins, Dave's later; then Ferdie has left the subnet.
const SPEEDS: [(&str, f64); 5] =
    [("//Bob", 5.0), ("//Charlie", 5.0), ("//Dave", 4.0), ("//Eve", 4.5), ("//Ferdie", 9.0)];

fn uid_of(uri: &str) -> Uid {
    let index = SPEEDS.iter().position(|(other, _)| *other == uri).unwrap();
    Uid(u16::try_from(index + 1).unwrap())
}

async fn replace_nodes(store: &Store, miners: &[&str], others: &[&str], now_ms: i64) {
    let peer = |uri: &&str| (uid_of(uri), Peer::new(key(uri).hotkey(), "192.0.2.1", 1).unwrap());
    let registered = miners.iter().chain(others).map(|uri| (uid_of(uri), key(uri).hotkey()));
    let (miners, registered) =
        (miners.iter().map(peer).collect::<Vec<_>>(), registered.collect::<Vec<_>>());
    store.replace_nodes(&miners, &registered, now_ms).await.unwrap();
}

async fn begin_period(
    store: &Store,
    config: &MarketConfig,
    miners: &[&str],
    now_ms: i64,
) -> PeriodId {
    let offer = |uri: &&str| NewContender {
        task: "chat-a".parse().unwrap(),
        hotkey: key(uri).hotkey(),
        uid: uid_of(uri),
        capacity: Capacity { declared: 10.0, accepted: 10.0, to_score: 1.0 },
        concurrency: None,
    };
    let offers: Vec<_> = miners.iter().map(offer).collect();
    store
        .begin_period(now_ms, 60_000, PeriodProfile::Reference, &offers, &[], config)
        .await
        .unwrap()
}

/// Closes a period in which each miner has answered all requests.
async fn close_period(store: &Store, period: PeriodId, now_ms: i64) {
    let mut rows = store.contenders(period).await.unwrap();
    for row in &mut rows {
        (row.counts.total_requests, row.counts.consumed_capacity) = (1.0, 5.0);
    }
    store.close_period(period, &ProcessId::random(), &rows, &[], now_ms).await.unwrap();
}

async fn put_rewards(store: &Store, created_ms: i64) {
    for (uri, speed) in SPEEDS {
        let hotkey = key(uri).hotkey();
        let reward =
            Reward { quality: Some(1.0), metric: Some(speed), reason: String::new(), created_ms };
        let sample = Sample {
            job_id: uri.to_owned(),
            hotkey,
            uid: uid_of(uri),
            ..sample("chat-a", &json!({}), &json!([]))
        };
        store.put_reward(&sample, &reward).await.unwrap();
    }
}

/// Returns the weights for effective volumes in these proportions.
fn shares(effective: &[f64], exponent: i32) -> Vec<f64> {
    let powers: Vec<f64> = effective.iter().map(|volume| volume.powi(exponent)).collect();
    let sum: f64 = powers.iter().sum();
    powers.into_iter().map(|power| power / sum).collect()
}

#[track_caller]
fn assert_close(actual: &[f64], expected: &[f64]) {
    let is_close =
        actual.iter().zip(expected).all(|(actual, expected)| (actual - expected).abs() < 1e-9);
    assert!(actual.len() == expected.len() && is_close, "{actual:?}, expected {expected:?}");
}

#[tokio::test]
async fn weights_include_hotkeys_without_axon_but_no_deregistered_ones() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).await.unwrap();
    let mut config = MarketConfig::from_toml(TASKS).unwrap();
    let start_ms = i64::try_from(unix_time(system_clock()()).as_millis()).unwrap() - 10_000;
    let all = SPEEDS.map(|(uri, _)| uri);
    replace_nodes(&store, &all, &[], start_ms).await;
    let first = begin_period(&store, &config, &all, start_ms).await;
    put_rewards(&store, start_ms + 1_000).await;
    close_period(&store, first, start_ms + 2_000).await;
    let second = ["//Bob", "//Charlie", "//Dave", "//Ferdie"];
    begin_period(&store, &config, &second, start_ms + 3_000).await;
    replace_nodes(&store, &["//Bob", "//Charlie"], &["//Dave", "//Eve"], start_ms + 4_000).await;
    let now = start_ms + 5_000;
    let neurons = ["//Bob", "//Charlie", "//Dave", "//Eve"];
    let neurons = neurons.map(|uri| Neuron::new(uid_of(uri), key(uri).hotkey(), None)).to_vec();
    let neurons = Neurons::new(BlockNumber::new(1), neurons);
    for (profile, effective, exponent) in [
        // Bob, Charlie, Eve and Dave are ranked: 1 + bonus is 15/12, 13/12, 11/12 and 9/12.
        (ScoringProfile::Reference, [15.0, 13.0, 9.0], 3),
        (ScoringProfile::Later, [15.0, 13.0, 9.0], 4),
        // The contenders Ferdie, Bob, Charlie and Dave are ranked.
        (ScoringProfile::Strict, [13.0, 11.0, 9.0], 3),
        (ScoringProfile::LaterStrict, [13.0, 11.0, 9.0], 4),
    ] {
        config.scoring_profile = profile;
        let subnet =
            Nineteen::new(store.clone(), MarketFile::from_config(config.clone()), system_clock());
        let scores = subnet.scores(&neurons, false).await.unwrap().scores;
        let weights = subnet.weights(&scores, None).unwrap();
        assert_eq!(weights.uids, [1, 2, 3].map(Uid), "{profile:?}");
        assert_close(&weights.weights, &shares(&effective, exponent));
        // `tao nineteen explain --export` and `tao nineteen weights` compute the same.
        let state = MarketState::load(&store, &config, now).await.unwrap();
        let miner_weights: Vec<_> =
            state.report(&config).miners.iter().map(|miner| miner.weight).collect();
        let document =
            taonet_nineteen_core::document::weights(&state.export(&config), None).unwrap();
        assert_eq!(document["weights"], json!(miner_weights), "{profile:?}");
        assert_eq!(miner_weights.len(), if profile.is_strict() { 4 } else { 3 });
    }
    // When the first period closed, Ferdie was registered: of five, Ferdie, Bob, Charlie, Eve and
    // Dave are ranked.
    config.scoring_profile = ScoringProfile::Reference;
    let earlier_report =
        MarketState::load_at(&store, &config, first, now).await.unwrap().unwrap().report(&config);
    let miner_weights: Vec<_> =
        earlier_report.miners.iter().map(|miner| (miner.uid.0, miner.weight)).collect();
    let (uids, weights): (Vec<_>, Vec<_>) = miner_weights.into_iter().unzip();
    assert_eq!(uids, [1, 2, 3, 4, 5]);
    assert_close(&weights, &shares(&[9.0, 8.0, 6.0, 7.0, 10.0], 3));
}

/// The validator itself and neurons without an axon are registered, but not called.
#[tokio::test]
async fn refresh_stores_all_neurons_and_lists_only_miners() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).await.unwrap();
    let model = Arc::new(LanguageModel::random("m", 2, 1).unwrap());
    let unreachable = "127.0.0.1:9".parse().unwrap();
    let nodes = [
        neuron(0, &key("//Alice"), unreachable),
        Neuron::new(Uid(1), key("//Bob").hotkey(), None),
        neuron(2, &key("//Charlie"), unreachable),
    ];
    assert!(
        !process(&store, &nodes, &model).controller.run_period().await.unwrap(),
        "no miner offers capacity"
    );
    let registered = store.registered(i64::MAX).await.unwrap();
    assert_eq!(registered, ["//Alice", "//Bob", "//Charlie"].map(|uri| key(uri).hotkey()));
    assert_eq!(store.nodes().await.unwrap().iter().map(|node| node.uid.0).collect::<Vec<_>>(), [2]);
}
