//! Sampling of results: selects those to store for checking, and the next one to check.

use std::time::Duration;

/// Maximum number of stored results of all tasks, beyond which the oldest are evicted.
const MOST_RESULTS: usize = 1_010;
/// Number of results evicted at once.
const EVICTED: usize = 10;
/// Maximum number of stored results of a task with weight 1.
const RESULTS_PER_WEIGHT: f64 = 1_000.0;
/// Initial pause after a failed check; doubles with each further failure.
const PAUSE: Duration = Duration::from_mins(1);
/// Maximum pause.
const LONGEST_PAUSE: Duration = Duration::from_mins(5);

/// Returns whether a task with `stored` results stores another one, up to `⌊1000 · weight⌋ + 1`.
pub fn keeps_another(stored: usize, weight: f64) -> bool {
    stored as f64 <= (RESULTS_PER_WEIGHT * weight).floor()
}

/// Returns the number of oldest results to evict before storing another one.
pub fn evicted(stored: usize) -> usize {
    if stored >= MOST_RESULTS { EVICTED } else { 0 }
}

/// Selects the task to check next, with a probability proportional to its stored results; `None` without results.
/// `draw` is uniform in `0..1`.
pub fn pick_task(stored: &[usize], draw: f64) -> Option<usize> {
    let total: usize = stored.iter().sum();
    let target = (draw * total as f64) as usize;
    let mut sum = 0;
    stored.iter().position(|count| {
        sum += count;
        target < sum
    })
}

/// Selects the stored result of a task to check next: the first one of the miner with the fewest rewards, as counted by
/// `rewards`.
pub fn pick_result<K>(results: &[K], rewards: impl Fn(&K) -> usize) -> Option<usize> {
    let counted = results.iter().enumerate().map(|(place, hotkey)| (rewards(hotkey), place));
    counted.min().map(|(_, place)| place)
}

/// Returns the checker's pause after `failures` consecutive failures n: `min(60 · 2^(n−1), 300)` seconds, 0 after none.
pub fn pause(failures: u32) -> Duration {
    match failures.checked_sub(1) {
        None => Duration::ZERO,
        Some(further) => PAUSE.saturating_mul(2_u32.saturating_pow(further)).min(LONGEST_PAUSE),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tasks_keep_by_weight() {
        let kept = |weight| (0..2_000).find(|stored| !keeps_another(*stored, weight));
        assert_eq!([kept(0.05), kept(0.2), kept(0.0)], [Some(51), Some(201), Some(1)]);
        assert_eq!([evicted(1_009), evicted(1_010)], [0, 10]);
    }

    #[test]
    fn tasks_are_picked_by_their_results() {
        let stored = [10, 0, 30, 60];
        for (draw, task) in [(0.0, 0), (0.099, 0), (0.1, 2), (0.399, 2), (0.4, 3), (0.999, 3)] {
            assert_eq!(pick_task(&stored, draw), Some(task), "{draw}");
        }
        assert_eq!([pick_task(&[], 0.5), pick_task(&[0, 0], 0.5)], [None; 2]);
    }

    #[test]
    fn the_least_checked_miner_comes_first() {
        let rewards = |hotkey: &&str| match *hotkey {
            "a" => 3,
            "b" | "c" => 1,
            _ => 0,
        };
        assert_eq!(pick_result(&["a", "c", "b"], rewards), Some(1));
        assert_eq!(pick_result(&["a", "b", "new"], rewards), Some(2));
        assert_eq!(pick_result(&[], rewards), None);
    }

    #[test]
    fn pauses_double_up_to_five_minutes() {
        let seconds = [0, 1, 2, 3, 4, 40, u32::MAX].map(|failures| pause(failures).as_secs());
        assert_eq!(seconds, [0, 60, 120, 240, 300, 300, 300]);
    }
}
