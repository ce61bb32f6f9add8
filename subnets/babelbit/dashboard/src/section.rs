use std::collections::HashMap;
use std::sync::Arc;
use std::time::SystemTime;

use async_trait::async_trait;
use axum::Router;
use axum::extract::Path;
use axum::http::HeaderMap;
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use maud::{Markup, html};
use taonet_babelbit_core::records::MinerKey;
use taonet_babelbit_runner::RunPaths;
use taonet_dashboard::{Changes, Link, Page, Section, Site, View, shortened, shown};
use taonet_primitives::{Hotkey, Uid};
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
        let [list, one, board, profile, sources] = std::array::from_fn(|_| Arc::clone(&self));
        let list = move |view: View| async move { challenges::page(&list, &view) };
        let one = move |view: View, Path(id): Path<i64>| async move { answer(challenge::page(&one, &view, id).await) };
        let board = move |view: View| async move { miners::page(&board, &view) };
        let profile =
            move |view: View, Path(hotkey): Path<String>| async move { answer(miner::page(&profile, &view, &hotkey)) };
        let source = move |view: View, Path((id, index)): Path<(i64, u32)>, headers: HeaderMap| async move {
            answer(audio::source(&sources, &view, id, index, &headers).await)
        };
        let reply = move |view: View,
                          Path((id, index, uid, hotkey)): Path<(i64, u32, u16, Hotkey)>,
                          headers: HeaderMap| async move {
            answer(audio::reply(&self, &view, id, index, MinerKey { uid: Uid(uid), hotkey }, &headers).await)
        };
        Router::new()
            .route("/challenges", get(list))
            .route("/challenges/{id}", get(one))
            .route("/miners", get(board))
            .route("/miners/{hotkey}", get(profile))
            .route("/audio/{challenge}/{utterance}/source.wav", get(source))
            .route("/audio/{challenge}/{utterance}/{uid}/{hotkey}/reply.wav", get(reply))
    }
}

/// A page, or the refusal in its place.
fn answer(page: Page) -> Response {
    page.into_response()
}
