//! The strip at the top of each page, and its part of the overview in a terminal: whether each
//! subnet works.

use std::fmt;
use std::sync::Arc;

use maud::{Markup, html};
use taonet_primitives::counted;

use crate::format::printable;
use crate::layout::live;
use crate::panel::{Content, Panel};
use crate::site::Section;
use crate::view::View;

/// Name of the entry with the problems of sources that belong to no subnet.
const OTHER_SOURCES: &str = "Other sources";

/// Condition of a subnet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Condition {
    /// The subnet runs without a problem.
    Healthy,
    /// The subnet may run, but has a problem.
    Degraded,
    /// Nothing has been recorded for a long time.
    Stopped,
    /// Nothing has been recorded yet.
    Waiting,
}

impl Condition {
    /// Returns the condition as one word.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Healthy => "healthy",
            Self::Degraded => "degraded",
            Self::Stopped => "stopped",
            Self::Waiting => "waiting",
        }
    }
}

/// Entry of a subnet in the strip.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Health {
    /// Name of the subnet, in ASCII. Services whose names begin with it, such as `proof-miner` of
    /// `Proof`, belong to the subnet.
    pub name: &'static str,
    /// Path of its pages, beginning with a slash.
    pub path: &'static str,
    /// Its condition.
    pub condition: Condition,
    /// The most important fact, such as `12 of 12 miners answer`, without a full stop.
    pub fact: String,
}

impl Health {
    fn has_service(&self, service: &str) -> bool {
        service.split_at_checked(self.name.len()).is_some_and(|(name, role)| {
            name.eq_ignore_ascii_case(self.name)
                && (role.is_empty() || role.starts_with(['-', '_']))
        })
    }

    /// Adds a number of failed services, which is at least 1.
    fn add_failed_services(&mut self, count: usize) {
        if matches!(self.condition, Condition::Healthy | Condition::Waiting) {
            self.condition = Condition::Degraded;
            let verb = if count == 1 { "fails" } else { "fail" };
            self.fact = format!("{} {verb}", counted(count, "service"));
        }
    }
}

/// Number of miners that answer, among those queried. Displayed as `2 of 12 miners answer`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AnsweringMiners {
    /// Number of miners that answer.
    pub answering: usize,
    /// Number of all queried miners.
    pub queried: usize,
}

impl AnsweringMiners {
    /// Returns whether most miners do not answer, which is a problem of the subnet.
    pub const fn is_minority(self) -> bool {
        self.answering < self.queried.div_ceil(2)
    }
}

impl fmt::Display for AnsweringMiners {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verb = if self.answering == 1 { "answers" } else { "answer" };
        write!(f, "{} of {} {verb}", self.answering, counted(self.queried, "miner"))
    }
}

/// Returns the entries of the subnets in the order of their sections. A failed service degrades its
/// subnet: that of its name, or the only one. One more entry has the problems of no subnet, if any.
pub(crate) fn subnet_health(sections: &[Arc<dyn Section>]) -> Vec<Health> {
    let mut entries = Vec::new();
    let mut other_problems = 0_usize;
    for section in sections {
        match section.health() {
            Some(health) => entries.push(health),
            None => other_problems = other_problems.saturating_add(section.problems().len()),
        }
    }
    let services: Vec<_> = sections.iter().flat_map(|section| section.failed_services()).collect();
    let is_only = entries.len() == 1;
    for entry in &mut entries {
        let is_own = |service: &&String| is_only || entry.has_service(service);
        let count = services.iter().filter(is_own).count();
        if count > 0 {
            entry.add_failed_services(count);
            other_problems = other_problems.saturating_sub(count);
        }
    }
    if other_problems > 0 && !entries.is_empty() {
        entries.push(Health {
            name: OTHER_SOURCES,
            path: "/",
            condition: Condition::Degraded,
            fact: counted(other_problems, "problem"),
        });
    }
    entries
}

/// Renders the strip; empty without subnets. Conditions are words, not only colours.
pub(crate) fn strip(view: &View, entries: &[Health]) -> Markup {
    let list = html! {
        ul role="list" {
            @for entry in entries {
                li {
                    a href=(view.href(entry.path)) {
                        strong { (entry.name) } " "
                        span class={ "condition " (entry.condition.word()) } {
                            span aria-hidden="true" { "●" } " " (entry.condition.word())
                        }
                        " " small { (printable(&entry.fact)) }
                    }
                }
            }
        }
    };
    html! {
        @if !entries.is_empty() {
            nav.health aria-label="Health of the subnets" { (live("health", &list)) }
        }
    }
}

/// Returns the entries for a terminal; `None` without several, which the panels of a single subnet
/// replace.
pub(crate) fn panel(entries: &[Health]) -> Option<Panel> {
    if entries.len() < 2 {
        return None;
    }
    let figure = |entry: &Health| {
        (entry.name, format!("{}, {}", entry.condition.word(), printable(&entry.fact)))
    };
    let figures = entries.iter().map(figure).collect();
    Some(Panel { title: "Health".to_owned(), problem: None, content: Content::Figures(figures) })
}

#[cfg(test)]
mod tests;
