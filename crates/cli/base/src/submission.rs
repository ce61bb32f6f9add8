//! Weight submission of a validator that needs no other process.

use std::path::Path;
use std::sync::Arc;

use taonet_chain::Chain;
use taonet_ledger::{Ledger, Submitter};
use taonet_service::Shutdown;
use taonet_validator::signer::AuditLog;
use taonet_validator::{LocalWeights, WeightService};
use taonet_wallet::Keypair;

/// Starts the weight service of this process, with the weight ledger and the audit log in
/// `directory`.
pub async fn start(
    chain: Arc<dyn Chain>,
    keypair: &Keypair,
    directory: &Path,
    shutdown: &Shutdown,
) -> anyhow::Result<WeightService> {
    let ledger = Ledger::open(&directory.join("weights")).await?;
    let submitter = Submitter::new(ledger, Arc::clone(&chain), keypair.clone()).await?;
    let audit = AuditLog::open(&directory.join("audit.jsonl"))?;
    Ok(LocalWeights::new(chain, submitter).with_audit(audit).start(shutdown))
}
