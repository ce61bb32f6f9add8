//! Scores of all validators, read from a scoring API with the submissions of several validators.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use axum::Router;
use axum::http::StatusCode;
use serde_json::json;
use taonet_babelbit_core::submission_api::{Submission, SubmissionKind};
use taonet_babelbit_dashboard::BabelbitSection;
use taonet_babelbit_runner::RunPaths;
use taonet_babelbit_scoring_api::ScoresClient;
use taonet_babelbit_scoring_api::server::ScoringApi;
use taonet_babelbit_scoring_api::server::testing::{serve_api, sqlite};
use taonet_dashboard::{Access, BasePath, Changes, Dashboard};
use taonet_primitives::Uid;
use taonet_service::{Shutdown, Sleeper, system_clock, unix_time};
use taonet_validator::testing::{key, listen, post, unused_address};
use taonet_wire::sorted_json;

use super::get;
use super::recorded::{INJECTION, RecordedRuns, execute, hotkey};

/// Marks a file of a miner as delivered.
const MARK_DELIVERED: &str = "INSERT INTO outbox \
     (challenge_id, miner_uid, miner_hotkey, file, run_sha256, score_method, state) \
     VALUES (1, 2, 'hotkey', 'challenge_score', 'ab', 'none', 'delivered')";

/// Submits a miner's score in `challenge-1` as a validator.
async fn submit(api: &ScoringApi, validator: &str, miner: u16, score: f64) {
    let (validator, timestamp) =
        (key(validator), unix_time(SystemTime::now()).as_secs().try_into().unwrap());
    let content =
        json!({ "challenge_uid": "challenge-1", "miner_hotkey": hotkey(miner), "challenge_mean_U": score }).to_string();
    let data =
        json!({ "file_type": "challenge_scores", "challenge_type": "main", "content": content });
    let miner = Some((Uid(miner), hotkey(miner)));
    let submission = Submission::new(&validator.hotkey(), miner, timestamp, "challenge-1", data);
    let signature = validator.sign(sorted_json(&submission.signed()).as_bytes()).to_bare_hex();
    let body = submission.with_signature(signature, SubmissionKind::ChallengeScores);
    assert_eq!(
        post(&api.router(), "/v1/submit", &body).await,
        (200, json!({ "success": true, "stored": true }))
    );
}

/// Returns the dashboard of a directory, with its section.
async fn site(directory: &std::path::Path, changes: &Changes) -> (Arc<BabelbitSection>, Router) {
    let section = BabelbitSection::open(RunPaths::in_directory(directory)).await;
    let dashboard = Dashboard::new(Access::Local, BasePath::default(), changes.clone());
    let router = dashboard.with(Arc::clone(&section) as _).router(Shutdown::new());
    (section, router)
}

/// Returns the row of a miner in the table of validators' scores.
fn row(body: &str, miner: &str) -> String {
    let (_, table) = body.split_once("id=\"validators\"").unwrap();
    let (_, row) = table.split_once(miner).unwrap_or_else(|| panic!("{miner} is missing: {table}"));
    row.split_once("</tr>").unwrap().0.to_owned()
}

#[tokio::test]
async fn scores_of_all_validators_are_shown() {
    let directory = tempfile::tempdir().unwrap();
    RecordedRuns::open(directory.path()).await.play("challenge-1", 3, 2).await;
    let (api, url) = serve_api(directory.path(), &sqlite(directory.path())).await;
    // This runner gave miner 2 the score 0.75, and miner 3 the score 0; it did not play miner 9.
    for (validator, score) in [("//a", 0.5), ("//b", 0.6), ("//c", 0.9)] {
        submit(&api, validator, 2, score).await;
    }
    submit(&api, "//a", 9, 0.2).await;
    let changes = Changes::default();
    let (section, router) = site(directory.path(), &changes).await;
    assert!(
        !get(&router, "/challenges/1").await.1.contains("Scores of all validators"),
        "not a source"
    );
    let client = ScoresClient::new(&url, Arc::new(key("//a"))).unwrap();
    section.read(&client, &changes).await;
    let (_, body) = get(&router, "/challenges/1").await;
    let actual = row(&body, "Miner 2");
    assert!(
        actual.contains(">0.600<") && actual.contains(">0.750<") && actual.contains(">+0.150<"),
        "{actual}"
    );
    let actual = row(&body, "Miner 3");
    assert!(actual.contains("not submitted") && actual.contains(">0.000<"), "{actual}");
    let address = hotkey(9).to_string();
    let actual = row(&body, &address);
    assert!(actual.contains(">0.200<") && actual.contains(">–<"), "{actual}");

    // Other validators submit later; a report of the runner's ledger is not needed to read their
    // scores.
    submit(&api, "//d", 2, 0.95).await;
    submit(&api, "//e", 2, 0.95).await;
    section.read(&client, &changes).await;
    let actual = row(&get(&router, "/challenges/1").await.1, "Miner 2");
    assert!(actual.contains(">0.900<") && actual.contains(">-0.150<"), "{actual}");
}

#[tokio::test]
async fn last_scores_stay_when_scoring_api_is_down() {
    let directory = tempfile::tempdir().unwrap();
    RecordedRuns::open(directory.path()).await.play("challenge-1", 2, 1).await;
    let (api, url) = serve_api(directory.path(), &sqlite(directory.path())).await;
    submit(&api, "//a", 2, 0.5).await;
    let changes = Changes::default();
    let (section, router) = site(directory.path(), &changes).await;
    section.read(&ScoresClient::new(&url, Arc::new(key("//a"))).unwrap(), &changes).await;
    let no_pause: Sleeper = Arc::new(|_| Box::pin(std::future::ready(())));
    let unreachable = ScoresClient::new(&unused_address(), Arc::new(key("//a"))).unwrap();
    let unreachable = unreachable.with_time(system_clock(), no_pause);
    section.read(&unreachable, &changes).await;
    for page in ["/", "/challenges/1"] {
        assert!(get(&router, page).await.1.contains("The scoring API cannot be read"), "{page}");
    }
    let body = get(&router, "/challenges/1").await.1;
    assert!(row(&body, "Miner 2").contains(">0.500<"), "{body}");
    section.read(&ScoresClient::new(&url, Arc::new(key("//a"))).unwrap(), &changes).await;
    assert!(!get(&router, "/").await.1.contains("cannot be read"));
}

/// A scoring API that refuses every request with hostile text.
#[tokio::test]
async fn errors_of_the_scoring_api_are_escaped() {
    let directory = tempfile::tempdir().unwrap();
    RecordedRuns::open(directory.path()).await.play("challenge-1", 2, 1).await;
    let url = listen(Router::new().fallback(|| async { (StatusCode::FORBIDDEN, INJECTION) })).await;
    let changes = Changes::default();
    let (section, router) = site(directory.path(), &changes).await;
    section.read(&ScoresClient::new(&url, Arc::new(key("//a"))).unwrap(), &changes).await;
    for page in ["/", "/challenges/1"] {
        let body = get(&router, page).await.1;
        assert!(
            !body.contains("<script>") && !body.contains(['\u{202e}', '\u{1b}']),
            "{page}: {body}"
        );
        assert!(
            body.contains("The scoring API cannot be read")
                && body.contains("&lt;script&gt;alert(1)"),
            "{body}"
        );
    }
}

#[tokio::test]
async fn scores_are_read_when_the_runner_has_submitted_its_own() {
    let directory = tempfile::tempdir().unwrap();
    RecordedRuns::open(directory.path()).await.play("challenge-1", 2, 1).await;
    let (api, url) = serve_api(directory.path(), &sqlite(directory.path())).await;
    let (changes, shutdown) = (Changes::default(), Shutdown::new());
    let (section, router) = site(directory.path(), &changes).await;
    let (reader, reports, stop) = (Arc::clone(&section), changes.clone(), shutdown.clone());
    let client = ScoresClient::new(&url, Arc::new(key("//a"))).unwrap();
    let mut updates = changes.subscribe();
    shutdown.spawn("scores", async move { reader.follow_scores(&client, &reports, &stop).await });
    let (reports, stop) = (changes.clone(), shutdown.clone());
    shutdown.spawn("ledger", async move { section.follow(&reports, &stop).await });
    while !get(&router, "/challenges/1")
        .await
        .1
        .contains("The scoring API has no scores for this challenge")
    {
        updates.changed().await.unwrap();
    }
    submit(&api, "//a", 2, 0.75).await;
    execute(&directory.path().join("state"), MARK_DELIVERED).await;
    tokio::time::timeout(Duration::from_secs(20), async {
        while get(&router, "/challenges/1").await.1.contains("has no scores") {
            updates.changed().await.unwrap();
        }
    })
    .await
    .expect("the scores are read long before the interval of 30 s ends");
    assert!(
        row(&get(&router, "/challenges/1").await.1, "Miner 2").contains(">0<"),
        "no difference"
    );
    shutdown.request();
    shutdown.finished().await.unwrap();
}
