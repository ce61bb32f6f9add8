use axum::response::Html;
use maud::{DOCTYPE, Markup, html};

use crate::assets::{ICON, SCRIPT, STYLE};
use crate::format::printable;
use crate::health;
use crate::view::{Theme, View};

/// Wraps a part of a page that the script replaces when data changes. `id` must be unique in the
/// page.
pub fn live(id: &str, body: &Markup) -> Markup {
    html! { div.live id=(id) data-live { (body) } }
}

/// Renders a box that reports a problem. `reason` may contain untrusted text; text after `hint: `
/// is shown on a separate line.
pub fn problem(title: &str, reason: &str) -> Markup {
    let (reason, hint) = split_hint(reason);
    html! {
        section.problem role="status" {
            h2 { (title) }
            p { (printable(reason)) }
            @if let Some(hint) = hint { p.hint { "Hint: " (printable(hint)) } }
        }
    }
}

/// Renders a badge with the state of a validator: "stopped" if it has written no records for a long
/// time (`is_silent`), otherwise "running" if it has written any (`is_known`). "Running" has no
/// colour: the strip at the top of the page shows whether the validator is healthy.
pub fn activity(is_known: bool, is_silent: bool) -> Markup {
    html! {
        @if is_silent { span.badge.bad { "stopped" } }
        @else if is_known { span.badge { "running" } }
    }
}

/// Splits a message into the reason and its hint, if it has one.
pub(crate) fn split_hint(message: &str) -> (&str, Option<&str>) {
    match message.split_once("hint: ") {
        Some((reason, hint)) => (reason.trim_end().trim_end_matches(';'), Some(hint)),
        None => (message, None),
    }
}

/// Renders a complete HTML document.
pub(crate) fn document(view: &View, title: &str, body: &Markup) -> Html<String> {
    let site = &view.site;
    let problems = site.problems();
    let is_current =
        |path: &str| if path == "/" { view.path() == "/" } else { view.path().starts_with(path) };
    let document = html! {
        (DOCTYPE)
        html lang="en" data-theme=(view.theme.name()) data-events=(view.href("/events"))
            data-problems=(problems.len()) {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content=(match view.theme { Theme::Auto => "light dark", theme => theme.name() });
                title { (title) " · taonet" }
                link rel="stylesheet" href=(view.href(&STYLE.path()));
                link rel="icon" type="image/svg+xml" href=(view.href(&ICON.path()));
                script src=(view.href(&SCRIPT.path())) defer {}
            }
            body {
                a.skip href="#content" { "Skip to content" }
                header.top {
                    a.brand href=(view.href("/")) {
                        img src=(view.href(&ICON.path())) alt="" width="28" height="28";
                        span { "taonet" }
                    }
                    nav.sections aria-label="Pages" {
                        ul {
                            @for link in site.links() {
                                li {
                                    a href=(view.href(&link.path)) aria-current=[is_current(&link.path).then_some("page")] {
                                        (link.label)
                                    }
                                }
                            }
                        }
                    }
                    div.tools {
                        // The script shows whether the page is updated, and how many problems there
                        // are.
                        span.pulse id="pulse" role="status" aria-live="off" hidden {}
                        nav.themes aria-label="Colour scheme" {
                            @for theme in Theme::ALL {
                                a href=(view.href(&format!("/theme/{}", theme.name())))
                                    aria-current=[(theme == view.theme).then_some("true")] { (theme.name()) }
                            }
                        }
                    }
                }
                (health::strip(view, &site.health()))
                main id="content" tabindex="-1" { (body) }
                footer { p { "Read-only · times in UTC · taonet " (env!("CARGO_PKG_VERSION")) } }
            }
        }
    };
    Html(document.into_string())
}
