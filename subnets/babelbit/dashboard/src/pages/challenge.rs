//! The page of a challenge: for each utterance, the source and all replies on one time axis.

use std::sync::Arc;

use futures::future::{join, try_join_all};
use maud::{Markup, html};
use taonet_babelbit_core::reference::{Reference, ReferenceDocument};
use taonet_babelbit_core::scoring::ScoreOptions;
use taonet_babelbit_runner::files::Layout;
use taonet_babelbit_runner::{ChallengeRow, ResultRow, StoredScore, UtteranceRow};
use taonet_dashboard::draw::{Lane, Peaks, Piece, play_both_button, ruler};
use taonet_dashboard::{Page, Paging, Refusal, View, duration, live, number, printable, problem};
use taonet_primitives::counted;

use super::audio::layout;
use super::parts::{reply_path, score, source_path, state, stats_cells, stats_header, time};
use super::validators;
use crate::diff::compare;
use crate::index::{Challenge, MinerStats};
use crate::reply::{MAX_PIECES, is_truncated, marks, pieces};
use crate::section::BabelbitSection;
use crate::verdict::{components, decision};

/// Maximum number of replies per page.
const PER_PAGE: usize = 8;
/// Maximum number of miners in the ranking of a challenge.
const MAX_RANKED: usize = 10;
/// Maximum length, in seconds, of recordings that a browser may decode and play together.
const MAX_MIX_S: f64 = 600.0;

/// A reply with the data for drawing its lane.
struct Reply {
    stats: MinerStats,
    row: Option<ResultRow>,
    peaks: Option<Arc<Peaks>>,
    pieces: Vec<Piece>,
}

/// An utterance of a challenge, shared by the lanes of all replies.
struct Utterance<'a> {
    id: i64,
    row: &'a UtteranceRow,
    reference: Option<Reference>,
    options: ScoreOptions,
    channels: u16,
    /// Duration of the source in seconds.
    seconds: f64,
    peaks: Option<Arc<Peaks>>,
}

pub(crate) async fn page(section: &BabelbitSection, view: &View, id: i64) -> Page {
    let Some(row) = section
        .run_directory
        .challenge(id)
        .await
        .map_err(|reason| view.unavailable("Challenge", &reason.0))?
    else {
        return Err(view.missing("This challenge"));
    };
    let index = section.run_directory.index();
    let Some(challenge) = index.challenge(id) else {
        return Err(view.missing("This challenge, which is older than the latest 200,"));
    };
    // Without recorded conditions, assume the subnet's default options.
    let conditions = section.run_directory.conditions(id).await.ok().flatten();
    let options = conditions.map(|conditions| conditions.options).unwrap_or_default();
    let number: u32 = view.number("utterance").unwrap_or(1).max(1);
    let selected =
        row.utterances.iter().find(|utterance| utterance.index.checked_add(1) == Some(number));
    let content = if let Some(utterance) = selected {
        utterance_section(section, view, challenge, &row, utterance, options).await?
    } else {
        html! { p.empty { "This challenge has no utterance " (number) "." } }
    };
    let title = challenge.title();
    let body = html! {
        (view.breadcrumbs(&[("/", "Overview"), ("/challenges", "Challenges")], &title))
        h1 { (title) " " span.badge { (row.challenge_type) } }
        (live("challenge-state", &subtitle(challenge)))
        @if let Some(error) = &row.error { (problem("The challenge is incomplete", error)) }
        @if let Some(reason) = &challenge.problem { (problem("The results are unreadable", reason)) }
        (live("challenge-ranking", &ranking(section, view, challenge)))
        (live("challenge-validators", &validators::score_comparison(section, view, challenge)))
        (content)
    };
    Ok(view.page(&format!("Challenge {title}"), &body))
}

fn subtitle(challenge: &Challenge) -> Markup {
    let Challenge { header, standings, .. } = challenge;
    html! {
        p.sub {
            (state(challenge)) " · started " (time(header.started_unix)) " · " (counted(header.utterances as usize, "utterance"))
            " · " (counted(standings.len(), "miner"))
            @if header.resumes > 0 { " · resumed " (counted(header.resumes as usize, "time")) }
            // Files and logs name the challenge by its ID.
            @if header.title.is_some() { " · " span.mono { (printable(&header.challenge_uid)) } }
        }
    }
}

fn ranking(section: &BabelbitSection, view: &View, challenge: &Challenge) -> Markup {
    html! {
        section.card aria-labelledby="ranking" {
            h2 id="ranking" { "Ranking" }
            @if challenge.standings.is_empty() { p.empty { "No miner has replied yet." } } @else {
                div.scroll tabindex="0" role="group" aria-labelledby="ranking" {
                    table {
                        thead { tr { th.num scope="col" { "#" } th scope="col" { "Miner" } th.num scope="col" { "Score" } (stats_header()) } }
                        tbody {
                            @for (rank, stats) in challenge.standings.iter().take(MAX_RANKED).enumerate() {
                                tr {
                                    td.num.rank { (rank + 1) }
                                    th scope="row" { (section.miner_link(view, &stats.miner)) }
                                    td.num { (score(stats.score)) }
                                    (stats_cells(stats))
                                }
                            }
                        }
                    }
                }
                @if challenge.standings.len() > MAX_RANKED { p.sub { "The best " (MAX_RANKED) " of " (challenge.standings.len()) " miners; all replies are below." } }
            }
        }
    }
}

async fn utterance_section(
    section: &BabelbitSection,
    view: &View,
    challenge: &Challenge,
    row: &ChallengeRow,
    utterance_row: &UtteranceRow,
    options: ScoreOptions,
) -> Result<Markup, Refusal> {
    let files = layout(
        section.run_directory.paths(),
        &row.challenge_uid,
        row.challenge_type,
        &row.run_timestamp,
    );
    let document =
        row.reference.clone().and_then(|document| ReferenceDocument::parse(document).ok());
    let reference = document.and_then(|document| {
        document.find(&utterance_row.utterance_id, &options.target_language).ok()
    });
    let (seconds, channels, hash) = match &utterance_row.source {
        Ok(source) => (source.duration_sec(), source.channels, source.wav_sha256.as_str()),
        Err(_) => (0.0, 1, ""),
    };
    let mut utterance = Utterance {
        id: row.id,
        row: utterance_row,
        reference,
        options,
        channels,
        seconds,
        peaks: None,
    };
    let paging = Paging::of(view, "replies", PER_PAGE, challenge.standings.len());
    let standings = paging.slice(&challenge.standings).iter();
    let loading =
        standings.map(|stats| load_reply(section, view, &utterance, files.as_ref(), stats));
    let source = async {
        let path = files.as_ref()?.shared_source(utterance_row.index);
        section.run_directory.peaks(&path, hash).await
    };
    let (peaks, replies) = join(source, try_join_all(loading)).await;
    let replies = replies?;
    utterance.peaks = peaks;
    // All replies on the page share one time axis.
    let ends = replies
        .iter()
        .filter_map(|reply| reply.row.as_ref())
        .map(|row| row.reply.timeline.completion(channels));
    let allowed_overshoots = replies.iter().filter_map(|reply| {
        reply.row.as_ref()?.score.as_ref()?.result.latency.allowed_overshoot_sec
    });
    let latest_window_end = allowed_overshoots.fold(None, |latest: Option<f64>, overshoot| {
        Some(latest.unwrap_or(0.0).max(seconds + overshoot))
    });
    let max_end =
        ends.filter(|end| end.is_finite()).fold(latest_window_end.unwrap_or(seconds), f64::max);
    let axis = max_end.clamp(1.0, 7_200.0) * 1.01;
    let content = html! {
        section.card.source aria-label="Source" {
            div.reply-head {
                h3 {
                    "Source "
                    small { (printable(&utterance.row.language)) " · " (duration(Some(seconds))) }
                }
                @let recording = source_path(utterance.id, utterance.row.index);
                (player(view, &recording, utterance.row.source.is_ok(), "source"))
            }
            @if let Err(error) = &utterance.row.source {
                (problem("The source cannot be played", error))
            }
            (lane(axis, &utterance, None, "Waveform of the source"))
            (ruler(axis))
            @if let Some(reference) = &utterance.reference {
                p.text { span.label { "Expected" } (printable(&reference.text)) }
            } @else { p.empty { "No reference is recorded for this utterance." } }
        }
        @for reply in &replies { (card(section, view, axis, &utterance, reply)) }
    };
    Ok(html! {
        nav.tabs aria-label="Utterances" {
            @for other in &row.utterances {
                a href=(view.href_with(&[("utterance", &(other.index + 1).to_string()), ("replies", "")]))
                    aria-current=[(other.index == utterance_row.index).then_some("true")]
                { (other.index + 1) }
            }
        }
        h2 {
            "Utterance " (utterance_row.index + 1) " "
            small.sub { (printable(&utterance_row.utterance_id)) }
        }
        p.legend {
            span.key.source-key { "end of the source" } span.key.window-key { "allowed window" } span.key.end-key { "end of the reply" }
        }
        (live("utterance", &content))
        (paging.links(view, "replies"))
    })
}

async fn load_reply(
    section: &BabelbitSection,
    view: &View,
    utterance: &Utterance<'_>,
    files: Option<&Layout>,
    stats: &MinerStats,
) -> Result<Reply, Refusal> {
    let result = section.run_directory.result(utterance.id, stats.miner, utterance.row.index).await;
    let row = result.map_err(|reason| view.unavailable("Challenge", &reason.0))?;
    let hash = row.as_ref().and_then(|row| row.outcome.as_ref().ok());
    let peaks = match (files, hash) {
        (Some(files), Some(hash)) => {
            section
                .run_directory
                .peaks(&files.predicted(stats.miner, utterance.row.index), hash)
                .await
        }
        _ => None,
    };
    let pieces =
        row.as_ref().map(|row| pieces(&row.reply.timeline, utterance.channels)).unwrap_or_default();
    Ok(Reply { stats: stats.clone(), row, peaks, pieces })
}

fn player(view: &View, path: &str, is_recorded: bool, audio_name: &str) -> Markup {
    html! {
        @if is_recorded { audio controls preload="none" src=(view.href(path)) aria-label={ "Play the " (audio_name) } {} }
        @else { span.empty { "no recording" } }
    }
}

/// Draws the lane of a reply, or of the source.
fn lane(axis: f64, utterance: &Utterance<'_>, reply: Option<&Reply>, label: &str) -> Markup {
    let source = [Piece { start: 0.0, offset: 0.0, seconds: utterance.seconds }];
    let stored_score = reply.and_then(|reply| reply.row.as_ref()?.score.as_ref());
    let latency = stored_score.map(|score| &score.result.latency);
    let words = stored_score
        .and_then(|score| score.transcription.as_ref())
        .map(|transcription| transcription.transcript.words.as_slice());
    let words =
        reply.map(|reply| marks(words.unwrap_or_default(), &reply.pieces)).unwrap_or_default();
    Lane {
        axis,
        peaks: reply.map_or(utterance.peaks.as_deref(), |reply| reply.peaks.as_deref()),
        pieces: reply.map_or(source.as_slice(), |reply| reply.pieces.as_slice()),
        source_end: utterance.seconds,
        window_end: latency
            .and_then(|latency| latency.allowed_overshoot_sec)
            .map(|allowed| utterance.seconds + allowed),
        end: latency.map(|latency| latency.completion_sec),
        marks: &words,
        label,
    }
    .draw()
}

fn card(
    section: &BabelbitSection,
    view: &View,
    axis: f64,
    utterance: &Utterance<'_>,
    reply: &Reply,
) -> Markup {
    let name = section.name(&reply.stats.miner);
    let label = format!("Reply of {name} to utterance {}", utterance.row.index + 1);
    let Some(row) = &reply.row else {
        return html! {
            article.card.reply aria-label=(label) {
                div.reply-head { h3 { (section.miner_link(view, &reply.stats.miner)) } span.badge { "not played yet" } }
            }
        };
    };
    let stored_score = row.score.as_ref();
    let heading = html! {
        div.reply-head {
            h3 { (section.miner_link(view, &reply.stats.miner)) }
            @match (stored_score, &row.outcome) {
                (Some(stored_score), _) if stored_score.result.score > 0.0 => span.verdict.good { (number(Some(stored_score.result.score), 3)) },
                (Some(stored_score), _) => span.verdict.bad { (number(Some(stored_score.result.score), 3)) },
                (None, Err(_)) => span.verdict.bad { "failed" },
                (None, Ok(_)) => span.verdict { "not scored yet" },
            }
            @let recording = reply_path(utterance.id, utterance.row.index, &row.miner);
            (player(view, &recording, row.outcome.is_ok(), &format!("reply of {name}")))
            @if row.outcome.is_ok() && utterance.row.source.is_ok() && !reply.pieces.is_empty() && axis <= MAX_MIX_S {
                @let label = format!("Play both: the source on the left, the reply of {name} on the right");
                (play_both_button(&view.href(&source_path(utterance.id, utterance.row.index)), &view.href(&recording), &reply.pieces, &label))
            }
        }
    };
    html! {
        article.card.reply aria-label=(label) {
            (heading)
            @if let Err(failure) = &row.outcome { p.decided { strong { "Failed: " } (printable(&failure.0)) } }
            @if let Some(decision) = stored_score.and_then(|score| decision(score, &utterance.options)) {
                p.decided { strong { "Decided by: " } (printable(&decision)) }
            }
            (lane(axis, utterance, Some(reply), &format!("Waveform of the reply of {name}")))
            (ruler(axis))
            @if row.outcome.is_ok() && reply.peaks.is_none() && row.reply.frames > 0 {
                p.empty { "The recording is missing or damaged, so there is no waveform." }
            }
            @if is_truncated(&row.reply.timeline) {
                p.empty { "The reply arrived in more than " (MAX_PIECES) " parts; the waveform and the words of the rest are not drawn." }
            }
            @if let Some(stored_score) = stored_score {
                @let result = &stored_score.result;
                @let transcript = result.stt_text.as_deref().map(str::trim).filter(|text| !text.is_empty());
                @let (expected, actual) = compare(&result.gt_text, transcript.unwrap_or_default());
                @if transcript.is_some() {
                    p.text { span.label { "Expected" } (expected) }
                    p.text { span.label { "Heard" } (actual) }
                } @else if result.gate.is_some() {
                    p.empty { "Not transcribed: the score is 0 regardless of the transcript." }
                } @else { p.empty { "The recogniser found no words." } }
                (score_numbers(stored_score, &utterance.options, row))
            }
        }
    }
}

fn score_numbers(stored_score: &StoredScore, options: &ScoreOptions, row: &ResultRow) -> Markup {
    let components = components(stored_score, options);
    html! {
        details {
            summary { "Components of this score" }
            div.scroll tabindex="0" role="group" aria-label="Components of this score" {
                table.numbers {
                    thead { tr { th scope="col" { "Number" } th.num scope="col" { "Value" } th scope="col" { "Rule" } } }
                    tbody {
                        @for component in &components {
                            @let (class, text) = component.effect.class_and_text();
                            tr class=(class) {
                                th scope="row" { (component.name) @if !text.is_empty() { span.mark { (text) } } }
                                td.num { (component.value) }
                                td { (printable(&component.rule)) }
                            }
                        }
                        tr.neutral {
                            th scope="row" { "Wall clock" }
                            td.num { (duration(Some(row.reply.wall.after_source_sec))) }
                            td { "after the last frame; " (duration(Some(row.reply.wall.total_sec))) " in total. For information only." }
                        }
                        tr.neutral {
                            th scope="row" { "Transcript" }
                            td.num { (number(stored_score.transcription.as_ref().and_then(|transcription| transcription.confidence).map(f64::from), 2)) }
                            td { "confidence of the recogniser; language "
                                (printable(stored_score.transcription.as_ref().map_or("unknown", |transcription| transcription.transcript.detected_language.as_str()))) }
                        }
                    }
                }
            }
        }
    }
}
