//! `tao prompting` and `tao prompt`: the demonstration, and a question to a real miner.

// The published address of its miner exists on Linux only.
#[cfg(target_os = "linux")]
mod evidence;
#[cfg(target_os = "linux")]
mod kills;

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpListener};
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::chain::{ALICE, BABELBIT, BOB, Chain};
use crate::support::{Daemon, Terminal, document, refusal, stderr, tao, write_checkpoint};

const QUESTION: &str = "What is the capital of Texas?";

fn number(miner: &Value, field: &str) -> f64 {
    miner[field].as_f64().unwrap_or_else(|| panic!("{field}: {miner}"))
}

#[test]
fn good_miner_earns_most_and_useless_miners_nothing() {
    let demo = document(&tao().args(["prompting", "demo", "--once", "--json"]).output().unwrap());
    assert_eq!(demo["schema"], "taonet.prompting-demo/1");
    assert_eq!(demo["steps"], 5);
    assert_eq!(demo["weights_recomputed"], true, "{demo}");
    let miner = |name: &str| {
        demo["miners"].as_array().unwrap().iter().find(|miner| miner["name"] == name).unwrap()
    };
    let earned =
        |name: &str| ["weight", "incentive", "emission"].map(|field| number(miner(name), field));
    for name in ["short", "slow"] {
        for (most, less) in earned("good").into_iter().zip(earned(name)) {
            assert!(most > less && less > 0.0, "{name}: {demo}");
        }
        assert!(number(miner("good"), "gate") > number(miner(name), "gate"), "{name}: {demo}");
    }
    for name in ["parrot", "silent"] {
        assert!(earned(name).iter().all(|earned| *earned < f64::MIN_POSITIVE), "{name}: {demo}");
    }
    assert_eq!(miner("parrot")["completion"], demo["question"]);
    assert!(miner("silent")["error"].as_str().unwrap().contains("timeout"), "{demo}");
}

/// Columns: options · what the error names
#[test]
fn contradictory_options_are_refused() {
    for (extra_args, message) in [
        (&["--scoring", "shapley"][..], "--judge-model"),
        (&["--scoring", "shapley", "--judge-model", "model.gguf", "--topk", "3"], "--topk"),
        (
            &["--scoring", "shapley", "--judge-model", "model.gguf", "--base-prompt", "Answer."],
            "--base-prompt",
        ),
        (
            &[
                "--scoring",
                "shapley",
                "--judge-model",
                "model.gguf",
                "--reward-weights",
                "length=3",
            ],
            "--reward-weights",
        ),
        (&["--random", "3"], "--topk"),
        (&["--momentum", "0.5"], "--topk"),
        (&["--topk", "3", "--momentum", "1"], "expected a number from 0 to below 1"),
        (&["--topk", "3", "--learning-rate", "0"], "expected a number above 0"),
    ] {
        let mut command = tao();
        command.args([
            "prompting",
            "validator",
            "--netuid",
            "59",
            "--questions",
            "questions.jsonl",
        ]);
        command.args(["--key-uri", "//Alice", "--network", "local"]).args(extra_args);
        let error = refusal(&command.output().unwrap(), 2);
        assert!(error.contains(message), "{error}");
    }
}

/// Columns: value of --questions · further options · exit code · what the error says
#[test]
fn questions_that_cannot_be_verified_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let (hash, text) = ("0".repeat(64), folder.path().join("questions.txt"));
    std::fs::write(&text, "A passage about Texas. ".repeat(9)).unwrap();
    let server = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/questions.jsonl", server.local_addr().unwrap());
    let cid = "bafybeigdyrzt5sfp7udm7hu76uh7y26nf3efuylqabf3oclgtqy55fbzdi";
    let directory_url = format!("http://127.0.0.1:9/ipfs/{cid}?filename=q.jsonl");
    let server_thread = std::thread::spawn(move || {
        let (mut stream, _) = server.accept().unwrap();
        let mut request = [0; 1024];
        // The headers of a request arrive in one piece.
        assert!(stream.read(&mut request).unwrap() > 0);
        stream
            .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\n{}")
            .unwrap();
    });
    for (questions, options, code, message) in [
        (
            text.to_str().unwrap(),
            &["--questions-sha256", &hash][..],
            2,
            "--questions-sha256 is for a URL",
        ),
        (url.as_str(), &[], 2, "set --questions-sha256"),
        (url.as_str(), &["--questions-sha256", "ab"], 2, "expected 64 hex digits"),
        (directory_url.as_str(), &[], 1, "codec dag-pb"),
        (
            url.as_str(),
            &["--questions-sha256", &hash],
            1,
            "has other content: expected SHA-256 000",
        ),
    ] {
        let mut command = tao();
        command.args([
            "prompting",
            "validator",
            "--netuid",
            "59",
            "--key-uri",
            "//Alice",
            "--network",
            "local",
        ]);
        command
            .args(["--questions", questions, "--state"])
            .arg(folder.path().join("state"))
            .args(options);
        let error = refusal(&command.env("no_proxy", "*").output().unwrap(), code);
        assert!(error.contains(message), "{questions} {options:?}: {error}");
    }
    server_thread.join().unwrap();
}

#[test]
fn gate_of_another_embedder_is_refused_with_a_hint() {
    let folder = tempfile::tempdir().unwrap();
    let (gate, miners) = (folder.path().join("gate.json"), folder.path().join("miners.txt"));
    let text =
        r#"{"version": 1, "embedder": "other", "draws": 7, "gate": {"dimensions": 3, "rows": {}}}"#;
    std::fs::write(gate, text).unwrap();
    std::fs::write(&miners, format!("{BOB}@127.0.0.1:9\n")).unwrap();
    let mut command = tao();
    command.args([
        "prompt",
        QUESTION,
        "--embedder",
        "words",
        "--key-uri",
        "//Alice",
        "--network",
        "local",
    ]);
    let output =
        command.arg("--miners").arg(miners).arg("--state").arg(folder.path()).output().unwrap();
    let error = refusal(&output, 2);
    assert!(error.contains("hint: set --embedder as for the validator"), "{error}");
}

#[test]
fn empty_question_is_refused() {
    let output =
        tao().args(["prompt", "", "--netuid", "59", "--key-uri", "//Alice"]).output().unwrap();
    let error = refusal(&output, 2);
    assert!(error.contains("a value is required for '<TEXT>...'"), "{error}");
}

/// Columns: options · what the error names
#[test]
fn unusable_source_of_completions_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let empty = folder.path().join("answers.jsonl");
    std::fs::write(&empty, "").unwrap();
    let empty = empty.to_str().unwrap();
    // Nothing listens on the discard port.
    for (options, message) in [
        (["--canned", empty], "is empty"),
        (
            ["--backend-url", "http://127.0.0.1:9/v1"],
            "cannot list the models of the server of --backend-url",
        ),
    ] {
        let mut command = tao();
        command.args([
            "prompting",
            "miner",
            "--netuid",
            "59",
            "--key-uri",
            "//Bob",
            "--network",
            "local",
        ]);
        command.args(["--listen", "127.0.0.1:0"]).args(options);
        let output = command.output().unwrap();
        assert!(
            !output.status.success() && stderr(&output).contains(message),
            "{}",
            stderr(&output)
        );
    }
}

#[test]
fn prompting_miner_reports_address_in_use_with_hint() {
    let folder = tempfile::tempdir().unwrap();
    let answers = folder.path().join("answers.jsonl");
    std::fs::write(&answers, r#"{"question": "Who?", "answer": "You."}"#).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let mut command = tao();
    command.args(["prompting", "miner", "--netuid", "59", "--key-uri", "//Bob"]);
    command.args(["--network", "local", "--listen", &address, "--canned"]).arg(&answers);
    let error = refusal(&command.env("XDG_STATE_HOME", folder.path()).output().unwrap(), 1);
    let expected = format!("cannot listen on {address}");
    assert!(error.contains(&expected) && error.contains("check that the port is free"), "{error}");
}

/// Returns a command that asks a miner in a file.
fn prompt_command(chain: &Chain, address: &str) -> Command {
    let miners = chain.path("miners.txt");
    std::fs::write(&miners, format!("# The only one\n{BOB}@{address}\n")).unwrap();
    let mut command = tao();
    command.args([
        "prompt",
        QUESTION,
        "--embedder",
        "words",
        "--key-uri",
        "//Alice",
        "--network",
        chain.url(),
    ]);
    command.arg("--miners").arg(miners);
    command
}

/// Asks a miner in a file.
fn prompt(chain: &Chain, address: &str, extra_args: &[&str]) -> Output {
    prompt_command(chain, address).args(extra_args).output().unwrap()
}

/// Starts a chain on which Bob is a miner, and Alice has a validator permit.
fn chain_with_permit() -> Chain {
    let chain = Chain::with(&["--block-time", "50ms"]);
    chain.alice(&["register", "--netuid", BABELBIT, "--hotkey-ss58", BOB, "--yes"]);
    chain.alice(&["register", "--netuid", BABELBIT, "--hotkey-ss58", ALICE, "--yes"]);
    let stake = [
        "stake",
        "add",
        "1000",
        "--netuid",
        BABELBIT,
        "--hotkey-ss58",
        ALICE,
        "--no-limit",
        "--yes",
    ];
    chain.alice(&stake);
    // The permit is granted at the first epoch after staking.
    chain.mine_to_epoch(BABELBIT);
    chain
}

/// Returns the command of a neuron of a chain: a miner or a validator.
fn neuron(chain: &Chain, kind: &str, key: &str) -> Command {
    let mut command = tao();
    command.args(["prompting", kind, "--netuid", BABELBIT, "--key-uri", key]);
    command.args(["--network", chain.url()]);
    command
}

/// Starts Bob's miner.
fn start_miner(chain: &Chain, option: &str, path: &Path) -> Daemon {
    Daemon::start(neuron(chain, "miner", "//Bob").arg(option).arg(path))
}

/// A model with random weights generates the same tokens each time.
#[test]
fn tokens_of_a_model_are_streamed() {
    let chain = chain_with_permit();
    let model = chain.path("model");
    write_checkpoint(&model);
    let miner = start_miner(&chain, "--model", &model);
    let address = miner.url().split_once("://").unwrap().1;
    let complete = document(&prompt(&chain, address, &["--json"]));
    let complete = complete["completion"].as_str().unwrap();
    assert!(!complete.is_empty());
    let stream_output = prompt(&chain, address, &["--stream"]);
    assert_eq!(
        String::from_utf8_lossy(&stream_output.stdout).trim(),
        complete,
        "{}",
        stderr(&stream_output)
    );

    // Other tests keep the machine busy at times, so that some runs are slower.
    let times: Vec<Duration> = (0..20).map(|_| time_to_first_token(&chain, address)).collect();
    assert!(
        times.iter().any(|time| *time < Duration::from_millis(300)),
        "first tokens after {times:?}"
    );
}

/// Without a terminal or with `--limit`, the best completion of all miners is printed.
#[test]
fn completion_is_streamed_to_a_terminal() {
    let chain = chain_with_permit();
    let answers = chain.path("answers.jsonl");
    let answer = "The capital of Texas is Austin.";
    let line = format!("{{\"question\": \"{QUESTION}\", \"answer\": \"{answer}\"}}\n");
    std::fs::write(&answers, line).unwrap();
    let miner = start_miner(&chain, "--canned", &answers);
    let address = miner.url().split_once("://").unwrap().1;
    // The miner twice.
    let line = format!("{BOB}@{address}\n");
    for (extra_args, miners) in [(&[][..], 1), (&["--limit", "2"], 2)] {
        let mut command = prompt_command(&chain, address);
        std::fs::write(chain.path("miners.txt"), line.repeat(2)).unwrap();
        command.args(extra_args);
        let mut terminal = Terminal::start(command);
        terminal.expect(answer);
        terminal.expect(&format!("the best of {miners},"));
        let (status, screen) = terminal.finish();
        assert!(status.success(), "{screen}");
    }
    let mut command = prompt_command(&chain, address);
    std::fs::write(chain.path("miners.txt"), line.repeat(2)).unwrap();
    let piped_output = command.output().unwrap();
    assert!(stderr(&piped_output).contains("the best of 2,"), "{}", stderr(&piped_output));
}

/// Returns the time from the start of `tao prompt --stream` to the first byte of the completion.
fn time_to_first_token(chain: &Chain, address: &str) -> Duration {
    let mut command = prompt_command(chain, address);
    let start = Instant::now();
    let mut child =
        command.arg("--stream").stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut stdout = child.stdout.take().unwrap();
    stdout.read_exact(&mut [0]).unwrap();
    let first = start.elapsed();
    // The rest: a closed pipe would end the program early.
    std::io::copy(&mut stdout, &mut std::io::sink()).unwrap();
    child.wait().unwrap();
    first
}

#[test]
fn question_is_sent_to_a_miner_of_the_chain() {
    let chain = chain_with_permit();
    let answers = chain.path("answers.jsonl");
    let lines = "{\"question\": \"What is the capital of Texas?\", \"answer\": \"The capital of Texas is Austin.\"}\n";
    std::fs::write(&answers, lines).unwrap();
    let miner = start_miner(&chain, "--canned", &answers);
    let address = miner.url().split_once("://").unwrap().1;

    let answered = document(&prompt(&chain, address, &["--json"]));
    assert_eq!(answered["completion"], "The capital of Texas is Austin.");
    assert_eq!(answered["hotkey"], BOB);
    let row = &answered["miners"][0];
    assert!(number(row, "reward") > 0.5 && number(&row["parts"], "relevance") > 0.5, "{answered}");

    let printed = prompt(&chain, address, &[]);
    assert_eq!(String::from_utf8_lossy(&printed.stdout), "The capital of Texas is Austin.\n");
    assert!(
        stderr(&printed).contains(BOB) && stderr(&printed).contains("relevance"),
        "{}",
        stderr(&printed)
    );

    let stream_output = prompt(&chain, address, &["--stream"]);
    assert_eq!(String::from_utf8_lossy(&stream_output.stdout), "The capital of Texas is Austin.\n");
    assert!(
        stderr(&stream_output).contains(BOB) && stderr(&stream_output).contains("relevance"),
        "{}",
        stderr(&stream_output)
    );
    let stream_output = document(&prompt(&chain, address, &["--stream", "--json"]));
    assert_eq!(stream_output["completion"], "The capital of Texas is Austin.");
    let error = refusal(&prompt(&chain, "127.0.0.1:9", &["--stream"]), 1);
    assert!(error.contains("no answer from 1 miner"), "{error}");

    let error = refusal(&prompt(&chain, "127.0.0.1:9", &[]), 1);
    assert!(error.contains("no answer from 1 miner"), "{error}");
}

/// Columns: further texts and their roles · completion of the last text
#[test]
fn conversation_with_roles_is_sent_to_the_miner() {
    let chain = chain_with_permit();
    let answers = chain.path("answers.jsonl");
    let lines = "{\"question\": \"Texas\", \"answer\": \"Austin\"}\n{\"question\": \"Italy\", \"answer\": \"Rome\"}\n";
    std::fs::write(&answers, lines).unwrap();
    let miner = start_miner(&chain, "--canned", &answers);
    let address = miner.url().split_once("://").unwrap().1;
    for (extra_args, completion) in [
        (&["Austin.", "And of Italy?", "--roles", "user,assistant,user"][..], "Rome"),
        (&["Of Italy?", "--roles", "system,user", "--stream"], "Rome"),
        (&["--system", "Be brief about Italy."], "Austin"),
    ] {
        let output = prompt(&chain, address, extra_args);
        assert_eq!(
            String::from_utf8_lossy(&output.stdout).trim(),
            completion,
            "{extra_args:?}: {}",
            stderr(&output)
        );
    }
    let error = refusal(&prompt(&chain, address, &["--roles", "system,user"]), 2);
    assert!(error.contains("--roles has 2 roles for 1 text"), "{error}");
}

/// The miner never answers; the chain's sudo key is not //Alice.
#[test]
fn development_key_is_refused_while_miner_is_queried() {
    let chain = Chain::with(&["--block-time", "50ms"]);
    chain.alice(&["call", "Sudo.set_key", "new=//Bob", "--yes"]);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    for extra_args in [&[][..], &["--stream"]] {
        let error = refusal(&prompt(&chain, &address, extra_args), 2);
        assert!(
            error.contains("a development key, whose secret is public"),
            "{extra_args:?}: {error}"
        );
    }
}

/// The miner closes the connection after a part of its completion.
#[test]
fn error_after_partial_output_starts_a_new_line() {
    let chain = Chain::with(&["--block-time", "50ms"]);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let miner = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        stream.read_exact(&mut [0]).unwrap();
        stream
            .write_all(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n6\r\nAustin\r\n")
            .unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        // The rest of the request: closing the socket before would discard the response.
        std::io::copy(&mut stream, &mut std::io::sink()).ok();
    });
    let output = prompt(&chain, &address, &["--stream"]);
    miner.join().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(String::from_utf8_lossy(&output.stdout), "Austin\n");
    assert!(stderr(&output).starts_with("error: no answer from 1 miner"), "{}", stderr(&output));
}
