//! Benchmarks of the inference market on one core: the weights of a complete subnet, and the
//! verification of one request.
//!
//! - Scoring: 256 miners that serve 10 tasks, with 144 periods (72 hours of 30 minutes each) and
//!   100 rewards for each miner and task.
//! - Transport: verification of a request's signature, and decryption of its body, a Fernet token
//!   of 2 KB.
//!
//! `cargo bench -p taonet-benches --bench nineteen`: exits with 1 if a goal is missed.
#![allow(clippy::print_stdout)]

use std::hint::black_box;
use std::process::ExitCode;
use std::time::Instant;

use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use taonet_benches::rate;
use taonet_nineteen_core::scoring::{
    Contender, PeriodRow, Reward, ScoringInput, ScoringProfile, TaskWeight, score,
};
use taonet_nineteen_transport::{FernetKey, Nonce};
use taonet_primitives::{Hotkey, Uid};
use taonet_wallet::{Keypair, verify};

const MINERS: u16 = 256;
const TASKS: usize = 10;
const PERIODS: usize = 144;
const REWARDS: usize = 100;
const ROUNDS: usize = 5;
/// Maximum time for all weights, in seconds.
const MAX_SECONDS: f64 = 1.0;
/// Required verification rate of one core, in requests per second.
const MIN_VERIFICATIONS_PER_SECOND: f64 = 10_000.0;

fn hotkey(uid: u16) -> Hotkey {
    let mut key = [7; 32];
    let [low, high] = uid.to_le_bytes();
    if let Some(first) = key.first_chunk_mut() {
        *first = [low, high];
    }
    Hotkey::from_bytes(key)
}

fn market(names: &[String]) -> ScoringInput<&str, Hotkey> {
    let mut random = StdRng::seed_from_u64(19);
    let mut noise = || random.random::<f64>();
    let tasks = names
        .iter()
        .map(|name| TaskWeight { task: name.as_str(), weight: 0.1, enabled: true })
        .collect();
    let pairs: Vec<(&str, u16)> =
        names.iter().flat_map(|name| (0..MINERS).map(move |uid| (name.as_str(), uid))).collect();
    let contender = |&(task, uid)| Contender {
        hotkey: hotkey(uid),
        uid: Uid(uid),
        task,
        capacity: 120_000.0 * noise(),
    };
    let contenders = pairs.iter().map(contender).collect();
    let (mut rewards, mut periods) = (Vec::new(), Vec::new());
    for (row, &(task, uid)) in
        (0..REWARDS.max(PERIODS)).flat_map(|row| pairs.iter().map(move |pair| (row, pair)))
    {
        let hotkey = hotkey(uid);
        if row < REWARDS {
            rewards.push(Reward {
                task,
                hotkey,
                quality: Some(noise()),
                metric: Some(100.0 * noise()),
            });
        }
        if row < PERIODS {
            periods.push(PeriodRow {
                task,
                hotkey,
                score: Some(noise()),
                volume: 10_000.0 * noise(),
            });
        }
    }
    let nodes = (0..MINERS).map(hotkey).collect();
    ScoringInput { tasks, nodes, contenders, rewards, periods }
}

/// Measures the time of all weights, in seconds.
fn scoring_seconds() -> f64 {
    let names: Vec<String> = (0..TASKS).map(|task| format!("chat-model-{task}")).collect();
    let input = market(&names);
    let rules = ScoringProfile::Reference.rules();
    let mut best = f64::INFINITY;
    for _ in 0..ROUNDS {
        let start = Instant::now();
        black_box(score(&input, &rules));
        best = best.min(start.elapsed().as_secs_f64());
    }
    println!(
        "weights of {MINERS} miners x {TASKS} tasks, {} rewards and {} periods: {:.0} ms (best of {ROUNDS} rounds), \
         {:.2} of the ceiling of {MAX_SECONDS} s",
        input.rewards.len(),
        input.periods.len(),
        best * 1e3,
        best / MAX_SECONDS
    );
    best
}

/// Measures the verified and decrypted requests per second.
fn verification_rate() -> f64 {
    let Ok(alice) = Keypair::from_uri("//Alice") else { return 0.0 };
    let (validator, key) = (alice.hotkey(), FernetKey::random());
    let message =
        format!("{}:{validator}:{}", Nonce::generate(1_795_239_890_280_961_129), "ab".repeat(32))
            .into_bytes();
    let (signature, token) = (alice.sign(&message), key.seal(&[b'x'; 2_048], 1_795_239_890));
    let open_rate = rate(|| key.open(token.as_bytes()).is_ok());
    let verify_rate = rate(|| verify(&validator, &message, &signature));
    let combined_rate =
        rate(|| verify(&validator, &message, &signature) && key.open(token.as_bytes()).is_ok());
    println!("Fernet tokens of 2 KB opened a second on one core: {open_rate:.0}");
    println!("signatures verified a second on one core: {verify_rate:.0}");
    println!(
        "both: {combined_rate:.0}, {:.1} x the floor of {MIN_VERIFICATIONS_PER_SECOND}",
        combined_rate / MIN_VERIFICATIONS_PER_SECOND
    );
    combined_rate
}

fn main() -> ExitCode {
    let (time, rate) = (scoring_seconds(), verification_rate());
    if time < MAX_SECONDS && rate > MIN_VERIFICATIONS_PER_SECOND {
        return ExitCode::SUCCESS;
    }
    println!(
        "missed: {time:.2} s of {MAX_SECONDS} s, {rate:.0} of {MIN_VERIFICATIONS_PER_SECOND} requests per second"
    );
    ExitCode::FAILURE
}
