use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use axum::Router;
use axum::extract::Path;
use axum::http::HeaderMap;
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use maud::{Markup, html};
use taonet_babelbit_core::records::MinerKey;
use taonet_babelbit_runner::RunPaths;
use taonet_babelbit_scoring_api::ScoresClient;
use taonet_dashboard::{
    Changes, Condition, Health, Link, Page, Panel, Section, Site, View, activity, ago, now_unix,
    printable, shortened,
};
use taonet_primitives::{Hotkey, Uid};
use taonet_service::Shutdown;

use crate::pages::{audio, challenge, challenges, miner, miners, overview};
use crate::panels;
use crate::source::{LEDGER, RunDirectory};
use crate::validators::Validators;

/// Maximum age of the runner's heartbeat, in seconds; the daemon updates it every minute.
const MAX_HEARTBEAT_AGE: i64 = 600;
/// Why the runner counts as stopped.
const STALE_REASON: &str = "it has had no heartbeat for more than 10 minutes; \
                            hint: is `bb runner` running? Its log has the reason";

/// The pages of Babelbit, as a section of the dashboard.
pub struct BabelbitSection {
    pub(crate) run_directory: RunDirectory,
    pub(crate) validators: Validators,
    /// Whether the runner has stopped on purpose.
    has_ended: AtomicBool,
}

impl BabelbitSection {
    /// Opens the directory of a run. A missing or malformed ledger is not an error: the pages
    /// report it.
    pub async fn open(paths: RunPaths) -> Arc<Self> {
        let run_directory = RunDirectory::open(paths).await;
        Arc::new(Self {
            run_directory,
            validators: Validators::default(),
            has_ended: AtomicBool::default(),
        })
    }

    /// Returns whether a directory has the ledger of the speech contest, whose results this section
    /// shows.
    pub fn has_ledger(paths: &RunPaths) -> bool {
        paths.state.join(LEDGER).exists()
    }

    /// Watches the runner's ledger until shutdown, and reports each change.
    pub async fn follow(&self, changes: &Changes, shutdown: &Shutdown) {
        self.run_directory.follow(changes, shutdown).await;
    }

    /// Reads the scores of all validators from the scoring API until shutdown, and reports each
    /// change. The pages of challenges then show these scores beside the runner's.
    pub async fn follow_scores(
        &self,
        client: &ScoresClient,
        changes: &Changes,
        shutdown: &Shutdown,
    ) {
        self.validators.follow(client, &self.run_directory, changes, shutdown).await;
    }

    /// Reads the ledger and the scoring API once, for instance before the scoring API stops.
    pub async fn read(&self, client: &ScoresClient, changes: &Changes) {
        if self.run_directory.reread().await {
            changes.report();
        }
        self.validators.read(client, &self.run_directory.index(), changes).await;
    }

    /// Marks the runner as stopped on purpose, such as at the end of a demonstration, and reports
    /// the change.
    pub fn end(&self, changes: &Changes) {
        self.has_ended.store(true, Ordering::Relaxed);
        changes.report();
    }

    /// Renders the state of the runner: running or stopped.
    pub(crate) fn activity(&self) -> Markup {
        let last = self.run_directory.last_heartbeat();
        activity(last.is_some(), self.has_ended() || is_heartbeat_stale(last))
    }

    fn has_ended(&self) -> bool {
        self.has_ended.load(Ordering::Relaxed)
    }

    /// Returns why the ledger of a run that has begun is unreadable. A run that has not begun has
    /// no ledger, which is not a failure.
    fn ledger_problem(&self) -> Option<String> {
        let index = self.run_directory.index();
        let has_started =
            !index.challenges.is_empty() || Self::has_ledger(self.run_directory.paths());
        index.problem.clone().filter(|_| has_started)
    }

    /// Returns title and reason of an unexpected stop of the runner; `None` if it runs or was stopped
    /// on purpose. Only its daemon records rounds: a single contest, such as that of the
    /// demonstration, may end.
    pub(crate) fn unexpected_stop(&self) -> Option<(&'static str, &'static str)> {
        let is_daemon = !self.run_directory.index().rounds.is_empty() && !self.has_ended();
        (is_daemon && is_heartbeat_stale(self.run_directory.last_heartbeat()))
            .then_some(("The runner has stopped", STALE_REASON))
    }

    /// Returns the display name of a miner, or `Miner UID` if it has none.
    pub(crate) fn name(&self, miner: &MinerKey) -> String {
        match self.run_directory.index().names.get(&miner.hotkey) {
            Some(name) => printable(name),
            None => format!("Miner {}", miner.uid),
        }
    }

    /// Renders the name and hotkey of a miner as a link to its page.
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

#[async_trait]
impl Section for BabelbitSection {
    fn links(&self) -> Vec<Link> {
        vec![Link::new("/challenges", "Challenges"), Link::new("/miners", "Miners")]
    }

    async fn overview(&self, view: &View) -> Markup {
        overview::render(self, view)
    }

    fn panels(&self) -> Vec<Panel> {
        panels::build(self)
    }

    fn problems(&self) -> Vec<String> {
        let ledger = self.ledger_problem().map(|reason| format!("ledger: {reason}"));
        let scores =
            self.validators.state().problem.as_ref().map(|reason| format!("scoring API: {reason}"));
        let stopped = self.unexpected_stop().map(|(title, reason)| format!("{title}: {reason}"));
        let miners = self.run_directory.index().answering().filter(|miners| miners.is_minority());
        let miners = miners.map(|miners| format!("Babelbit: {miners}"));
        ledger.into_iter().chain(scores).chain(stopped).chain(miners).collect()
    }

    fn health(&self) -> Option<Health> {
        let last = self.run_directory.last_heartbeat();
        let (condition, fact) = match (last, self.run_directory.index().answering()) {
            _ if self.has_ended() => (Condition::Stopped, "the contest has ended".to_owned()),
            (Some(last), _) if is_heartbeat_stale(Some(last)) => {
                (Condition::Stopped, format!("last heartbeat {}", ago(last, now_unix())))
            }
            _ if self.ledger_problem().is_some() => {
                (Condition::Degraded, "the runner's ledger is unavailable".to_owned())
            }
            _ if self.validators.state().problem.is_some() => {
                (Condition::Degraded, "the scoring API is unavailable".to_owned())
            }
            (_, Some(miners)) if miners.is_minority() => (Condition::Degraded, miners.to_string()),
            (_, Some(miners)) => (Condition::Healthy, miners.to_string()),
            (_, None) => (Condition::Waiting, "no challenge yet".to_owned()),
        };
        Some(Health { name: "Babelbit", path: "/#babelbit", condition, fact })
    }

    fn routes(self: Arc<Self>) -> Router<Site> {
        let [challenge_list, challenge_page, leaderboard, miner_page, sources] =
            std::array::from_fn(|_| Arc::clone(&self));
        let challenge_list =
            move |view: View| async move { challenges::page(&challenge_list, &view) };
        let challenge_page = move |view: View, Path(id): Path<i64>| async move {
            page_response(challenge::page(&challenge_page, &view, id).await)
        };
        let leaderboard = move |view: View| async move { miners::page(&leaderboard, &view) };
        let miner_page = move |view: View, Path(hotkey): Path<String>| async move {
            page_response(miner::page(&miner_page, &view, &hotkey))
        };
        let source = move |view: View, Path((id, index)): Path<(i64, u32)>, headers: HeaderMap| async move {
            page_response(audio::source(&sources, &view, id, index, &headers).await)
        };
        let reply = move |view: View,
                          Path((id, index, uid, hotkey)): Path<(i64, u32, u16, Hotkey)>,
                          headers: HeaderMap| async move {
            page_response(
                audio::reply(&self, &view, id, index, MinerKey { uid: Uid(uid), hotkey }, &headers)
                    .await,
            )
        };
        Router::new()
            .route("/challenges", get(challenge_list))
            .route("/challenges/{id}", get(challenge_page))
            .route("/miners", get(leaderboard))
            .route("/miners/{hotkey}", get(miner_page))
            .route("/audio/{challenge}/{utterance}/source.wav", get(source))
            .route("/audio/{challenge}/{utterance}/{uid}/{hotkey}/reply.wav", get(reply))
    }
}

/// Returns whether the last heartbeat of the runner, in seconds since the Unix epoch, was long
/// ago.
fn is_heartbeat_stale(last: Option<i64>) -> bool {
    last.is_some_and(|last| now_unix().saturating_sub(last) > MAX_HEARTBEAT_AGE)
}

/// Converts a page, or the error page in its place, to a response.
fn page_response(page: Page) -> Response {
    page.into_response()
}
