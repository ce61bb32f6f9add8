//! The walkthrough of docs/nineteen.md: the inference market on one machine, from nothing to an
//! answer of a real model that OpenAI's client has bought.

use std::collections::BTreeMap;
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;

use super::first_block;
use crate::peers::Peer;
use crate::support::{Daemon, are_installed, document, free_address, shell, stderr, tao};

const MODEL: &str = "SmolLM2-135M-Instruct";
/// Maximum number of commands of the walkthrough, with the installation of OpenAI's client.
const MOST_COMMANDS: usize = 12;
/// Timeout for operations that take a few seconds on an idle machine.
const LONG: Duration = Duration::from_mins(3);

/// The walkthrough in progress.
struct Walkthrough {
    folder: TempDir,
    peer: Peer,
    /// Free addresses in place of the default ones of the chain, the miner and the validator.
    chain: String,
    miner: String,
    validator: String,
    variables: BTreeMap<String, String>,
    services: Vec<Daemon>,
}

impl Walkthrough {
    fn new(peer: Peer) -> Self {
        let [chain, miner, validator] = [(); 3].map(|()| free_address());
        let (folder, services) = (tempfile::tempdir().unwrap(), Vec::new());
        let mut variables =
            BTreeMap::from([("BT_CHAIN_ENDPOINT".to_owned(), format!("ws://{chain}"))]);
        variables
            .insert("XDG_STATE_HOME".to_owned(), folder.path().join("state").display().to_string());
        Self { folder, peer, chain, miner, validator, variables, services }
    }

    /// Replaces default ports by the actual ones, and the interpreter by that with OpenAI's client.
    fn with_actual_names(&self, line: &str) -> String {
        let port = self.miner.rsplit(':').next().unwrap();
        let python = self.peer.programs().join("python");
        line.replace("127.0.0.1:8091", &self.validator)
            .replace("--port 4001", &format!("--port {port}"))
            .replace("python3 ", &format!("{} ", python.display()))
    }

    fn prepare<'a>(&self, command: &'a mut Command) -> &'a mut Command {
        command.envs(&self.variables).current_dir(self.folder.path())
    }

    /// Runs a line, and returns its output.
    fn run(&self, line: &str) -> String {
        let output = self.prepare(&mut shell(&self.with_actual_names(line))).output().unwrap();
        assert!(output.status.success(), "{line}: {}", stderr(&output));
        String::from_utf8(output.stdout).unwrap()
    }

    /// Sets the variables of an `export`, some of which are the output of a command.
    fn export(&mut self, line: &str) {
        let environment = self.run(&format!("{line} && env"));
        let names = line.split_whitespace().filter_map(|word| Some(word.split_once('=')?.0));
        let names =
            names.filter(|name| name.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'_'));
        for name in names {
            let value =
                environment.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
            let value = value
                .filter(|value| !value.is_empty())
                .unwrap_or_else(|| panic!("{line} does not set {name}"));
            self.variables.insert(name.to_owned(), value.to_owned());
        }
    }

    fn serve(&mut self, line: &str) {
        let words = shlex::split(line).unwrap();
        let mut command = tao();
        command.args(&words[1..]);
        let address = match [words[1].as_str(), words[2].as_str()] {
            ["localnet", _] => {
                command.args(["--block-time", "50ms"]);
                &self.chain
            }
            ["nineteen", "miner"] => &self.miner,
            ["nineteen", "validator"] => &self.validator,
            _ => panic!("unknown service in {line}"),
        };
        let service = Daemon::start_at(self.prepare(&mut command), address);
        self.services.push(service);
    }

    /// Waits until the gateway has a miner for its task.
    fn wait_for_market(&self) {
        let (runtime, began) = (tokio::runtime::Runtime::new().unwrap(), Instant::now());
        let url = format!("http://{}/status.json", self.validator);
        let is_served = async || -> Option<bool> {
            let status: Value = reqwest::get(&url).await.ok()?.json().await.ok()?;
            status["tasks"][0]["is_served"].as_bool()
        };
        while runtime.block_on(is_served()) != Some(true) {
            let log = self.services.last().map(Daemon::log).unwrap_or_default();
            assert!(began.elapsed() < LONG, "the market does not open: {log}");
            std::thread::sleep(Duration::from_millis(200));
        }
    }
}

#[test]
fn walkthrough_of_the_inference_market_ends_in_an_answer() {
    let Some(peer) = Peer::find("openai") else { return };
    if !are_installed(&[MODEL]) {
        return;
    }
    let block = first_block("docs/nineteen.md", "Try it on one machine");
    let lines: Vec<&str> = block.lines().filter(|line| !line.is_empty()).collect();
    assert!((1..=MOST_COMMANDS).contains(&lines.len()), "{lines:#?}");
    let (last, others) = lines.split_last().unwrap();
    let mut walkthrough = Walkthrough::new(peer);
    for line in others {
        let (line, comment) = line.split_once(" #").unwrap_or((line, ""));
        match line.trim() {
            // `scripts/peers` has installed it for the tests.
            "pip install openai" => {}
            line if comment.trim() == "a service" => walkthrough.serve(line),
            line if line.starts_with("export ") => walkthrough.export(line),
            line => drop(walkthrough.run(line)),
        }
    }
    assert_eq!(walkthrough.services.len(), 3);
    walkthrough.wait_for_market();
    let answer = walkthrough.run(last);
    assert!(answer.contains("Rome"), "{answer}");
    // The answer was sold.
    let mut usage = tao();
    usage.args(["nineteen", "keys", "usage", "--state", "market", "--json"]);
    let usage = document(&walkthrough.prepare(&mut usage).output().unwrap());
    assert_eq!(
        (&usage["balanced"], &usage["usage"][0]["requests"]),
        (&json!(true), &json!(1)),
        "{usage}"
    );
    while let Some(service) = walkthrough.services.pop() {
        assert!(service.terminate().success());
    }
}
