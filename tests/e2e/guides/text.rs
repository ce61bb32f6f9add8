//! The text miner guide, docs/text-miner.md: every command of its blocks runs, in order,
//! on one machine with a local chain, and with servers of the test in place of the hub, of Chutes,
//! and of an inference server. Lines of Chutes' own CLI run only where it is installed.

use std::collections::BTreeMap;
use std::fs;
use std::process::Command;

use axum::routing::{get, post};
use axum::{Json, Router};
use serde_json::{Value, json};
use taonet_babelbit_miner::testing::InferenceServer;
use tempfile::TempDir;

use super::BOB;
use crate::axon;
use crate::chain::{BABELBIT, Chain};
use crate::chutes::program::{Program, RunningProgram};
use crate::chutes::{Cloud, model, with_accounts};
use crate::kill::address;
use crate::rounds::RoundLoop;
use crate::support::{
    Daemon, bb, document, repository, require_sentence_model, shell, stderr, tao,
};
use crate::text_contest::{HUB_TOKEN, Hub, small_talk};

/// The lines of the blocks above the table of steps.
fn lines() -> Vec<String> {
    let guide = fs::read_to_string(repository("docs/text-miner.md")).unwrap();
    let blocks = guide.split("\n```").skip(1).step_by(2);
    blocks.flat_map(|block| block.lines().skip(1).map(str::to_owned).collect::<Vec<_>>()).collect()
}

/// Returns the host and port of a server.
fn host_and_port(daemon: &Daemon) -> &str {
    daemon.url().trim_start_matches("http://")
}

/// The guide in progress.
struct Walkthrough {
    chain: Chain,
    folder: TempDir,
    hub: Hub,
    completions: InferenceServer,
    cloud: InferenceServer,
    /// Chutes' own program, if it is installed.
    chutes: Option<Program>,
    /// `chutes run` of an earlier line.
    running: Option<RunningProgram>,
    /// Address of the miner's hotkey.
    hotkey: String,
    variables: BTreeMap<String, String>,
    /// Services of earlier lines, by name.
    services: BTreeMap<&'static str, Daemon>,
}

impl Walkthrough {
    fn start() -> Self {
        require_sentence_model();
        let folder = tempfile::tempdir().unwrap();
        fs::rename(small_talk(folder.path()), folder.path().join("dialogues.json")).unwrap();
        fs::write(folder.path().join("utterances.txt"), "Is this seat free?\nYes, it is.\n")
            .unwrap();
        fs::create_dir(folder.path().join("my_model")).unwrap();
        for file in fs::read_dir(repository("vectors/lm/gpt2")).unwrap() {
            let file = file.unwrap();
            fs::copy(file.path(), folder.path().join("my_model").join(file.file_name())).unwrap();
        }
        let (cloud, server) = Cloud::serve();
        cloud.remove_image();
        let models = || async { Json(json!({ "data": [{ "id": "gpt2" }] })) };
        let complete = || async { Json(json!({ "choices": [{ "text": " seat free?" }] })) };
        let routes =
            Router::new().route("/v1/models", get(models)).route("/v1/completions", post(complete));
        Self {
            chain: Chain::start(),
            hub: Hub::serve(),
            completions: InferenceServer::serve(routes),
            cloud: server,
            chutes: Program::find(folder.path()),
            running: None,
            hotkey: String::new(),
            variables: BTreeMap::new(),
            services: BTreeMap::new(),
            folder,
        }
    }

    /// Prepares a command with the directory, the chain, the wallet and the exported variables.
    fn prepare<'a>(&self, command: &'a mut Command) -> &'a mut Command {
        let wallets = self.folder.path().join("wallets");
        command.env("BT_CHAIN_ENDPOINT", self.chain.url()).env("BT_WALLET_PATH", &wallets);
        command.env("BITTENSOR_WALLET_PATH", &wallets).env("BITTENSOR_WALLET_COLD", "my-wallet");
        command
            .env("BITTENSOR_WALLET_HOT", "my-hotkey")
            .env("BITTENSOR_SUBTENSOR_ENDPOINT", "local");
        command.env("XDG_STATE_HOME", self.folder.path().join("state")).envs(&self.variables);
        command.current_dir(self.folder.path())
    }

    /// A program of ours with the words of a line.
    fn program(&self, words: &[String]) -> Command {
        let mut command = if words[0] == "tao" { tao() } else { bb() };
        self.prepare(command.args(&words[1..]));
        command
    }

    #[track_caller]
    fn run(&self, line: &str) {
        let output = self.prepare(&mut shell(line)).output().unwrap();
        assert!(
            output.status.success(),
            "{line}: {}{}",
            String::from_utf8_lossy(&output.stdout),
            stderr(&output)
        );
    }

    /// Starts a text miner on a free port; its health names the model.
    fn serve_miner(&self, line: &str, model: &str) -> Daemon {
        let line = line.replace("http://127.0.0.1:8000/v1", self.completions.url());
        let words = shlex::split(&line.replace(" --listen 127.0.0.1:8091", "")).unwrap();
        let mut command = self.program(&words);
        command.env("HF_ENDPOINT", self.hub.url()).env("HF_TOKEN", HUB_TOKEN);
        command.env("BB_MODELS_DIR", self.folder.path().join("models"));
        let miner = Daemon::start(&mut command);
        let health: Value =
            serde_json::from_str(&axon::get(host_and_port(&miner), "/healthz")).unwrap();
        assert_eq!(health["model"], model, "{line}");
        miner
    }

    /// Plays the challenge to the first miner.
    fn play(&self, line: &str) {
        let miner =
            json!([{ "uid": 1, "hotkey": BOB, "address": address(self.services["miner"].url()) }]);
        fs::write(self.folder.path().join("miners.json"), miner.to_string()).unwrap();
        let line = line.replace("http://127.0.0.1:8000", self.services["engine"].url());
        let report =
            document(&self.program(&shlex::split(&line).unwrap()).arg("--json").output().unwrap());
        assert_eq!(report["outcome"], "finished", "{report}");
        assert!(report["miners"][0]["score"].as_f64() > Some(0.5), "{report}");
    }

    /// Registers the hotkey of a validator without a miner, and starts its other daemons, as the
    /// validators' guide describes.
    fn start_validators_daemons(&mut self) {
        self.variables.insert("BITTENSOR_WALLET_HOT".to_owned(), "validator".to_owned());
        self.run("tao wallet faucet --wallet-name my-wallet --amount 5000");
        let wallet = "--wallet-name my-wallet --hotkey validator";
        self.run(&format!("tao wallet new-hotkey {wallet} --mnemonic-file validator.txt"));
        self.run(&format!("tao register --netuid 59 {wallet} --yes"));
        self.run(&format!("tao stake add 1000 --netuid 59 {wallet} --no-limit --yes"));
        self.chain.alice(&["register", "--netuid", BABELBIT, "--yes", "--hotkey-ss58", BOB]);
        self.chain.mine_to_epoch(BABELBIT);
        let words =
            ["bb", "subtensor-gateway", "--state", "gateway", "--network", self.chain.url()]
                .map(str::to_owned);
        let gateway = Daemon::start(&mut self.program(&words));
        gateway.wait_until_ready();
        self.variables.insert("SUBTENSOR_GATEWAY_URL".to_owned(), gateway.url().to_owned());
        self.services.insert("gateway", gateway);
        let engine = Daemon::start(
            &mut self.program(&["bb", "engine", "dialogues.json"].map(str::to_owned)),
        );
        self.variables.insert("BB_UTTERANCE_ENGINE_URL".to_owned(), engine.url().to_owned());
        self.services.insert("engine", engine);
        let signer = Daemon::start(&mut self.program(&["bb", "signer"].map(str::to_owned)));
        self.variables.insert("SIGNER_URL".to_owned(), signer.url().to_owned());
        self.services.insert("signer", signer);
    }

    /// Runs the loop of the runner until it reports on a round.
    fn run_runner(&self, line: &str) {
        let mut runner = self.program(&shlex::split(line).unwrap());
        runner.args(["--json", "--metrics", "127.0.0.1:0"]).env("BB_RUNNER_ON_STARTUP", "1");
        let mut runner = RoundLoop::start(runner);
        runner.next_report_of("main");
        assert!(runner.terminate().0.success(), "{line}");
    }

    /// Runs one epoch of the validator, with a score for the miner.
    fn run_validator(&mut self, line: &str) {
        let scores = || async {
            Json(json!({ "scores": [{ "miner_hotkey": BOB, "challenge_mean_score": 0.5 }] }))
        };
        let scores = InferenceServer::serve(Router::new().fallback(scores));
        let mut validator = self.program(&shlex::split(line).unwrap());
        validator
            .args(["--once", "--json"])
            .env("BB_SUBMIT_API_URL", scores.url().trim_end_matches("/v1"));
        let report = document(&validator.output().unwrap());
        assert_eq!(
            (&report["decision"], &report["success"]),
            (&json!("scored"), &json!(true)),
            "{report}"
        );
        self.variables.clear();
    }

    /// Runs a command for a chute against the test's servers.
    fn run_with_accounts(&self, line: &str, extra_args: &[&str]) {
        let mut command = self.program(&shlex::split(line).unwrap());
        let output = with_accounts(command.args(extra_args), &self.cloud).output().unwrap();
        assert!(output.status.success(), "{line}: {}", stderr(&output));
    }

    /// Runs a line with Chutes' own program or Docker, if the program is installed.
    fn run_chutes(&mut self, line: &str) {
        let Some(chutes) = &self.chutes else { return };
        if line.contains("chutes register ") {
            chutes.run_successfully(
                &format!("{line} --wallets-path wallets"),
                "y\n",
                Some(&self.cloud),
            );
        } else if line.contains("chutes run ") {
            self.running = Some(chutes.serve());
        } else if let Some(package) = line.strip_prefix("pip install -U ") {
            // Installed, in an environment without pip.
            let check =
                format!("python -c 'import importlib.metadata as m; m.version(\"{package}\")'");
            chutes.run_successfully(&check, "", None);
        } else {
            chutes.run_successfully(line, "y\n", None);
        }
    }

    /// Calls the chute of an earlier line, which listens on a free port.
    fn ping_local(&self, line: &str) {
        let Some(running) = &self.running else { return };
        let mut command = self.program(&shlex::split(line).unwrap());
        let output = with_accounts(command.arg(running.url()), &self.cloud).output().unwrap();
        assert!(output.status.success(), "{line}: {}", stderr(&output));
    }

    /// Runs a line of the guide.
    fn follow(&mut self, line: &str) {
        let words = shlex::split(line).unwrap();
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        match words.as_slice() {
            ["tao", "wallet", "new-coldkey", ..] => {
                self.run(&format!("{line} --no-use-password --mnemonic-file cold.txt"));
            }
            ["tao", "wallet", "new-hotkey", ..] => {
                let mut command =
                    self.program(&words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>());
                let wallet_document = document(
                    &command.args(["--mnemonic-file", "hot.txt", "--json"]).output().unwrap(),
                );
                wallet_document["hotkey"]["address"].as_str().unwrap().clone_into(&mut self.hotkey);
            }
            ["tao", "register", ..] => {
                self.run("tao wallet faucet --wallet-name my-wallet --amount 5000");
                self.run(&format!("{line} --yes"));
            }
            ["tao", "demo", ..] | ["bb", "text", "train", ..] | ["echo", .., ">>", ".env"] => {
                self.run(line);
            }
            ["tao", "dashboard", ..] => {
                let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
                let dashboard = Daemon::start(&mut self.program(&words));
                let [overview, text] =
                    ["/", "/text"].map(|path| axon::get(host_and_port(&dashboard), path));
                assert!(
                    overview.contains("Text contest") && !overview.contains("unavailable"),
                    "{overview}"
                );
                assert!(text.contains("small-talk"), "{text}");
                assert!(dashboard.terminate().success());
            }
            ["bb", "miner", .., "--lm", "hub:openai-community/gpt2", "--model", _, _, _, _, _] => {
                drop(self.serve_miner(line, "openai-community/gpt2"));
            }
            ["bb", "miner", .., "--lm", "my_model", "--model", _, _, _, _, _] => {
                drop(self.serve_miner(line, "my_model"));
            }
            ["bb", "miner", "--contest", "text", "--backend-url", ..] => {
                drop(self.serve_miner(line, "gpt2"));
            }
            ["bb", "miner", "--contest", "text", "--model", ..] => {
                let miner = self.serve_miner(line, "n-gram");
                self.services.insert("miner", miner);
            }
            ["bb", "test-miner", ..] => {
                let line = line.replace("http://127.0.0.1:8091", self.services["miner"].url());
                assert!(line.contains(BOB), "{line}");
                self.run(&line);
            }
            ["MINER_DEV_MODE=1", "bb", "miner", ..] => {
                self.variables.insert("MINER_DEV_MODE".to_owned(), "1".to_owned());
                let miner =
                    self.serve_miner(line.trim_start_matches("MINER_DEV_MODE=1 "), "n-gram");
                self.variables.remove("MINER_DEV_MODE");
                self.services.insert("unsigned", miner);
            }
            ["curl", "http://127.0.0.1:8091/healthz"] => {
                let response = axon::get(host_and_port(&self.services["unsigned"]), "/healthz");
                assert!(response.contains(r#""status":"healthy""#), "{line}: {response}");
            }
            ["curl", "--json", data, "http://127.0.0.1:8091/predict"] => {
                let response =
                    axon::post(host_and_port(&self.services["unsigned"]), "/predict", data);
                assert!(response.starts_with("HTTP/1.1 200"), "{line}: {response}");
            }
            ["bb", "register-axon"] => {
                self.run(&format!("{line} --yes"));
                let metagraph = self.chain.run_json(&["metagraph", BABELBIT]);
                let is_ours = |neuron: &&Value| neuron["hotkey"] == self.hotkey;
                let neuron = metagraph["neurons"].as_array().unwrap().iter().find(is_ours).unwrap();
                assert_eq!(neuron["axon"]["address"], "203.0.113.7:8091", "{line}");
            }
            ["bb", "engine", "dialogues.json", "--listen", _] => {
                let engine = Daemon::start(
                    &mut self.program(&["bb", "engine", "dialogues.json"].map(str::to_owned)),
                );
                self.services.insert("engine", engine);
            }
            ["bb", "runner", "--contest", "text", "--once", ..] => self.play(line),
            ["bb", "runner", ..] => {
                self.start_validators_daemons();
                self.run_runner(line);
            }
            ["bb", "validate", ..] => self.run_validator(line),
            // The servers of the test have their own accounts.
            ["export", pairs @ ..]
                if pairs.iter().any(|pair| pair.starts_with("CHUTES_API_KEY=")) => {}
            ["export", pairs @ ..] => {
                let pairs = pairs.iter().map(|pair| pair.split_once('=').unwrap());
                self.variables
                    .extend(pairs.map(|(name, value)| (name.to_owned(), value.to_owned())));
            }
            ["chutes" | "chmod" | "docker" | "pip", ..]
            | ["CHUTES_EXECUTION_CONTEXT=REMOTE", "chutes", "run", ..] => {
                self.run_chutes(line);
            }
            ["bb", "ping-chute", .., "--local"] => self.ping_local(line),
            // The servers of the test expect the files of another model.
            ["bb", "push", ..] => {
                let line = line.replace("my_model", &model(self.folder.path()));
                self.run_with_accounts(&line, &["--yes", "--model", "al/Babelbit-default"]);
            }
            ["bb", "delete-chute", ..] => self.run_with_accounts(line, &["--yes"]),
            ["bb", "generate-chute-script" | "chute-slug" | "ping-chute" | "chute-logs", ..] => {
                self.run_with_accounts(line, &[]);
            }
            _ => panic!("the test does not run this line of the guide: {line}"),
        }
    }
}

#[test]
fn text_miner_guide_works() {
    let lines = lines();
    assert!(lines.len() > 25, "{lines:#?}");
    let mut walkthrough = Walkthrough::start();
    for line in lines {
        walkthrough.follow(&line);
    }
    assert_eq!(walkthrough.services.len(), 5);
    assert!(walkthrough.folder.path().join("my_chute.py").exists());
    assert_eq!(walkthrough.chutes.is_some(), walkthrough.running.is_some());
}
