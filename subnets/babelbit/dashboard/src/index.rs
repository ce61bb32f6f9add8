//! In-memory index of the latest challenges and their scores.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use taonet_babelbit_core::Rules;
use taonet_babelbit_core::records::{ChallengeType, MinerKey};
use taonet_babelbit_core::scoring::{Gate, challenge_mean};
use taonet_babelbit_runner::{
    ChallengeHeader, ChallengeState, OutboxCounts, ResultSummary, RoundRow,
};
use taonet_dashboard::{AnsweringMiners, printable};
use taonet_primitives::Hotkey;

/// The contests, in the order of their tabs.
pub(crate) const CONTESTS: [ChallengeType; 3] =
    [ChallengeType::Main, ChallengeType::Arena, ChallengeType::Solo];

/// A challenge with its results.
#[derive(Debug)]
pub(crate) struct Challenge {
    pub(crate) header: ChallengeHeader,
    /// Results, sorted by miner and utterance.
    pub(crate) results: Vec<ResultSummary>,
    /// Statistics of the miners, best first.
    pub(crate) standings: Vec<MinerStats>,
    /// Why the results are unreadable.
    pub(crate) problem: Option<String>,
}

/// Statistics of a miner over one or several challenges. Means cover measured values only.
#[derive(Debug, Clone)]
pub(crate) struct MinerStats {
    pub(crate) miner: MinerKey,
    /// Mean score; over several challenges, the mean of the challenge means.
    pub(crate) score: f64,
    pub(crate) accuracy: Option<f64>,
    pub(crate) rate_ratio: Option<f64>,
    pub(crate) overshoot_sec: Option<f64>,
    pub(crate) wall_after_source_sec: Option<f64>,
    /// Number of utterances that failed each gate; failed replies count as
    /// [`Gate::PredictionError`].
    pub(crate) failed_gates: BTreeMap<Gate, usize>,
    /// Number of utterances with a recorded reply.
    pub(crate) utterances: usize,
    /// Number of replies without a score yet.
    pub(crate) awaiting: usize,
    /// Mean score in each of the contest's latest challenges, oldest first.
    pub(crate) history: Vec<Option<f64>>,
}

/// In-memory data of the latest challenges, for pages that show no individual replies.
#[derive(Debug, Default)]
pub(crate) struct Index {
    /// The latest challenges, newest first.
    pub(crate) challenges: Vec<Arc<Challenge>>,
    /// Display names of miners.
    pub(crate) names: Arc<HashMap<Hotkey, String>>,
    /// Last round of each contest.
    pub(crate) rounds: Vec<RoundRow>,
    /// Numbers of result files, by state of their delivery.
    pub(crate) outbox: OutboxCounts,
    /// Why the ledger is unreadable. The index then has the data of the last successful read.
    pub(crate) problem: Option<String>,
}

/// Totals over all challenges of an [`Index`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Totals {
    /// Number of challenges to which the runner may still add results.
    pub(crate) in_progress: usize,
    /// Number of distinct miners.
    pub(crate) miners: usize,
    /// Number of recorded replies.
    pub(crate) replies: usize,
}

/// Accumulator for the mean of optional values.
#[derive(Default)]
struct Mean {
    sum: f64,
    count: usize,
}

impl Mean {
    fn add(&mut self, value: Option<f64>) {
        if let Some(value) = value.filter(|value| value.is_finite()) {
            self.sum += value;
            self.count += 1;
        }
    }

    fn get(&self) -> Option<f64> {
        (self.count > 0).then(|| self.sum / self.count as f64)
    }
}

impl MinerStats {
    /// Computes a miner's statistics in one challenge of `total` utterances.
    fn of(miner: MinerKey, results: &[&ResultSummary], total: usize, rules: Rules) -> Self {
        let [mut accuracy, mut rate, mut overshoot, mut wall] = [(); 4].map(|()| Mean::default());
        let mut failed_gates = BTreeMap::new();
        let (mut scores, mut awaiting) = (Vec::new(), 0);
        for result in results {
            match (&result.score, &result.error) {
                (Some(score), _) => {
                    scores.push(score.score);
                    accuracy.add(score.accuracy);
                    rate.add(score.rate_ratio);
                    overshoot.add(score.overshoot_sec);
                    wall.add(result.wall_after_source_sec);
                    for gate in &score.failed_gates {
                        *failed_gates.entry(*gate).or_default() += 1;
                    }
                }
                (None, Some(_)) => {
                    scores.push(0.0);
                    *failed_gates.entry(Gate::PredictionError).or_default() += 1;
                }
                (None, None) => awaiting += 1,
            }
        }
        // During a challenge, the mean covers the scored utterances only.
        let rules = if awaiting > 0 { Rules::Reference } else { rules };
        Self {
            miner,
            score: challenge_mean(&scores, total, rules),
            accuracy: accuracy.get(),
            rate_ratio: rate.get(),
            overshoot_sec: overshoot.get(),
            wall_after_source_sec: wall.get(),
            failed_gates,
            utterances: results.len(),
            awaiting,
            history: Vec::new(),
        }
    }
}

impl Challenge {
    /// Creates the index entry of a challenge; `rules` determine how the mean over its utterances
    /// is computed.
    pub(crate) fn new(header: ChallengeHeader, rules: Rules, results: Vec<ResultSummary>) -> Self {
        let mut by_miner: BTreeMap<MinerKey, Vec<&ResultSummary>> = BTreeMap::new();
        for result in &results {
            by_miner.entry(result.miner).or_default().push(result);
        }
        let total = header.utterances as usize;
        let standings =
            by_miner.iter().map(|(miner, results)| MinerStats::of(*miner, results, total, rules));
        let mut standings: Vec<_> = standings.collect();
        sort_by_score(&mut standings);
        Self { header, results, standings, problem: None }
    }

    /// Creates the entry of a challenge whose results are unreadable.
    pub(crate) fn unreadable(header: ChallengeHeader, reason: String) -> Self {
        Self { problem: Some(reason), ..Self::new(header, Rules::Reference, Vec::new()) }
    }

    /// Returns the title of the challenge, else its ID, for display.
    pub(crate) fn title(&self) -> String {
        printable(self.header.title.as_ref().unwrap_or(&self.header.challenge_uid))
    }

    /// Returns a miner's statistics in this challenge.
    pub(crate) fn stats(&self, miner: &Hotkey) -> Option<&MinerStats> {
        self.standings.iter().find(|stats| stats.miner.hotkey == *miner)
    }

    /// Whether the runner may still add results.
    pub(crate) fn is_open(&self) -> bool {
        self.header.state != ChallengeState::Finished || self.problem.is_some()
    }

    /// Returns the miners with a reply that did not fail, among all miners of the challenge.
    fn answering(&self) -> AnsweringMiners {
        let successful_results = self.results.iter().filter(|result| result.error.is_none());
        let answering = successful_results.map(|result| result.miner).collect::<HashSet<_>>().len();
        AnsweringMiners { answering, queried: self.standings.len() }
    }

    /// Returns the number of scored or failed replies, and the number expected from the miners seen
    /// so far.
    pub(crate) fn progress(&self) -> (usize, usize) {
        let scored_count = self
            .results
            .iter()
            .filter(|result| result.score.is_some() || result.error.is_some())
            .count();
        (scored_count, self.standings.len() * self.header.utterances as usize)
    }
}

/// Sorts standings by score, best first.
fn sort_by_score(standings: &mut [MinerStats]) {
    standings.sort_by(|a, b| b.score.total_cmp(&a.score).then(a.miner.cmp(&b.miner)));
}

impl Index {
    /// Returns the challenges of a contest, latest first.
    pub(crate) fn challenges_of(
        &self,
        contest: ChallengeType,
    ) -> impl Iterator<Item = &Arc<Challenge>> {
        self.challenges.iter().filter(move |challenge| challenge.header.challenge_type == contest)
    }

    /// Returns totals over all challenges.
    pub(crate) fn totals(&self) -> Totals {
        let standings = self.challenges.iter().flat_map(|challenge| &challenge.standings);
        Totals {
            in_progress: self.challenges.iter().filter(|challenge| challenge.is_open()).count(),
            miners: standings.map(|stats| stats.miner).collect::<HashSet<_>>().len(),
            replies: self.challenges.iter().map(|challenge| challenge.results.len()).sum(),
        }
    }

    /// Returns the answering miners of the latest challenge that has replies; `None` without one.
    pub(crate) fn answering(&self) -> Option<AnsweringMiners> {
        let challenge = self.challenges.iter().find(|challenge| !challenge.standings.is_empty())?;
        Some(challenge.answering())
    }

    /// Returns a challenge by its row ID.
    pub(crate) fn challenge(&self, id: i64) -> Option<&Arc<Challenge>> {
        self.challenges.iter().find(|challenge| challenge.header.id == id)
    }

    /// Returns the title of a round's challenge, else its ID; `None` for a round without a
    /// challenge.
    pub(crate) fn title_of(&self, round: &RoundRow) -> Option<String> {
        let uid = round.challenge_uid.as_ref()?;
        let challenge = self
            .challenges_of(round.challenge_type)
            .find(|challenge| challenge.header.challenge_uid == *uid);
        Some(challenge.map_or_else(|| printable(uid), |challenge| challenge.title()))
    }

    /// Returns the leaderboard of a contest, best first, each miner with its scores in the latest
    /// `history` challenges.
    pub(crate) fn leaderboard(&self, contest: ChallengeType, history: usize) -> Vec<MinerStats> {
        let challenges: Vec<_> = self.challenges_of(contest).collect();
        let mut by_miner: HashMap<MinerKey, Vec<(usize, &MinerStats)>> = HashMap::new();
        for (position, challenge) in challenges.iter().enumerate() {
            for stats in &challenge.standings {
                by_miner.entry(stats.miner).or_default().push((position, stats));
            }
        }
        let challenge_count = challenges.len().min(history);
        let mut standings: Vec<_> = by_miner
            .iter()
            .map(|(miner, challenge_stats)| combine(*miner, challenge_stats, challenge_count))
            .collect();
        sort_by_score(&mut standings);
        standings
    }
}

/// Combines a miner's statistics over several challenges, each with its position, where 0 is the
/// latest.
fn combine(
    miner: MinerKey,
    challenge_stats: &[(usize, &MinerStats)],
    challenge_count: usize,
) -> MinerStats {
    let mean = |value: fn(&MinerStats) -> Option<f64>| {
        let mut mean = Mean::default();
        for (_, stats) in challenge_stats {
            mean.add(value(stats));
        }
        mean.get()
    };
    let mut failed_gates = BTreeMap::new();
    for (gate, count) in challenge_stats.iter().flat_map(|(_, stats)| &stats.failed_gates) {
        *failed_gates.entry(*gate).or_default() += count;
    }
    let mut history = vec![None; challenge_count];
    for (position, stats) in challenge_stats {
        if let Some(slot) =
            challenge_count.checked_sub(position + 1).and_then(|slot| history.get_mut(slot))
        {
            *slot = Some(stats.score);
        }
    }
    MinerStats {
        miner,
        // Challenges without a score yet do not count.
        score: mean(|stats| (stats.utterances > stats.awaiting).then_some(stats.score))
            .unwrap_or_default(),
        accuracy: mean(|stats| stats.accuracy),
        rate_ratio: mean(|stats| stats.rate_ratio),
        overshoot_sec: mean(|stats| stats.overshoot_sec),
        wall_after_source_sec: mean(|stats| stats.wall_after_source_sec),
        failed_gates,
        utterances: challenge_stats.iter().map(|(_, stats)| stats.utterances).sum(),
        awaiting: challenge_stats.iter().map(|(_, stats)| stats.awaiting).sum(),
        history,
    }
}

#[cfg(test)]
mod tests {
    use taonet_babelbit_runner::ScoreSummary;
    use taonet_primitives::Uid;

    use super::*;

    fn miner(number: u8) -> MinerKey {
        MinerKey { uid: Uid(number.into()), hotkey: Hotkey::from_bytes([number; 32]) }
    }

    fn result(number: u8, index: u32, score: Option<f64>, error: Option<&str>) -> ResultSummary {
        ResultSummary {
            miner: miner(number),
            utterance_index: index,
            error: error.map(str::to_owned),
            score: score.map(|score| ScoreSummary {
                score,
                accuracy: Some(score),
                rate_ratio: None,
                overshoot_sec: Some(1.0),
                failed_gates: if score == 0.0 { vec![Gate::Accuracy] } else { vec![] },
            }),
            wall_after_source_sec: Some(0.5),
        }
    }

    fn challenge(id: i64, rules: Rules, results: Vec<ResultSummary>) -> Challenge {
        let header = ChallengeHeader {
            id,
            challenge_uid: format!("c{id}"),
            title: None,
            challenge_type: ChallengeType::Main,
            started_unix: 0,
            state: ChallengeState::Playing,
            error: None,
            utterances: 2,
            resumes: 0,
        };
        Challenge::new(header, rules, results)
    }

    #[test]
    fn miners_of_a_challenge_are_ranked() {
        let results = vec![
            result(1, 0, Some(0.5), None),
            result(1, 1, None, Some("timeout")),
            result(2, 0, Some(1.0), None),
            result(2, 1, Some(0.0), None),
            result(3, 0, Some(0.9), None),
            result(3, 1, None, None),
        ];
        let actual = challenge(1, Rules::Reference, results);
        let summary: Vec<_> =
            actual.standings.iter().map(|s| (s.miner.uid.0, s.score, s.awaiting)).collect();
        assert_eq!(summary, [(3, 0.9, 1), (2, 0.5, 0), (1, 0.25, 0)]);
        assert_eq!(actual.standings[2].failed_gates, [(Gate::PredictionError, 1)].into());
        assert_eq!(actual.standings[1].failed_gates, [(Gate::Accuracy, 1)].into());
        assert_eq!(actual.progress(), (5, 6));
    }

    #[test]
    fn miner_with_one_successful_reply_counts_as_answering() {
        let played = challenge(
            1,
            Rules::Reference,
            vec![
                result(1, 0, None, Some("timeout")),
                result(1, 1, Some(0.5), None),
                result(2, 0, None, Some("timeout")),
                result(3, 0, None, None),
            ],
        );
        let new_challenge = challenge(2, Rules::Reference, Vec::new());
        let index = Index {
            challenges: vec![Arc::new(new_challenge), Arc::new(played)],
            ..Index::default()
        };
        assert_eq!(index.answering(), Some(AnsweringMiners { answering: 2, queried: 3 }));
        assert_eq!(Index::default().answering(), None);
    }

    #[test]
    fn strict_rules_count_missing_utterances() {
        let results = || vec![result(1, 0, Some(0.5), None)];
        let score = |rules| (rules, challenge(1, rules, results()).standings[0].score);
        let actual = [Rules::Reference, Rules::Strict].map(score);
        assert_eq!(actual, [(Rules::Reference, 0.5), (Rules::Strict, 0.25)]);
    }

    #[test]
    fn leaderboard_scores_are_means_over_challenges() {
        let first = challenge(
            1,
            Rules::Reference,
            vec![result(1, 0, Some(1.0), None), result(2, 0, Some(0.8), None)],
        );
        let second = challenge(
            2,
            Rules::Reference,
            vec![result(1, 0, Some(0.5), None), result(3, 0, None, None)],
        );
        let index =
            Index { challenges: vec![Arc::new(second), Arc::new(first)], ..Index::default() };
        let board = index.leaderboard(ChallengeType::Main, 5);
        let summary: Vec<_> =
            board.iter().map(|s| (s.miner.uid.0, s.score, s.history.clone())).collect();
        assert_eq!(
            summary,
            [
                (2, 0.8, vec![Some(0.8), None]),
                (1, 0.75, vec![Some(1.0), Some(0.5)]),
                (3, 0.0, vec![None, Some(0.0)]),
            ]
        );
        assert!(index.leaderboard(ChallengeType::Arena, 5).is_empty());
        assert_eq!(index.leaderboard(ChallengeType::Main, 1)[1].history, [Some(0.5)]);
    }
}
