//! The chain's pages: blocks, accounts, subnets and storage, and the neurons of a subnet.

mod account;
mod block;
mod blocks;
mod contents;
mod epochs;
mod neuron;
mod pages;
mod panels;
mod reads;
mod routes;
mod search;
mod source;
mod storage;
mod subnet;
mod subnets;
mod text;

use std::sync::Arc;

use async_trait::async_trait;
use axum::Router;
use maud::Markup;
use taonet_chain::{Chain, Metagraph, Network};
use taonet_primitives::NetUid;
use taonet_service::Shutdown;

use crate::changes::Changes;
use crate::panel::Panel;
use crate::site::{Link, Section, Site};
use crate::view::View;
use source::Source;

/// The pages of the chain, as a section of the dashboard.
pub struct ChainSection {
    netuid: NetUid,
    source: Source,
}

impl ChainSection {
    /// Creates empty pages for the chain and a subnet; [`Self::follow`] fills them.
    pub fn new(netuid: NetUid) -> Arc<Self> {
        Arc::new(Self { netuid, source: Source::default() })
    }

    /// Returns the metagraph of the last successful read; `None` before the first one.
    pub(crate) fn metagraph(&self) -> Option<Arc<Metagraph>> {
        self.source.state().metagraph.clone()
    }

    /// Reads the newest block, the subnet and the latest epochs once, for instance before the chain
    /// stops.
    pub async fn read(&self, chain: &dyn Chain, changes: &Changes) {
        self.source.read(chain, self.netuid, changes).await;
    }

    /// Follows the chain until shutdown, and reports each change. While the chain is unreachable,
    /// the pages show the error.
    pub async fn follow(&self, network: &Network, changes: &Changes, shutdown: &Shutdown) {
        tokio::select! {
            () = self.source.follow(network, self.netuid, changes) => {}
            () = shutdown.requested() => {}
        }
    }
}

#[async_trait]
impl Section for ChainSection {
    fn links(&self) -> Vec<Link> {
        vec![Link::new("/chain", "Chain")]
    }

    async fn overview(&self, view: &View) -> Markup {
        pages::overview(view, &self.source.state())
    }

    fn panels(&self) -> Vec<Panel> {
        panels::from_state(&self.source.state())
    }

    fn problems(&self) -> Vec<String> {
        self.source
            .state()
            .problem
            .clone()
            .map(|reason| format!("chain: {reason}"))
            .into_iter()
            .collect()
    }

    fn routes(self: Arc<Self>) -> Router<Site> {
        routes::section_routes(&self)
    }
}

#[cfg(test)]
pub(crate) mod tests;
