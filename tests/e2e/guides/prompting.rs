//! The prompting guide: its lines run on the development chain of the guide for subnets,
//! with a tiny model.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use super::machine::Process;
use super::subnet::{has_published, hotkey, lines_of, rehearsal, scores};
use super::{Walkthrough, first_block};
use crate::support::{
    Daemon, free_address, repository, require_sentence_model, stderr, tao, write_checkpoint,
};

const GUIDE: &str = "docs/prompting.md";
/// Chapter whose lines run as they are.
const CHAPTER: &str = "Run it on a development chain";
/// Model of the guide's lines.
const MODEL: &str = "SmolLM2-135M-Instruct";

/// Returns all commands of the guide.
fn lines() -> Vec<String> {
    let guide = fs::read_to_string(repository(GUIDE)).unwrap();
    // A block in a language has its name beside the fence.
    let blocks = guide.split("\n```").skip(1).step_by(2).filter(|block| block.starts_with('\n'));
    blocks.flat_map(lines_of).collect()
}

/// The guide in progress.
struct Guide {
    walkthrough: Walkthrough,
    /// Address of the miner: another loopback address than 127.0.0.1, which the chain rejects.
    address: String,
    miner: String,
    validator: String,
}

impl Guide {
    /// Sets up the chain, and writes the files that the lines name.
    fn start() -> Self {
        require_sentence_model();
        let (walkthrough, _) = rehearsal();
        write_checkpoint(&walkthrough.path(MODEL));
        let passage = "The lighthouse at the cape was built of the stones of a monastery, and it still shows its light.";
        fs::create_dir(walkthrough.path("questions")).unwrap();
        let question = "{\"question\": \"What is the capital of Texas?\"}\n";
        fs::write(walkthrough.path("questions/capitals.jsonl"), question).unwrap();
        fs::write(walkthrough.path("questions/lighthouse.txt"), passage).unwrap();
        let pages: Vec<String> =
            (1..=12).map(|page| format!("Page {page}. {passage}\n\n")).collect();
        fs::write(walkthrough.path("book.txt"), pages.concat()).unwrap();
        let address = free_address().replace("127.0.0.1", "127.0.0.2");
        let [miner, validator] = ["miner", "default"].map(|name| hotkey(&walkthrough, name));
        fs::write(walkthrough.path("miners.txt"), format!("{miner}@{address}\n")).unwrap();
        Self { walkthrough, address, miner, validator }
    }

    /// Returns the command of a line, with this chain in place of the guide's names.
    fn command(&self, line: &str, extra_args: &[&str]) -> Command {
        let state = self.state(&self.walkthrough.path("state")).display().to_string();
        let uid = self.uid().to_string();
        let mut before = String::new();
        let words = shlex::split(line).unwrap().into_iter().skip(1).map(|word| {
            let actual: &str = match (before.as_str(), word.as_str()) {
                ("--netuid", "1") => "59",
                ("--state", "DIR") => &state,
                ("explain", "12") => &uid,
                ("explain", "HOTKEY") => &self.miner,
                ("--step", _) => "1",
                (_, "127.0.0.2:8091") => &self.address,
                (_, word) => word,
            };
            let actual = actual.to_owned();
            before = word;
            actual
        });
        let mut command = tao();
        command.args(words).args(extra_args);
        self.walkthrough.prepare(&mut command);
        command
    }

    /// Returns the default state directory of the validator in the user's directory for state.
    fn state(&self, of_user: &Path) -> PathBuf {
        of_user.join("taonet/prompting").join(format!("59-{}", self.validator))
    }

    /// Uid of the miner.
    fn uid(&self) -> u64 {
        let metagraph = self.walkthrough.run_json(&["metagraph", "59"]);
        let mut neurons = metagraph["neurons"].as_array().unwrap().iter();
        neurons.find(|neuron| neuron["hotkey"] == self.miner).unwrap()["uid"].as_u64().unwrap()
    }

    fn run(&self, line: &str, extra_args: &[&str]) {
        let output = self.command(line, extra_args).output().unwrap();
        assert!(output.status.success(), "{line}: {}", stderr(&output));
    }

    /// Starts a miner of the chapter, and waits until it has published its address.
    fn serve(&self, line: &str) -> Daemon {
        let miner = Daemon::launch(&mut self.command(line, &[]));
        let start = Instant::now();
        while !has_published(&self.walkthrough, &self.miner, &self.address) {
            assert!(start.elapsed() < Duration::from_mins(1), "{line}: {}", miner.log());
            std::thread::sleep(Duration::from_millis(200));
        }
        miner
    }

    /// Runs a validator until its first step. `of_user` is the user's directory for state.
    fn validate(&self, line: &str, extra_args: &[&str], of_user: &Path) {
        let mut command = self.command(line, extra_args);
        command.env("XDG_STATE_HOME", of_user);
        let mut validator = Process::start(&mut command, self.walkthrough.folder.path());
        let state = self.state(of_user);
        validator.wait_until(|_| scores(&state).contains_key(&self.miner));
        validator.stop();
    }
}

#[test]
fn prompting_guide_works() {
    let guide = Guide::start();
    let chapter = lines_of(&first_block(GUIDE, CHAPTER));
    let [miner, validator, question] = chapter.as_slice() else { panic!("{chapter:#?}") };
    let miner = guide.serve(miner);
    guide.validate(validator, &[], &guide.walkthrough.path("state"));
    guide.run(question, &[]);

    let keyfile = |name: &str| ["--keyfile".to_owned(), format!("wallets/default/hotkeys/{name}")];
    let default_keyfile = keyfile("default");
    let options = [default_keyfile[0].as_str(), default_keyfile[1].as_str(), "--allow-private"];
    let (mut validators, mut last) = (0, Vec::new());
    for line in lines().into_iter().filter(|line| !chapter.contains(line)) {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words.as_slice() {
            // Other tests run the demonstration, check the units and compose.yml, and parse the
            // commands that they run.
            ["tao", "prompting", "demo", ..] | ["sudo" | "docker" | "echo", ..] => {}
            ["tao", "prompt", ..] => guide.run(&line, &options),
            ["tao", "prompting", "explain" | "state", ..] => guide.run(&line, &[]),
            // Tests of the crate download questions.
            ["tao", "prompting", "validator", ..]
                if ["https://", " hub:"].iter().any(|origin| line.contains(origin)) => {}
            ["tao", "prompting", "validator", ..] => {
                validators += 1;
                guide.validate(
                    &line,
                    &options,
                    &guide.walkthrough.path(&format!("state-{validators}")),
                );
            }
            // It publishes an address at which nothing listens.
            ["tao", "prompting", "miner", ..] => {
                last.push(line.replace("0.0.0.0:8091", &free_address()));
            }
            _ => panic!("the test does not run this line of the guide: {line}"),
        }
    }
    assert_eq!((validators, last.len()), (4, 1));
    let [line] = last.as_slice() else { panic!("{last:?}") };
    let miner_keyfile = keyfile("miner");
    let public =
        Daemon::launch(&mut guide.command(line, &miner_keyfile.each_ref().map(String::as_str)));
    for service in [public, miner] {
        assert!(service.terminate().success());
    }
}
