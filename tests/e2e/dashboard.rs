//! `tao dashboard`, and the page of `tao demo`.

use std::io::{BufRead as _, BufReader, Read as _};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use reqwest::StatusCode;
use serde_json::Value;

use crate::support::{Daemon, document, refusal, repository, require_models, tao};

/// A demonstration of the challenge `ferry`.
fn demo(arguments: &[&str]) -> Command {
    require_models();
    let mut demo = tao();
    demo.args(["demo", "--challenge"]).arg(repository("tests/e2e/data/ferry.json")).args(arguments);
    demo
}

fn dashboard(state: &Path, arguments: &[&str]) -> Command {
    let mut dashboard = tao();
    dashboard.args(["dashboard", "--state"]).arg(state).args(arguments);
    dashboard
}

/// Status and body of a page.
fn get(url: &str, token: Option<&str>) -> (StatusCode, Vec<u8>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let mut request = reqwest::Client::new().get(url);
        if let Some(token) = token {
            request = request.basic_auth("anybody", Some(token));
        }
        let response = request.send().await.unwrap();
        (response.status(), response.bytes().await.unwrap().to_vec())
    })
}

fn page(url: &str) -> String {
    let (status, body) = get(url, None);
    assert_eq!(status, StatusCode::OK, "{url}");
    String::from_utf8(body).unwrap()
}

/// A miner's row of a leaderboard.
fn row<'a>(page: &'a str, miner: &Value) -> &'a str {
    let link = format!("/miners/{}\"", miner["hotkey"].as_str().unwrap());
    let (_, rest) = page.split_once(&link).unwrap_or_else(|| panic!("{link} is missing: {page}"));
    rest.split_once("</tr>").unwrap().0
}

#[test]
fn a_kept_contest_has_the_numbers_of_its_report() {
    let folder = tempfile::tempdir().unwrap();
    let report = document(&demo(&["--json", "--keep", folder.path().to_str().unwrap()]).output().unwrap());
    let daemon = Daemon::start(&mut dashboard(folder.path(), &["--base-path", "/contest"]));
    let site = format!("{}/contest", daemon.url());
    for (address, score) in [("/", "score"), ("/?contest=arena", "arena_score"), ("/miners?contest=main", "score")] {
        let page = page(&format!("{site}{address}"));
        for miner in report["miners"].as_array().unwrap() {
            let Some(score) = miner[score].as_f64() else { continue };
            let row = row(&page, miner);
            assert!(row.contains(&format!("{score:.3}")), "{address}, {miner}: {row}");
            if score == 0.0 {
                assert!(row.contains(miner["reason"].as_str().unwrap()), "{miner}: {row}");
            }
        }
    }
    let challenge = page(&format!("{site}/challenges/1?utterance=2"));
    assert!(challenge.contains("class=\"wave\"") && challenge.contains("Decided by:"), "{challenge}");
    let sources: Vec<_> = challenge.split(" src=\"/contest/audio/").skip(1).collect();
    assert!(sources.len() > 3, "{challenge}");
    for source in sources {
        let path = source.split('"').next().unwrap();
        let (status, sound) = get(&format!("{site}/audio/{path}"), None);
        assert_eq!((status, &sound[..4]), (StatusCode::OK, b"RIFF".as_slice()), "{path}");
    }
}

#[test]
fn beyond_loopback_a_token_is_required() {
    let folder = tempfile::tempdir().unwrap();
    let error = refusal(&dashboard(folder.path(), &["--listen", "0.0.0.0:0"]).output().unwrap(), 2);
    assert!(error.contains("a token is required") && error.contains("--token-file"), "{error}");
    let token = folder.path().join("token");
    std::fs::write(&token, "0123456789abcdef0123456789abcdef").unwrap();
    let mut with_token = dashboard(folder.path(), &["--token-file", token.to_str().unwrap()]);
    let daemon = Daemon::start_at(&mut with_token, "0.0.0.0:0");
    let site = daemon.url().replace("0.0.0.0", "127.0.0.1");
    assert_eq!(get(&site, None).0, StatusCode::UNAUTHORIZED);
    assert_eq!(get(&site, Some("0123456789abcdef0123456789abcdeX")).0, StatusCode::UNAUTHORIZED);
    let (status, body) = get(&site, Some("0123456789abcdef0123456789abcdef"));
    assert_eq!(status, StatusCode::OK);
    assert!(String::from_utf8(body).unwrap().contains("does not exist"));
}

#[test]
fn the_demonstration_shows_itself() {
    let mut demo = demo(&[]).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut output = BufReader::new(demo.stdout.take().unwrap());
    let mut first = String::new();
    output.read_line(&mut first).unwrap();
    let url = first.trim().strip_prefix("The contest is shown at ").unwrap_or_else(|| panic!("{first}")).to_owned();
    let began = Instant::now();
    let is_shown = |page: &str| page.contains("interpreter") && page.contains("ferry");
    while !is_shown(&page(&url)) {
        assert!(began.elapsed() < Duration::from_mins(1), "{}", page(&url));
        std::thread::sleep(Duration::from_millis(200));
    }
    // Without a terminal, the page ends with the contest.
    let mut rest = String::new();
    output.read_to_string(&mut rest).unwrap();
    assert!(demo.wait().unwrap().success());
    assert!(rest.contains("interpreter"), "{rest}");
}
