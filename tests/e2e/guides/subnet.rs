//! The guide for new subnets: its miner and its validator run on the chain of its
//! rehearsal.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use serde_json::{Value, json};
use taonet_kit::Scores;
use taonet_primitives::NetUid;
use taonet_testing::skip;

use super::machine::Process;
use super::{Walkthrough, first_block};
use crate::outputs::check_keys;
use crate::support::{document, free_address, program, refusal, tao};

const GUIDE: &str = "docs/write-a-subnet.md";
/// Subnet of the guide.
const NETUID: NetUid = NetUid(59);

/// Sets up the development chain of the guide, with a validator that has a permit, and a miner.
/// Returns the lines after that.
pub(super) fn rehearsal() -> (Walkthrough, Vec<String>) {
    let mut walkthrough = Walkthrough::empty();
    let lines = lines_of(&first_block(GUIDE, "Run it on a development chain"));
    let mut lines = lines.into_iter();
    for line in lines.by_ref() {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words.as_slice() {
            // The test has its own directory.
            ["mkdir", ..] => {}
            ["export", pairs @ ..] => {
                // The programs are those of this build.
                let pairs: Vec<&str> =
                    pairs.iter().copied().filter(|pair| !pair.starts_with("PATH=")).collect();
                walkthrough.export(&pairs.join(" "));
            }
            ["tao", "localnet", "to-epoch", ..] => {
                walkthrough.run(&line);
                break;
            }
            ["tao", "localnet", ..] => {
                walkthrough.serve(&line);
                let url = walkthrough.services["localnet"].url().to_owned();
                walkthrough.variables.insert("BT_NETWORK".to_owned(), url);
            }
            ["tao", ..] => walkthrough.run(&line),
            _ => panic!("the test does not run this line of the guide: {line}"),
        }
    }
    (walkthrough, lines.collect())
}

/// Returns the lines of a block of commands without comments.
pub(super) fn lines_of(block: &str) -> Vec<String> {
    let lines =
        block.lines().map(|line| line.split_once('#').map_or(line, |(line, _)| line).trim());
    lines.filter(|line| !line.is_empty()).map(str::to_owned).collect()
}

/// Returns the address of a hotkey of the rehearsal.
pub(super) fn hotkey(walkthrough: &Walkthrough, name: &str) -> String {
    let keyfile = fs::read(walkthrough.path("wallets/default/hotkeys").join(name)).unwrap();
    let keyfile: Value = serde_json::from_slice(&keyfile).unwrap();
    keyfile["ss58Address"].as_str().unwrap().to_owned()
}

/// Whether a neuron has published an address.
pub(super) fn has_published(walkthrough: &Walkthrough, hotkey: &str, address: &str) -> bool {
    let metagraph = walkthrough.run_json(&["metagraph", &NETUID.to_string()]);
    let mut neurons = metagraph["neurons"].as_array().unwrap().iter();
    neurons.any(|neuron| neuron["hotkey"] == hotkey && neuron["axon"]["address"] == address)
}

/// Returns the scores in the state of a validator by hotkey; none before the first step.
pub(super) fn scores(state: &Path) -> BTreeMap<String, f64> {
    let file = state.join("scores.sqlite");
    if !file.is_file() {
        return BTreeMap::new();
    }
    let scores = async { Scores::open_read_only(&file, NETUID).await?.read().await };
    // The validator may be creating the tables.
    let scores = tokio::runtime::Runtime::new().unwrap().block_on(scores).unwrap_or_default();
    scores.into_iter().map(|(hotkey, score)| (hotkey.to_string(), score)).collect()
}

/// Runs the lines about the scores of the running validator, and checks their documents.
fn explain_and_move_scores(walkthrough: &Walkthrough, hotkey: &str) {
    let commands = ["subnets explain", "subnets state export", "subnets state import"];
    let lines = lines_of(&first_block(GUIDE, "Explain and move scores"));
    assert_eq!(lines.len(), commands.len(), "{lines:#?}");
    let mut documents = Vec::new();
    for (line, command) in lines.iter().zip(commands) {
        let line = line.replace("HOTKEY", hotkey);
        assert!(line.starts_with(&format!("tao {command} ")), "{line}");
        let words: Vec<&str> = line.split_whitespace().skip(1).collect();
        documents.push((command, walkthrough.run_json(&words)));
    }
    check_keys(&documents);
    let [(_, explained), (_, exported), (_, imported)] = documents.as_slice() else {
        panic!("{documents:#?}")
    };
    let newest = &explained["steps"][0];
    assert_eq!((&explained["consistent"], &newest["reward"]), (&json!(true), &json!(1.0)));
    assert!(exported["steps"].as_u64() >= newest["step"].as_u64(), "{exported} {explained}");
    assert_eq!(exported, imported);

    let [uid, step] = ["uid", "step"].map(|key| newest[key].to_string());
    let explain = |words: &[&str]| {
        let mut command = tao();
        command.args(["subnets", "explain", "--json", "--netuid", "59"]).args(words);
        walkthrough.prepare(&mut command).output().unwrap()
    };
    let restored = document(&explain(&[&uid, "--step", &step, "--state", "restored"]));
    assert_eq!(restored["hotkey"], hotkey, "{restored}");
    assert_eq!((&restored["consistent"], &restored["steps"][1]), (&json!(true), &Value::Null));
    for (words, code, text) in [
        (&["1000", "--state", "restored"][..], 1, "no recorded step has rewarded uid 1000"),
        (&[hotkey, "--state", "nowhere"], 1, "hint: is --state that of the validator?"),
        (&[&uid, "--state", "restored", "--step", "99999"], 2, "step 99999 has no recorded reward"),
    ] {
        let error = refusal(&explain(words), code);
        assert!(error.contains(text), "{words:?}: {error}");
    }

    let backup = fs::read(walkthrough.path("scores.jsonl")).unwrap();
    let mut export = tao();
    export.args("subnets state export scores.jsonl --netuid 60 --state state".split(' '));
    let error = refusal(&walkthrough.prepare(&mut export).output().unwrap(), 1);
    assert!(error.contains("has no scores of subnet 60\nhint: check --netuid"), "{error}");
    assert_eq!(fs::read(walkthrough.path("scores.jsonl")).unwrap(), backup);
}

#[test]
fn new_subnet_guide_works() {
    let example = Path::new(env!("CARGO_BIN_EXE_tao")).with_file_name("summing-subnet");
    if !example.is_file() {
        skip(
            "NOT TESTED: the example is not built. Run ./test, or cargo build -p taonet-summing-subnet",
        );
        return;
    }
    let (walkthrough, lines) = rehearsal();
    let [miner, validator, shown] = lines.as_slice() else { panic!("{lines:#?}") };
    let address = free_address();
    let port = address.rsplit_once(':').unwrap().1;
    let start = |line: &str, extra_args: &[&str]| {
        let line = line.strip_prefix("summing-subnet ").unwrap().replace("8091", port);
        let mut command = program(&example);
        command.args(["--metrics", "127.0.0.1:0"]).args(line.split_whitespace()).args(extra_args);
        Process::start(walkthrough.prepare(&mut command), walkthrough.folder.path())
    };
    let hotkey = hotkey(&walkthrough, "miner");
    let mut miner = start(miner, &["--listen", &address]);
    miner.wait_until(|_| has_published(&walkthrough, &hotkey, &format!("192.0.2.1:{port}")));
    let mut validator = start(validator, &[]);
    // A tenth for each step.
    validator.wait_until(|_| scores(&walkthrough.path("state")).get(&hotkey) > Some(&0.09));
    walkthrough.run(shown);
    explain_and_move_scores(&walkthrough, &hotkey);

    // While the miner runs.
    for line in lines_of(&first_block(GUIDE, "Write your own")) {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words.as_slice() {
            // Other tests write and test a package.
            ["tao", "subnets", "new", ..] | ["cd", ..] | ["cargo", "test"] => {}
            ["tao", "bench-miner", ..] | ["tao", "subnets", "check", ..] => {
                let line = line.replace("127.0.0.1:8091", &address).replace("HOTKEY", &hotkey);
                let network = format!("--network {}", walkthrough.services["localnet"].url());
                let line = line.replace("--network local", &network);
                let load = if words[1] == "bench-miner" { " --calls 5" } else { "" };
                walkthrough.run(&format!("{line}{load}"));
            }
            _ => panic!("the test does not run this line of the guide: {line}"),
        }
    }
    for process in [validator, miner] {
        process.stop();
    }
}
