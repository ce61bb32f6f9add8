//! `tao nineteen`: scores and weights from files, a miner's routes, a whole market, keys and
//! credits.

mod chat_model;
mod images;
mod keys;
pub(crate) mod migration;
mod topups;

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::StreamExt as _;
use serde_json::{Value, json};
use taonet_nineteen_store::Store;
use taonet_nineteen_transport::{FiberClient, Trust};
use taonet_wallet::Keypair;
use taonet_wire::{ClientConfig, SystemClock};
use tempfile::TempDir;

use crate::peers::Peer;
use crate::support::{
    Daemon, KillOnDrop, document, is_exhaustive, refusal, repository, stderr, tao, write_checkpoint,
};

/// Runs a `tao nineteen` command on a document.
fn nineteen(command: &str, extra_args: &[&str], document: &Value) -> Output {
    let folder = TempDir::new().unwrap();
    let file: PathBuf = folder.path().join("document.json");
    std::fs::write(&file, document.to_string()).unwrap();
    tao().args(["nineteen", command]).args(extra_args).arg(&file).output().unwrap()
}

fn periods() -> Value {
    let period = |limited: u32, failed: u32| {
        json!({
            "total_requests": 40, "capacity": 120_000, "consumed_capacity": 12_000,
            "requests_429": limited, "requests_500": failed,
        })
    };
    json!([period(0, 0), period(10, 0), period(0, 10), {
        "total_requests": 0, "capacity": 1, "consumed_capacity": 0, "requests_429": 0, "requests_500": 0
    }])
}

#[test]
fn periods_are_scored_under_each_profile() {
    for (profile, scores) in [
        ("reference", json!([1.0, 0.58125, 0.58125, null])),
        ("later", json!([1.0, 0.58125, 0.450_468_75, null])),
        ("seed", json!([1.0, 0.775, 0.600_625, null])),
    ] {
        let actual = document(&nineteen("period-score", &["--profile", profile], &periods()));
        for (actual, expected) in actual.as_array().unwrap().iter().zip(scores.as_array().unwrap())
        {
            let close = |actual: f64, expected: f64| (actual - expected).abs() < 1e-12;
            let equal = actual
                .as_f64()
                .zip(expected.as_f64())
                .map_or(actual == expected, |(a, b)| close(a, b));
            assert!(equal, "{profile}: {actual}, expected {expected}");
        }
    }
    assert_eq!(document(&nineteen("period-score", &[], &json!([]))), json!([]));
    let text = refusal(&nineteen("period-score", &[], &json!([{"capacity": 1}])), 1);
    assert!(text.contains("[0]: missing field `total_requests`"), "{text}");
}

#[test]
fn weights_are_computed_from_tables() {
    let reward = |hotkey: &str, metric: f64| json!({"task": "X", "hotkey": hotkey, "quality_score": 1, "metric": metric});
    let period = |hotkey: &str| json!({"task": "X", "hotkey": hotkey, "period_score": 1, "consumed_capacity": 1_000.0});
    let tables = json!({
        "tasks": [{"task": "X", "weight": 0.6, "enabled": true}],
        "contenders": [
            {"hotkey": "slow", "uid": 9, "task": "X", "capacity": 100},
            {"hotkey": "fast", "uid": 2, "task": "X", "capacity": 100},
        ],
        "rewards": [reward("slow", 1.0), reward("fast", 2.0)],
        "period_scores": [period("slow"), period("fast")],
    });
    let weights = document(&nineteen("weights", &[], &json!([tables])));
    assert_eq!(weights[0]["uids"], json!([9, 2]));
    let (slow, fast) = (0.375_f64.powi(3), 0.625_f64.powi(3));
    let actual = weights[0]["weights"][0].as_f64().unwrap();
    assert!((actual - slow / (slow + fast)).abs() < 1e-12, "{actual}");
}

#[test]
fn miner_serves_public_key_and_refuses_unsigned_requests() {
    let mut miner = tao();
    miner.env("BITTENSOR_SUBTENSOR_ENDPOINT", "local").args([
        "nineteen",
        "miner",
        "--key-uri",
        "//Bob",
    ]);
    miner.args([
        "--no-metagraph",
        "--backend-url",
        "http://127.0.0.1:9/v1",
        "--task",
        "chat@600=model",
    ]);
    let daemon = Daemon::start(&mut miner);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (key, ready, unsigned) = runtime.block_on(async {
        let client = reqwest::Client::new();
        let get =
            async |path: &str| client.get(format!("{}{path}", daemon.url())).send().await.unwrap();
        let key = get("/public-encryption-key").await;
        assert!(key.headers().contains_key("x-taonet-key-signature"));
        let key = key.json::<Value>().await.unwrap();
        let ready = get("/readyz").await.status().as_u16();
        let unsigned = client
            .post(format!("{}/capacity", daemon.url()))
            .send()
            .await
            .unwrap()
            .status()
            .as_u16();
        (key, ready, unsigned)
    });
    assert!(
        key["public_key"].as_str().unwrap().starts_with("-----BEGIN PUBLIC KEY-----\n"),
        "{key}"
    );
    assert_eq!((ready, unsigned), (200, 422));
    assert!(daemon.terminate().success());
}

/// Sends a document with a POST request; returns the answer.
async fn post(url: &str, body: &Value) -> Value {
    let response = reqwest::Client::new().post(url).json(body).send().await.unwrap();
    assert_eq!(response.status(), 200, "{url}");
    response.json().await.unwrap()
}

#[test]
fn model_server_serves_model_directory() {
    let folder = TempDir::new().unwrap();
    write_checkpoint(folder.path());
    let mut model = tao();
    let daemon = Daemon::start(
        model.args(["nineteen", "model", "--name", "tiny", "--model"]).arg(folder.path()),
    );
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let url = |path: &str| format!("{}/v1/{path}", daemon.url());
        let question = json!({"model": "tiny", "messages": [{"role": "user", "content": "Hello"}], "max_tokens": 8,
            "temperature": 0, "seed": 3});
        let (one, other) =
            (post(&url("chat/completions"), &question).await, post(&url("chat/completions"), &question).await);
        assert!(!one["choices"][0]["message"]["content"].as_str().unwrap().is_empty(), "{one}");
        assert_eq!(one["choices"], other["choices"], "greedy answers are the same");
        let completion = json!({"model": "tiny", "prompt": "Hello", "max_tokens": 8, "temperature": 0, "seed": 3});
        assert!(post(&url("completions"), &completion).await["choices"][0]["text"].is_string());
        let embedding = post(&url("embeddings"), &json!({"model": "tiny", "input": "Hello"})).await;
        assert!(!embedding["data"][0]["embedding"].as_array().unwrap().is_empty(), "{embedding}");
    });
    assert!(daemon.terminate().success());
}

/// A miner without a backend answers a validator from its own model.
#[test]
fn miner_serves_model_directory() {
    let folder = TempDir::new().unwrap();
    write_checkpoint(folder.path());
    let mut miner = tao();
    miner.env("BITTENSOR_SUBTENSOR_ENDPOINT", "local").args([
        "nineteen",
        "miner",
        "--key-uri",
        "//Bob",
    ]);
    miner
        .args(["--no-metagraph", "--task", "chat-llama-3-2-3b@60000", "--model"])
        .arg(folder.path());
    let daemon = Daemon::start(&mut miner);
    let port = daemon.url().rsplit(':').next().unwrap().parse().unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let text = runtime.block_on(async {
        let key = |uri: &str| Keypair::from_uri(uri).unwrap();
        let client =
            FiberClient::new(key("//Alice"), Trust::Signed, ClientConfig::default(), Arc::new(SystemClock)).unwrap();
        let session =
            client.handshake(&taonet_wire::Peer::new(key("//Bob").hotkey(), "127.0.0.1", port).unwrap()).await.unwrap();
        let messages = json!([{"role": "user", "content": "Hello"}]);
        let payload = json!({"messages": messages, "temperature": 0.5, "seed": 3, "model": "chat-llama-3-2-3b",
            "stream": true, "logprobs": true, "top_p": 1.0, "top_k": 5, "max_tokens": 8});
        let payload = payload.as_object().unwrap().clone();
        let response = client
            .send(&session, "/chat/completions", payload, Duration::from_mins(1))
            .await
            .unwrap();
        assert_eq!(response.status, 200);
        String::from_utf8(response.map(Result::unwrap).collect::<Vec<_>>().await.concat()).unwrap()
    });
    let events = text.lines().filter_map(|line| line.strip_prefix("data: "));
    // As in the reference, a miner forwards no `[DONE]`.
    let chunks: Vec<Value> = events.map(|event| serde_json::from_str(event).unwrap()).collect();
    let scored =
        |chunk: &&Value| chunk["choices"][0]["logprobs"]["content"][0]["logprob"].is_number();
    assert!((1..=8).contains(&chunks.iter().filter(scored).count()), "{text}");
    assert!(daemon.terminate().success());
}

#[test]
fn market_demo_runs_on_model_directory() {
    let folder = TempDir::new().unwrap();
    write_checkpoint(folder.path());
    let mut demo = tao();
    demo.args(["nineteen", "demo", "--once", "--periods", "1", "--json", "--model"])
        .arg(folder.path());
    let demo = demo.output().unwrap();
    let demo = document(&demo);
    let [good, cheating] = ["good", "cheating"].map(|name| miner(&demo, name));
    assert!(number(good, "quality") > 0.9 && number(good, "weight") > 0.0, "{good}");
    assert!(
        number(cheating, "quality") < 0.5 && number(cheating, "weight") < number(good, "weight"),
        "{cheating}"
    );
}

/// The demonstration with the small model with random weights.
fn demo(extra_args: &[&str]) -> Command {
    let mut command = tao();
    command.args(["nineteen", "demo", "--json", "--model", "random"]).args(extra_args);
    command
}

/// Returns one entry of `miners`.
fn miner<'a>(demo: &'a Value, name: &str) -> &'a Value {
    demo["miners"].as_array().unwrap().iter().find(|miner| miner["name"] == name).unwrap()
}

fn number(value: &Value, field: &str) -> f64 {
    value[field].as_f64().unwrap_or_else(|| panic!("{field}: {value}"))
}

/// Recomputes each weight of a report of `tao nineteen explain` from the report's intermediate
/// values.
#[track_caller]
pub(crate) fn assert_weights_are_reproduced(report: &Value) {
    let assert_same = |actual: f64, expected: f64, context: &Value| {
        assert!(
            (actual - expected).abs() <= 1e-9 * expected.abs().max(1.0),
            "{actual} is not {expected}: {context}"
        );
    };
    let miners = report["miners"].as_array().unwrap();
    let tasks = || miners.iter().flat_map(|miner| miner["tasks"].as_array().unwrap());
    let mut sum = 0.0;
    for miner in miners {
        let mut score = 0.0;
        for task in miner["tasks"].as_array().unwrap() {
            let field_value = |field: &str| number(task, field);
            let total = |field: &str| -> f64 {
                tasks()
                    .filter(|other| other["task"] == task["task"])
                    .map(|other| number(other, field))
                    .sum()
            };
            assert_same(
                field_value("adjusted_quality") * (1.0 + field_value("bonus")),
                field_value("combined_quality"),
                task,
            );
            assert_same(
                field_value("period_mean") * field_value("probation_factor"),
                field_value("period_score"),
                task,
            );
            assert_same(
                field_value("combined_quality")
                    * field_value("period_score")
                    * field_value("capacity"),
                field_value("effective"),
                task,
            );
            assert_same(total("effective"), field_value("effective_sum"), task);
            assert_same(
                field_value("effective") / field_value("effective_sum"),
                field_value("share"),
                task,
            );
            assert_same(
                field_value("share").powf(number(report, "share_exponent")),
                field_value("powered"),
                task,
            );
            assert_same(total("powered"), field_value("powered_sum"), task);
            assert_same(
                field_value("powered") / field_value("powered_sum"),
                field_value("net"),
                task,
            );
            assert_same(
                field_value("net") * field_value("task_weight"),
                field_value("contribution"),
                task,
            );
            score += field_value("contribution");
        }
        assert_same(score, number(miner, "score"), miner);
        assert_same(score / number(report, "score_sum"), number(miner, "weight"), miner);
        sum += score;
    }
    assert_same(sum, number(report, "score_sum"), report);
}

#[test]
fn good_miner_earns_most_and_cheating_miner_is_detected() {
    let start = Instant::now();
    let folder = TempDir::new().unwrap();
    let demo = demo(&["--once", "--keep"]).arg(folder.path()).output().unwrap();
    let demo = document(&demo);
    assert!(start.elapsed() < Duration::from_mins(5), "{:?}", start.elapsed());
    let [good, slow, limiting, failing, cheating] =
        ["good", "slow", "limiting", "failing", "cheating"].map(|name| miner(&demo, name));
    for other in [slow, limiting, failing, cheating] {
        assert!(number(good, "weight") > number(other, "weight"), "{demo}");
    }
    for honest in [good, slow, limiting, failing] {
        assert!(number(honest, "quality") > 0.9 && number(honest, "checked") > 0.0, "{honest}");
    }
    assert!(number(cheating, "quality") < 0.5 && number(cheating, "checked") > 0.0, "{cheating}");
    assert!(number(limiting, "weight") > number(failing, "weight"), "{demo}");
    assert!(
        number(limiting, "requests_429") > 0.0 && number(limiting, "requests_500") == 0.0,
        "{limiting}"
    );
    assert!(
        number(failing, "requests_500") > 0.0 && number(failing, "requests_429") == 0.0,
        "{failing}"
    );
    assert!(number(slow, "tokens_per_second") < number(good, "tokens_per_second"), "{demo}");
    // The chain has what the validator computed, and paid for it.
    assert_eq!(
        (&good["weight_submitted"], &good["weight_on_chain"]),
        (&json!(65_535), &json!(65_535))
    );
    assert!(number(good, "emission") > 0.0, "{good}");
    let incentives: f64 =
        demo["miners"].as_array().unwrap().iter().map(|miner| number(miner, "incentive")).sum();
    assert!((incentives - 1.0).abs() < 1e-3, "{demo}");
    // The weights can be recomputed from what is exported: with the profile and the counters that
    // the file names.
    let tasks = folder.path().join("tasks.toml");
    std::fs::copy(repository("crates/cli/nineteen/src/demo/tasks.toml"), &tasks).unwrap();
    let explain = |extra_args: &[&str]| {
        let mut command = tao();
        command
            .args(["nineteen", "explain", "--json", "--state"])
            .arg(folder.path())
            .arg("--tasks")
            .arg(&tasks);
        document(&command.args(extra_args).output().unwrap())
    };
    let export = explain(&["--export"]);
    assert_eq!(export["scoring_profile"], "reference");
    let periods = export["period_scores"].as_array().unwrap();
    for profile in ["seed", "reference", "later"] {
        let profile_rows: Vec<_> =
            periods.iter().filter(|row| row["period_profile"] == profile).cloned().collect();
        let scores =
            document(&nineteen("period-score", &["--profile", profile], &json!(profile_rows)));
        for (row, score) in profile_rows.iter().zip(scores.as_array().unwrap()) {
            assert_eq!(row["period_score"], *score, "{row}");
        }
    }
    let weights = document(&nineteen("weights", &[], &export));
    for (uid, weight) in
        weights["uids"].as_array().unwrap().iter().zip(weights["weights"].as_array().unwrap())
    {
        let miners = demo["miners"].as_array().unwrap();
        let entry = miners.iter().find(|miner| miner["uid"] == *uid).unwrap();
        assert!((number(entry, "weight") - weight.as_f64().unwrap()).abs() < 1e-9, "{entry}");
    }
    // Each weight is the product of the numbers behind it.
    let explained = explain(&[]);
    assert_weights_are_reproduced(&explained);
    let one = explain(&["--uid", &good["uid"].to_string()]);
    assert_eq!(one["miners"].as_array().unwrap().len(), 1);
    assert_eq!(
        (&one["miners"][0]["uid"], &one["miners"][0]["tasks"]),
        (&good["uid"], &good["tasks"])
    );
    // Buyers were charged, and the books balance.
    let credits = &demo["credits"];
    assert_eq!(credits["balanced"], true);
    assert!(
        number(&demo, "tokens_sold") > 0.0 && number(&credits["accounts"], "revenue") > 0.0,
        "{demo}"
    );
    assert_eq!(
        credits["accounts"]
            .as_object()
            .unwrap()
            .values()
            .map(|sum| sum.as_i64().unwrap())
            .sum::<i64>(),
        0
    );
}

#[test]
fn openai_client_buys_from_demo() {
    let Some(peer) = Peer::find("openai") else { return };
    let mut command = demo(&[]);
    let mut demo =
        KillOnDrop(command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap());
    let mut lines = BufReader::new(demo.0.stderr.take().unwrap()).lines();
    let mut word = |name: &str| {
        lines
            .by_ref()
            .map(Result::unwrap)
            .find_map(|line| line.strip_prefix(name).map(str::to_owned))
            .unwrap()
    };
    let (url, key) = (word("gateway "), word("key "));
    // Once a period runs.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let start = Instant::now();
    let is_open = async || {
        let body = json!({"model": "chat-demo", "max_tokens": 4, "messages": [{"role": "user", "content": "a"}]});
        let request = reqwest::Client::new()
            .post(format!("{url}/chat/completions"))
            .bearer_auth(&key)
            .json(&body);
        request.send().await.is_ok_and(|response| response.status() == 200)
    };
    while !runtime.block_on(is_open()) {
        assert!(start.elapsed() < Duration::from_mins(3), "the market does not open");
        std::thread::sleep(Duration::from_millis(200));
    }
    let results = peer.query(&mut peer.script("openai_buyer.py"), &json!({"url": url, "key": key}));
    assert_eq!(results["models"], json!(["chat-demo", "chat-demo-comp"]));
    let complete = &results["whole"];
    assert_eq!(
        (&complete["object"], &complete["role"]),
        (&json!("chat.completion"), &json!("assistant"))
    );
    assert_eq!(
        (&complete["usage"], &complete["total"]),
        (&complete["logprobs"], &complete["logprobs"])
    );
    assert_eq!(results["conversation"], Value::Null);
    let stream = &results["stream"];
    assert_eq!(stream["roles"], json!(["assistant"]));
    assert!(stream["length"].as_u64() > Some(0) && stream["usage"].as_u64() > Some(0), "{stream}");
    assert!(["stop", "length"].contains(&stream["finish"].as_str().unwrap()), "{stream}");
    assert_eq!(results["completion"], json!(["text_completion", true]));
    assert_eq!(results["stranger"], json!(["AuthenticationError", 401, "invalid_api_key", null]));
    assert_eq!(results["unknown"], json!(["NotFoundError", 404, "model_not_found", "model"]));
    assert_eq!(results["n"], json!(["BadRequestError", 400, null, "n"]));
    assert_eq!(results["field"], json!(["BadRequestError", 400, null, "speed"]));
    // Standings after each period, not only when weights are set.
    let standings =
        serde_json::Deserializer::from_reader(demo.0.stdout.take().unwrap()).into_iter::<Value>();
    for (standing, period) in standings.map(Result::unwrap).zip(1..=2) {
        assert_eq!(
            (&standing["periods"], standing["miners"].as_array().unwrap().len()),
            (&json!(period), 5)
        );
    }
}

/// Runs the command that a demonstration prints to try it, until the answer is accepted.
#[track_caller]
fn buy_by_printed_command(
    lines: &mut impl Iterator<Item = String>,
    is_accepted: impl Fn(&Value) -> bool,
) {
    let curl = lines.find_map(|line| line.strip_prefix("try it: ").map(str::to_owned)).unwrap();
    let start = Instant::now();
    loop {
        let response = Command::new("bash").args(["-c", &curl]).output().unwrap();
        let response: Value = serde_json::from_slice(&response.stdout).unwrap();
        if is_accepted(&response) {
            return;
        }
        assert!(start.elapsed() < Duration::from_mins(3), "{response}");
        std::thread::sleep(Duration::from_millis(200));
    }
}

/// The demonstration prints a command that works, keeps the incentives of the last round during the
/// next one, and ends without an error when it is interrupted.
#[test]
fn demo_keeps_incentives_between_rounds_and_stops_on_interrupt() {
    let mut command = demo(&["--periods", "2"]);
    let mut demo =
        KillOnDrop(command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap());
    let mut lines = BufReader::new(demo.0.stderr.take().unwrap()).lines().map(Result::unwrap);
    let standings = serde_json::Deserializer::from_reader(demo.0.stdout.take().unwrap());
    let mut standings = standings.into_iter::<Value>().map(Result::unwrap);
    // Once a period runs.
    buy_by_printed_command(&mut lines, |response| response["object"] == "chat.completion");
    let periods = if is_exhaustive() { 4 } else { 3 };
    for (period, standing) in (1..=periods).zip(standings.by_ref()) {
        assert_eq!(standing["periods"], json!(period));
        let miners = standing["miners"].as_array().unwrap();
        let incentives: f64 = miners.iter().map(|miner| number(miner, "incentive")).sum();
        // The first round ends with the second period.
        let expected = if period == 1 { 0.0 } else { 1.0 };
        assert!((incentives - expected).abs() < 1e-3, "period {period}: {standing}");
    }
    let interrupt = Command::new("kill").args(["-INT", &demo.0.id().to_string()]).status().unwrap();
    assert!(interrupt.success() && demo.0.wait().unwrap().success());
    let last: Vec<_> = lines.collect();
    assert!(!last.iter().any(|line| line.starts_with("error")), "{last:?}");
}

/// The dashboard shows the tasks of a running market as its gateway reports them, beside the
/// database.
#[test]
fn dashboard_shows_a_running_market() {
    let folder = TempDir::new().unwrap();
    let mut command = demo(&["--keep"]);
    command.arg(folder.path()).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut demo = KillOnDrop(command.spawn().unwrap());
    let mut lines = BufReader::new(demo.0.stderr.take().unwrap()).lines().map(Result::unwrap);
    let gateway = lines.find_map(|line| line.strip_prefix("gateway ").map(str::to_owned)).unwrap();
    let mut dashboard = tao();
    dashboard.args(["dashboard", "--nineteen"]).arg(folder.path());
    let daemon =
        Daemon::start(dashboard.args(["--nineteen-gateway", gateway.trim_end_matches("/v1")]));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let start = Instant::now();
    loop {
        let url = format!("{}/nineteen", daemon.url());
        let page =
            runtime.block_on(async { reqwest::get(url).await.unwrap().text().await.unwrap() });
        if ["chat-demo", ">available<", ">running<", "<strong>Miner "]
            .iter()
            .all(|text| page.contains(text))
        {
            assert!(page.contains("data-problems=\"0\""), "{page}");
            return;
        }
        assert!(start.elapsed() < Duration::from_mins(3), "{page}");
        std::thread::sleep(Duration::from_millis(200));
    }
}

#[test]
fn tasks_are_printed_and_checked() {
    let printed = tao().args(["nineteen", "tasks"]).output().unwrap();
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("tasks.toml");
    std::fs::write(&file, &printed.stdout).unwrap();
    let tasks = document(&tao().args(["nineteen", "tasks", "--json"]).arg(&file).output().unwrap());
    assert_eq!(tasks["tasks"].as_array().unwrap().len(), 12);
    // The tokenizer of the default tasks is a repository of the hub.
    let hub = folder.path().join("hub");
    let check = || {
        let mut command = tao();
        command
            .args(["nineteen", "tasks"])
            .arg(&file)
            .env("BB_MODELS_DIR", folder.path())
            .env("HF_HUB_CACHE", &hub);
        let output = command.output().unwrap();
        assert!(output.status.success(), "{}", stderr(&output));
        stderr(&output)
    };
    let missing = "the tokenizer tau-vision/llama-tokenizer-fix is not on this machine: answers are billed by log-pro";
    assert_eq!(check().matches(missing).count(), 1, "{}", check());
    let snapshot = hub.join("models--tau-vision--llama-tokenizer-fix/snapshots/0a");
    std::fs::create_dir_all(&snapshot).unwrap();
    std::fs::write(snapshot.join("tokenizer.json"), "{}").unwrap();
    assert!(!check().contains("tokenizer"), "{}", check());
    let broken = String::from_utf8(printed.stdout)
        .unwrap()
        .replace("max_capacity = 800", "max_capacity = -1");
    std::fs::write(&file, broken).unwrap();
    let text = refusal(&tao().args(["nineteen", "tasks"]).arg(&file).output().unwrap(), 1);
    assert!(text.contains("tasks[3].max_capacity is -1"), "{text}");
}

/// Creates the database of a validator in its state directory.
pub(crate) fn create_database(state: &Path) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async { Store::open(state).await.unwrap().close().await });
}
