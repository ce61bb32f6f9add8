use std::collections::HashMap;
use std::sync::Arc;
use std::time::SystemTime;

use async_trait::async_trait;
use axum::Router;
use axum::routing::get;
use maud::{Markup, html};
use taonet_babelbit_core::records::MinerKey;
use taonet_babelbit_runner::RunPaths;
use taonet_dashboard::{Changes, Link, Page, Section, Site, View, shortened, shown};
use taonet_primitives::Hotkey;
use taonet_service::{Shutdown, unix_time};

use crate::pages::{audio, challenge, challenges, miner, miners, overview};
use crate::source::Source;

/// Settings of Babelbit's pages.
#[derive(Debug, Clone)]
pub struct BabelbitSettings {
    /// Directories of the run.
    pub paths: RunPaths,
    /// Display names of miners.
    pub names: HashMap<Hotkey, String>,
}

/// Babelbit's pages.
pub struct BabelbitSection {
    pub(crate) source: Source,
    names: HashMap<Hotkey, String>,
}

impl BabelbitSection {
    /// Reads the run's directory. A missing or malformed ledger is reported by the pages.
    pub async fn open(settings: BabelbitSettings) -> Arc<Self> {
        Arc::new(Self { source: Source::open(settings.paths).await, names: settings.names })
    }

    /// Follows the runner until shutdown, and reports each change.
    pub async fn follow(&self, changes: &Changes, shutdown: &Shutdown) {
        self.source.follow(changes, shutdown).await;
    }

    /// Display name of a miner: its name, else its uid.
    pub(crate) fn name(&self, miner: &MinerKey) -> String {
        match self.names.get(&miner.hotkey) {
            Some(name) => shown(name),
            None => format!("Miner {}", miner.uid),
        }
    }

    /// Name and hotkey of a miner, linked to its page.
    pub(crate) fn miner_link(&self, view: &View, miner: &MinerKey) -> Markup {
        let hotkey = miner.hotkey.to_string();
        html! {
            a.miner href=(view.href(&format!("/miners/{hotkey}"))) {
                strong { (self.name(miner)) }
                small title=(hotkey) { "uid " (miner.uid) " · " (shortened(&hotkey)) }
            }
        }
    }
}

/// The current time in seconds since the Unix epoch.
pub(crate) fn now_unix() -> i64 {
    i64::try_from(unix_time(SystemTime::now()).as_secs()).unwrap_or(i64::MAX)
}

#[async_trait]
impl Section for BabelbitSection {
    fn links(&self) -> Vec<Link> {
        vec![Link::new("/challenges", "Challenges"), Link::new("/miners", "Miners")]
    }

    async fn overview(&self, view: &View) -> Markup {
        overview::render(self, view)
    }

    fn routes(self: Arc<Self>) -> Router<Site> {
        let with = |section: &Arc<Self>| Arc::clone(section);
        let (list, one, board, profile) = (with(&self), with(&self), with(&self), with(&self));
        let (sources, replies) = (with(&self), self);
        Router::new()
            .route("/challenges", get(async move |view: View| challenges::page(&list, &view)))
            .route(
                "/challenges/{id}",
                get(async move |view: View, path| answer(challenge::page(&one, &view, path).await)),
            )
            .route("/miners", get(async move |view: View| miners::page(&board, &view)))
            .route("/miners/{hotkey}", get(async move |view: View, path| answer(miner::page(&profile, &view, path))))
            .route(
                "/audio/{challenge}/{utterance}/source.wav",
                get(async move |view: View, path, headers| {
                    answer(audio::source(&sources, &view, path, &headers).await)
                }),
            )
            .route(
                "/audio/{challenge}/{utterance}/{uid}/{hotkey}/reply.wav",
                get(async move |view: View, path, headers| answer(audio::reply(&replies, &view, path, &headers).await)),
            )
    }
}

fn answer(page: Page) -> axum::response::Response {
    page.unwrap_or_else(|refusal| refusal)
}
