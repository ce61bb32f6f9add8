//! Short checks at the start of every daemon.
//!
//! They are logged and never stop a daemon: what it cannot work without, such as its port, key or ledger, it reports
//! itself. The settings without effect and the modes of keyfiles are logged where they are read.

use std::time::{Duration, SystemTime};

use taonet_chain::{At, Chain, ChainError, HotkeyState};
use taonet_doctor::{DiskNeeds, clock_against_chain, disk_space, log_findings};
use taonet_primitives::{Hotkey, MechId, NetUid};
use taonet_service::unix_time;
use tokio::time::timeout;

use crate::daemon::state_directory;

/// Time for the comparison with the chain, which must not delay a daemon.
const CHAIN_TIMEOUT: Duration = Duration::from_secs(5);

/// Checks what a daemon needs of its machine.
pub(crate) fn check_machine() {
    let needs = DiskNeeds::default();
    let state = state_directory("");
    log_findings(&[disk_space("state", &state, needs), disk_space("working directory", ".".as_ref(), needs)]);
}

/// Compares the clock with the chain that a daemon is connected to.
pub(crate) async fn check_clock(chain: &dyn Chain) {
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
