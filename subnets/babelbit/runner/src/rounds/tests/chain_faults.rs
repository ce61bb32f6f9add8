//! Chain faults: the gateway is down, slow, half-open, malformed or truncated; the metagraph is
//! malformed.

use taonet_chain::Chain;
use taonet_primitives::Uid;

use super::arena::arena;
use super::*;
use taonet_validator::testing::{LocalChain, unused_address};

const FAULTS: [Fault; 7] = [
    Fault::Status(500),
    Fault::Status(503),
    Fault::Wait(5),
    Fault::Text("garbage"),
    Fault::Text(r#"{"block": "many", "hotkeys": 7, "axons": null}"#),
    Fault::Truncated,
    Fault::Silent,
];

#[tokio::test]
async fn failed_block_request_is_retried() {
    for fault in FAULTS {
        let fixture = Fixture::new().await;
        fixture.gateway.fail("/v1/block/current", &[fault; 2]);
        let mut running = fixture.start().await;
        fixture.mine_to(100).await;
        let report = running.next_report().await;
        assert_eq!(
            (summary_of(&report), report.attempt),
            ((ChallengeType::Main, Some(1), "played"), 1),
            "{fault:?}"
        );
        assert_eq!(fixture.take_waits()[..2], [3, 3], "{fault:?}");
        running.stop().await;
    }
}

#[tokio::test]
async fn gateway_without_long_polling_is_polled() {
    for fault in FAULTS.into_iter().filter(|fault| !matches!(fault, Fault::Silent)) {
        let fixture = Fixture::new().await;
        fixture.gateway.fail("/v1/block/wait", &[fault; 3]);
        let mut running = fixture.start().await;
        fixture.mine_to(100).await;
        assert_eq!(running.next_report().await.outcome, "played", "{fault:?}");
        running.stop().await;
    }
}

/// The loop pauses between polls of a gateway that announces a block without advancing.
#[tokio::test]
async fn gateway_that_responds_early_is_not_polled_faster() {
    let fixture = Fixture::new().await;
    fixture.gateway.fail("/v1/block/wait", &[Fault::Text(r#"{"block": 99}"#); 20]);
    let running = fixture.start().await;
    while fixture.gateway.request_count("/v1/block/wait") < 20 {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    running.stop().await;
    assert!(fixture.take_waits().len() >= 18);
}

#[tokio::test]
async fn failed_metagraph_request_is_retried() {
    for fault in FAULTS {
        let fixture = Fixture::new().await;
        fixture.gateway.fail("/v1/metagraph/snapshot", &[fault; 5]);
        let mut running = fixture.start().await;
        fixture.mine_to(100).await;
        // More failures than the maximum number of attempts: waiting for the chain does not count
        // as an attempt.
        for _ in 0..5 {
            let report = running.next_report().await;
            assert_eq!(
                (report.outcome, report.attempt, report.is_tried_again),
                ("no_chain", 1, true),
                "{fault:?}"
            );
            fixture.advance_time(30).await;
        }
        assert_eq!(running.next_report().await.outcome, "played", "{fault:?}");
        running.stop().await;
    }
}

/// Columns: metagraph · outcome of the round · number of miners played
#[tokio::test]
async fn unusable_neuron_is_skipped() {
    let public = json!({ "ip": "8.8.8.8", "port": 1 });
    let hotkey = key("//neuron//0").hotkey();
    for (snapshot, outcome, miners) in [
        (
            json!({ "block": 7, "hotkeys": [hotkey, "5x"], "last_update": [], "axons": [public, public] }),
            "played",
            1,
        ),
        (
            json!({ "block": 7, "hotkeys": ["5x", hotkey], "last_update": [0], "axons": [null_axon(), public] }),
            "played",
            1,
        ),
        (
            json!({ "block": 7, "hotkeys": [hotkey], "last_update": [0], "axons": [] }),
            "no_miners",
            0,
        ),
        (
            json!({ "block": 7, "hotkeys": [hotkey], "last_update": [0], "axons": [{ "ip": "10.0.0.1", "port": 1 }] }),
            "no_miners",
            0,
        ),
    ] {
        let fixture = Fixture::new().await;
        *fixture.snapshot.lock().unwrap() = snapshot.clone();
        let mut running = fixture.start().await;
        fixture.mine_to(100).await;
        let report = running.next_report().await;
        assert_eq!((report.outcome, report.miners), (outcome, miners), "{snapshot}");
        running.stop().await;
    }
}

fn null_axon() -> Value {
    json!({ "ip": null, "port": "none" })
}

/// Without blocks, a main round is due after the duration of a tempo, but an arena round is not.
/// Later blocks determine epochs again.
#[tokio::test]
async fn schedule_falls_back_to_time_without_blocks() {
    let mut fixture = Fixture::new().await;
    fixture.settings.schedule.arena = Some(ArenaSchedule { cadence: 50, on_startup: false });
    fixture.arena = Some(arena(parrot()));
    let address = AddressPolicy::default().resolve("8.8.8.8:1").unwrap();
    let listed = |uid: u16| {
        let hotkey = key(&format!("//listed//{uid}")).hotkey();
        MinerEntry { uid: Uid(uid), hotkey, address: address.clone(), name: None }
    };
    fixture.listed = Some(vec![listed(8), listed(9)]);
    // 100 blocks take 1200 s, which is 400 pauses of 3 s.
    fixture.gateway.fail("/v1/block/current", &[Fault::Status(503); 405]);
    fixture.blocks.send_replace(101);
    let mut running = fixture.start().await;
    assert_eq!(summary_of(&running.next_report().await), (ChallengeType::Main, None, "played"));
    assert_eq!(summary_of(&running.next_report().await), (ChallengeType::Solo, None, "played"));
    fixture.mine_to(150).await;
    assert_eq!(summary_of(&running.next_report().await), (ChallengeType::Arena, Some(3), "played"));
    fixture.mine_to(200).await;
    assert_eq!(
        summary_of(&running.next_report().await),
        (ChallengeType::Main, Some(2), "already_done")
    );
    running.stop().await;
}

/// The gateway is down throughout, and a chain node is available.
#[tokio::test]
async fn chain_is_queried_directly_without_a_gateway() {
    let chain = LocalChain::start(1).await;
    let mut fixture = Fixture::new().await;
    fixture.urls[1] = unused_address();
    let client = Arc::clone(&chain.client);
    fixture.connect_chain = Some(Arc::new(move || {
        let client = Arc::clone(&client);
        async move { Ok(client as Arc<dyn Chain>) }.boxed()
    }));
    let view = fixture.dependencies().await.0.chain;
    let head = chain.client.head().await.unwrap().number.get();
    assert!(view.block().await.unwrap() >= head);
    let neurons = view.neurons().await.unwrap();
    assert_eq!(neurons.uid_of(&chain.miners[0].hotkey()), Some(chain.uid(&chain.miners[0]).await));
    // The loop polls for blocks although no gateway announces new ones.
    fixture.settings.schedule.tempo = 10;
    fixture.settings.schedule.solo = false;
    let mut running = fixture.start().await;
    let report = running.next_report().await;
    assert_eq!((report.contest, report.outcome), (ChallengeType::Main, "no_miners"));
    running.stop().await;
}

#[tokio::test]
async fn error_names_gateway_and_chain_if_both_fail() {
    let mut fixture = Fixture::new().await;
    fixture.urls[1] = unused_address();
    fixture.connect_chain =
        Some(Arc::new(|| async { Err(taonet_chain::ChainError::NoSuchSubnet(NETUID)) }.boxed()));
    let error = fixture.dependencies().await.0.chain.block().await.unwrap_err().to_string();
    assert!(
        error.contains("gateway /v1/block/current failed")
            && error.contains("subnet 59 does not exist"),
        "{error}"
    );
}
