//! Tests of the restart of daemons after an update.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use taonet_update::{Check, RestartError, UpdateError, Updater};

use crate::installation::{Installation, updater};
use crate::releases::{Releases, program};

const OLD: &str = "0.1.0";
const NEW: &str = "0.2.0";

/// Installs the release, and restarts the daemons with a command, which finds the program in
/// `$TAO`.
async fn update(
    updater: &Updater,
    program: &Path,
    command: &str,
    time_limit: Duration,
) -> Result<(), UpdateError> {
    let Check::Newer(release) = updater.check().await.unwrap() else {
        panic!("there is no newer release")
    };
    let installed = updater.install(&release, |_| {}).await.unwrap();
    assert!(installed.previous.is_some());
    let command = format!("TAO='{}'; {command}", program.display());
    updater.restart_daemons(&installed, &command, time_limit).await
}

#[tokio::test]
async fn previous_program_is_restored_when_daemons_do_not_become_ready() {
    let (releases, installation) = (Releases::of(NEW), Installation::new());
    let source = releases.path().to_str().unwrap().parse().unwrap();
    let updater = updater(source, releases.keys.key(), installation.program());
    let time_limit = Duration::from_mins(1);
    let installed = || fs::read_to_string(installation.program()).unwrap();
    // The daemon is ready only with the old program.
    let accepts_only_old = format!("$TAO --version >>$TAO.log; grep -q {OLD} $TAO.log");
    let error =
        update(&updater, &installation.program(), &accepts_only_old, time_limit).await.unwrap_err();
    assert!(
        matches!(&error, UpdateError::NotReady { failure: RestartError::Failed(_), .. }),
        "{error}"
    );
    assert!(
        error.to_string().ends_with("the previous program was restored, and the daemons run it"),
        "{error}"
    );
    assert_eq!(installed(), program(OLD));
    let runs = fs::read_to_string(installation.program().with_extension("log")).unwrap();
    assert_eq!(runs, "tao 0.2.0\ntao 0.1.0\n");
    // It is ready with neither.
    let error = update(&updater, &installation.program(), "exit 7", time_limit).await.unwrap_err();
    assert!(
        error.to_string().contains("with version 0.2.0")
            && error.to_string().contains("not become ready with it")
    );
    assert_eq!(installed(), program(OLD));
    // It is ready.
    update(&updater, &installation.program(), "$TAO --version", time_limit).await.unwrap();
    assert_eq!(installed(), program(NEW));
}

#[tokio::test]
async fn restart_that_hangs_is_not_ready() {
    let (releases, installation) = (Releases::of(NEW), Installation::new());
    let source = releases.path().to_str().unwrap().parse().unwrap();
    let updater = updater(source, releases.keys.key(), installation.program());
    let start = Instant::now();
    // The test must also pass on a busy machine: the command hangs with the new program, and with
    // the old one does little.
    let command = format!("case $(cat $TAO) in *{OLD}*) ;; *) exec sleep 600 ;; esac");
    let error = update(&updater, &installation.program(), &command, Duration::from_secs(10))
        .await
        .unwrap_err();
    assert!(
        matches!(&error, UpdateError::NotReady { failure: RestartError::Timeout(_), .. }),
        "{error}"
    );
    assert!(error.to_string().ends_with("the daemons run it"), "{error}");
    assert!(start.elapsed() < Duration::from_mins(5), "{:?}", start.elapsed());
    assert_eq!(fs::read_to_string(installation.program()).unwrap(), program(OLD));
}
