//! The checks at the start of daemons: disks, and the clock against the chain.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use taonet_database::testing::{Nats, Postgres};

use crate::chain::{BABELBIT, BOB, Chain};
use crate::support::{Daemon, free_address, local_bb, repository, require_sentence_model, tao};

/// Starts a daemon, and waits until its log contains a text.
#[track_caller]
fn assert_logs(command: &mut Command, expected: &str) {
    let log = tempfile::NamedTempFile::new().unwrap();
    let mut child = command.stdout(Stdio::null()).stderr(log.reopen().unwrap()).spawn().unwrap();
    let start = Instant::now();
    let text = loop {
        let text = std::fs::read_to_string(log.path()).unwrap();
        if text.contains(expected) || start.elapsed() > Duration::from_mins(1) {
            break text;
        }
        std::thread::sleep(Duration::from_millis(50));
    };
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(text.contains(expected), "{command:?}: {text}");
}

#[test]
fn daemons_run_pre_flight_checks() {
    let folder = tempfile::tempdir().unwrap();
    let challenge = repository("tests/e2e/data/ferry.json");
    let engine = ["babelbit", "engine", challenge.to_str().unwrap()];
    let nineteen = [
        "nineteen",
        "miner",
        "--no-metagraph",
        "--task",
        "chat-a",
        "--backend-url",
        "http://127.0.0.1:9/v1",
    ];
    let daemons = [
        (&["axon", "serve"][..], Some("--replay-log")),
        (&["babelbit", "miner", "--profile", "parrot"], Some("--replay-log")),
        (&nineteen, Some("--replay-log")),
        (&["localnet", "start", "--block-time", "manual"], Some("--data")),
        // It writes nothing: only its clock is checked.
        (&engine, None),
    ];
    let started = daemons.into_iter().enumerate().map(|(number, (arguments, path))| {
        let mut command = tao();
        command
            .env("BITTENSOR_SUBTENSOR_ENDPOINT", "local")
            .env("BB_DEV_MODE", "1")
            .env("HOME", folder.path());
        command.arg("-vv").args(arguments);
        if let Some(path) = path {
            command.arg(path).arg(folder.path().join(number.to_string()));
        }
        if path == Some("--replay-log") {
            command.args(["--key-uri", "//Bob"]);
        }
        (arguments, Daemon::start(&mut command))
    });
    for (arguments, daemon) in started.collect::<Vec<_>>() {
        let start = Instant::now();
        while !daemon.log().contains("pre-flight: ") {
            assert!(start.elapsed() < Duration::from_mins(1), "{arguments:?}: {}", daemon.log());
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

/// These daemons write nothing, and have no connection to the chain but for this check.
#[test]
fn daemons_report_clock_check_without_chain() {
    let unused_address = free_address();
    let mut scorer = local_bb();
    scorer
        .args(["-v", "scorer", "--metrics", "127.0.0.1:0"])
        .env("NATS_URL", format!("nats://{unused_address}"));
    scorer
        .env("DATABASE_URL", format!("postgres://scorer@{unused_address}/scorer"))
        .env("S3_BUCKET_NAME", "replies");
    scorer.env("S3_ENDPOINT_URL", format!("http://{unused_address}"));
    let mut commands = vec![scorer];
    let servers = Postgres::start().zip(Nats::start());
    if let Some((postgres, nats)) = &servers {
        let query = ["query", "--key-uri", "//Alice", "--metrics", "127.0.0.1:0"];
        for arguments in [&["entry", "--listen", "127.0.0.1:0"][..], &query] {
            let mut command = tao();
            command
                .env("BITTENSOR_SUBTENSOR_ENDPOINT", "local")
                .env("DATABASE_URL", postgres.url());
            command.env("NATS_URL", nats.url()).args(["-v", "nineteen"]).args(arguments);
            commands.push(command);
        }
    }
    let unreachable = format!("ws://{}", free_address());
    for mut command in commands {
        command.env("BT_CHAIN_ENDPOINT", &unreachable);
        assert_logs(&mut command, "pre-flight: clock not checked: cannot connect to the chain");
    }
}

#[test]
fn each_daemon_of_babelbit_logs_clock_skew() {
    require_sentence_model();
    let chain = Chain::start();
    chain.wallet();
    let unused_url = format!("http://{}", free_address());
    let prepared = |mut command: Command, arguments: &[&str]| {
        command.args(arguments).env("BT_CHAIN_ENDPOINT", chain.url());
        command
            .env("BITTENSOR_SUBTENSOR_ENDPOINT", "local")
            .env("BB_DEV_MODE", "1")
            .env("HOME", chain.path("home"))
            .env("BABELBIT_CACHE_DIR", chain.path("cache"))
            .env("BITTENSOR_WALLET_PATH", chain.path("wallets"));
        for service in
            ["SUBTENSOR_GATEWAY_URL", "SIGNER_URL", "BB_UTTERANCE_ENGINE_URL", "BB_SUBMIT_API_URL"]
        {
            command.env(service, &unused_url);
        }
        command
    };
    let challenge = repository("tests/e2e/data/ferry.json");
    let engine = ["engine", challenge.to_str().unwrap(), "--listen", "127.0.0.1:0"];
    assert_logs(
        &mut prepared(local_bb(), &[&["-v"], &engine[..]].concat()),
        "pre-flight: the clock is ",
    );
    chain.run_json(&["localnet", "advance", "1d", "--network", chain.url()]);
    assert_logs(&mut prepared(local_bb(), &engine), " behind the newest block");
    let axon = ["axon", "serve", "--key-uri", "//Bob", "--listen", "127.0.0.1:0"];
    assert_logs(&mut prepared(tao(), &axon), " behind the newest block");
    // The option with the address, further options, and one with a path of its own.
    let daemons: [(&str, &str, &[&str], &str); 7] = [
        ("subtensor-gateway", "--listen", &[], "--state"),
        ("signer", "--listen", &[], "--audit-log"),
        ("scoring-api", "--listen", &[], "--state"),
        ("arena-gateway", "--listen", &[], "--state"),
        ("miner", "--listen", &["--profile", "parrot"], "--replay-log"),
        ("validate", "--metrics", &[], "--state"),
        ("runner", "--metrics", &[], "--keep"),
    ];
    for (daemon, address, options, path) in daemons {
        let arguments = [&[daemon, address, "127.0.0.1:0"], options].concat();
        let mut command = prepared(local_bb(), &arguments);
        command.arg(path).arg(chain.path(daemon));
        assert_logs(&mut command, " behind the newest block");
    }
}

/// Daemons of the other subnets, which compare the clock with the chain that they use.
#[test]
fn each_daemon_of_other_subnets_logs_clock_skew() {
    let chain = Chain::start();
    chain.alice(&["register", "--netuid", BABELBIT, "--yes", "--hotkey-ss58", BOB]);
    chain.run_json(&["localnet", "advance", "1d", "--network", chain.url()]);
    std::fs::create_dir(chain.path("questions")).unwrap();
    let pair = "{\"question\": \"What is up?\", \"answer\": \"The sky.\"}\n";
    std::fs::write(chain.path("questions/canned.jsonl"), pair).unwrap();
    let prompting_miner = [
        "prompting",
        "miner",
        "--netuid",
        BABELBIT,
        "--listen",
        "127.0.0.1:0",
        "--key-uri",
        "//Bob",
        "--canned",
        "questions/canned.jsonl",
    ];
    let prompting_validator = [
        "prompting",
        "validator",
        "--netuid",
        BABELBIT,
        "--questions",
        "questions",
        "--embedder",
        "words",
        "--key-uri",
        "//Alice",
        "--state",
        "prompting",
    ];
    let nineteen_validator = [
        "nineteen",
        "validator",
        "--checker-url",
        "http://127.0.0.1:9/v1",
        "--listen",
        "127.0.0.1:0",
        "--key-uri",
        "//Alice",
        "--state",
        "nineteen",
    ];
    for arguments in [&prompting_miner[..], &prompting_validator, &nineteen_validator] {
        let mut command = tao();
        command.args(arguments).current_dir(chain.path("")).env("HOME", chain.path("home"));
        command.env("BT_CHAIN_ENDPOINT", chain.url());
        assert_logs(&mut command, " behind the newest block");
    }
}
