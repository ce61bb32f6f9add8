//! Test helpers: the two programs, servers that stop with their test, files of a run, a tiny model.

mod checkpoint;
mod miner_client;
mod run_files;
mod terminal;

use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::net::TcpListener;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use taonet_testing::skip;

pub(crate) use checkpoint::write_checkpoint;
pub(crate) use miner_client::MinerClient;
pub(crate) use run_files::RunFiles;
pub(crate) use taonet_testing::is_exhaustive;
pub(crate) use terminal::Terminal;

/// Returns a `tao` command with a clean environment.
pub(crate) fn tao() -> Command {
    program(env!("CARGO_BIN_EXE_tao"))
}

/// Like [`tao`], for `bb`.
pub(crate) fn bb() -> Command {
    program(bb_path())
}

/// Returns the path of `bb`: a link to `tao`, as the installer creates it.
pub(crate) fn bb_path() -> &'static Path {
    static LINK: OnceLock<PathBuf> = OnceLock::new();
    LINK.get_or_init(|| {
        let links = Path::new(env!("CARGO_TARGET_TMPDIR")).join("links");
        std::fs::create_dir_all(&links).unwrap();
        // Renamed into place, since other test processes use the link.
        let temporary_link = links.join(format!("bb.{}", std::process::id()));
        std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_tao"), &temporary_link).unwrap();
        std::fs::rename(&temporary_link, links.join("bb")).unwrap();
        links.join("bb")
    })
}

/// Returns a shell command with `tao` and `bb` on the path.
pub(crate) fn shell(line: &str) -> Command {
    let mut shell = program("sh");
    shell.args(["-c", line]).env("PATH", search_path(program_directories()));
    shell
}

/// Returns the directories of `tao` and `bb`.
pub(crate) fn program_directories() -> [PathBuf; 2] {
    [Path::new(env!("CARGO_BIN_EXE_tao")), bb_path()].map(|path| path.parent().unwrap().to_owned())
}

/// Returns a PATH with these directories before those of the environment.
pub(crate) fn search_path(first: impl IntoIterator<Item = PathBuf>) -> OsString {
    let others = std::env::var_os("PATH").unwrap_or_default();
    std::env::join_paths(first.into_iter().chain(std::env::split_paths(&others))).unwrap()
}

/// Like [`bb`], on the network `local`.
pub(crate) fn local_bb() -> Command {
    let mut bb = bb();
    bb.env("BITTENSOR_SUBTENSOR_ENDPOINT", "local").env("BB_DEV_MODE", "1");
    bb
}

/// Beginnings of the names of settings.
const PREFIXES: [&str; 16] = [
    "BASELINE_",
    "BB_",
    "BT_",
    "BABELBIT_",
    "BITTENSOR_",
    "CHUTES_",
    "CHUTE_",
    "DATABASE_URL",
    "EMBED_",
    "HF_",
    "HUGGINGFACE_",
    "MINER_",
    "NATS_URL",
    "RUST_LOG",
    "S3_",
    "TAO_UPDATE_URL",
];

/// Returns a program with a clean environment.
pub(crate) fn program(path: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new(path);
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        let is_setting = PREFIXES.iter().any(|prefix| text.starts_with(prefix));
        // Models are installed by scripts/models.
        if is_setting && text != "BB_MODELS_DIR" {
            command.env_remove(name);
        }
    }
    command.stdin(Stdio::null());
    command
}

/// Returns a loopback address that was free when it was chosen, and that no other call returns.
///
/// Its port is below those from which the system chooses (from 32768 on Linux), so that no
/// connection and no server on port 0 gets it before the test uses it, or while a server restarts.
pub(crate) fn free_address() -> String {
    static CHOSEN: AtomicU32 = AtomicU32::new(0);
    // Test processes that run at the same time start at different ports.
    let first = std::process::id().wrapping_mul(100);
    loop {
        let number = first.wrapping_add(CHOSEN.fetch_add(1, Ordering::Relaxed));
        let address = format!("127.0.0.1:{}", 10_000 + number % 22_000);
        if TcpListener::bind(&address).is_ok() {
            return address;
        }
    }
}

/// Path in the repository.
pub(crate) fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(path)
}

/// Writes a challenge that has the first utterances of a challenge of the repository. Returns the
/// path of its file.
pub(crate) fn write_first_utterances(challenge: &str, count: usize, folder: &Path) -> PathBuf {
    let file = std::fs::read(repository(challenge)).unwrap();
    let mut challenge: Value = serde_json::from_slice(&file).unwrap();
    challenge["utterances"].as_array_mut().unwrap().truncate(count);
    let path = folder.join("challenge.json");
    std::fs::write(&path, challenge.to_string()).unwrap();
    path
}

/// Returns a challenge with an utterance for each of these reference texts.
pub(crate) fn challenge_with_references(texts: &[&str]) -> Value {
    let voice = json!({ "name": "en-gb", "words_per_minute": 150 });
    let utterances: Vec<_> = texts
        .iter()
        .map(|text| json!({ "source": { "text": text, "voice": voice }, "target": { "text": text } }))
        .collect();
    json!({ "title": "Test", "language": "en", "target_language": "en", "utterances": utterances })
}

/// Parses the only JSON document in a command's output.
#[track_caller]
pub(crate) fn document(output: &Output) -> Value {
    assert!(output.status.success(), "{}: {}", output.status, stderr(output));
    serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("{error} in: {}", String::from_utf8_lossy(&output.stdout)))
}

/// Standard error of a failed command, whose standard output must be empty. The JSON document of an
/// error is replaced by its text.
#[track_caller]
pub(crate) fn refusal(output: &Output, code: i32) -> String {
    assert_eq!(output.status.code(), Some(code), "{}", stderr(output));
    assert_eq!(String::from_utf8_lossy(&output.stdout), "");
    let text = stderr(output);
    assert!(!text.contains("panicked"), "{text}");
    let logged = text.trim_end().rsplit_once('\n').map_or("", |(logged, _)| logged);
    match error_document(output) {
        Some(error) => {
            let hint =
                error["hint"].as_str().map(|hint| format!("\nhint: {hint}")).unwrap_or_default();
            format!("{logged}\nerror: {}{hint}\n", error["error"].as_str().unwrap())
        }
        None => text,
    }
}

/// JSON document of an error, the last line of standard error of a failed command with `--json`.
pub(crate) fn error_document(output: &Output) -> Option<Value> {
    let text = stderr(output);
    let document: Value = serde_json::from_str(text.trim_end().rsplit('\n').next()?).ok()?;
    document["error"].is_string().then_some(document)
}

/// Standard error of a command.
pub(crate) fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Fails if the sentence model is not installed, since tests do not download it.
pub(crate) fn require_sentence_model() {
    static STATE: OnceLock<String> = OnceLock::new();
    let state = STATE.get_or_init(|| model_state("all-MiniLM-L6-v2"));
    assert_eq!(state, "present", "all-MiniLM-L6-v2 is not on this machine: run scripts/models");
}

/// Returns whether these models are installed; otherwise, the test is skipped with a message, or
/// fails if `CI` is set.
pub(crate) fn are_installed(models: &[&str]) -> bool {
    let missing = models.iter().find(|model| model_state(model) != "present");
    if let Some(model) = missing {
        skip(&format!(
            "NOT TESTED: {model} is not installed. Run scripts/models {model}, or ./test, which does so"
        ));
    }
    missing.is_none()
}

/// Returns the state of a model on this machine.
fn model_state(name: &str) -> String {
    static LIST: OnceLock<Value> = OnceLock::new();
    let list =
        LIST.get_or_init(|| document(&tao().args(["models", "list", "--json"]).output().unwrap()));
    let models = list["models"].as_array().unwrap();
    let model = models.iter().find(|model| model["model"] == name).unwrap();
    model["state"].as_str().unwrap().to_owned()
}

/// A server process, killed on drop.
pub(crate) struct Daemon {
    child: Child,
    url: String,
    log: File,
}

impl Daemon {
    /// Starts a server on a free port and waits for its startup message.
    pub(crate) fn start(command: &mut Command) -> Self {
        Self::start_at(command, "127.0.0.1:0")
    }

    /// Like [`Self::start`], at a given address.
    pub(crate) fn start_at(command: &mut Command, listen: &str) -> Self {
        Self::launch(command.args(["--listen", listen]))
    }

    /// Like [`Self::start`], at the address that its arguments give.
    pub(crate) fn launch(command: &mut Command) -> Self {
        let log = tempfile::tempfile().unwrap();
        let mut child = command
            .arg("--json")
            .stdout(Stdio::piped())
            .stderr(log.try_clone().unwrap())
            .spawn()
            .unwrap();
        let stdout = child.stdout.take().unwrap();
        let mut daemon = Self { child, url: String::new(), log };
        // The stream ends with the process: a server that fails to start does not block the test.
        let announcement =
            serde_json::Deserializer::from_reader(stdout).into_iter::<Value>().next();
        let Some(Ok(announcement)) = announcement else {
            panic!("{command:?} did not start: {}", daemon.log())
        };
        announcement["url"].as_str().unwrap().clone_into(&mut daemon.url);
        daemon
    }

    /// URL of the server, such as `http://127.0.0.1:4711`.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// Waits until the server is ready.
    #[track_caller]
    pub(crate) fn wait_until_ready(&self) {
        wait_until_ready(&self.url);
    }

    /// Standard error so far.
    pub(crate) fn log(&self) -> String {
        // The position of the file is shared with the process, which may be writing: it must not
        // move.
        let mut bytes = vec![0; usize::try_from(self.log_bytes()).unwrap()];
        self.log.read_exact_at(&mut bytes, 0).unwrap();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// Length of standard error so far.
    pub(crate) fn log_bytes(&self) -> u64 {
        self.log.metadata().unwrap().len()
    }

    /// Process ID.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Sends SIGSTOP: the process keeps its connections, but does nothing.
    pub(crate) fn pause(&self) {
        signal(&self.child, "STOP");
    }

    /// Waits until the process has ended by itself.
    #[track_caller]
    pub(crate) fn wait_for_exit(&mut self) -> ExitStatus {
        let start = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(start.elapsed() < Duration::from_mins(1), "still running: {}", self.log());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Sends SIGTERM and waits for the exit.
    pub(crate) fn terminate(mut self) -> ExitStatus {
        terminate(&self.child);
        self.child.wait().unwrap()
    }
}

/// A process, killed on drop.
pub(crate) struct KillOnDrop(pub(crate) Child);

impl Drop for KillOnDrop {
    fn drop(&mut self) {
        // It can have ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// HTTP status of a page; 0 without a server.
pub(crate) fn status(url: &str) -> u16 {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(reqwest::get(url)).map_or(0, |response| response.status().as_u16())
}

/// Waits until the server at a URL is ready.
#[track_caller]
pub(crate) fn wait_until_ready(url: &str) {
    let start = Instant::now();
    while status(&format!("{url}/readyz")) != 200 {
        assert!(start.elapsed() < Duration::from_mins(1), "{url}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Asserts that every metric of a page in the Prometheus text format has a type and a help text.
#[track_caller]
pub(crate) fn assert_metrics_described(page: &str, daemon: &str) {
    let named =
        |line: &str, keyword: &str| Some(line.strip_prefix(keyword)?.split(' ').next()?.to_owned());
    let types: BTreeSet<_> = page.lines().filter_map(|line| named(line, "# TYPE ")).collect();
    let helps: BTreeSet<_> = page.lines().filter_map(|line| named(line, "# HELP ")).collect();
    for sample in page.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let name = sample.split(['{', ' ']).next().unwrap();
        // A histogram's samples have a suffix.
        let family =
            ["_bucket", "_sum", "_count"].iter().find_map(|suffix| name.strip_suffix(suffix));
        let family = family.filter(|family| types.contains(*family)).unwrap_or(name);
        assert!(types.contains(family), "{daemon}: no TYPE of {family}");
        assert!(helps.contains(family), "{daemon}: no HELP of {family}");
    }
}

/// Sends SIGTERM.
pub(crate) fn terminate(child: &Child) {
    signal(child, "TERM");
}

fn signal(child: &Child, name: &str) {
    // Every shell has `kill`; the standard library has SIGKILL only.
    let command = format!("kill -{name} {}", child.id());
    assert!(Command::new("sh").args(["-c", &command]).status().unwrap().success());
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // The process can already have ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Returns how often a test of crashes kills a process: 50 times in `./test --all`, otherwise 5
/// times.
pub(crate) fn kill_count() -> u32 {
    if is_exhaustive() { 50 } else { 5 }
}
