use std::cmp::Reverse;
use std::collections::BTreeMap;

use super::Gate;

/// Returns the reasons for lost points, most frequent first, such as `too late in 4 of 5, low
/// accuracy in 1`. `failures` is the number of failures of each gate.
pub fn describe_failed_gates(failures: &BTreeMap<Gate, usize>, utterances: usize) -> String {
    let mut failures: Vec<_> = failures.iter().collect();
    failures.sort_by_key(|(_, count)| Reverse(**count));
    let texts = failures.iter().enumerate().map(|(position, (gate, count))| {
        let total_text = if position == 0 { format!(" of {utterances}") } else { String::new() };
        format!("{} in {count}{total_text}", gate.reason())
    });
    texts.collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failed_gates_are_sorted_by_frequency() {
        let failed = [(Gate::Accuracy, 1), (Gate::TooLate, 4)].into();
        assert_eq!(describe_failed_gates(&failed, 5), "too late in 4 of 5, low accuracy in 1");
        assert_eq!(describe_failed_gates(&BTreeMap::new(), 5), "");
    }
}
