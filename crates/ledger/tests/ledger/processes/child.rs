//! The subprocess that submits weights.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
use std::time::Duration;

use rustix::process::{Signal, getpid, kill_process};
use serde::{Deserialize, Serialize};
use taonet_chain::Chain as _;
use taonet_ledger::{Ledger, LedgerError, NewWeights, Step, StepProgress, Submitter};
use taonet_primitives::{MechId, Uid};
use taonet_wallet::Keypair;

use super::NETUID;
use super::remote::RemoteChain;

/// The environment variable that contains a [`Task`], and the marker of the output line with the
/// [`ChildResult`].
const TASK: &str = "TAONET_LEDGER_TEST_TASK";

/// The task of a subprocess: advance, then submit from several concurrent tasks.
#[derive(Debug)]
pub(crate) struct Task {
    pub(crate) port: u16,
    pub(crate) directory: PathBuf,
    pub(crate) tasks: usize,
    /// The moment at which the subprocess kills itself.
    pub(crate) kill: Option<(Step, StepProgress)>,
}

/// The results of a subprocess.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct ChildResult {
    /// The hashes of the extrinsics that submit the weights.
    pub(crate) extrinsics: BTreeSet<String>,
}

/// The JSON form of a [`Task`], in which enums are written by their `Debug` names.
#[derive(Serialize, Deserialize)]
struct TaskJson {
    port: u16,
    directory: PathBuf,
    tasks: usize,
    kill: Option<String>,
}

pub(crate) fn hotkey() -> Keypair {
    Keypair::from_uri("//Alice").unwrap()
}

/// Runs this program as a subprocess with a task. Returns no [`ChildResult`] if the subprocess was
/// killed.
pub(crate) async fn run(task: &Task) -> (ExitStatus, Option<ChildResult>) {
    let Task { port, directory, tasks, kill } = task;
    let kill = kill.map(|progress| format!("{progress:?}"));
    let task_json = TaskJson { port: *port, directory: directory.clone(), tasks: *tasks, kill };
    let child = tokio::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "processes::child::child_process_entry", "--nocapture"])
        .env(TASK, serde_json::to_string(&task_json).unwrap())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let output = child.wait_with_output().await.unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let result = text
        .lines()
        .find_map(|line| line.split_once(TASK))
        .map(|(_, json)| serde_json::from_str(json).unwrap());
    (output.status, result)
}

/// The entry point of the subprocess started by [`run`]; does nothing without a task.
#[test]
fn child_process_entry() {
    let Ok(task) = std::env::var(TASK) else { return };
    let task: TaskJson = serde_json::from_str(&task).unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(task.tasks.max(1))
        .enable_all()
        .build();
    let result = runtime.unwrap().block_on(execute_task(task));
    println!("{TASK}{}", serde_json::to_string(&result).unwrap());
}

async fn execute_task(task: TaskJson) -> ChildResult {
    let ledger = loop {
        match Ledger::open(&task.directory).await {
            // Another process has the ledger locked until it exits.
            Err(LedgerError::Locked(_)) => tokio::time::sleep(Duration::from_millis(20)).await,
            opened => break opened.unwrap(),
        }
    };
    let chain = Arc::new(RemoteChain::connect(task.port).await);
    let kill = task.kill;
    let submitter = Submitter::new(ledger, chain.clone(), hotkey()).await.unwrap();
    let submitter = Arc::new(submitter.with_observer(Arc::new(move |_, step, progress| {
        if kill.as_deref() == Some(&format!("{:?}", (step, progress))) {
            kill_process(getpid(), Signal::KILL).unwrap();
        }
    })));
    for (_, submission) in submitter.advance().await.unwrap() {
        submission.unwrap();
    }
    let weights = NewWeights {
        netuid: NETUID,
        mech: MechId(0),
        weights: vec![(Uid(1), 65_535), (Uid(2), 7)],
        version_key: 0,
        state_block: chain.head().await.unwrap().number,
    };
    let submissions: Vec<_> = (0..task.tasks)
        .map(|_| {
            let (submitter, weights) = (Arc::clone(&submitter), weights.clone());
            tokio::spawn(async move {
                submitter.submit(weights).await.unwrap().submit.unwrap().extrinsic.hash
            })
        })
        .collect();
    let mut extrinsics = BTreeSet::new();
    for submission in submissions {
        extrinsics.insert(submission.await.unwrap().to_string());
    }
    ChildResult { extrinsics }
}
