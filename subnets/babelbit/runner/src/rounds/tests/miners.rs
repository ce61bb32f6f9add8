//! Tests of the miners that a round plays: too many, none, or a fixed list.

use taonet_primitives::Uid;

use super::*;

#[tokio::test]
async fn miners_above_the_limit_are_sampled_for_main_and_solo() {
    let mut fixture = Fixture::new().await;
    fixture.max_miners = 1;
    let mut running = fixture.start().await;
    fixture.mine_to(100).await;
    for _ in 0..2 {
        assert_eq!(running.next_report().await.miners, 1);
    }
    running.stop().await;
    // The test's shuffle reverses the order of miners.
    let hotkey = key("//neuron//2").hotkey();
    for (uid, contest) in [("challenge-0", "main"), ("challenge-1", "solo")] {
        let miner_directory =
            fixture.directory.path().join(format!("logs/s2s/{uid}/{contest}/miner_2__hk_{hotkey}"));
        assert!(miner_directory.join("run.json").exists(), "{}", miner_directory.display());
    }
}

#[tokio::test]
async fn round_without_miners_is_retried_a_limited_number_of_times() {
    let fixture = Fixture::new().await;
    *fixture.snapshot.lock().unwrap() =
        json!({ "block": 7, "hotkeys": [], "last_update": [], "axons": [] });
    let mut running = fixture.start().await;
    fixture.mine_to(100).await;
    for attempt in 1..=3 {
        let report = running.next_report().await;
        assert_eq!(
            (report.outcome, report.attempt, report.is_tried_again),
            ("no_miners", attempt, attempt < 3)
        );
        fixture.advance_time(120).await;
    }
    assert_eq!(fixture.engine.request_count("/source-audio/start"), 0);
    // The next epoch allows new attempts.
    *fixture.snapshot.lock().unwrap() = neurons(1);
    fixture.mine_to(200).await;
    let report = running.next_report().await;
    assert_eq!((summary_of(&report), report.miners), ((ChallengeType::Main, Some(2), "played"), 1));
    running.stop().await;
}

#[tokio::test]
async fn listed_miners_need_no_metagraph() {
    let mut fixture = Fixture::new().await;
    let address = AddressPolicy::default().resolve("8.8.8.8:1").unwrap();
    let entry = MinerEntry {
        uid: Uid(9),
        hotkey: key("//listed").hotkey(),
        address,
        name: Some("listed".into()),
    };
    fixture.listed = Some(vec![entry]);
    let mut running = fixture.start().await;
    fixture.mine_to(100).await;
    assert_eq!(running.next_report().await.miners, 1);
    assert_eq!(fixture.gateway.request_count("/v1/metagraph/snapshot"), 0);
    running.stop().await;
}
