//! Shortens a schedule that violates an invariant, by removing faults as long as an invariant is
//! violated.

use std::fmt::Write as _;

use crate::Run;
use crate::simulation::Subnet;

/// Returns a description of the shortest schedule found.
pub(crate) fn shortest(run: &Run) -> String {
    let numbers: Vec<usize> = run.faults().iter().map(|(number, _)| *number).collect();
    let minimal = minimise(&numbers, |numbers| {
        let run = Run { only: Some(numbers.to_vec()), is_verbose: false, ..run.clone() };
        run.run().is_ok_and(|outcome| !outcome.has_passed)
    });
    let shortest = Run { only: Some(minimal.clone()), ..run.clone() };
    let list: Vec<_> = minimal.iter().map(ToString::to_string).collect();
    let mut text =
        format!("  shortest schedule (scripts/simulate {} --only={}):\n", run.seed, list.join(","));
    let subnet = Subnet::of_seed(run.seed);
    for (number, fault) in shortest.faults() {
        let _ = writeln!(text, "  {number:>3} at {}", fault.describe(subnet));
    }
    text
}

/// Removes numbers as long as `fails` holds for those that remain: halves first, then ever smaller
/// parts.
fn minimise(numbers: &[usize], fails: impl Fn(&[usize]) -> bool) -> Vec<usize> {
    let mut minimal = numbers.to_vec();
    let mut size = minimal.len().div_ceil(2);
    while size > 0 {
        let mut start = 0;
        while start < minimal.len() {
            let mut candidate = minimal.clone();
            candidate.drain(start..(start + size).min(minimal.len()));
            if fails(&candidate) {
                minimal = candidate;
            } else {
                start += size;
            }
        }
        size = if size == 1 { 0 } else { size.div_ceil(2) };
    }
    minimal
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn minimised_schedule_contains_only_needed_faults() {
        let numbers: Vec<usize> = (0..10).collect();
        let fails = |numbers: &[usize]| numbers.contains(&3) && numbers.contains(&8);
        assert_eq!(minimise(&numbers, fails), [3, 8]);
        assert_eq!(minimise(&numbers, |numbers| numbers.contains(&9)), [9]);
        assert_eq!(minimise(&numbers, |_| true), [0_usize; 0]);
    }
}
