//! Benchmarks against other implementations, one command each: `benches/SUBJECT/compare`.
//!
//! Here is what they share: rounds with the best rate, and miners in this process.
//!
//! Uses all crates that have a peer to be measured against.
//! Used by the programs in `benches/*`, and by nothing that users run.

mod echo;

use std::hint::black_box;
use std::time::{Duration, Instant};

pub use echo::Echo;

const ROUNDS: usize = 5;
const ROUND: Duration = Duration::from_secs(1);
/// The number of runs between two clock reads, so that the clock does not distort short ones.
const BETWEEN: u32 = 16;

/// The rate in runs per second: the best of five rounds of one second each.
pub fn rate<T>(mut run: impl FnMut() -> T) -> f64 {
    let mut best = 0.0_f64;
    for _ in 0..ROUNDS {
        let (start, mut runs) = (Instant::now(), 0);
        while start.elapsed() < ROUND {
            for _ in 0..BETWEEN {
                black_box(run());
            }
            runs += BETWEEN;
        }
        best = best.max(f64::from(runs) / start.elapsed().as_secs_f64());
    }
    best
}

/// The peak memory of this process, in MB; Linux only.
pub fn peak_memory() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().trim_end_matches("kB").trim().parse::<u64>().ok().map(|kilobytes| kilobytes / 1_000)
}
