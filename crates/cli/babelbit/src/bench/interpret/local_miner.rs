//! A miner in its own process, so that its processor time and memory can be told apart from
//! those of the scoring.

use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, anyhow, bail};
use serde::Deserialize;
use taonet_babelbit_config::Config;
use taonet_cli_base::exit::{ClassifiedError, Failure};
use taonet_cli_base::keys::temporary_key;
use taonet_primitives::Hotkey;
use taonet_service::{Access, atomic_write};
use taonet_settings::NETWORK_VARIABLES;
use taonet_wallet::Keyfile;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};

use super::super::measure::{peak_memory_of, processor_seconds_of};

/// Name of a speech miner in its startup message.
const SPEECH_MINER: &str = "miner ";

/// Timeout for the start of the miner, which loads its models.
const START_TIMEOUT: Duration = Duration::from_mins(5);

/// A running miner, killed on drop.
pub(super) struct LocalMiner {
    child: Child,
    /// ID of the process.
    process: String,
    pub(super) url: String,
    pub(super) hotkey: Hotkey,
    /// Directory of the miner's key.
    _directory: TempDir,
}

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
            .kill_on_drop(true)
            .spawn()
            .context("cannot start the miner")?;
        let url = wait_until_started(&mut child, START_TIMEOUT).await?;
        let process = child.id().map(|id| id.to_string()).unwrap_or_default();
        Ok(Self { child, process, url, hotkey, _directory: directory })
    }

    /// Returns the processor seconds of the miner since its start; `None` on systems other than
    /// Linux.
    pub(super) fn processor_seconds(&self) -> Option<f64> {
        processor_seconds_of(&self.process)
    }

    /// Returns the peak memory of the miner in MB; `None` on systems other than Linux.
    pub(super) fn peak_memory(&self) -> Option<f64> {
        peak_memory_of(&self.process)
    }

    /// Checks that the miner still runs.
    ///
    /// # Errors
    /// If the miner has ended.
    pub(super) fn check_running(&mut self) -> anyhow::Result<()> {
        match self.child.try_wait().context("cannot observe the miner")? {
            None => Ok(()),
            Some(status) => bail!("the miner ended during the measurement: {status}"),
        }
    }
}

/// Waits for the start of a miner; returns the miner's URL.
async fn wait_until_started(child: &mut Child, timeout: Duration) -> anyhow::Result<String> {
    match tokio::time::timeout(timeout, announced_url(child)).await {
        Ok(url) => url,
        Err(_) => bail!(
            "the miner did not start within {timeout:?}\nhint: run `bb miner` with the same options"
        ),
    }
}

/// Reads the startup message of a miner; returns the miner's URL.
async fn announced_url(child: &mut Child) -> anyhow::Result<String> {
    let output = child.stdout.take().context("the miner has no output")?;
    let mut line = String::new();
    BufReader::new(output).read_line(&mut line).await.context("cannot read the miner's output")?;
    if line.is_empty() {
        let status = child.wait().await.context("cannot observe the miner")?;
        let message = format!(
            "the miner did not start: {status}\nhint: options after -- are those of `bb miner`"
        );
        let failure =
            status.code().and_then(|code| u8::try_from(code).ok()).and_then(Failure::from_code);
        return Err(match failure {
            Some(failure) => ClassifiedError::error(failure, message),
            None => anyhow!(message),
        });
    }
    let Announcement { service, url } = serde_json::from_str::<Announcement>(&line)
        .with_context(|| format!("unexpected output of the miner: {}", line.trim()))?;
    if !service.starts_with(SPEECH_MINER) {
        let message = format!(
            "the benchmark is for speech miners, not for a {service}\nhint: omit --contest"
        );
        return Err(ClassifiedError::usage(message));
    }
    Ok(url)
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[tokio::test]
    async fn miner_that_does_not_start_times_out() {
        let mut command = Command::new("sleep");
        let mut child =
            command.arg("600").stdout(Stdio::piped()).kill_on_drop(true).spawn().unwrap();
        let error = wait_until_started(&mut child, Duration::from_millis(50))
            .await
            .unwrap_err()
            .to_string();
        assert!(error.starts_with("the miner did not start within 50ms\nhint: "), "{error}");
    }
}
