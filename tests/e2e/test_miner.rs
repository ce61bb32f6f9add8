//! `bb test-miner` with conforming miners and miners that break one rule.

pub(crate) mod guide;
mod toy;

use std::io::{BufRead as _, BufReader};
use std::process::{Output, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use serde_json::{Value, json};
use taonet_babelbit_miner::testing::InferenceServer;
use taonet_wallet::Keypair;

use crate::axon::get;
use crate::support::{
    Daemon, are_installed, assert_metrics_described, bb, document, is_exhaustive, local_bb,
    refusal, repository, require_sentence_model, stderr, tao, write_first_utterances,
};
use crate::text_contest::text_miner;
use toy::ToyMiner;

fn hotkey(uri: &str) -> String {
    Keypair::from_uri(uri).unwrap().hotkey().to_string()
}

fn test(url: &str, miner: &str, arguments: &[&str]) -> Output {
    let mut command = bb();
    command.args(["test-miner", url, "--miner-hotkey", miner, "--json"]).args(arguments);
    command.output().unwrap()
}

/// JSON report of a failing test.
#[track_caller]
fn findings(output: &Output) -> Value {
    assert_eq!(output.status.code(), Some(1), "{}", stderr(output));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// Names of the rules with a given result.
fn with_verdict<'a>(report: &'a Value, verdict: &str) -> Vec<&'a str> {
    let rules = report["rules"].as_array().unwrap().iter();
    rules
        .filter(|rule| rule["verdict"] == verdict)
        .map(|rule| rule["rule"].as_str().unwrap())
        .collect()
}

#[test]
fn conforming_miner_passes_all_rules() {
    for mode in ["", "drains"] {
        let toy = ToyMiner::start(mode);
        let report = document(&test(toy.url(), &toy.hotkey(), &["--rules-only"]));
        assert_eq!((&report["passed"], &report["contest"]), (&json!(true), &Value::Null));
        assert_eq!(
            with_verdict(&report, "passed").len(),
            report["rules"].as_array().unwrap().len()
        );
        let timings = report["timings"].as_array().unwrap();
        let phases: Vec<_> =
            timings.iter().map(|timing| timing["phase"].as_str().unwrap()).collect();
        let expected: &[&str] = if mode == "drains" {
            &["init", "frame", "final_frame", "drain"]
        } else {
            &["init", "frame", "final_frame"]
        };
        assert_eq!(phases, expected);
        let frames = &timings[1];
        assert_eq!(
            (&frames["answers"], &frames["deadline_sec"], &frames["late"]),
            (&json!(24), &json!(3.0), &json!(0))
        );
        assert!(frames["median_sec"].as_f64() <= frames["p95_sec"].as_f64(), "{frames}");
        assert!(frames["p95_sec"].as_f64() <= frames["max_sec"].as_f64(), "{frames}");
    }
}

#[test]
fn each_broken_rule_is_reported_with_finding_and_hint() {
    let all = {
        let toy = ToyMiner::start("");
        let report = document(&test(toy.url(), &toy.hotkey(), &["--rules-only"]));
        with_verdict(&report, "passed").into_iter().map(str::to_owned).collect::<Vec<_>>()
    };
    for rule in &all {
        let toy = ToyMiner::start(rule);
        let mut command = bb();
        command.args([
            "test-miner",
            toy.url(),
            "--miner-hotkey",
            &toy.hotkey(),
            "--json",
            "--rules-only",
        ]);
        if rule == "frame_deadline" {
            command.env("BB_S2S_CHUNK_TIMEOUT_SEC", "1");
        }
        let output = command.output().unwrap();
        let report = findings(&output);
        assert_eq!(with_verdict(&report, "failed"), [rule.as_str()], "{report:#}");
        assert_eq!(report["passed"], false);
        let broken_rule = report["rules"]
            .as_array()
            .unwrap()
            .iter()
            .find(|finding| finding["rule"] == *rule)
            .unwrap();
        for field in ["expected", "seen", "mend"] {
            assert_ne!(broken_rule[field].as_str().unwrap(), "", "{rule}: {field}");
        }
        assert!(
            stderr(&output).contains(&format!("the miner breaks 1 rule: {rule}")),
            "{}",
            stderr(&output)
        );
    }
    assert!(all.len() > 20, "{all:?}");
}

/// As with a validator, each response is in time, but the complete reply is late.
#[test]
fn empty_requests_share_one_deadline() {
    let toy = ToyMiner::start("drains slowly");
    let mut command = bb();
    command.args([
        "test-miner",
        toy.url(),
        "--miner-hotkey",
        &toy.hotkey(),
        "--json",
        "--rules-only",
    ]);
    command.env("BB_S2S_DRAIN_TIMEOUT_SEC", "1").env("BB_S2S_FINAL_DRAIN_MIN_TIMEOUT_SEC", "1");
    let report = findings(&command.output().unwrap());
    assert_eq!(with_verdict(&report, "failed"), ["reply_ends"], "{report:#}");
}

#[test]
fn report_without_json_is_a_table() {
    let toy = ToyMiner::start("byte_count");
    let mut command = bb();
    command
        .args(["test-miner", toy.url(), "--miner-hotkey", &toy.hotkey(), "--rules-only"])
        .env("COLUMNS", "100");
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let printed = String::from_utf8(output.stdout).unwrap();
    for expected_text in
        ["byte_count", "FAIL", "expected", "frame 1 of 25", "fix", "median ms", "final frame"]
    {
        assert!(printed.contains(expected_text), "{expected_text}: {printed}");
    }
}

#[test]
fn unreachable_miner_and_invalid_arguments_are_reported() {
    let bob = hotkey("//Bob");
    let error = refusal(&test("127.0.0.1:1", &bob, &["--rules-only"]), 3);
    assert!(error.contains("cannot connect to 127.0.0.1:1: "), "{error}");
    let error = refusal(&test("127.0.0.1", &bob, &["--rules-only"]), 2);
    assert!(error.contains("`127.0.0.1` has no port"), "{error}");
    assert!(
        refusal(&test("ftp://127.0.0.1", &bob, &["--rules-only"]), 2)
            .contains("not an http or https URL")
    );
    assert!(refusal(&test("127.0.0.1:1", "5Nobody", &[]), 2).contains("--miner-hotkey"));
    let text = test("127.0.0.1:1", &bob, &["--contest", "text", "--challenge", "1"]);
    assert!(refusal(&text, 2).contains("hint: play a text challenge with `bb engine`"));
}

#[test]
fn text_miner_passes_all_rules_and_verdicts_are_streamed() {
    let folder = tempfile::tempdir().unwrap();
    let miner = text_miner(folder.path());
    let output = test(miner.url(), &hotkey("//Bob"), &["--contest", "text"]);
    let report = document(&output);
    assert_eq!(
        (&report["passed"], &report["contest_type"]),
        (&json!(true), &json!("text")),
        "{report:#}"
    );
    assert_eq!(with_verdict(&report, "passed").len(), 11, "{report:#}");
    assert_eq!(report["timings"][0]["phase"], "step");
    let live: Vec<_> = stderr(&output)
        .lines()
        .filter_map(|line| line.strip_prefix("pass ").map(str::to_owned))
        .collect();
    assert_eq!(live, with_verdict(&report, "passed"));
}

/// The verdicts on the first rules are shown while the miner still works on the first frame.
#[test]
fn rule_verdicts_are_printed_before_slow_miner_responds() {
    let toy = ToyMiner::start("waits");
    let mut command = bb();
    command.args([
        "test-miner",
        toy.url(),
        "--miner-hotkey",
        &toy.hotkey(),
        "--json",
        "--rules-only",
    ]);
    command.env("BB_S2S_CHUNK_TIMEOUT_SEC", "120").stdout(Stdio::null()).stderr(Stdio::piped());
    let mut tester = command.spawn().unwrap();
    let (sender, lines) = mpsc::channel();
    let stderr = BufReader::new(tester.stderr.take().unwrap());
    let reader =
        std::thread::spawn(move || stderr.lines().try_for_each(|line| sender.send(line.unwrap())));
    let first = std::iter::from_fn(|| lines.recv_timeout(Duration::from_mins(1)).ok())
        .find(|line| line.starts_with("pass "));
    assert!(first.is_some() && tester.try_wait().unwrap().is_none());
    toy.release();
    assert!(tester.wait().unwrap().success());
    drop(lines);
    let _ = reader.join();
}

#[test]
fn interpreter_passes_all_rules_and_is_scored() {
    require_sentence_model();
    let miner =
        Daemon::start(local_bb().args(["miner", "--profile", "interpreter", "--key-uri", "//Bob"]));
    let ferry = repository("tests/e2e/data/ferry.json");
    let report =
        document(&test(miner.url(), &hotkey("//Bob"), &["--challenge", ferry.to_str().unwrap()]));
    assert_eq!(with_verdict(&report, "failed"), [""; 0]);
    assert_eq!(with_verdict(&report, "not_tested"), [""; 0]);
    let contest = &report["contest"];
    assert_eq!(
        (&contest["recognizer"], &contest["embedder"]),
        (&json!("tiny-ctc"), &json!("all-MiniLM-L6-v2"))
    );
    let [challenge] = &contest["challenges"].as_array().unwrap()[..] else { panic!("{contest:#}") };
    assert_eq!(
        (&challenge["challenge_uid"], &challenge["title"]),
        (&json!("ferry"), &json!("The ferry"))
    );
    assert_eq!(challenge["miner"]["utterances"].as_array().unwrap().len(), 4);
    assert!(contest["score"].as_f64() > Some(0.5), "{contest:#}");
    assert_eq!(contest["timings"][1]["phase"], "frame");
}

#[test]
fn metrics_of_a_fresh_miner_are_zero() {
    let folder = tempfile::tempdir().unwrap();
    let mut silent = local_bb();
    let speech = Daemon::start(silent.args(["miner", "--profile", "silent", "--key-uri", "//Bob"]));
    let text = text_miner(folder.path());
    let requests = |contest: &str| format!("taonet_{contest}_requests_total{{status=\"200\"}} 0");
    for (miner, expected) in [
        (
            &speech,
            vec![
                requests("miner"),
                "taonet_miner_sessions 0".to_owned(),
                "taonet_miner_source_samples_total 0".to_owned(),
                "taonet_miner_reply_samples_total 0".to_owned(),
            ],
        ),
        (&text, vec![requests("text_miner")]),
    ] {
        let metrics = get(miner.url().trim_start_matches("http://"), "/metrics");
        assert_metrics_described(&metrics, "miner");
        for line in expected {
            assert!(metrics.lines().any(|other| other == line), "{line}: {metrics}");
        }
    }
}

#[test]
fn miner_that_ends_before_the_challenge_fails_the_test() {
    require_sentence_model();
    let miner =
        Daemon::start(local_bb().args(["miner", "--profile", "interpreter", "--key-uri", "//Bob"]));
    let mut command = bb();
    command.args(["test-miner", miner.url(), "--miner-hotkey", &hotkey("//Bob"), "--json"]);
    command.arg("--challenge").arg(repository("tests/e2e/data/ferry.json"));
    let mut tester = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut notices = BufReader::new(tester.stderr.take().unwrap()).lines().map(Result::unwrap);
    assert!(notices.any(|line| line.starts_with("playing 1 challenge")));
    drop(miner);
    let errors: Vec<_> = notices.collect();
    let report = findings(&tester.wait_with_output().unwrap());
    assert_eq!(report["passed"], false);
    assert_eq!(with_verdict(&report, "failed"), [""; 0]);
    assert_eq!(report["contest"]["timings"], json!([]));
    let is_reported =
        |line: &String| line.contains("the miner completed no reply of 1 challenge: The ferry");
    assert!(errors.iter().any(is_reported), "{errors:?}");
}

/// Returns the rules that a miner of `//Bob` breaks in the challenge of the ferry, and its score: of
/// two utterances, or of all four if `TAONET_TEST_ALL` is set.
fn play_ferry_challenge(miner: &Daemon) -> (Vec<String>, f64) {
    let folder = tempfile::tempdir().unwrap();
    let count = if is_exhaustive() { 4 } else { 2 };
    let ferry = write_first_utterances("tests/e2e/data/ferry.json", count, folder.path());
    let output = test(miner.url(), &hotkey("//Bob"), &["--challenge", ferry.to_str().unwrap()]);
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    let broken_rules: Vec<_> =
        with_verdict(&report, "failed").into_iter().map(str::to_owned).collect();
    assert_eq!(output.status.success(), broken_rules.is_empty(), "{report:#}");
    (broken_rules, report["contest"]["score"].as_f64().unwrap_or_default())
}

/// The inference servers have the engines of a miner: recogniser, rules and espeak-ng. Columns:
/// stages that stall · additional delay of every call in seconds · options. Only with
/// `TAONET_TEST_ALL`, `llm` and `tts` stall alone, too; `stt` and all stages stall always.
#[test]
fn miner_with_inference_servers_scores_like_one_without() {
    type Row = (&'static [&'static str], f64, &'static [&'static str]);

    require_sentence_model();
    let (broken_rules, without_servers) =
        play_ferry_challenge(&Daemon::start(local_bb().args(["miner", "--key-uri", "//Bob"])));
    assert_eq!(broken_rules, [""; 0]);
    let table: [Row; 6] = [
        (&[], 0.0, &["--server-timeout", "2"]),
        (&["stt"], 0.0, &["--server-timeout", "2", "--stt-timeout", "0.5"]),
        (&["llm"], 0.0, &[]),
        (&["tts"], 0.0, &[]),
        (&["stt", "llm", "tts"], 0.0, &[]),
        // A phrase needs a call for each breath: without a limit for the frame, they would add up
        // to more than 3 s.
        (&[], 0.7, &[]),
    ];
    for (stalled, delay, options) in table {
        if !is_exhaustive() && matches!(stalled, ["llm" | "tts"]) {
            continue;
        }
        let server = match stalled {
            [] => InferenceServer::slow(Duration::from_secs_f64(delay)),
            stalled => InferenceServer::start(stalled),
        };
        let mut miner = local_bb();
        miner.args(["miner", "--key-uri", "//Bob"]).args(options);
        miner.args(["--stt-url", server.url(), "--llm-url", server.url(), "--llm-model", "rules"]);
        miner.args(["--tts-url", server.url(), "--tts-voice", "en-gb"]);
        let miner = Daemon::start(&mut miner);
        // On a busy machine a frame can be late: one of three runs counts.
        let has_equal_score = |(broken_rules, score): &(Vec<String>, f64)| {
            broken_rules.is_empty() && (score - without_servers).abs() <= 0.02
        };
        let mut runs = Vec::new();
        while runs.len() < 3 && !runs.last().is_some_and(has_equal_score) {
            runs.push(play_ferry_challenge(&miner));
        }
        let log = miner.log();
        assert!(
            runs.last().is_some_and(has_equal_score),
            "stalled {stalled:?}, {delay} s: {runs:?} instead of {without_servers}: {log}"
        );
    }
}

/// A miner that admits only known validators rejects the temporary key; a wallet's hotkey works.
#[test]
fn wallet_signs_requests_to_miner_with_allow_list() {
    let folder = tempfile::tempdir().unwrap();
    let wallets = folder.path().to_str().unwrap();
    let mnemonic = folder.path().join("mnemonic.txt");
    let create = [
        "wallet",
        "new-hotkey",
        "--wallet-path",
        wallets,
        "--wallet-name",
        "v",
        "--hotkey",
        "h",
        "--json",
    ];
    let created =
        document(&tao().args(create).arg("--mnemonic-file").arg(&mnemonic).output().unwrap());
    let validator = created["hotkey"]["address"].as_str().unwrap_or_else(|| panic!("{created}"));
    let miner = ["miner", "--profile", "silent", "--key-uri", "//Bob", "--allow", validator];
    let miner = Daemon::start(local_bb().args(miner));
    let bob = hotkey("//Bob");
    let report = findings(&test(miner.url(), &bob, &["--rules-only"]));
    assert_eq!(with_verdict(&report, "failed"), ["signed_request"]);
    assert!(report["rules"][1]["seen"].as_str().unwrap().starts_with("403 "), "{report:#}");
    let wallet = ["--rules-only", "--wallet-path", wallets, "--wallet-name", "v", "--hotkey", "h"];
    let report = document(&test(miner.url(), &bob, &wallet));
    assert_eq!((&report["passed"], report["signed_by"].as_str()), (&json!(true), Some(validator)));
}

/// Words of the guide's commands that need a Whisper model.
const NEED_WHISPER: [&str; 2] = ["whisper", "translate"];
/// Model of these commands, which loads faster than that of the guide.
const WHISPER: &str = "faster-whisper-base";
/// Models that the guide's commands name.
const NAMED_MODELS: [&str; 2] = ["en_US-joe-medium", "SmolLM2-135M-Instruct"];

/// Starts the miner of a command of the guide, at an address that the test chooses; `None` if a
/// model is not installed.
fn guide_miner(words: &[String]) -> Option<Daemon> {
    let needs_whisper = words.iter().any(|word| NEED_WHISPER.contains(&word.as_str()));
    let named =
        NAMED_MODELS.into_iter().filter(|model| words.iter().any(|word| word.ends_with(model)));
    let models: Vec<&str> = named.chain(needs_whisper.then_some(WHISPER)).collect();
    if !are_installed(&models) {
        return None;
    }
    let mut command = local_bb();
    match words.iter().position(|word| word == "--listen") {
        Some(listen) => command.args(&words[..listen]).args(&words[listen + 2..]),
        None => command.args(words),
    };
    if needs_whisper {
        command.env("BB_AUDIO_SCORING_STT_MODEL", WHISPER);
    }
    Some(Daemon::start(&mut command))
}

/// Runs the commands of the guide for miners.
#[test]
fn miner_guide_works() {
    require_sentence_model();
    let guide = std::fs::read_to_string(repository("docs/miner.md")).unwrap();
    let commands: Vec<&str> = guide.lines().filter(|line| line.starts_with("bb ")).collect();
    let mut miner: Option<Daemon> = None;
    let mut tests = 0;
    for line in commands {
        let line = line.split_once('#').map_or(line, |(command, _)| command);
        let words: Vec<String> = line.split_whitespace().skip(1).map(str::to_owned).collect();
        match words[0].as_str() {
            "miner" => {
                if let Some(started) = guide_miner(&words) {
                    miner = Some(started);
                }
            }
            // The module `translation` plays this challenge, which takes a minute.
            "test-miner" if words.iter().any(|word| word == "fr-1") => {}
            "test-miner" => {
                let miner = miner.as_ref().expect("the guide starts a miner before it tests it");
                let address = miner.url().trim_start_matches("http://");
                let words = words.iter().map(|word| word.replace("127.0.0.1:8092", address));
                let output = local_bb().args(words).output().unwrap();
                assert!(output.status.success(), "{line}: {}", stderr(&output));
                tests += 1;
            }
            "register-axon" => {
                let help = bb().args(["register-axon", "--help"]).output().unwrap();
                let help = String::from_utf8(help.stdout).unwrap();
                for option in words.iter().filter(|word| word.starts_with("--")) {
                    assert!(help.contains(&format!("{option} ")), "{line}: {option}");
                }
            }
            other => panic!("the guide names bb {other}, which this test does not know"),
        }
    }
    assert!(tests >= 2, "{tests}");
}

/// The guide's table has every rule, with its own text.
#[test]
fn miner_guide_lists_every_rule() {
    let guide = std::fs::read_to_string(repository("docs/miner.md")).unwrap();
    let toy = ToyMiner::start("");
    let report = document(&test(toy.url(), &toy.hotkey(), &["--rules-only"]));
    let rules: Vec<_> =
        with_verdict(&report, "passed").iter().map(|rule| format!("| `{rule}` |")).collect();
    let table = guide.split("\n| Rule | ").nth(1).expect("the guide has a table of rules");
    let documented: Vec<_> = table
        .lines()
        .filter(|line| line.starts_with("| `"))
        .filter_map(|line| line.split(" | ").next())
        .collect();
    assert_eq!(documented.iter().map(|start| format!("{start} |")).collect::<Vec<_>>(), rules);
}
