//! The chain's pages: blocks, and the neurons of a subnet.

mod pages;
mod source;

use std::sync::Arc;

use async_trait::async_trait;
use axum::Router;
use axum::extract::Path;
use axum::routing::get;
use maud::Markup;
use taonet_chain::Network;
use taonet_primitives::NetUid;
use taonet_service::Shutdown;

use crate::changes::Changes;
use crate::site::{Link, Section, Site};
use crate::view::View;
use source::Source;

/// The chain's pages.
pub struct ChainSection {
    netuid: NetUid,
    source: Source,
}

impl ChainSection {
    /// Pages of a subnet, without data yet; see [`Self::follow`].
    pub fn new(netuid: NetUid) -> Arc<Self> {
        Arc::new(Self { netuid, source: Source::default() })
    }

    /// Follows the chain until shutdown, and reports each change. An unreachable chain is reported by the pages.
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

    fn routes(self: Arc<Self>) -> Router<Site> {
        let one = Arc::clone(&self);
        let list = move |view: View| async move { pages::metagraph(&view, &self.source.state()) };
        let neuron =
            move |view: View, Path(uid): Path<u16>| async move { pages::neuron(&view, &one.source.state(), uid) };
        Router::new().route("/chain", get(list)).route("/chain/{uid}", get(neuron))
    }
}

#[cfg(test)]
mod tests;
