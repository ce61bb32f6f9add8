use std::fmt::Write as _;
use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::Path;
use std::time::Duration;

use axum::body::{Body, to_bytes};
use axum::http::Request;
use axum::http::header::HOST;
use tower::ServiceExt as _;

use super::source::MAX_ENTRIES;
use super::*;
use crate::access::Access;
use crate::base_path::BasePath;
use crate::site::Dashboard;

const HOTKEY: &str = "5HSyBrL3gyDmPepGTNT4S5RynhDqonrQKSeS5v3UGbSTAUH2";
const LINES: &str = r#"
{"timestamp":"2026-11-22T00:00:03.5Z","level":"DEBUG","fields":{"message":"reply received","uid":4,"hotkey":"5HSyBrL3gyDmPepGTNT4S5RynhDqonrQKSeS5v3UGbSTAUH2"},"target":"taonet_babelbit_runner::play"}
{"timestamp":"2026-11-22T00:00:01Z","level":"INFO","fields":{"message":"session started"},"target":"taonet_babelbit_engine::server::routes"}
{"timestamp":"2026-11-22T00:00:04Z","level":"WARN","fields":{"message":"slow <script>alert(1)</script>\u001b[2J","name":"x"},"target":"hyper","span":{"name":"request"},"spans":[{"uid":9,"name":"epoch"},{"uid":5,"name":"request"}]}
{"timestamp":"2026-11-22T00:00:05Z","level":"ERROR","fields":{"message":"no reply","miner":"5","error":"\"><img src=x>"},"target":"taonet_babelbit_runner"}
"#;

/// Follows files; waits until `count` events have been read.
async fn follow_files(files: &[&Path], count: usize) -> (Arc<LogSection>, Router) {
    let (section, changes) =
        (LogSection::new(files.iter().map(|&file| file.to_owned()).collect()), Changes::default());
    let (follower, reported) = (Arc::clone(&section), changes.clone());
    let mut revision = changes.subscribe();
    tokio::spawn(async move { follower.follow(&reported, &Shutdown::new()).await });
    let read = async {
        while section.source.state().entries.len() < count {
            revision.changed().await.unwrap();
        }
    };
    tokio::time::timeout(Duration::from_mins(1), read).await.unwrap();
    let dashboard =
        Dashboard::new(Access::Local, BasePath::default(), changes).with(Arc::clone(&section) as _);
    (section, dashboard.router(Shutdown::new()))
}

/// Returns the page of a log with the maximum number of events.
pub(crate) async fn full_section() -> Arc<LogSection> {
    let file = tempfile::NamedTempFile::new().unwrap();
    let mut lines = LINES.trim_start().to_owned();
    for number in lines.lines().count()..MAX_ENTRIES {
        let _ = writeln!(
            lines,
            r#"{{"timestamp":"2026-11-22T01:{:02}:{:02}Z","level":"DEBUG","fields":{{"message":"reply received","uid":{},"hotkey":"{HOTKEY}"}},"target":"taonet_babelbit_runner::play"}}"#,
            number / 60 % 60,
            number % 60,
            number % 256
        );
    }
    std::fs::write(file.path(), lines).unwrap();
    follow_files(&[file.path()], MAX_ENTRIES).await.0
}

async fn get_page(router: &Router, path: &str) -> String {
    let request =
        Request::builder().uri(path).header(HOST, "localhost").body(Body::empty()).unwrap();
    let response = router.clone().oneshot(request).await.unwrap();
    assert_eq!(response.status(), 200, "{path}");
    String::from_utf8(to_bytes(response.into_body(), 1 << 22).await.unwrap().to_vec()).unwrap()
}

#[tokio::test]
async fn events_are_filtered_by_service_level_and_miner() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("log.jsonl");
    std::fs::write(&file, LINES).unwrap();
    let (_, router) = follow_files(&[&file], 4).await;
    let messages = ["no reply", "slow ", "reply received", "session started"];
    let hotkey = format!("?miner={HOTKEY}");
    let cases: [(&str, &[&str]); 13] = [
        ("", &messages[..]),
        ("?level=trace&service=&miner=", &messages),
        ("?level=warn", &messages[..2]),
        ("?level=error", &messages[..1]),
        ("?service=babelbit-runner", &["no reply", "reply received"]),
        ("?service=babelbit-runner&level=info", &["no reply"]),
        ("?service=absent", &[]),
        ("?miner=4", &["reply received"]),
        ("?miner=5", &["no reply", "slow "]),
        ("?miner=9", &[]),
        (&hotkey, &["reply received"]),
        ("?miner=5HSyBr", &["reply received"]),
        ("?level=loud&miner=%3Cscript%3E", &[]),
    ];
    for (query, expected) in cases {
        let page = get_page(&router, &format!("/log{query}")).await;
        let (_, events) = page.split_once("id=\"events\"").unwrap();
        let mut actual: Vec<_> =
            messages.iter().filter_map(|text| Some((events.find(text)?, *text))).collect();
        actual.sort_unstable();
        let actual: Vec<_> = actual.into_iter().map(|(_, text)| text).collect();
        assert_eq!(actual, expected, "{query}: {events}");
        assert!(events.contains(&format!("{} of 4", expected.len())), "{query}: {events}");
    }
}

#[tokio::test]
async fn text_of_events_is_escaped() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("log.jsonl");
    std::fs::write(&file, LINES).unwrap();
    let (_, router) = follow_files(&[&file], 4).await;
    for path in ["/log", "/", "/log?service=%22%3E%3Cscript%3E&miner=%22%3E%3Cscript%3E"] {
        let page = get_page(&router, path).await;
        assert!(
            !page.contains("<script>") && !page.contains("<img src=x") && !page.contains('\u{1b}'),
            "{page}"
        );
    }
    let overview = get_page(&router, "/").await;
    assert!(overview.contains("no reply") && !overview.contains("session started"), "{overview}");
}

#[tokio::test]
async fn files_are_followed_and_merged_by_time() {
    let folder = tempfile::tempdir().unwrap();
    let [first, second, absent] =
        ["log.jsonl", "miner.jsonl", "absent.jsonl"].map(|name| folder.path().join(name));
    let (earlier, later) = LINES.trim().split_once('\n').unwrap();
    std::fs::write(&first, format!("{later}\n")).unwrap();
    let (section, router) = follow_files(&[&first, &second, &absent], 3).await;
    std::fs::write(&second, format!("plain text\n{{}}\n{earlier}\n")).unwrap();
    let read = async {
        while section.source.state().entries.len() < 4 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_mins(1), read).await.unwrap();
    let times: Vec<_> = section.source.state().entries.iter().map(|entry| entry.time).collect();
    assert!(times.is_sorted(), "{times:?}");
    let page = get_page(&router, "/log").await;
    assert!(page.contains("2 lines of the log files") && page.contains("absent.jsonl"), "{page}");
    assert!(page.contains("id=\"log-events\" data-live"), "{page}");
    let paused = get_page(&router, "/log?follow=no&level=info").await;
    assert!(
        !paused.contains("data-live") && paused.contains("href=\"/log?level=info\""),
        "{paused}"
    );
}

#[tokio::test]
async fn number_of_log_events_is_limited() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("log.jsonl");
    let mut text = String::new();
    for number in 0..MAX_ENTRIES + 50 {
        let time = format!("{:02}:{:02}:{:02}", number / 3_600, number / 60 % 60, number % 60);
        let fields = format!("{{\"message\":\"event number {number} \"}}");
        writeln!(
            text,
            "{{\"timestamp\":\"2026-11-22T{time}Z\",\"level\":\"INFO\",\"fields\":{fields},\"target\":\"a\"}}"
        )
        .unwrap();
    }
    std::fs::write(&file, text).unwrap();
    let (section, router) = follow_files(&[&file], MAX_ENTRIES).await;
    let oldest = section.source.state().entries.front().unwrap().message.clone();
    assert_eq!(oldest.trim(), "event number 50");
    OpenOptions::new().append(true).open(&file).unwrap().write_all(b"\n").unwrap();
    let page = get_page(&router, "/log?page=2").await;
    assert!(page.contains(&format!("101–200 of {MAX_ENTRIES} events")), "{page}");
    assert!(page.contains("event number 9949 ") && !page.contains("event number 9950 "), "{page}");
}
