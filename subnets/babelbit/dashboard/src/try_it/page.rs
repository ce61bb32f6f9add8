//! Rendering of the page and of results.

use axum::response::Response;
use maud::{Markup, html};
use taonet_dashboard::{View, duration, live, number, printable, problem};
use taonet_primitives::Transcript;

use super::error::TryError;
use super::trial::{Figures, Trial};
use super::{MAX_SECONDS, TrySection, name};

/// Renders the page, with an error of an upload.
pub(super) fn form(section: &TrySection, view: &View, error: Option<&TryError>) -> Response {
    let body = html! {
        h1 { "Try it" }
        p.sub {
            "Speak to a miner of the contest for at most " (MAX_SECONDS) " s, or choose a recording of at most that \
             length. The miner interprets it into the contest's language (" (printable(&section.target_language)) "). Your \
             speech and the reply are deleted after 10 minutes"
            @if section.recordings.is_some() { ", unless you allow them to be kept" }
            ". The captions are those of " (section.caption_note) "."
        }
        @if let Some(error) = error { (problem("The recording was not interpreted", &error.to_string())) }
        (miners(section, view))
        (expectations())
        section.card id="try-live" aria-labelledby="try-live-title" hidden {
            h2 id="try-live-title" { "Interpretation" }
            p id="try-status" role="status" {}
            dl.captions {
                dt { "You" }
                dd { span id="try-heard" {} small id="try-heard-note" {} }
                dt { "Interpretation" }
                dd { span id="try-said" aria-live="polite" {} small id="try-said-note" {} }
            }
        }
        div id="try-result" {}
        script src=(view.href("/try/try.js")) defer {}
    };
    view.page("Try it", &body)
}

/// Renders what visitors can expect of a miner.
fn expectations() -> Markup {
    html! {
        details.card {
            summary { "What to expect" }
            ul {
                li {
                    "An interpreter starts to speak while you do, and says less than you: it leaves out fillers and \
                     repetitions. It detects your language in the first words."
                }
                li { "Speak one language, in complete sentences, close to the microphone." }
                li {
                    "Captions follow about every second, and their last words can still change. Below them are the \
                     detected language, the time that the transcription took, and how far the interpretation is behind \
                     an ideal interpreter."
                }
                li {
                    "Small models mishear names, rare words and quiet speech, more so in other languages than English, \
                     and in synthesised samples."
                }
                li {
                    "If the miner runs on the machine that serves this page, both share its processors: replies take \
                     longer while a contest is played."
                }
            }
        }
    }
}

/// Renders the form or, before the miners have started, a notice that the form replaces.
fn miners(section: &TrySection, view: &View) -> Markup {
    let miners = section.miners();
    if miners.is_empty() {
        return live("try", &html! { p.empty { "The miners have not started yet." } });
    }
    html! {
        div id="try" {
            form.card.try-form id="try-form" method="post" enctype="multipart/form-data" action=(view.href("/try"))
                data-visits=(view.href("/try/visits")) data-microphone=(view.href("/try/microphone.js"))
                data-samples=(view.href("/try/samples")) data-seconds=(MAX_SECONDS)
            {
                p.filter {
                    label for="try-miner" { "Miner" }
                    select id="try-miner" name="miner" {
                        @for miner in &miners {
                            option value=(miner.key.uid) { (printable(&name(miner))) " · uid " (miner.key.uid) }
                        }
                    }
                }
                p.filter {
                    label for="try-sound" { "Recording (WAV)" }
                    input id="try-sound" type="file" name="sound" accept=".wav,audio/wav,audio/*" required;
                    button type="submit" { "Interpret the recording" }
                }
                @if !section.samples.is_empty() {
                    // After the first button, which Enter presses.
                    p.filter role="group" aria-labelledby="try-samples" {
                        span id="try-samples" { "Sample" }
                        @for sample in &section.samples {
                            button type="submit" name="sample" value=(sample.language) title=(printable(&sample.text))
                                formnovalidate
                            { (sample.language) }
                        }
                    }
                }
                @if section.recordings.is_some() {
                    p {
                        input id="try-keep" type="checkbox" name="keep";
                        label for="try-keep" { " Keep the recordings in the directory of this contest" }
                    }
                }
                p { button.scripted id="try-speak" type="button" aria-pressed="false" { "Speak into the microphone" } }
            }
        }
    }
}

/// Renders a result.
pub(super) fn result(view: &View, trial: &Trial) -> Response {
    let recording = |file: &str| view.href(&format!("/try/results/{}/{file}", trial.id));
    let body = html! {
        (view.breadcrumbs(&[("/", "Overview"), ("/try", "Try it")], "Result"))
        h1 { "Interpretation by " (printable(&trial.name)) }
        div id="try-outcome" {
            (figures(&trial.figures))
            section.card aria-labelledby="try-recordings" {
                h2 id="try-recordings" { "Recordings" }
                @for (label, file, Transcript { text, detected_language, .. }) in
                    [("You", "source.wav", &trial.source_transcript), ("Interpretation", "reply.wav", &trial.reply_transcript)]
                {
                    div.reply-head {
                        h3 { (label) }
                        audio controls preload="metadata" src=(recording(file)) aria-label=(label) {}
                    }
                    @if text.is_empty() { p.empty { "No words were recognised." } } @else { p { (printable(text)) } }
                    @if !detected_language.is_empty() { p.sub { "Language: " (printable(detected_language)) } }
                }
                p.sub {
                    @if trial.is_stored { "The recordings are kept in the directory of this contest." }
                    @else { "The recordings are deleted after 10 minutes." }
                }
            }
        }
        p { a href=(view.href("/try")) { "Try again" } }
    };
    view.page("Result", &body)
}

fn figures(figures: &Figures) -> Markup {
    let lagging = figures.average_lagging.map(|lagging| lagging.get() / 1000.0);
    html! {
        dl.figures {
            div {
                dt { "Average lagging" }
                dd {
                    (number(lagging, 2)) " s "
                    small { "behind an ideal interpreter that speaks the same number of words" }
                }
            }
            div {
                dt { "End delay" }
                dd {
                    (duration(Some(figures.end_delay.get()))) " "
                    small { "from the end of your speech to the end of the interpretation" }
                }
            }
            div {
                dt { "Wall clock" }
                dd {
                    (duration(Some(figures.after_source.as_secs_f64()))) " "
                    small { "from your last frame to the miner's last sound" }
                }
            }
            div {
                dt { "Durations" }
                dd {
                    (number(Some(figures.source.get()), 1)) " s "
                    small { "of speech, interpreted in " (number(Some(figures.reply.get()), 1)) " s" }
                }
            }
        }
    }
}
