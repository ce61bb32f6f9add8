//! Comparisons with peers, each one command.

mod echo;

use std::hint::black_box;
use std::time::{Duration, Instant};

pub use echo::Echo;

const ROUNDS: usize = 5;
const ROUND: Duration = Duration::from_secs(1);
/// Runs between two looks at the clock, so that short ones are not measured together with it.
const BETWEEN: u32 = 16;

/// Runs a second, of the best of five rounds of a second each.
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

/// The most memory that this process has had, in MB; only Linux tells.
pub fn peak_memory() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().trim_end_matches("kB").trim().parse::<u64>().ok().map(|kilobytes| kilobytes / 1_000)
}
