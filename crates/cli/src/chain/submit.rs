//! Signing, asking, sending, telling.

use std::io::IsTerminal as _;

use clap::Args;
use serde_json::{Map, Value, json};
use taonet_chain::{Call, Chain, DryRun, Follow, Inclusion, Outcome, SignOptions, SignedExtrinsic, Until};
use taonet_wallet::Keypair;

use super::{failed, report};
use crate::context::Context;
use crate::prompt;

/// How a call is sent
#[derive(Debug, Args)]
#[command(next_help_heading = "Submission options")]
pub(crate) struct SubmitArgs {
    /// Do not ask before something is paid
    #[arg(long, short, alias = "no-prompt")]
    yes: bool,
    /// Send nothing: say whether the chain would take the call, and its fee
    #[arg(long)]
    dry_run: bool,
    /// Wait until the block with the call is final
    #[arg(long, aliases = ["wait-for-finalization", "finalize"])]
    finalized: bool,
}

/// A call and what is said about it.
pub(crate) struct Plan {
    /// The call.
    pub(crate) call: Call,
    /// What it does, as a sentence without its end: `Transfer 1 TAO to 5F…`.
    pub(crate) what: String,
    /// What the JSON document says first.
    pub(crate) about: Value,
    /// What the JSON document says of a success besides: what the events of the block tell, such as a new uid.
    pub(crate) found: fn(&Inclusion) -> Value,
}

impl Plan {
    /// A call whose events tell nothing that was not known before.
    pub(crate) fn new(call: Call, what: String, about: Value) -> Self {
        Self { call, what, about, found: |_| json!({}) }
    }
}

impl SubmitArgs {
    /// Whether nothing is sent.
    pub(crate) const fn is_dry_run(&self) -> bool {
        self.dry_run
    }

    /// Sends a call, follows it, and tells what became of it; an error where it did not do what it was meant to. With
    /// `--dry-run` nothing is sent, and it is an error where the call would be refused.
    pub(crate) async fn carry_out(
        &self,
        chain: &dyn Chain,
        signer: &Keypair,
        plan: Plan,
        context: &Context,
    ) -> anyhow::Result<()> {
        self.run(chain, signer, plan, false, context).await
    }

    /// As [`Self::carry_out`] for a call that costs something: after a question, unless it was answered with `--yes`.
    pub(crate) async fn spend(
        &self,
        chain: &dyn Chain,
        signer: &Keypair,
        plan: Plan,
        context: &Context,
    ) -> anyhow::Result<()> {
        self.run(chain, signer, plan, !self.yes, context).await
    }

    async fn run(
        &self,
        chain: &dyn Chain,
        signer: &Keypair,
        plan: Plan,
        ask: bool,
        context: &Context,
    ) -> anyhow::Result<()> {
        if self.dry_run || ask {
            // Signed once more afterwards: while a person thinks, others may use the nonce, and the era may end.
            let dry = dry_run(chain, signer, &plan.call).await?;
            if self.dry_run {
                return tell_dry_run(&dry, plan, context);
            }
            dry.validity.map_err(|because| report::refused(&because))?;
            prompt::confirm(&format!("{}? The fee is {} TAO.", plan.what, dry.fee), false)?;
        }
        let follow =
            Follow { until: if self.finalized { Until::Finalized } else { Until::Included }, ..Follow::default() };
        let (extrinsic, outcome) = send(chain, signer, &plan.call, follow, context).await?;
        tell(&extrinsic, &outcome, plan, context)
    }
}

async fn dry_run(chain: &dyn Chain, signer: &Keypair, call: &Call) -> anyhow::Result<DryRun> {
    let lease = chain.lease_nonce(signer.coldkey().into()).await.map_err(failed)?;
    let options = SignOptions { nonce: lease.nonce(), ..SignOptions::default() };
    let extrinsic = chain.sign(call, signer, options).await.map_err(failed)?;
    chain.dry_run(&extrinsic).await.map_err(failed)
}

/// As [`Chain::send`], but the extrinsic comes back with what became of it.
async fn send(
    chain: &dyn Chain,
    signer: &Keypair,
    call: &Call,
    follow: Follow,
    context: &Context,
) -> anyhow::Result<(SignedExtrinsic, Outcome)> {
    let lease = chain.lease_nonce(signer.coldkey().into()).await.map_err(failed)?;
    let options = SignOptions { nonce: lease.nonce(), ..SignOptions::default() };
    let extrinsic = chain.sign(call, signer, options).await.map_err(failed)?;
    if std::io::stderr().is_terminal() {
        // Who gives up waiting can still look for it.
        context.say(&format!("sending {}", extrinsic.hash));
    }
    let outcome = chain.submit(&extrinsic, follow).await;
    if !matches!(outcome, Outcome::Invalid(_)) {
        lease.used();
    }
    Ok((extrinsic, outcome))
}

fn tell_dry_run(dry: &DryRun, plan: Plan, context: &Context) -> anyhow::Result<()> {
    if context.json {
        let told = json!({
            "dry_run": true,
            "valid": dry.validity.is_ok(),
            "error": dry.validity.as_ref().err().map(report::refusal),
            "fee_rao": dry.fee,
        });
        context.print_json(&merged([plan.about, told]))?;
    } else if dry.validity.is_ok() {
        context.print(&format!("{}: the node would take it, fee {} TAO. Nothing was sent", plan.what, dry.fee))?;
    }
    dry.validity.as_ref().map(|&()| ()).map_err(report::refused)
}

fn tell(extrinsic: &SignedExtrinsic, outcome: &Outcome, plan: Plan, context: &Context) -> anyhow::Result<()> {
    let succeeded = outcome.inclusion().filter(|_| outcome.is_success());
    let found = succeeded.map_or_else(|| json!({}), plan.found);
    if context.json {
        context.print_json(&merged([plan.about, found, report::document(extrinsic, outcome)]))?;
    } else if outcome.is_success() {
        let facts = found.as_object().into_iter().flatten().map(|(name, value)| format!(", {name} {value}"));
        let facts: String = facts.collect();
        context.print(&format!("{}: {}{facts}", plan.what, report::line(outcome)))?;
    }
    report::check(extrinsic, outcome)
}

/// One object with the fields of all.
fn merged(parts: impl IntoIterator<Item = Value>) -> Value {
    let mut all = Map::new();
    for part in parts {
        if let Value::Object(fields) = part {
            all.extend(fields);
        }
    }
    all.into()
}

#[cfg(test)]
mod tests;
