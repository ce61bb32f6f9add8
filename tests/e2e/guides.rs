//! Runs the commands of the guides for validators, subnet owners and migration, of the first pages
//! of the book's parts, of the guides for proofs, the text contest, new subnets and text prompting,
//! and of the inference market's walkthrough. The walkthroughs run completely, followed by the
//! chapters on using their services. Commands for installation, systemd and containers are not run;
//! of those, and of all other guides, every line that calls our programs must parse.

mod first_pages;
mod machine;
mod migration;
mod nineteen;
#[cfg(target_os = "linux")]
mod prompting;
mod proof;
mod quickstart;
mod subnet;
mod text;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::{
    Daemon, bb, document, repository, require_sentence_model, shell, stderr, tao,
};

/// Address of each service in the guides, and the variable that sets it if the guide does not.
const SERVICES: [(&str, &str, &str); 7] = [
    ("localnet", "127.0.0.1:9944", "BT_CHAIN_ENDPOINT"),
    ("engine", "127.0.0.1:8000", ""),
    ("scoring-api", "127.0.0.1:8070", ""),
    ("arena-gateway", "127.0.0.1:8060", ""),
    ("miner", "127.0.0.1:8092", ""),
    ("subtensor-gateway", "127.0.0.1:8090", "SUBTENSOR_GATEWAY_URL"),
    ("signer", "127.0.0.1:8080", "SIGNER_URL"),
];

/// Runs the lines of a guide in an empty directory. Services listen on free ports, so that tests
/// can run in parallel; default ports in lines and variables are replaced.
struct Walkthrough {
    folder: TempDir,
    variables: BTreeMap<String, String>,
    services: BTreeMap<&'static str, Daemon>,
}

impl Walkthrough {
    /// Creates a walkthrough in which no line has run.
    fn empty() -> Self {
        Self {
            folder: tempfile::tempdir().unwrap(),
            variables: BTreeMap::new(),
            services: BTreeMap::new(),
        }
    }

    /// Runs the walkthrough of a guide, the block below the heading "Try it on a local chain".
    fn of(guide: &str) -> Self {
        Self::with_files(guide, |_| ())
    }

    /// Like [`Self::of`], with files that `prepare` writes to a directory in place of `..`, from
    /// which the guide copies them.
    fn with_files(guide: &str, prepare: impl Fn(&Path)) -> Self {
        require_sentence_model();
        let mut walkthrough = Self::empty();
        prepare(&walkthrough.path("stack"));
        for line in first_block(guide, "Try it on a local chain").lines() {
            let (line, comment) = line.split_once('#').unwrap_or((line, ""));
            match line.trim() {
                // The test has its own directory.
                "" | "mkdir rehearsal && cd rehearsal" => {}
                line if line.starts_with("cp -r ../") => {
                    walkthrough.run(&line.replace("../", "stack/"));
                }
                line if comment.trim() == "a service" => walkthrough.serve(line),
                line => match line.strip_prefix("export ") {
                    Some(pairs) => walkthrough.export(pairs),
                    None => walkthrough.run(line),
                },
            }
        }
        walkthrough
    }

    /// Runs the first code block of a chapter with replacements. Commands for the host system are
    /// skipped.
    fn run_chapter(&self, guide: &str, chapter: &str, replacements: &[(&str, &str)]) {
        for line in first_block(guide, chapter).lines() {
            let line = line.split_once('#').map_or(line, |(line, _)| line).trim();
            let line = replacements
                .iter()
                .fold(line.to_owned(), |line, (word, other)| line.replace(word, other));
            let mut words = line.split_whitespace();
            match (words.next(), words.next()) {
                (None | Some("cd" | "curl" | "docker"), _) => {}
                (Some("bb"), Some(name))
                    if SERVICES.iter().any(|(service, ..)| *service == name) =>
                {
                    self.start_and_stop(&line);
                }
                _ => self.run(&line),
            }
        }
    }

    /// Starts another service on free ports, and stops it.
    fn start_and_stop(&self, line: &str) {
        let mut listen = "127.0.0.1:0".to_owned();
        let mut command = bb();
        let words = shlex::split(line).unwrap();
        let mut words = words.iter().skip(1);
        while let Some(word) = words.next() {
            let mut free_port =
                || format!("{}:0", words.next().unwrap().rsplit_once(':').unwrap().0);
            match word.as_str() {
                "--listen" => listen = free_port(),
                "--metrics" => drop(command.args(["--metrics", &free_port()])),
                word => drop(command.arg(word)),
            }
        }
        let service = Daemon::start_at(self.prepare(&mut command), &listen);
        assert!(service.terminate().success(), "{line}");
    }

    fn export(&mut self, pairs: &str) {
        let pairs = pairs.split_whitespace().map(|pair| pair.split_once('=').unwrap());
        self.variables.extend(pairs.map(|(name, value)| (name.to_owned(), value.to_owned())));
    }

    /// Replaces default ports by the actual ones.
    fn with_actual_ports(&self, text: &str) -> String {
        SERVICES.iter().fold(text.to_owned(), |text, (name, default_address, _)| {
            match self.services.get(name) {
                Some(service) => {
                    text.replace(default_address, service.url().split_once("://").unwrap().1)
                }
                None => text,
            }
        })
    }

    /// Prepares a command with the directory, the exported variables and the services' URLs.
    fn prepare<'a>(&self, command: &'a mut Command) -> &'a mut Command {
        let services = SERVICES.iter().filter(|(_, _, variable)| !variable.is_empty());
        for (name, _, variable) in services {
            if let Some(service) = self.services.get(name) {
                command.env(variable, service.url());
            }
        }
        command
            .envs(self.variables.iter().map(|(name, value)| (name, self.with_actual_ports(value))));
        command
            .env("XDG_STATE_HOME", self.folder.path().join("state"))
            .current_dir(self.folder.path())
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
        if *name == "subtensor-gateway" {
            service.wait_until_ready();
        }
        self.services.insert(name, service);
    }

    fn run(&self, line: &str) {
        let mut line = self.with_actual_ports(line);
        // Without --network this would be the chain of the default data directory.
        if line.starts_with("tao localnet ") {
            line = format!("{line} --network {}", self.services["localnet"].url());
        }
        let output = self.prepare(&mut shell(&line)).output().unwrap();
        assert!(
            output.status.success(),
            "{line}: {}{}",
            String::from_utf8_lossy(&output.stdout),
            stderr(&output)
        );
    }

    /// JSON output of a command.
    fn run_json(&self, words: &[&str]) -> Value {
        document(&self.prepare(tao().args(words).arg("--json")).output().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }
}

/// Returns the first code block below a heading of a guide.
fn first_block(guide: &str, chapter: &str) -> String {
    let guide = std::fs::read_to_string(repository(guide)).unwrap();
    let section = guide
        .split(&format!("\n## {chapter}\n"))
        .nth(1)
        .unwrap_or_else(|| panic!("no chapter {chapter}"));
    section.split("\n## ").next().unwrap().split("```").nth(1).unwrap().to_owned()
}

/// Returns the only challenge that was played.
fn challenge_in(walkthrough: &Walkthrough) -> String {
    let mut played_challenges = std::fs::read_dir(walkthrough.path("logs/s2s")).unwrap();
    let challenge = played_challenges.next().unwrap().unwrap().file_name().into_string().unwrap();
    assert!(played_challenges.next().is_none());
    challenge
}

const BOB: &str = "5FHneW46xGXgs5mUiveU4sbTyGBzmstUspZC92UhjJM694ty";

#[test]
fn validator_guide_works() {
    let guide = "docs/validator.md";
    let walkthrough = Walkthrough::of(guide);
    assert_eq!(walkthrough.services.len(), 6);
    let weights = walkthrough.run_json(&["weights", "show", "--netuid", "59", "--uid", "1"]);
    assert_eq!(weights["rows"][0]["weights"], json!([[2, 65_535]]), "{weights}");
    assert!(
        std::fs::read_to_string(walkthrough.path("audit.jsonl")).unwrap().contains("set_weights")
    );
    assert!(walkthrough.path("scores/.ledger").is_dir());

    walkthrough.run_chapter(guide, "Monitoring", &[]);
    let hotkey = walkthrough.path("wallets/default/hotkeys/default");
    std::fs::copy(hotkey, walkthrough.path("hotkey")).unwrap();
    walkthrough.run_chapter(guide, "Verify scores", &[("CHALLENGE", &challenge_in(&walkthrough))]);
    std::fs::copy(repository("env.example"), walkthrough.path("env.example")).unwrap();
    walkthrough.run_chapter(guide, "Settings", &[]);
}

#[test]
fn subnet_owner_guide_works() {
    let guide = "docs/subnet-owner.md";
    let walkthrough = Walkthrough::of(guide);
    assert_eq!(walkthrough.services.len(), 7);
    let weights = walkthrough.run_json(&["weights", "show", "--netuid", "60", "--uid", "0"]);
    assert_eq!(weights["rows"][0]["weights"], json!([[1, 65_535]]), "{weights}");

    let challenge = repository("subnets/babelbit/challenges/01-the-late-train.json");
    std::fs::create_dir(walkthrough.path("challenges")).unwrap();
    for copy in ["challenge.json", "challenges/challenge.json"] {
        std::fs::copy(&challenge, walkthrough.path(copy)).unwrap();
    }
    walkthrough.run_chapter(guide, "Challenges", &[("HOTKEY", BOB)]);
    walkthrough.run_chapter(guide, "Scoring API", &[("HOTKEY", BOB)]);
    let hotkey = walkthrough.path("wallets/default/hotkeys/default");
    for copy in ["hotkey", "miner-hotkey"] {
        std::fs::copy(&hotkey, walkthrough.path(copy)).unwrap();
    }
    walkthrough.run_chapter(guide, "Arena", &[("HOTKEY", BOB)]);
    let challenge = challenge_in(&walkthrough);
    walkthrough
        .run(&format!("bb evidence export {challenge} --output challenge.tar --keyfile hotkey"));
    let listed = walkthrough.run_json(&["wallet", "list"]);
    let owner = listed["wallets"][0]["hotkeys"][0]["address"]
        .as_str()
        .unwrap_or_else(|| panic!("{listed}"));
    walkthrough.run_chapter(guide, "Monitoring", &[("HOTKEY", owner)]);
    // The subnet is already created and started, a second one would be rate-limited, and there is
    // no terminal. A longer tempo as on the main network: with short epochs, the owner could never
    // change a hyperparameter.
    walkthrough.run("tao sudo set tempo 360 --netuid 60 --key-uri //Alice --yes");
    let created = [("tao subnets create --dry-run", ""), ("tao subnets start 3", "")];
    let replacements = [created[0], created[1], ("--owner", "--owner --yes"), (" 3", " 60")];
    walkthrough.run_chapter(guide, "On the chain", &replacements);
}

/// The walkthroughs on the first pages of the book's parts; that of validators is in their guide.
#[test]
fn commands_of_first_pages_of_the_book_work() {
    let miner = Walkthrough::of("docs/mine.md");
    assert_eq!(miner.services.len(), 1);
    let owner = Walkthrough::of("docs/build.md");
    let parameters = owner.run_json(&["subnets", "hyperparameters", "60"]);
    assert_eq!(parameters["hyperparameters"]["subnet_is_active"], true);
    let holder = Walkthrough::of("docs/use.md");
    let overview = holder.run_json(&["wallet", "overview"]);
    assert_eq!(overview["neurons"][0]["netuid"], 59, "{overview}");
    assert!(overview["stake_rao"].as_u64() > Some(0), "{overview}");
    // 5000 TAO less payment, registration, stake and fees.
    assert!(overview["free_rao"].as_u64() < Some(4_890_000_000_000), "{overview}");
}

/// Returns every line of a guide that calls our programs, with placeholders filled in.
fn lines_with_our_programs() -> Vec<String> {
    let guides = std::fs::read_dir(repository("docs")).unwrap().map(|entry| entry.unwrap().path());
    let guides = guides.filter(|path| path.extension().is_some_and(|extension| extension == "md"));
    let mut lines = Vec::new();
    for guide in guides.chain([repository("README.md")]) {
        let guide = std::fs::read_to_string(guide).unwrap();
        let blocks = guide.split("\n```").skip(1).step_by(2);
        for line in blocks.flat_map(str::lines) {
            let line = line.split_once(" #").map_or(line, |(line, _)| line).trim();
            let line = line.split_once(" > ").map_or(line, |(line, _)| line);
            let line = line
                .strip_prefix("pm2 start ")
                .map_or_else(|| line.to_owned(), without_pm2_options);
            let line = line
                .replace("HOTKEY", BOB)
                .replace("ADDRESS", BOB)
                .replace("HEX", &"0".repeat(128));
            let line = ["--circuit", "--additional-circuits"].iter().fold(line, |line, option| {
                line.replace(&format!("{option} CIRCUIT"), &format!("{option} {}", "0".repeat(64)))
            });
            if line.starts_with("bb ") || line.starts_with("tao ") {
                lines.push(line);
            }
        }
    }
    lines
}

/// Returns a program with the arguments that PM2 passes on: `bb --name signer -- signer` becomes
/// `bb signer`.
fn without_pm2_options(line: &str) -> String {
    let (program, arguments) =
        (line.split(' ').next().unwrap(), line.split_once(" -- ").map(|(_, passed)| passed));
    format!("{program} {}", arguments.unwrap_or_default())
}

#[test]
fn every_documented_command_line_parses() {
    let lines = lines_with_our_programs();
    assert!(lines.len() > 80, "{lines:#?}");
    for line in lines {
        // Redirections, pipes and the mark of a background process are not part of the command.
        let mut words =
            shlex::split(line.trim_end_matches(" &").split(['|', '>']).next().unwrap()).unwrap();
        let mut command = if words[0] == "tao" { tao() } else { bb() };
        // --help succeeds only if the preceding arguments parse. After `--`, it would be an
        // argument itself.
        let end = words.iter().position(|word| word == "--").unwrap_or(words.len());
        words.insert(end, "--help".to_owned());
        let output = command.args(&words[1..]).output().unwrap();
        assert!(output.status.success(), "{line}: {}", stderr(&output));
    }
}

#[test]
fn systemd_units_of_validator_guide_exist() {
    let block = first_block("docs/validator.md", "Run it with systemd");
    let enabled =
        block.lines().find_map(|line| line.strip_prefix("sudo systemctl enable --now ")).unwrap();
    for unit in enabled.split_whitespace() {
        assert!(repository("systemd").join(format!("{unit}.service")).is_file(), "{unit}");
    }
}
