//! The page of log files: events of daemons, filtered by service, level and miner.

mod entry;
mod file;
mod page;
mod source;

use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use axum::Router;
use axum::routing::get;
use maud::Markup;
use taonet_service::Shutdown;

use crate::changes::Changes;
use crate::panel::Panel;
use crate::site::{Link, Section, Site};
use crate::view::View;
use source::Source;

/// The page of log files.
pub struct LogSection {
    files: Vec<PathBuf>,
    source: Source,
}

impl LogSection {
    /// Creates an empty log page for these files; [`Self::follow`] fills it. Each file has one JSON
    /// object per line, in the format of `--log-format json`.
    pub fn new(files: Vec<PathBuf>) -> Arc<Self> {
        Arc::new(Self { files, source: Source::default() })
    }

    /// Follows the files until shutdown, and reports each change. The page reports missing files
    /// and the number of malformed lines.
    pub async fn follow(&self, changes: &Changes, shutdown: &Shutdown) {
        tokio::select! {
            () = self.source.follow(&self.files, changes) => {}
            () = shutdown.requested() => {}
        }
    }
}

#[async_trait]
impl Section for LogSection {
    fn links(&self) -> Vec<Link> {
        vec![Link::new("/log", "Log")]
    }

    async fn overview(&self, view: &View) -> Markup {
        page::overview(view, &self.source.state())
    }

    fn panels(&self) -> Vec<Panel> {
        Vec::new()
    }

    fn routes(self: Arc<Self>) -> Router<Site> {
        Router::new().route(
            "/log",
            get(move |view: View| async move { page::page(&view, &self.source.state()) }),
        )
    }
}

#[cfg(test)]
pub(crate) mod tests;
