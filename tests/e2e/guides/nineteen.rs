//! The walkthrough of docs/nineteen.md: the inference market on one machine, from nothing to an
//! answer of a real model that OpenAI's client has bought.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;

use super::first_block;
use crate::peers::Peer;
use crate::support::{
    Daemon, are_installed, document, free_address, program_directories, search_path, shell, stderr,
    tao,
};

const MODEL: &str = "SmolLM2-135M-Instruct";
/// Maximum number of commands of the walkthrough, with the installation of OpenAI's client.
const MAX_COMMANDS: usize = 12;
/// Timeout for operations that take a few seconds on an idle machine.
pub(super) const LONG_TIMEOUT: Duration = Duration::from_mins(3);

/// A walkthrough in progress: a chain, a miner, a validator, and perhaps their model.
pub(super) struct Walkthrough {
    folder: TempDir,
    /// Directory of the commands, below the folder.
    directory: PathBuf,
    /// Words of the guide, and the actual ones.
    names: Vec<(String, String)>,
    /// Free addresses in place of the default ones.
    chain: String,
    miner: String,
    model: String,
    validator: String,
    variables: BTreeMap<String, String>,
    services: Vec<Daemon>,
}

impl Walkthrough {
    /// Creates a walkthrough in a new directory of this name.
    pub(super) fn new(name: &str) -> Self {
        let [chain, miner, model, validator] = [(); 4].map(|()| free_address());
        let (folder, services) = (tempfile::tempdir().unwrap(), Vec::new());
        let directory = folder.path().join(name);
        std::fs::create_dir(&directory).unwrap();
        let mut variables =
            BTreeMap::from([("BT_CHAIN_ENDPOINT".to_owned(), format!("ws://{chain}"))]);
        variables
            .insert("XDG_STATE_HOME".to_owned(), directory.join("state").display().to_string());
        let mut walkthrough = Self {
            folder,
            directory,
            names: Vec::new(),
            chain,
            miner,
            model,
            validator,
            variables,
            services,
        };
        let port = format!("--port {}", walkthrough.miner.rsplit(':').next().unwrap());
        walkthrough.replace("--port 4001", &port);
        walkthrough.replace("127.0.0.1:8000", &walkthrough.model.clone());
        walkthrough.replace("127.0.0.1:8091", &walkthrough.validator.clone());
        walkthrough
    }

    /// Replaces a text in all later lines.
    pub(super) fn replace(&mut self, text: &str, actual: &str) {
        self.names.push((text.to_owned(), actual.to_owned()));
    }

    /// Directory above that of the commands.
    pub(super) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Directory of the commands.
    pub(super) fn directory(&self) -> &Path {
        &self.directory
    }

    /// Puts programs of a directory before those of the system.
    pub(super) fn add_programs(&mut self, directory: &Path) {
        let directories = [directory.to_owned()].into_iter().chain(program_directories());
        let path = search_path(directories);
        self.variables.insert("PATH".to_owned(), path.into_string().unwrap());
    }

    /// URL of the validator's gateway.
    pub(super) fn gateway(&self) -> String {
        format!("http://{}", self.validator)
    }

    /// URL of the model, including /v1.
    pub(super) fn model_url(&self) -> String {
        format!("http://{}/v1", self.model)
    }

    pub(super) fn with_actual_names(&self, line: &str) -> String {
        let names = self.names.iter();
        names.fold(line.to_owned(), |line, (text, actual)| line.replace(text, actual))
    }

    pub(super) fn prepare<'a>(&self, command: &'a mut Command) -> &'a mut Command {
        command.envs(&self.variables).current_dir(&self.directory)
    }

    /// Runs a line, and returns its output.
    pub(super) fn run(&self, line: &str) -> String {
        let output = self.prepare(&mut shell(&self.with_actual_names(line))).output().unwrap();
        assert!(output.status.success(), "{line}: {}", stderr(&output));
        String::from_utf8(output.stdout).unwrap()
    }

    /// Starts the service of a line, sets the line's variables, or runs it.
    pub(super) fn follow(&mut self, line: &str, is_service: bool) {
        if is_service {
            self.serve(line, &[]);
        } else if line.starts_with("export ") {
            self.export(line);
        } else {
            self.run(line);
        }
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

    /// Starts a service at its free address, with further arguments.
    pub(super) fn serve(&mut self, line: &str, extra_args: &[&str]) {
        let line = self.with_actual_names(line);
        let mut words = shlex::split(&line).unwrap();
        if let Some(listen) = words.iter().position(|word| word == "--listen") {
            words.drain(listen..listen + 2);
        }
        let mut command = tao();
        command.args(&words[1..]).args(extra_args);
        let address = match [words[1].as_str(), words[2].as_str()] {
            ["localnet", _] => {
                command.args(["--block-time", "50ms"]);
                &self.chain
            }
            ["nineteen", "miner"] => &self.miner,
            ["nineteen", "model"] => &self.model,
            ["nineteen", "validator"] => &self.validator,
            _ => panic!("unknown service in {line}"),
        };
        let service = Daemon::start_at(self.prepare(&mut command), address);
        self.services.push(service);
    }

    /// Stops the service that was started last; returns `false` if there is none.
    pub(super) fn stop_last(&mut self) -> bool {
        let Some(service) = self.services.pop() else { return false };
        assert!(service.terminate().success());
        true
    }

    /// Waits until the gateway has a miner for one of its tasks.
    pub(super) fn wait_for_market(&self) {
        let (runtime, start) = (tokio::runtime::Runtime::new().unwrap(), Instant::now());
        let url = format!("{}/status.json", self.gateway());
        let is_served = async || -> Option<bool> {
            let status: Value = reqwest::get(&url).await.ok()?.json().await.ok()?;
            Some(status["tasks"].as_array()?.iter().any(|task| task["is_served"] == true))
        };
        while runtime.block_on(is_served()) != Some(true) {
            let log = self.services.last().map(Daemon::log).unwrap_or_default();
            assert!(start.elapsed() < LONG_TIMEOUT, "the market does not open: {log}");
            std::thread::sleep(Duration::from_millis(200));
        }
    }
}

#[test]
fn inference_market_walkthrough_sells_an_answer() {
    let Some(peer) = Peer::find("openai") else { return };
    if !are_installed(&[MODEL]) {
        return;
    }
    let block = first_block("docs/nineteen.md", "Try it on one machine");
    let lines: Vec<&str> = block.lines().filter(|line| !line.is_empty()).collect();
    assert!((1..=MAX_COMMANDS).contains(&lines.len()), "{lines:#?}");
    let (last, others) = lines.split_last().unwrap();
    let mut walkthrough = Walkthrough::new("market");
    let python = peer.programs().join("python");
    walkthrough.replace("python3 ", &format!("{} ", python.display()));
    for line in others {
        let (line, comment) = line.split_once(" #").unwrap_or((line, ""));
        match line.trim() {
            // `scripts/peers` has installed it for the tests.
            "pip install openai" => {}
            line => walkthrough.follow(line, comment.trim() == "a service"),
        }
    }
    assert_eq!(walkthrough.services.len(), 3);
    walkthrough.wait_for_market();
    // Other validators can count the vote of this one, whose file has one task.
    let url = format!("{}/v1/vote", walkthrough.gateway());
    let vote = async { reqwest::get(url).await.unwrap().json::<Value>().await.unwrap() };
    let vote = tokio::runtime::Runtime::new().unwrap().block_on(vote);
    assert_eq!(vote["weights"], json!({"chat-smollm2-135m-instruct": 1_000_000}), "{vote}");
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
    while walkthrough.stop_last() {}
}
