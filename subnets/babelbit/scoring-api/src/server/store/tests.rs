use taonet_babelbit_core::records::ChallengeType;
use taonet_babelbit_core::submission_api::SubmissionKind;
use taonet_primitives::Hotkey;

use super::*;
use crate::server::testing::{Postgres, sqlite};

const NEW: PutOutcome = PutOutcome::Stored { replaced: None };

impl Store {
    /// Locks all submissions and stays idle, like a client on a crashed machine.
    pub(crate) async fn abandoned_transaction(&self) -> taonet_database::Transaction {
        assert!(self.0.is_shared(), "PostgreSQL locks rows");
        let mut transaction = self.0.begin().await.unwrap();
        statement("UPDATE submission SET kind = kind").execute(&mut transaction).await.unwrap();
        transaction
    }
}

fn hotkey(number: u8) -> Hotkey {
    Hotkey::from_bytes([number; 32])
}

fn submission(
    validator: u8,
    miner: u8,
    kind: SubmissionKind,
    signed_unix: i64,
    score: f64,
) -> NewSubmission {
    NewSubmission {
        key: SubmissionKey {
            validator: hotkey(validator),
            challenge_uid: "c".into(),
            challenge_type: ChallengeType::Main,
            miner_hotkey: Some(hotkey(miner)),
            miner_uid: miner.into(),
            kind,
            dialogue_uid: String::new(),
        },
        signed_unix,
        received_unix: signed_unix + 1,
        payload: r#"{"a":"\u0000"}"#.into(),
        signature: "ab".into(),
        artifact: kind.is_artifact().then(|| format!("c/{validator}/{miner}")),
        mean_score: (kind == SubmissionKind::ChallengeScores).then_some(score),
    }
}

async fn scores(store: &Store) -> Vec<(u16, f64)> {
    store
        .scores("c", None)
        .await
        .unwrap()
        .iter()
        .map(|score| (score.miner_uid, score.score))
        .collect()
}

/// Exercises all store operations on one database.
async fn check(url: &str) {
    use SubmissionKind::{AudioBundle, ChallengeScores, DialogueLogs};
    let store = Store::open(url).await.unwrap();
    store.ping().await.unwrap();
    let first = submission(1, 7, ChallengeScores, 100, 0.25);
    assert_eq!(store.signed_at(&first.key).await.unwrap(), None);
    assert_eq!(store.put(&first).await.unwrap(), NEW);
    assert_eq!(store.put(&first).await.unwrap(), NEW, "the same once more");
    assert_eq!(store.count().await.unwrap(), 1);
    assert_eq!(store.signed_at(&first.key).await.unwrap(), Some(100));
    // The submission signed later wins, in any order of arrival.
    assert_eq!(store.put(&submission(1, 7, ChallengeScores, 102, 0.75)).await.unwrap(), NEW);
    assert_eq!(
        store.put(&submission(1, 7, ChallengeScores, 101, 0.5)).await.unwrap(),
        PutOutcome::Outdated
    );
    assert_eq!(scores(&store).await, [(7, 0.75)]);
    // Submissions with other keys are stored separately.
    store.put(&submission(2, 7, ChallengeScores, 100, 0.5)).await.unwrap();
    store.put(&submission(1, 8, ChallengeScores, 200, 0.125)).await.unwrap();
    store.put(&submission(1, 7, DialogueLogs, 100, 0.0)).await.unwrap();
    // A newer file replaces an older one and returns its name; a file signed at the same time
    // changes nothing.
    let mut file = submission(1, 7, AudioBundle, 99, 0.0);
    file.artifact = Some("c/1/first".to_owned());
    assert_eq!(store.put(&file).await.unwrap(), NEW);
    let replaced = Some("c/1/first".to_owned());
    let file = submission(1, 7, AudioBundle, 100, 0.0);
    assert_eq!(store.put(&file).await.unwrap(), PutOutcome::Stored { replaced });
    let other = NewSubmission { artifact: Some("c/1/other".to_owned()), ..file };
    assert_eq!(store.put(&other).await.unwrap(), PutOutcome::Outdated);
    assert!(
        store.names_artifact("c/1/7").await.unwrap()
            && !store.names_artifact("c/1/first").await.unwrap()
    );
    let mut without_miner = submission(1, 9, ChallengeScores, 100, 1.0);
    without_miner.key.miner_hotkey = None;
    store.put(&without_miner).await.unwrap();
    assert_eq!(store.count().await.unwrap(), 6);
    assert_eq!(scores(&store).await.len(), 3, "a score without a miner is ignored");
    assert_eq!(store.scores("c", Some(ChallengeType::Arena)).await.unwrap(), []);
    assert_eq!(store.scores("d", None).await.unwrap(), []);
    // Expired submissions are purged, files first.
    assert_eq!(store.expired_artifacts(101, "", 10).await.unwrap(), Vec::<String>::new());
    assert_eq!(store.expired_artifacts(150, "", 10).await.unwrap(), ["c/1/7"]);
    assert_eq!(store.expired_artifacts(150, "c/1/7", 10).await.unwrap(), Vec::<String>::new());
    assert_eq!(store.purge(150).await.unwrap(), 4);
    assert_eq!(store.count().await.unwrap(), 2, "submissions with a file remain");
    store.clear_artifact("c/1/7").await.unwrap();
    assert_eq!(store.purge(150).await.unwrap(), 1);
    assert_eq!(scores(&store).await, [(8, 0.125)]);
    // The data is visible to another process.
    drop(store);
    assert_eq!(scores(&Store::open(url).await.unwrap()).await, [(8, 0.125)]);
}

#[tokio::test]
async fn sqlite_keeps_submissions() {
    let folder = tempfile::tempdir().unwrap();
    check(&sqlite(folder.path())).await;
}

#[tokio::test]
async fn postgres_keeps_submissions() {
    let Some(postgres) = Postgres::start() else { return };
    check(&postgres.url()).await;
}

/// Columns: URL, error message.
#[tokio::test]
async fn unsupported_database_url_is_refused() {
    for url in ["mysql://localhost/x", "/var/lib/x.sqlite", "postgres://a:b@host:99999/x"] {
        let error = Store::open(url).await.unwrap_err().to_string();
        assert_eq!(
            error, "DATABASE_URL: expected postgres://USER:PASSWORD@HOST/DATABASE or sqlite:FILE",
            "{url}"
        );
    }
}
