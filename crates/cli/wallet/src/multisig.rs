//! `tao multisig …`: accounts without a key, whose calls several signatories must approve.

#![allow(clippy::indexing_slicing, reason = "indexing a JSON value yields null for a missing key")]

use anyhow::bail;
use clap::{Args, Subcommand};
use serde_json::{Map, Value, json};
use taonet_chain::{At, Client, Inclusion, blake2_256};
use taonet_cli_base::chain::{
    Account, AtArgs, ColdkeyArgs, NamedArgument, NetworkArgs, Plan, Spending, TxArgs, block_json,
    chain_error, hex_text,
};
use taonet_cli_base::context::Context;
use taonet_cli_base::exit::ClassifiedError;
use taonet_cli_base::table::table;
use taonet_cli_base::tables::ANNOUNCEMENTS;
use taonet_cli_chain::any_call::{self, CallOrPallet};
use taonet_primitives::{AccountId, Rao};

use crate::proxy::CallHash;

const PALLET: &str = "Multisig";
/// Maximum number of signatories on Bittensor's chains.
const MAX_SIGNATORIES: usize = 100;

/// The commands of `tao multisig`.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Show the address of a multisig account
    Address(AddressArgs),
    /// List the calls that wait for further approvals
    List(ListArgs),
    /// Propose or approve a call; the last approval makes it
    Call(CallArgs),
    /// Withdraw a call that you proposed
    Cancel(CancelArgs),
}

/// Arguments that define a multisig account
#[derive(Debug, Args)]
struct GroupArgs {
    /// All signatories, separated by commas: addresses, or development accounts such as //Alice
    #[arg(long, value_name = "ACCOUNTS", value_delimiter = ',', required = true)]
    signatories: Vec<Account>,
    /// Number of signatories that must approve a call, at least 2
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u16).range(2..))]
    threshold: u16,
}

/// Show the address of a multisig account
#[derive(Debug, Args)]
pub struct AddressArgs {
    #[command(flatten)]
    group: GroupArgs,
}

/// List the calls that wait for further approvals
#[derive(Debug, Args)]
pub struct ListArgs {
    /// Address of the multisig account
    #[arg(value_name = "ACCOUNT")]
    account: Account,
    #[command(flatten)]
    at: AtArgs,
    #[command(flatten)]
    network: NetworkArgs,
}

/// Propose or approve a call; the last approval makes it
#[derive(Debug, Args)]
pub struct CallArgs {
    /// Call as PALLET.NAME, such as Balances.transfer_keep_alive
    #[arg(value_name = "CALL")]
    call: CallOrPallet,
    /// Arguments of the call, as in `tao call`
    #[arg(value_name = "NAME=VALUE")]
    named: Vec<NamedArgument>,
    #[command(flatten)]
    group: GroupArgs,
    #[command(flatten)]
    tx: TxArgs<ColdkeyArgs>,
}

/// Withdraw a call that you proposed
#[derive(Debug, Args)]
pub struct CancelArgs {
    /// Hash of the call, as in `tao multisig list`
    #[arg(value_name = "HASH")]
    hash: CallHash,
    #[command(flatten)]
    group: GroupArgs,
    #[command(flatten)]
    tx: TxArgs<ColdkeyArgs>,
}

/// Signatories in the chain's order, and the number that must approve a call.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Group {
    signatories: Vec<AccountId>,
    threshold: u16,
}

impl GroupArgs {
    fn group(&self) -> anyhow::Result<Group> {
        let mut signatories: Vec<AccountId> =
            self.signatories.iter().copied().map(Account::id).collect();
        signatories.sort_unstable();
        signatories.dedup();
        if signatories.len() < usize::from(self.threshold) {
            let text = format!(
                "--threshold {} exceeds the {} signatories",
                self.threshold,
                signatories.len()
            );
            return Err(ClassifiedError::usage(text));
        }
        if signatories.len() > MAX_SIGNATORIES {
            let text = format!(
                "{} signatories are too many (at most {MAX_SIGNATORIES})",
                signatories.len()
            );
            return Err(ClassifiedError::usage(text));
        }
        Ok(Group { signatories, threshold: self.threshold })
    }
}

impl Group {
    /// Returns the address of the multisig account: the hash of the SCALE-encoded signatories and
    /// threshold.
    fn multisig_account(&self) -> AccountId {
        let mut bytes = b"modlpy/utilisuba".to_vec();
        // A list begins with its length: one byte below 64, else two bytes.
        match self.signatories.len() {
            count @ ..64 => bytes.push((count << 2) as u8),
            count => bytes.extend((((count as u16) << 2) | 1).to_le_bytes()),
        }
        for signatory in &self.signatories {
            bytes.extend(signatory.as_bytes());
        }
        bytes.extend(self.threshold.to_le_bytes());
        AccountId::from_bytes(blake2_256(&bytes))
    }

    /// Returns the signatories besides the signer.
    fn other_signatories(&self, signer: AccountId) -> anyhow::Result<Vec<AccountId>> {
        let other_signatories: Vec<AccountId> =
            self.signatories.iter().copied().filter(|account| *account != signer).collect();
        if other_signatories.len() == self.signatories.len() {
            bail!("the signer {signer} is not one of the signatories");
        }
        Ok(other_signatories)
    }
}

/// Runs a command of `tao multisig`.
pub fn run(command: &Command, context: &Context) -> anyhow::Result<()> {
    match command {
        Command::Address(args) => show_address(args, context),
        Command::List(args) => list(args, context),
        Command::Call(args) => approve(args, context),
        Command::Cancel(args) => cancel(args, context),
    }
}

fn show_address(args: &AddressArgs, context: &Context) -> anyhow::Result<()> {
    let group = args.group.group()?;
    let account = group.multisig_account();
    if context.json {
        let document = json!({ "account": account, "signatories": group.signatories, "threshold": group.threshold });
        return context.print_json(&document);
    }
    context.print(&account.to_string())
}

fn list(args: &ListArgs, context: &Context) -> anyhow::Result<()> {
    let account = args.account.id();
    context.block_on(async {
        let chain = args.network.connect().await?;
        let block = args.at.block(&chain).await?;
        let keys = [json!(account)];
        let pending = chain
            .storage_map(PALLET, "Multisigs", &keys, block.into())
            .await
            .map_err(chain_error)?;
        if context.json {
            let list: Vec<_> = pending
                .iter()
                .map(|(keys, value)| {
                    json!({
                        "call_hash": keys.get(1),
                        "height": value["when"]["height"],
                        "index": value["when"]["index"],
                        "depositor": value["depositor"],
                        "deposit_rao": value["deposit"],
                        "approvals": value["approvals"],
                    })
                })
                .collect();
            return context.print_json(
                &json!({ "block": block_json(block), "account": account, "calls": list }),
            );
        }
        if pending.is_empty() {
            context.print_notice(&format!("no call of {account} waits for approvals"));
            return Ok(());
        }
        let mut rows = table(&ANNOUNCEMENTS);
        for (keys, value) in &pending {
            let hash = keys.get(1).and_then(Value::as_str).unwrap_or_default();
            let depositor = value["depositor"].as_str().unwrap_or_default();
            rows.add_row([
                value["when"]["height"].to_string(),
                hash.to_owned(),
                depositor.to_owned(),
            ]);
        }
        context.print(&format!("{rows}\n\nblock {block}"))
    })
}

/// Reads a call that waits for approvals; null if there is none.
async fn pending_call(chain: &Client, account: AccountId, hash: &str) -> anyhow::Result<Value> {
    chain
        .storage(PALLET, "Multisigs", &[json!(account), json!(hash)], At::Head)
        .await
        .map_err(chain_error)
}

fn approve(args: &CallArgs, context: &Context) -> anyhow::Result<()> {
    let group = args.group.group()?;
    let CallOrPallet::Call { pallet, name } = &args.call else {
        return Err(ClassifiedError::usage(
            "expected PALLET.NAME, such as Balances.transfer_keep_alive",
        ));
    };
    let arguments = any_call::argument_object(&args.named)?;
    let account = group.multisig_account();
    context.block_on(async {
        let chain = args.tx.connect().await?;
        let (call, _) = any_call::build_call(&chain, pallet, name, arguments.clone()).await?;
        let decoded = chain.decoded(&call).await.map_err(chain_error)?;
        let hash = hex_text(&decoded.hash());
        let key = args.tx.unlock()?;
        let other_signatories = group.other_signatories(args.tx.submit.coldkey(&key).into())?;
        let pending = pending_call(&chain, account, &hash).await?;
        let approvals = pending["approvals"].as_array().map_or(0, Vec::len);
        let nested = nested_call_json(pallet, name, arguments);
        // The chain charges the inner call by this weight.
        let info_arguments = [nested.clone(), json!(decoded.data.len())];
        let call_info = chain
            .runtime_api("TransactionPaymentCallApi", "query_call_info", &info_arguments, At::Head)
            .await;
        let call_info = call_info.map_err(chain_error)?;
        let arguments = json!({
            "threshold": group.threshold,
            "other_signatories": other_signatories,
            "maybe_timepoint": pending["when"],
            "call": nested,
            "max_weight": call_info["weight"],
        });
        let call = chain.call(PALLET, "as_multi", &arguments).await.map_err(chain_error)?;
        let details = json!({
            "account": account,
            "signatories": group.signatories,
            "threshold": group.threshold,
            "call": format!("{pallet}.{name}"),
            "arguments": decoded.args,
            "call_hash": hash,
            "approvals_before": approvals,
        });
        let description = format!(
            "Approve the call {pallet}.{name} {} of {account}, as signatory {} of {}",
            decoded.args,
            approvals.saturating_add(1),
            group.threshold
        );
        let mut plan = Plan::new(call, description, details);
        if pending.is_null() && group.threshold > 1 {
            // The first signatory pays a deposit until the call is made or withdrawn.
            let (depositor, threshold) =
                (args.tx.submit.coldkey(&key), usize::from(group.threshold));
            let deposit =
                Spending::deposit(&chain, depositor, (PALLET, "Deposit"), threshold, Rao::ZERO)
                    .await?;
            plan = plan.spending(deposit);
        }
        plan.event_fields = execution_json;
        args.tx.submit.confirm_and_submit(&chain, &key, plan, context).await
    })
}

/// Returns a call as an argument of another call, in the JSON form of its type.
fn nested_call_json(pallet: &str, name: &str, arguments: Map<String, Value>) -> Value {
    let mut call = Map::new();
    call.insert(name.to_owned(), Value::Object(arguments));
    let mut outer = Map::new();
    outer.insert(pallet.to_owned(), Value::Object(call));
    Value::Object(outer)
}

/// Returns whether this approval made the call, as JSON.
fn execution_json(inclusion: &Inclusion) -> Value {
    json!({ "executed": inclusion.events.iter().any(|event| event.is(PALLET, "MultisigExecuted")) })
}

fn cancel(args: &CancelArgs, context: &Context) -> anyhow::Result<()> {
    let group = args.group.group()?;
    let account = group.multisig_account();
    let hash = hex_text(&args.hash.0);
    context.block_on(async {
        let chain = args.tx.connect().await?;
        let key = args.tx.unlock()?;
        let other_signatories = group.other_signatories(args.tx.submit.coldkey(&key).into())?;
        let pending = pending_call(&chain, account, &hash).await?;
        if pending.is_null() {
            bail!(
                "the call {hash} of {account} does not wait for approvals\nhint: list the calls with `tao multisig list \
                 {account}`"
            );
        }
        let arguments = json!({
            "threshold": group.threshold,
            "other_signatories": other_signatories,
            "timepoint": pending["when"],
            "call_hash": hash,
        });
        let call = chain.call(PALLET, "cancel_as_multi", &arguments).await.map_err(chain_error)?;
        let details = json!({ "account": account, "threshold": group.threshold, "call_hash": hash });
        let description = format!("Withdraw the call {hash} of {account}");
        args.tx.submit.confirm_and_submit(&chain, &key, Plan::new(call, description, details), context).await
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn group(signatories: &[&str], threshold: u16) -> anyhow::Result<Group> {
        let signatories = signatories.iter().map(|account| account.parse().unwrap()).collect();
        GroupArgs { signatories, threshold }.group()
    }

    #[test]
    fn multisig_address_matches_other_tools() {
        let expected = "5DjYJStmdZ2rcqXbXGX7TW85JsrW6uG4y9MUcLq2BoPMpRA7";
        for signatories in [["//Alice", "//Bob", "//Charlie"], ["//Charlie", "//Alice", "//Bob"]] {
            assert_eq!(group(&signatories, 2).unwrap().multisig_account().to_string(), expected);
        }
        let other = group(&["//Alice", "//Bob", "//Charlie"], 3).unwrap().multisig_account();
        assert_ne!(other.to_string(), expected);
        let seventy: Vec<String> = (0..70).map(|number| format!("//{number}")).collect();
        let seventy: Vec<&str> = seventy.iter().map(String::as_str).collect();
        assert_eq!(
            group(&seventy, 70).unwrap().multisig_account().to_string(),
            "5H6hyonJesGHfPdukJh82ZUk9tBZwKQR6pQpmYcii6Jz1LmB"
        );
    }

    #[test]
    fn multisig_group_rejects_excess_threshold_and_foreign_signer() {
        for (signatories, threshold) in
            [(&["//Alice"][..], 2), (&["//Alice", "//Alice"], 2), (&["//Alice", "//Bob"], 3)]
        {
            let error = group(signatories, threshold).unwrap_err().to_string();
            assert!(error.contains("exceeds"), "{error}");
        }
        let group = group(&["//Alice", "//Bob"], 2).unwrap();
        let [alice, bob, dave] =
            ["//Alice", "//Bob", "//Dave"].map(|uri| uri.parse::<Account>().unwrap().id());
        assert_eq!(group.other_signatories(alice).unwrap(), [bob]);
        assert!(
            group
                .other_signatories(dave)
                .unwrap_err()
                .to_string()
                .contains("is not one of the signatories")
        );
    }
}
