//! `tao proxy …`: accounts that make calls for another account.

#![allow(clippy::indexing_slicing, reason = "indexing a JSON value yields null for a missing key")]

mod execute;

use std::str::FromStr;

use clap::{Args, Subcommand};
use serde_json::{Value, json};
use taonet_chain::{At, Call, Inclusion, ProxyType, calls};
use taonet_cli_base::chain::{
    Account, AtArgs, ColdkeyArgs, HexBytes, NetworkArgs, Plan, Spending, TxArgs, block_json,
    chain_error, hex_text,
};
use taonet_cli_base::context::Context;
use taonet_cli_base::table::table;
use taonet_cli_base::tables::{ANNOUNCEMENTS, PROXIES};
use taonet_cli_base::wallet_args::WalletArgs;
use taonet_primitives::{AccountId, BlockNumber, Coldkey, Rao};

/// Pallet and prefix of the constants for the deposit of an account's proxies.
const DEPOSIT: (&str, &str) = ("Proxy", "ProxyDeposit");

/// The commands of `tao proxy`.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// List the proxies of an account
    List(ListArgs),
    /// Add a proxy: an account that makes calls for yours
    Add(AddArgs),
    /// Remove a proxy, or all proxies
    Remove(RemoveArgs),
    /// Create an account without a key, which proxies control
    CreatePure(CreatePureArgs),
    /// Remove an account without a key; its funds are lost
    KillPure(KillPureArgs),
    /// List the calls that a proxy has announced
    Announcements(AnnouncementsArgs),
    /// Make a call that a proxy announced, after its delay
    Execute(execute::ExecuteArgs),
    /// Reject a call that a proxy announced for your account
    Reject(RejectArgs),
    /// Withdraw a call that you announced as a proxy
    Withdraw(WithdrawArgs),
}

/// List the proxies of an account
#[derive(Debug, Args)]
pub struct ListArgs {
    /// Address, or a development account such as //Alice [default: the wallet's coldkey]
    #[arg(value_name = "ACCOUNT")]
    account: Option<Account>,
    #[command(flatten)]
    at: AtArgs,
    #[command(flatten)]
    network: NetworkArgs,
    #[command(flatten)]
    wallet: WalletArgs,
}

/// Add a proxy: an account that makes calls for yours
#[derive(Debug, Args)]
pub struct AddArgs {
    /// Account of the proxy: an address, or a development account such as //Bob
    #[arg(value_name = "PROXY")]
    delegate: Account,
    #[command(flatten)]
    kind: KindArgs,
    /// Number of blocks between the announcement of a call and the call; 0 needs no announcement
    #[arg(long, value_name = "BLOCKS", default_value_t = 0)]
    delay: u32,
    #[command(flatten)]
    tx: TxArgs<ColdkeyArgs>,
}

/// Argument for the type of a proxy
#[derive(Debug, Args)]
struct KindArgs {
    /// Calls that the proxy may make, such as any, non-transfer, staking, registration, child-keys
    /// or root-claim
    #[arg(long = "type", value_name = "TYPE")]
    kind: ProxyType,
}

/// Remove a proxy, or all proxies
#[derive(Debug, Args)]
pub struct RemoveArgs {
    /// Account of the proxy
    #[arg(value_name = "PROXY", required_unless_present = "all", conflicts_with = "all")]
    delegate: Option<Account>,
    /// Type of the proxy [default: every type that this account has]
    #[arg(long = "type", value_name = "TYPE", conflicts_with = "all")]
    kind: Option<ProxyType>,
    /// Remove all proxies of the account
    #[arg(long)]
    all: bool,
    #[command(flatten)]
    tx: TxArgs<ColdkeyArgs>,
}

/// Create an account without a key, which proxies control
#[derive(Debug, Args)]
pub struct CreatePureArgs {
    #[command(flatten)]
    kind: KindArgs,
    /// Number of blocks between the announcement of a call and the call; 0 needs no announcement
    #[arg(long, value_name = "BLOCKS", default_value_t = 0)]
    delay: u32,
    /// Number that distinguishes accounts which are created in the same call
    #[arg(long, value_name = "NUMBER", default_value_t = 0)]
    index: u16,
    #[command(flatten)]
    tx: TxArgs<ColdkeyArgs>,
}

/// Remove an account without a key; its funds are lost
#[derive(Debug, Args)]
pub struct KillPureArgs {
    /// Account without a key
    #[arg(value_name = "ACCOUNT")]
    account: Account,
    /// Block of its creation, and index of the extrinsic in that block, such as 7654321-2
    #[arg(long, value_name = "BLOCK-INDEX")]
    created: ExtrinsicPosition,
    #[command(flatten)]
    kind: KindArgs,
    /// Number that distinguishes accounts which are created in the same call
    #[arg(long, value_name = "NUMBER", default_value_t = 0)]
    index: u16,
    /// Account that created it [default: the signer]
    #[arg(long, value_name = "ACCOUNT")]
    spawner: Option<Account>,
    #[command(flatten)]
    tx: TxArgs<ColdkeyArgs>,
}

/// List the calls that a proxy has announced
#[derive(Debug, Args)]
pub struct AnnouncementsArgs {
    /// Account of the proxy [default: the wallet's coldkey]
    #[arg(value_name = "PROXY")]
    delegate: Option<Account>,
    #[command(flatten)]
    at: AtArgs,
    #[command(flatten)]
    network: NetworkArgs,
    #[command(flatten)]
    wallet: WalletArgs,
}

/// Reject a call that a proxy announced for your account
#[derive(Debug, Args)]
pub struct RejectArgs {
    /// Account of the proxy
    #[arg(value_name = "PROXY")]
    delegate: Account,
    /// Hash of the call, as in `tao proxy announcements`
    #[arg(value_name = "HASH")]
    hash: CallHash,
    #[command(flatten)]
    tx: TxArgs<ColdkeyArgs>,
}

/// Withdraw a call that you announced as a proxy
#[derive(Debug, Args)]
pub struct WithdrawArgs {
    /// Account for which the call was announced
    #[arg(value_name = "ACCOUNT")]
    account: Account,
    /// Hash of the call, as in `tao proxy announcements`
    #[arg(value_name = "HASH")]
    hash: CallHash,
    #[command(flatten)]
    tx: TxArgs<ColdkeyArgs>,
}

/// Block and index of an extrinsic: `BLOCK-INDEX`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct ExtrinsicPosition(BlockNumber, u32);

impl FromStr for ExtrinsicPosition {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const EXPECTED: &str = "expected a block number and an index, such as 7654321-2";
        let (block, index) = text.split_once('-').ok_or(EXPECTED)?;
        Ok(Self(block.parse().map_err(|_| EXPECTED)?, index.parse().map_err(|_| EXPECTED)?))
    }
}

/// Hash of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct CallHash(pub(super) [u8; 32]);

impl FromStr for CallHash {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let HexBytes(bytes) = text.parse()?;
        bytes
            .try_into()
            .map(Self)
            .map_err(|_| "expected a hash of 64 hexadecimal digits".to_owned())
    }
}

/// Runs a command of `tao proxy`.
pub fn run(command: &Command, context: &Context) -> anyhow::Result<()> {
    match command {
        Command::List(args) => list(args, context),
        Command::Add(args) => add(args, context),
        Command::Remove(args) => remove(args, context),
        Command::CreatePure(args) => create_pure(args, context),
        Command::KillPure(args) => kill_pure(args, context),
        Command::Announcements(args) => announcements(args, context),
        Command::Execute(args) => execute::run(args, context),
        Command::Reject(args) => {
            let call = calls::reject_announcement(args.delegate.id(), args.hash.0);
            let description = format!(
                "Reject the call {} that {} announced",
                hex_text(&args.hash.0),
                args.delegate
            );
            let details =
                json!({ "delegate": args.delegate.id(), "call_hash": hex_text(&args.hash.0) });
            submit(&args.tx, context, |_| (call, description, details))
        }
        Command::Withdraw(args) => {
            let call = calls::remove_announcement(args.account.id(), args.hash.0);
            let description = format!(
                "Withdraw the call {} announced for {}",
                hex_text(&args.hash.0),
                args.account
            );
            let details = json!({ "real": args.account.id(), "call_hash": hex_text(&args.hash.0) });
            submit(&args.tx, context, |_| (call, description, details))
        }
    }
}

/// Submits a call that depends on the coldkey that makes it.
fn submit(
    tx: &TxArgs<ColdkeyArgs>,
    context: &Context,
    build_call: impl FnOnce(Coldkey) -> (Call, String, Value),
) -> anyhow::Result<()> {
    context.block_on(async {
        let chain = tx.connect().await?;
        let key = tx.unlock()?;
        let (call, description, details) = build_call(tx.submit.coldkey(&key));
        tx.submit
            .confirm_and_submit(&chain, &key, Plan::new(call, description, details), context)
            .await
    })
}

fn account_or_coldkey(account: Option<Account>, wallet: &WalletArgs) -> anyhow::Result<AccountId> {
    match account {
        Some(account) => Ok(account.id()),
        None => Ok(wallet.wallet()?.coldkeypub()?.coldkey().into()),
    }
}

fn list(args: &ListArgs, context: &Context) -> anyhow::Result<()> {
    // An invalid network is reported before a missing wallet.
    args.network.network()?;
    let account = account_or_coldkey(args.account, &args.wallet)?;
    context.block_on(async {
        let chain = args.network.connect().await?;
        let block = args.at.block(&chain).await?;
        let proxies = chain.proxies(account, block.into()).await.map_err(chain_error)?;
        if context.json {
            return context.print_json(&json!({
                "block": block_json(block),
                "account": account,
                "proxies": proxies.proxies,
                "deposit_rao": proxies.deposit,
            }));
        }
        if proxies.proxies.is_empty() {
            context.print_notice(&format!("{account} has no proxies"));
            return Ok(());
        }
        let mut rows = table(&PROXIES);
        for proxy in &proxies.proxies {
            rows.add_row([
                proxy.delegate.to_string(),
                proxy.proxy_type.clone(),
                proxy.delay.to_string(),
            ]);
        }
        context.print(&format!("{rows}\n\ndeposit {} TAO, block {block}", proxies.deposit))
    })
}

fn add(args: &AddArgs, context: &Context) -> anyhow::Result<()> {
    let (delegate, kind, delay) = (args.delegate, args.kind.kind, args.delay);
    let call = calls::add_proxy(delegate.id(), kind, delay);
    context.block_on(async {
        let chain = args.tx.connect().await?;
        let key = args.tx.unlock()?;
        let coldkey = args.tx.submit.coldkey(&key);
        let delay_text =
            if delay == 0 { String::new() } else { format!(" with a delay of {delay} blocks") };
        let description =
            format!("Let {delegate} make calls of type {kind} for {coldkey}{delay_text}");
        let details = json!({
            "account": coldkey,
            "delegate": delegate.id(),
            "proxy_type": kind.name(),
            "delay": delay,
        });
        let proxies = chain.proxies(coldkey.into(), At::Head).await.map_err(chain_error)?;
        let deposit =
            Spending::deposit(&chain, coldkey, DEPOSIT, proxies.proxies.len() + 1, proxies.deposit)
                .await?;
        let plan = Plan::new(call, description, details).spending(deposit);
        args.tx.submit.confirm_and_submit(&chain, &key, plan, context).await
    })
}

fn remove(args: &RemoveArgs, context: &Context) -> anyhow::Result<()> {
    context.block_on(async {
        let chain = args.tx.connect().await?;
        let key = args.tx.unlock()?;
        let account: AccountId = args.tx.submit.coldkey(&key).into();
        let (call, description, removed) = match args.delegate {
            None => {
                let proxies = chain.proxies(account, At::Head).await.map_err(chain_error)?.proxies;
                (calls::remove_proxies(), format!("Remove all proxies of {account}"), proxies)
            }
            Some(delegate) => {
                let mut matching =
                    chain.proxies(account, At::Head).await.map_err(chain_error)?.proxies;
                matching.retain(|proxy| {
                    let has_kind = args.kind.is_none_or(|kind| kind.name() == proxy.proxy_type);
                    proxy.delegate == delegate.id() && has_kind
                });
                let removals: Vec<Call> = matching
                    .iter()
                    .filter_map(|proxy| {
                        let kind = proxy.proxy_type.parse().ok()?;
                        Some(calls::remove_proxy(proxy.delegate, kind, proxy.delay))
                    })
                    .collect();
                let call = match removals.as_slice() {
                    [removal] => removal.clone(),
                    _ => calls::batch_all(removals),
                };
                (call, format!("Remove {delegate} from the proxies of {account}"), matching)
            }
        };
        if removed.is_empty() {
            anyhow::bail!("{account} has no such proxy\nhint: list the proxies with `tao proxy list {account}`");
        }
        let details = json!({ "account": account, "removed": removed });
        args.tx.submit.confirm_and_submit(&chain, &key, Plan::new(call, description, details), context).await
    })
}

fn create_pure(args: &CreatePureArgs, context: &Context) -> anyhow::Result<()> {
    let (kind, delay) = (args.kind.kind, args.delay);
    context.block_on(async {
        let chain = args.tx.connect().await?;
        let key = args.tx.unlock()?;
        let spawner = args.tx.submit.coldkey(&key);
        let details = json!({ "spawner": spawner, "proxy_type": kind.name(), "delay": delay, "index": args.index });
        let description = format!("Create an account without a key, for which {spawner} makes calls of type {kind}");
        let deposit = Spending::deposit(&chain, spawner, DEPOSIT, 1, Rao::ZERO).await?;
        let mut plan = Plan::new(calls::create_pure(kind, delay, args.index), description, details).spending(deposit);
        plan.event_fields = creation_json;
        args.tx.submit.confirm_and_submit(&chain, &key, plan, context).await
    })
}

/// Returns the new account from the event, and the position of its extrinsic, which `kill-pure`
/// needs, as JSON.
fn creation_json(inclusion: &Inclusion) -> Value {
    let event = inclusion.events.iter().find(|event| event.is("Proxy", "PureCreated"));
    let position = format!("{}-{}", inclusion.block.number, inclusion.index);
    json!({ "pure": event.map(|event| &event.fields["pure"]), "created": position })
}

fn kill_pure(args: &KillPureArgs, context: &Context) -> anyhow::Result<()> {
    let (account, kind, ExtrinsicPosition(block, extrinsic)) =
        (args.account, args.kind.kind, args.created);
    submit(&args.tx, context, |coldkey| {
        let spawner = args.spawner.map_or_else(|| coldkey.into(), Account::id);
        let kill = calls::kill_pure(spawner, kind, args.index, (block, extrinsic));
        let description =
            format!("Remove {account}, an account without a key, with everything that it owns");
        let details =
            json!({ "account": account.id(), "spawner": spawner, "proxy_type": kind.name() });
        (calls::proxy(account.id(), kill), description, details)
    })
}

fn announcements(args: &AnnouncementsArgs, context: &Context) -> anyhow::Result<()> {
    // An invalid network is reported before a missing wallet.
    args.network.network()?;
    let delegate = account_or_coldkey(args.delegate, &args.wallet)?;
    context.block_on(async {
        let chain = args.network.connect().await?;
        let block = args.at.block(&chain).await?;
        let announcements =
            chain.announcements(delegate, block.into()).await.map_err(chain_error)?;
        if context.json {
            return context.print_json(&json!({
                "block": block_json(block),
                "delegate": delegate,
                "announcements": announcements,
            }));
        }
        if announcements.is_empty() {
            context.print_notice(&format!("{delegate} has announced no calls"));
            return Ok(());
        }
        let mut rows = table(&ANNOUNCEMENTS);
        for announcement in &announcements {
            rows.add_row([
                announcement.height.to_string(),
                announcement.call_hash.clone(),
                announcement.real.to_string(),
            ]);
        }
        context.print(&rows.to_string())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn extrinsics_have_a_block_and_an_index() {
        assert_eq!("7654321-2".parse(), Ok(ExtrinsicPosition(BlockNumber::new(7_654_321), 2)));
        for text in ["", "1", "-1", "1-", "a-1", "1-2-3"] {
            assert!(text.parse::<ExtrinsicPosition>().is_err(), "{text}");
        }
    }

    #[test]
    fn call_hash_of_other_length_is_refused() {
        assert_eq!(format!("0x{}", "05".repeat(32)).parse(), Ok(CallHash([5; 32])));
        for text in ["", "0x05", "zz"] {
            assert!(text.parse::<CallHash>().is_err(), "{text}");
        }
    }
}
