//! Tests of the pages over HTTP routes, on a database written by the store, and with a gateway's
//! status.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test helper panics as a test does"
)]

mod market;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::header::HOST;
use axum::http::{Request, StatusCode};
use axum::routing::get;
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use taonet_dashboard::{Access, BasePath, Changes, Dashboard, Top, number};
use taonet_http::ServeLimits;
use taonet_nineteen_core::period::{PeriodProfile, period_score};
use taonet_nineteen_dashboard::NineteenSection;
use taonet_service::Shutdown;
use tower::ServiceExt as _;
use url::Url;

use market::{TASK, counts_of_bob, hotkey, write_periods, write_spend};

/// A status of the gateway, with a task whose name the gateway would not accept.
const STATUS: &str = r#"{"tasks": [
    {"task": "chat-a", "endpoint": "/chat/completions", "miners": 2, "is_served": true, "capacity": 4000.0,
     "used": 1000.0, "running": 5, "requests": 60.0, "rate_limited": 2.0, "failed": 1.0, "best_latency": 0.25,
     "median_latency": 1.5},
    {"task": "<script>alert(1)</script>", "endpoint": "/x", "miners": 0, "is_served": false, "capacity": 0.0,
     "used": 0.0, "running": 0, "requests": 0.0, "rate_limited": 0.0, "failed": 0.0, "best_latency": null,
     "median_latency": null}]}"#;

/// Serves a gateway's status, with a status code that the test can change; returns its URL.
async fn gateway(code: Arc<AtomicU16>) -> Url {
    let status = move || async move {
        (StatusCode::from_u16(code.load(Ordering::Relaxed)).unwrap(), STATUS)
    };
    let router = Router::new().route("/base/status.json", get(status));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/base/", listener.local_addr().unwrap());
    tokio::spawn(async move {
        taonet_http::serve(listener, router, &Shutdown::new(), ServeLimits::default()).await;
    });
    url.parse().unwrap()
}

/// Returns a section that has read its sources once, with the routes of its dashboard.
async fn site(directory: Option<&Path>, gateway: Option<Url>) -> (Arc<NineteenSection>, Router) {
    let (changes, section) =
        (Changes::default(), NineteenSection::new(directory.map(Path::to_owned), gateway));
    section.read(&changes).await;
    let dashboard =
        Dashboard::new(Access::Local, BasePath::default(), changes).with(Arc::clone(&section) as _);
    (section, dashboard.router(Shutdown::new()))
}

async fn page(router: &Router, path: &str) -> (u16, String) {
    let request = Request::get(path).header(HOST, "localhost").body(Body::empty()).unwrap();
    let response = router.clone().oneshot(request).await.unwrap();
    let status = response.status().as_u16();
    (
        status,
        String::from_utf8(to_bytes(response.into_body(), 1 << 20).await.unwrap().to_vec()).unwrap(),
    )
}

/// Returns the texts of the cells of the table row with `name`, without charts. The table has the
/// label `label`.
#[track_caller]
fn cells(page: &str, label: &str, name: &str) -> Vec<String> {
    let table = page
        .split_once(&format!("aria-labelledby=\"{label}\"><table>"))
        .unwrap_or_else(|| panic!("{page}"))
        .1;
    let (table, _) = table.split_once("</table>").unwrap();
    let row = table
        .split("<tr>")
        .find(|row| row.contains(name))
        .unwrap_or_else(|| panic!("{name}: {table}"));
    let text = |cell: &str| {
        let (_, content) = cell.split_once('>').unwrap();
        let content = content.split("<svg").next().unwrap();
        content.split('<').map(|part| part.split_once('>').map_or(part, |(_, text)| text)).collect()
    };
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
async fn market_shows_tasks_miners_and_periods() {
    let directory = tempfile::tempdir().unwrap();
    write_periods(directory.path(), Duration::from_mins(1)).await;
    let (_, router) = site(Some(directory.path()), None).await;
    let (status, market) = page(&router, "/nineteen").await;
    assert!(
        status == 200 && market.contains(">running<") && market.contains("data-problems=\"0\""),
        "{market}"
    );
    // State, miners, capacity, used, running, requests, rate-limited, failed, latencies.
    assert!(market.contains("Capacity: tokens, or denoising steps"), "{market}");
    let expected = ["–", "2", "4\u{202f}000", "7.5 %", "–", "6", "1", "1", "–", "–"];
    assert_eq!(cells(&market, "tasks", TASK), expected);
    let score = number(period_score(&counts_of_bob(), PeriodProfile::Reference), 3);
    // Period score, scores over time, quality, tasks, requests, answered, rate-limited, failed.
    assert_eq!(
        cells(&market, "miners", "Miner 2"),
        [&*score, "", "–", "1", "4", "50.0 %", "1", "1"]
    );
    assert_eq!(
        cells(&market, "miners", "Miner 1"),
        ["1.000", "", "0.875", "2", "4", "100.0 %", "0", "0"]
    );
    // The first period, without its start.
    let period = cells(&market, "periods", "<th class=\"num\" scope=\"row\">1</th>");
    assert_eq!(&period[1..7], ["60.0 min", "2", "2", "8", "1", "1"]);
    let (_, overview) = page(&router, "/").await;
    assert!(
        overview.contains("href=\"/nineteen\"") && overview.matches(">running<").count() == 1,
        "{overview}"
    );
    assert_eq!(health(&overview), ("healthy", "2 of 2 miners answer"));
    assert!(overview.contains("75.0 %"), "{overview}");
}

#[tokio::test]
async fn spend_is_shown_by_name_and_day_without_the_key() {
    let directory = tempfile::tempdir().unwrap();
    write_periods(directory.path(), Duration::from_mins(1)).await;
    let (_, router) = site(Some(directory.path()), None).await;
    assert!(page(&router, "/nineteen").await.1.contains("No API key has been charged"));
    let (key, [today, older]) = write_spend(directory.path(), "<b>shop</b>").await;
    let (_, router) = site(Some(directory.path()), None).await;
    let (_, market) = page(&router, "/nineteen").await;
    // Day, requests, charged.
    assert_eq!(cells(&market, "spend", "&lt;b&gt;shop&lt;/b&gt;"), [&*today, "2", "2\u{202f}500"]);
    assert!(market.contains(&older), "{market}");
    assert!(!market.contains(&key) && !market.contains("sk-tao-"), "{market}");
}

#[tokio::test]
async fn miner_page_shows_offers_and_past_results() {
    let directory = tempfile::tempdir().unwrap();
    write_periods(directory.path(), Duration::from_mins(1)).await;
    let (_, router) = site(Some(directory.path()), None).await;
    let (status, alice) = page(&router, &format!("/nineteen/miners/{}", hotkey("//Alice"))).await;
    assert_eq!(status, 200);
    // Capacity, used, quality, requests, answered, rate-limited, failed.
    assert_eq!(
        cells(&alice, "offers", TASK),
        ["1\u{202f}000", "15.0 %", "0.875", "2", "100.0 %", "0", "0"]
    );
    assert_eq!(cells(&alice, "offers", "chat-b"), ["600", "25.0 %", "–", "2", "100.0 %", "0", "0"]);
    assert_eq!(
        cells(&alice, "results", "chat-b"),
        ["chat-b", "1.000", "600", "25.0 %", "2", "0", "0"]
    );
    for hotkey in [hotkey("//Charlie").to_string(), "nobody".to_owned()] {
        assert_eq!(page(&router, &format!("/nineteen/miners/{hotkey}")).await.0, 404, "{hotkey}");
    }
}

#[tokio::test]
async fn miners_are_sorted_by_the_requested_column() {
    let directory = tempfile::tempdir().unwrap();
    write_periods(directory.path(), Duration::from_mins(1)).await;
    let (_, router) = site(Some(directory.path()), None).await;
    for (query, first, second) in [
        ("", "Miner 1", "Miner 2"),
        ("?sort=score&order=asc", "Miner 2", "Miner 1"),
        ("?sort=failed", "Miner 2", "Miner 1"),
        ("?sort=uid", "Miner 1", "Miner 2"),
    ] {
        let (_, market) = page(&router, &format!("/nineteen{query}")).await;
        assert!(market.find(first).unwrap() < market.find(second).unwrap(), "{query}: {market}");
    }
}

#[tokio::test]
async fn gateway_adds_availability_and_latency() {
    let directory = tempfile::tempdir().unwrap();
    write_periods(directory.path(), Duration::from_mins(1)).await;
    let code = Arc::new(AtomicU16::new(200));
    let url = gateway(Arc::clone(&code)).await;
    let (section, router) = site(Some(directory.path()), Some(url)).await;
    let (_, market) = page(&router, "/nineteen").await;
    let expected =
        ["available", "2", "4\u{202f}000", "25.0 %", "5", "60", "2", "1", "0.25 s", "1.50 s"];
    assert_eq!(cells(&market, "tasks", TASK), expected);
    assert!(market.contains("unavailable") && market.contains("1 available"), "{market}");
    assert!(
        !market.contains("<script>alert") && market.contains("&lt;script&gt;alert(1)"),
        "{market}"
    );
    // Without the gateway, the counters are those of the database.
    code.store(500, Ordering::Relaxed);
    section.read(&Changes::default()).await;
    let (_, market) = page(&router, "/nineteen").await;
    assert!(
        market.contains("The gateway is unavailable") && market.contains("data-problems=\"1\""),
        "{market}"
    );
    assert_eq!(health(&market), ("degraded", "The gateway is unavailable"));
    assert_eq!(cells(&market, "tasks", TASK)[2..4], ["4\u{202f}000", "7.5 %"]);
}

#[tokio::test]
async fn market_page_shows_tasks_with_gateway_only() {
    let url = gateway(Arc::new(AtomicU16::new(200))).await;
    let (_, router) = site(None, Some(url)).await;
    let (_, market) = page(&router, "/nineteen").await;
    assert_eq!(cells(&market, "tasks", TASK)[0], "available");
    assert!(market.contains("--nineteen") && !market.contains("Miner 1"), "{market}");
    assert_eq!(health(&market), ("healthy", "1 of 2 tasks available"));
}

#[tokio::test]
async fn missing_database_is_reported_until_it_exists() {
    let directory = tempfile::tempdir().unwrap();
    let (section, router) = site(Some(directory.path()), None).await;
    for path in ["/", "/nineteen"] {
        let (status, page) = page(&router, path).await;
        assert!(
            status == 200
                && page.contains("does not exist")
                && page.contains("data-problems=\"1\""),
            "{page}"
        );
    }
    write_periods(directory.path(), Duration::from_mins(1)).await;
    let changes = Changes::default();
    let reports = changes.subscribe();
    section.read(&changes).await;
    assert!(reports.has_changed().unwrap());
    let (_, market) = page(&router, "/nineteen").await;
    assert!(!market.contains("does not exist") && market.contains("Miner 2"), "{market}");
}

#[tokio::test]
async fn overdue_period_is_a_problem() {
    let directory = tempfile::tempdir().unwrap();
    write_periods(directory.path(), Duration::from_hours(2)).await;
    let (_, router) = site(Some(directory.path()), None).await;
    let (_, market) = page(&router, "/nineteen").await;
    assert!(market.contains("No period runs") && market.contains(">stopped<"), "{market}");
    assert!(market.contains("data-problems=\"1\"") && market.contains("Miner 2"), "{market}");
    let (condition, fact) = health(&market);
    assert!(condition == "stopped" && fact.starts_with("last period ended "), "{market}");
}

#[tokio::test]
async fn terminal_shows_tasks_and_miners() {
    let directory = tempfile::tempdir().unwrap();
    write_periods(directory.path(), Duration::from_mins(1)).await;
    let (section, _) = site(Some(directory.path()), None).await;
    let mut top = Top::new(Changes::default()).with(section);
    let mut terminal = Terminal::new(TestBackend::new(120, 30)).unwrap();
    terminal.draw(|frame| top.draw(frame, 1_780_000_000)).unwrap();
    let screen = terminal.backend().to_string();
    for text in [
        "Nineteen · tasks",
        TASK,
        "7.5 %",
        "Nineteen · miners",
        "0.875",
        "2, running",
        "Capacity (tokens or steps)",
        "4\u{202f}000",
    ] {
        assert!(screen.contains(text), "{text}: {screen}");
    }
}
