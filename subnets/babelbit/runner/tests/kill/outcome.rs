//! Checks of the results after the last process exits, for any number of kills.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;
use sha2::{Digest as _, Sha256};
use sqlx::{Connection as _, SqliteConnection};
use taonet_babelbit_core::records::ChallengeType;
use taonet_babelbit_runner::{
    ChallengeRow, ChallengeState, Ledger, OutboxCounts, ResultRow, RoundEnd,
};
use taonet_primitives::Uid;
use taonet_wallet::Keypair;

use super::services::ScoringServer;
use super::{ARENA_DROPS_AFTER, CHALLENGE, CONTESTS, MINERS, UTTERANCES, key};

/// Number of a miner's result files in a contest.
const FILES: usize = 4;

/// Checks ledger, files and scoring API.
pub(crate) async fn check(directory: &Path, scoring: &ScoringServer) {
    let ledger = Ledger::open(&directory.join("state")).await.unwrap();
    let counts = ledger.outbox_counts().await.unwrap();
    let files = CONTESTS.len() * usize::from(MINERS) * FILES;
    assert_eq!(counts, OutboxCounts { waiting: 0, delivered: files as u64, refused: 0 });
    assert_eq!(scoring.store.count().await.unwrap(), i64::try_from(files).unwrap());
    for contest in CONTESTS {
        let challenge = ledger.find(CHALLENGE, contest).await.unwrap().unwrap();
        let scores = check_ledger(&ledger, &challenge).await;
        check_scores(scoring, contest, &scores).await;
        let contest_directories = ContestDirectories { directory: directory.to_owned(), contest };
        for uid in 0..MINERS {
            contest_directories.check_miner(
                &ledger.results(&challenge).await.unwrap(),
                uid,
                scores[&Uid(uid.into())],
            );
        }
        let status = json(&directory.join(format!("challenge_status/{CHALLENGE}__{contest}.json")));
        assert_eq!(status["miner_count"], MINERS);
        contest_directories.check_submissions(scoring).await;
    }
    let scores = names(&directory.join("scores"));
    assert_eq!(scores.len(), 2 * CONTESTS.len() * usize::from(MINERS), "{scores:?}");
    assert_eq!(names(&scoring.artifacts.join(".incoming")), [""; 0]);
}

/// Asserts that every reply is scored or failed exactly once; returns each miner's score.
async fn check_ledger(ledger: &Ledger, challenge: &ChallengeRow) -> BTreeMap<Uid, f64> {
    let contest = challenge.challenge_type;
    assert_eq!(challenge.state, ChallengeState::Finished);
    assert_eq!(ledger.finished_miners(challenge).await.unwrap().len(), usize::from(MINERS));
    let round = ledger.last_round(contest).await.unwrap().unwrap();
    assert_eq!((round.end, round.challenge_uid.as_deref()), (RoundEnd::Played, Some(CHALLENGE)));
    let mut rows: BTreeMap<Uid, Vec<ResultRow>> = BTreeMap::new();
    for row in ledger.results(challenge).await.unwrap() {
        rows.entry(row.miner.uid).or_default().push(row);
    }
    assert_eq!(rows.len(), usize::from(MINERS));
    let mean = |(uid, rows): (Uid, Vec<ResultRow>)| {
        let refuses = uid == key(MINERS - 1).uid;
        let expected = match contest {
            ChallengeType::Arena if refuses => ARENA_DROPS_AFTER,
            _ => UTTERANCES,
        };
        let indices: Vec<_> = rows.iter().map(|row| row.utterance_index).collect();
        assert_eq!(indices, (0..expected).collect::<Vec<_>>(), "{contest} {uid}");
        assert!(
            rows.iter()
                .all(|row| row.score.is_some() != refuses && row.outcome.is_err() == refuses)
        );
        (uid, rows.iter().map(ResultRow::score_or_zero).sum::<f64>() / rows.len() as f64)
    };
    rows.into_iter().map(mean).collect()
}

/// Asserts that the scoring API has exactly these scores.
async fn check_scores(
    scoring: &ScoringServer,
    contest: ChallengeType,
    scores: &BTreeMap<Uid, f64>,
) {
    let stored = scoring.store.scores(CHALLENGE, Some(contest)).await.unwrap();
    assert_eq!(stored.len(), scores.len());
    let validator = Keypair::from_uri("//validator").unwrap().hotkey();
    for stored in stored {
        let uid = Uid(stored.miner_uid);
        assert_eq!(stored.validator, validator);
        assert!(
            (stored.score - scores[&uid]).abs() < 1e-6,
            "{contest} {uid}: {} is not {}",
            stored.score,
            scores[&uid]
        );
    }
}

/// The directories of a contest's files.
struct ContestDirectories {
    directory: PathBuf,
    contest: ChallengeType,
}

impl ContestDirectories {
    fn miner_directory(&self, uid: u8) -> PathBuf {
        let name = format!("miner_{uid}__hk_{}", key(uid).hotkey);
        self.directory.join("logs/s2s").join(CHALLENGE).join(self.contest.as_str()).join(name)
    }

    /// Asserts that every file of a miner is complete and exists once.
    fn check_miner(&self, rows: &[ResultRow], uid: u8, score: f64) {
        let miner_home = self.miner_directory(uid);
        let rows: Vec<_> = rows.iter().filter(|row| row.miner == key(uid)).collect();
        let log = json(&miner_home.join("run.json"));
        assert_eq!(log["utterances"].as_array().unwrap().len(), rows.len());
        assert!((log["score"].as_f64().unwrap() - score).abs() < 1e-6);
        let replies: Vec<_> = rows.iter().filter_map(|row| row.outcome.as_ref().ok()).collect();
        assert_eq!(log["completed"], !replies.is_empty());
        let predicted = miner_home.join("predicted");
        let hashes: Vec<_> = names(&predicted)
            .iter()
            .map(|name| hex::encode(Sha256::digest(fs::read(predicted.join(name)).unwrap())))
            .collect();
        assert_eq!(hashes.iter().collect::<Vec<_>>(), replies);
        let mut tar = tar::Archive::new(fs::File::open(miner_home.join("audio.tar")).unwrap());
        let members: Vec<_> = tar.entries().unwrap().map(Result::unwrap).collect();
        assert_eq!(members.len(), names(&miner_home.join("source")).len() + replies.len());
        for kind in ["run", "score"] {
            let start =
                format!("challenge_{kind}_{CHALLENGE}_type_{}_miner_{uid}_{kind}_", self.contest);
            let scores = self.directory.join("scores");
            let actual: Vec<_> =
                names(&scores).into_iter().filter(|name| name.starts_with(&start)).collect();
            assert_eq!(actual.len(), 1, "{actual:?}");
            assert_eq!(
                json(&scores.join(&actual[0]))["utterances"].as_array().unwrap().len(),
                rows.len()
            );
        }
    }

    /// Asserts that the submissions match the files.
    async fn check_submissions(&self, scoring: &ScoringServer) {
        let url = format!("sqlite:{}", scoring.database.display());
        let mut database = SqliteConnection::connect(&url).await.unwrap();
        let rows: Vec<(i64, String, String, Option<String>)> = sqlx::query_as(
            "SELECT miner_uid, kind, payload, artifact FROM submission WHERE challenge_type = ?",
        )
        .bind(self.contest.as_str())
        .fetch_all(&mut database)
        .await
        .unwrap();
        assert_eq!(rows.len(), usize::from(MINERS) * FILES);
        for (uid, kind, payload, artifact) in rows {
            let miner_home = self.miner_directory(u8::try_from(uid).unwrap());
            let data = serde_json::from_str::<Value>(&payload).unwrap()["data"].take();
            let name = data["file_name"].as_str().unwrap();
            let (path, submitted) = match (kind.as_str(), artifact) {
                ("audio_bundle", Some(artifact)) => {
                    (miner_home.join(name), fs::read(scoring.artifacts.join(artifact)).unwrap())
                }
                (kind, None) => {
                    let folder = if kind == "dialogue_logs" {
                        miner_home
                    } else {
                        self.directory.join("scores")
                    };
                    (folder.join(name), data["content"].as_str().unwrap().as_bytes().to_owned())
                }
                other => panic!("{other:?}"),
            };
            assert!(
                fs::read(&path).unwrap() == submitted,
                "the submitted content differs from {}",
                path.display()
            );
        }
    }
}

fn json(path: &Path) -> Value {
    serde_json::from_slice(&fs::read(path).unwrap())
        .unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Returns the names of the files in a directory; empty if the directory is missing.
fn names(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).into_iter().flatten();
    let mut names: Vec<_> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}
