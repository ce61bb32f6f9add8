//! Short checks at the start of daemons.
//!
//! They run beside the daemon, so that a slow disk or node does not delay it. They are logged and
//! never stop a daemon: what it cannot work without, such as its port, key or ledger, it reports
//! itself. The settings without effect and the modes of keyfiles are logged where they are read.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use serde_json::{Value, json};
use taonet_chain::{At, Chain, ChainError, HotkeyState};
use taonet_doctor::{Finding, WriteDirectory, clock_against_chain, disks, log_findings};
use taonet_primitives::{Hotkey, MechId, NetUid};
use taonet_service::{BLOCK_TIME, Shutdown, unix_time};
use tokio::time::timeout;

/// Timeout of a query of a file system, whose response takes milliseconds unless a network is down.
const DISK_TIMEOUT: Duration = Duration::from_secs(3);
/// Timeout of the read of the chain's time: one block, after which the time that is read would no
/// longer be the newest.
const CHAIN_TIMEOUT: Duration = BLOCK_TIME;

/// Checks the directories in which a daemon writes.
pub fn spawn_disk_check(directories: Vec<WriteDirectory>, shutdown: &Shutdown) {
    let stop = shutdown.clone();
    shutdown.spawn("pre-flight", async move {
        tokio::select! {
            () = stop.requested() => {}
            findings = disks(directories, DISK_TIMEOUT) => log_findings(&findings),
        }
    });
}

/// Compares the clock with the chain that a daemon is connected to.
pub fn spawn_clock_check(chain: Arc<dyn Chain>, shutdown: &Shutdown) {
    let stop = shutdown.clone();
    shutdown.spawn("pre-flight", async move {
        tokio::select! {
            () = stop.requested() => {}
            () = check_clock(&*chain) => {}
        }
    });
}

async fn check_clock(chain: &dyn Chain) {
    match timeout(CHAIN_TIMEOUT, chain_state(chain)).await {
        Ok(Ok(state)) => log_findings(&[clock_against_chain(&state, unix_time(SystemTime::now()))]),
        Ok(Err(error)) => tracing::debug!(%error, "pre-flight: cannot read the chain's time"),
        Err(_) => tracing::debug!("pre-flight: reading the chain's time timed out"),
    }
}

/// Reads the chain's time.
async fn chain_state(chain: &dyn Chain) -> Result<HotkeyState, ChainError> {
    // The time does not depend on the hotkey, which need not be registered.
    chain.hotkey_state(NetUid(0), MechId(0), &Hotkey::from_bytes([0; 32]), At::Head).await
}

/// Returns a finding as JSON.
pub fn finding_json(finding: &Finding) -> Value {
    json!({
        "check": finding.check.name(),
        "status": finding.status.name(),
        "exit_code": finding.exit_code(),
        "subject": finding.subject,
        "seen": finding.seen,
        "remedy": finding.remedy,
    })
}
