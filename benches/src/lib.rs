//! Benchmarks of this workspace, and comparisons with other implementations.
//!
//! - Each file in `benches/benches` measures one part of the workspace; the first lines of the file
//!   have its command.
//! - `benches/SUBJECT/compare` measures our code and another implementation, the peer, one after
//!   the other on the same machine, and prints the ratio. Absolute figures also depend on the
//!   machine and on its load.
//! - The scripts `benches/startup`, `benches/prompt` and `benches/dashboard` measure whole commands
//!   of the release build.
//! - This library has the code that the programs share: [`rate`], [`peak_memory`], and [`Echo`], a
//!   miner in the same process as the runner under test.
//!
//! docs/benchmarks.md has the results, each with its command. A new comparison is a directory with
//! a script `compare`, which installs the peer and runs both programs.
//!
//! ```no_run
//! let per_second = taonet_benches::rate(|| 2_u64.pow(10));
//! println!("{per_second:.0} powers per second");
//! ```
//!
//! Uses the crates that it measures, and those that the measurements need: `taonet-babelbit-core`,
//! `taonet-babelbit-engine`, `taonet-babelbit-runner`, `taonet-babelbit-scorer`,
//! `taonet-babelbit-text-miner`, `taonet-babelbit-text-runner`, `taonet-chain`, `taonet-consensus`,
//! `taonet-http`, `taonet-localnet`, `taonet-localnet-runtime`, `taonet-nineteen-core`,
//! `taonet-nineteen-transport`, `taonet-primitives`, `taonet-service`, `taonet-speech`,
//! `taonet-timelock`, `taonet-voice`, `taonet-wallet` and `taonet-wire`. Used by the programs in
//! `benches` only; no released binary contains it.

mod echo;

use std::hint::black_box;
use std::time::{Duration, Instant};

pub use echo::Echo;

const ROUNDS: usize = 5;
const ROUND: Duration = Duration::from_secs(1);
/// Number of runs between two clock reads, so that reading the clock does not distort the rate of
/// short runs.
const RUNS_PER_CLOCK_READ: u32 = 16;

/// Measures the rate of `run` in runs per second: the best of five rounds of one second each.
pub fn rate<T>(mut run: impl FnMut() -> T) -> f64 {
    let mut best = 0.0_f64;
    for _ in 0..ROUNDS {
        let (start, mut runs) = (Instant::now(), 0);
        while start.elapsed() < ROUND {
            for _ in 0..RUNS_PER_CLOCK_READ {
                black_box(run());
            }
            runs += RUNS_PER_CLOCK_READ;
        }
        best = best.max(f64::from(runs) / start.elapsed().as_secs_f64());
    }
    best
}

/// Returns the peak resident memory of this process in MB, or `None` on systems other than Linux.
pub fn peak_memory() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim()
        .trim_end_matches("kB")
        .trim()
        .parse::<u64>()
        .ok()
        .map(|kibibytes| kibibytes * 1_024 / 1_000_000)
}
