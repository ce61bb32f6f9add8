//! Engine faults: down, slow, overloaded, malformed, truncated, refusing; at startup and later.

use super::*;
use taonet_validator::testing::unused_address;

/// All faults except a rejection of the hotkey.
const TRANSIENT_FAULTS: [Fault; 6] = [
    Fault::Status(500),
    Fault::Status(503),
    Fault::Text("garbage"),
    Fault::Text("[]"),
    Fault::Truncated,
    Fault::Silent,
];

/// Without a token, the loop requests no challenge and contacts no miner; with a token, it
/// continues.
#[tokio::test]
async fn loop_continues_after_refused_authentication() {
    for (path, status) in
        [("/auth", 401), ("/auth", 403), ("/auth/verify", 401), ("/auth/verify", 403)]
    {
        let fixture = Fixture::new().await;
        fixture.engine.fail(path, &[Fault::Status(status); 3]);
        let mut running = fixture.start().await;
        fixture.mine_to(100).await;
        assert_eq!(running.next_report().await.outcome, "played", "{path} {status}");
        // The loop retries a rejected hotkey only after five minutes.
        assert_eq!(fixture.take_waits()[..3], [300; 3], "{path} {status}");
        assert_eq!(fixture.engine.request_count(path), 4, "{path} {status}");
        running.stop().await;
    }
    let fixture = Fixture::new().await;
    fixture.engine.fail("/auth", &[Fault::Status(403); 100]);
    fixture.blocks.send_replace(100);
    let running = fixture.start().await;
    while fixture.engine.request_count("/auth") < 10 {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    assert_eq!(
        (fixture.engine.request_count("/source-audio/start"), fixture.miner.init_count()),
        (0, 0)
    );
    assert_eq!(fixture.gateway.request_count("/v1/metagraph/snapshot"), 0);
    running.stop().await;
}

#[tokio::test]
async fn loop_continues_after_failing_engine_at_startup() {
    for fault in TRANSIENT_FAULTS {
        let fixture = Fixture::new().await;
        // Fail all five attempts of the first authentication, and one of the second.
        fixture.engine.fail("/auth", &[fault; 6]);
        let mut running = fixture.start().await;
        fixture.mine_to(100).await;
        assert_eq!(running.next_report().await.outcome, "played", "{fault:?}");
        assert_eq!(fixture.take_waits()[..6], [2, 4, 8, 16, 60, 2], "{fault:?}");
        running.stop().await;
    }
}

#[tokio::test]
async fn loop_waits_for_unreachable_engine() {
    let mut fixture = Fixture::new().await;
    let engine_url = std::mem::replace(&mut fixture.urls[0], unused_address());
    let running = fixture.start().await;
    while fixture.waits.lock().unwrap().iter().filter(|wait| **wait == 60).count() < 3 {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    running.stop().await;
    fixture.urls[0] = engine_url;
    fixture.settings.schedule.on_startup = true;
    let mut running = fixture.start().await;
    assert_eq!(running.next_report().await.outcome, "played");
    running.stop().await;
}

#[tokio::test]
async fn loop_waits_for_retry_after_of_the_engine() {
    let fixture = Fixture::new().await;
    fixture.engine.fail("/auth", &[Fault::Wait(75)]);
    let mut running = fixture.start().await;
    fixture.mine_to(100).await;
    assert_eq!(running.next_report().await.outcome, "played");
    assert_eq!(fixture.take_waits()[0], 75);
    running.stop().await;
}

/// The loop retries a round without a challenge within the epoch, and does not record it as done.
#[tokio::test]
async fn round_without_challenge_is_retried() {
    for fault in TRANSIENT_FAULTS.into_iter().chain([
        Fault::Wait(5),
        Fault::Status(403),
        Fault::Text(r#"{"challenge_uid": 7}"#),
    ]) {
        let fixture = Fixture::new().await;
        fixture.engine.fail("/source-audio/start", &[fault; 3]);
        let mut running = fixture.start().await;
        fixture.mine_to(100).await;
        let report = running.next_report().await;
        assert_eq!(
            (summary_of(&report), report.is_tried_again),
            ((ChallengeType::Main, Some(1), "no_engine"), true),
            "{fault:?}"
        );
        assert!(
            report.error.as_deref().unwrap().contains("Failed to start source-audio session"),
            "{report:?}"
        );
        assert_eq!((fixture.miner.init_count(), fixture.score_files()), (0, 0), "{fault:?}");
        fixture.advance_time(31).await;
        let report = running.next_report().await;
        assert_eq!((report.outcome, report.attempt), ("played", 2), "{fault:?}");
        running.stop().await;
    }
}

/// The runner plays the delivered utterances, fetches the others later, and plays none twice.
#[tokio::test]
async fn partial_challenge_is_completed_later() {
    for fault in TRANSIENT_FAULTS.into_iter().chain([Fault::Wait(5)]) {
        let fixture = Fixture::new().await;
        fixture.engine.fail("/source-audio/next", &[fault]);
        let mut running = fixture.start().await;
        fixture.mine_to(100).await;
        let report = running.next_report().await;
        assert_eq!(
            (report.outcome, report.challenge_uid.as_deref()),
            ("partial", Some("challenge-0")),
            "{fault:?}"
        );
        assert!(
            report.error.as_deref().unwrap().contains("Failed to advance source-audio session"),
            "{report:?}"
        );
        // The files have one utterance of each of three miners, but the challenge is unfinished.
        assert_eq!((fixture.miner.init_count(), fixture.score_files()), (3, 6), "{fault:?}");
        assert_eq!(fixture.status("challenge-0__main"), None);
        fixture.advance_time(31).await;
        assert_eq!(running.next_report().await.outcome, "played", "{fault:?}");
        assert_eq!((fixture.miner.init_count(), fixture.score_files()), (6, 6), "{fault:?}");
        assert_eq!(fixture.status("challenge-0__main").unwrap()["miner_count"], 3);
        running.stop().await;
    }
}

/// If the delivery of the main challenge stays partial, the solo round is still due, as in the
/// reference.
#[tokio::test]
async fn permanently_partial_challenge_is_abandoned_in_its_epoch() {
    let fixture = Fixture::new().await;
    fixture.engine.fail("/source-audio/next", &[Fault::Status(503); 100]);
    let mut running = fixture.start().await;
    fixture.mine_to(100).await;
    for attempt in 1..=3 {
        let report = running.next_report().await;
        assert_eq!((report.outcome, report.is_tried_again), ("partial", attempt < 3));
        if attempt < 3 {
            fixture.advance_time(61).await;
        }
    }
    let solo = running.next_report().await;
    assert_eq!(
        (summary_of(&solo), solo.main_challenge_uid.as_deref()),
        ((ChallengeType::Solo, Some(1), "played"), Some("challenge-0"))
    );
    running.stop().await;
}

#[tokio::test]
async fn refused_token_is_renewed_within_a_session() {
    let fixture = Fixture::new().await;
    fixture.engine.fail("/source-audio/next", &[Fault::Status(401)]);
    fixture.engine.fail("/solo/start", &[Fault::Status(401)]);
    let mut running = fixture.start().await;
    fixture.mine_to(100).await;
    assert_eq!(
        [running.next_report().await.outcome, running.next_report().await.outcome],
        ["played", "played"]
    );
    assert_eq!(fixture.engine.request_count("/auth/verify"), 3);
    running.stop().await;
}

/// Waiting after a rejection of the hotkey does not count as an attempt and causes no other
/// request.
#[tokio::test]
async fn loop_waits_after_refused_hotkey_within_a_session() {
    for (status, pause) in [(403, 300), (500, 60)] {
        let fixture = Fixture::new().await;
        let mut running = fixture.start().await;
        fixture.wait_until_idle().await;
        fixture.engine.fail("/source-audio/start", &[Fault::Status(401); 15]);
        fixture.engine.fail("/auth", &[Fault::Status(status); 100]);
        fixture.mine_to(100).await;
        for _ in 0..5 {
            let report = running.next_report().await;
            assert_eq!(
                (report.outcome, report.attempt, report.is_tried_again),
                ("unauthorized", 1, true),
                "{status}"
            );
            fixture.advance_time(pause).await;
        }
        fixture.engine.faults.lock().unwrap().clear();
        fixture.advance_time(pause).await;
        while running.next_report().await.outcome != "played" {}
        running.stop().await;
    }
}

#[tokio::test]
async fn failed_solo_round_is_retried_without_the_main_round() {
    let fixture = Fixture::new().await;
    fixture.engine.fail("/solo/start", &[Fault::Status(500); 3]);
    let mut running = fixture.start().await;
    fixture.mine_to(100).await;
    assert_eq!(summary_of(&running.next_report().await), (ChallengeType::Main, Some(1), "played"));
    assert_eq!(
        summary_of(&running.next_report().await),
        (ChallengeType::Solo, Some(1), "no_engine")
    );
    fixture.advance_time(31).await;
    assert_eq!(summary_of(&running.next_report().await), (ChallengeType::Solo, Some(1), "played"));
    running.stop().await;
}
