//! Nineteen's market as several processes on PostgreSQL and NATS: entries, query workers and a
//! validator, some of them killed.

mod guide;

use std::collections::HashSet;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use serde_json::{Value, json};
use taonet_database::testing::{Nats, Postgres};
use taonet_nineteen_store::{PeriodId, Store};
use taonet_wallet::Keypair;

use crate::chain::{BABELBIT, Chain};
use crate::support::{
    Daemon, KillOnDrop, assert_metrics_described, document, free_address, kill_count, refusal, tao,
};

/// Address that represents this machine, for validators with --allow-private: the chain rejects
/// loopback addresses.
const EXTERNAL_IP: &str = "0.0.0.1";
const TASK: &str = "chat-a";
/// Credits of the buyer.
const CREDITS: i64 = 1_000_000;
/// Minimum number of periods over which the kills are spread.
const MIN_PERIODS: i64 = 10;
/// Length of a period, in seconds.
const PERIOD: u32 = 4;
/// Interval at which a validator stores its counters, in seconds; a killed validator loses at most
/// the counts of one interval.
const COUNTER_STORE_INTERVAL: f64 = 0.25;
/// Maximum number of requests in flight when the validator is killed.
const MAX_IN_FLIGHT: f64 = 4.0;
/// Minimum number of requests before the kills, divided by the number of kills. One kill loses
/// fewer.
const MIN_REQUESTS_PER_KILL: f64 = 20.0;
/// Timeout for operations that take a few seconds on an idle machine.
const LONG_TIMEOUT: Duration = Duration::from_mins(2);

/// A chain with two miners, a database, and a queue.
struct Network {
    chain: Chain,
    postgres: Postgres,
    nats: Nats,
    models: Daemon,
    miners: Vec<Daemon>,
    runtime: tokio::runtime::Runtime,
}

impl Network {
    /// `None` if PostgreSQL or NATS is not installed. Arguments: length of a period in seconds, and
    /// time per token in milliseconds.
    fn start(period: u32, pace: u32) -> Option<Self> {
        let (postgres, nats) = (Postgres::start()?, Nats::start()?);
        let chain = Chain::start();
        std::fs::write(chain.path("tasks.toml"), tasks(period)).unwrap();
        let mut models = tao();
        models.args([
            "nineteen",
            "model",
            "--layers",
            "1",
            "--concurrency",
            "128",
            "--pace",
            &pace.to_string(),
        ]);
        let models = Daemon::start(&mut models);
        let miners = ["//miner//a", "//miner//b"].map(|key| {
            let mut miner = tao();
            miner.env("BITTENSOR_SUBTENSOR_ENDPOINT", "local").args([
                "nineteen",
                "miner",
                "--key-uri",
                key,
            ]);
            miner.args([
                "--no-metagraph",
                "--concurrency",
                "64",
                "--task",
                &format!("{TASK}@900000=random"),
            ]);
            let miner =
                Daemon::start(miner.args(["--backend-url", &format!("{}/v1", models.url())]));
            let hotkey = Keypair::from_uri(key).unwrap().hotkey().to_string();
            chain.alice(&["register", "--netuid", BABELBIT, "--yes", "--hotkey-ss58", &hotkey]);
            let port = miner.url().rsplit(':').next().unwrap();
            let serve =
                ["serve-axon", "--netuid", BABELBIT, "--external-ip", EXTERNAL_IP, "--port", port];
            let serve_result = document(&chain.tao(&serve, &["--key-uri", key, "--yes", "--json"]));
            assert_eq!(serve_result["success"], true, "{serve_result}");
            miner
        });
        let runtime = tokio::runtime::Runtime::new().unwrap();
        Some(Self { chain, postgres, nats, models, miners: miners.into(), runtime })
    }

    /// Returns a command with the settings that all processes share.
    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = tao();
        command
            .env("BITTENSOR_SUBTENSOR_ENDPOINT", "local")
            .env("DATABASE_URL", self.postgres.url());
        command.env("NATS_URL", self.nats.url()).arg("nineteen").args(arguments);
        command
    }

    fn validator(&self) -> Command {
        let mut validator =
            self.command(&["validator", "--key-uri", "//Alice", "--netuid", BABELBIT]);
        validator.args([
            "--allow-private",
            "--network",
            &self.chain.url().replace("http", "ws"),
            "--tasks",
        ]);
        validator.arg(self.tasks()).arg("--state").arg(self.chain.path("state"));
        validator
    }

    fn tasks(&self) -> std::path::PathBuf {
        self.chain.path("tasks.toml")
    }

    /// Waits until the numbers of requests that the miners have received, and that the database
    /// has counted, are stable; returns both.
    fn wait_for_stable_request_counts(&self, store: &Store) -> (f64, f64) {
        let start = Instant::now();
        let mut before = None;
        loop {
            let received = self.received_requests();
            let now = (received, self.runtime.block_on(counted_requests(store)));
            if before.replace(now) == Some(now) {
                return now;
            }
            assert!(start.elapsed() < LONG_TIMEOUT, "requests do not stop: {now:?}");
            // Longer than the interval at which counters are stored.
            std::thread::sleep(Duration::from_secs(1));
        }
    }

    /// Returns the number of requests that all miners have received.
    fn received_requests(&self) -> f64 {
        self.runtime.block_on(async {
            let mut received = 0.0;
            for miner in &self.miners {
                received += requests(miner).await;
            }
            received
        })
    }

    fn store(&self) -> Store {
        self.runtime.block_on(Store::connect(&self.postgres.url())).unwrap()
    }
}

/// Returns the number of requests in all periods.
async fn counted_requests(store: &Store) -> f64 {
    let newest = store.newest_period().await.unwrap().map_or(0, |period| period.id.0);
    let mut counted = 0.0;
    for id in 1..=newest {
        let rows = store.contenders(PeriodId(id)).await.unwrap();
        counted += rows.iter().map(|row| row.counts.total_requests).sum::<f64>();
    }
    counted
}

fn tasks(period: u32) -> String {
    format!(
        r#"
period_profile = "seed"
period = {period}

[[tasks]]
task = "{TASK}"
task_type = "text"
max_capacity = 900000
volume_to_requests_conversion = 10
weight = 1.0
price = {{ input = 100, output = 400 }}
timeout = 10
is_stream = true
endpoint = "/chat/completions"
synthetic_generation_config = {{ func = "generate_chat_synthetic", kwargs = {{ max_tokens = 4, max_words = 8 }} }}

[tasks.orchestrator_server_config]
server_needed = "llm_server"
checking_function = "check_text_result"
load_model_config = {{ model = "random" }}
"#
    )
}

/// A query worker, killed on drop.
struct Worker {
    child: Child,
    metrics: String,
}

impl Worker {
    fn start(network: &Network) -> Self {
        let metrics = free_address();
        let mut command =
            network.command(&["query", "--key-uri", "//Alice", "--metrics", &metrics]);
        Self { child: command.stdout(Stdio::null()).spawn().unwrap(), metrics }
    }

    /// Returns the number of jobs with one of these outcomes.
    async fn jobs(&self, outcomes: &[&str]) -> u64 {
        let text = reqwest::get(format!("http://{}/metrics", self.metrics))
            .await
            .unwrap()
            .text()
            .await
            .unwrap();
        assert_metrics_described(&text, "query");
        let is_job_count = |line: &str| {
            let has_outcome = |outcome: &&str| line.contains(&format!("outcome=\"{outcome}\""));
            line.starts_with("taonet_nineteen_worker_jobs_total{")
                && outcomes.iter().any(has_outcome)
        };
        let value = |line: &str| line.rsplit(' ').next().unwrap().parse::<f64>().unwrap() as u64;
        text.lines().filter(|line| is_job_count(line)).map(value).sum()
    }

    async fn wait_until_ready(&self) {
        let start = Instant::now();
        let ready = async || {
            let response = reqwest::get(format!("http://{}/readyz", self.metrics)).await;
            response.is_ok_and(|response| response.status() == 200)
        };
        while !ready().await {
            assert!(start.elapsed() < LONG_TIMEOUT, "a query worker does not start");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Outcome of a request.
#[derive(Debug)]
struct StreamResult {
    status: u16,
    /// Content chunks that arrived.
    chunks: i64,
    is_complete: bool,
    text: String,
}

/// Requests a stream, and reads it to its end. `begun_count` counts streams that have begun.
async fn buy(entry: String, key: String, begun_count: Arc<AtomicUsize>) -> StreamResult {
    let body = json!({
        "model": TASK, "stream": true, "max_tokens": 50, "messages": [{"role": "user", "content": "12345678"}],
    });
    let client = reqwest::Client::new();
    let request = client.post(format!("{entry}/v1/chat/completions")).bearer_auth(key).json(&body);
    let mut response = request.send().await.unwrap();
    let status = response.status().as_u16();
    let (mut text, mut has_begun) = (String::new(), false);
    while let Some(bytes) = response.chunk().await.unwrap() {
        text.push_str(&String::from_utf8_lossy(&bytes));
        if !has_begun && chunks(&text) > 0 {
            has_begun = true;
            begun_count.fetch_add(1, Ordering::SeqCst);
        }
    }
    let is_complete = status == 200
        && text.contains("\"finish_reason\":\"")
        && text.ends_with("data: [DONE]\n\n");
    StreamResult { status, chunks: chunks(&text), is_complete, text }
}

/// Returns the number of content chunks in a stream.
fn chunks(text: &str) -> i64 {
    let events = text
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line.strip_prefix("data: ")?).ok());
    let is_content = |event: &Value| {
        let delta = &event["choices"][0]["delta"];
        delta["content"].is_string() && delta.get("role").is_none()
    };
    i64::try_from(events.filter(is_content).count()).unwrap()
}

/// Waits for all charges: each request is charged exactly once, for the delivered part.
async fn assert_charged_once(store: &Store, id: &str, results: &[StreamResult]) {
    // 6 tokens of the request at 100 credits, those of the answer at 400, for 1 000 tokens each.
    let cost = |result: &StreamResult| {
        if result.chunks == 0 { 0 } else { (6 * 100 + result.chunks * 400 + 999) / 1_000 }
    };
    let (expected, tokens): (i64, i64) =
        (results.iter().map(cost).sum(), results.iter().map(|result| result.chunks).sum());
    let start = Instant::now();
    let held_credits = async || {
        let balances = store.balances().await.unwrap();
        balances
            .into_iter()
            .find(|(name, _)| *name == format!("held:{id}"))
            .map_or(0, |(_, amount)| amount)
    };
    while held_credits().await > 0 {
        assert!(start.elapsed() < LONG_TIMEOUT, "credits stay held");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let usage = store.usage(Some(id)).await.unwrap();
    let charged =
        usage.iter().fold((0, 0), |sums, row| (sums.0 + row.charged, sums.1 + row.output_tokens));
    assert_eq!(charged, (expected, tokens));
    assert!(store.is_balanced().await.unwrap());
    assert_eq!(store.key(id).await.unwrap().unwrap().balance, CREDITS - expected);
}

/// Waits until the counters of all processes contain the complete requests.
async fn wait_until_counted(store: &Store, results: &[StreamResult]) {
    let complete = results.iter().filter(|result| result.is_complete).count() as f64;
    let start = Instant::now();
    loop {
        let rows = store.contenders(PeriodId(1)).await.unwrap();
        let total: f64 = rows.iter().map(|row| row.counts.total_requests).sum();
        if total >= complete {
            break;
        }
        assert!(start.elapsed() < LONG_TIMEOUT, "{total} of {complete} requests are counted");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let budget = &store.budgets(PeriodId(1), None).await.unwrap()[0];
    assert!(
        budget.remaining < budget.planned,
        "buyers' requests take the place of tests: {budget:?}"
    );
}

#[test]
fn killed_query_worker_loses_no_other_request_and_no_credit() {
    let Some(network) = Network::start(600, 40) else { return };
    let validator = Daemon::start(&mut network.validator());
    let created = document(
        &network
            .command(&[
                "keys",
                "create",
                "--json",
                "--name",
                "shop",
                "--rate",
                "1000000",
                "--credits",
                &CREDITS.to_string(),
            ])
            .output()
            .unwrap(),
    );
    let (id, key) =
        (created["id"].as_str().unwrap().to_owned(), created["key"].as_str().unwrap().to_owned());
    let entries = [(); 2].map(|()| Daemon::start(&mut network.command(&["entry"])));
    let urls = entries.each_ref().map(|entry| entry.url().to_owned());
    let mut workers: Vec<_> = (0..3).map(|_| Worker::start(&network)).collect();
    let store = network.store();
    network.runtime.block_on(async {
        for worker in &workers {
            worker.wait_until_ready().await;
        }
        // Once a period runs, and all processes have found it.
        let mut all = Vec::new();
        let started = Instant::now();
        while all.iter().filter(|result: &&StreamResult| result.is_complete).count() < 6 {
            assert!(started.elapsed() < LONG_TIMEOUT, "the market does not open: {all:?}");
            all.push(buy(urls[all.len() % 2].clone(), key.clone(), Arc::default()).await);
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        let start = |count: usize, begun_count: &Arc<AtomicUsize>| {
            (0..count)
                .map(|index| {
                    tokio::spawn(buy(urls[index % 2].clone(), key.clone(), Arc::clone(begun_count)))
                })
                .collect::<Vec<_>>()
        };
        let before = (workers[1].jobs(&["answered"]).await, workers[2].jobs(&["answered"]).await);
        let begun_count = Arc::new(AtomicUsize::new(0));
        let mut stream_tasks = start(40, &begun_count);
        while begun_count.load(Ordering::SeqCst) < 40 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        // Some of these wait for their first chunk when the worker dies.
        stream_tasks.extend(start(20, &Arc::default()));
        let seed: u64 = rand::random();
        println!("seed {seed}");
        tokio::time::sleep(Duration::from_millis(StdRng::seed_from_u64(seed).random_range(0..60)))
            .await;
        drop(workers.remove(0));
        let mut results = Vec::new();
        for request in stream_tasks {
            results.push(
                tokio::time::timeout(LONG_TIMEOUT, request)
                    .await
                    .expect("a request hangs")
                    .unwrap(),
            );
        }
        let interrupted: Vec<_> = results.iter().filter(|result| !result.is_complete).collect();
        for result in &interrupted {
            assert!(
                result.status == 200
                    && result.chunks > 0
                    && result.text.contains("\"code\":\"no_answer\""),
                "{result:?}"
            );
        }
        assert!(
            (1..60).contains(&interrupted.len()),
            "the killed worker had {} streams",
            interrupted.len()
        );
        for worker in &workers {
            assert_eq!(worker.jobs(&["failed", "interrupted", "lost", "malformed"]).await, 0);
        }
        let answered = workers[0].jobs(&["answered"]).await - before.0
            + workers[1].jobs(&["answered"]).await
            - before.1;
        assert!(
            answered > 0 && answered <= 60 - interrupted.len() as u64,
            "{answered} of {}",
            60 - interrupted.len()
        );
        println!("{} of 60 streams were the killed worker's", interrupted.len());

        all.extend(results);
        assert_charged_once(&store, &id, &all).await;
        wait_until_counted(&store, &all).await;
    });
    // No second validator may use this database.
    let text = refusal(&network.validator().args(["--listen", "127.0.0.1:0"]).output().unwrap(), 1);
    assert!(text.contains("another validator process uses this database"), "{text}");
    drop(validator);
}

#[test]
fn validator_killed_at_any_time_loses_no_period() {
    let Some(network) = Network::start(PERIOD, 0) else { return };
    let seed: u64 = rand::random();
    println!("seed {seed}");
    let mut random = StdRng::seed_from_u64(seed);
    let start = || {
        let mut validator = network.validator();
        validator
            .args(["--listen", "127.0.0.1:0"])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap()
    };
    let store = network.store();
    let newest =
        || network.runtime.block_on(store.newest_period()).unwrap().map_or(0, |period| period.id.0);
    // Each process lives up to three seconds longer than a start takes.
    let started = Instant::now();
    let mut validator = Some(KillOnDrop(start()));
    while newest() == 0 {
        assert!(started.elapsed() < LONG_TIMEOUT, "the market does not open");
        std::thread::sleep(Duration::from_millis(50));
    }
    let startup = u64::try_from(started.elapsed().as_millis()).unwrap();
    let mut losses = Vec::new();
    let kills = kill_count();
    // On a busy machine, the killed processes may send fewer requests than the kills may lose.
    while network.received_requests() < MIN_REQUESTS_PER_KILL * f64::from(kills) {
        assert!(started.elapsed() < LONG_TIMEOUT, "the validator sends too few requests");
        std::thread::sleep(Duration::from_millis(50));
    }
    for kill in 1..=kills {
        std::thread::sleep(Duration::from_millis(random.random_range(0..startup + 3_000)));
        let period = newest();
        drop(validator.take());
        losses.push(period);
        validator = (kill < kills).then(|| KillOnDrop(start()));
    }
    // A killed validator loses the counters of a quarter of a second, and the requests in flight.
    let (received, counted) = network.wait_for_stable_request_counts(&store);
    let lost = network.runtime.block_on(async {
        let mut maximum = 0.0;
        for period in losses {
            let planned = store.budgets(PeriodId(period), None).await.unwrap()[0].planned as f64;
            maximum += planned / f64::from(PERIOD) * COUNTER_STORE_INTERVAL + MAX_IN_FLIGHT;
        }
        maximum
    });
    println!("{counted} of {received} requests counted after the kills, which may lose {lost:.0}");
    assert!(
        counted <= received && counted >= received - lost,
        "{counted} of {received}, {lost} may be lost"
    );
    assert!(lost < received, "too few requests for a test");
    // Without kills, each request counts exactly once.
    let validator = KillOnDrop(start());
    let (after, started) = (newest(), Instant::now());
    while newest() < after.max(MIN_PERIODS) + 2 {
        assert!(started.elapsed() < LONG_TIMEOUT, "no further period begins");
        std::thread::sleep(Duration::from_millis(100));
    }
    // From the next period on, nothing is sent: all requests have ended.
    let text = std::fs::read_to_string(network.tasks()).unwrap();
    let conversion = "volume_to_requests_conversion = 10\n";
    assert!(text.contains(conversion));
    std::fs::write(
        network.tasks(),
        text.replace(conversion, "volume_to_requests_conversion = 1000000000\n"),
    )
    .unwrap();
    let is_quiet = || {
        let budgets = network.runtime.block_on(store.budgets(PeriodId(newest()), None)).unwrap();
        budgets.iter().all(|budget| budget.planned == 0)
    };
    while !is_quiet() {
        assert!(started.elapsed() < LONG_TIMEOUT, "the task file is not read again");
        std::thread::sleep(Duration::from_millis(100));
    }
    let (received_now, counted_now) = network.wait_for_stable_request_counts(&store);
    assert!(received_now > received);
    let missing = (received_now - received) - (counted_now - counted);
    assert!(missing.abs() < 0.5, "{missing} requests without a kill were not counted, or twice");
    drop(validator);

    network.runtime.block_on(async {
        let newest = store.newest_period().await.unwrap().unwrap().id.0;
        let (mut last, mut closings) = (0, 0);
        for id in 1..=newest {
            let period = store.period(PeriodId(id)).await.unwrap().expect("no period is lost");
            assert!(
                period.started_ms >= last,
                "{period:?} begins before the previous one was closed"
            );
            // The last process can have been killed after it closed a period, before it opened the
            // next one.
            let is_closed = period.closed_ms.is_some();
            assert!(is_closed || id == newest, "the previous periods are closed: {period:?}");
            if let Some(closed) = period.closed_ms {
                assert!(
                    closed >= period.started_ms + period.length_ms,
                    "{period:?} was closed early"
                );
                (last, closings) = (closed, closings + 1);
            }
            let rows = store.contenders(PeriodId(id)).await.unwrap();
            assert!(!rows.is_empty() && rows.len() <= 2, "{rows:?}");
            let total: f64 = rows.iter().map(|row| row.counts.total_requests).sum();
            let budget = &store.budgets(PeriodId(id), None).await.unwrap()[0];
            assert!(total <= budget.planned as f64, "period {id} has {total} requests: {budget:?}");
            for row in &rows {
                let has_score = row.score.is_some();
                assert_eq!(has_score, is_closed && row.counts.total_requests > 0.0, "{row:?}");
            }
        }
        let history = store.history_since(0).await.unwrap();
        let unique_rows: HashSet<_> =
            history.iter().map(|row| (row.period, row.task.clone(), row.hotkey)).collect();
        assert_eq!(unique_rows.len(), history.len(), "each result counts once");
        let closed: HashSet<_> = history.iter().map(|row| row.period.0).collect();
        assert_eq!(closed.len(), closings);
    });
}

/// Returns the number of chats that a miner has received.
async fn requests(miner: &Daemon) -> f64 {
    let text =
        reqwest::get(format!("{}/metrics", miner.url())).await.unwrap().text().await.unwrap();
    assert_metrics_described(&text, "miner");
    let is_expected = |line: &&str| {
        line.starts_with("taonet_nineteen_miner_requests_total{") && line.contains("chat")
    };
    text.lines()
        .filter(is_expected)
        .map(|line| line.rsplit(' ').next().unwrap().parse::<f64>().unwrap())
        .sum()
}

#[test]
fn processes_without_services_name_missing_setting() {
    let assert_refused = |arguments: &[&str], settings: &[(&str, &str)], code| {
        let mut command = tao();
        command.env("BITTENSOR_SUBTENSOR_ENDPOINT", "local").envs(settings.iter().copied());
        refusal(&command.arg("nineteen").args(arguments).output().unwrap(), code)
    };
    let metrics = free_address();
    let nats = ("NATS_URL", "nats://127.0.0.1:9");
    for command in [
        &["entry", "--listen", "127.0.0.1:0"][..],
        &["query", "--key-uri", "//Alice", "--metrics", &metrics],
    ] {
        assert!(assert_refused(command, &[], 2).contains("NATS_URL is not set"), "{command:?}");
        assert!(
            assert_refused(command, &[nats], 2).contains("DATABASE_URL is not set"),
            "{command:?}"
        );
    }
    let Some(postgres) = Postgres::start() else { return };
    let error = assert_refused(
        &["entry", "--listen", "127.0.0.1:0"],
        &[nats, ("DATABASE_URL", &postgres.url())],
        1,
    );
    assert!(error.contains("cannot connect to NATS"), "{error}");
}
