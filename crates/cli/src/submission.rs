//! Runs subtensor gateway and signer of a validator in one process, on loopback, with a token known to this process
//! only.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use taonet_chain::Chain;
use taonet_http::{AccessToken, random_hex};
use taonet_ledger::{Ledger, Submitter};
use taonet_primitives::NetUid;
use taonet_service::Shutdown;
use taonet_validator::Services;
use taonet_validator::operator_http::OperatorLimits;
use taonet_validator::signer::{AuditLog, NoTexts, Signer, SignerClient, SignerConfig};
use taonet_validator::subtensor_gateway::{Gateway, GatewayClient, GatewaySettings};
use taonet_wallet::Keypair;

use crate::daemon::serve_here;

/// Timeout of a call to gateway or signer, which includes the confirmation of a submission.
const CALL_TIMEOUT: Duration = Duration::from_mins(5);

/// Starts gateway and signer, with the weight ledger and the audit log in `directory`.
pub(crate) async fn start(
    chain: Arc<dyn Chain>,
    keypair: &Arc<Keypair>,
    netuid: NetUid,
    directory: &Path,
    (retries, retry_delay): (u32, Duration),
    shutdown: &Shutdown,
) -> anyhow::Result<Services> {
    let token = AccessToken::parse(&random_hex())?;
    let gateway = Gateway::new(GatewaySettings::new(netuid, keypair.hotkey()));
    let ledger = Ledger::open(&directory.join("weights")).await?;
    let submitter = Submitter::new(ledger, Arc::clone(&chain), Keypair::clone(keypair)).await?;
    gateway.connect(chain, submitter);
    let url =
        serve_here("subtensor gateway", gateway.router(OperatorLimits::new(Some(token.clone()))), shutdown).await?;
    let stop = shutdown.clone();
    shutdown.spawn("unfinished weights", async move { gateway.follow(&stop).await });
    let gateway = GatewayClient::new(&url, Some(&token), CALL_TIMEOUT)?;
    let signer = Signer::new(SignerConfig {
        keypair: Arc::clone(keypair),
        netuid,
        gateway: gateway.clone(),
        retries,
        retry_delay,
        policy: Box::new(NoTexts),
        audit: AuditLog::open(&directory.join("audit.jsonl"))?,
    });
    let url = serve_here("signer", signer.router(OperatorLimits::new(Some(token.clone()))), shutdown).await?;
    Ok(Services { gateway, signer: SignerClient::new(&url, Some(&token))? })
}
