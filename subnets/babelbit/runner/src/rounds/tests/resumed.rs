//! Resumed rounds: which miners continue, and how an earlier challenge affects the current one.

use std::collections::BTreeSet;

use super::*;
use crate::run::MAX_RESUMES;
use crate::testing::RecordedRequest;
use crate::{Ledger, NewChallenge, UtteranceRow};

impl Fixture {
    /// Opens the ledger for reading while a runner uses it.
    async fn ledger(&self) -> Ledger {
        Ledger::read(&self.directory.path().join("state")).await.unwrap()
    }

    /// Returns the uids of the miners with rows in a challenge.
    async fn played_uids(&self, challenge_uid: &str, contest: ChallengeType) -> Vec<u16> {
        let ledger = self.ledger().await;
        let challenge = ledger.find(challenge_uid, contest).await.unwrap().unwrap();
        let miners: BTreeSet<_> =
            ledger.played_miners(&challenge).await.unwrap().into_iter().collect();
        miners.iter().map(|miner| miner.uid.0).collect()
    }

    /// Plays a main round and its solo round until two miners have received `utterance_id`.
    async fn interrupt_at(&mut self, utterance_id: &'static str) {
        let stuck_miner = ScriptedMiner::new(|_, call| Step::sound(1_920, call.in_eos)).with_init(
            move |request, _| {
                Ok(if request.utterance_id == utterance_id {
                    Duration::MAX
                } else {
                    Duration::ZERO
                })
            },
        );
        self.miner = Arc::new(stuck_miner);
        let running = self.start().await;
        self.mine_to(100).await;
        let start = std::time::Instant::now();
        let is_init = |request_call: &&RecordedRequest| match request_call {
            RecordedRequest::Init { request, .. } => request.utterance_id == utterance_id,
            RecordedRequest::Predict { .. } => false,
        };
        while self.miner.requests().iter().filter(is_init).count() < 2 {
            assert!(start.elapsed() < LONG_TIMEOUT);
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        running.stop().await;
        self.miner = parrot();
    }

    /// Restarts the loop and waits for the end of the solo round.
    async fn resume(&self) {
        let mut running = self.start().await;
        while running.next_report().await.contest != ChallengeType::Solo {}
        running.stop().await;
    }

    /// Inserts an unfinished challenge into the ledger.
    async fn insert_unfinished(&self, challenge_uid: &str) {
        let ledger = Ledger::open(&self.directory.path().join("state")).await.unwrap();
        let utterance = UtteranceRow {
            index: 0,
            utterance_id: format!("{challenge_uid}:0"),
            language: "fr".into(),
            source: Err("no sound".into()),
        };
        let challenge = NewChallenge {
            challenge_uid: challenge_uid.into(),
            title: None,
            challenge_type: ChallengeType::Main,
            run_timestamp: "20260101_120000".into(),
            started_unix: jiff::Timestamp::now().as_second(),
            error: None,
            main_challenge_uid: None,
            reference: None,
            reference_source: None,
            utterances: vec![utterance],
        };
        ledger.begin(&challenge).await.unwrap();
    }

    /// Counts the unfinished challenges that were resumed fewer than `resumes` times.
    async fn unfinished(&self, resumes: u32) -> usize {
        self.ledger().await.unfinished(ChallengeType::Main, 0, resumes).await.unwrap().len()
    }
}

/// Interruptions during the main round, and before the first reply of the solo round.
#[tokio::test]
async fn resumed_round_keeps_its_miners() {
    for utterance_id in ["challenge-0:1", "challenge-1:0"] {
        let mut fixture = Fixture::new().await;
        *fixture.snapshot.lock().unwrap() = neurons(5);
        fixture.max_miners = 2;
        fixture.interrupt_at(utterance_id).await;
        // From now on, the selection prefers the other miners.
        fixture.shuffle = Arc::new(|_| {});
        fixture.resume().await;
        assert_eq!(
            fixture.played_uids("challenge-0", ChallengeType::Main).await,
            [3, 4],
            "{utterance_id}"
        );
        assert_eq!(
            fixture.played_uids("challenge-1", ChallengeType::Solo).await,
            [3, 4],
            "{utterance_id}"
        );
        assert_eq!(fixture.score_files(), 8, "{utterance_id}");
    }
}

#[tokio::test]
async fn departed_miner_is_replaced_in_a_resumed_round() {
    let mut fixture = Fixture::new().await;
    *fixture.snapshot.lock().unwrap() = neurons(5);
    fixture.max_miners = 2;
    fixture.interrupt_at("challenge-0:1").await;
    fixture.shuffle = Arc::new(|_| {});
    *fixture.snapshot.lock().unwrap() = neurons(4);
    fixture.resume().await;
    // The ledger retains the results of the deregistered miner.
    assert_eq!(fixture.played_uids("challenge-0", ChallengeType::Main).await, [0, 3, 4]);
    assert_eq!(fixture.played_uids("challenge-1", ChallengeType::Solo).await, [0, 3]);
}

/// With a working engine, and with one that returns no current challenge.
#[tokio::test]
async fn earlier_challenge_is_completed_after_the_current_one() {
    for (faults, outcome, current) in [(0, "played", Some("challenge-0")), (3, "no_engine", None)] {
        let fixture = Fixture::new().await;
        fixture.insert_unfinished("older").await;
        fixture.engine.fail("/source-audio/start", &vec![Fault::Status(500); faults]);
        let mut running = fixture.start().await;
        fixture.mine_to(100).await;
        let report = running.next_report().await;
        assert_eq!((report.outcome, report.challenge_uid.as_deref()), (outcome, current));
        assert_eq!(fixture.status("older__main").unwrap()["miner_count"], 3);
        assert_eq!(fixture.unfinished(u32::MAX).await, 0);
        running.stop().await;
    }
}

#[tokio::test]
async fn incompletable_challenge_is_abandoned_after_max_resumes() {
    let mut fixture = Fixture::new().await;
    fixture.settings.schedule.solo = false;
    fixture.insert_unfinished("older").await;
    // A directory cannot be created where a file exists.
    let logs = fixture.directory.path().join("logs/s2s");
    std::fs::create_dir_all(&logs).unwrap();
    std::fs::write(logs.join("older"), "").unwrap();
    let mut running = fixture.start().await;
    for round in 1..=MAX_RESUMES + 2 {
        fixture.mine_to(100 * round).await;
        let report = running.next_report().await;
        let outcome = if round == 1 { "played" } else { "already_done" };
        assert_eq!(
            (report.outcome, report.challenge_uid.as_deref()),
            (outcome, Some("challenge-0")),
            "{report:?}"
        );
        assert_eq!(
            (fixture.unfinished(round.min(MAX_RESUMES)).await, fixture.unfinished(u32::MAX).await),
            (0, 1),
            "{round}"
        );
    }
    assert_eq!(
        fixture.unfinished(MAX_RESUMES + 1).await,
        1,
        "resumed more than {MAX_RESUMES} times"
    );
    running.stop().await;
}
