//! Metrics of a challenge's scores.

use std::collections::BTreeSet;

use taonet_babelbit_core::contest_scores::ContestScores;

use super::Babelbit;

impl Babelbit {
    pub(super) fn record_score_metrics(&mut self, scores: &ContestScores) {
        let combined = scores.combined(self.settings.arena_share);
        let uids: BTreeSet<_> = combined.iter().map(|(uid, _)| *uid).collect();
        for (uid, score) in combined {
            metrics::gauge!("scores_by_uid", "uid" => uid.to_string()).set(score);
        }
        // A gauge retains its last value, so the gauges of miners without a score are reset.
        for uid in self.reported_uids.difference(&uids) {
            metrics::gauge!("scores_by_uid", "uid" => uid.to_string()).set(0.0);
        }
        self.reported_uids = uids;
        let winner =
            scores.winner(self.settings.rules).map_or(f64::NAN, |winner| f64::from(winner.0));
        metrics::gauge!("current_winner_uid").set(winner);
        let entries = std::fs::read_dir(&self.settings.cache_dir).into_iter().flatten().flatten();
        let is_cache = |entry: &std::fs::DirEntry| {
            entry.path().extension().is_some_and(|kind| kind == "jsonl")
        };
        metrics::gauge!("cache_files").set(entries.filter(is_cache).count() as f64);
    }
}
