//! Chutes' own program, `chutes`, against the same server: it registers a wallet of ours, builds
//! the image of our script, deploys and lists the chute, and runs the script.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, Command, Output, Stdio};
use std::time::{SystemTime, UNIX_EPOCH};

use axum::http::{HeaderMap, Method};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use taonet_babelbit_miner::testing::InferenceServer;
use taonet_primitives::Hotkey;
use taonet_wallet::{Signature, verify};
use tempfile::TempDir;

use super::{CHUTES_KEY, Cloud, NAME, REVISION, SLUG, assert_no_key, with_accounts};
use crate::peers::Peer;
use crate::support::{bb, document, free_address, program, repository, search_path, stderr, tao};

const FINGERPRINT: &str = "fingerprint-of-alice";
pub(super) const BUILD_LOG: &str = "data: {\"log\": {\"log_type\": \"stdout\", \"log\": \"STEP 1/2\"}, \"offset\": \"1\"}\n\n\
                         data: {\"log\": \"pushed\", \"offset\": \"2\"}\n\nDONE\n";

/// A registered account on Chutes.
#[derive(Debug, Default)]
pub(super) struct Account {
    hotkey: Option<Hotkey>,
    /// Body of the registration.
    registration: Value,
    /// Fields of the uploaded image.
    pub(super) image: Option<Value>,
}

/// Checks the signature of a request and returns its hotkey. The signature covers the hash of the
/// body; without a body, the first segment of the path.
fn signer(path: &str, headers: &HeaderMap, body: &[u8]) -> Hotkey {
    let header = |name: &str| headers[name].to_str().unwrap();
    let (hotkey, nonce) = (header("x-chutes-hotkey"), header("x-chutes-nonce"));
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    assert!(now.abs_diff(nonce.parse().unwrap()) < 60, "{path}: {nonce}");
    let kind = path.split('/').nth(1).unwrap();
    let signed = if body.is_empty() { kind.to_owned() } else { hex::encode(Sha256::digest(body)) };
    let signature: Signature = header("x-chutes-signature").parse().unwrap();
    let signer = hotkey.parse().unwrap();
    assert!(verify(&signer, format!("{hotkey}:{nonce}:{signed}").as_bytes(), &signature), "{path}");
    signer
}

/// Returns a text field of a form.
fn field<'a>(form: &'a str, name: &str) -> &'a str {
    let (_, remaining) = form
        .split_once(&format!("name=\"{name}\"\r\n\r\n"))
        .unwrap_or_else(|| panic!("{name}: {form}"));
    remaining.split_once("\r\n--").unwrap().0
}

/// Returns the fields of a form with an image.
pub(super) fn image(form: &[u8]) -> Value {
    let form = String::from_utf8_lossy(form);
    assert!(form.contains("name=\"build_context\"; filename=\"chute.zip\"\r\n"), "{form}");
    assert!(form.contains("\r\n\r\nPK\u{5}\u{6}"), "an archive without files: {form}");
    // Required by the API, which refuses empty texts.
    for name in ["image", "logo_id", "wait"] {
        assert!(!field(&form, name).is_empty(), "{name}: {form}");
    }
    let fields = ["username", "name", "tag", "dockerfile", "public"];
    fields.iter().map(|name| (*name, field(&form, name))).collect()
}

impl Cloud {
    /// Answers a signed request; `None` for a route that accepts API keys, too.
    pub(super) fn answer_signed(
        &self,
        method: &Method,
        path: &str,
        headers: &HeaderMap,
        body: &[u8],
    ) -> Option<(u16, Value)> {
        let signer = signer(path, headers, body);
        let json = || serde_json::from_slice::<Value>(body).unwrap();
        let mut account = self.account.lock().unwrap();
        if path == "/users/register" {
            *account = Account { hotkey: Some(signer), registration: json(), image: None };
            let username = &account.registration["username"];
            let response = json!({
                "user_id": "u-1", "username": username, "fingerprint": FINGERPRINT, "payment_address": signer,
            });
            return Some((200, response));
        }
        assert_eq!(
            (account.hotkey, headers["x-chutes-userid"].as_bytes()),
            (Some(signer), &b"u-1"[..]),
            "{path}"
        );
        match (method.as_str(), path) {
            ("POST", "/api_keys/") => {
                assert_eq!(json(), json!({ "name": "taonet", "admin": true }));
                Some((
                    200,
                    json!({ "api_key_id": "k-1", "name": "taonet", "secret_key": CHUTES_KEY }),
                ))
            }
            ("POST", "/images/") => {
                account.image = Some(image(body));
                Some((202, json!({ "image_id": "i-1" })))
            }
            ("GET", "/images/i-1/logs") => Some((200, json!(BUILD_LOG))),
            ("GET", path) if path.starts_with("/images/") => Some(if account.image.is_some() {
                (200, json!({ "status": "built and pushed", "public": false }))
            } else {
                (404, json!({ "detail": "not found" }))
            }),
            ("POST", "/chutes/") => Some(self.deploy(json())),
            _ => None,
        }
    }
}

/// The program, with a home directory of its own.
pub(crate) struct Program {
    peer: Peer,
    home: PathBuf,
}

impl Program {
    /// Finds the program among the peers.
    pub(crate) fn find(home: &Path) -> Option<Self> {
        Peer::find("chutes").map(|peer| Self { peer, home: home.to_owned() })
    }

    /// Prepares a command: `chutes` and `python` are the peer's, and `docker` is a script that
    /// records its arguments.
    fn prepare<'a>(&self, command: &'a mut Command) -> &'a mut Command {
        let first = [repository("tests/e2e/peers/bin"), self.peer.programs()];
        command.env("PATH", search_path(first));
        // `chutes build --local` leaves its Dockerfile in the directory for temporary files.
        command.env("HOME", &self.home).env("TMPDIR", &self.home);
        // Wide enough for the rows of tables.
        command.env("COLUMNS", "200").env("NO_COLOR", "1").current_dir(&self.home)
    }

    /// Runs a line in the home directory, with answers to its questions; `server` is the Chutes API
    /// for a registration.
    pub(crate) fn run(
        &self,
        line: &str,
        answers: &str,
        server: Option<&InferenceServer>,
    ) -> Output {
        let mut shell = program("sh");
        self.prepare(shell.args(["-c", line]));
        if let Some(server) = server {
            shell.env("CHUTES_API_URL", server.url().trim_end_matches("/v1"));
        }
        let mut child = shell
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        // A command without questions can exit first.
        let _ = child.stdin.take().unwrap().write_all(answers.as_bytes());
        child.wait_with_output().unwrap()
    }

    /// Like [`Self::run`]; returns all output of a command that succeeds.
    #[track_caller]
    pub(crate) fn run_successfully(
        &self,
        line: &str,
        answers: &str,
        server: Option<&InferenceServer>,
    ) -> String {
        let output = self.run(line, answers, server);
        let text = String::from_utf8_lossy(&output.stdout).into_owned() + &stderr(&output);
        // The program exits with status 0 when the API refuses a request.
        assert!(output.status.success() && !text.contains("| ERROR "), "{line}: {text}");
        text
    }

    /// Starts `chutes run` with the script of the home directory, on a free port.
    pub(crate) fn serve(&self) -> RunningProgram {
        let address = free_address();
        let (host, port) = address.split_once(':').unwrap();
        let mut run = self.peer.script("chute.py");
        self.prepare(&mut run).args([
            "run",
            "my_chute:chute",
            "--dev",
            "--debug",
            "--host",
            host,
            "--port",
            port,
        ]);
        run.args(["--logging-port", "0"]).env("CHUTES_EXECUTION_CONTEXT", "REMOTE");
        let mut child = run.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let mut log = BufReader::new(child.stderr.take().unwrap());
        let mut text = String::new();
        while !text.contains(&format!("Running on http://{address}")) {
            assert!(log.read_line(&mut text).unwrap() > 0, "`chutes run` did not start: {text}");
        }
        RunningProgram { child, address, _log: log }
    }
}

/// `chutes run` with the model of a test, killed on drop.
pub(crate) struct RunningProgram {
    child: Child,
    address: String,
    /// Kept open: the program writes a log line per request.
    _log: BufReader<ChildStderr>,
}

impl RunningProgram {
    /// URL of the chute, which serves its routes without a slug.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }
}

impl Drop for RunningProgram {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The program with our script and a wallet of ours, which it has registered.
struct Miner {
    home: TempDir,
    program: Program,
    cloud: Cloud,
    server: InferenceServer,
    hotkey: Hotkey,
    coldkey: Value,
    /// Output of the registration.
    registered: String,
}

impl Miner {
    /// Registers a miner; `None` if the program is not installed.
    fn register() -> Option<Self> {
        let home = tempfile::tempdir().unwrap();
        let program = Program::find(home.path())?;
        let (cloud, server) = Cloud::serve();
        let wallet = |arguments: &[&str]| {
            let mut command = tao();
            command.arg("wallet").args(arguments).args([
                "--json",
                "--wallet-name",
                "my-wallet",
                "--mnemonic-file",
            ]);
            document(
                &command
                    .arg(home.path().join(arguments[0]))
                    .env("HOME", home.path())
                    .output()
                    .unwrap(),
            )
        };
        let coldkey = wallet(&["new-coldkey", "--no-use-password"])["coldkey"]["address"].clone();
        let hotkey = wallet(&["new-hotkey", "--hotkey", "my-hotkey"])["hotkey"]["address"].clone();
        let hotkey = hotkey.as_str().unwrap().parse().unwrap();
        let mut script = bb();
        script.args(["generate-chute-script", "--revision", REVISION]).current_dir(home.path());
        assert!(with_accounts(&mut script, &server).output().unwrap().status.success());
        // The username, the first wallet, its first hotkey, and whether to write the configuration.
        let registered =
            program.run_successfully("chutes register", "alice\n0\n0\ny\n", Some(&server));
        Some(Self { home, program, cloud, server, hotkey, coldkey, registered })
    }

    /// Runs a command of ours for the chute.
    fn bb(&self, arguments: &[&str]) -> Value {
        let mut command = bb();
        command.args(arguments).args(["--json", "--revision", REVISION]);
        document(&with_accounts(&mut command, &self.server).output().unwrap())
    }

    fn read(&self, file: &str) -> String {
        fs::read_to_string(self.home.path().join(file)).unwrap()
    }
}

#[test]
fn wallet_created_by_tao_is_registered() {
    let Some(miner) = Miner::register() else { return };
    assert!(miner.registered.contains(FINGERPRINT), "{}", miner.registered);
    assert_eq!(miner.cloud.take_requests(), ["GET /ping", "POST /users/register?token=replaceme"]);
    {
        let account = miner.cloud.account.lock().unwrap();
        assert_eq!(account.hotkey, Some(miner.hotkey));
        assert_eq!(account.registration, json!({ "username": "alice", "coldkey": miner.coldkey }));
    }
    let config = miner.read(".chutes/config.ini");
    for line in [
        "username = alice",
        "hotkey_name = my-hotkey",
        &format!("hotkey_ss58address = {}", miner.hotkey),
    ] {
        assert!(config.contains(line), "{config}");
    }
    // The seed in the configuration is that of the hotkey: the server checks the signature.
    let output =
        miner.program.run_successfully("chutes keys create --name taonet --admin", "", None);
    assert!(output.contains(CHUTES_KEY), "{output}");
}

#[test]
fn generated_chute_script_builds_an_image() {
    let Some(miner) = Miner::register() else { return };
    miner.cloud.take_requests();
    miner.program.run_successfully("chutes build my_chute:chute --local --public", "", None);
    assert_eq!(miner.cloud.take_requests(), [""; 0]);
    let image = miner.program.run_successfully("docker images", "", None);
    let dockerfile = miner.read("Dockerfile");
    let [base, packages, chutes, script] = dockerfile.lines().collect::<Vec<_>>()[..] else {
        panic!("{dockerfile}")
    };
    assert_eq!((base, script), ("FROM parachutes/python:3.12", "ADD my_chute.py /app/my_chute.py"));
    assert!(
        packages.starts_with("RUN pip install ") && packages.contains(" transformers "),
        "{packages}"
    );
    assert!(chutes.starts_with("RUN pip install chutes=="), "{chutes}");
    miner.program.run_successfully(
        &format!("docker run -p 8000:8000 -it {} /bin/bash", image.trim()),
        "",
        None,
    );

    let output = miner.program.run_successfully("chutes build my_chute:chute --wait", "y\n", None);
    assert!(output.contains("STEP 1/2") && output.contains("pushed"), "{output}");
    let built_image = miner.cloud.account.lock().unwrap().image.clone().unwrap();
    let dockerfile = [base, packages].join("\n");
    let expected = json!({
        "username": "alice", "name": "babelbit", "tag": &REVISION[..12], "public": "False", "dockerfile": dockerfile,
    });
    assert_eq!(built_image, expected);
    let calls = miner.cloud.take_requests();
    assert!(calls[1..] == ["POST /images/", "GET /images/i-1/logs"], "{calls:?}");
    // Both have the name that `bb push` looks for.
    assert_eq!(image.trim(), format!("babelbit:{}", &REVISION[..12]));
    let requests = miner.bb(&["push", "--dry-run", "--no-commit"])["requests"].to_string();
    assert!(requests.contains(&format!("/images/{}\"", image.trim())), "{requests}");

    // `bb push` builds the same image.
    miner.cloud.remove_image();
    miner.cloud.account.lock().unwrap().image = None;
    miner.bb(&["push", "--yes", "--no-commit", "--no-warmup"]);
    assert_eq!(miner.cloud.account.lock().unwrap().image, Some(expected));

    let again = miner.program.run("chutes build my_chute:chute --wait", "y\n", None);
    let text = String::from_utf8_lossy(&again.stdout);
    assert!(!again.status.success() && text.contains("already exists"), "{text}{}", stderr(&again));
}

/// Checks that every field of a request of ours has the same value in the program's.
#[track_caller]
fn assert_covered(ours: &Value, theirs: &Value, name: &str) {
    match (ours, theirs) {
        (Value::Object(ours), Value::Object(theirs)) => {
            ours.iter().for_each(|(name, value)| {
                assert_covered(value, theirs.get(name).unwrap_or(&Value::Null), name);
            });
        }
        (Value::Array(ours), Value::Array(theirs)) => {
            assert_eq!(ours.len(), theirs.len(), "{name}");
            ours.iter().zip(theirs).for_each(|(ours, theirs)| assert_covered(ours, theirs, name));
        }
        _ => assert_eq!(ours, theirs, "{name}"),
    }
}

#[test]
fn chutes_program_and_bb_push_deploy_equal_chutes() {
    let Some(miner) = Miner::register() else { return };
    miner.bb(&["push", "--yes", "--no-commit", "--no-warmup"]);
    let mut pushed_chute = miner.cloud.deployment.lock().unwrap().take();
    let listed = miner.program.run_successfully("chutes chutes list", "", None);
    for text in [NAME, SLUG, "hot", "POST /predict"] {
        assert!(listed.contains(text), "{listed}");
    }
    miner.bb(&["delete-chute", "--yes"]);
    let listed = miner.program.run_successfully("chutes chutes list", "", None);
    assert!(listed.contains("Found 0 matching chutes"), "{listed}");

    miner.program.run_successfully("chutes build my_chute:chute", "y\n", None);
    miner.cloud.take_requests();
    miner.program.run_successfully("chutes deploy my_chute:chute --accept-fee", "y\n", None);
    let deployed_chute = miner.cloud.deployment.lock().unwrap().take();
    // The program names the image by its ID.
    let id = deployed_chute["image"].as_str().unwrap();
    let requests = miner.cloud.take_requests();
    assert_eq!(requests, [format!("GET /images/{id}"), "POST /chutes/?accept_fee=true".to_owned()]);
    assert_eq!(pushed_chute["image"].take(), format!("babelbit:{}", &REVISION[..12]));
    pushed_chute.as_object_mut().unwrap().remove("image");
    assert_covered(&pushed_chute, &deployed_chute, "chute");
    assert_eq!(miner.bb(&["chute-slug"])["slug"], SLUG);
}

#[test]
fn chute_script_serves_its_routes() {
    let Some(miner) = Miner::register() else { return };
    miner.cloud.take_requests();
    let running_program = miner.program.serve();
    let mut ping = bb();
    ping.args(["ping-chute", "--json", "--revision", REVISION, "--local", &running_program.url()]);
    with_accounts(&mut ping, &miner.server);
    let output = ping.output().unwrap();
    assert_no_key(&stderr(&output));
    let ping = document(&output);
    let health = &ping["health"];
    assert_eq!(
        (&health["status"], &health["model_loaded"]),
        (&json!("healthy"), &json!(true)),
        "{ping}"
    );
    assert_eq!(health["model"], "al/Babelbit-default");
    let predictions = ping["predictions"].as_array().unwrap();
    let predicted: Vec<_> =
        predictions.iter().map(|one| one["prediction"].as_str().unwrap()).collect();
    let expected = ["Hi", "Hi -", "Hi - how", "Hi - how are", "Hi - how are you"];
    assert_eq!(predicted, expected.map(|prefix| format!("{prefix} today?")));
    assert_eq!(miner.cloud.take_requests(), [""; 0]);
}
