//! Tests of nodes, periods and samples.

use taonet_database::statement;
use taonet_nineteen_core::MarketConfig;
use taonet_nineteen_core::capacity::Capacity;
use taonet_nineteen_core::period::{PeriodProfile, RequestOutcome};
use taonet_nineteen_transport::{FernetKey, Session};
use taonet_primitives::{Hotkey, Uid};
use taonet_wallet::Keypair;
use taonet_wire::Peer;

use super::*;

pub(super) fn hotkey(uri: &str) -> Hotkey {
    Keypair::from_uri(uri).unwrap().hotkey()
}

pub(super) fn offer(uri: &str, name: &str) -> NewContender {
    let capacity = Capacity { declared: 2_000.0, accepted: 1_000.0, to_score: 40.0 };
    NewContender {
        task: task(name),
        hotkey: hotkey(uri),
        uid: Uid(3),
        capacity,
        concurrency: Some(7),
    }
}

fn peer(uri: &str, port: u16) -> Peer {
    Peer::new(hotkey(uri), "192.0.2.1", port).unwrap()
}

/// Returns neurons with the uids 0, 1, ….
fn neurons(uris: &[&str]) -> Vec<(Uid, Hotkey)> {
    (0..).map(Uid).zip(uris.iter().map(|uri| hotkey(uri))).collect()
}

/// The reference deletes session keys when it refreshes the list of miners, and has no miners to
/// query until the next handshakes.
pub(super) async fn session_keys_survive_refresh_of_nodes(location: DatabaseLocation) {
    let store = location.open().await;
    let (alice, bob) = (peer("//Alice", 1), peer("//Bob", 2));
    let registered = neurons(&["//Alice", "//Bob", "//Charlie"]);
    store
        .replace_nodes(&[(Uid(1), alice.clone()), (Uid(2), bob.clone())], &registered, 10)
        .await
        .unwrap();
    let session =
        Session::restore(alice.clone(), "ab".repeat(32), FernetKey::from_bytes([7; 32]), 99, true);
    store.put_session(&session).await.unwrap();
    store
        .put_session(&Session::restore(bob, "cd".repeat(32), FernetKey::random(), 99, false))
        .await
        .unwrap();
    // Alice is unchanged, Bob has a new address, Charlie is new.
    let nodes = [(Uid(5), alice), (Uid(2), peer("//Bob", 3)), (Uid(7), peer("//Charlie", 1))];
    store.replace_nodes(&nodes, &registered, 20).await.unwrap();
    let nodes = store.nodes().await.unwrap();
    let actual: Vec<_> =
        nodes.iter().map(|node| (node.uid.0, node.peer.port(), node.session.is_some())).collect();
    assert_eq!(actual, [(2, 3, false), (5, 1, true), (7, 1, false)]);
    let stored_session = nodes[1].session.as_ref().unwrap();
    assert_eq!(
        (stored_session.id(), stored_session.expires_at_ns(), stored_session.is_signed()),
        (session.id(), 99, true)
    );
    assert_eq!(stored_session.key().as_bytes(), [7; 32]);
    assert_eq!(nodes.iter().map(|node| node.has_signed).collect::<Vec<_>>(), [false, true, false]);
    assert_eq!(store.nodes_seen_ms().await.unwrap(), Some(20));
}

/// A hotkey that has signed once must sign until it leaves the subnet: neither an unsigned session,
/// a new address nor a time without an address changes that.
pub(super) async fn signing_hotkeys_are_remembered_while_registered(location: DatabaseLocation) {
    let store = location.open().await;
    let session = |port, signed| {
        Session::restore(peer("//Alice", port), "ab".repeat(32), FernetKey::random(), 99, signed)
    };
    let refresh = async |miners: &[(Uid, Peer)], uris: &[&str], now_ms| {
        store.replace_nodes(miners, &neurons(uris), now_ms).await.unwrap();
        store
            .nodes()
            .await
            .unwrap()
            .iter()
            .map(|node| (node.has_signed, node.session.is_some()))
            .collect::<Vec<_>>()
    };
    let both = ["//Alice", "//Bob"];
    assert_eq!(refresh(&[(Uid(0), peer("//Alice", 1))], &both, 10).await, [(false, false)]);
    store.put_session(&session(1, true)).await.unwrap();
    store.put_session(&session(1, false)).await.unwrap();
    assert_eq!(refresh(&[(Uid(0), peer("//Alice", 1))], &both, 20).await, [(true, true)]);
    assert_eq!(refresh(&[(Uid(0), peer("//Alice", 9))], &both, 30).await, [(true, false)]);
    store.put_session(&session(9, false)).await.unwrap();
    assert_eq!(refresh(&[], &both, 40).await, []);
    assert_eq!(store.nodes_seen_ms().await.unwrap(), None, "an empty list is refreshed at once");
    assert_eq!(refresh(&[(Uid(0), peer("//Alice", 9))], &both, 50).await, [(true, false)]);
    assert_eq!(refresh(&[], &["//Bob"], 60).await, []);
    assert_eq!(refresh(&[(Uid(0), peer("//Alice", 9))], &both, 70).await, [(false, false)]);
}

pub(super) async fn registered_neurons_are_listed_as_of_a_time_by_uid(location: DatabaseLocation) {
    let store = location.open().await;
    let registered_at = async |at_ms| store.registered(at_ms).await.unwrap();
    let refresh = async |neurons: &[(Uid, Hotkey)], now_ms| {
        store.replace_nodes(&[], neurons, now_ms).await.unwrap();
    };
    let three = ["//Charlie", "//Alice", "//Bob"];
    let mut reversed = neurons(&three);
    reversed.reverse();
    refresh(&reversed, 10).await;
    assert_eq!(
        (registered_at(9).await, registered_at(10).await),
        (vec![], three.map(hotkey).to_vec())
    );
    // An unchanged list takes no space.
    refresh(&neurons(&three), 20).await;
    let count = async || {
        statement("SELECT COUNT(*) FROM registered").number(&store.database).await.unwrap()
    };
    assert_eq!(count().await, 3);
    // Alice's uid is reassigned, then Bob leaves.
    refresh(&neurons(&["//Charlie", "//Dave", "//Bob"]), 30).await;
    refresh(&neurons(&["//Charlie", "//Dave"]), 40).await;
    assert_eq!(registered_at(29).await, three.map(hotkey));
    assert_eq!(registered_at(39).await, ["//Charlie", "//Dave", "//Bob"].map(hotkey));
    assert_eq!(registered_at(i64::MAX).await, ["//Charlie", "//Dave"].map(hotkey));
    // Lists remain as long as the periods that closed while they were current.
    store.sweep(0, 35, 0).await.unwrap();
    assert_eq!((registered_at(29).await, count().await), (vec![], 5));
    assert_eq!(registered_at(35).await, ["//Charlie", "//Dave", "//Bob"].map(hotkey));
    // The clock is set back.
    refresh(&neurons(&three), 32).await;
    assert_eq!(registered_at(i64::MAX).await, three.map(hotkey));
}

/// A database of an earlier release keeps its miners, and gets the registered neurons at once, not
/// 30 minutes later.
pub(super) async fn neurons_of_an_earlier_release_are_refreshed_at_once(
    location: DatabaseLocation,
) {
    let old = location.open_old(7).await;
    let insert = "INSERT INTO node (hotkey, uid, host, port, seen_ms, key_id, key_hex, key_ends_ns, key_signed)
                  VALUES ($1, 3, '192.0.2.1', 1, 500, 'x', $2, 99, 1)";
    let alice = hotkey("//Alice").to_string();
    statement(insert).bind(&alice).bind("07".repeat(32)).execute(&old).await.unwrap();
    old.close().await;
    let store = location.open().await;
    let nodes = store.nodes().await.unwrap();
    assert!(
        nodes.len() == 1
            && nodes[0].uid == Uid(3)
            && nodes[0].has_signed
            && nodes[0].session.is_some(),
        "{nodes:?}"
    );
    assert_eq!(store.registered(i64::MAX).await.unwrap(), []);
    assert_eq!(store.nodes_seen_ms().await.unwrap(), Some(0));
    store
        .replace_nodes(&[(Uid(3), peer("//Alice", 1))], &neurons(&["//Bob", "//Alice"]), 600)
        .await
        .unwrap();
    assert!(store.nodes().await.unwrap()[0].session.is_some());
    assert_eq!(store.registered(600).await.unwrap(), ["//Bob", "//Alice"].map(hotkey));
}

pub(super) async fn parts_of_a_period_are_counted_once(location: DatabaseLocation) {
    let store = location.open().await;
    let unannounced = NewContender { concurrency: None, ..offer("//Bob", "a") };
    let offers = [offer("//Alice", "a"), unannounced, offer("//Alice", "b")];
    let (budgets, mut config) = ([(task("a"), 7)], MarketConfig::default());
    assert_eq!(store.config(None).await.unwrap(), None);
    let begin = async || {
        store.begin_period(1_000, 60_000, PeriodProfile::Seed, &offers, &budgets, &config).await
    };
    let id = begin().await.unwrap();
    assert!(matches!(begin().await, Err(StoreError::PeriodStillOpen(1))));
    let mut rows = store.contenders(id).await.unwrap();
    assert!(rows.len() == 3 && rows.iter().all(|row| offers.contains(&row.offer)), "{rows:?}");
    let busy = rows.iter_mut().find(|row| row.offer == offers[0]).unwrap();
    for outcome in [RequestOutcome::Answered { work: 25.0 }, RequestOutcome::RateLimited] {
        busy.counts.count(outcome);
    }
    busy.sent = 20.0;
    // Parts are absolute values: storing them twice has no effect.
    let (process, spent) = (Process::random(), [SpentBudget { task: task("a"), requests: 2 }]);
    for _ in 0..2 {
        assert!(store.put_part(id, &process, &rows, &spent).await.unwrap());
    }
    assert_eq!(store.contenders(id).await.unwrap(), rows);
    assert_eq!(
        store.budgets(id, None).await.unwrap(),
        [BudgetRow { task: task("a"), planned: 7, remaining: 5 }]
    );
    // After a crash, another process finds the open period.
    store.close().await;
    let store = location.open().await;
    assert_eq!(store.current_period().await.unwrap().unwrap().id, id);
    store.close_period(id, &process, &rows, &spent, 70_000).await.unwrap();
    assert_eq!(
        store.budgets(id, None).await.unwrap(),
        [BudgetRow { task: task("a"), planned: 7, remaining: 5 }]
    );
    let closed = store.contenders(id).await.unwrap();
    let expected =
        period_score_of(&rows[rows.iter().position(|row| row.offer == offers[0]).unwrap()]);
    let scores: Vec<_> = closed.iter().filter_map(|row| row.score).collect();
    assert_eq!(scores, [expected]);
    // Counters of a closed period do not change.
    for row in &mut rows {
        row.counts.total_requests += 100.0;
    }
    assert!(!store.put_part(id, &process, &rows, &spent).await.unwrap());
    store.close_period(id, &process, &rows, &spent, 80_000).await.unwrap();
    assert_eq!(store.contenders(id).await.unwrap(), closed);
    assert_eq!(store.newest_period().await.unwrap().unwrap().closed_ms, Some(70_000));
    assert_eq!(store.current_period().await.unwrap(), None);
    let history = store.history_since(70_000).await.unwrap();
    assert_eq!(history.iter().filter_map(|row| row.score).collect::<Vec<_>>(), [expected]);
    assert_eq!(store.history_since(70_001).await.unwrap(), []);
    let first = config.clone();
    config.tasks.truncate(1);
    let next =
        store.begin_period(80_000, 1, PeriodProfile::Later, &[], &[], &config).await.unwrap();
    assert_eq!(next, PeriodId(2));
    assert_eq!(store.config(Some(id)).await.unwrap(), Some(first));
    assert_eq!(store.config(None).await.unwrap(), Some(config));
    store.sweep(0, 90_000, 0).await.unwrap();
    assert_eq!(store.config(Some(id)).await.unwrap(), None);
    assert_eq!(store.contenders(id).await.unwrap(), []);
    assert_eq!(store.newest_period().await.unwrap().unwrap().id, next);
}

fn period_score_of(row: &ContenderRow) -> f64 {
    taonet_nineteen_core::period::period_score(&row.counts, PeriodProfile::Seed).unwrap()
}

fn sample(job: &str, uri: &str, created_ms: i64) -> Sample {
    Sample {
        job_id: job.to_owned(),
        period: PeriodId(1),
        task: task("a"),
        hotkey: hotkey(uri),
        uid: Uid(3),
        synthetic: true,
        request: "{}".to_owned(),
        answer: "[]".to_owned(),
        work: 12.5,
        response_time: Some(0.5),
        created_ms,
    }
}

fn reward(quality: f64) -> Reward {
    Reward {
        quality: Some(quality),
        metric: Some(25.0),
        reason: "equal".to_owned(),
        created_ms: 500,
    }
}

/// Each answer has at most one reward, keyed by its job.
pub(super) async fn rewards_are_keyed_by_job(location: DatabaseLocation) {
    let store = location.open().await;
    for (job, uri, created) in [("1", "//Alice", 1), ("2", "//Alice", 2), ("3", "//Bob", 3)] {
        assert!(store.put_sample(&sample(job, uri, created), 1.0).await.unwrap());
        assert!(!store.put_sample(&sample(job, uri, created), 1.0).await.unwrap(), "the same job");
    }
    let next = async || store.next_sample(&task("a")).await.unwrap().unwrap();
    let first = next().await;
    assert_eq!(first, sample("1", "//Alice", 1));
    // After a failed check, the answer is still in the queue.
    assert_eq!(next().await, first);
    for quality in [0.75, 0.25] {
        store.put_reward(&first, &reward(quality)).await.unwrap();
    }
    // Bob has fewer rewards than Alice, so his answer is next.
    assert_eq!(next().await.job_id, "3");
    let rewards = store.rewards_since(0).await.unwrap();
    assert_eq!(rewards.len(), 1);
    assert_eq!(
        (rewards[0].hotkey, &rewards[0].reward),
        (hotkey("//Alice"), &reward(0.75)),
        "the first result counts"
    );
    assert!(!store.put_sample(&first, 1.0).await.unwrap(), "already checked");
    assert_eq!(store.samples_by_task().await.unwrap(), [(task("a"), 2)]);
    assert_eq!(store.rewards_since(501).await.unwrap(), []);
}

pub(super) async fn stored_answers_of_a_task_follow_its_weight(location: DatabaseLocation) {
    let store = location.open().await;
    for index in 0..8 {
        let is_stored =
            store.put_sample(&sample(&index.to_string(), "//Alice", index), 0.005).await.unwrap();
        assert_eq!(is_stored, index < 6, "{index}");
    }
    store.sweep(0, 0, 3).await.unwrap();
    assert_eq!(store.samples_by_task().await.unwrap(), [(task("a"), 3)]);
    assert_eq!(store.next_sample(&task("b")).await.unwrap(), None);
}

pub(super) async fn rows_are_sorted_bytewise(location: DatabaseLocation) {
    let store = location.open().await;
    let mut offers = Vec::new();
    // PostgreSQL's locales ignore punctuation and case in the first pass.
    for name in ["b-a", "ba", "b.b", "b"] {
        for (uri, uid) in [("//Alice", 7), ("//Bob", 2), ("//Charlie", 2), ("//Dave", 7)] {
            offers.push(NewContender { uid: Uid(uid), ..offer(uri, name) });
        }
    }
    let budgets = ["b-a", "ba", "b.b", "b"].map(|name| (task(name), 1));
    let id = store
        .begin_period(0, 1, PeriodProfile::Seed, &offers, &budgets, &MarketConfig::default())
        .await
        .unwrap();
    let rows = store.contenders(id).await.unwrap();
    let actual: Vec<_> = rows
        .iter()
        .map(|row| (row.offer.task.to_string(), row.offer.uid, row.offer.hotkey.to_string()))
        .collect();
    assert!(actual.len() == 16 && actual.is_sorted(), "{actual:?}");
    let actual: Vec<_> =
        store.budgets(id, None).await.unwrap().iter().map(|row| row.task.to_string()).collect();
    assert_eq!(actual, ["b", "b-a", "b.b", "ba"]);
    store.close_period(id, &Process::random(), &rows, &[], 5).await.unwrap();
    let history = store.history_since(0).await.unwrap();
    let actual: Vec<_> =
        history.iter().map(|row| (row.task.to_string(), row.hotkey.to_string())).collect();
    assert!(actual.len() == 16 && actual.is_sorted(), "{actual:?}");
}
