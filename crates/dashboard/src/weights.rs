//! The page of a validator's weights: the steps of each submission, and a comparison with the
//! weights on the chain.

mod compare;
mod page;
mod source;

use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use axum::Router;
use axum::routing::get;
use maud::Markup;
use taonet_service::Shutdown;

use crate::chain::ChainSection;
use crate::changes::Changes;
use crate::panel::Panel;
use crate::site::{Link, Section, Site};
use crate::view::View;
use source::Source;

/// The page of the weight ledger.
pub struct WeightsSection {
    source: Source,
    /// Source of the weights on the chain, for the comparison.
    chain: Option<Arc<ChainSection>>,
}

impl WeightsSection {
    /// Creates an empty page; [`Self::follow`] fills it. If `chain` is given, the page compares the
    /// submitted weights with those on the chain.
    pub fn new(chain: Option<Arc<ChainSection>>) -> Arc<Self> {
        Arc::new(Self { source: Source::default(), chain })
    }

    /// Follows the weight ledger in a directory until shutdown, and reports each change. The page
    /// reports a missing or malformed ledger.
    pub async fn follow(&self, directory: &Path, changes: &Changes, shutdown: &Shutdown) {
        tokio::select! {
            () = self.source.follow(directory, changes) => {}
            () = shutdown.requested() => {}
        }
    }

    /// Reads the weight ledger in a directory once, for instance before it is deleted.
    pub async fn read(&self, directory: &Path, changes: &Changes) {
        self.source.read(directory, &mut None, changes).await;
    }
}

#[async_trait]
impl Section for WeightsSection {
    fn links(&self) -> Vec<Link> {
        vec![Link::new("/weights", "Weights")]
    }

    async fn overview(&self, view: &View) -> Markup {
        page::overview(view, &self.source.state(), self.chain.as_deref())
    }

    fn panels(&self) -> Vec<Panel> {
        vec![page::panel(&self.source.state(), self.chain.as_deref())]
    }

    fn problems(&self) -> Vec<String> {
        self.source
            .state()
            .problem
            .clone()
            .map(|reason| format!("weight ledger: {reason}"))
            .into_iter()
            .collect()
    }

    fn routes(self: Arc<Self>) -> Router<Site> {
        Router::new().route(
            "/weights",
            get(move |view: View| async move {
                page::page(&view, &self.source.state(), self.chain.as_deref())
            }),
        )
    }
}

#[cfg(test)]
pub(crate) mod tests;
