use super::super::testing::miner_key;
use super::*;

const HOUR: u64 = 3_600;
const RULES: Rules = Rules { slots: 2, window: Duration::from_secs(HOUR), wins_needed: true };

fn at(seconds: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000 + seconds)
}

fn submission(uid: u16) -> Submission {
    Submission { endpoint_url: format!("http://9.9.9.9:{uid}/"), uid }
}

fn winner(uid: u16, score: f64) -> Winner {
    Winner { hotkey: miner_key(uid).hotkey().to_string(), score }
}

async fn uids(entries: &Entries, rules: Rules, now: u64) -> Vec<u16> {
    entries
        .listed(&rules, at(now), |_, uid| Some(uid))
        .await
        .iter()
        .map(|listed| listed.uid)
        .collect()
}

async fn win(entries: &Entries, challenge: &str, winners: Vec<Winner>, now: u64) {
    entries.record_challenge(challenge, at(now)).await.unwrap();
    entries.set_winners(challenge, winners, at(now), RULES.window).await.unwrap();
}

#[tokio::test]
async fn arena_members_are_chosen_by_wins_within_the_window() {
    let folder = tempfile::tempdir().unwrap();
    let entries = Entries::open(folder.path()).await.unwrap();
    for uid in 1..=4 {
        entries
            .submit(miner_key(uid).hotkey(), &submission(uid), at(u64::from(uid)))
            .await
            .unwrap();
    }
    assert_eq!(uids(&entries, RULES, 10).await, [0_u16; 0]);
    assert_eq!(uids(&entries, Rules { wins_needed: false, ..RULES }, 10).await, [1, 2]);
    win(&entries, "a", vec![winner(3, 0.5), winner(9, 0.5)], 10).await;
    win(&entries, "b", vec![winner(2, 0.9)], 20).await;
    win(&entries, "c", vec![winner(4, 0.8)], 30).await;
    assert_eq!(uids(&entries, RULES, 30).await, [2, 4]);
    // Scores arrive one after the other: the winner of a challenge may change.
    win(&entries, "c", vec![winner(3, 0.6)], 40).await;
    assert_eq!(uids(&entries, RULES, 40).await, [3, 2]);
    assert_eq!(entries.record(&miner_key(3).hotkey(), at(40), RULES.window).await.wins, 2);
    // The win in `a` expires first, then all other wins.
    assert_eq!(uids(&entries, RULES, 10 + HOUR + 1).await, [2, 3]);
    assert_eq!(uids(&entries, RULES, 30 + HOUR + 1).await, [0_u16; 0]);
    // Only members are listed, each with its uid on the chain.
    let listed = entries.listed(&RULES, at(40), |_, uid| (uid == 3).then_some(33)).await;
    assert_eq!(listed.iter().map(|listed| listed.uid).collect::<Vec<_>>(), [33]);
}

#[tokio::test]
async fn entries_survive_a_restart_and_second_gateway_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let entries = Entries::open(folder.path()).await.unwrap();
    entries.submit(miner_key(1).hotkey(), &submission(1), at(0)).await.unwrap();
    win(&entries, "a", vec![winner(1, 0.5)], 0).await;
    let version = entries.version();
    // A second endpoint replaces the first, and the miner keeps its position.
    entries.submit(miner_key(1).hotkey(), &submission(7), at(50)).await.unwrap();
    assert!(entries.version() > version);
    let second = Entries::open(folder.path()).await.err().unwrap().to_string();
    assert!(second.starts_with("another arena gateway is using"), "{second}");
    let saved = entries.saved.lock().await.clone();
    drop(entries);
    let reopened = Entries::open(folder.path()).await.unwrap();
    assert_eq!(*reopened.saved.lock().await, saved);
    let listed = reopened.listed(&RULES, at(60), |_, uid| Some(uid)).await;
    assert_eq!((listed.len(), listed[0].endpoint_url.as_str()), (1, "http://9.9.9.9:7/"));
    assert_eq!(saved.submissions.values().next().unwrap().first_at_ms, 1_700_000_000_000);
}

#[tokio::test]
async fn submission_that_cannot_be_saved_is_not_listed() {
    let folder = tempfile::tempdir().unwrap();
    let state_directory = folder.path().join("state");
    let entries = Entries::open(&state_directory).await.unwrap();
    std::fs::remove_dir_all(&state_directory).unwrap();
    entries.submit(miner_key(1).hotkey(), &submission(1), at(0)).await.unwrap_err();
    assert_eq!(uids(&entries, Rules { wins_needed: false, ..RULES }, 0).await, [0_u16; 0]);
}

#[tokio::test]
async fn malformed_or_newer_file_is_not_overwritten() {
    for (text, expected_message) in [
        ("{", "malformed submissions file"),
        (r#"{"version":2,"submissions":{},"challenges":[]}"#, "newer"),
    ] {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join(FILE), text).unwrap();
        let error = Entries::open(folder.path()).await.err().unwrap().to_string();
        assert!(error.contains(expected_message), "{error}");
        assert_eq!(std::fs::read_to_string(folder.path().join(FILE)).unwrap(), text);
    }
}

#[test]
fn submissions_without_a_win_are_evicted_first() {
    let mut saved = SavedEntries::default();
    for uid in 1..=3 {
        let entry =
            Entry { endpoint_url: String::new(), uid, first_at_ms: 0, last_at_ms: u64::from(uid) };
        saved.submissions.insert(miner_key(uid).hotkey(), entry);
    }
    let winners = vec![winner(1, 0.5)];
    saved.challenges.push(Challenge { uid: "a".into(), seen_at: 0, winners });
    saved.evict_oldest();
    let remaining: Vec<_> = saved.submissions.values().map(|entry| entry.uid).collect();
    assert!(
        remaining.len() == 2 && remaining.contains(&1) && remaining.contains(&3),
        "{remaining:?}"
    );
}
