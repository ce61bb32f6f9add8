//! A miner in its own process, so that its processor time and memory can be told apart from
//! those of the scoring.

use std::io::{self, Write};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context as _, anyhow, bail};
use serde::Deserialize;
use taonet_babelbit_config::Config;
use taonet_cli_base::exit::{ClassifiedError, ErrorDocument, Failure};
use taonet_cli_base::keys::temporary_key;
use taonet_primitives::Hotkey;
use taonet_service::{Access, atomic_write};
use taonet_settings::NETWORK_VARIABLES;
use taonet_wallet::Keyfile;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt as _, AsyncRead, BufReader};
use tokio::process::{Child, Command};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::super::measure::{peak_memory_of, processor_seconds_of};

/// Name of a speech miner in its startup message.
const SPEECH_MINER_PREFIX: &str = "miner ";

/// Hint for wrong options of the miner.
const OPTIONS_HINT: &str = "options after -- are those of `bb miner`, except --listen, --keyfile and --key-uri, which this \
    command selects; --stt-model before -- selects its recogniser";

/// Timeout for the start of the miner, which loads its models.
const START_TIMEOUT: Duration = Duration::from_mins(5);
/// Timeout for the rest of the log of a miner that has ended.
const LOG_TIMEOUT: Duration = Duration::from_secs(1);

/// A running miner, killed on drop.
pub(super) struct LocalMiner {
    child: Child,
    log: LogCopy,
    /// ID of the process, as in `/proc`.
    process_id: String,
    pub(super) url: String,
    pub(super) hotkey: Hotkey,
    /// Directory of the miner's key.
    _directory: TempDir,
}

/// The task that copies the log of the miner, and returns the miner's error.
type LogCopy = JoinHandle<Option<ErrorDocument>>;

/// Startup message of a daemon.
#[derive(Deserialize)]
struct Announcement {
    service: String,
    url: String,
}

impl LocalMiner {
    /// Starts `bb miner` with these options and the models of `config`, for requests that
    /// `validator` signs. Returns when the miner has loaded its models.
    ///
    /// # Errors
    /// If the miner does not start within 5 minutes, or is not a speech miner.
    pub(super) async fn start(
        options: &[String],
        config: &Config,
        validator: Hotkey,
    ) -> anyhow::Result<Self> {
        let directory = tempfile::tempdir().context("cannot create a temporary directory")?;
        let keypair = temporary_key()?;
        let (hotkey, keyfile) = (keypair.hotkey(), directory.path().join("hotkey"));
        atomic_write(&keyfile, &Keyfile::from_keypair(keypair).to_json(), Access::Owner)?;
        let mut command =
            Command::new(std::env::current_exe().context("cannot find this program's file")?);
        // The file of the program may have another name, which would select other commands.
        command
            .arg0("tao")
            .args(["babelbit", "miner", "--json", "--listen", "127.0.0.1:0", "--keyfile"])
            .arg(&keyfile);
        command.arg("--allow").arg(validator.to_string()).args(options);
        // On a local network, a miner may use any recogniser.
        command.envs(NETWORK_VARIABLES.map(|name| (name, "local")));
        if let Some(recognizer) = &config.recognizer {
            command.env("BB_AUDIO_SCORING_STT_MODEL", recognizer);
        }
        if let Some(models) = &config.models_dir {
            command.env("BB_MODELS_DIR", models);
        }
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .context("cannot start the miner")?;
        let log = child.stderr.take().context("the miner has no log")?;
        let mut log = tokio::spawn(copy_log(log, io::stderr()));
        let url = wait_until_started(&mut child, &mut log, START_TIMEOUT).await?;
        let process_id = child.id().map(|id| id.to_string()).unwrap_or_default();
        Ok(Self { child, log, process_id, url, hotkey, _directory: directory })
    }

    /// Returns the processor seconds of the miner since its start; `None` on systems other than
    /// Linux.
    pub(super) fn processor_seconds(&self) -> Option<f64> {
        processor_seconds_of(&self.process_id)
    }

    /// Returns the peak memory of the miner in MB; `None` on systems other than Linux.
    pub(super) fn peak_memory(&self) -> Option<f64> {
        peak_memory_of(&self.process_id)
    }

    /// Checks that the miner still runs.
    ///
    /// # Errors
    /// If the miner has ended.
    pub(super) async fn check_running(&mut self) -> anyhow::Result<()> {
        match self.child.try_wait().context("cannot observe the miner")? {
            None => Ok(()),
            Some(status) => {
                let summary = "the miner ended during the measurement";
                Err(exit_error(summary, status, &mut self.log).await)
            }
        }
    }
}

/// Waits for the start of a miner; returns the miner's URL.
async fn wait_until_started(
    child: &mut Child,
    log: &mut LogCopy,
    start_timeout: Duration,
) -> anyhow::Result<String> {
    match timeout(start_timeout, announced_url(child, log)).await {
        Ok(url) => url,
        Err(_) => bail!(
            "the miner did not start within {start_timeout:?}\nhint: run `bb miner` with the same options"
        ),
    }
}

/// Reads the startup message of a miner; returns the miner's URL.
async fn announced_url(child: &mut Child, log: &mut LogCopy) -> anyhow::Result<String> {
    let output = child.stdout.take().context("the miner has no output")?;
    let mut line = String::new();
    BufReader::new(output).read_line(&mut line).await.context("cannot read the miner's output")?;
    if line.is_empty() {
        let status = child.wait().await.context("cannot observe the miner")?;
        return Err(exit_error("the miner did not start", status, log).await);
    }
    let Announcement { service, url } = serde_json::from_str::<Announcement>(&line)
        .with_context(|| format!("unexpected output of the miner: {}", line.trim()))?;
    if !service.starts_with(SPEECH_MINER_PREFIX) {
        let message = format!(
            "the benchmark is for speech miners, not for a {service}\nhint: omit --contest"
        );
        return Err(ClassifiedError::usage(message));
    }
    Ok(url)
}

/// Copies the log of a miner to `output`, until the miner ends. Returns the miner's error, which is
/// not copied: it is written for programs.
async fn copy_log(log: impl AsyncRead + Unpin, mut output: impl Write) -> Option<ErrorDocument> {
    let mut lines = BufReader::new(log).split(b'\n');
    let mut miner_error = None;
    while let Ok(Some(mut line)) = lines.next_segment().await {
        if let Ok(error) = serde_json::from_slice(&line) {
            miner_error = Some(error);
            continue;
        }
        line.push(b'\n');
        // Reading continues if nobody reads the output: a full pipe would block the miner.
        let _ = output.write_all(&line);
    }
    miner_error
}

/// Returns the error of a miner that has ended, with its exit code.
async fn exit_error(summary: &str, status: ExitStatus, log: &mut LogCopy) -> anyhow::Error {
    // A process that the miner has started can keep the log open.
    let miner_error = timeout(LOG_TIMEOUT, log).await.ok().and_then(Result::ok).flatten();
    let ErrorDocument { error, hint, exit_code } = miner_error.unwrap_or_else(|| ErrorDocument {
        error: status.to_string(),
        hint: None,
        exit_code: status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(1),
    });
    // The usage has options that this command added to those of the user.
    let hints = hint.as_deref().unwrap_or_default().lines();
    let hints: Vec<_> =
        hints.filter(|hint| !hint.starts_with("usage: ")).chain([OPTIONS_HINT]).collect();
    let message = format!("{summary}: {error}\nhint: {}", hints.join("\n"));
    match Failure::from_code(exit_code) {
        Some(failure) => ClassifiedError::error(failure, message),
        None => anyhow!(message),
    }
}

#[cfg(test)]
mod tests {
    use taonet_cli_base::exit::exit_code;

    use super::*;

    /// Starts a script in place of a miner.
    fn start(script: &str) -> (Child, LogCopy) {
        let mut command = Command::new("sh");
        command.args(["-c", script]).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.kill_on_drop(true).spawn().unwrap();
        let log = tokio::spawn(copy_log(child.stderr.take().unwrap(), io::sink()));
        (child, log)
    }

    #[tokio::test]
    async fn miner_that_does_not_start_times_out() {
        let (mut child, mut log) = start("exec sleep 600");
        let error = wait_until_started(&mut child, &mut log, Duration::from_millis(50))
            .await
            .unwrap_err()
            .to_string();
        assert!(error.starts_with("the miner did not start within 50ms\nhint: "), "{error}");
    }

    #[tokio::test]
    async fn error_of_the_miner_is_reported_as_text() {
        let usage = "usage: tao babelbit miner --json; `tao babelbit miner --help` describes it";
        for (hint, expected_hints) in [
            ("null".to_owned(), OPTIONS_HINT.to_owned()),
            (format!(r#""{usage}""#), OPTIONS_HINT.to_owned()),
            (format!(r#""install it\n{usage}""#), format!("install it\n{OPTIONS_HINT}")),
        ] {
            let script = format!(
                "echo loading >&2; printf '%s\\n' '{{\"error\":\"unknown model\",\"hint\":{hint},\"exit_code\":2}}' >&2; exit 2"
            );
            let (mut child, mut log) = start(&script);
            let error = wait_until_started(&mut child, &mut log, START_TIMEOUT).await.unwrap_err();
            assert_eq!(
                error.to_string(),
                format!("the miner did not start: unknown model\nhint: {expected_hints}")
            );
            assert!(expected_hints.contains("--stt-model before --"), "{expected_hints}");
            assert_eq!(exit_code(&Err(error)), 2, "{hint}");
        }
        let (mut child, mut log) = start("exit 3");
        let error = wait_until_started(&mut child, &mut log, START_TIMEOUT).await.unwrap_err();
        assert_eq!(
            error.to_string(),
            format!("the miner did not start: exit status: 3\nhint: {OPTIONS_HINT}")
        );
        assert_eq!(exit_code(&Err(error)), 3);
    }

    #[tokio::test]
    async fn log_that_another_process_keeps_open_does_not_block() {
        let (mut child, mut log) = start("sleep 600 >/dev/null & exit 3");
        let error = wait_until_started(&mut child, &mut log, START_TIMEOUT).await.unwrap_err();
        assert_eq!(exit_code(&Err(error)), 3);
    }

    #[tokio::test]
    async fn log_of_the_miner_is_copied_without_its_error() {
        let log = "one\n{\"level\":\"info\"}\n{\"error\":\"e\",\"hint\":null,\"exit_code\":1}\n";
        let mut output = Vec::new();
        let miner_error = copy_log(log.as_bytes(), &mut output).await.unwrap();
        assert_eq!((miner_error.error.as_str(), miner_error.exit_code), ("e", 1));
        assert_eq!(output, b"one\n{\"level\":\"info\"}\n");
    }
}
