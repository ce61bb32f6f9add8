//! The leaderboard: scores of miners and the reasons for lost points.

use taonet_babelbit_core::scoring::describe_failed_gates;
use taonet_babelbit_runner::{MinerReport, RunOutcome, RunReport};
use taonet_cli_base::printable::printable;
use taonet_cli_base::table::{decimals, table, wrap_text};
use taonet_cli_base::tables::{FIELD_METRICS, LEADERBOARD};
use taonet_primitives::counted;

/// Returns the display name of a miner.
pub fn display_name(miner: &MinerReport) -> String {
    miner.name.clone().unwrap_or_else(|| miner.uid.to_string())
}

/// Formats the leaderboard of one challenge.
pub(crate) fn format_challenge(report: &RunReport) -> String {
    let outcome = match report.outcome {
        RunOutcome::Finished => "played",
        RunOutcome::Partial => "partly played",
        RunOutcome::AlreadyDone => "already done",
        _ => "no challenge",
    };
    let mut rows = table(&LEADERBOARD);
    for miner in miners_by_score(report) {
        rows.add_row([
            display_name(miner),
            miner.uid.to_string(),
            decimals(Some(miner.score), 3),
            decimals(miner.accuracy, 2),
            decimals(miner.rate_ratio, 2),
            format_latency(miner.overshoot_sec),
            decimals(miner.wall_after_source_sec, 2),
            describe_failed_gates(&miner.failed_gates, miner.utterances.len()),
        ]);
    }
    let error = report
        .error
        .as_ref()
        .map(|error| format!("\nthe engine failed: {}", printable(error)))
        .unwrap_or_default();
    let heading = format!(
        "{} · {outcome} · {} in {:.1} s",
        printable(report.title.as_ref().unwrap_or(&report.challenge_uid)),
        counted(report.utterances, "utterance"),
        report.wall_sec
    );
    format!("{}{error}\n{rows}", wrap_text(&heading))
}

/// Formats speech translation metrics in the leaderboard's order; docs/metrics.md defines them.
pub(crate) fn format_field_metrics(report: &RunReport) -> String {
    let mut rows = table(&FIELD_METRICS);
    for miner in miners_by_score(report) {
        let metrics = miner.metrics.as_ref();
        rows.add_row([
            display_name(miner),
            metrics.map_or(0, |metrics| metrics.replies).to_string(),
            decimals(metrics.map(|metrics| metrics.wer), 1),
            decimals(metrics.map(|metrics| metrics.bleu), 1),
            decimals(metrics.map(|metrics| metrics.chrf), 1),
            format_seconds(metrics.and_then(|metrics| metrics.al_ms)),
            format_seconds(metrics.and_then(|metrics| metrics.laal_ms)),
            format_seconds(metrics.and_then(|metrics| metrics.atd_ms)),
        ]);
    }
    format!(
        "{}\n{rows}",
        wrap_text("standard translation metrics, not part of the score; lags in seconds")
    )
}

fn format_seconds(milliseconds: Option<f64>) -> String {
    decimals(milliseconds.map(|milliseconds| milliseconds / 1000.0), 2)
}

/// Returns the miners by descending score.
fn miners_by_score(report: &RunReport) -> Vec<&MinerReport> {
    let mut miners: Vec<_> = report.miners.iter().collect();
    miners.sort_by(|a, b| b.score.total_cmp(&a.score).then(a.uid.cmp(&b.uid)));
    miners
}

/// Formats the latency: the time from the end of the source to the end of the reply, in seconds of
/// frame time.
pub fn format_latency(seconds: Option<f64>) -> String {
    seconds.map_or_else(|| "–".to_owned(), |seconds| format!("{seconds:.1} s"))
}
