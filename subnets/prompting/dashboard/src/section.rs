use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use axum::Router;
use axum::routing::get;
use maud::Markup;
use taonet_dashboard::{Changes, Health, Link, Panel, Section, Site, View, now_unix};
use taonet_service::Shutdown;

use crate::source::Source;
use crate::{page, panels};

/// The page of text prompting, as a section of the dashboard.
#[derive(Debug)]
pub struct PromptingSection {
    source: Source,
}

impl PromptingSection {
    /// Creates an empty page for a validator, read from its state directory; [`Self::follow`] fills
    /// it.
    pub fn new(directory: PathBuf) -> Arc<Self> {
        Arc::new(Self { source: Source::new(directory) })
    }

    /// Reads the log of steps until shutdown, and reports each change.
    pub async fn follow(&self, changes: &Changes, shutdown: &Shutdown) {
        self.source.follow(changes, shutdown).await;
    }

    /// Reads the log of steps once, and reports a change.
    pub async fn read(&self, changes: &Changes) {
        self.source.read(changes).await;
    }
}

#[async_trait]
impl Section for PromptingSection {
    fn links(&self) -> Vec<Link> {
        vec![Link::new("/prompting", "Prompting")]
    }

    async fn overview(&self, view: &View) -> Markup {
        page::overview(view, &self.source.steps())
    }

    fn panels(&self) -> Vec<Panel> {
        panels::build(&self.source.steps(), now_unix())
    }

    fn problems(&self) -> Vec<String> {
        let steps = self.source.steps();
        let miners = steps.answering_miners();
        steps
            .problems(now_unix())
            .map(|(title, reason)| format!("Prompting: {title}: {reason}"))
            .chain(miners.is_minority().then(|| format!("Prompting: {miners}")))
            .collect()
    }

    fn health(&self) -> Option<Health> {
        Some(self.source.steps().health(now_unix()))
    }

    fn routes(self: Arc<Self>) -> Router<Site> {
        let page = move |view: View| async move { page::page(&view, &self.source.steps()) };
        Router::new().route("/prompting", get(page))
    }
}
