//! The overview in a terminal.

use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use crossterm::event::{Event, EventStream, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};
use futures::StreamExt as _;
use ratatui::Frame;
use taonet_service::Shutdown;
use tokio::time::{MissedTickBehavior, interval};

use crate::changes::Changes;
use crate::format::{now_unix, timestamp};
use crate::health;
use crate::site::Section;
use render::{Position, render};

mod render;

/// Interval of redrawing while no data changes, so that times such as "5 s ago" stay correct.
const REDRAW_INTERVAL: Duration = Duration::from_secs(1);
/// Number of rows that Page Up and Page Down scroll.
const PAGE: usize = 10;

/// The overview of several sections in the terminal.
pub struct Top {
    changes: Changes,
    sections: Vec<Arc<dyn Section>>,
    position: Position,
}

/// Action that a key press triggers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Action {
    Quit,
    NextTable,
    PreviousTable,
    Scroll(isize),
    First,
    Last,
}

impl Top {
    /// Creates an overview without sections. Sections that are added later report their changes
    /// through `changes`.
    pub fn new(changes: Changes) -> Self {
        Self { changes, sections: Vec::new(), position: Position::default() }
    }

    /// Adds a section to the overview.
    #[must_use]
    pub fn with(mut self, section: Arc<dyn Section>) -> Self {
        self.sections.push(section);
        self
    }

    /// Shows the overview until the user quits or the shutdown begins, then restores the terminal.
    ///
    /// # Errors
    /// When the terminal cannot be read or written.
    pub async fn run(mut self, shutdown: &Shutdown) -> io::Result<()> {
        let mut terminal = ratatui::try_init()?;
        let outcome = self.show(&mut terminal, shutdown).await;
        ratatui::try_restore()?;
        outcome
    }

    /// Draws the overview, with the time `now_unix` (in seconds since the Unix epoch) in its title.
    pub fn draw(&mut self, frame: &mut Frame<'_>, now_unix: i64) {
        let health = health::panel(&health::subnet_health(&self.sections));
        let details = self.sections.iter().flat_map(|section| section.panels());
        let panels: Vec<_> = health.into_iter().chain(details).collect();
        render(frame, &panels, &mut self.position, &timestamp(now_unix));
    }

    async fn show(
        &mut self,
        terminal: &mut ratatui::DefaultTerminal,
        shutdown: &Shutdown,
    ) -> io::Result<()> {
        let mut events = pin!(EventStream::new());
        let mut revision = self.changes.subscribe();
        let mut ticks = interval(REDRAW_INTERVAL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            terminal.draw(|frame| self.draw(frame, now_unix()))?;
            tokio::select! {
                event = events.next() => match event.transpose()? {
                    Some(Event::Key(key)) => match action(key) {
                        Some(Action::Quit) => return Ok(()),
                        Some(action) => self.position.apply(action),
                        None => {}
                    },
                    Some(_) => {}
                    None => return Ok(()),
                },
                changed = revision.changed() => if changed.is_err() { return Ok(()) },
                _ = ticks.tick() => {}
                () = shutdown.requested() => return Ok(()),
            }
        }
    }
}

fn action(key: KeyEvent) -> Option<Action> {
    if key.kind == KeyEventKind::Release {
        return None;
    }
    let page = isize::try_from(PAGE).unwrap_or(isize::MAX);
    Some(match key.code {
        KeyCode::Char('c') if key.modifiers.contains(KeyModifiers::CONTROL) => Action::Quit,
        KeyCode::Char('q') | KeyCode::Esc => Action::Quit,
        KeyCode::Tab | KeyCode::Right => Action::NextTable,
        KeyCode::BackTab | KeyCode::Left => Action::PreviousTable,
        KeyCode::Down | KeyCode::Char('j') => Action::Scroll(1),
        KeyCode::Up | KeyCode::Char('k') => Action::Scroll(-1),
        KeyCode::PageDown | KeyCode::Char(' ') => Action::Scroll(page),
        KeyCode::PageUp => Action::Scroll(-page),
        KeyCode::Home | KeyCode::Char('g') => Action::First,
        KeyCode::End | KeyCode::Char('G') => Action::Last,
        _ => return None,
    })
}

#[cfg(test)]
mod tests;
