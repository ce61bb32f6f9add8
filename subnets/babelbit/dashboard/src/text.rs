//! Pages of the text contest: the result files of its runner, word by word.

mod files;
mod page;

use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use axum::Router;
use axum::extract::Path;
use axum::response::IntoResponse as _;
use axum::routing::get;
use maud::{Markup, html};
use taonet_babelbit_runner::RunPaths;
use taonet_dashboard::{Changes, Link, Panel, Section, Site, View};
use taonet_service::Shutdown;
use tokio::time::{MissedTickBehavior, interval};

/// Interval at which the directory is checked for new results.
const POLL_INTERVAL: Duration = Duration::from_secs(2);

/// The pages of the text contest, as a section of the dashboard. Each request looks for new and
/// changed result files.
pub struct TextSection {
    scores: PathBuf,
    index: Mutex<files::Index>,
}

impl TextSection {
    /// Opens a run's directory; `None` if the directory has no results of the text contest.
    pub async fn open(paths: &RunPaths) -> Option<Arc<Self>> {
        let section = Arc::new(Self { scores: paths.scores.clone(), index: Mutex::default() });
        let runs = section.runs().await.ok()?;
        (!runs.runs.is_empty()).then_some(section)
    }

    /// Lists the latest runs.
    async fn runs(self: &Arc<Self>) -> io::Result<files::Runs> {
        let section = Arc::clone(self);
        blocking(move || {
            section.index.lock().unwrap_or_else(PoisonError::into_inner).list(&section.scores)
        })
        .await
    }

    /// Watches the directory until shutdown, and reports each change.
    pub async fn follow(&self, changes: &Changes, shutdown: &Shutdown) {
        let modified =
            || std::fs::metadata(&self.scores).and_then(|metadata| metadata.modified()).ok();
        let mut timer = interval(POLL_INTERVAL);
        timer.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut last_modified = modified();
        loop {
            tokio::select! {
                _ = timer.tick() => {}
                () = shutdown.requested() => return,
            }
            let current = modified();
            if current != last_modified {
                last_modified = current;
                changes.report();
            }
        }
    }
}

/// Runs work that reads files, on a thread for blocking work.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(io::Error::other)?
}

#[async_trait]
impl Section for TextSection {
    fn links(&self) -> Vec<Link> {
        vec![Link::new("/text", "Text")]
    }

    async fn overview(&self, view: &View) -> Markup {
        html! {
            section.card {
                h2 { "Text contest" }
                p { a href=(view.href("/text")) { "Predictions of each miner, word by word" } }
            }
        }
    }

    fn panels(&self) -> Vec<Panel> {
        Vec::new()
    }

    fn routes(self: Arc<Self>) -> Router<Site> {
        let section = Arc::clone(&self);
        let list = move |view: View| async move { page::list(&view, self.runs().await) };
        let run = move |view: View, Path(name): Path<String>| async move {
            let (scores, number) = (section.scores.clone(), view.number("dialogue"));
            let run_page = blocking(move || page::RunPage::read(&scores, &name, number)).await;
            page::run(&view, run_page).into_response()
        };
        Router::new().route("/text", get(list)).route("/text/{run}", get(run))
    }
}

#[cfg(test)]
mod tests;
