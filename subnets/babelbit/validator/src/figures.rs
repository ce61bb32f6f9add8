//! What the metrics show of an epoch.

use std::collections::BTreeSet;
use std::time::Instant;

use taonet_babelbit_core::weight_policy::{ContestScores, Decision, PolicyState};

use super::Validator;

impl Validator {
    pub(super) fn measure(&mut self, scores: &ContestScores, decision: &Decision, state: &PolicyState, began: Instant) {
        metrics::histogram!("taonet_validator_decision_seconds").record(began.elapsed().as_secs_f64());
        metrics::counter!("taonet_validator_epochs_total", "decision" => decision.as_str()).increment(1);
        metrics::gauge!("taonet_validator_epochs_without_scores").set(f64::from(state.epochs_without_scores));
        let combined = scores.combined(self.settings.arena_share);
        let shown: BTreeSet<_> = combined.iter().map(|(uid, _)| *uid).collect();
        for (uid, score) in combined {
            metrics::gauge!("scores_by_uid", "uid" => uid.to_string()).set(score);
        }
        // A gauge keeps its value for ever: whoever has no score any more would go on with the last one.
        for uid in self.shown.difference(&shown) {
            metrics::gauge!("scores_by_uid", "uid" => uid.to_string()).set(0.0);
        }
        self.shown = shown;
        let winner = scores.winner(self.settings.rules).map_or(f64::NAN, |winner| f64::from(winner.0));
        metrics::gauge!("current_winner_uid").set(winner);
        let entries = std::fs::read_dir(&self.settings.cache_dir).into_iter().flatten().flatten();
        let is_cache = |entry: &std::fs::DirEntry| entry.path().extension().is_some_and(|kind| kind == "jsonl");
        metrics::gauge!("cache_files").set(entries.filter(is_cache).count() as f64);
    }
}
