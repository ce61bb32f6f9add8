//! Tests of the pages over HTTP routes, on the scores that a validator's score store writes.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test helper panics as a test does"
)]

use std::fs::File;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::Request;
use axum::http::header::HOST;
use axum::routing::get;
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use taonet_dashboard::{Access, BasePath, Changes, Dashboard, ServicesSection, Top, shortened};
use taonet_primitives::Hotkey;
use taonet_proof_core::scoring::{Event, Fault, Outcome};
use taonet_proof_dashboard::ProofSection;
use taonet_proof_validator::ScoreStore;
use taonet_service::{Shutdown, unix_time};
use tower::ServiceExt as _;

/// Identity of a circuit, as in the kinds of work.
const CIRCUIT: &str = "aabbccddeeff00112233445566778899aabbccddeeff00112233445566778899";
const METRICS: &str = "# TYPE taonet_proof_validator_verify_seconds histogram\n\
                       taonet_proof_validator_verify_seconds_sum 3\ntaonet_proof_validator_verify_seconds_count 200\n";

fn hotkey(number: u8) -> Hotkey {
    Hotkey::from_bytes([number; 32])
}

/// Records ten proofs of miner 1 and, of miner 2, one proof and two failures. The store stays open.
async fn record_proofs(directory: &Path) -> ScoreStore {
    let score_store = ScoreStore::open(directory).await.unwrap();
    let event = |miner: u8, outcome| Event {
        miner: hotkey(miner),
        kind: format!("{CIRCUIT}:0"),
        at: unix_time(SystemTime::now()),
        miners: 2,
        outcome,
    };
    for _ in 0..10 {
        let outcome = Outcome::Verified { time: Duration::from_millis(500), bytes: 2_000 };
        score_store.record(event(1, outcome)).unwrap();
    }
    let slow = Outcome::Verified { time: Duration::from_millis(2_700), bytes: 128 };
    for outcome in [slow, Outcome::Failed(Fault::Invalid), Outcome::Failed(Fault::Invalid)] {
        score_store.record(event(2, outcome)).unwrap();
    }
    score_store
}

fn router(section: Arc<ProofSection>, changes: Changes) -> Router {
    Dashboard::new(Access::Local, BasePath::default(), changes)
        .with(section as _)
        .router(Shutdown::new())
}

async fn page(router: &Router, path: &str) -> String {
    let request = Request::get(path).header(HOST, "localhost").body(Body::empty()).unwrap();
    let response = router.clone().oneshot(request).await.unwrap();
    assert_eq!(response.status(), 200, "{path}");
    String::from_utf8(to_bytes(response.into_body(), 1 << 20).await.unwrap().to_vec()).unwrap()
}

/// Returns the texts of the cells of the table row with `name`.
#[track_caller]
fn cells(page: &str, name: &str) -> Vec<String> {
    let row = page
        .split("<tr>")
        .find(|row| row.contains(name))
        .unwrap_or_else(|| panic!("{name}: {page}"));
    let text =
        |cell: &str| cell.split_once('>').unwrap().1.split("</td>").next().unwrap().to_owned();
    row.split("<td").skip(1).map(text).collect()
}

/// Returns the condition and the fact of the only subnet in the strip of a page.
#[track_caller]
fn health(page: &str) -> (&str, &str) {
    let (_, entry) =
        page.split_once("<span class=\"condition ").unwrap_or_else(|| panic!("{page}"));
    let (condition, rest) = entry.split_once('"').unwrap();
    let (_, fact) = rest.split_once("<small>").unwrap();
    (condition, fact.split_once("</small>").unwrap().0)
}

#[tokio::test]
async fn page_shows_circuits_and_miners_of_a_running_validator() {
    let directory = tempfile::tempdir().unwrap();
    let _book = record_proofs(directory.path()).await;
    let (changes, section) =
        (Changes::default(), ProofSection::new(directory.path().to_owned(), None, None));
    section.read(&changes).await;
    let router = router(section, changes);
    let proof = page(&router, "/proof").await;
    // Verified, failed, share, response, size, main failure; the work decays from the start.
    let [one, two] = [1, 2].map(|miner| cells(&proof, &hotkey(miner).to_string()));
    assert_eq!(one[1..], ["10", "0", "100.0 %", "0.50 s", "2.0 kB", "–"]);
    assert_eq!(two[1..], ["1", "2", "33.3 %", "2.70 s", "128 B", "proof does not verify"]);
    // Backend, multiply-adds and constraints are those of the circuits' directory.
    assert_eq!(cells(&proof, CIRCUIT), ["–", "–", "–", "0.50 s"]);
    assert!(proof.contains("data-problems=\"0\"") && !proof.contains("Verification"), "{proof}");
    let overview = page(&router, "/").await;
    assert!(overview.contains("href=\"/proof\"") && overview.contains("2 failed"), "{overview}");
}

#[tokio::test]
async fn miners_are_sorted_by_the_requested_column() {
    let directory = tempfile::tempdir().unwrap();
    let _book = record_proofs(directory.path()).await;
    let (changes, section) =
        (Changes::default(), ProofSection::new(directory.path().to_owned(), None, None));
    section.read(&changes).await;
    let router = router(section, changes);
    for (query, first, second) in
        [("?sort=verified", 1, 2), ("?sort=failed", 2, 1), ("?sort=size&order=desc", 1, 2)]
    {
        let proof = page(&router, &format!("/proof{query}")).await;
        let position = |miner| proof.find(&hotkey(miner).to_string()).unwrap();
        assert!(position(first) < position(second), "{query}: {proof}");
    }
}

#[tokio::test]
async fn missing_scores_and_circuits_are_problems() {
    let directory = tempfile::tempdir().unwrap();
    let state = directory.path().join("state");
    let (changes, circuits) = (Changes::default(), Some(directory.path().to_owned()));
    let section = ProofSection::new(state.clone(), circuits, None);
    section.read(&changes).await;
    let router = router(Arc::clone(&section), changes.clone());
    let proof = page(&router, "/proof").await;
    assert!(
        proof.contains("data-problems=\"2\"") && proof.contains("there are no scores in"),
        "{proof}"
    );
    assert_eq!(health(&proof), ("degraded", "The validator's scores are unavailable"));
    let _book = record_proofs(&state).await;
    let reports = changes.subscribe();
    section.read(&changes).await;
    assert!(reports.has_changed().unwrap());
    let proof = page(&router, "/proof").await;
    assert!(
        proof.contains("data-problems=\"1\"") && !proof.contains("there are no scores in"),
        "{proof}"
    );
}

#[tokio::test]
async fn validator_without_an_outcome_for_ten_minutes_is_a_problem() {
    let directory = tempfile::tempdir().unwrap();
    drop(record_proofs(directory.path()).await);
    for (minutes, problems) in [(9, 0), (11, 1)] {
        let journal =
            File::options().write(true).open(directory.path().join("scores.journal")).unwrap();
        journal.set_modified(SystemTime::now() - Duration::from_mins(minutes)).unwrap();
        let (changes, section) =
            (Changes::default(), ProofSection::new(directory.path().to_owned(), None, None));
        section.read(&changes).await;
        let router = router(section, changes);
        for path in ["/", "/proof"] {
            let page = page(&router, path).await;
            let condition = if problems == 0 { "healthy" } else { "stopped" };
            assert_eq!(health(&page), (condition, &*format!("last outcome {minutes} min ago")));
            assert!(page.contains(&format!("data-problems=\"{problems}\"")), "{path}: {page}");
            assert_eq!(page.contains("<h2>No new outcome</h2>"), problems == 1, "{path}: {page}");
        }
    }
}

#[tokio::test]
async fn failed_service_of_the_validator_degrades_the_subnet() {
    let directory = tempfile::tempdir().unwrap();
    let _book = record_proofs(directory.path()).await;
    let changes = Changes::default();
    // Nobody listens on this port.
    let services = ServicesSection::new(vec!["proof=http://127.0.0.1:9".parse().unwrap()]);
    services.read(&changes).await;
    let section = ProofSection::new(directory.path().to_owned(), None, None);
    section.read(&changes).await;
    let dashboard = Dashboard::new(Access::Local, BasePath::default(), changes);
    let router = dashboard.with(section).with(services).router(Shutdown::new());
    let proof = page(&router, "/proof").await;
    assert_eq!(health(&proof), ("degraded", "1 service fails"));
    assert!(proof.contains("data-problems=\"1\"") && !proof.contains("Other sources"), "{proof}");
}

#[tokio::test]
async fn verification_time_comes_from_the_metrics() {
    let directory = tempfile::tempdir().unwrap();
    let _book = record_proofs(directory.path()).await;
    let routes = Router::new()
        .route("/readyz", get(|| async {}))
        .route("/metrics", get(|| async { METRICS }));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let service = format!("validator=http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, routes).await });
    let changes = Changes::default();
    let services = ServicesSection::new(vec![service.parse().unwrap()]);
    services.read(&changes).await;
    let section = ProofSection::new(directory.path().to_owned(), None, Some(services));
    section.read(&changes).await;
    let proof = page(&router(section, changes), "/proof").await;
    assert!(
        proof.contains("<dt>Verification</dt><dd>15 ms<small>mean of 200</small></dd>"),
        "{proof}"
    );
}

#[tokio::test]
async fn terminal_shows_miners() {
    let directory = tempfile::tempdir().unwrap();
    let _book = record_proofs(directory.path()).await;
    let (changes, section) =
        (Changes::default(), ProofSection::new(directory.path().to_owned(), None, None));
    section.read(&changes).await;
    let mut top = Top::new(changes).with(section);
    let mut terminal = Terminal::new(TestBackend::new(200, 30)).unwrap();
    terminal.draw(|frame| top.draw(frame, 1_780_000_000)).unwrap();
    let screen = terminal.backend().to_string();
    for text in
        ["Proof · miners", &shortened(&hotkey(1).to_string()), "33.3 %", "proof does not verify"]
    {
        assert!(screen.contains(text), "{text}: {screen}");
    }
}
