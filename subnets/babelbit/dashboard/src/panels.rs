//! The overview in a terminal.

use taonet_babelbit_core::records::ChallengeType;
use taonet_babelbit_core::scoring::describe_failed_gates;
use taonet_babelbit_runner::{ChallengeState, RoundEnd};
use taonet_dashboard::{Column, Content, Panel, PlainTable, ago, duration, now_unix, number};

use crate::index::{CONTESTS, Index, MinerStats};
use crate::section::BabelbitSection;

/// Maximum number of challenges in a history.
const MAX_HISTORY: usize = 16;
/// Bars of a history, for scores from 0 to 1.
const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// Returns the totals, the challenges in progress, the leaderboard of each contest, and the last
/// rounds.
pub(crate) fn build(section: &BabelbitSection) -> Vec<Panel> {
    let index = section.run_directory.index();
    let mut panels = vec![totals(&index)];
    panels.extend(in_progress(&index));
    let contests: Vec<_> = CONTESTS
        .into_iter()
        .filter(|contest| index.challenges_of(*contest).next().is_some())
        .collect();
    if contests.is_empty() {
        panels.push(leaderboard(section, &index, ChallengeType::Main));
    }
    panels.extend(contests.into_iter().map(|contest| leaderboard(section, &index, contest)));
    panels.extend(rounds(&index));
    panels
}

fn table(title: impl Into<String>, content: PlainTable) -> Panel {
    Panel { title: title.into(), problem: None, content: Content::Table(content) }
}

fn totals(index: &Index) -> Panel {
    let totals = index.totals();
    let outbox = &index.outbox;
    let files =
        [(outbox.delivered, "delivered"), (outbox.waiting, "waiting"), (outbox.refused, "refused")];
    let files = files.iter().filter(|(count, state)| *count > 0 || *state == "delivered");
    let files: Vec<_> = files.map(|(count, state)| format!("{count} {state}")).collect();
    let figures = vec![
        ("Challenges", format!("{} ({} in progress)", index.challenges.len(), totals.in_progress)),
        ("Miners", totals.miners.to_string()),
        ("Replies", totals.replies.to_string()),
        ("Result files", files.join(", ")),
    ];
    let problem = index
        .problem
        .as_ref()
        .map(|reason| format!("The runner's ledger is unavailable: {reason}"));
    Panel { title: "Babelbit".to_owned(), problem, content: Content::Figures(figures) }
}

fn in_progress(index: &Index) -> Option<Panel> {
    let open = index.challenges.iter().filter(|challenge| challenge.is_open());
    let rows: Vec<_> = open
        .map(|challenge| {
            let (scored_count, expected) = challenge.progress();
            let state = match challenge.header.state {
                ChallengeState::Playing => "playing",
                ChallengeState::Partial => "partial",
                ChallengeState::Finished => "unreadable",
            };
            vec![
                challenge.title(),
                challenge.header.challenge_type.to_string(),
                state.to_owned(),
                format!("{scored_count} of {expected}"),
            ]
        })
        .collect();
    let columns = vec![
        Column::text("Challenge"),
        Column::text("Contest"),
        Column::text("State"),
        Column::number("Replies scored"),
    ];
    (!rows.is_empty()).then(|| table("In progress", PlainTable { columns, rows, empty: "" }))
}

fn leaderboard(section: &BabelbitSection, index: &Index, contest: ChallengeType) -> Panel {
    let standings = index.leaderboard(contest, MAX_HISTORY);
    let columns = vec![
        Column::number("#"),
        Column::text("Miner"),
        Column::number("Score"),
        Column::text("Over time"),
        Column::number("Accuracy"),
        Column::number("Rate"),
        Column::number("Latency"),
        Column::number("Wall clock"),
        Column::text("Lost points"),
    ];
    let row = |(rank, stats): (usize, &MinerStats)| {
        vec![
            (rank + 1).to_string(),
            section.name(&stats.miner),
            number(Some(stats.score), 3),
            bars(&stats.history),
            number(stats.accuracy, 2),
            number(stats.rate_ratio, 2),
            duration(stats.overshoot_sec),
            duration(stats.wall_after_source_sec),
            describe_failed_gates(&stats.failed_gates, stats.utterances),
        ]
    };
    let rows = standings.iter().enumerate().map(row).collect();
    let empty = "No replies yet. The leaderboard appears with the first reply.";
    table(format!("Leaderboard · {contest}"), PlainTable { columns, rows, empty })
}

fn rounds(index: &Index) -> Option<Panel> {
    let row = |round: &taonet_babelbit_runner::RoundRow| {
        let outcome = match round.end {
            RoundEnd::Played => "played",
            RoundEnd::Failed => "failed",
            RoundEnd::Waited => "waits for the next epoch",
        };
        vec![
            round.challenge_type.to_string(),
            round.epoch.map_or_else(|| "–".to_owned(), |epoch| epoch.to_string()),
            outcome.to_owned(),
            ago(round.ended_unix, now_unix()),
            index.title_of(round).unwrap_or_default(),
        ]
    };
    let columns = vec![
        Column::text("Contest"),
        Column::number("Epoch"),
        Column::text("Result"),
        Column::text("Ended"),
        Column::text("Challenge"),
    ];
    let rows: Vec<_> = index.rounds.iter().map(row).collect();
    (!rows.is_empty()).then(|| table("Last rounds", PlainTable { columns, rows, empty: "" }))
}

/// Renders one bar per challenge; a dot where the miner has no score.
fn bars(history: &[Option<f64>]) -> String {
    let bar = |score: &Option<f64>| match score.filter(|score| score.is_finite()) {
        Some(score) => {
            let is_reached = |step: usize| score >= (step as f64 - 0.5) / (BARS.len() - 1) as f64;
            BARS.iter()
                .enumerate()
                .rfind(|(step, _)| is_reached(*step))
                .map_or(BARS[0], |(_, bar)| *bar)
        }
        None => '·',
    };
    history.iter().map(bar).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sparkline_bars_follow_the_scores() {
        assert_eq!(
            bars(&[None, Some(0.0), Some(0.5), Some(1.0), Some(f64::NAN), Some(7.0)]),
            "·▁▅█·█"
        );
        assert_eq!(bars(&[]), "");
    }
}
