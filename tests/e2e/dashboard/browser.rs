//! The dashboard in a browser: Chromium, driven by the scripts in tests/e2e/browser.
//!
//! The tests of accessible pages open each page in both colour schemes and at several widths, and
//! audit it with axe-core.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Read as _};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use taonet_primitives::{Hotkey, Uid};
use taonet_prompting_neurons::{AnswerRecord, StepRecord};
use taonet_proof_core::scoring::{Event, Fault, Outcome};
use taonet_proof_validator::ScoreStore;

use super::explorer::ExplorerFixture;
use super::{dashboard, demo, interpret, page, play_market, short_demo, wait_for};
use crate::peers::Peer;
use crate::support::{
    Daemon, KillOnDrop, Terminal, document, free_address, repository, require_sentence_model, tao,
};

/// Runs a script until it ends; returns its report. The script prints faults of the pages on
/// standard error.
#[track_caller]
pub(super) fn report(script: &mut Command) -> Value {
    let output =
        script.output().expect("Node.js is missing: install the package nodejs, or run ./test");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// Writes the scores of a validator of proofs with 12 miners.
fn record_proofs(state: &Path) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let score_store = runtime.block_on(ScoreStore::open(state)).unwrap();
    for number in 0..60_u8 {
        let verified = Outcome::Verified { time: Duration::from_millis(400), bytes: 70_000 };
        let outcome = if number % 7 == 6 { Outcome::Failed(Fault::WrongOutput) } else { verified };
        let (miner, kind) =
            (Hotkey::from_bytes([number % 12; 32]), format!("{}:0", "ab".repeat(32)));
        score_store
            .record(Event { miner, kind, at: Duration::from_hours(500_000), miners: 12, outcome })
            .unwrap();
    }
}

/// Writes the steps of a validator of text prompting with 30 miners, of which 6 fail.
fn record_steps(state: &Path) {
    let answer = |uid: u8| AnswerRecord {
        uid: Uid(uid.into()),
        hotkey: Hotkey::from_bytes([uid; 32]),
        share: 1.0 / 30.0,
        reward: f64::from(uid) / 30.0,
        parts: BTreeMap::new(),
        completion: "The old ferry crosses the harbour twice a day, and ".repeat(4),
        error: (uid.is_multiple_of(5)).then(|| "timeout: no response in time".to_owned()),
        seconds: 0.75,
    };
    let step = StepRecord {
        question: "How often does the old ferry cross the harbour, and where does it land?"
            .repeat(3),
        request: None,
        seed: None,
        answers: (0..30).map(answer).collect(),
    };
    let line = format!("\n{}", serde_json::to_string(&step).unwrap());
    std::fs::write(state.join("events.jsonl"), line.repeat(40)).unwrap();
}

#[test]
fn demo_pages_are_accessible() {
    let Some(browser) = Peer::find("browser") else { return };
    // On a terminal, the page stays after the contest.
    let mut terminal = Terminal::start(demo(&[]));
    terminal.expect("The contest is shown at ");
    let url = terminal.read_line();
    terminal.expect("The page is served at ");
    let form = page(&format!("{url}/try"));
    let (_, miner) = form.split_once("interpreter · uid ").unwrap_or_else(|| panic!("{form}"));
    let uid = miner.split('<').next().unwrap().trim().parse().unwrap();
    // No page links to the result of a visitor.
    let (result, _) = interpret(&url, uid, &repository("vectors/speech/utt00.wav"));
    let result = result.strip_prefix(&url).unwrap();
    let report = report(browser.browser_script("pages.mjs").arg(&url).arg(result));
    let kinds = report["kinds"].as_array().unwrap();
    for kind in [
        "/?",
        "/challenges?",
        "/challenges/*?utterance",
        "/miners?",
        "/miners/*?",
        "/weights?",
        "/chain?",
        "/chain/*?",
        "/chain/blocks?",
        "/chain/blocks/*?",
        "/chain/accounts/*?",
        "/chain/subnets?",
        "/chain/subnets/*?",
        "/log?",
        "/services?",
        "/services/*?",
        "/try?",
        "/try/results/*?",
    ] {
        assert!(kinds.iter().any(|visited| visited == kind), "{kind} is not among {kinds:?}");
    }
    // Chain, weight ledger and scoring API ended with the contest; the page has their last state.
    for (path, text) in [
        ("/", "Incentive over the last"),
        ("/", "The contest has ended"),
        ("/", "have stopped: "),
        ("/weights", "the chain holds these weights"),
        ("/challenges/1", "All validators"),
        ("/services/engine", "taonet_engine_requests_total"),
    ] {
        let page = page(&format!("{url}{path}"));
        assert!(page.contains(text), "{path}: {page}");
    }
    let services = page(&format!("{url}/services"));
    // The miners remain for visitors.
    assert_eq!(
        (services.matches("badge ok").count(), services.matches(">stopped<").count()),
        (5, 5),
        "{services}"
    );
}

#[test]
fn text_contest_and_service_pages_are_accessible() {
    let Some(browser) = Peer::find("browser") else { return };
    require_sentence_model();
    let (folder, metrics) = (tempfile::tempdir().unwrap(), free_address());
    let played = tao()
        .args(["demo", "--contest", "text", "--once", "--json", "--keep"])
        .arg(folder.path())
        .output();
    document(&played.unwrap());
    // Without transactions, the metrics of a chain that mines on demand do not change.
    let _chain = Daemon::start(tao().args([
        "localnet",
        "--memory",
        "--block-time",
        "manual",
        "--metrics",
        &metrics,
    ]));
    let service = format!("chain=http://{metrics}");
    let daemon = Daemon::start(&mut dashboard(folder.path(), &["--service", &service]));
    let start = Instant::now();
    while !page(daemon.url()).contains(">ready<") {
        assert!(start.elapsed() < Duration::from_mins(1), "{}", page(daemon.url()));
        std::thread::sleep(Duration::from_millis(100));
    }
    let report = report(browser.browser_script("pages.mjs").arg(daemon.url()));
    let kinds = report["kinds"].as_array().unwrap();
    for kind in ["/text?", "/text/*?", "/text/*?dialogue", "/services?", "/services/*?"] {
        assert!(kinds.iter().any(|visited| visited == kind), "{kind} is not among {kinds:?}");
    }
}

#[test]
fn market_pages_are_accessible() {
    let Some(browser) = Peer::find("browser") else { return };
    let folder = tempfile::tempdir().unwrap();
    let demo = play_market(folder.path());
    let daemon = Daemon::start(tao().args(["dashboard", "--nineteen"]).arg(folder.path()));
    let url = format!("{}/nineteen", daemon.url());
    wait_for(&url, "Miner ");
    let market = page(&url);
    for miner in demo["miners"].as_array().unwrap() {
        assert!(market.contains(&format!("Miner {}<", miner["uid"])), "{miner}: {market}");
    }
    let report = report(browser.browser_script("pages.mjs").arg(daemon.url()));
    let kinds = report["kinds"].as_array().unwrap();
    for kind in ["/?", "/nineteen?", "/nineteen/miners/*?"] {
        assert!(kinds.iter().any(|visited| visited == kind), "{kind} is not among {kinds:?}");
    }
}

#[test]
fn gateway_status_page_is_accessible_and_updates() {
    let Some(browser) = Peer::find("browser") else { return };
    let mut command = tao();
    command
        .args(["nineteen", "demo", "--model", "random"])
        .stdout(Stdio::null())
        .stderr(Stdio::piped());
    let mut market = KillOnDrop(command.spawn().unwrap());
    let mut lines = BufReader::new(market.0.stderr.take().unwrap()).lines().map(Result::unwrap);
    let gateway = lines.find_map(|line| line.strip_prefix("gateway ").map(str::to_owned)).unwrap();
    // From the first period on, the page has a row for each task.
    wait_for(&format!("{}/status", gateway.trim_end_matches("/v1")), "<th scope=\"row\">");
    let report = report(browser.browser_script("status.mjs").arg(&gateway));
    let tasks = report["tasks"].as_array().unwrap();
    assert!(tasks.len() == 6 && tasks.iter().any(|rows| rows.as_u64() > Some(0)), "{report}");
    assert_eq!(report["state"], "", "{report}");
}

#[test]
fn proof_pages_are_accessible() {
    let Some(browser) = Peer::find("browser") else { return };
    let folder = tempfile::tempdir().unwrap();
    let state = folder.path().join("state");
    record_proofs(&state);
    let daemon = Daemon::start(tao().args(["dashboard", "--proof"]).arg(&state));
    // After two reads, no figure changes.
    wait_for(&format!("{}/proof", daemon.url()), ">0.00<");
    assert!(page(&format!("{}/proof", daemon.url())).contains("wrong output"));
    let report = report(browser.browser_script("pages.mjs").arg(daemon.url()));
    let kinds = report["kinds"].as_array().unwrap();
    for kind in ["/?", "/proof?"] {
        assert!(kinds.iter().any(|visited| visited == kind), "{kind} is not among {kinds:?}");
    }
}

#[test]
fn prompting_page_is_accessible() {
    let Some(browser) = Peer::find("browser") else { return };
    let folder = tempfile::tempdir().unwrap();
    record_steps(folder.path());
    let daemon = Daemon::start(tao().args(["dashboard", "--prompting"]).arg(folder.path()));
    wait_for(&format!("{}/prompting", daemon.url()), "uid 29");
    let report = report(browser.browser_script("pages.mjs").arg(daemon.url()));
    let kinds = report["kinds"].as_array().unwrap();
    for kind in ["/?", "/prompting?"] {
        assert!(kinds.iter().any(|visited| visited == kind), "{kind} is not among {kinds:?}");
    }
}

#[test]
fn health_of_every_subnet_is_on_the_first_screen() {
    let Some(browser) = Peer::find("browser") else { return };
    let [contest, market, proofs, steps] = std::array::from_fn(|_| tempfile::tempdir().unwrap());
    play_market(market.path());
    record_proofs(&proofs.path().join("state"));
    record_steps(steps.path());
    // Nobody listens at the address of the service.
    let mut sources = dashboard(contest.path(), &["--service", "proof=http://127.0.0.1:9"]);
    sources.arg("--nineteen").arg(market.path());
    sources.arg("--proof").arg(proofs.path().join("state"));
    let daemon = Daemon::start(sources.arg("--prompting").arg(steps.path()));
    wait_for(&format!("{}/nineteen", daemon.url()), "Miner ");
    for fact in ["1 service fails", "24 of 30 miners answer"] {
        wait_for(daemon.url(), fact);
    }
    let report = report(browser.browser_script("health.mjs").arg(daemon.url()));
    let text = |entry: &Value, field: &str| entry[field].as_str().unwrap().to_owned();
    let entries: Vec<_> = report["entries"]
        .as_array()
        .unwrap()
        .iter()
        .map(|entry| ["name", "condition", "fact"].map(|field| text(entry, field)))
        .collect();
    let [babelbit, nineteen, proof, prompting] = entries.as_slice() else { panic!("{report}") };
    assert_eq!(babelbit, &["Babelbit", "waiting", "no challenge yet"]);
    assert_eq!(nineteen[..2], ["Nineteen", "healthy"]);
    assert!(nineteen[2].ends_with(" miners answer"), "{report}");
    assert_eq!(proof, &["Proof", "degraded", "1 service fails"]);
    assert_eq!(prompting, &["Prompting", "healthy", "24 of 30 miners answer"]);
    assert_eq!(report["mark"], "1 problem", "{report}");
}

#[test]
fn chain_pages_are_accessible() {
    let Some(browser) = Peer::find("browser") else { return };
    let fixture = ExplorerFixture::start();
    // A number that is a block and a netuid gives a page of results.
    let paths = [
        "/chain/search?q=2",
        "/chain/storage/SubtensorModule/Tempo?keys=",
        "/chain/storage/Timestamp/Now",
    ];
    let report =
        report(browser.browser_script("pages.mjs").arg(fixture.dashboard.url()).args(paths));
    let kinds = report["kinds"].as_array().unwrap();
    for kind in [
        "/chain?",
        "/chain/*?",
        "/chain/blocks?",
        "/chain/blocks/*?",
        "/chain/accounts/*?",
        "/chain/subnets?",
        "/chain/subnets/*?",
        "/chain/storage/SubtensorModule/Tempo?keys",
        "/chain/search?q",
    ] {
        assert!(kinds.iter().any(|visited| visited == kind), "{kind} is not among {kinds:?}");
    }
}

#[test]
fn page_follows_challenge_from_first_reply_to_leaderboard() {
    let Some(browser) = Peer::find("browser") else { return };
    let folder = tempfile::tempdir().unwrap();
    let daemon = Daemon::start(&mut dashboard(folder.path(), &[]));
    let mut script = browser.browser_script("follow.mjs");
    script.arg(daemon.url()).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut script =
        script.spawn().expect("Node.js is missing: install the package nodejs, or run ./test");
    let mut output = BufReader::new(script.stdout.take().unwrap());
    let mut ready = String::new();
    output.read_line(&mut ready).unwrap();
    // If the script failed, its standard error says why.
    let played = ready
        .contains("ready")
        .then(|| demo(&["--json", "--keep", folder.path().to_str().unwrap()]).output());
    let mut remaining = String::new();
    output.read_to_string(&mut remaining).unwrap();
    let ended = script.wait_with_output().unwrap();
    assert!(ended.status.success(), "{ready}{remaining}{}", String::from_utf8_lossy(&ended.stderr));
    let (played, shown): (_, Value) =
        (document(&played.unwrap().unwrap()), serde_json::from_str(&remaining).unwrap());

    let seen = shown["seen"].as_array().unwrap();
    assert_eq!((&seen[0]["rows"], &seen[0]["done"]), (&Value::from(0), &Value::Null), "{seen:?}");
    let is_partial = |state: &Value| state["done"].as_u64() < state["expected"].as_u64();
    assert!(
        seen.iter().any(|state| is_partial(state) && state["expected"].as_u64() > Some(0)),
        "{seen:?}"
    );
    let last = seen.last().unwrap();
    let miners = played["miners"].as_array().unwrap();
    assert_eq!(
        (&last["done"], last["rows"].as_u64()),
        (&Value::Null, Some(miners.len() as u64)),
        "{seen:?}"
    );
    for miner in miners {
        let name = &miner["name"];
        let row = shown["rows"].as_array().unwrap().iter().find(|row| row["name"] == *name);
        let score = format!("{:.3}", miner["score"].as_f64().unwrap());
        assert_eq!(row.unwrap_or_else(|| panic!("{name}: {shown}"))["score"], score, "{miner}");
    }
}

#[test]
fn visitor_speaks_to_miner() {
    let Some(browser) = Peer::find("browser") else { return };
    let folder = tempfile::tempdir().unwrap();
    // On a terminal, page and miners stay after the contest.
    let mut terminal = Terminal::start(short_demo(folder.path(), &[]));
    terminal.expect("The contest is shown at ");
    let url = terminal.read_line();
    terminal.expect("The page is served at ");
    let recording = repository("vectors/speech/utt00.wav");
    let report = report(browser.browser_script("speak.mjs").arg(&url).arg(recording));
    for input in ["spoken", "dropped"] {
        let text = report[input]["text"].as_str().unwrap();
        assert!(text.contains("ferry") && text.contains("Average lagging"), "{input}: {text}");
        let captions = report[input]["captions"].as_array().unwrap();
        assert!(
            captions.iter().any(|caption| caption.as_str().unwrap().contains("ferry")),
            "{input}: {captions:?}"
        );
        assert!(
            report[input]["peak"].as_f64().unwrap() > 0.02,
            "{input}: the reply is silent: {report}"
        );
    }
    let uploaded = &report["uploaded"];
    let text = uploaded["text"].as_str().unwrap();
    assert!(text.contains("the old ferry crossed the harbor twice"), "{text}");
    assert_eq!(uploaded["type"], "audio/wav");
    assert!(uploaded["seconds"].as_f64().unwrap() > 2.0, "{uploaded}");
    // The sample is the first utterance of the first challenge.
    let sampled = report["sampled"].as_str().unwrap().to_lowercase();
    let spoken = ["excuse", "waiting", "platform", "train", "airport"];
    assert!(spoken.iter().any(|word| sampled.contains(word)), "{sampled}");
}
