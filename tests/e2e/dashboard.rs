//! `tao dashboard`, and the page of `tao demo`.

mod browser;
mod explorer;
mod voices;

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use reqwest::StatusCode;
use serde_json::{Value, json};
use taonet_babelbit_core::scoring::describe_failed_gates;
use taonet_dashboard::{duration, number, percent};
use taonet_wallet::Keypair;

use crate::demo::short_ferry;
use crate::support::{
    Daemon, document, free_address, local_bb, refusal, repository, require_sentence_model, tao,
};

/// Returns the command of a demonstration of the challenge `ferry`. The test double tiny-ctc
/// recognises the speech of the contest and of visitors.
fn demo(arguments: &[&str]) -> Command {
    let ferry = repository("tests/e2e/data/ferry.json");
    demo_of(&ferry, &[&["--stt", "tiny"][..], arguments].concat())
}

/// Like [`demo`], with the challenge of [`short_ferry`].
fn short_demo(folder: &Path, arguments: &[&str]) -> Command {
    demo_of(&short_ferry(folder), &[&["--stt", "tiny"][..], arguments].concat())
}

/// Like [`short_demo`], but with Whisper base if it is installed.
fn short_demo_with_whisper(folder: &Path) -> Command {
    demo_of(&short_ferry(folder), &[])
}

fn demo_of(challenge: &Path, arguments: &[&str]) -> Command {
    require_sentence_model();
    let mut demo = tao();
    demo.args(["demo", "--challenge"]).arg(challenge).args(arguments);
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

/// Waits until a page contains a text.
#[track_caller]
fn wait_for(url: &str, text: &str) {
    let start = Instant::now();
    while !page(url).contains(text) {
        assert!(start.elapsed() < Duration::from_mins(1), "{text}: {}", page(url));
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// Runs a market of Nineteen with a small model, whose validator's database stays in a directory;
/// returns its report.
fn play_market(directory: &Path) -> Value {
    let mut demo = tao();
    demo.args([
        "nineteen",
        "demo",
        "--once",
        "--periods",
        "1",
        "--json",
        "--model",
        "random",
        "--keep",
    ])
    .arg(directory);
    document(&demo.output().unwrap())
}

/// Uploads a recording for a miner; returns the URL of the result, and its page.
fn interpret(site: &str, uid: u16, recording: &Path) -> (String, String) {
    let recording = std::fs::read(recording).unwrap();
    let field = |name: &str| {
        format!("--b\r\ncontent-disposition: form-data; name=\"{name}\"\r\n\r\n").into_bytes()
    };
    let uid = format!("{uid}\r\n").into_bytes();
    let body = [field("miner"), uid, field("sound"), recording, b"\r\n--b--\r\n".to_vec()].concat();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let request = reqwest::Client::new().post(format!("{site}/try")).header("origin", site);
        let request = request.header("content-type", "multipart/form-data; boundary=b").body(body);
        let response = request.send().await.unwrap();
        let (status, url) = (response.status(), response.url().to_string());
        let page = response.text().await.unwrap();
        assert_eq!(status, StatusCode::OK, "{page}");
        (url, page)
    })
}

/// Returns the texts of a row's cells, without charts.
fn cells(row: &str) -> Vec<String> {
    let text = |cell: &str| {
        let (_, content) = cell.split_once('>').unwrap();
        let content = content.split("</td>").next().unwrap().split("<svg").next().unwrap();
        content.split('<').map(|part| part.split_once('>').map_or(part, |(_, text)| text)).collect()
    };
    row.split("<td").skip(1).map(text).collect()
}

/// Returns a miner's columns in a report of its contest: score, accuracy, rate, latency, wall
/// clock, lost points.
fn columns(miner: &Value) -> [String; 6] {
    let value = |name: &str| miner[name].as_f64();
    let gates = serde_json::from_value(miner["failed_gates"].clone()).unwrap();
    [
        number(value("score"), 3),
        number(value("accuracy"), 2),
        number(value("rate_ratio"), 2),
        duration(value("overshoot_sec")),
        duration(value("wall_after_source_sec")),
        describe_failed_gates(&gates, miner["utterances"].as_array().unwrap().len()),
    ]
}

/// Returns a miner's row of a leaderboard.
fn row<'a>(page: &'a str, miner: &Value) -> &'a str {
    let link = format!("/miners/{}\"", miner["hotkey"].as_str().unwrap());
    let (_, remaining) =
        page.split_once(&link).unwrap_or_else(|| panic!("{link} is missing: {page}"));
    remaining.split_once("</tr>").unwrap().0
}

#[test]
fn dashboard_of_saved_contest_matches_its_report() {
    let folder = tempfile::tempdir().unwrap();
    let report =
        document(&demo(&["--json", "--keep", folder.path().to_str().unwrap()]).output().unwrap());
    let daemon = Daemon::start(&mut dashboard(folder.path(), &["--base-path", "/contest"]));
    let site = format!("{}/contest", daemon.url());
    // The positions of the report's columns on each page.
    for (address, contest, positions) in [
        ("/", "report", [0, 2, 3, 4, 5, 6]),
        ("/?contest=arena", "arena", [0, 2, 3, 4, 5, 6]),
        ("/miners?contest=main", "report", [0, 2, 3, 4, 5, 7]),
        ("/challenges/1", "report", [0, 1, 2, 3, 4, 5]),
    ] {
        let page = page(&format!("{site}{address}"));
        let miners = report["challenges"][0][contest]["miners"].as_array().unwrap();
        assert!(!miners.is_empty(), "{address}");
        for miner in miners {
            let row = row(&page, miner);
            let cell_texts = cells(row);
            assert_eq!(
                positions.map(|position| cell_texts[position].clone()),
                columns(miner),
                "{address}, {miner}: {row}"
            );
            assert!(
                row.contains(&format!("<strong>{}</strong>", miner["name"].as_str().unwrap())),
                "{address}: {row}"
            );
        }
    }
    let title = report["challenges"][0]["title"].as_str().unwrap();
    assert!(page(&format!("{site}/challenges")).contains(title), "{title}");
    let miners = report["miners"].as_array().unwrap();
    for miner in miners.iter().filter(|miner| miner["score"] == 0.0) {
        assert!(
            row(&page(&format!("{site}/")), miner).contains(miner["reason"].as_str().unwrap()),
            "{miner}"
        );
    }
    let weights = page(&format!("{site}/weights"));
    let submitted = |miner: &Value| miner["weight_submitted"].as_f64().unwrap();
    let total: f64 = miners.iter().map(submitted).sum();
    for miner in miners.iter().filter(|miner| submitted(miner) > 0.0) {
        let (_, row) = weights
            .split_once(&format!("Neuron {}</th>", miner["uid"]))
            .unwrap_or_else(|| panic!("{weights}"));
        let row = row.split_once("</tr>").unwrap().0;
        assert_eq!(cells(row), [percent(Some(submitted(miner) / total))], "{miner}");
    }
    assert!(weights.contains("<span class=\"badge ok\">done</span>"), "{weights}");
    let (first, second) = (&report["miners"][0], &report["miners"][1]);
    for neuron in [first["uid"].to_string(), first["hotkey"].as_str().unwrap().to_owned()] {
        let log = page(&format!("{site}/log?service=babelbit-runner&miner={neuron}"));
        assert!(
            log.contains("reply received") && log.contains(first["hotkey"].as_str().unwrap()),
            "{neuron}: {log}"
        );
        assert!(!log.contains(second["hotkey"].as_str().unwrap()), "{neuron}: {log}");
    }
    let challenge = page(&format!("{site}/challenges/1?utterance=2"));
    assert!(
        challenge.contains("class=\"wave\"") && challenge.contains("Decided by:"),
        "{challenge}"
    );
    let sources: Vec<_> = challenge.split(" src=\"/contest/audio/").skip(1).collect();
    assert!(sources.len() > 3, "{challenge}");
    for source in sources {
        let path = source.split('"').next().unwrap();
        let (status, sound) = get(&format!("{site}/audio/{path}"), None);
        assert_eq!((status, &sound[..4]), (StatusCode::OK, b"RIFF".as_slice()), "{path}");
    }
    check_scoring_api_scores(folder.path(), &report);
}

/// Checks that the scores in the stored state of the demonstration's scoring API are beside the
/// runner's, and equal.
fn check_scoring_api_scores(folder: &Path, report: &Value) {
    let mut api = local_bb();
    let api = Daemon::start(api.arg("scoring-api").arg("--state").arg(folder.join("scoring-api")));
    let mut daemon = dashboard(folder, &["--scoring-api", api.url(), "--key-uri", "//Alice"]);
    let daemon = Daemon::start(daemon.env("BITTENSOR_SUBTENSOR_ENDPOINT", "local"));
    let start = Instant::now();
    let table = loop {
        let page = page(&format!("{}/challenges/1", daemon.url()));
        if let Some((_, table)) =
            page.split_once("<th class=\"num\" scope=\"col\">All validators</th>")
        {
            break table.split_once("</table>").unwrap().0.to_owned();
        }
        assert!(start.elapsed() < Duration::from_mins(1), "{page}");
        std::thread::sleep(Duration::from_millis(100));
    };
    for miner in report["miners"].as_array().unwrap() {
        let row = row(&table, miner);
        let score = format!(">{:.3}<", miner["score"].as_f64().unwrap());
        assert_eq!(
            (row.matches(&score).count(), row.contains(">0</td>")),
            (2, true),
            "{miner}: {row}"
        );
    }
    let error = refusal(&dashboard(folder, &["--key-uri", "//Alice"]).output().unwrap(), 2);
    assert!(error.contains("has no effect") && error.contains("--scoring-api"), "{error}");
}

#[test]
fn visitor_speaks_to_miner_from_miners_file() {
    let folder = tempfile::tempdir().unwrap();
    let miner =
        Daemon::start(local_bb().args(["miner", "--profile", "parrot", "--key-uri", "//Bob"]));
    let (hotkey, address) =
        (Keypair::from_uri("//Bob").unwrap().hotkey(), miner.url().trim_start_matches("http://"));
    let listed = json!([{ "uid": 1, "hotkey": hotkey, "address": address, "name": "polly" }]);
    let miners = folder.path().join("miners.json");
    std::fs::write(&miners, listed.to_string()).unwrap();
    let mut daemon =
        dashboard(folder.path(), &["--key-uri", "//Alice", "--miners", miners.to_str().unwrap()]);
    let daemon =
        Daemon::start(daemon.env("BITTENSOR_SUBTENSOR_ENDPOINT", "local").env("BB_DEV_MODE", "1"));
    let form = page(&format!("{}/try", daemon.url()));
    assert!(form.contains("polly") && !form.contains("name=\"keep\""), "{form}");
    let (_, result) = interpret(daemon.url(), 1, &repository("vectors/speech/utt00.wav"));
    // The parrot repeats the recording, so both captions have its text.
    assert!(result.matches("the old ferry crossed the harbor twice").count() >= 2, "{result}");
}

#[test]
fn token_is_required_beyond_loopback() {
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
fn daemons_are_shown_with_their_metrics() {
    let (folder, metrics) = (tempfile::tempdir().unwrap(), free_address());
    let _chain = Daemon::start(tao().args(["localnet", "--memory", "--metrics", &metrics]));
    let service = format!("chain=http://{metrics}");
    let daemon = Daemon::start(&mut dashboard(folder.path(), &["--service", &service]));
    let start = Instant::now();
    while !page(daemon.url()).contains(">ready<") {
        assert!(start.elapsed() < Duration::from_mins(1), "{}", page(daemon.url()));
        std::thread::sleep(Duration::from_millis(100));
    }
    let chain = page(&format!("{}/services/chain", daemon.url()));
    assert!(
        chain.contains("taonet_localnet_blocks_total") && chain.contains("Blocks produced"),
        "{chain}"
    );
}

#[test]
fn dashboard_of_saved_market_matches_its_report() {
    let folder = tempfile::tempdir().unwrap();
    let report = play_market(folder.path());
    let mut dashboard = tao();
    dashboard.args(["dashboard", "--nineteen"]).arg(folder.path());
    // Nobody listens at this address.
    let daemon = Daemon::start(dashboard.args(["--nineteen-gateway", "http://127.0.0.1:9"]));
    let url = format!("{}/nineteen", daemon.url());
    wait_for(&url, "The gateway is unavailable");
    let market = page(&url);
    assert!(market.contains("data-problems=\"1\""), "{market}");
    for miner in report["miners"].as_array().unwrap() {
        let name = format!("<strong>Miner {}</strong>", miner["uid"]);
        let (_, row) = market.split_once(&name).unwrap_or_else(|| panic!("{name}: {market}"));
        let cells = cells(row.split_once("</tr>").unwrap().0);
        let value = |field: &str, decimals| number(miner[field].as_f64(), decimals);
        let expected =
            [value("period_score", 3), value("requests_429", 0), value("requests_500", 0)];
        assert_eq!([0, 6, 7].map(|column| cells[column].clone()), expected, "{miner}: {cells:?}");
    }
}

#[test]
fn demo_serves_its_page() {
    let folder = tempfile::tempdir().unwrap();
    let demo = short_demo(folder.path(), &[]);
    let tmux = Tmux::start();
    tmux.run(&demo);
    let is_served = "The page is served at ";
    let screen = tmux
        .wait(|screen| screen.contains(is_served) && screen.contains(" until you press Ctrl-C."));
    let (_, url) = screen.split_once(is_served).unwrap();
    let page = page(url.split_once(' ').unwrap().0);
    assert!(page.contains("interpreter") && page.contains("ferry"), "{page}");
    tmux.command(&["send-keys", "C-c"]);
    tmux.expect_success();
}

#[test]
fn demo_without_terminal_exits_after_the_contest() {
    let folder = tempfile::tempdir().unwrap();
    let output = short_demo(folder.path(), &[]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.starts_with("The contest is shown at http://127.0.0.1:"), "{text}");
    assert!(text.contains("interpreter") && !text.contains("Ctrl-C"), "{text}");
}

#[test]
fn demo_runs_without_page() {
    let folder = tempfile::tempdir().unwrap();
    let output = short_demo(folder.path(), &["--no-page"]).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(
        text.contains("interpreter") && !text.contains("http://") && !text.contains("is shown at"),
        "{text}"
    );
}

/// A separate terminal: a tmux server that ends with the test.
struct Tmux(tempfile::TempDir);

impl Tmux {
    /// Starts a shell in a terminal of 150 columns and 50 lines.
    fn start() -> Self {
        let tmux = Self(tempfile::tempdir().unwrap());
        tmux.command(&["new-session", "-d", "-x", "150", "-y", "50", "PS1='$ ' exec sh"]);
        tmux.wait(|screen| screen.contains('$'));
        tmux
    }

    /// Types a command, whose arguments need no quotes.
    fn run(&self, command: &Command) {
        let words = std::iter::once(command.get_program()).chain(command.get_args());
        let words: Vec<&str> = words.map(|word| word.to_str().unwrap()).collect();
        self.command(&["send-keys", &words.join(" "), "Enter"]);
    }

    /// Waits until the last command has ended, with exit code 0.
    fn expect_success(&self) {
        self.command(&["send-keys", "echo exit code $?", "Enter"]);
        self.wait(|screen| screen.contains("exit code 0"));
    }

    fn command(&self, arguments: &[&str]) -> String {
        let socket = self.0.path().join("socket");
        let output = Command::new("tmux")
            .arg("-S")
            .arg(socket)
            .args(["-f", "/dev/null"])
            .args(arguments)
            .output();
        let output = output.expect("tmux is missing: install the package tmux, or run ./test");
        assert!(
            output.status.success(),
            "{arguments:?}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8(output.stdout).unwrap()
    }

    /// Waits until the screen satisfies a condition, and returns it.
    fn wait(&self, condition: impl Fn(&str) -> bool) -> String {
        let start = Instant::now();
        loop {
            let screen = self.command(&["capture-pane", "-p"]);
            if condition(&screen) {
                return screen;
            }
            assert!(start.elapsed() < Duration::from_mins(2), "{screen}");
            std::thread::sleep(Duration::from_millis(100));
        }
    }
}

impl Drop for Tmux {
    fn drop(&mut self) {
        let _ = Command::new("tmux")
            .arg("-S")
            .arg(self.0.path().join("socket"))
            .arg("kill-server")
            .status();
    }
}

#[test]
fn top_shows_leaderboard_on_terminal() {
    let folder = tempfile::tempdir().unwrap();
    let report =
        document(&demo(&["--json", "--keep", folder.path().to_str().unwrap()]).output().unwrap());
    let tmux = Tmux::start();
    tmux.run(tao().args(["top", "--state"]).arg(folder.path()));
    let miners = report["miners"].as_array().unwrap();
    // A screen may be captured while it is drawn: the rows are waited for, too.
    tmux.wait(|screen| {
        let boards = screen
            .split_once("Leaderboard · main")
            .and_then(|(_, remaining)| remaining.split_once("Leaderboard · arena"));
        let Some((main, arena)) = boards else { return false };
        miners.iter().all(|miner| {
            let name = miner["name"].as_str().unwrap();
            [(main, "score"), (arena, "arena_score")].into_iter().all(|(board, score)| {
                let Some(score) = miner[score].as_f64().map(|score| format!("{score:.3}")) else {
                    return true;
                };
                board.lines().any(|line| line.contains(name) && line.contains(&score))
            })
        })
    });
    tmux.command(&["resize-window", "-x", "60", "-y", "40"]);
    tmux.wait(|screen| screen.contains("not shown: "));
    tmux.command(&["send-keys", "q"]);
    // Keys that arrive before the terminal view has ended are read by it, not by the shell.
    tmux.wait(|screen| !screen.contains("Leaderboard") && screen.contains('$'));
    tmux.expect_success();
}

#[test]
fn top_without_terminal_is_refused() {
    let error =
        refusal(&tao().args(["top", "--state", "."]).stdin(Stdio::null()).output().unwrap(), 2);
    assert!(error.contains("needs a terminal") && error.contains("tao dashboard"), "{error}");
}
