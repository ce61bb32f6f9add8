//! Tests of the page over HTTP routes, on a log of steps in the validator's format.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test helper panics as a test does"
)]

use std::collections::BTreeMap;
use std::fs::File;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::Request;
use axum::http::header::HOST;
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use taonet_dashboard::{Access, BasePath, Changes, Dashboard, Top};
use taonet_primitives::{Hotkey, Uid};
use taonet_prompting_dashboard::PromptingSection;
use taonet_prompting_neurons::{AnswerRecord, StepRecord};
use taonet_service::Shutdown;
use tower::ServiceExt as _;

fn answer(uid: u8, share: f64, completion: &str, error: Option<&str>) -> AnswerRecord {
    AnswerRecord {
        uid: Uid(uid.into()),
        hotkey: Hotkey::from_bytes([uid; 32]),
        share,
        reward: share,
        parts: BTreeMap::new(),
        completion: completion.to_owned(),
        error: error.map(str::to_owned),
        seconds: 0.5,
    }
}

/// Writes two steps; miner 2 fails in the second one, whose question is hostile.
fn write(directory: &Path) {
    let steps = [
        (
            "What is the capital of Italy?",
            vec![answer(1, 0.75, "Rome", None), answer(2, 0.25, "Milan", None)],
        ),
        (
            "<img src=x>",
            vec![
                answer(1, 1.0, "<script>alert(1)</script>", None),
                answer(2, 0.0, "", Some("timeout")),
            ],
        ),
    ];
    let record = |(question, answers): (&str, Vec<AnswerRecord>)| {
        let record =
            StepRecord { question: question.to_owned(), request: None, seed: None, answers };
        format!("\n{}", serde_json::to_string(&record).unwrap())
    };
    let text: String = steps.into_iter().map(record).collect();
    std::fs::write(directory.join("events.jsonl"), text).unwrap();
}

async fn site(directory: &Path) -> (Arc<PromptingSection>, Router) {
    let (changes, section) = (Changes::default(), PromptingSection::new(directory.to_owned()));
    section.read(&changes).await;
    let dashboard =
        Dashboard::new(Access::Local, BasePath::default(), changes).with(Arc::clone(&section) as _);
    (section, dashboard.router(Shutdown::new()))
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
async fn page_shows_miners_and_steps() {
    let directory = tempfile::tempdir().unwrap();
    write(directory.path());
    let (_, router) = site(directory.path()).await;
    let prompting = page(&router, "/prompting").await;
    // Share, reward, asked, answered, response, last error.
    assert_eq!(cells(&prompting, "Miner 1<"), ["87.5 %", "0.875", "2", "100.0 %", "0.50 s", "–"]);
    assert_eq!(
        cells(&prompting, "Miner 2<"),
        ["12.5 %", "0.125", "2", "50.0 %", "0.50 s", "timeout"]
    );
    // Answered, best completion, reward, miner.
    assert_eq!(cells(&prompting, "capital of Italy"), ["2 of 2", "Rome", "0.750", "uid 1"]);
    assert_eq!(
        cells(&prompting, "&lt;img src=x&gt;")[..2],
        ["1 of 2", "&lt;script&gt;alert(1)&lt;/script&gt;"]
    );
    // The newest step is first.
    assert!(
        prompting.find("&lt;img").unwrap() < prompting.find("capital of Italy").unwrap(),
        "{prompting}"
    );
    assert!(
        !prompting.contains("<script>alert") && prompting.contains("data-problems=\"0\""),
        "{prompting}"
    );
    assert!(page(&router, "/").await.contains("75.0 %"));
}

#[tokio::test]
async fn missing_log_is_reported_until_it_exists() {
    let directory = tempfile::tempdir().unwrap();
    let (section, router) = site(directory.path()).await;
    let prompting = page(&router, "/prompting").await;
    assert!(
        prompting.contains("no log of steps") && prompting.contains("data-problems=\"1\""),
        "{prompting}"
    );
    write(directory.path());
    section.read(&Changes::default()).await;
    let prompting = page(&router, "/prompting").await;
    assert!(
        prompting.contains("Miner 2<") && prompting.contains("data-problems=\"0\""),
        "{prompting}"
    );
}

#[tokio::test]
async fn miner_whose_newest_request_failed_is_failing() {
    let directory = tempfile::tempdir().unwrap();
    write(directory.path());
    let (_, router) = site(directory.path()).await;
    let prompting = page(&router, "/prompting").await;
    let row = |name| prompting.split("<tr>").find(|row| row.contains(name)).unwrap();
    assert!(row("Miner 2<").contains(">failing</span>"), "{prompting}");
    assert!(!row("Miner 1<").contains(">failing</span>"), "{prompting}");
    assert!(
        page(&router, "/")
            .await
            .contains("<dt>Miners</dt><dd>2<small class=\"warn\">1 failing</small></dd>")
    );
}

#[tokio::test]
async fn validator_without_a_new_step_for_ten_minutes_is_a_problem() {
    let directory = tempfile::tempdir().unwrap();
    write(directory.path());
    let log = File::options().write(true).open(directory.path().join("events.jsonl")).unwrap();
    for (minutes, problems) in [(9, 0), (11, 1)] {
        log.set_modified(SystemTime::now() - Duration::from_mins(minutes)).unwrap();
        let (_, router) = site(directory.path()).await;
        for path in ["/", "/prompting"] {
            let page = page(&router, path).await;
            assert!(page.contains(&format!("data-problems=\"{problems}\"")), "{path}: {page}");
            assert_eq!(page.contains("<h2>No new step</h2>"), problems == 1, "{path}: {page}");
        }
    }
}

#[tokio::test]
async fn health_strip_shows_number_of_answering_miners() {
    let directory = tempfile::tempdir().unwrap();
    let (section, router) = site(directory.path()).await;
    let shown = page(&router, "/").await;
    assert_eq!(health(&shown), ("degraded", "The validator's steps are unavailable"));
    write(directory.path());
    section.read(&Changes::default()).await;
    let shown = page(&router, "/prompting").await;
    assert_eq!(health(&shown), ("healthy", "1 of 2 miners answers"));
    // Two of three miners fail.
    let failed = |uid| answer(uid, 0.0, "", Some("timeout"));
    let answers = vec![answer(1, 1.0, "Rome", None), failed(2), failed(3)];
    let step = StepRecord { question: "?".to_owned(), request: None, seed: None, answers };
    let line = format!("\n{}", serde_json::to_string(&step).unwrap());
    std::fs::write(directory.path().join("events.jsonl"), line).unwrap();
    section.read(&Changes::default()).await;
    let shown = page(&router, "/").await;
    assert_eq!(health(&shown), ("degraded", "1 of 3 miners answers"));
    assert!(shown.contains("<li><span>Prompting: 1 of 3 miners answers</span></li>"), "{shown}");
    let log = File::options().write(true).open(directory.path().join("events.jsonl")).unwrap();
    log.set_modified(SystemTime::now() - Duration::from_mins(11)).unwrap();
    section.read(&Changes::default()).await;
    let shown = page(&router, "/").await;
    assert_eq!(health(&shown), ("stopped", "last step 11 min ago"));
}

#[tokio::test]
async fn terminal_shows_miners() {
    let directory = tempfile::tempdir().unwrap();
    write(directory.path());
    let (section, _) = site(directory.path()).await;
    let mut top = Top::new(Changes::default()).with(section);
    let mut terminal = Terminal::new(TestBackend::new(140, 30)).unwrap();
    terminal.draw(|frame| top.draw(frame, 1_780_000_000)).unwrap();
    let screen = terminal.backend().to_string();
    for text in ["Prompting · miners", "87.5 %", "12.5 %"] {
        assert!(screen.contains(text), "{text}: {screen}");
    }
}
