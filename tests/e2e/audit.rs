//! `bb audit` and `bb evidence` on the files of a demonstration.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Output;
use std::sync::OnceLock;

use serde_json::{Value, json};
use taonet_wallet::Keypair;
use tempfile::TempDir;

use crate::axon::BOB;
use crate::support::{
    Daemon, bb, document, local_bb, refusal, repository, require_sentence_model, stderr, tao,
};

const MINERS: usize = 5;
const UTTERANCES: usize = 4;
/// Miner uids in the demonstration; the owner has uid 0, the validator uid 1.
const INTERPRETER: u64 = 2;
const PARROT: u64 = 4;

/// The files of a demonstration of the challenge `ferry`; each test has its own copy.
struct Run {
    folder: TempDir,
}

impl Run {
    fn new() -> Self {
        static PLAYED: OnceLock<TempDir> = OnceLock::new();
        require_sentence_model();
        let played = PLAYED.get_or_init(|| {
            let folder = tempfile::tempdir().unwrap();
            let ferry = repository("tests/e2e/data/ferry.json");
            let mut demo = tao();
            demo.args(["demo", "--json", "--stt", "tiny", "--challenge"])
                .arg(ferry)
                .arg("--keep")
                .arg(folder.path());
            document(&demo.output().unwrap());
            folder
        });
        let folder = tempfile::tempdir().unwrap();
        copy(played.path(), folder.path());
        Self { folder }
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    fn audit(&self, arguments: &[&str]) -> Output {
        bb().args(["audit", "ferry", "--json", "--keep"])
            .arg(self.path())
            .args(arguments)
            .output()
            .unwrap()
    }

    /// Path of a miner's reply.
    fn reply(&self, uid: u64, utterance: usize) -> PathBuf {
        let miners = fs::read_dir(self.path().join("logs/s2s/ferry/main"))
            .unwrap()
            .map(|entry| entry.unwrap().path());
        let start = format!("miner_{uid}__hk_");
        let mut homes =
            miners.filter(|path| path.file_name().unwrap().to_str().unwrap().starts_with(&start));
        homes.next().unwrap().join(format!("predicted/utt_{utterance:04}.wav"))
    }

    fn export(&self, file: &Path) -> Output {
        let mut export = local_bb();
        export
            .args(["evidence", "export", "ferry", "--json", "--key-uri", "//Alice", "--keep"])
            .arg(self.path());
        export.arg("--output").arg(file).output().unwrap()
    }
}

fn copy(from: &Path, to: &Path) {
    for entry in fs::read_dir(from).unwrap().map(|entry| entry.unwrap()) {
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            fs::create_dir(&target).unwrap();
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

fn change_byte(path: &Path, offset: usize) {
    let mut bytes = fs::read(path).unwrap();
    bytes[offset] ^= 1;
    fs::write(path, bytes).unwrap();
}

/// Returns the report of a failing audit.
#[track_caller]
fn findings(output: &Output) -> Value {
    assert_eq!(output.status.code(), Some(1), "{}", stderr(output));
    serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("{error}: {}", stderr(output)))
}

fn verify(file: &Path, arguments: &[&str]) -> Output {
    bb().args(["evidence", "verify", "--json"]).arg(file).args(arguments).output().unwrap()
}

#[test]
fn audit_of_a_demonstration_has_no_mismatches() {
    let run = Run::new();
    let report = document(&run.audit(&[]));
    assert_eq!((&report["mismatches"], &report["different_conditions"]), (&json!([]), &json!([])));
    assert_eq!(report["recomputed"], MINERS * UTTERANCES);
    assert_eq!(report["conditions"][0]["recognizer"]["name"], "tiny-ctc");
    println!("audit of {} scores: {} s", report["recomputed"], report["wall_sec"]);

    let output = bb().args(["audit", "ferry", "--keep"]).arg(run.path()).output().unwrap();
    let output = String::from_utf8(output.stdout).unwrap();
    assert!(output.contains("20 scores recomputed") && output.contains("0 mismatches"), "{output}");
    assert!(output.contains("scored with the test double tiny-ctc ("), "{output}");
}

#[test]
fn changed_reply_or_score_is_one_mismatch() {
    let run = Run::new();
    // In the middle of the audio, and in the last byte.
    for (uid, utterance, from_end) in [(INTERPRETER, 2, 20_000), (PARROT, 0, 1)] {
        let wav = run.reply(uid, utterance);
        let offset = fs::metadata(&wav).unwrap().len() as usize - from_end;
        change_byte(&wav, offset);
        let report = findings(&run.audit(&[]));
        let [mismatch] = &report["mismatches"].as_array().unwrap()[..] else {
            panic!("{report:#}")
        };
        assert_eq!(
            (&mismatch["place"], &mismatch["field"]),
            (&json!("reply"), &json!("audio.sha256"))
        );
        assert_eq!(
            (&mismatch["miner_uid"], &mismatch["utterance_index"]),
            (&json!(uid), &json!(utterance))
        );
        assert!(wav.to_str().unwrap().contains(mismatch["miner_hotkey"].as_str().unwrap()));
        assert_ne!(mismatch["recorded"], mismatch["recomputed"]);
        change_byte(&wav, offset);
    }
    document(&run.audit(&[]));

    let scores = fs::read_dir(run.path().join("scores")).unwrap();
    let mut scores = scores.map(|entry| entry.unwrap().path());
    let is_score = |path: &PathBuf| {
        path.to_str()
            .unwrap()
            .contains(&format!("challenge_score_ferry_type_main_miner_{INTERPRETER}_"))
    };
    let score = scores.find(is_score).unwrap();
    let mut changed: Value = serde_json::from_slice(&fs::read(&score).unwrap()).unwrap();
    changed["utterances"][3]["utterance_score"] = json!(0.123);
    fs::write(&score, changed.to_string()).unwrap();
    let report = findings(&run.audit(&[]));
    let [mismatch] = &report["mismatches"].as_array().unwrap()[..] else { panic!("{report:#}") };
    assert_eq!(
        (&mismatch["place"], &mismatch["field"]),
        (&json!("challenge_score"), &json!("utterance_score"))
    );
    assert_eq!(
        (&mismatch["miner_uid"], &mismatch["utterance_id"]),
        (&json!(INTERPRETER), &json!("ferry:3"))
    );
    let output = bb().args(["audit", "ferry", "--keep"]).arg(run.path()).output().unwrap();
    assert!(
        stderr(&output).contains("error: 1 value does not match the recording"),
        "{}",
        stderr(&output)
    );
    assert!(String::from_utf8(output.stdout).unwrap().contains("challenge_score"));
}

/// Plays a round with one miner; returns the runner's output.
fn played_with_metrics(folder: &Path) -> String {
    let engine =
        Daemon::start(local_bb().arg("engine").arg(repository("tests/e2e/data/ferry.json")));
    let miner =
        Daemon::start(local_bb().args(["miner", "--profile", "interpreter", "--key-uri", "//Bob"]));
    let (miners, address) =
        (folder.join("miners.json"), miner.url().trim_start_matches("http://").to_owned());
    fs::write(&miners, json!([{ "uid": 1, "hotkey": BOB, "address": address }]).to_string())
        .unwrap();
    let mut runner = local_bb();
    runner.args([
        "runner",
        "--once",
        "--metrics",
        "--wide",
        "--key-uri",
        "//Alice",
        "--engine",
        engine.url(),
    ]);
    runner
        .env("BABELBIT_CACHE_DIR", folder.join("cache"))
        .arg("--miners")
        .arg(&miners)
        .arg("--keep")
        .arg(folder);
    let output = runner.output().unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn translation_metrics_are_shown_and_audited() {
    require_sentence_model();
    let folder = tempfile::tempdir().unwrap();
    let output = played_with_metrics(folder.path());
    let scores =
        fs::read_dir(folder.path().join("scores")).unwrap().map(|entry| entry.unwrap().path());
    let mut scores = scores.filter(|path| path.to_str().unwrap().contains("challenge_score_ferry"));
    let file = scores.next().unwrap();
    let score: Value = serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();

    let metrics = &score["metrics"];
    let figure = |key: &str| metrics[key].as_f64().unwrap_or_else(|| panic!("{key}: {metrics}"));
    let percent = |key: &str| format!("{:.1}", figure(key));
    let seconds = |key: &str| format!("{:.2}", figure(key) / 1000.0);
    let [wer, bleu, chrf] = ["wer", "bleu", "chrf"].map(percent);
    let row = format!(
        "1 4 {wer} {bleu} {chrf} {} {} {}",
        seconds("al_ms"),
        seconds("laal_ms"),
        seconds("atd_ms")
    );
    let rows: Vec<String> =
        output.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
    assert!(rows.contains(&row), "{row} in {output}");
    assert!(
        (1.0..100.0).contains(&figure("wer")) && figure("bleu") > 1.0 && figure("chrf") > 10.0,
        "{metrics}"
    );
    assert!(
        ["al_ms", "laal_ms", "atd_ms"]
            .map(figure)
            .iter()
            .all(|lag| (100.0..10_000.0).contains(lag)),
        "{metrics}"
    );

    let audit =
        || bb().args(["audit", "ferry", "--json", "--keep"]).arg(folder.path()).output().unwrap();
    assert_eq!(document(&audit())["mismatches"], json!([]));
    for (pointer, field) in
        [("/metrics/wer", "metrics.wer"), ("/utterances/2/metrics/al_ms", "metrics.al_ms")]
    {
        let mut changed = score.clone();
        *changed.pointer_mut(pointer).unwrap() = json!(12.5);
        fs::write(&file, changed.to_string()).unwrap();
        let report = findings(&audit());
        let [mismatch] = &report["mismatches"].as_array().unwrap()[..] else {
            panic!("{report:#}")
        };
        assert_eq!(
            (&mismatch["place"], &mismatch["field"]),
            (&json!("challenge_score"), &json!(field))
        );
        assert_eq!((&mismatch["miner_uid"], &mismatch["recorded"]), (&json!(1), &json!(12.5)));
    }
}

#[test]
fn different_conditions_and_unknown_challenges_are_reported() {
    let run = Run::new();
    let report = findings(&run.audit(&["--rules", "strict"]));
    assert_eq!(report["mismatches"], json!([]));
    let expected = json!([{ "field": "options.rules", "recorded": "reference", "here": "strict" }]);
    assert_eq!(report["different_conditions"], expected);

    let output = bb().args(["audit", "bridge", "--keep"]).arg(run.path()).output().unwrap();
    assert!(
        refusal(&output, 1)
            .contains("no main challenge \"bridge\" in the ledger; the ledger has ferry")
    );
    let empty = tempfile::tempdir().unwrap();
    let output = bb().args(["audit", "ferry", "--keep"]).arg(empty.path()).output().unwrap();
    assert!(refusal(&output, 1).contains("does not exist"));
    assert_eq!(fs::read_dir(empty.path()).unwrap().count(), 0);
}

#[test]
fn evidence_is_verified_without_the_run_directory() {
    let run = Run::new();
    let other_directory = tempfile::tempdir().unwrap();
    let file = other_directory.path().join("ferry.tar");
    let exported = document(&run.export(&file));
    let alice = Keypair::from_uri("//Alice").unwrap().hotkey().to_string();
    assert_eq!(exported["validator_hotkey"].as_str(), Some(alice.as_str()));
    // Without the files of the run.
    drop(run);
    let report = document(&verify(&file, &["--signed-by", &alice]));
    assert_eq!(report["validator_hotkey"].as_str(), Some(alice.as_str()));
    assert_eq!(
        (&report["audit"]["mismatches"], &report["audit"]["recomputed"]),
        (&json!([]), &json!(20))
    );

    let bob = Keypair::from_uri("//Bob").unwrap().hotkey().to_string();
    assert!(refusal(&verify(&file, &["--signed-by", &bob]), 1).contains(&format!("not {bob}")));

    let original = fs::read(&file).unwrap();
    let text = |needle: &str| {
        original.windows(needle.len()).position(|window| window == needle.as_bytes()).unwrap()
    };
    let changed = other_directory.path().join("changed.tar");
    let verify_changed = |offset: usize| {
        let mut bytes = original.clone();
        bytes[offset] ^= 1;
        fs::write(&changed, bytes).unwrap();
        verify(&changed, &[])
    };
    // In a transcript, which invalidates the signature.
    assert!(
        refusal(&verify_changed(text("\"stt_text\":\"") + 14), 1)
            .contains("the manifest was changed after signing")
    );
    // In a reply.
    let reply = text(&format!("replies/miner_{INTERPRETER}__hk_")) + 512 + 30_000;
    let report = findings(&verify_changed(reply));
    let [mismatch] = &report["audit"]["mismatches"].as_array().unwrap()[..] else {
        panic!("{report:#}")
    };
    assert_eq!(
        (&mismatch["place"], &mismatch["miner_uid"]),
        (&json!("reply"), &json!(INTERPRETER))
    );
    assert_eq!(
        (&mismatch["field"], &mismatch["utterance_index"]),
        (&json!("audio.sha256"), &json!(0))
    );
    // Truncated.
    fs::write(&changed, &original[..original.len() / 2]).unwrap();
    assert!(refusal(&verify(&changed, &[]), 1).contains("changed.tar cannot be used"));
    fs::write(&changed, "no tar file").unwrap();
    assert!(refusal(&verify(&changed, &[]), 1).contains("changed.tar cannot be used"));
}

#[test]
fn evidence_export_with_changed_reply_is_refused() {
    let run = Run::new();
    change_byte(&run.reply(INTERPRETER, 1), 1_000);
    let file = run.path().join("evidence.tar");
    let error = refusal(&run.export(&file), 1);
    assert!(
        error.contains("the stored reply of miner 2 to utterance 1 differs from the record"),
        "{error}"
    );
    assert!(!file.exists());
}
