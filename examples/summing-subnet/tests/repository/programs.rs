//! The programs in their own processes: those of the guide, and a validator that is killed again
//! and again.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "helpers of tests fail like the tests themselves")]

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, UNIX_EPOCH};

use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use taonet_chain::Chain;
use taonet_kit::{
    Averaging, Caller, CompletedStep, Miner, MinerSettings, RequestHash, Scores, StepResults, SynapseError,
};
use taonet_neuron::Neurons;
use taonet_primitives::{BlockNumber, Hotkey, Uid};
use taonet_service::{Access, Shutdown, atomic_write};
use taonet_summing_subnet::Sum;
use taonet_validator::testing::{LocalChain, NETUID};
use taonet_wallet::{Keyfile, Keypair};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};

const GUIDE: &str = include_str!("../../../../docs/write-a-subnet.md");
/// Log message of a completed step.
const COMPLETE: &str = "step complete";
/// Log message of a validator that makes no step at its start.
const WAITING: &str = "waiting for the rest of the interval";

/// Writes a hotkey of the default wallet.
fn write_hotkey(directory: &Path, name: &str, keypair: &Keypair) {
    let hotkeys = directory.join("wallets/default/hotkeys");
    std::fs::create_dir_all(&hotkeys).unwrap();
    let json = Keyfile::from_keypair(keypair.clone()).to_json();
    atomic_write(hotkeys.join(name), &json, Access::Owner).unwrap();
}

/// Starts a program in a directory with its wallet and its state. `line` has its arguments.
fn start(chain: &LocalChain, directory: &Path, line: &str) -> Child {
    let mut command = Command::new(env!("CARGO_BIN_EXE_summing-subnet"));
    command.args(line.split_whitespace()).current_dir(directory);
    command.env("BT_NETWORK", chain.node.url()).env("BT_WALLET_PATH", "wallets").env_remove("RUST_LOG");
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).kill_on_drop(true).spawn().unwrap()
}

/// Waits until a program logs one of these messages, and returns it.
async fn wait_for_log<'a>(program: &mut Child, messages: &[&'a str]) -> &'a str {
    let mut lines = BufReader::new(program.stderr.take().unwrap()).lines();
    let message = async {
        loop {
            let line = lines.next_line().await.unwrap().unwrap();
            assert!(!line.contains("step failed"), "{line}");
            if let Some(message) = messages.iter().find(|message| line.contains(**message)) {
                return *message;
            }
        }
    };
    tokio::time::timeout(Duration::from_mins(2), message).await.unwrap()
}

async fn score_of(directory: &Path, miner: &Keypair) -> f64 {
    let scores = Scores::open(&directory.join("state/scores.sqlite"), NETUID).await.unwrap();
    scores.read().await.unwrap().get(&miner.hotkey()).copied().unwrap()
}

/// Returns the arguments of a program in the guide.
fn guide_arguments(role: &str) -> String {
    let line = GUIDE.lines().find(|line| line.starts_with("summing-subnet ") && line.contains(role)).unwrap();
    line.split(" # ").next().unwrap().strip_prefix("summing-subnet ").unwrap().to_owned()
}

/// Waits until a neuron has published an address.
async fn wait_for_address(chain: &LocalChain) {
    let wait = async {
        while Neurons::read(&*chain.client, NETUID).await.unwrap().list.iter().all(|neuron| neuron.address.is_none()) {
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    };
    tokio::time::timeout(Duration::from_mins(2), wait).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn miner_of_the_guide_earns_a_score_from_the_validator_of_the_guide() {
    let chain = LocalChain::start(1).await;
    let directory = tempfile::tempdir().unwrap();
    write_hotkey(directory.path(), "default", &chain.validator);
    write_hotkey(directory.path(), "miner", &chain.miners[0]);
    // The miner publishes the port before it listens, so that it cannot leave the choice to the
    // system.
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let line = guide_arguments(" miner ").replace("8091", &port.to_string());
    let line = format!("--metrics 127.0.0.1:0 {line} --listen 127.0.0.1:{port}");
    let mut miner = start(&chain, directory.path(), &line);
    wait_for_address(&chain).await;
    let line = format!("--metrics 127.0.0.1:0 {}", guide_arguments(" validator "));
    let mut validator = start(&chain, directory.path(), &line);
    wait_for_log(&mut validator, &[COMPLETE]).await;
    let score = score_of(directory.path(), &chain.miners[0]).await;
    for program in [&mut miner, &mut validator] {
        program.kill().await.unwrap();
    }
    // A tenth for each step.
    assert!(score > 0.09, "{score}");
    chain.node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn validator_refuses_occupied_metrics_port() {
    let chain = LocalChain::start(1).await;
    let directory = tempfile::tempdir().unwrap();
    write_hotkey(directory.path(), "default", &chain.validator);
    // Taken by this test, or by another program.
    let occupied_port = TcpListener::bind("127.0.0.1:9091");
    let mut validator = start(&chain, directory.path(), "--netuid 59 validator");
    wait_for_log(&mut validator, &["cannot listen on the address of --metrics"]).await;
    drop(occupied_port);
    chain.node.stop().await;
}

/// Writes the score 1 for a hotkey, of a step long ago.
async fn write_score(file: &Path, hotkey: Hotkey) {
    let results = StepResults {
        step: CompletedStep { block: BlockNumber::new(0), started_at: UNIX_EPOCH },
        request: RequestHash::from_bytes([0; 32]),
        rewards: BTreeMap::from([(hotkey, 1.0)]),
        registered: BTreeMap::from([(hotkey, Uid(1))]),
    };
    let scores = Scores::open(file, NETUID).await.unwrap();
    scores.update(&results, Averaging { alpha: 1.0, absence: 100 }).await.unwrap();
}

/// The only miner publishes no address, so that each step takes a tenth of its score.
#[tokio::test(flavor = "multi_thread")]
async fn killed_validator_has_the_averages_of_an_uninterrupted_one() {
    let chain = LocalChain::start(1).await;
    let directory = tempfile::tempdir().unwrap();
    write_hotkey(directory.path(), "default", &chain.validator);
    let state = directory.path().join("state");
    std::fs::create_dir(&state).unwrap();
    write_score(&state.join("scores.sqlite"), chain.miners[0].hotkey()).await;
    let mut messages = Vec::new();
    for _ in 0..5 {
        // No second step is due during the test.
        let line = "--netuid 59 --metrics 127.0.0.1:0 validator --interval 1800";
        let mut validator = start(&chain, directory.path(), line);
        messages.push(wait_for_log(&mut validator, &[COMPLETE, WAITING]).await);
        // SIGKILL on Unix.
        validator.kill().await.unwrap();
    }
    assert_eq!(messages, [COMPLETE, WAITING, WAITING, WAITING, WAITING]);
    let score = score_of(directory.path(), &chain.miners[0]).await;
    assert!((score - 0.9).abs() < 1e-9, "{score}");
    chain.node.stop().await;
}

/// Time that the miner takes for an answer.
const RESPONSE_DELAY: Duration = Duration::from_millis(600);

/// Starts a miner that takes its time, and returns the number of its requests.
async fn start_slow_miner(chain: &LocalChain, shutdown: &Shutdown) -> Arc<AtomicU64> {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let announce = SocketAddr::from((Ipv4Addr::new(192, 0, 2, 1), listener.local_addr().unwrap().port()));
    let settings = MinerSettings { announce: Some(announce), ..MinerSettings::new(NETUID) };
    let requests = Arc::<AtomicU64>::default();
    let count = Arc::clone(&requests);
    let miner = Miner::new(chain.miners[0].clone(), settings).serve(move |request: Sum, _: Caller| {
        count.fetch_add(1, Ordering::Relaxed);
        async move {
            tokio::time::sleep(RESPONSE_DELAY).await;
            Ok::<_, SynapseError>(Sum { sum: Some(request.a + request.b), ..request })
        }
    });
    let (client, stop): (Arc<dyn Chain>, _) = (chain.client.clone(), shutdown.clone());
    shutdown.spawn("miner", async move { miner.run(listener, client, &stop).await.unwrap() });
    wait_for_address(chain).await;
    requests
}

/// Waits until a miner has got more requests than before.
async fn wait_for_next_request(requests: &AtomicU64, before: u64) {
    let wait = async {
        while requests.load(Ordering::Relaxed) == before {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_mins(2), wait).await.unwrap();
}

/// The first miner answers each request after some time, the second one publishes no address.
#[tokio::test(flavor = "multi_thread")]
async fn kills_at_random_times_lose_and_repeat_no_step() {
    let seed = std::env::var("TAONET_TEST_SEED").map_or_else(|_| rand::random(), |seed| seed.parse().unwrap());
    println!("TAONET_TEST_SEED={seed} repeats these kill times");
    let mut random = StdRng::seed_from_u64(seed);
    let kills = if std::env::var_os("TAONET_TEST_ALL").is_some() { 50 } else { 12 };

    let chain = LocalChain::start(2).await;
    let (directory, shutdown) = (tempfile::tempdir().unwrap(), Shutdown::new());
    write_hotkey(directory.path(), "default", &chain.validator);
    let requests = start_slow_miner(&chain, &shutdown).await;
    let line = "--netuid 59 --metrics 127.0.0.1:0 validator --interval 1 --local-miner-ip 192.0.2.1";
    for kill in 0..kills {
        let before = requests.load(Ordering::Relaxed);
        let mut validator = start(&chain, directory.path(), line);
        // At any time, within a request, or about the time at which the step is written.
        let after = match kill % 3 {
            0 => 0..3000,
            1 => 0..400,
            _ => 550..750,
        };
        if kill % 3 > 0 {
            wait_for_next_request(&requests, before).await;
        }
        tokio::time::sleep(Duration::from_millis(random.random_range(after))).await;
        assert!(validator.try_wait().unwrap().is_none(), "kill {kill}: the validator has ended by itself");
        // SIGKILL on Unix.
        validator.kill().await.unwrap();
    }
    let mut validator = start(&chain, directory.path(), line);
    wait_for_log(&mut validator, &[COMPLETE]).await;
    validator.kill().await.unwrap();

    let scores = Scores::open(&directory.path().join("state/scores.sqlite"), NETUID).await.unwrap();
    let explanation = scores.explain(&chain.miners[0].hotkey()).await.unwrap().unwrap();
    let steps = i32::try_from(explanation.rewards.len()).unwrap();
    assert!(explanation.is_consistent(), "{explanation:?}");
    assert!((1..).zip(&explanation.rewards).all(|(number, (step, _))| step.number == number), "{explanation:?}");
    let expected = 1.0 - 0.9_f64.powi(steps);
    assert!((explanation.score - expected).abs() < 1e-9, "{} after {steps} steps", explanation.score);
    // A request within which the validator was killed counts for no step.
    assert!(
        requests.load(Ordering::Relaxed) > explanation.rewards.len() as u64,
        "{requests:?} requests, {steps} steps"
    );
    let silent = scores.explain(&chain.miners[1].hotkey()).await.unwrap().unwrap();
    assert_eq!(silent.rewards.len(), explanation.rewards.len());
    assert!(silent.rewards.iter().all(|(_, reward)| reward.reward < f64::MIN_POSITIVE), "{silent:?}");
    shutdown.request();
    shutdown.finished().await.unwrap();
    chain.node.stop().await;
}
