//! `scripts/suites node`, which the SDK's and btcli's own suites start as their node.

use std::io::{BufRead as _, BufReader, Read as _};
use std::net::TcpStream;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::{document, free_address, repository, tao, terminate};

/// The script, which ends its two nodes when it is terminated.
struct Nodes {
    script: Child,
    /// Kept open so that the nodes can print while they stop.
    _output: BufReader<ChildStdout>,
    ports: [String; 2],
}

impl Nodes {
    /// Starts the nodes on free ports, and waits for the line for which the suites wait.
    fn start(arguments: &[&str]) -> Self {
        let ports = [(); 2].map(|()| free_address().rsplit_once(':').unwrap().1.to_owned());
        let mut command = Command::new(repository("scripts/suites"));
        command
            .arg("node")
            .args(arguments)
            .env("SUITES_PORTS", ports.join(" "))
            .env("TAO", tao().get_program());
        let mut script = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let mut output = BufReader::new(script.stdout.take().unwrap());
        let is_ready =
            output.by_ref().lines().map_while(Result::ok).any(|line| line == "Imported #1");
        let nodes = Self { script, _output: output, ports };
        assert!(is_ready, "{command:?} ended");
        nodes
    }

    fn url(&self, index: usize) -> String {
        format!("ws://127.0.0.1:{}", self.ports[index])
    }

    fn run_json(&self, index: usize, arguments: &[&str]) -> Value {
        document(
            &tao()
                .args(arguments)
                .args(["--network", &self.url(index), "--json"])
                .output()
                .unwrap(),
        )
    }
}

impl Drop for Nodes {
    fn drop(&mut self) {
        if matches!(self.script.try_wait(), Ok(None)) {
            terminate(&self.script);
        }
        let _ = self.script.wait();
    }
}

#[test]
fn suite_node_has_the_reference_network_and_a_follower() {
    for (arguments, millis) in [(&[][..], 250), (&["False"], 12_000)] {
        let nodes = Nodes::start(arguments);
        let [first, follower] = [0, 1].map(|index| nodes.run_json(index, &["localnet", "status"]));
        assert_eq!(
            (&first["block_ms"], &first["leader"]),
            (&json!(millis), &Value::Null),
            "{first}"
        );
        assert!(
            follower["leader"]["url"].as_str().unwrap().contains(&nodes.ports[0]),
            "{follower}"
        );
        assert_eq!(first["genesis"], follower["genesis"]);
        let subnets = nodes.run_json(1, &["subnets", "list"]);
        let netuids: Vec<_> =
            subnets["subnets"].as_array().unwrap().iter().map(|subnet| &subnet["netuid"]).collect();
        assert_eq!(
            netuids,
            [&json!(0), &json!(1)],
            "the genesis block of the reference's local network"
        );
        let ports = nodes.ports.clone();
        drop(nodes);
        let start = Instant::now();
        for port in ports {
            while TcpStream::connect(format!("127.0.0.1:{port}")).is_ok() {
                assert!(
                    start.elapsed() < Duration::from_secs(20),
                    "the node on port {port} outlives the script"
                );
                std::thread::sleep(Duration::from_millis(50));
            }
        }
    }
}
