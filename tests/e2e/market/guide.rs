//! Runs every command of docs/nineteen.md below the walkthrough on a market: files, a miner, a
//! validator on SQLite and on PostgreSQL, a query worker and an entry, keys and purchases.

use std::collections::BTreeMap;
use std::process::Output;

use super::*;
use crate::nineteen::assert_weights_are_reproduced;
use crate::support::{repository, shell, stderr, write_checkpoint};

/// The guide's commands, each with whether it was run.
struct Guide {
    text: String,
    lines: Vec<(String, bool)>,
}

impl Guide {
    fn read() -> Self {
        let text = std::fs::read_to_string(repository("docs/nineteen.md")).unwrap();
        // The tests of guides run the walkthrough.
        let text = text.split_once("\n## Run the demonstration\n").unwrap().1.to_owned();
        let blocks = text.split("\n```").skip(1).step_by(2);
        let lines = blocks.flat_map(str::lines).filter(|line| line.starts_with("tao "));
        let lines = lines.map(|line| (line.to_owned(), false)).collect();
        Self { text, lines }
    }

    /// Takes the lines that begin with these words, in their order.
    fn take(&mut self, start: &str) -> Vec<String> {
        let mut actual = Vec::new();
        for (line, is_taken) in &mut self.lines {
            if line.starts_with(start) && !*is_taken {
                *is_taken = true;
                actual.push(line.clone());
            }
        }
        assert!(!actual.is_empty(), "no line begins with {start}");
        actual
    }
}

/// Returns a line as a command in the network's directory, with words replaced, without `--listen`.
fn command(network: &Network, line: &str, replacements: &[(&str, &str)]) -> Command {
    let line =
        replacements.iter().fold(line.to_owned(), |line, (word, other)| line.replace(word, other));
    let words = shlex::split(&line).unwrap();
    let mut command = tao();
    let mut words = words.iter().skip(1);
    while let Some(word) = words.next() {
        if word == "--listen" {
            words.next();
        } else {
            command.arg(word);
        }
    }
    command.env("BITTENSOR_SUBTENSOR_ENDPOINT", "local").current_dir(network.chain.path(""));
    command
}

/// Runs a line to its end; writes its output to the file that the line redirects it to.
fn run(network: &Network, line: &str, replacements: &[(&str, &str)]) -> Output {
    let (line, file) =
        line.split_once(" > ").map_or((line, None), |(line, file)| (line, Some(file)));
    let output = command(network, line, replacements).output().unwrap();
    assert!(output.status.success(), "{line}: {}", stderr(&output));
    if let Some(file) = file {
        std::fs::write(network.chain.path(file), &output.stdout).unwrap();
    }
    output
}

/// Buys until an answer is complete.
fn wait_for_sales(network: &Network, url: &str, key: &str) {
    let start = Instant::now();
    while !network.runtime.block_on(buy(url.to_owned(), key.to_owned(), Arc::default())).is_complete
    {
        assert!(start.elapsed() < LONG_TIMEOUT, "the market does not open");
        // The key's limit is 120 requests per minute.
        std::thread::sleep(Duration::from_secs(1));
    }
}

/// Runs the guide's commands on files; returns the command for the weights of a validator's period.
fn score_files(network: &Network, guide: &mut Guide) -> String {
    let write = |name: &str, text: &str| std::fs::write(network.chain.path(name), text).unwrap();
    let periods = guide.text.split("```json\n").nth(1).unwrap().split("```").next().unwrap();
    write("periods.json", periods);
    for line in guide.take("tao nineteen period-score") {
        assert!(document(&run(network, &line, &[]))[0].is_number(), "{line}");
    }
    let tables = json!({
        "tasks": [{"task": "X", "weight": 1.0, "enabled": true}],
        "contenders": [{"hotkey": "a", "uid": 9, "task": "X", "capacity": 100}],
        "rewards": [{"task": "X", "hotkey": "a", "quality_score": 1, "metric": 2.0}],
        "period_scores": [{"task": "X", "hotkey": "a", "period_score": 1, "consumed_capacity": 1_000.0}],
    });
    write("tables.json", &tables.to_string());
    let weights = guide.take("tao nineteen weights");
    for line in &weights[..2] {
        assert_eq!(document(&run(network, line, &[]))["weights"], json!([1.0]), "{line}");
    }
    let [weights_of_period] = &weights[2..] else { panic!("{weights:?}") };
    weights_of_period.clone()
}

/// Waits for a closed period with weights; returns its number and the explanation of its weights.
fn wait_for_rewarded_period(network: &Network) -> (u64, Value) {
    let explain = |extra_args: &str| {
        document(&run(
            network,
            &format!("tao nineteen explain --json --state DIR{extra_args}"),
            &[],
        ))
    };
    let start = Instant::now();
    loop {
        // The newest period is open.
        let newest = explain("")["period"].as_u64().unwrap_or(0);
        for period in 1..newest {
            let explained = explain(&format!(" --period {period}"));
            if explained["score_sum"].as_f64() > Some(0.0) {
                return (period, explained);
            }
        }
        assert!(start.elapsed() < LONG_TIMEOUT, "no closed period has weights");
        std::thread::sleep(Duration::from_millis(200));
    }
}

/// Runs the guide's commands that explain, export and recompute the weights of a closed period, and
/// compares these.
fn explain_weights(network: &Network, one_miner: &str, export: &str, recompute: &str) {
    let (period, explained) = wait_for_rewarded_period(network);
    assert_weights_are_reproduced(&explained);
    let miners = explained["miners"].as_array().unwrap();
    // In a later period, nobody may have checked this miner yet.
    run(
        network,
        one_miner,
        &[("--uid 7", &format!("--uid {} --period {period}", miners[0]["uid"]))],
    );
    // The weights of a closed period stay the same, on this machine and on any other.
    run(network, export, &[("--period 12", &format!("--period {period}"))]);
    let weights = document(&run(network, recompute, &[]));
    let weights: BTreeMap<_, _> = weights["uids"]
        .as_array()
        .unwrap()
        .iter()
        .map(Value::as_u64)
        .zip(weights["weights"].as_array().unwrap())
        .collect();
    let earning = miners.iter().filter(|miner| miner["weight"].as_f64() > Some(0.0));
    assert!(earning.clone().count() > 0, "{explained}");
    for miner in earning {
        let (displayed, recomputed) =
            (miner["weight"].as_f64().unwrap(), weights[&miner["uid"].as_u64()].as_f64().unwrap());
        assert!((displayed - recomputed).abs() < 1e-12, "{miner}");
    }
    assert!(
        (weights.values().map(|weight| weight.as_f64().unwrap()).sum::<f64>() - 1.0).abs() < 1e-9
    );
}

/// Returns the line of a validator that counts votes, with unreachable gateways.
fn without_reachable_peers(voting: &str) -> String {
    let [one, two] = [free_address(), free_address()].map(|address| format!("http://{address}"));
    let line = voting.replace("https://one.example", &one).replace("https://two.example", &two);
    assert!(!line.contains(".example"), "{voting}");
    line
}

/// Stops a validator after it has published its vote.
fn assert_votes(network: &Network, validator: Daemon) {
    let url = format!("{}/v1/vote", validator.url());
    let vote = async { reqwest::get(url).await.unwrap().json::<Value>().await.unwrap() };
    let vote = network.runtime.block_on(vote);
    let sum: u64 =
        vote["weights"].as_object().unwrap().values().map(|units| units.as_u64().unwrap()).sum();
    assert!(sum.abs_diff(1_000_000) < 100, "{vote}");
    assert!(validator.terminate().success());
}

#[test]
fn every_command_of_nineteen_guide_runs() {
    let Some(network) = Network::start(3, 0) else { return };
    let mut guide = Guide::read();
    // Another test runs the demonstration.
    guide.take("tao nineteen demo");
    let weights_of_period = score_files(&network, &mut guide);
    let own_tasks = std::fs::read_to_string(network.tasks()).unwrap();
    run(&network, &guide.take("tao nineteen tasks")[0], &[]);
    let default_tasks = std::fs::read_to_string(network.tasks()).unwrap();
    assert!(default_tasks.contains("chat-llama-3-1-8b"));
    let embeddings = guide.text.split("```toml\n").nth(1).unwrap().split("```").next().unwrap();
    std::fs::write(network.chain.path("embeddings.toml"), format!("{default_tasks}\n{embeddings}"))
        .unwrap();
    run(&network, "tao nineteen tasks embeddings.toml", &[]);
    std::fs::write(network.chain.path("tasks.toml"), &own_tasks).unwrap();

    // A miner; the network has others.
    let lines = guide.take("tao nineteen miner");
    let [forwarding, own_model, painting] = lines.as_slice() else { panic!("{lines:?}") };
    let key = "//miner//guide";
    let mut miner = command(&network, forwarding, &[]);
    let miner = Daemon::start(miner.args(["--no-metagraph", "--key-uri", key]));
    let hotkey = Keypair::from_uri(key).unwrap().hotkey().to_string();
    network.chain.alice(&["register", "--netuid", BABELBIT, "--yes", "--hotkey-ss58", &hotkey]);
    let port = format!("--port {}", miner.url().rsplit(':').next().unwrap());
    let netuid = format!("--netuid {BABELBIT}");
    let published =
        [("--netuid 19", &*netuid), ("203.0.113.7", EXTERNAL_IP), ("--port 4001", &*port)];
    for line in guide.take("tao serve-axon") {
        let mut serve = command(&network, &line, &published);
        serve
            .env_remove("BITTENSOR_SUBTENSOR_ENDPOINT")
            .env("BT_CHAIN_ENDPOINT", network.chain.url());
        serve.args(["--key-uri", key, "--yes", "--json"]);
        assert_eq!(document(&serve.output().unwrap())["success"], true, "{line}");
    }
    assert!(miner.terminate().success());
    let mut miner = command(&network, own_model, &[]);
    let refused = miner.args(["--no-metagraph", "--key-uri", key]).output().unwrap();
    assert!(!refused.status.success() && stderr(&refused).contains("DIR"), "{}", stderr(&refused));
    write_checkpoint(&network.chain.path("checkpoint"));
    let mut miner = command(&network, own_model, &[("DIR", "checkpoint")]);
    assert!(Daemon::start(miner.args(["--no-metagraph", "--key-uri", key])).terminate().success());
    let mut miner = command(&network, painting, &[]);
    assert!(Daemon::start(miner.args(["--no-metagraph", "--key-uri", key])).terminate().success());

    // A validator on SQLite, with the miners' models as its checking server.
    let network_url = network.chain.url().replace("http", "ws");
    let checker = format!("{}/v1", network.models.url());
    let on_the_network = [
        "--key-uri",
        "//Alice",
        "--netuid",
        BABELBIT,
        "--allow-private",
        "--network",
        &network_url,
    ];
    let validators = guide.take("tao nineteen validator");
    let [alone, voting, shared] = validators.as_slice() else { panic!("{validators:?}") };
    let start = |line: &str, settings: &[(&str, &str)]| {
        let mut validator = command(&network, line, &[("http://127.0.0.1:8001/v1", &checker)]);
        Daemon::start(
            validator.args(on_the_network).args(["--state", "DIR"]).envs(settings.iter().copied()),
        )
    };
    let validator = start(alone, &[]);
    let [grant, usage] = ["grant", "usage"].map(|verb| {
        let mut lines = guide.take(&format!("tao nineteen keys {verb}"));
        lines.pop().unwrap()
    });
    let creations = guide.take("tao nineteen keys create");
    let [create, in_team] = creations.as_slice() else { panic!("{creations:?}") };
    let teams = guide.take("tao nineteen keys team");
    let [team, teams] = teams.as_slice() else { panic!("{teams:?}") };
    for line in [team, in_team, teams] {
        run(&network, line, &[]);
    }
    let created_key = document(&run(&network, &format!("{create} --json"), &[]));
    let (id, key) = (created_key["id"].as_str().unwrap(), created_key["key"].as_str().unwrap());
    assert!(grant.contains("8f1c02d7a6b35e94"), "{grant}");
    run(&network, &grant, &[("8f1c02d7a6b35e94", id)]);
    wait_for_sales(&network, validator.url(), key);
    let line = guide.text.lines().find(|line| line.starts_with("curl ")).unwrap();
    let line = line.replace("http://127.0.0.1:8091", validator.url()).replace("KEY", key);
    let bought = shell(&line.replace("chat-llama-3-1-8b", TASK)).output().unwrap();
    // 127: curl is not installed.
    if bought.status.code() != Some(127) {
        assert_eq!(document(&bought)["object"], "chat.completion");
    }
    let report = document(&run(&network, &usage, &[]));
    let usages = report["usage"].as_array().unwrap();
    assert!(report["balanced"] == true && !usages.is_empty(), "{report}");
    let explain = guide.take("tao nineteen explain");
    let [one_miner, export] = explain.as_slice() else { panic!("{explain:?}") };
    explain_weights(&network, one_miner, export, &weights_of_period);
    assert!(validator.terminate().success());
    assert_votes(&network, start(&without_reachable_peers(voting), &[]));

    // The same on PostgreSQL, with an entry and a query worker.
    let (database, queue) = (network.postgres.url(), network.nats.url());
    let settings = [("DATABASE_URL", database.as_str()), ("NATS_URL", queue.as_str())];
    let _validator = start(shared, &settings);
    for line in guide.take("tao nineteen keys list") {
        let listed =
            command(&network, &format!("{line} --json"), &[]).envs(settings).output().unwrap();
        assert_eq!(document(&listed), json!([]), "the keys are in the SQLite database");
    }
    let create = create.replace(" --state DIR", " --json");
    let created_key = document(&command(&network, &create, &[]).envs(settings).output().unwrap());
    let metrics = free_address();
    let lines = guide.take("tao nineteen query");
    let mut worker = command(&network, &lines[0], &[]);
    worker
        .args(["--key-uri", "//Alice", "--metrics", &metrics])
        .envs(settings)
        .stdout(Stdio::null());
    let worker = Worker { child: worker.spawn().unwrap(), metrics };
    network.runtime.block_on(worker.wait_until_ready());
    let entry = guide.take("tao nineteen entry");
    let entry = Daemon::start(command(&network, &entry[0], &[]).envs(settings));
    wait_for_sales(&network, entry.url(), created_key["key"].as_str().unwrap());
    let remaining: Vec<_> = guide.lines.iter().filter(|(_, is_taken)| !is_taken).collect();
    assert!(remaining.is_empty(), "{remaining:?}");
}
