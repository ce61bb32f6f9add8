//! Calls that a proxy makes for another account.

use clap::Args;
use serde_json::{Value, json};
use taonet_chain::{Chain, calls};
use taonet_wallet::Keypair;

use super::{Account, Plan, chain_error, hex_text};

/// Arguments for a call that a proxy makes for another account
#[derive(Debug, Args)]
#[command(next_help_heading = "Submission options")]
pub(super) struct ProxyArgs {
    /// Make the call for this account, as its proxy
    #[arg(long, alias = "proxy", value_name = "ACCOUNT")]
    pub(super) proxy_for: Option<Account>,
    /// Announce the call instead, for a proxy with a delay
    #[arg(long, alias = "announce-only", requires = "proxy_for")]
    pub(super) announce: bool,
    /// Make a call that this proxy announced
    #[arg(long, requires = "proxy_for", conflicts_with = "announce")]
    pub(super) announced: bool,
}

impl ProxyArgs {
    /// Replaces the plan's call with the proxy's call, if the arguments name an account.
    pub(super) async fn wrap_plan(
        &self,
        chain: &dyn Chain,
        signer: &Keypair,
        plan: Plan,
    ) -> anyhow::Result<Plan> {
        let Some(real) = self.proxy_for.map(Account::id) else { return Ok(plan) };
        let Plan { call, description, mut details, event_fields, spending, expected_refusal } =
            plan;
        if let Value::Object(fields) = &mut details {
            fields.insert("proxy_for".to_owned(), json!(real));
        }
        if self.announce {
            let hash = chain.call_hash(&call).await.map_err(chain_error)?;
            tracing::info!(hash = hex_text(&hash), "announcing a call");
            let description = format!("Announce for {real}: {description}");
            // The events are those of the announcement. When the announced call is executed, the
            // account may have the TAO, and the rate limit may be over.
            return Ok(Plan::new(calls::announce_call(real, hash), description, details));
        }
        let call = if self.announced {
            calls::proxy_announced(signer.coldkey().into(), real, call)
        } else {
            calls::proxy(real, call)
        };
        Ok(Plan {
            call,
            description: format!("{description}, as a proxy of {real}"),
            details,
            event_fields,
            spending,
            expected_refusal,
        })
    }
}
