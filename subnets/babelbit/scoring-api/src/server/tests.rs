use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use axum::http::Method;
use serde_json::{Value, json};
use taonet_babelbit_core::scoring_api::Contest;
use taonet_babelbit_core::submission_api::{Submission, SubmissionKind};
use taonet_primitives::Uid;
use taonet_wallet::Keypair;
use taonet_wire::sorted_json;

use super::testing::{Postgres, api, serve_api, sqlite};
use super::*;
use crate::ScoresClient;
use taonet_validator::testing::{key, send_request, unused_address};

mod admission;
mod artifacts;
mod database_faults;
mod old_files;
mod uploads;

fn now() -> i64 {
    verify::unix_seconds(SystemTime::now())
}

/// Creates the same scoring API with a clock a month ahead, when all submissions are expired.
fn with_later_clock(api: &ScoringApi, artifacts: ArtifactStore) -> ScoringApi {
    let clock_in_31_days: Clock = Arc::new(|| SystemTime::now() + Duration::from_hours(31 * 24));
    ScoringApi::with_clock(
        api.store().clone(),
        artifacts,
        Admission::Open,
        ScoringLimits::default(),
        clock_in_31_days,
    )
}

/// Returns a clock that is stopped at a Unix time, for tests of ages to the second.
fn fixed_clock(unix: i64) -> Clock {
    let time = SystemTime::UNIX_EPOCH + Duration::from_secs(unix.unsigned_abs());
    Arc::new(move || time)
}

/// Returns the body of `POST /v1/submit`.
fn signed(validator: &Keypair, kind: SubmissionKind, submission: &Submission) -> Value {
    let signature = validator.sign(sorted_json(&submission.signed()).as_bytes()).to_bare_hex();
    submission.with_signature(signature, kind)
}

/// Returns a signed submission of a miner's score in the challenge `c`.
fn score_submission(
    validator: &Keypair,
    miner: &Keypair,
    contest: &str,
    score: f64,
    timestamp: i64,
) -> Value {
    let content = json!({ "challenge_uid": "c", "miner_hotkey": miner.hotkey(), "challenge_mean_U": score, "é": "ü" });
    let data = json!({ "file_type": "challenge_scores", "challenge_type": contest, "content": content.to_string() });
    let miner = Some((Uid(7), miner.hotkey()));
    let submission = Submission::new(&validator.hotkey(), miner, timestamp, "c", data);
    signed(validator, SubmissionKind::ChallengeScores, &submission)
}

async fn post(api: &ScoringApi, body: &Value) -> (u16, Value) {
    send_request(
        &api.router(),
        Method::POST,
        "/v1/submit",
        &[("content-type", "application/json")],
        &body.to_string(),
    )
    .await
}

/// Returns the contest and score of each row, as read by the validators' client.
async fn rows(url: &url::Url, validator: &str, contest: Option<Contest>) -> Vec<(String, f64)> {
    let client = ScoresClient::new(url, Arc::new(key(validator))).unwrap();
    let rows = client.rows("c", contest).await.unwrap();
    let read = |row: &Value| {
        (
            row["challenge_type"].as_str().unwrap().to_owned(),
            row["challenge_mean_score"].as_f64().unwrap(),
        )
    };
    rows.iter().map(read).collect()
}

/// Checks on one database that three validators' scores become their median, best first.
async fn check_scores_become_medians(directory: &Path, database: &str) {
    let (api, url) = serve_api(directory, database).await;
    let (high_scoring, low_scoring) = (key("//good"), key("//poor"));
    let time = now();
    for (validator, first, second) in [("//a", 0.9, 0.1), ("//b", 0.7, 0.2), ("//c", 0.2, 0.3)] {
        for (miner, mean) in [(&low_scoring, second), (&high_scoring, first)] {
            let answer =
                post(&api, &score_submission(&key(validator), miner, "main", mean, time)).await;
            assert_eq!(answer, (200, json!({ "success": true, "stored": true })));
        }
    }
    post(&api, &score_submission(&key("//a"), &high_scoring, "arena", 0.5, time)).await;
    post(&api, &score_submission(&key("//a"), &high_scoring, "solo", 1.0, time)).await;
    let (main, arena) = ("main".to_owned(), "arena".to_owned());
    assert_eq!(
        rows(&url, "//a", Some(Contest::Main)).await,
        [(main.clone(), 0.7), (main.clone(), 0.2)]
    );
    assert_eq!(rows(&url, "//b", Some(Contest::Arena)).await, [(arena.clone(), 0.5)]);
    assert_eq!(rows(&url, "//b", None).await, [(main.clone(), 0.7), (main, 0.2), (arena, 0.5)]);
}

#[tokio::test]
async fn submitted_scores_are_read_from_sqlite() {
    let folder = tempfile::tempdir().unwrap();
    check_scores_become_medians(folder.path(), &sqlite(folder.path())).await;
}

#[tokio::test]
async fn submitted_scores_are_read_from_postgres() {
    let (Some(postgres), folder) = (Postgres::start(), tempfile::tempdir().unwrap()) else {
        return;
    };
    check_scores_become_medians(folder.path(), &postgres.url()).await;
}

/// A repeated submission is one row; a replayed older one changes nothing.
#[tokio::test]
async fn repeated_submission_has_no_effect() {
    let folder = tempfile::tempdir().unwrap();
    let (api, url) = serve_api(folder.path(), &sqlite(folder.path())).await;
    let (validator, miner, time) = (key("//a"), key("//good"), now());
    let old = score_submission(&validator, &miner, "main", 0.25, time - 10);
    assert_eq!(post(&api, &old).await.0, 200);
    assert_eq!(post(&api, &old).await, (200, json!({ "success": true, "stored": true })));
    assert_eq!(post(&api, &score_submission(&validator, &miner, "main", 0.75, time)).await.0, 200);
    assert_eq!(post(&api, &old).await, (200, json!({ "success": true, "stored": false })));
    assert_eq!(api.store().count().await.unwrap(), 1);
    assert_eq!(rows(&url, "//a", None).await, [("main".to_owned(), 0.75)]);
}

/// Columns: malformed submission, status, error.
#[tokio::test]
async fn invalid_submission_is_refused_and_not_stored() {
    let folder = tempfile::tempdir().unwrap();
    let (validator, miner, time) = (key("//a"), key("//good"), now());
    let artifacts = ArtifactStore::open(&folder.path().join("artifacts"), None).unwrap();
    let store = Store::open(&sqlite(folder.path())).await.unwrap();
    let limits = ScoringLimits::default();
    let api = ScoringApi::with_clock(store, artifacts, Admission::Open, limits, fixed_clock(time));
    let valid = || score_submission(&validator, &miner, "main", 0.5, time);
    let modified = |field: &str, value: Value| {
        let mut body = valid();
        body[field] = value;
        body
    };
    let with_new_signature = |data: Value, challenge: &str| {
        let submission = Submission::new(
            &validator.hotkey(),
            Some((Uid(7), miner.hotkey())),
            time,
            challenge,
            data,
        );
        signed(&validator, SubmissionKind::ChallengeScores, &submission)
    };
    let content =
        |content: Value| with_new_signature(json!({ "content": content.to_string() }), "c");
    let mut unsigned = valid();
    unsigned.as_object_mut().unwrap().remove("signature");
    #[rustfmt::skip]
    let table = [
        (json!([]), 400, "body: expected a JSON object"),
        (json!({}), 400, "signature: expected hex of 64 bytes"),
        (unsigned, 400, "signature: expected hex of 64 bytes"),
        (modified("signature", json!("ab")), 400, "signature: expected hex of 64 bytes"),
        (modified("vali_hotkey", json!("5V")), 400, "vali_hotkey: expected an SS58 address"),
        (modified("vali_hotkey", json!(miner.hotkey())), 401, "the signature does not match"),
        (modified("miner_uid", json!(8)), 401, "the signature does not match"),
        (modified("extra", json!(8)), 401, "the signature does not match"),
        (score_submission(&validator, &miner, "main", 0.5, time - 400), 401, "timestamp differs by 400 s from this server's clock"),
        (score_submission(&validator, &miner, "main", 0.5, time + 400), 401, "synchronise the clock"),
        (
            modified("kind", json!("scores")),
            400,
            "kind: expected challenge_scores, dialogue_scores",
        ),
        (
            modified("kind", json!("dialogue_logs")),
            400,
            "kind: expected the kind given in data.file_type",
        ),
        (modified("kind", json!(1)), 400, "kind: expected text"),
        (score_submission(&validator, &miner, "round9", 0.5, time), 400, "data.challenge_type: expected main, solo or arena"),
        (score_submission(&validator, &miner, "main", 1.5, time), 400, "data.content: expected challenge_mean_U from 0 to 1"),
        (content(json!({ "challenge_uid": "d" })), 400, "data.content: expected the signed challenge and miner"),
        (content(json!({})), 400, "data.content: expected challenge_mean_U"),
        (
            with_new_signature(json!({ "content": "{" }), "c"),
            400,
            "data.content: expected a challenge score in JSON",
        ),
        (with_new_signature(json!({}), "../c"), 400, "challenge_id: expected"),
        (
            with_new_signature(json!({ "dialogue_uid": "\u{0}" }), "c"),
            400,
            "data.dialogue_uid: expected at most 200 printable bytes",
        ),
    ];
    for (body, status, text) in table {
        let (actual, answer) = post(&api, &body).await;
        let error = answer["error"].as_str().unwrap_or_default();
        assert!(actual == status && error.contains(text), "{actual} {error}, not {status} {text}");
    }
    let mut bundle = valid();
    bundle["kind"] = json!("audio_bundle");
    bundle["data"] = json!({});
    bundle.as_object_mut().unwrap().remove("signature");
    bundle.as_object_mut().unwrap().remove("kind");
    let signature = validator.sign(sorted_json(&bundle).as_bytes()).to_bare_hex();
    (bundle["signature"], bundle["kind"]) = (json!(signature), json!("audio_bundle"));
    assert_eq!(
        post(&api, &bundle).await.1["error"],
        "wrong route for audio_bundle; hint: use /v1/submit-artifact"
    );
    for (method, path, body, status) in [
        (Method::POST, "/v1/submit", "{".to_owned(), 400),
        (Method::POST, "/v1/submit", "x".repeat((4 << 20) + 1), 413),
        (Method::GET, "/v1/submit", String::new(), 405),
        (Method::GET, "/v1/nothing", String::new(), 404),
        (Method::GET, "/v1/get_scores", String::new(), 400),
        (Method::GET, "/v1/get_scores?hotkey=a&hotkey=b", String::new(), 400),
    ] {
        let (actual, answer) = send_request(&api.router(), method, path, &[], &body).await;
        assert_eq!((actual, &answer["success"]), (status, &json!(false)), "{path}");
    }
    assert_eq!(api.store().count().await.unwrap(), 0);
    assert_eq!(
        send_request(&api.router(), Method::GET, "//healthz", &[], "").await,
        (200, json!({ "ok": true }))
    );
}

/// The reference client also submits results without a file, content or miner.
#[tokio::test]
async fn submissions_without_content_or_miner_are_kept() {
    let folder = tempfile::tempdir().unwrap();
    let (api, url) = serve_api(folder.path(), &sqlite(folder.path())).await;
    let validator = key("//a");
    let data = json!({ "file_type": "dialogue_log", "file_size": null });
    let submission = Submission::new(&validator.hotkey(), None, now(), "c", data);
    assert_eq!(
        post(&api, &signed(&validator, SubmissionKind::DialogueLogs, &submission)).await.0,
        200
    );
    let data = json!({ "file_type": "challenge_scores", "content": r#"{"challenge_mean_U": 1}"# });
    let submission = Submission::new(&validator.hotkey(), None, now(), "c", data);
    assert_eq!(
        post(&api, &signed(&validator, SubmissionKind::ChallengeScores, &submission)).await.0,
        200
    );
    assert_eq!(api.store().count().await.unwrap(), 2);
    assert_eq!(rows(&url, "//a", None).await, []);
}

#[tokio::test]
async fn old_submissions_are_deleted() {
    let folder = tempfile::tempdir().unwrap();
    let (api, url) = serve_api(folder.path(), &sqlite(folder.path())).await;
    post(&api, &score_submission(&key("//a"), &key("//good"), "main", 0.5, now())).await;
    assert_eq!(retention::purge_expired(&api.state).await.submissions, 0);
    assert_eq!(rows(&url, "//a", None).await.len(), 1);
    let artifacts = ArtifactStore::open(&folder.path().join("artifacts"), None).unwrap();
    assert_eq!(
        retention::purge_expired(&with_later_clock(&api, artifacts).state).await.submissions,
        1
    );
    assert_eq!(rows(&url, "//a", None).await, []);
}
