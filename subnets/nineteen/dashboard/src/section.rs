use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use axum::Router;
use axum::extract::Path;
use axum::response::IntoResponse as _;
use axum::routing::get;
use maud::Markup;
use taonet_dashboard::{Changes, Health, Link, Panel, Section, Site, View};
use taonet_service::Shutdown;
use url::Url;

use crate::market::Activity;
use crate::source::{Source, now_ms};
use crate::{miner, page, panels};

/// The pages of Nineteen, as a section of the dashboard.
#[derive(Debug)]
pub struct NineteenSection {
    source: Source,
}

impl NineteenSection {
    /// Creates empty pages for a validator, read from its state directory, its gateway, or both;
    /// [`Self::follow`] fills them. `gateway` is the URL below which `/status.json` is served.
    pub fn new(directory: Option<PathBuf>, gateway: Option<Url>) -> Arc<Self> {
        Arc::new(Self { source: Source::new(directory, gateway) })
    }

    /// Reads the sources until shutdown, and reports each change.
    pub async fn follow(&self, changes: &Changes, shutdown: &Shutdown) {
        self.source.follow(changes, shutdown).await;
    }

    /// Reads the sources once, and reports a change.
    pub async fn read(&self, changes: &Changes) {
        self.source.read(changes).await;
    }
}

#[async_trait]
impl Section for NineteenSection {
    fn links(&self) -> Vec<Link> {
        vec![Link::new("/nineteen", "Nineteen")]
    }

    async fn overview(&self, view: &View) -> Markup {
        page::overview(view, &self.source.market(), now_ms())
    }

    fn panels(&self) -> Vec<Panel> {
        panels::build(&self.source.market(), now_ms())
    }

    fn problems(&self) -> Vec<String> {
        let market = self.source.market();
        let stopped = (market.activity(now_ms()) == Activity::Stopped)
            .then(|| "Nineteen: no period runs".to_owned());
        market
            .problems()
            .map(|(title, reason)| format!("{title}: {reason}"))
            .chain(stopped)
            .chain(market.failure().map(|failure| format!("Nineteen: {failure}")))
            .collect()
    }

    fn health(&self) -> Option<Health> {
        Some(self.source.market().health(now_ms()))
    }

    fn routes(self: Arc<Self>) -> Router<Site> {
        let section = Arc::clone(&self);
        let market = move |view: View| async move {
            page::page(&view, &section.source.market(), section.source.has_database(), now_ms())
        };
        let miner = move |view: View, Path(hotkey): Path<String>| async move {
            miner::page(&view, &self.source.market(), &hotkey).into_response()
        };
        Router::new().route("/nineteen", get(market)).route("/nineteen/miners/{hotkey}", get(miner))
    }
}
