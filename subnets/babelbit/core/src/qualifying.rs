//! Eligibility for the arena: miners that recently won qualifying challenges.
//!
//! The miner with the highest score above 0 in a main challenge wins it. If several miners tie for
//! the highest score, each has one win.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::contest_scores::ContestScores;
use crate::scoring_api::Contest;

/// Winner of one challenge.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Winner {
    /// Hotkey of the miner, as in the scoring API.
    pub hotkey: String,
    /// Score of the miner in the challenge.
    pub score: f64,
}

/// Returns the winners of a challenge from its rows in the scoring API. As in the computation of
/// weights, only the first row of a hotkey counts.
pub fn winners(rows: &[Value]) -> Vec<Winner> {
    let mut scores: ContestScores<&str> = ContestScores::default();
    // A miner that has deregistered since still counts as a winner.
    scores.add(rows, Contest::Main, Some);
    let best = scores.main.iter().map(|(_, score)| *score).fold(0.0, f64::max);
    let winning_scores = scores.main.iter().filter(|(_, score)| *score > 0.0 && *score >= best);
    winning_scores
        .map(|(hotkey, score)| Winner { hotkey: (*hotkey).to_owned(), score: *score })
        .collect()
}

/// Win record of a miner.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct WinRecord {
    /// Number of challenges won.
    pub wins: usize,
    /// The best winning score.
    pub best: f64,
}

/// Counts the wins of each miner.
pub fn records<'a>(wins: impl IntoIterator<Item = &'a Winner>) -> BTreeMap<&'a str, WinRecord> {
    let mut records: BTreeMap<&str, WinRecord> = BTreeMap::new();
    for win in wins {
        let record = records.entry(&win.hotkey).or_default();
        record.wins += 1;
        record.best = record.best.max(win.score);
    }
    records
}

/// A miner that applies for a slot in the arena.
#[derive(Debug, Clone, PartialEq)]
pub struct Candidate {
    /// Hotkey of the miner.
    pub hotkey: String,
    /// Win record of the miner.
    pub record: WinRecord,
    /// Time of the first application, in any unit; only the order matters.
    pub since: u64,
}

/// Selects at most `slots` miners for the arena, best first: by number of wins, then by best
/// winning score, then by earliest application. If `wins_needed`, a candidate without a win is not
/// eligible.
pub fn entrants(mut candidates: Vec<Candidate>, wins_needed: bool, slots: usize) -> Vec<Candidate> {
    candidates.retain(|candidate| !wins_needed || candidate.record.wins > 0);
    candidates.sort_by(|a, b| {
        let by_record =
            b.record.wins.cmp(&a.record.wins).then(b.record.best.total_cmp(&a.record.best));
        by_record.then(a.since.cmp(&b.since)).then_with(|| a.hotkey.cmp(&b.hotkey))
    });
    candidates.truncate(slots);
    candidates
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// Columns: rows · winners
    #[test]
    fn highest_positive_score_wins_the_challenge() {
        let row = |hotkey: &str, score: f64| json!({ "miner_hotkey": hotkey, "challenge_mean_score": score });
        for (rows, expected) in [
            (vec![], vec![]),
            (vec![row("a", 0.4), row("b", 0.7)], vec![("b", 0.7)]),
            (vec![row("a", 0.7), row("b", 0.7), row("c", 0.6)], vec![("a", 0.7), ("b", 0.7)]),
            (vec![row("a", 0.0), row("b", -1.0)], vec![]),
            (vec![row("a", 0.1), row("a", 0.9), row("b", 0.2)], vec![("b", 0.2)]),
            (
                vec![
                    json!({ "hotkey": "a", "score": 0.3, "challenge_type": "arena" }),
                    row("b", 0.1),
                ],
                vec![("b", 0.1)],
            ),
            (
                vec![json!({ "hotkey": "a", "main_score": 0.3, "arena_score": 0.9 })],
                vec![("a", 0.3)],
            ),
            (
                vec![
                    json!({ "hotkey": "a", "score": "0.3" }),
                    json!(7),
                    json!(null),
                    json!({ "score": 1 }),
                ],
                vec![],
            ),
        ] {
            let won = winners(&rows);
            let won: Vec<_> =
                won.iter().map(|winner| (winner.hotkey.as_str(), winner.score)).collect();
            assert_eq!(won, expected, "{rows:?}");
        }
    }

    /// The rows of a challenge may have more hotkeys than there are uids.
    #[test]
    fn winner_is_found_among_more_hotkeys_than_uids() {
        let mut rows: Vec<_> = (0..=u32::from(u16::MAX))
            .map(|number| json!({ "hotkey": format!("a{number}") }))
            .collect();
        rows.push(json!({ "hotkey": "b", "score": 0.7 }));
        assert_eq!(winners(&rows), [Winner { hotkey: "b".into(), score: 0.7 }]);
    }

    #[test]
    fn candidates_are_ordered_by_wins_then_score_then_age() {
        let won = |hotkey: &str, score| Winner { hotkey: hotkey.into(), score };
        let wins = [won("a", 0.5), won("b", 0.9), won("a", 0.4), won("c", 0.9)];
        let records = records(&wins);
        assert_eq!(records["a"], WinRecord { wins: 2, best: 0.5 });
        let candidate = |hotkey: &str, since| {
            let record = records.get(hotkey).copied().unwrap_or_default();
            Candidate { hotkey: hotkey.into(), record, since }
        };
        let candidates = vec![
            candidate("d", 1),
            candidate("c", 5),
            candidate("b", 5),
            candidate("a", 9),
            candidate("e", 0),
        ];
        let order = |wins_needed, slots| {
            let entrants = entrants(candidates.clone(), wins_needed, slots);
            entrants.iter().map(|entrant| entrant.hotkey.clone()).collect::<String>()
        };
        assert_eq!(order(true, 7), "abc");
        assert_eq!(order(true, 2), "ab");
        assert_eq!(order(false, 7), "abced");
    }
}
