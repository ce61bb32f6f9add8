//! The list of runs, and the page of a run: each prediction with its score.

use std::io;
use std::path::Path;

use axum::response::Response;
use maud::{Markup, html};
use taonet_dashboard::{Page, Paging, View, live, number, printable, problem, shortened};
use taonet_primitives::counted;

use super::files::{self, Dialogue, DialogueDocument, Run, Runs, Utterance};

/// Number of runs on a page.
const PER_PAGE: usize = 50;

/// Renders the list of runs.
pub(super) fn list(view: &View, runs: io::Result<Runs>) -> Response {
    let body = html! {
        h1 { "Text contest" }
        section.card {
            (live("text-runs", &match runs {
                Ok(runs) => table(view, &runs),
                Err(error) => problem("The results are unreadable", &error.to_string()),
            }))
        }
    };
    view.page("Text contest", &body)
}

fn table(view: &View, list: &Runs) -> Markup {
    let paging = Paging::of(view, "page", PER_PAGE, list.runs.len());
    html! {
        @if list.unreadable > 0 {
            (problem("Some results are unreadable", &format!("{} not shown", counted(list.unreadable, "malformed file"))))
        }
        @if list.runs.is_empty() { p.empty { "There are no results." } } @else {
            div.scroll tabindex="0" role="region" aria-label="Results" {
                table {
                    thead {
                        tr {
                            th scope="col" { "Challenge" }
                            th scope="col" { "Contest" }
                            th scope="col" { "Miner" }
                            th.num scope="col" { "Score" }
                            th.num scope="col" { "Dialogues" }
                            th scope="col" { "Run" }
                        }
                    }
                    tbody {
                        @for run in paging.slice(&list.runs) {
                            tr {
                                th scope="row" {
                                    a href=(view.href(&format!("/text/{}", run.name))) { (run.challenge) }
                                }
                                td { (run.contest) }
                                td { (miner(run.miner_uid, &run.miner_hotkey)) }
                                td.num { (number(run.mean, 3)) }
                                td.num { (run.dialogues) }
                                td { (run.time()) }
                            }
                        }
                    }
                }
            }
            (paging.links(view, "results"))
        }
    }
}

/// The files of a run's page.
pub(super) struct RunPage {
    run: Run,
    /// Number of the dialogue on the page, from 1.
    number: usize,
    /// The dialogue; `None` if the run has none.
    dialogue: Option<io::Result<DialogueDocument>>,
}

impl RunPage {
    /// Reads a run and one of its dialogues, by default the first one. Blocks the thread.
    pub(super) fn read(scores: &Path, name: &str, number: Option<usize>) -> io::Result<Self> {
        let run = files::read_run(scores, name)?;
        let dialogues = run.document.dialogues.as_deref().unwrap_or_default();
        let number = number.unwrap_or(1).clamp(1, dialogues.len().max(1));
        let dialogue =
            dialogues.get(number - 1).map(|dialogue| run.dialogue(scores, &dialogue.dialogue_uid));
        Ok(Self { run, number, dialogue })
    }
}

/// Renders the page of a run.
pub(super) fn run(view: &View, page: io::Result<RunPage>) -> Page {
    let RunPage { run, number: dialogue_number, dialogue } =
        page.map_err(|_| view.missing("This result"))?;
    let content = match dialogue {
        None => html! { p.empty { "The miner predicted nothing." } },
        Some(Ok(document)) => utterances(&document),
        Some(Err(error)) => problem("This dialogue is unreadable", &error.to_string()),
    };
    let (challenge, document) = (run.challenge(), &run.document);
    let body = html! {
        (view.breadcrumbs(&[("/text", "Text contest")], &challenge))
        h1 { (challenge) }
        p {
            (miner(document.miner_uid, &document.miner_hotkey)) " · " (run.contest()) " · score "
            (number(document.mean, 3))
        }
        section.card {
            (tabs(view, document.dialogues.as_deref().unwrap_or_default(), dialogue_number))
            (content)
        }
    };
    Ok(view.page(&challenge, &body))
}

/// Renders links to the dialogues of a run.
fn tabs(view: &View, dialogues: &[Dialogue], current: usize) -> Markup {
    html! {
        @if dialogues.len() > 1 {
            nav.tabs aria-label="Dialogues" {
                @for (position, dialogue) in (1..).zip(dialogues) {
                    a href=(view.href_with(&[("dialogue", &position.to_string())]))
                        aria-current=[(position == current).then_some("page")] {
                        (printable(&dialogue.dialogue_uid)) " " small { (number(Some(dialogue.score), 3)) }
                    }
                }
            }
        }
    }
}

fn utterances(document: &DialogueDocument) -> Markup {
    html! {
        @if document.utterances.is_empty() { p.empty { "No utterance was completed." } }
        @for utterance in &document.utterances { (steps(utterance)) }
    }
}

/// Renders the predictions for an utterance, one row for each revealed word. A miner that could
/// stop would do so after the word of its best prediction.
fn steps(utterance: &Utterance) -> Markup {
    let words: Vec<_> = utterance.ground_truth.split_whitespace().collect();
    let last_needed = utterance.best_step.saturating_add(1);
    html! {
        h2 { (printable(&utterance.ground_truth)) }
        p {
            "Utterance " (utterance.number)
            @if !utterance.steps.is_empty() { " · stops after word " (last_needed) " of " (words.len().max(last_needed)) }
            " · best score " (number(Some(utterance.best), 3))
        }
        div.scroll tabindex="0" role="region" aria-label={ "Predictions for utterance " (utterance.number) } {
            table {
                thead {
                    tr {
                        th.num scope="col" { "Words" }
                        th scope="col" { "Revealed" }
                        th scope="col" { "Prediction" }
                        th.num scope="col" { "Lexical" }
                        th.num scope="col" { "Semantic" }
                        th.num scope="col" { "Earliness" }
                        th.num scope="col" { "Score" }
                    }
                }
                tbody {
                    @for step in &utterance.steps {
                        tr {
                            th.num scope="row" { (step.index.saturating_add(1)) }
                            td {
                                (printable(words.get(step.index).copied().unwrap_or_default()))
                                @if step.index > utterance.best_step { " " small { "not needed" } }
                            }
                            td {
                                (printable(&step.prediction))
                                @if step.index == utterance.best_step { " " span.badge.ok { "stops here" } }
                            }
                            td.num { (number(Some(step.lexical_similarity), 3)) }
                            td.num { (number(Some(step.semantic_similarity), 3)) }
                            td.num { (number(Some(step.earliness), 3)) }
                            td.num { (number(Some(step.score), 3)) }
                        }
                    }
                }
            }
        }
    }
}

fn miner(uid: u16, hotkey: &str) -> Markup {
    html! { "uid " (uid) " " small title=(printable(hotkey)) { (shortened(&printable(hotkey))) } }
}
