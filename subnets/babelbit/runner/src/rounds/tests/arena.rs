//! Tests of arena rounds.

use super::*;
use taonet_babelbit_core::records::MinerKey;

/// Lists all miners of the metagraph except the first, with one shared connection.
pub(super) fn arena(connection: Arc<ScriptedMiner>) -> ListArenaMiners {
    Arc::new(move |registered| {
        let miner = |entry: &MinerEntry| Miner {
            key: MinerKey { uid: entry.uid, hotkey: entry.hotkey },
            name: None,
            connection: Arc::clone(&connection) as Arc<dyn MinerConnection>,
        };
        let miners: Vec<Miner> = registered.iter().skip(1).map(miner).collect();
        async move { Ok(miners) }.boxed()
    })
}

#[tokio::test]
async fn arena_round_has_separate_miners_files_and_deadlines() {
    let mut fixture = Fixture::new().await;
    fixture.settings.schedule.arena = Some(ArenaSchedule { cadence: 50, on_startup: false });
    // A miner that opens its sessions after the usual timeout.
    let slow_miner = delayed_parrot(Duration::from_millis(300));
    fixture.arena = Some(arena(Arc::clone(&slow_miner)));
    let strict_play =
        PlaySettings { miner_timeout: Duration::from_millis(100), ..PlaySettings::default() };
    fixture.settings.arena_play = PlaySettings { startup_utterances: 3, ..strict_play };
    let mut running = fixture.start().await;
    fixture.mine_to(100).await;
    // All rounds are due simultaneously; main is first.
    assert_eq!(running.next_report().await.contest, ChallengeType::Main);
    assert_eq!(running.next_report().await.contest, ChallengeType::Solo);
    let arena = running.next_report().await;
    assert_eq!(summary_of(&arena), (ChallengeType::Arena, Some(2), "played"));
    assert_eq!((arena.challenge_uid.as_deref(), arena.miners), (Some("challenge-0"), 2));
    assert_eq!(slow_miner.init_count(), 4);
    let status = fixture.status("challenge-0__arena").unwrap();
    assert_eq!(
        (&status["metadata"]["route_source"], &status["miner_count"]),
        (&json!("list_arena_miners"), &json!(2))
    );
    assert!(status["mean_score"].as_f64().unwrap() > 0.0, "{status}");
    assert!(fixture.status("challenge-0__main").is_some());
    fixture.mine_to(150).await;
    assert_eq!(
        summary_of(&running.next_report().await),
        (ChallengeType::Arena, Some(3), "already_done")
    );
    running.stop().await;
}

#[tokio::test]
async fn unreachable_arena_does_not_affect_the_main_round() {
    let mut fixture = Fixture::new().await;
    fixture.settings.schedule.arena = Some(ArenaSchedule { cadence: 100, on_startup: false });
    let list: ListArenaMiners =
        Arc::new(|_| async { Err(ArenaUnavailable("the registry is down".into())) }.boxed());
    fixture.arena = Some(list);
    let mut running = fixture.start().await;
    fixture.mine_to(100).await;
    let reports =
        [running.next_report().await, running.next_report().await, running.next_report().await];
    assert_eq!(reports.each_ref().map(|report| report.outcome), ["played", "played", "no_arena"]);
    assert_eq!(
        reports[2].error.as_deref(),
        Some("cannot get the arena's miners: the registry is down")
    );
    assert!(reports[2].is_tried_again);
    running.stop().await;
}
