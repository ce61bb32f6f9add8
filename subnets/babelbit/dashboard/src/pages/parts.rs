//! Elements that several pages share.

use maud::{Markup, html};
use taonet_babelbit_core::records::{ChallengeType, MinerKey};
use taonet_babelbit_core::scoring::describe_failed_gates;
use taonet_babelbit_runner::ChallengeState;
use taonet_dashboard::draw::{meter, sparkline};
use taonet_dashboard::{View, ago, duration, now_unix, number, problem, timestamp};
use taonet_primitives::counted;

use crate::index::{CONTESTS, Challenge, Index, MinerStats};
use crate::section::BabelbitSection;

/// Returns the contest selected in the query, else the first contest with challenges.
pub(super) fn contest(view: &View, index: &Index) -> ChallengeType {
    let requested = view.param("contest").and_then(|name| name.parse().ok());
    requested
        .or_else(|| {
            CONTESTS.into_iter().find(|contest| index.challenges_of(*contest).next().is_some())
        })
        .unwrap_or_default()
}

/// Renders the links between the contests.
pub(super) fn tabs(view: &View, index: &Index, current: ChallengeType) -> Markup {
    html! {
        nav.tabs aria-label="Contests" {
            @for contest in CONTESTS {
                @let count = index.challenges_of(contest).count();
                a href=(view.href_with(&[("contest", contest.as_str()), ("page", "")]))
                    aria-current=[(contest == current).then_some("true")] { (contest) " " span.count { (count) } }
            }
        }
    }
}

/// Renders a warning if the ledger is unreadable.
pub(super) fn warning(index: &Index) -> Markup {
    html! { @if let Some(reason) = &index.problem { (problem("The runner's ledger is unavailable", reason)) } }
}

/// Renders the progress of a challenge as a badge.
pub(super) fn state(challenge: &Challenge) -> Markup {
    let (class, text) = match challenge.header.state {
        ChallengeState::Playing => ("badge active", "playing"),
        ChallengeState::Partial => ("badge warn", "partial"),
        ChallengeState::Finished => ("badge ok", "finished"),
    };
    html! { span class=(class) { (text) } @if challenge.problem.is_some() { " " span.badge.bad { "unreadable" } } }
}

/// Renders a time and its age.
pub(super) fn time(unix: i64) -> Markup {
    html! { time datetime=(timestamp(unix)) title=(timestamp(unix)) { (ago(unix, now_unix())) } }
}

/// Renders a score with a bar.
pub(super) fn score(value: f64) -> Markup {
    html! { span.score { (number(Some(value), 3)) (meter(value, &format!("score {}", number(Some(value), 3)))) } }
}

/// Renders the header cells for the columns of [`stats_cells`].
pub(super) fn stats_header() -> Markup {
    html! {
        th.num scope="col" { "Accuracy" }
        th.num scope="col" { "Rate" }
        th.num scope="col" title="seconds after the end of the source, on the virtual clock" { "Latency" }
        th.num scope="col" title="wall-clock time from the last frame to the end of the reply" { "Wall clock" }
        th scope="col" { "Lost points" }
    }
}

/// Renders the means and lost points of a miner as table cells.
pub(super) fn stats_cells(stats: &MinerStats) -> Markup {
    html! {
        td.num { (number(stats.accuracy, 2)) }
        td.num { (number(stats.rate_ratio, 2)) }
        td.num { (duration(stats.overshoot_sec)) }
        td.num { (duration(stats.wall_after_source_sec)) }
        td.losses { (describe_failed_gates(&stats.failed_gates, stats.utterances)) }
    }
}

/// Renders a sparkline of a miner's latest scores.
pub(super) fn history(section: &BabelbitSection, stats: &MinerStats) -> Markup {
    let played_count = stats.history.iter().flatten().count();
    sparkline(
        &stats.history,
        &format!(
            "scores of {} in {}",
            section.name(&stats.miner),
            counted(played_count, "challenge")
        ),
    )
}

/// Renders the title of a challenge, or its ID if it has none, as a link to its page.
pub(super) fn challenge_link(view: &View, challenge: &Challenge) -> Markup {
    html! { a href=(view.href(&format!("/challenges/{}", challenge.header.id))) { (challenge.title()) } }
}

/// Returns the path of a source's recording.
pub(super) fn source_path(challenge: i64, utterance: u32) -> String {
    format!("/audio/{challenge}/{utterance}/source.wav")
}

/// Returns the path of a reply's recording.
pub(super) fn reply_path(challenge: i64, utterance: u32, miner: &MinerKey) -> String {
    format!("/audio/{challenge}/{utterance}/{}/{}/reply.wav", miner.uid, miner.hotkey)
}
