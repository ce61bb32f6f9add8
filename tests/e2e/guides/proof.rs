//! The proof guide, docs/proof.md: every command of its blocks runs, in order, on one machine
//! with a local chain.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use axum::Router;
use axum::extract::Request;
use axum::http::StatusCode;
use serde_json::Value;
use taonet_objects::testing::{self, BUCKET, S3Server};
use taonet_objects::{ObjectStorage, S3Addressing, S3Settings};
use taonet_settings::Secret;
use tokio::runtime::Runtime;

use super::BOB;
use super::machine::{GuideMachine, Process};
use crate::support::{Daemon, document, free_address, repository};

/// Returns the lines of each block without a language, without comments.
fn blocks() -> Vec<Vec<String>> {
    let guide = fs::read_to_string(repository("docs/proof.md")).unwrap();
    let blocks =
        guide.split("\n```").skip(1).step_by(2).filter_map(|block| block.strip_prefix('\n'));
    let code = |line: &str| line.split_once(" #").map_or(line, |(line, _)| line).trim().to_owned();
    blocks.map(|block| block.lines().map(code).collect()).collect()
}

/// Servers of a directory of circuits: a web server and a bucket.
struct CircuitServers {
    runtime: Runtime,
    url: String,
    bucket: Option<(S3Server, S3Settings)>,
}

impl CircuitServers {
    /// Serves files of a directory by their names.
    fn serve(root: PathBuf) -> Self {
        let runtime = Runtime::new().unwrap();
        let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let routes = Router::new().fallback(move |request: Request| {
            let file = root.join(request.uri().path().trim_start_matches('/'));
            async move { fs::read(file).map_err(|_| StatusCode::NOT_FOUND) }
        });
        runtime.spawn(async move { axum::serve(listener, routes).await.unwrap() });
        Self { runtime, url, bucket: None }
    }

    /// Uploads a directory to a bucket under the prefix `circuits/`.
    fn upload(&mut self, root: &Path) {
        let server = self.runtime.block_on(S3Server::start());
        let settings = testing::settings(&server.url, S3Addressing::Path);
        let storage = ObjectStorage::open(&settings).unwrap();
        let mut folders = vec![root.to_owned()];
        while let Some(folder) = folders.pop() {
            for path in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
                if path.is_dir() {
                    folders.push(path);
                    continue;
                }
                let name = path.strip_prefix(root).unwrap().to_str().unwrap();
                self.runtime.block_on(storage.upload(&format!("circuits/{name}"), &path)).unwrap();
            }
        }
        self.bucket = Some((server, settings));
    }
}

/// A model, an input and an external program under the names that the guide uses.
fn prepare(machine: &GuideMachine) {
    let directory = machine.directory();
    symlink(repository("models"), directory.join("models")).unwrap();
    let sample = fs::read(repository("models/digits-mlp/sample.json")).unwrap();
    let input = serde_json::from_slice::<Value>(&sample).unwrap()["inputs"][0].clone();
    fs::write(directory.join("input.json"), input.to_string()).unwrap();
    fs::write(directory.join("sample.json"), sample).unwrap();
    fs::copy(repository("models/digits-mlp/model.onnx"), directory.join("model.onnx")).unwrap();
    for program in ["prover", "other-prover"] {
        fs::copy(repository("subnets/proof/backends/examples/rerun.py"), directory.join(program))
            .unwrap();
    }
}

/// A guide in progress.
struct Walkthrough {
    machine: GuideMachine,
    servers: CircuitServers,
    /// Miners so far. All serve until the end.
    miners: Vec<Daemon>,
    /// Address of the user API.
    api: String,
    /// The validator with the user API, once it is started. It serves until the end.
    validator: Option<Process>,
    /// Id of the user's last proof.
    proof: String,
}

impl Walkthrough {
    /// Returns a line with this machine's names and addresses in place of the guide's placeholders.
    fn with_actual_names(&self, line: &str) -> String {
        let mut line = line
            .replace("HOTKEY", BOB)
            .replace("wss://relay.example:8443", &format!("ws://{}", free_address()));
        let port = self.api.rsplit(':').next().unwrap();
        line = line
            .replace("0.0.0.0:8443", &self.api)
            .replace("localhost:8443", &format!("localhost:{port}"));
        line = line.replace("/v1/proofs/ID", &format!("/v1/proofs/{}", self.proof));
        line = line.replace("https://circuits.example", &self.servers.url);
        line = line.replace("s3://bucket/", &format!("s3://{BUCKET}/"));
        if let Some(miner) = self.miners.last() {
            line = line.replace("127.0.0.1:8091", miner.url().trim_start_matches("http://"));
        }
        if line.contains("CIRCUIT=") {
            // The guide's catalogue has no circuit of the backend `external`: use the directory of
            // this circuit instead.
            line = line.replace("CIRCUIT", &self.id_of("circuit"));
            line = line.replace("--circuit-cache-dir circuits", "--circuit-cache-dir circuit");
        } else if line.contains("CIRCUIT") {
            line = line.replace("CIRCUIT", &self.id_of("circuits/one"));
        }
        line
    }

    /// Identity of the circuit in a directory.
    fn id_of(&self, directory: &str) -> String {
        let inspect = ["tao", "proof", "inspect", directory, "--json"].map(str::to_owned);
        document(&self.machine.command(&inspect).output().unwrap())["id"]
            .as_str()
            .unwrap()
            .to_owned()
    }

    fn run(&mut self, line: &str) {
        let machine = &self.machine;
        let actual = self.with_actual_names(line);
        let (actual, file) =
            actual.split_once(" > ").map_or((&*actual, None), |(line, file)| (line, Some(file)));
        let mut words = machine.words(actual);
        let output = match [&words[0], &words[1], &words[2]].map(String::as_str) {
            // Another test runs this command: `proof::market`.
            ["tao", "proof", "demo"] if line.contains("--json") => String::new(),
            ["tao", "proof", "demo"] => {
                let report = machine.run(actual);
                for part in [
                    "groth16",
                    "honest",
                    "wrong-output",
                    "copy",
                    "\" Austin.\"",
                    "Every proof was verified.",
                ] {
                    assert!(report.contains(part), "{part}: {report}");
                }
                report
            }
            ["tao", "proof", "miner"] => {
                self.serve(line, words);
                String::new()
            }
            ["tao", "proof", "validator"] if line.contains("--api ") => {
                // Without a chain, with the miner that the guide tests before it registers.
                let miner = self.miners.last().unwrap().url().trim_start_matches("http://");
                let peer = format!("{BOB}@{miner}");
                words.extend(
                    ["--loopback", "--key-uri", "//Alice", "--peer", &peer].map(str::to_owned),
                );
                self.validator = Some(machine.start_validator(&words, "user API at https://"));
                // The input of its circuit.
                let sample =
                    fs::read(repository("models/diabetes-regression/sample.json")).unwrap();
                let input = serde_json::from_slice::<Value>(&sample).unwrap()["inputs"][0].clone();
                fs::write(machine.directory().join("input.json"), input.to_string()).unwrap();
                String::new()
            }
            ["tao", "proof", "validator"] if !line.contains("--requests") => {
                machine.run_validator(&words);
                String::new()
            }
            ["tao", "proof", "catalogue"] => {
                let output = machine.run(actual);
                self.servers.upload(&machine.directory().join("circuits"));
                output
            }
            ["tao", ..] => machine.run(actual),
            ["curl", ..] => {
                let output = machine.run_shell(actual);
                self.check_response(line, &output);
                output
            }
            ["cp" | "printf", ..] => machine.run_shell(actual),
            // Tests of crates/cli verify the units and the services.
            ["sudo", "systemctl", "enable"] => {
                let unit = words.last().unwrap();
                assert!(repository("systemd").join(format!("{unit}.service")).is_file(), "{line}");
                String::new()
            }
            ["docker", "compose", "up"] => {
                let services = fs::read_to_string(repository("compose.yml")).unwrap();
                assert!(services.contains(&format!("\n  {}:\n", words.last().unwrap())), "{line}");
                String::new()
            }
            _ => panic!("unknown program in {line}"),
        };
        if let Some(file) = file {
            fs::write(self.machine.directory().join(file), output).unwrap();
        }
    }

    /// Starts a miner.
    fn serve(&mut self, line: &str, mut words: Vec<String>) {
        let machine = &self.machine;
        if !words.iter().any(|word| word == "--listen") {
            words.extend(["--listen", "127.0.0.1:0"].map(str::to_owned));
        }
        let mut command = machine.command(&words);
        if line.contains("--catalogue") {
            command.env(
                "SN2_CIRCUIT_CACHE_DIR",
                machine.directory().join(format!("cache-{}", self.miners.len())),
            );
        }
        if let Some((server, settings)) = &self.servers.bucket {
            let exposed = |secret: &Option<Secret>| secret.as_ref().unwrap().expose().to_owned();
            command.env("S3_ENDPOINT_URL", server.url.as_str());
            command.env("S3_ACCESS_KEY_ID", exposed(&settings.access_key_id));
            command.env("S3_SECRET_ACCESS_KEY", exposed(&settings.secret_access_key));
        }
        self.miners.push(Daemon::launch(&mut command));
    }

    /// Checks the response to a user's request, and notes the id of a new proof.
    fn check_response(&mut self, line: &str, response: &str) {
        let path = line.split("localhost:8443").nth(1).unwrap();
        let json = || {
            serde_json::from_str::<Value>(response)
                .unwrap_or_else(|error| panic!("{line}: {error}: {response}"))
        };
        match path {
            "/v1/circuits" => assert_eq!(json()["circuits"][0]["id"], self.id_of("circuits/one")),
            "/v1/proofs" => json()["id"]
                .as_str()
                .unwrap_or_else(|| panic!("{response}"))
                .clone_into(&mut self.proof),
            "/v1/proofs/ID/events" => {
                // The stream ends with the proof.
                assert!(response.contains("event: progress\n"), "{response}");
                let end =
                    response.split("event: end\n").nth(1).unwrap_or_else(|| panic!("{response}"));
                assert!(end.contains(r#""status":"done""#), "{response}");
            }
            "/v1/proofs/ID" => assert_eq!(json()["status"], "done", "{response}"),
            "/v1/proofs/ID/bundle" => {}
            _ => panic!("unknown request in {line}"),
        }
    }
}

#[test]
fn proof_guide_works() {
    let machine = GuideMachine::new(&["default"]);
    prepare(&machine);
    let servers = CircuitServers::serve(machine.directory().join("circuits"));
    let (api, proof) = (free_address(), String::new());
    let mut walkthrough =
        Walkthrough { machine, servers, miners: Vec::new(), api, validator: None, proof };
    let blocks = blocks();
    assert!(blocks.len() >= 15, "{blocks:#?}");
    for line in blocks.iter().flatten() {
        if !line.is_empty() {
            walkthrough.run(line);
        }
    }
    assert!(walkthrough.miners.len() >= 6);
    // The user has verified a proof.
    assert!(
        !walkthrough.proof.is_empty()
            && walkthrough.machine.directory().join("bundle.json").is_file()
    );
    walkthrough.validator.expect("the guide serves users").stop();
    for miner in walkthrough.miners {
        assert!(miner.terminate().success());
    }
}
