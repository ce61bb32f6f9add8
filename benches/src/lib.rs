//! Comparisons with peers, each one command.

use std::hint::black_box;
use std::time::{Duration, Instant};

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
