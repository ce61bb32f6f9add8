//! The leaderboard: scores of miners and the reasons for lost points.

use std::collections::BTreeMap;
use taonet_primitives::counted;

use taonet_babelbit_core::field_metrics::ChallengeMetrics;
use taonet_babelbit_core::scoring::Gate;
use taonet_babelbit_runner::{MinerReport, RunOutcome, RunReport};

use crate::printable::printable;
use crate::table::{decimals, table};
use crate::tables::{FIELD_METRICS, LEADERBOARD};

/// Display name of a miner.
pub(crate) fn name_of(miner: &MinerReport) -> String {
    miner.name.clone().unwrap_or_else(|| miner.uid.to_string())
}

/// Reasons for lost points, most frequent first, such as `too late in 4 of 5, wrong meaning in 1`.
pub(crate) fn losses(failed: &BTreeMap<Gate, usize>, utterances: usize) -> String {
    let mut failed: Vec<_> = failed.iter().collect();
    failed.sort_by_key(|(_, count)| std::cmp::Reverse(**count));
    let texts = failed.iter().enumerate().map(|(position, (gate, count))| {
        let of = if position == 0 { format!(" of {utterances}") } else { String::new() };
        format!("{} in {count}{of}", explain(**gate))
    });
    texts.collect::<Vec<_>>().join(", ")
}

/// Text for a gate or failure.
pub(crate) const fn explain(gate: Gate) -> &'static str {
    match gate {
        Gate::PredictionError => "invalid response",
        Gate::NoAudio => "no audio",
        Gate::TooLate => "too late",
        Gate::NoSpeech => "no speech recognised",
        Gate::Language => "wrong language",
        Gate::Accuracy => "wrong meaning",
        Gate::Rate => "wrong speaking rate",
        _ => "could not be scored",
    }
}

/// Leaderboard of one challenge.
pub(crate) fn challenge(report: &RunReport) -> String {
    let outcome = match report.outcome {
        RunOutcome::Finished => "played",
        RunOutcome::Partial => "partly played",
        RunOutcome::AlreadyDone => "already done",
        _ => "no challenge",
    };
    let mut rows = table(&LEADERBOARD);
    for miner in by_score(report) {
        rows.add_row([
            name_of(miner),
            miner.uid.to_string(),
            decimals(Some(miner.score), 3),
            decimals(miner.accuracy, 2),
            decimals(miner.rate_ratio, 2),
            late_by(miner.overshoot_sec),
            decimals(miner.wall_after_source_sec, 2),
            losses(&miner.failed_gates, miner.utterances.len()),
        ]);
    }
    let error =
        report.error.as_ref().map(|error| format!("\nthe engine failed: {}", printable(error))).unwrap_or_default();
    format!(
        "{} · {outcome} · {} in {:.1} s{error}\n{rows}",
        printable(&report.challenge_uid),
        counted(report.utterances, "utterance"),
        report.wall_sec
    )
}

/// Speech translation metrics in the leaderboard's order; docs/metrics.md defines them.
pub(crate) fn field_metrics(report: &RunReport) -> String {
    let mut rows = table(&FIELD_METRICS);
    for miner in by_score(report) {
        let metrics = miner.metrics.as_ref();
        let percent = |value: fn(&ChallengeMetrics) -> f64| decimals(metrics.map(value), 1);
        let seconds = |value: fn(&ChallengeMetrics) -> Option<f64>| {
            decimals(metrics.and_then(value).map(|milliseconds| milliseconds / 1000.0), 2)
        };
        rows.add_row([
            name_of(miner),
            metrics.map_or(0, |metrics| metrics.replies).to_string(),
            percent(|metrics| metrics.wer),
            percent(|metrics| metrics.bleu),
            percent(|metrics| metrics.chrf),
            seconds(|metrics| metrics.al_ms),
            seconds(|metrics| metrics.laal_ms),
            seconds(|metrics| metrics.atd_ms),
        ]);
    }
    format!("metrics of the field, not part of the score; lags in seconds\n{rows}")
}

/// The miners, best first.
fn by_score(report: &RunReport) -> Vec<&MinerReport> {
    let mut miners: Vec<_> = report.miners.iter().collect();
    miners.sort_by(|a, b| b.score.total_cmp(&a.score).then(a.uid.cmp(&b.uid)));
    miners
}

/// Latency: end of the reply after the end of the source, in seconds of frame time.
pub(crate) fn late_by(seconds: Option<f64>) -> String {
    seconds.map_or_else(|| "–".to_owned(), |seconds| format!("{seconds:.1} s"))
}
