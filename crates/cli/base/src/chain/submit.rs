//! Submits calls: dry run, confirmation, submission, report.

use std::io::IsTerminal as _;

use clap::{Args, ValueEnum};
use serde_json::{Map, Value, json};
use taonet_chain::{
    Call, Chain, Client, DecodedCall, DryRun, Effect, Follow, Inclusion, Outcome, SignOptions,
    SignedExtrinsic, Until,
};
use taonet_primitives::{AccountId, Coldkey, Hotkey, Rao};
use taonet_wallet::Keypair;

use super::proxied::ProxyArgs;
use super::shield::Shielded;
use super::signer::{PairArgs, SigningKey, check_development};
use super::{
    Account, ExpectedRefusal, NamedCallChecks, NetworkArgs, Spending, chain_error, report,
};
use crate::context::Context;
use crate::exit::{ClassifiedError, Failure};
use crate::prompt;

/// Arguments for the submission of a call
#[derive(Debug, Args)]
#[command(next_help_heading = "Submission options")]
#[expect(clippy::struct_excessive_bools, reason = "each is an option of the command line")]
pub struct SubmitArgs {
    /// Do not ask for confirmation
    #[arg(long, short, alias = "no-prompt")]
    yes: bool,
    /// Validate the call and estimate its fee without sending it; a localnet on this machine also
    /// simulates it
    #[arg(long)]
    dry_run: bool,
    /// Wait until the call is in a block, or until that block is finalized
    #[arg(long, value_enum, value_name = "STATE", default_value = "included")]
    wait: Wait,
    /// The same as `--wait finalized`
    #[arg(long, aliases = ["wait-for-finalization", "finalize"], hide = true, conflicts_with = "wait")]
    finalized: bool,
    /// Encrypt the call until it is in a block, against front-running (MEV shield)
    #[arg(long, alias = "mev-protection")]
    mev_shield: bool,
    #[command(flatten)]
    proxy: ProxyArgs,
}

/// Arguments of a command that submits a call: how, on which network, and signed with which key
#[derive(Debug, Args)]
pub struct TxArgs<K: SigningKey> {
    /// How the call is submitted.
    #[command(flatten)]
    pub submit: SubmitArgs,
    /// The network.
    #[command(flatten)]
    pub network: NetworkArgs,
    /// The signing key.
    #[command(flatten)]
    pub key: K,
}

impl<K: SigningKey> TxArgs<K> {
    /// Connects to the selected network. A development key is an error unless it is a development
    /// chain.
    pub async fn connect(&self) -> anyhow::Result<Client> {
        let chain = self.network.connect().await?;
        if self.key.is_development() {
            check_development(&chain, &self.network.network()?).await?;
        }
        Ok(chain)
    }

    /// Opens the key that signs the call. A development key is checked by [`Self::connect`]. An
    /// invalid network is reported before a missing wallet.
    pub fn unlock(&self) -> anyhow::Result<Keypair> {
        self.network.network()?;
        self.key.unlock()
    }
}

impl TxArgs<PairArgs> {
    /// Returns the address of the selected hotkey. An invalid network is reported before a missing
    /// wallet.
    pub fn hotkey_address(&self) -> anyhow::Result<Hotkey> {
        self.network.network()?;
        self.key.hotkey()
    }
}

/// State of a call at which its command ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Wait {
    Included,
    Finalized,
}

/// A call to submit, with its description for prompts and reports.
pub struct Plan {
    /// Call to submit.
    pub call: Call,
    /// Description without a full stop, such as `Transfer 1 TAO to 5F…`.
    pub description: String,
    /// Leading fields of the JSON document.
    pub details: Value,
    /// Extracts further JSON fields from the events of a successful call, such as a new uid.
    pub event_fields: fn(&Inclusion) -> Value,
    /// TAO that the call takes, checked before the call is sent.
    pub spending: Option<Spending>,
    /// Why the call is not sent.
    pub expected_refusal: Option<ExpectedRefusal>,
}

impl Plan {
    /// Creates a plan whose JSON document has no fields from events.
    pub fn new(call: Call, description: String, details: Value) -> Self {
        Self {
            call,
            description,
            details,
            event_fields: |_| json!({}),
            spending: None,
            expected_refusal: None,
        }
    }

    /// Sets the TAO that the call takes.
    #[must_use]
    pub fn spending(self, spending: Spending) -> Self {
        Self { spending: Some(spending), ..self }
    }

    /// Sets the TAO that a named call takes, and why it is not sent.
    #[must_use]
    pub fn with_checks(
        self,
        NamedCallChecks { spending, expected_refusal }: NamedCallChecks,
    ) -> Self {
        Self { spending, expected_refusal, ..self }
    }

    /// Sets why the call is not sent, if there is a reason.
    #[must_use]
    pub fn expected_refusal(self, expected_refusal: Option<ExpectedRefusal>) -> Self {
        Self { expected_refusal, ..self }
    }
}

impl SubmitArgs {
    /// Returns whether `--dry-run` is set.
    pub const fn is_dry_run(&self) -> bool {
        self.dry_run
    }

    /// Returns the account for which the signer makes the call as a proxy.
    pub fn proxy_for(&self) -> Option<AccountId> {
        self.proxy.proxy_for.map(Account::id)
    }

    /// Returns the coldkey that makes the call: of the account in `--proxy-for`, or of the signer.
    pub fn coldkey(&self, signer: &Keypair) -> Coldkey {
        self.proxy.proxy_for.map_or_else(|| signer.coldkey(), Account::coldkey)
    }

    /// Returns the hotkey that makes the call: of the account in `--proxy-for`, or of the signer.
    pub fn hotkey(&self, signer: &Keypair) -> Hotkey {
        self.proxy.proxy_for.map_or_else(|| signer.hotkey(), Account::hotkey)
    }

    const fn until(&self) -> Until {
        if self.finalized || matches!(self.wait, Wait::Finalized) {
            Until::Finalized
        } else {
            Until::Included
        }
    }

    /// Submits a call, waits for its outcome and reports it; a failed call is an error. With
    /// `--dry-run`, only validates the call.
    pub async fn submit(
        &self,
        chain: &dyn Chain,
        signer: &Keypair,
        plan: Plan,
        context: &Context,
    ) -> anyhow::Result<()> {
        self.run(chain, signer, plan, false, context).await
    }

    /// Asks for confirmation unless `--yes` is set, then continues as [`Self::submit`]. For calls
    /// that cost TAO.
    pub async fn confirm_and_submit(
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
        needs_confirmation: bool,
        context: &Context,
    ) -> anyhow::Result<()> {
        let mut plan = self.proxy.wrap_plan(chain, signer, plan).await?;
        let must_stay_encrypted = self.mev_shield && !self.dry_run && !needs_confirmation;
        let preview = if self.dry_run
            || needs_confirmation
            || plan.spending.is_some() && !must_stay_encrypted
        {
            // The call is signed again after the prompt: meanwhile, another call can use the nonce,
            // and the era can end.
            Some(create_preview(chain, signer, &plan.call, self.mev_shield).await?)
        } else {
            None
        };
        // The fee is unknown if no node may see the call before it is in a block.
        let fee = preview.as_ref().map_or(Rao::ZERO, Preview::total_fee);
        let shortfall =
            || plan.spending.and_then(|spending| spending.shortfall(signer.coldkey().into(), fee));
        let expected_refusal = plan.expected_refusal.take().or_else(shortfall);
        match (preview, expected_refusal) {
            (Some(preview), expected_refusal) if self.dry_run => {
                return report_dry_run(&preview, expected_refusal, plan, context);
            }
            (_, Some(expected_refusal)) => {
                return report_unsent(signer, &expected_refusal, plan, context);
            }
            (Some(preview), None) if needs_confirmation => {
                report::check_dry_run(&preview.dry_run)?;
                prompt::confirm(
                    &format!("{}? The fee is {}.", plan.description, preview.describe_fees()),
                    false,
                )?;
            }
            _ => {}
        }
        let follow = Follow { until: self.until(), ..Follow::default() };
        let result = if self.mev_shield {
            send_shielded(chain, signer, &plan.call, follow, context).await?
        } else {
            send(chain, signer, &plan.call, follow, context).await?
        };
        report_outcome(&result, follow.until, plan, context)
    }
}

/// Sends a call as part of a longer command, and returns its outcome as JSON; a failed call is an
/// error.
pub async fn publish(
    chain: &dyn Chain,
    signer: &Keypair,
    call: &Call,
    context: &Context,
) -> anyhow::Result<Value> {
    let follow = Follow { until: Until::Included, ..Follow::default() };
    let SentCall { extrinsic, outcome, .. } = send(chain, signer, call, follow, context).await?;
    report::check(&extrinsic, &outcome, follow.until)?;
    Ok(report::document(&extrinsic, &outcome, follow.until))
}

/// A dry run of a call, with the fee of the extrinsic that submits it encrypted.
struct Preview {
    dry_run: DryRun,
    shield_fee: Option<Rao>,
}

impl Preview {
    fn total_fee(&self) -> Rao {
        Rao::new(self.dry_run.fee.get().saturating_add(self.shield_fee.unwrap_or_default().get()))
    }

    /// Describes the fees for prompts and reports.
    fn describe_fees(&self) -> String {
        let fee = self.dry_run.fee;
        self.shield_fee.map_or_else(
            || format!("{fee} TAO"),
            |shield_fee| format!("{fee} TAO, and {shield_fee} TAO for the MEV shield"),
        )
    }
}

async fn create_preview(
    chain: &dyn Chain,
    signer: &Keypair,
    call: &Call,
    mev_shield: bool,
) -> anyhow::Result<Preview> {
    let lease = chain.lease_nonce(signer.coldkey().into()).await.map_err(chain_error)?;
    let options = SignOptions { nonce: lease.nonce(), ..SignOptions::default() };
    let extrinsic = chain.sign(call, signer, options).await.map_err(chain_error)?;
    let mut dry_run = chain.dry_run(&extrinsic).await.map_err(chain_error)?;
    if !mev_shield {
        return Ok(Preview { dry_run, shield_fee: None });
    }
    let shielded = Shielded::sign(chain, call, signer, lease.nonce()).await?;
    let outer = chain.dry_run(&shielded.outer).await.map_err(chain_error)?;
    dry_run.validity = dry_run.validity.and(outer.validity);
    Ok(Preview { dry_run, shield_fee: Some(outer.fee) })
}

/// A submitted call and its outcome.
struct SentCall {
    extrinsic: SignedExtrinsic,
    outcome: Outcome,
    /// The extrinsic that submitted the call encrypted, and its outcome.
    shield: Option<(SignedExtrinsic, Outcome)>,
}

/// Signs and submits a call, and tracks it to its outcome.
async fn send(
    chain: &dyn Chain,
    signer: &Keypair,
    call: &Call,
    follow: Follow,
    context: &Context,
) -> anyhow::Result<SentCall> {
    let lease = chain.lease_nonce(signer.coldkey().into()).await.map_err(chain_error)?;
    let options = SignOptions { nonce: lease.nonce(), ..SignOptions::default() };
    let extrinsic = chain.sign(call, signer, options).await.map_err(chain_error)?;
    if std::io::stderr().is_terminal() {
        // With the hash, a user who interrupts this command can still look the call up.
        context.print_notice(&format!("sending {}", extrinsic.hash));
    }
    let outcome = chain.submit_leased(&extrinsic, follow, Some(lease)).await;
    Ok(SentCall { extrinsic, outcome, shield: None })
}

/// Like [`send`], but sends the call encrypted.
async fn send_shielded(
    chain: &dyn Chain,
    signer: &Keypair,
    call: &Call,
    follow: Follow,
    context: &Context,
) -> anyhow::Result<SentCall> {
    let lease = chain.lease_nonce(signer.coldkey().into()).await.map_err(chain_error)?;
    let shielded = Shielded::sign(chain, call, signer, lease.nonce()).await?;
    if std::io::stderr().is_terminal() {
        context.print_notice(&format!(
            "sending {}, encrypted in {}",
            shielded.inner.hash, shielded.outer.hash
        ));
    }
    let (outer, outcome) = shielded.submit(chain, follow, lease).await;
    Ok(SentCall { extrinsic: shielded.inner, outcome, shield: Some((shielded.outer, outer)) })
}

/// Reports that a call was not sent, because the chain would refuse it.
fn report_unsent(
    signer: &Keypair,
    expected_refusal: &ExpectedRefusal,
    plan: Plan,
    context: &Context,
) -> anyhow::Result<()> {
    if context.json {
        context.print_json(&merge_objects([
            plan.details,
            report::unsent_document(signer.coldkey(), &expected_refusal.error()),
        ]))?;
    }
    Err(ClassifiedError::error(
        Failure::Rejected,
        format!("the call was not sent: {}", expected_refusal.text),
    ))
}

fn report_dry_run(
    preview: &Preview,
    expected_refusal: Option<ExpectedRefusal>,
    plan: Plan,
    context: &Context,
) -> anyhow::Result<()> {
    let dry_run = &preview.dry_run;
    let would_succeed = expected_refusal.is_none() && report::would_succeed(dry_run);
    if context.json {
        let shield = preview
            .shield_fee
            .map_or_else(|| json!({}), |fee| json!({ "mev_shield": { "fee_rao": fee } }));
        let result = json!({
            "dry_run": true,
            "valid": would_succeed,
            "error": expected_refusal
                .as_ref()
                .map_or_else(|| report::dry_run_error(dry_run), ExpectedRefusal::error),
            "fee_rao": dry_run.fee,
            "decoded_call": dry_run.call,
            "simulated": dry_run.effect.is_some(),
            "events": dry_run.effect.as_ref().map(|effect| &effect.events),
        });
        context.print_json(&merge_objects([plan.details, result, shield]))?;
    } else if would_succeed {
        let DecodedCall { pallet, name, args, .. } = &dry_run.call;
        let (result, events) = match &dry_run.effect {
            Some(Effect { events, .. }) => {
                let events: Vec<_> =
                    events.iter().map(|event| format!("{}.{}", event.pallet, event.name)).collect();
                ("simulated successfully", format!("\nevents: {}", events.join(", ")))
            }
            None => ("valid, not simulated", String::new()),
        };
        let result = format!(
            "{}: {result}, fee {} (dry run, not sent)",
            plan.description,
            preview.describe_fees()
        );
        context.print(&format!("{result}\ncall: {pallet}.{name} {args}{events}"))?;
    }
    match expected_refusal {
        Some(ExpectedRefusal { text, .. }) => {
            Err(ClassifiedError::error(Failure::Rejected, format!("the call would fail: {text}")))
        }
        None => report::check_dry_run(dry_run),
    }
}

fn report_outcome(
    sent: &SentCall,
    until: Until,
    plan: Plan,
    context: &Context,
) -> anyhow::Result<()> {
    let SentCall { extrinsic, outcome, shield } = sent;
    let is_complete = report::is_complete(outcome, until);
    let succeeded = outcome.inclusion().filter(|_| is_complete);
    let event_fields = succeeded.map_or_else(|| json!({}), plan.event_fields);
    if context.json {
        let shield = shield.as_ref().map_or_else(
            || json!({}),
            |(extrinsic, outcome)| json!({ "mev_shield": report::shield_document(extrinsic, outcome) }),
        );
        context.print_json(&merge_objects([
            plan.details,
            event_fields,
            report::document(extrinsic, outcome, until),
            shield,
        ]))?;
    } else if is_complete {
        let event_text = event_fields
            .as_object()
            .into_iter()
            .flatten()
            .map(|(name, value)| format!(", {name} {value}"));
        let event_text: String = event_text.collect();
        let shield_fee = shield.as_ref().and_then(|(_, outcome)| outcome.inclusion()?.fee);
        let shield_fee =
            shield_fee.map(|fee| format!(", MEV shield fee {fee} TAO")).unwrap_or_default();
        context.print(&format!(
            "{}: {}{shield_fee}{event_text}",
            plan.description,
            report::summary_line(outcome)
        ))?;
    }
    if let (Some(_), Outcome::Expired { last_block }) = (shield, outcome) {
        let text = format!(
            "no block up to {last_block} includes the encrypted call {}, which has expired\nhint: check the call with \
             --dry-run, and retry",
            extrinsic.hash
        );
        return Err(ClassifiedError::error(Failure::Undecided, text));
    }
    report::check(extrinsic, outcome, until)
}

/// Merges JSON objects; later fields win.
fn merge_objects(objects: impl IntoIterator<Item = Value>) -> Value {
    let mut merged = Map::new();
    for object in objects {
        if let Value::Object(fields) = object {
            merged.extend(fields);
        }
    }
    merged.into()
}

#[cfg(test)]
mod tests;
