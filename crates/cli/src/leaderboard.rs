//! The leaderboard: scores of miners and the reasons for lost points.

use std::collections::BTreeMap;
use taonet_primitives::counted;

use taonet_babelbit_core::scoring::Gate;
use taonet_babelbit_runner::{MinerReport, RunOutcome, RunReport};

use crate::printable::printable;
use crate::table::{decimals, table};
use crate::tables::LEADERBOARD;

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
    let mut miners: Vec<_> = report.miners.iter().collect();
    miners.sort_by(|a, b| b.score.total_cmp(&a.score).then(a.uid.cmp(&b.uid)));
    let mut rows = table(&LEADERBOARD);
    for miner in miners {
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

/// Latency: end of the reply after the end of the source, in seconds of frame time.
pub(crate) fn late_by(seconds: Option<f64>) -> String {
    seconds.map_or_else(|| "–".to_owned(), |seconds| format!("{seconds:.1} s"))
}
