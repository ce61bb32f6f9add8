//! `tao crowdloan …`: TAO raised by many accounts for one purpose.

#![allow(clippy::indexing_slicing, reason = "indexing a JSON value yields null for a missing key")]

mod contributors;

use std::str::FromStr;

use anyhow::bail;
use clap::{Args, Subcommand};
use serde_json::{Value, json};
use taonet_chain::calls::{self, CrowdloanPurpose};
use taonet_chain::{At, Call, Chain as _, Client, Crowdloan, CrowdloanTerms, Inclusion};
use taonet_cli_base::chain::{
    Account, AtArgs, ColdkeyArgs, JsonArguments, NetworkArgs, Plan, Spending, TxArgs, block_json,
    chain_error,
};
use taonet_cli_base::context::Context;
use taonet_cli_base::table::{key_values, table};
use taonet_cli_base::tables::{CONTRIBUTORS, CROWDLOANS};
use taonet_primitives::{BlockNumber, Rao};

/// The commands of `tao crowdloan`.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// List all crowdloans
    List(ListArgs),
    /// Show one crowdloan and its contributions
    Show(ShowArgs),
    /// List the contributors of a crowdloan with their shares
    Contributors(ShowArgs),
    /// Create a crowdloan; the deposit is its first contribution
    Create(CreateArgs),
    /// Contribute TAO to a crowdloan
    Contribute(ContributeArgs),
    /// Withdraw your contribution
    Withdraw(IdArgs),
    /// Pay out a crowdloan whose cap is raised (creator only)
    Finalize(IdArgs),
    /// Refund contributors; repeat until all are refunded (creator only)
    Refund(IdArgs),
    /// Remove a crowdloan without other contributions (creator only)
    Dissolve(IdArgs),
    /// Change the terms of a crowdloan (creator only)
    Update(UpdateArgs),
}

/// List all crowdloans
#[derive(Debug, Args)]
pub struct ListArgs {
    #[command(flatten)]
    at: AtArgs,
    #[command(flatten)]
    network: NetworkArgs,
}

/// Show one crowdloan and its contributions
#[derive(Debug, Args)]
pub struct ShowArgs {
    /// Number of the crowdloan
    #[arg(value_name = "ID")]
    id: u32,
    #[command(flatten)]
    at: AtArgs,
    #[command(flatten)]
    network: NetworkArgs,
}

/// Create a crowdloan; the deposit is its first contribution
#[derive(Debug, Args)]
#[command(group = clap::ArgGroup::new("purpose").required(true).multiple(false))]
pub struct CreateArgs {
    /// Your first contribution, in TAO; at least 10 TAO
    #[arg(long, value_name = "TAO")]
    deposit: Rao,
    /// Minimum contribution, in TAO; at least 0.1 TAO
    #[arg(long, value_name = "TAO")]
    min_contribution: Rao,
    /// Amount to raise, in TAO
    #[arg(long, value_name = "TAO")]
    cap: Rao,
    /// Duration, in blocks; 50400 blocks are a week of the main network
    #[arg(long, value_name = "BLOCKS")]
    duration: u32,
    /// Account that receives the TAO
    #[arg(long, value_name = "ACCOUNT", group = "purpose")]
    target: Option<Account>,
    /// Call that spends the TAO instead, as JSON such as {"SubtensorModule": {"register_network":
    /// {…}}}
    #[arg(long, value_name = "JSON", group = "purpose")]
    call: Option<NestedCall>,
    /// Lease a subnet with the TAO instead: you operate it as a proxy of the lease's account
    #[arg(long, group = "purpose", requires = "emissions_share")]
    subnet_lease: bool,
    /// Part of the subnet owner's emission that the contributors receive, in percent
    #[arg(
        long,
        alias = "emissions",
        value_name = "PERCENT",
        requires = "subnet_lease",
        value_parser = clap::value_parser!(u8).range(0..=100)
    )]
    emissions_share: Option<u8>,
    /// Block from which you can make yourself the owner of the leased subnet [default: never]
    #[arg(long, value_name = "BLOCK", requires = "subnet_lease")]
    lease_end_block: Option<BlockNumber>,
    #[command(flatten)]
    tx: TxArgs<ColdkeyArgs>,
}

/// Contribute TAO to a crowdloan
#[derive(Debug, Args)]
pub struct ContributeArgs {
    /// Number of the crowdloan
    #[arg(value_name = "ID")]
    id: u32,
    /// Amount in TAO, with at most 9 decimals
    #[arg(value_name = "TAO")]
    amount: Rao,
    #[command(flatten)]
    tx: TxArgs<ColdkeyArgs>,
}

/// Arguments that select a crowdloan and a signer
#[derive(Debug, Args)]
pub struct IdArgs {
    /// Number of the crowdloan
    #[arg(value_name = "ID")]
    id: u32,
    #[command(flatten)]
    tx: TxArgs<ColdkeyArgs>,
}

/// Change the terms of a crowdloan (creator only)
#[derive(Debug, Args)]
#[command(group = clap::ArgGroup::new("terms").required(true).multiple(false))]
pub struct UpdateArgs {
    /// Number of the crowdloan
    #[arg(value_name = "ID")]
    id: u32,
    /// New minimum contribution, in TAO
    #[arg(long, value_name = "TAO", group = "terms")]
    min_contribution: Option<Rao>,
    /// New amount to raise, in TAO
    #[arg(long, value_name = "TAO", group = "terms")]
    cap: Option<Rao>,
    /// New end: the first block that accepts no contributions
    #[arg(long, value_name = "BLOCK", group = "terms")]
    end: Option<BlockNumber>,
    #[command(flatten)]
    tx: TxArgs<ColdkeyArgs>,
}

/// A call in JSON: `{"Pallet": {"name": {arguments}}}`.
#[derive(Debug, Clone, PartialEq)]
struct NestedCall {
    pallet: String,
    name: String,
    arguments: Value,
}

/// Returns the entry of an object with one entry.
fn only_entry(object: serde_json::Map<String, Value>) -> Option<(String, Value)> {
    let count = object.len();
    object.into_iter().next().filter(|_| count == 1)
}

impl FromStr for NestedCall {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let JsonArguments(outer) = text.parse()?;
        let call = only_entry(outer).and_then(|(pallet, inner)| match inner {
            Value::Object(inner) => {
                only_entry(inner).map(|(name, arguments)| Self { pallet, name, arguments })
            }
            _ => None,
        });
        call.ok_or_else(|| r#"expected {"Pallet": {"name": {…}}}"#.to_owned())
    }
}

/// Runs a command of `tao crowdloan`.
pub fn run(command: &Command, context: &Context) -> anyhow::Result<()> {
    match command {
        Command::List(args) => list(args, context),
        Command::Show(args) => show(args, context),
        Command::Contributors(args) => contributors::run(args, context),
        Command::Create(args) => create(args, context),
        Command::Contribute(args) => contribute(args, context),
        Command::Withdraw(args) => submit_for_existing(
            args,
            "Withdraw the contribution to",
            calls::withdraw_contribution,
            context,
        ),
        Command::Finalize(args) => {
            submit_for_existing(args, "Finalize", calls::finalize_crowdloan, context)
        }
        Command::Refund(args) => {
            submit_for_existing(args, "Refund contributors of", calls::refund_crowdloan, context)
        }
        Command::Dissolve(args) => {
            submit_for_existing(args, "Dissolve", calls::dissolve_crowdloan, context)
        }
        Command::Update(args) => update(args, context),
    }
}

/// Returns a crowdloan, or an error that names the command which lists them.
async fn find_crowdloan(chain: &Client, id: u32, at: At) -> anyhow::Result<Crowdloan> {
    match chain.crowdloan(id, at).await.map_err(chain_error)? {
        Some(crowdloan) => Ok(crowdloan),
        None => bail!(
            "crowdloan {id} does not exist\nhint: list the crowdloans with `tao crowdloan list`"
        ),
    }
}

/// Returns the state of a crowdloan at a block.
fn crowdloan_state(crowdloan: &Crowdloan, block: BlockNumber) -> &'static str {
    match crowdloan {
        _ if crowdloan.finalized => "finalized",
        _ if crowdloan.raised >= crowdloan.cap => "raised",
        _ if block >= crowdloan.end => "failed",
        _ => "open",
    }
}

fn document(id: u32, crowdloan: &Crowdloan, block: BlockNumber) -> Value {
    json!({
        "id": id,
        "state": crowdloan_state(crowdloan, block),
        "creator": crowdloan.creator,
        "deposit_rao": crowdloan.deposit,
        "min_contribution_rao": crowdloan.min_contribution,
        "cap_rao": crowdloan.cap,
        "raised_rao": crowdloan.raised,
        "end": crowdloan.end,
        "contributors": crowdloan.contributors_count,
        "target": crowdloan.target_address,
        "funds_account": crowdloan.funds_account,
        "finalized": crowdloan.finalized,
    })
}

fn list(args: &ListArgs, context: &Context) -> anyhow::Result<()> {
    context.block_on(async {
        let chain = args.network.connect().await?;
        let block = args.at.block(&chain).await?;
        let crowdloans = chain.crowdloans(block.into()).await.map_err(chain_error)?;
        if context.json {
            let list: Vec<_> = crowdloans
                .iter()
                .map(|(id, crowdloan)| document(*id, crowdloan, block.number))
                .collect();
            return context.print_json(&json!({ "block": block_json(block), "crowdloans": list }));
        }
        if crowdloans.is_empty() {
            context.print_notice("no crowdloans");
            return Ok(());
        }
        let mut rows = table(&CROWDLOANS);
        for (id, crowdloan) in &crowdloans {
            rows.add_row([
                id.to_string(),
                crowdloan_state(crowdloan, block.number).to_owned(),
                crowdloan.raised.to_string(),
                crowdloan.cap.to_string(),
                crowdloan.end.to_string(),
                crowdloan.contributors_count.to_string(),
                crowdloan.creator.to_string(),
            ]);
        }
        context.print(&format!("{rows}\n\nblock {block}"))
    })
}

fn show(args: &ShowArgs, context: &Context) -> anyhow::Result<()> {
    context.block_on(async {
        let chain = args.network.connect().await?;
        let block = args.at.block(&chain).await?;
        let crowdloan = find_crowdloan(&chain, args.id, block.into()).await?;
        let contributions =
            chain.contributions(args.id, block.into()).await.map_err(chain_error)?;
        if context.json {
            let list: Vec<_> = contributions
                .iter()
                .map(|(account, amount)| json!({ "account": account, "amount_rao": amount }))
                .collect();
            return context.print_json(&json!({
                "block": block_json(block),
                "crowdloan": document(args.id, &crowdloan, block.number),
                "contributions": list,
            }));
        }
        let mut rows = key_values();
        for (name, value) in [
            ("crowdloan", format!("{}, {}", args.id, crowdloan_state(&crowdloan, block.number))),
            ("creator", crowdloan.creator.to_string()),
            ("raised", format!("{} of {} TAO", crowdloan.raised, crowdloan.cap)),
            ("minimum", format!("{} TAO", crowdloan.min_contribution)),
            ("end", format!("block {}", crowdloan.end)),
            (
                "target",
                crowdloan
                    .target_address
                    .map_or_else(|| "a call".to_owned(), |target| target.to_string()),
            ),
        ] {
            rows.add_row([name, &value]);
        }
        let mut contributors = table(&CONTRIBUTORS);
        for (account, amount) in &contributions {
            contributors.add_row([account.to_string(), amount.to_string()]);
        }
        context.print(&format!("{rows}\n\n{contributors}\n\nblock {block}"))
    })
}

fn create(args: &CreateArgs, context: &Context) -> anyhow::Result<()> {
    context.block_on(async {
        let chain = args.tx.connect().await?;
        let key = args.tx.unlock()?;
        let head = chain.head().await.map_err(chain_error)?;
        let terms = CrowdloanTerms {
            deposit: args.deposit,
            min_contribution: args.min_contribution,
            cap: args.cap,
            end: head.number.plus(args.duration),
        };
        let (purpose, purpose_text) = match (
            &args.target,
            &args.call,
            args.emissions_share.filter(|_| args.subnet_lease),
        ) {
            (Some(target), ..) => (CrowdloanPurpose::Account(target.id()), format!("for {target}")),
            (None, Some(NestedCall { pallet, name, arguments }), _) => {
                let call = chain.call(pallet, name, arguments).await.map_err(chain_error)?;
                (CrowdloanPurpose::Call(call), format!("for the call {pallet}.{name}"))
            }
            (None, None, Some(percent)) => {
                let call = calls::register_leased_network(percent, args.lease_end_block);
                let end = args
                    .lease_end_block
                    .map_or_else(String::new, |end| format!(" until block {end}"));
                let purpose_text = format!(
                    "for a leased subnet{end}, with {percent} % of its emission for contributors"
                );
                (CrowdloanPurpose::Call(call), purpose_text)
            }
            (None, None, None) => {
                bail!("no purpose given\nhint: pass --target, --call or --subnet-lease")
            }
        };
        let details = json!({
            "creator": args.tx.submit.coldkey(&key),
            "deposit_rao": terms.deposit,
            "min_contribution_rao": terms.min_contribution,
            "cap_rao": terms.cap,
            "end": terms.end,
            "target": args.target.map(Account::id),
            "emissions_share": args.emissions_share,
            "lease_end_block": args.lease_end_block,
        });
        let description = format!(
            "Create a crowdloan of {} TAO {purpose_text}, open until block {}, with a deposit of {} \
             TAO",
            terms.cap, terms.end, terms.deposit
        );
        let spending = Spending::read(&chain, args.tx.submit.coldkey(&key), terms.deposit).await?;
        let mut plan = Plan::new(calls::create_crowdloan(terms, purpose), description, details)
            .spending(spending);
        plan.event_fields = creation_json;
        args.tx.submit.confirm_and_submit(&chain, &key, plan, context).await
    })
}

/// Returns the id of the crowdloan from the event, as JSON.
fn creation_json(inclusion: &Inclusion) -> Value {
    let event = inclusion.events.iter().find(|event| event.is("Crowdloan", "Created"));
    json!({ "id": event.map(|event| &event.fields["crowdloan_id"]) })
}

fn contribute(args: &ContributeArgs, context: &Context) -> anyhow::Result<()> {
    context.block_on(async {
        let chain = args.tx.connect().await?;
        let crowdloan = find_crowdloan(&chain, args.id, At::Head).await?;
        let key = args.tx.unlock()?;
        let remaining = crowdloan.cap.checked_sub(crowdloan.raised).unwrap_or_default();
        let details =
            json!({ "id": args.id, "coldkey": args.tx.submit.coldkey(&key), "amount_rao": args.amount, "left_rao": remaining });
        // The chain takes at most what is left.
        let accepted = args.amount.min(remaining);
        let description = format!("Contribute {accepted} TAO to crowdloan {}, which lacks {remaining} TAO", args.id);
        let spending = Spending::read(&chain, args.tx.submit.coldkey(&key), accepted).await?;
        let mut plan = Plan::new(calls::contribute(args.id, args.amount), description, details).spending(spending);
        plan.event_fields = contribution_json;
        args.tx.submit.confirm_and_submit(&chain, &key, plan, context).await
    })
}

/// Returns the accepted amount from the event, as JSON.
fn contribution_json(inclusion: &Inclusion) -> Value {
    let event = inclusion.events.iter().find(|event| event.is("Crowdloan", "Contributed"));
    json!({ "accepted_rao": event.map(|event| &event.fields["amount"]) })
}

fn submit_for_existing(
    args: &IdArgs,
    verb: &str,
    call: fn(u32) -> Call,
    context: &Context,
) -> anyhow::Result<()> {
    context.block_on(async {
        let chain = args.tx.connect().await?;
        let crowdloan = find_crowdloan(&chain, args.id, At::Head).await?;
        let key = args.tx.unlock()?;
        let details = json!({ "id": args.id, "coldkey": args.tx.submit.coldkey(&key) });
        let description = format!(
            "{verb} crowdloan {}, with {} of {} TAO raised",
            args.id, crowdloan.raised, crowdloan.cap
        );
        let mut plan = Plan::new(call(args.id), description, details);
        plan.event_fields = lease_json;
        args.tx.submit.confirm_and_submit(&chain, &key, plan, context).await
    })
}

/// Returns the lease that a finalized crowdloan created, as JSON: its id, its subnet, and its
/// account, for which the creator is a proxy.
fn lease_json(inclusion: &Inclusion) -> Value {
    let mut events = inclusion.events.iter();
    let proxy = events.clone().find(|event| event.is("Proxy", "ProxyAdded"));
    let Some(lease) = events.find(|event| event.is("SubtensorModule", "SubnetLeaseCreated")) else {
        return json!({});
    };
    json!({
        "lease_id": lease.fields["lease_id"],
        "netuid": lease.fields["netuid"],
        "lease_account": proxy.map(|event| &event.fields["delegator"]),
    })
}

fn update(args: &UpdateArgs, context: &Context) -> anyhow::Result<()> {
    let id = args.id;
    let (call, change) = match (args.min_contribution, args.cap, args.end) {
        (Some(min), ..) => (
            calls::update_min_contribution(id, min),
            format!("the minimum contribution to {min} TAO"),
        ),
        (_, Some(cap), _) => {
            (calls::update_crowdloan_cap(id, cap), format!("the amount to raise to {cap} TAO"))
        }
        (.., Some(end)) => {
            (calls::update_crowdloan_end(id, end), format!("the end to block {end}"))
        }
        (None, None, None) => {
            bail!("nothing to change\nhint: pass --min-contribution, --cap or --end")
        }
    };
    context.block_on(async {
        let chain = args.tx.connect().await?;
        find_crowdloan(&chain, id, At::Head).await?;
        let key = args.tx.unlock()?;
        let details = json!({
            "id": id,
            "coldkey": args.tx.submit.coldkey(&key),
            "min_contribution_rao": args.min_contribution,
            "cap_rao": args.cap,
            "end": args.end,
        });
        let plan = Plan::new(call, format!("Change {change} in crowdloan {id}"), details);
        args.tx.submit.confirm_and_submit(&chain, &key, plan, context).await
    })
}

#[cfg(test)]
mod tests {
    use taonet_primitives::AccountId;

    use super::*;

    #[test]
    fn crowdloan_state_depends_on_raised_amount_and_end() {
        let account = AccountId::from_bytes([1; 32]);
        let open = Crowdloan {
            creator: account,
            deposit: Rao::new(10),
            min_contribution: Rao::new(1),
            end: BlockNumber::new(100),
            cap: Rao::new(50),
            funds_account: account,
            raised: Rao::new(10),
            target_address: None,
            finalized: false,
            contributors_count: 1,
        };
        let raised = Crowdloan { raised: open.cap, ..open.clone() };
        let finalized = Crowdloan { finalized: true, ..raised.clone() };
        for (crowdloan, block, expected) in [
            (&open, 99, "open"),
            (&open, 100, "failed"),
            (&raised, 99, "raised"),
            (&raised, 100, "raised"),
            (&finalized, 100, "finalized"),
        ] {
            assert_eq!(
                crowdloan_state(crowdloan, BlockNumber::new(block)),
                expected,
                "{crowdloan:?}"
            );
        }
    }

    #[test]
    fn nested_call_is_parsed_from_json() {
        let call: NestedCall = r#"{"System": {"remark": {"remark": "0x00"}}}"#.parse().unwrap();
        assert_eq!(
            (&*call.pallet, &*call.name, call.arguments),
            ("System", "remark", json!({ "remark": "0x00" }))
        );
        for text in [
            "",
            "[]",
            "{}",
            r#"{"System": "remark"}"#,
            r#"{"System": {}}"#,
            r#"{"A": {"b": {}}, "C": {}}"#,
        ] {
            assert!(text.parse::<NestedCall>().is_err(), "{text}");
        }
    }
}
