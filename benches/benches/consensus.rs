//! Duration of one epoch of Yuma consensus: `cargo bench -p taonet-benches --bench consensus`.
//!
//! Each figure is the best of nine runs on one core. With names of JSON files after `--`, the
//! benchmark times the epochs in these files instead and prints one JSON line for each;
//! `benches/consensus/compare` uses this mode.
#![allow(clippy::print_stdout, reason = "the figures are the output")]

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use taonet_consensus::{Case, EpochInput, Row, run, run_dense};
use taonet_primitives::Uid;

const ROUNDS: usize = 9;

fn main() -> Result<()> {
    let files: Vec<String> =
        std::env::args().skip(1).filter(|argument| !argument.starts_with("--")).collect();
    if !files.is_empty() {
        return files.iter().try_for_each(|file| time_file(Path::new(file)));
    }
    println!("neurons validators weights form    kind          time");
    for (n, validators, weights) in
        [(256, 64, 256), (4096, 64, 64), (4096, 128, 1024), (4096, 128, 4096)]
    {
        for kind in [YumaVersion::Yuma2, YumaVersion::Yuma3, YumaVersion::Liquid] {
            let input = epoch(n, validators, weights, kind);
            let time = min_duration(|| Ok(run(&input)?))?;
            println!("{n:7} {validators:10} {weights:7} sparse  {kind:7?} {:9.2} ms", millis(time));
        }
    }
    for kind in [YumaVersion::Yuma2, YumaVersion::Yuma3, YumaVersion::Liquid] {
        let input = epoch(256, 64, 256, kind);
        let time = min_duration(|| Ok(run_dense(&input)?))?;
        println!("{:7} {:10} {:7} dense   {kind:7?} {:9.2} ms", 256, 64, 256, millis(time));
    }
    Ok(())
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum YumaVersion {
    Yuma2,
    Yuma3,
    Liquid,
}

/// Returns an epoch in which the first `validators` of `n` neurons all set weights on the same
/// `weights` others, and have bonds in them.
fn epoch(n: u16, validators: u16, weights: u16, kind: YumaVersion) -> EpochInput {
    let mut random = StdRng::seed_from_u64(1);
    let mut random = || random.random::<u16>();
    let repeat_per_neuron = |value: u64| vec![value; n.into()];
    let mut rows = || -> Vec<Row> {
        let step = n / weights;
        let mut row = || (0..weights).map(|to| (Uid(to * step), random().max(1))).collect();
        (0..n).map(|uid| if uid < validators { row() } else { Row::new() }).collect()
    };
    EpochInput {
        n,
        block: 100_000,
        tempo: 360,
        activity_cutoff: 5000,
        last_mechanism_step: 99_640,
        emission: 147_600_000_000,
        weights: rows(),
        bonds: rows(),
        stake: (0..n)
            .map(|uid| if uid < validators { 1_000_000_000_000 + u64::from(random()) } else { 0 })
            .collect(),
        stake_threshold: 0,
        owner_uid: None,
        max_validators: validators,
        validator_permit: (0..n).map(|uid| uid < validators).collect(),
        last_update: repeat_per_neuron(99_900),
        block_at_registration: repeat_per_neuron(1000),
        commit_blocks: None,
        kappa: 32_767,
        bonds_penalty: u16::MAX,
        bonds_moving_average: 900_000,
        yuma3: kind != YumaVersion::Yuma2,
        liquid_alpha: kind == YumaVersion::Liquid,
        alpha_low: 45_875,
        alpha_high: 58_982,
        alpha_sigmoid_steepness: 1000,
        liquid_alpha_consensus: None,
    }
}

fn time_file(file: &Path) -> Result<()> {
    let document =
        std::fs::read(file).with_context(|| format!("cannot read {}", file.display()))?;
    let case = Case::from_json(&document)?;
    let time = min_duration(|| Ok(run(&case.input)?))?;
    println!(
        "{}",
        serde_json::json!({"id": case.id, "milliseconds": millis(time), "output": run(&case.input)?})
    );
    Ok(())
}

/// Returns the shortest duration of several runs.
fn min_duration<T>(work: impl Fn() -> Result<T>) -> Result<Duration> {
    let mut shortest = Duration::MAX;
    for _ in 0..ROUNDS {
        let started = Instant::now();
        std::hint::black_box(work()?);
        shortest = shortest.min(started.elapsed());
    }
    Ok(shortest)
}

fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}
