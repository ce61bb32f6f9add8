//! Our runner with a Python engine and Python miners.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};
use tempfile::TempDir;

use super::{Service, engine, miner, peer};
use crate::chain::{ALICE, BOB};
use crate::kill::address;
use crate::support::{RunFiles, document, local_bb, repository, require_sentence_model};

/// A directory for files, and a list of miners.
pub(super) struct Round {
    folder: TempDir,
}

impl Round {
    /// Creates the list from hotkeys and URLs; uids start at 1.
    pub(super) fn with(miners: &[(&str, &str)]) -> Self {
        require_sentence_model();
        let folder = tempfile::tempdir().unwrap();
        let entries: Value = (1..)
            .zip(miners)
            .map(|(uid, (hotkey, url))| json!({ "uid": uid, "hotkey": hotkey, "address": address(url) }))
            .collect();
        std::fs::write(folder.path().join("miners.json"), entries.to_string()).unwrap();
        Self { folder }
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(super) fn runner(&self, engine: &str, directory: &Path) -> Command {
        let mut runner = local_bb();
        runner.args([
            "runner",
            "--once",
            "--json",
            "--key-uri",
            "//Alice",
            "--engine",
            engine,
            "--miners",
        ]);
        runner.arg(self.path("miners.json")).arg("--keep").arg(directory);
        // On a busy machine, no reply may time out.
        runner.env("BABELBIT_CACHE_DIR", self.path("cache")).env("BB_S2S_CHUNK_TIMEOUT_SEC", "30");
        runner
    }
}

#[test]
fn runner_plays_python_engine() {
    let Some(peer) = peer() else { return };
    let miner = miner("interpreter");
    let round = Round::with(&[(BOB, miner.url())]);
    let challenge = repository("tests/e2e/data/ferry.json");
    let main = |settings: Value| {
        let mut settings = settings;
        settings["challenge"] = json!(challenge);
        Service::start(&peer, "engine", &settings)
    };
    let next = |count: usize| vec!["POST /source-audio/next"; count];
    let (auth, start) =
        (["POST /auth", "POST /auth/verify"], ["POST /source-audio/start", "GET /transcription"]);

    // Busy at first, and the challenge ends with an empty utterance. A trailing slash in the URL is
    // harmless.
    let engine = main(json!({ "busy": 3 }));
    let report = document(
        &round.runner(&format!("{}/", engine.url()), &round.path("main")).output().unwrap(),
    );
    assert_eq!(
        (&report["outcome"], &report["challenge_uid"]),
        (&json!("finished"), &json!("ferry")),
        "{report}"
    );
    let scores: Vec<_> =
        utterances(&report).iter().map(|utterance| utterance["score"].as_f64().unwrap()).collect();
    assert!(scores.len() == 4 && scores.iter().all(|score| *score > 0.3), "{report}");
    let run = run_log(&round.path("main"), 1);
    // The path only: the port differs in each run.
    let mut rows = run["utterances"].as_array().unwrap().iter();
    assert!(rows.all(|row| row["scoring_metadata_source"] == "transcription"), "{run}");
    let service_report = engine.report();
    assert_eq!(service_report["hotkeys"], json!([ALICE]));
    assert_eq!(
        service_report["requests"],
        json!([&["POST /auth"], &auth[..], &start, &next(4)].concat())
    );

    // The last utterance is marked as such; the token is rejected midway.
    let engine = main(json!({ "done": true, "revoke": 4 }));
    let report = document(&round.runner(engine.url(), &round.path("revoked")).output().unwrap());
    assert_eq!(report["outcome"], "finished", "{report}");
    assert_eq!(utterances(&report).len(), 4);
    let service_report = engine.report();
    assert_eq!(service_report["hotkeys"], json!([ALICE, ALICE]));
    assert_eq!(
        service_report["requests"],
        json!([&auth[..], &start, &next(2), &auth, &next(2)].concat())
    );

    // Solo utterances include their references, in every schema.
    let engine = main(json!({}));
    let report =
        document(&round.runner(engine.url(), &round.path("solo")).arg("--solo").output().unwrap());
    assert_eq!(report["challenge_uid"], "ferry-solo", "{report}");
    let scores: Vec<_> =
        utterances(&report).iter().map(|utterance| utterance["score"].as_f64().unwrap()).collect();
    assert!(scores.len() == 4 && scores.iter().all(|score| *score > 0.3), "{report}");
    let service_report = engine.report();
    assert_eq!(
        service_report["requests"],
        json!([&auth[..], &["GET /solo/start"], &["POST /solo/next"; 4]].concat())
    );
}

/// Key of the first miner.
fn utterances(report: &Value) -> &[Value] {
    report["miners"][0]["utterances"].as_array().unwrap()
}

fn run_log(directory: &Path, uid: u32) -> Value {
    let files = RunFiles::read(directory);
    let name = files
        .names()
        .into_iter()
        .find(|name| name.contains(&format!("miner_{uid}__")) && name.ends_with("run.json"));
    files.json(name.unwrap()).clone()
}

/// Behaviour · whether it gives a reply · error in the result files otherwise.
const BEHAVIOURS: [(&str, bool, &str); 6] = [
    ("echo", true, ""),
    ("patient", true, ""),
    ("drains", true, ""),
    ("early", true, ""),
    ("endless", false, "drain budget was exhausted"),
    ("refuses", false, "out of memory"),
];

#[test]
fn runner_plays_python_miners() {
    let Some(peer) = peer() else { return };
    let start = |(manner, _, _)| {
        Service::start(&peer, "miner", &json!({ "uri": format!("//{manner}"), "manner": manner }))
    };
    let miners = BEHAVIOURS.map(start);
    let listed: Vec<_> =
        miners.iter().map(|miner| (miner.hello("hotkey").as_str().unwrap(), miner.url())).collect();
    let round = Round::with(&listed);
    let engine = engine();
    let report = document(&round.runner(engine.url(), &round.path("run")).output().unwrap());
    assert_eq!(report["outcome"], "finished");
    for ((uid, miner), (manner, replies, reason)) in (1..).zip(miners).zip(BEHAVIOURS) {
        let played = &report["miners"][uid - 1];
        assert_eq!(
            (&played["uid"], &played["completed"]),
            (&json!(uid), &json!(replies)),
            "{manner}: {played}"
        );
        let log = run_log(&round.path("run"), u32::try_from(uid).unwrap());
        let rows = log["utterances"].as_array().unwrap();
        assert_eq!(rows.len(), 4, "{manner}");
        let service_report = miner.report();
        assert_eq!(
            (&service_report["callers"], &service_report["uuids"]),
            (&json!([ALICE]), &json!(1)),
            "{manner}"
        );
        let sessions = service_report["sessions"].as_array().unwrap();
        assert_eq!(sessions.len(), 4, "{manner}");
        for (row, session) in rows.iter().zip(sessions) {
            assert_eq!(row["utterance_id"], session["utterance_id"], "{manner}");
            assert_eq!(row["completed"], replies, "{manner}: {row}");
            let (frames, drains) = match manner {
                "echo" | "patient" => (&row["frame_count_in"], 0),
                "drains" => (&row["frame_count_in"], 3),
                "endless" => (&session["frames"], 8),
                "early" => (&json!(10), 0),
                _ => (&json!(2), 0),
            };
            assert_eq!(
                (&session["frames"], &session["drains"]),
                (frames, &json!(drains)),
                "{manner}"
            );
            let error = row["error"].as_str().unwrap_or_default();
            assert!(error.contains(reason) && error.is_empty() == replies, "{manner}: {error}");
        }
    }
}
