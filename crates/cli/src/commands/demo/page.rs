//! The demonstration's web page.

use std::collections::HashMap;
use std::io::{IsTerminal as _, stdin, stdout};
use std::net::{Ipv4Addr, TcpListener};
use std::path::Path;
use std::sync::Arc;

use anyhow::Context as _;
use taonet_babelbit_dashboard::{BabelbitSection, BabelbitSettings};
use taonet_babelbit_miner::profile::ProfileName;
use taonet_babelbit_runner::RunPaths;
use taonet_chain::Network;
use taonet_dashboard::{Access, BasePath, ChainSection, Changes, Dashboard};
use taonet_http::{ServeLimits, serve};
use taonet_primitives::Hotkey;
use taonet_service::Shutdown;

use super::miner_key;
use crate::commands::dashboard::{follow_chain, follow_contest};
use crate::context::Context;
use crate::demo_chain::NETUID;

/// Port of the page; if it is taken, the page has another one.
const PORT: u16 = 8_099;

/// A page that is bound but not served yet. Browsers that connect wait.
pub(super) struct BoundPage {
    listener: TcpListener,
    url: String,
}

/// The running page.
pub(super) struct Page {
    url: String,
    changes: Changes,
    chain: Arc<ChainSection>,
    shutdown: Shutdown,
    /// Ends with the demonstration's chain, so that its last state stays on the page.
    chain_stops: Shutdown,
}

impl BoundPage {
    pub(super) fn bind() -> anyhow::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, PORT)).or_else(|_| TcpListener::bind("127.0.0.1:0"));
        let listener = listener.context("the page cannot listen on this machine\nhint: pass --no-page")?;
        let url = format!("http://{}", listener.local_addr()?);
        Ok(Self { listener, url })
    }

    pub(super) fn url(&self) -> &str {
        &self.url
    }

    /// Serves the page of a run's directory.
    pub(super) async fn serve(self, directory: &Path) -> anyhow::Result<Page> {
        let Self { listener, url } = self;
        listener.set_nonblocking(true)?;
        let listener = tokio::net::TcpListener::from_std(listener)?;
        let shutdown = Shutdown::on_signals().context("cannot install signal handlers")?;
        let changes = Changes::default();
        let settings = BabelbitSettings { paths: RunPaths::below(directory), names: names()? };
        let (babelbit, chain) = (BabelbitSection::open(settings).await, ChainSection::new(NETUID));
        let dashboard = Dashboard::new(Access::Local, BasePath::default(), changes.clone());
        let dashboard = dashboard.with(Arc::clone(&babelbit) as _).with(Arc::clone(&chain) as _);
        let router = dashboard.router(shutdown.clone());
        follow_contest(babelbit, changes.clone(), &shutdown);
        let stop = shutdown.clone();
        shutdown.spawn("page", async move { serve(listener, router, &stop, ServeLimits::default()).await });
        Ok(Page { url, changes, chain, shutdown, chain_stops: Shutdown::new() })
    }
}

impl Page {
    /// Shows the chain, until [`Self::chain_ends`].
    pub(super) fn show_chain(&self, network: Network) {
        let chain = Arc::clone(&self.chain);
        follow_chain(chain, network, self.changes.clone(), &self.shutdown, self.chain_stops.clone());
    }

    /// Stops following the chain.
    pub(super) fn chain_ends(&self) {
        self.chain_stops.request();
    }

    /// Keeps the page until Ctrl-C if a person is watching, else ends it.
    pub(super) async fn finish(self, context: &Context) -> anyhow::Result<()> {
        self.chain_ends();
        if stdin().is_terminal() && stdout().is_terminal() && !self.shutdown.is_requested() {
            context.print(&format!("The page stays at {} until you press Ctrl-C.", self.url))?;
        } else {
            self.shutdown.request();
        }
        self.shutdown.finished().await.context("the page did not stop in time")
    }
}

/// Display names of the demonstration's miners.
fn names() -> anyhow::Result<HashMap<Hotkey, String>> {
    ProfileName::ALL.into_iter().map(|name| Ok((miner_key(&name)?.hotkey(), name.to_string()))).collect()
}
