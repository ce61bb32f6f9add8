//! Short checks at the start of daemons.
//!
//! They run beside the daemon, so that a slow disk or node does not delay it. They are logged and
//! never stop a daemon, which itself reports what it cannot work without, such as its port, key or
//! ledger. The settings without effect and the modes of keyfiles are logged where they are read.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use serde_json::{Value, json};
use taonet_chain::{At, Chain, ChainError, Client, HotkeyState};
use taonet_doctor::{Finding, Status, WriteDirectory, clock_against_chain, disks, log_findings};
use taonet_primitives::{Hotkey, MechId, NetUid};
use taonet_service::{BLOCK_TIME, Shutdown, unix_time};
use tokio::time::timeout;

use crate::chain::configured_network;

/// Timeout of a query of a file system, whose response takes milliseconds unless a network is down.
const DISK_TIMEOUT: Duration = Duration::from_secs(3);
/// Timeout for reading the chain's time: one block, after which the response would be outdated.
const CHAIN_TIMEOUT: Duration = BLOCK_TIME;

/// Checks the directories in which a daemon writes.
pub fn spawn_disk_check(directories: Vec<WriteDirectory>, shutdown: &Shutdown) {
    shutdown.spawn_until("pre-flight", |stop| async move {
        tokio::select! {
            () = stop.requested() => {}
            findings = disks(directories, DISK_TIMEOUT) => log_findings(&findings),
        }
    });
}

/// Compares the clock with the chain that a daemon is connected to.
pub fn spawn_clock_check(chain: Arc<dyn Chain>, shutdown: &Shutdown) {
    shutdown.spawn_until("pre-flight", |stop| async move {
        tokio::select! {
            () = stop.requested() => {}
            () = check_clock(&*chain) => {}
        }
    });
}

/// Compares the clock with the chain of the settings, for a daemon without a connection to it. Such
/// a daemon may run where no node can be reached: then the log says that the check was skipped.
pub fn spawn_network_clock_check(shutdown: &Shutdown) {
    shutdown.spawn_until("pre-flight", |stop| async move {
        tokio::select! {
            () = stop.requested() => {}
            () = check_network_clock() => {}
        }
    });
}

async fn check_network_clock() {
    let network = match configured_network(None) {
        Ok(network) => network,
        Err(error) => {
            tracing::info!("pre-flight: clock not checked: the network is invalid: {error:#}");
            return;
        }
    };
    match Client::connect(&network).await {
        Ok(chain) => check_clock(&chain).await,
        Err(error) => {
            tracing::info!(%error, "pre-flight: clock not checked: cannot connect to the chain");
        }
    }
}

async fn check_clock(chain: &dyn Chain) {
    match timeout(CHAIN_TIMEOUT, read_chain_time(chain)).await {
        Ok(Ok(state)) => {
            log_clock_finding(&clock_against_chain(&state, unix_time(SystemTime::now())));
        }
        Ok(Err(error)) => {
            tracing::info!(%error, "pre-flight: clock not checked: cannot read the chain's time");
        }
        Err(_) => tracing::info!("pre-flight: clock not checked: the chain's time timed out"),
    }
}

/// Logs the comparison, also of a correct clock: the log of each start shows it.
fn log_clock_finding(finding: &Finding) {
    if finding.status == Status::Ok {
        tracing::info!("pre-flight: the clock is {}", finding.seen);
    } else {
        log_findings(std::slice::from_ref(finding));
    }
}

/// Reads the chain's time.
async fn read_chain_time(chain: &dyn Chain) -> Result<HotkeyState, ChainError> {
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
