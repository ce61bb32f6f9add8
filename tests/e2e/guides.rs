//! The rehearsals of the guides for validators and subnet owners, typed line by line.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Command;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::{Daemon, bb, document, repository, require_models, shell, stderr, tao};

/// Where each service listens as the guides have it, and the variable that says it where nothing in a guide does.
const SERVICES: [(&str, &str, &str); 7] = [
    ("localnet", "127.0.0.1:9944", "BT_CHAIN_ENDPOINT"),
    ("engine", "127.0.0.1:8000", ""),
    ("scoring-api", "127.0.0.1:8070", ""),
    ("arena-gateway", "127.0.0.1:8060", ""),
    ("miner", "127.0.0.1:8092", ""),
    ("subtensor-gateway", "127.0.0.1:8090", "SUBTENSOR_GATEWAY_URL"),
    ("signer", "127.0.0.1:8080", "SIGNER_URL"),
];

/// Somebody who types the lines of a guide in an empty folder. Services take free ports instead of their own, so that
/// tests do not meet; where a line or a variable names such a port, the one taken stands in its place.
struct Rehearsal {
    folder: TempDir,
    variables: BTreeMap<String, String>,
    services: BTreeMap<&'static str, Daemon>,
}

impl Rehearsal {
    /// The block below the heading "A rehearsal" of a guide, done to its end.
    fn of(guide: &str) -> Self {
        require_models();
        let guide = std::fs::read_to_string(repository(guide)).unwrap();
        let section = guide.split("\n## A rehearsal\n").nth(1).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let mut rehearsal = Self { folder, variables: BTreeMap::new(), services: BTreeMap::new() };
        for line in section.split("```").nth(1).unwrap().lines() {
            let (line, comment) = line.split_once('#').unwrap_or((line, ""));
            match line.trim() {
                // The test has its own.
                "" | "mkdir rehearsal && cd rehearsal" => {}
                line if comment.trim() == "a service" => rehearsal.serve(line),
                line => match line.strip_prefix("export ") {
                    Some(pairs) => rehearsal.export(pairs),
                    None => rehearsal.run(line),
                },
            }
        }
        rehearsal
    }

    fn export(&mut self, pairs: &str) {
        let pairs = pairs.split_whitespace().map(|pair| pair.split_once('=').unwrap());
        self.variables.extend(pairs.map(|(name, value)| (name.to_owned(), value.to_owned())));
    }

    /// The text with the ports that were taken.
    fn here(&self, text: &str) -> String {
        SERVICES.iter().fold(text.to_owned(), |text, (name, usual, _)| match self.services.get(name) {
            Some(service) => text.replace(usual, service.url().split_once("://").unwrap().1),
            None => text,
        })
    }

    /// The command in the folder, with what was exported, and where the services are.
    fn prepare<'a>(&self, command: &'a mut Command) -> &'a mut Command {
        let places = SERVICES.iter().filter(|(_, _, variable)| !variable.is_empty());
        for (name, _, variable) in places {
            if let Some(service) = self.services.get(name) {
                command.env(variable, service.url());
            }
        }
        command.envs(self.variables.iter().map(|(name, value)| (name, self.here(value))));
        command.env("XDG_STATE_HOME", self.folder.path().join("state")).current_dir(self.folder.path())
    }

    fn serve(&mut self, line: &str) {
        let words = shlex::split(line).unwrap();
        let mut command = if words[0] == "tao" { tao() } else { bb() };
        command.args(&words[1..]);
        let (name, _, _) = SERVICES.iter().find(|(name, _, _)| *name == words[1]).unwrap();
        if *name == "localnet" {
            command.args(["--block-time", "50ms"]);
        }
        let service = Daemon::start(self.prepare(&mut command));
        self.services.insert(name, service);
    }

    fn run(&self, line: &str) {
        let mut line = self.here(line);
        // Without --network this would be the chain of the usual folder.
        if line.starts_with("tao localnet ") {
            line = format!("{line} --network {}", self.services["localnet"].url());
        }
        let output = self.prepare(&mut shell(&line)).output().unwrap();
        assert!(output.status.success(), "{line}: {}{}", String::from_utf8_lossy(&output.stdout), stderr(&output));
    }

    /// What a command says at the end.
    fn ask(&self, words: &[&str]) -> Value {
        document(&self.prepare(tao().args(words).arg("--json")).output().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }
}

#[test]
fn a_validator_rehearses() {
    let rehearsal = Rehearsal::of("docs/validator.md");
    assert_eq!(rehearsal.services.len(), 6);
    let shown = rehearsal.ask(&["weights", "show", "--netuid", "59", "--uid", "1"]);
    assert_eq!(shown["rows"][0]["weights"], json!([[2, 65_535]]), "{shown}");
    assert!(std::fs::read_to_string(rehearsal.path("audit.jsonl")).unwrap().contains("set_weights"));
    assert!(rehearsal.path("scores/.ledger").is_dir());
}

#[test]
fn a_subnet_owner_rehearses() {
    let rehearsal = Rehearsal::of("docs/subnet-owner.md");
    assert_eq!(rehearsal.services.len(), 7);
    let shown = rehearsal.ask(&["weights", "show", "--netuid", "2", "--uid", "0"]);
    assert_eq!(shown["rows"][0]["weights"], json!([[1, 65_535]]), "{shown}");
}
