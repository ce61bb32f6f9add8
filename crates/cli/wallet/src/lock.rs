//! `tao lock …`: stake that a coldkey locks to a hotkey, which gains conviction with time.

use anyhow::bail;
use clap::{Args, Subcommand, ValueEnum};
use serde_json::{Value, json};
use taonet_chain::{Chain as _, Client, calls};
use taonet_cli_base::chain::{
    Account, ColdkeyArgs, ExpectedRefusal, PairArgs, Plan, ReadColdkeyArgs, StakeLock, TxArgs,
    block_json, chain_error, lock_on, locks_of,
};
use taonet_cli_base::context::Context;
use taonet_cli_base::table::{key_values, table};
use taonet_cli_base::tables::LOCKS;
use taonet_primitives::{Alpha, Coldkey, Hotkey, NetUid};

/// The commands of `tao lock`.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// List a coldkey's locks
    List(ReadColdkeyArgs),
    /// Show a coldkey's lock on a subnet
    Show(ShowArgs),
    /// Lock stake on a subnet to a hotkey
    Add(AddArgs),
    /// Make a lock perpetual, or let it decay
    Mode(ModeArgs),
    /// Move a lock to another hotkey
    Move(MoveArgs),
}

/// Show a coldkey's lock on a subnet
#[derive(Debug, Args)]
pub struct ShowArgs {
    /// Netuid of the subnet
    #[arg(long, value_name = "NETUID")]
    netuid: NetUid,
    #[command(flatten)]
    coldkey: ReadColdkeyArgs,
}

/// Lock stake on a subnet to a hotkey
#[derive(Debug, Args)]
pub struct AddArgs {
    /// Amount in alpha, with at most 9 decimals
    #[arg(value_name = "ALPHA")]
    amount: Alpha,
    /// Netuid of the subnet
    #[arg(long, value_name = "NETUID")]
    netuid: NetUid,
    /// Also set the mode of the coldkey's lock on the subnet; without it, a first lock decays
    #[arg(long, value_enum, value_name = "MODE")]
    mode: Option<Mode>,
    #[command(flatten)]
    tx: TxArgs<PairArgs>,
}

/// Make a lock perpetual, or let it decay
#[derive(Debug, Args)]
pub struct ModeArgs {
    /// New mode of the lock
    #[arg(value_enum, value_name = "MODE")]
    mode: Mode,
    /// Netuid of the subnet
    #[arg(long, value_name = "NETUID")]
    netuid: NetUid,
    #[command(flatten)]
    tx: TxArgs<ColdkeyArgs>,
}

/// Move a lock to another hotkey
#[derive(Debug, Args)]
pub struct MoveArgs {
    /// Hotkey to which the stake is locked from then on
    #[arg(value_name = "HOTKEY")]
    to: Account,
    /// Netuid of the subnet
    #[arg(long, value_name = "NETUID")]
    netuid: NetUid,
    #[command(flatten)]
    tx: TxArgs<ColdkeyArgs>,
}

/// Behaviour of a lock over time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Mode {
    /// The locked amount decays
    Decaying,
    /// The locked amount remains
    Perpetual,
}

impl Mode {
    const fn from_lock(lock: &StakeLock) -> Self {
        if lock.is_perpetual { Self::Perpetual } else { Self::Decaying }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Decaying => "decaying",
            Self::Perpetual => "perpetual",
        }
    }
}

/// Runs a command of `tao lock`.
pub fn run(command: &Command, context: &Context) -> anyhow::Result<()> {
    match command {
        Command::List(args) => list(args, context),
        Command::Show(args) => show(args, context),
        Command::Add(args) => add(args, context),
        Command::Mode(args) => set_mode(args, context),
        Command::Move(args) => move_lock(args, context),
    }
}

fn lock_document(lock: &StakeLock) -> Value {
    json!({
        "netuid": lock.netuid,
        "hotkey": lock.hotkey,
        "locked_rao": lock.locked,
        "conviction_rao": lock.conviction,
        "mode": Mode::from_lock(lock).name(),
        "last_update": lock.last_update,
    })
}

/// Returns the lock of a coldkey, or an error that names the command which lists its locks.
async fn find_lock(chain: &Client, coldkey: Coldkey, netuid: NetUid) -> anyhow::Result<StakeLock> {
    let block = chain.head().await.map_err(chain_error)?;
    match lock_on(chain, coldkey, netuid, block.into()).await? {
        Some(lock) => Ok(lock),
        None => bail!(
            "{coldkey} has no lock on subnet {netuid}\nhint: list the locks with `tao lock list`"
        ),
    }
}

fn list(args: &ReadColdkeyArgs, context: &Context) -> anyhow::Result<()> {
    let coldkey = args.coldkey()?;
    context.block_on(async {
        let (chain, block) = args.connect().await?;
        let locks = locks_of(&chain, coldkey, block.into()).await?;
        if context.json {
            let list: Vec<_> = locks.iter().map(lock_document).collect();
            return context.print_json(
                &json!({ "block": block_json(block), "coldkey": coldkey, "locks": list }),
            );
        }
        if locks.is_empty() {
            context.print_notice(&format!("{coldkey} has no locks"));
            return Ok(());
        }
        let mut rows = table(&LOCKS);
        for lock in &locks {
            rows.add_row([
                lock.netuid.to_string(),
                lock.hotkey.to_string(),
                lock.locked.to_string(),
                lock.conviction.to_string(),
                Mode::from_lock(lock).name().to_owned(),
            ]);
        }
        context.print(&format!("{rows}\n\nblock {block}"))
    })
}

fn show(args: &ShowArgs, context: &Context) -> anyhow::Result<()> {
    let (coldkey, netuid) = (args.coldkey.coldkey()?, args.netuid);
    context.block_on(async {
        let (chain, block) = args.coldkey.connect().await?;
        let lock = lock_on(&chain, coldkey, netuid, block.into()).await?;
        if context.json {
            return context.print_json(&json!({
                "block": block_json(block),
                "coldkey": coldkey,
                "netuid": netuid,
                "lock": lock.as_ref().map(lock_document),
            }));
        }
        let Some(lock) = lock else {
            context.print_notice(&format!("{coldkey} has no lock on subnet {netuid}"));
            return Ok(());
        };
        let mut rows = key_values();
        for (name, value) in [
            ("coldkey", coldkey.to_string()),
            ("netuid", netuid.to_string()),
            ("hotkey", lock.hotkey.to_string()),
            ("locked", format!("{} alpha", lock.locked)),
            ("conviction", lock.conviction.to_string()),
            ("mode", Mode::from_lock(&lock).name().to_owned()),
        ] {
            rows.add_row([name, &value]);
        }
        context.print(&format!("{rows}\n\nblock {block}"))
    })
}

/// Returns why a coldkey cannot lock `amount` to a hotkey: its lock is to another hotkey, or its
/// stake on the subnet does not suffice.
async fn expected_refusal(
    chain: &Client,
    coldkey: Coldkey,
    (hotkey, netuid, amount): (Hotkey, NetUid, Alpha),
) -> anyhow::Result<Option<ExpectedRefusal>> {
    let block = chain.head().await.map_err(chain_error)?;
    let lock = lock_on(chain, coldkey, netuid, block.into()).await?;
    if let Some(lock) = lock.filter(|lock| lock.hotkey != hotkey) {
        let text = format!(
            "the lock of {coldkey} on subnet {netuid} is to {}\nhint: lock to that hotkey, or move the lock with `tao lock \
             move`",
            lock.hotkey
        );
        return Ok(Some(ExpectedRefusal { name: "SubtensorModule.LockHotkeyMismatch", text }));
    }
    let stakes = chain.stakes(coldkey, block.into()).await.map_err(chain_error)?;
    let subnet_stakes =
        stakes.iter().filter(|stake| stake.netuid == netuid).map(|stake| stake.stake.get());
    let staked = Alpha::new(subnet_stakes.fold(0, u64::saturating_add));
    let locked = lock.map_or(Alpha::ZERO, |lock| lock.locked);
    if locked.checked_add(amount).is_some_and(|total| total <= staked) {
        return Ok(None);
    }
    let text = format!(
        "{coldkey} has {staked} alpha on subnet {netuid}, of which {locked} are locked, too few to lock {amount} \
         more\nhint: stake more with `tao stake add`, or lock less"
    );
    Ok(Some(ExpectedRefusal { name: "SubtensorModule.InsufficientStakeForLock", text }))
}

fn add(args: &AddArgs, context: &Context) -> anyhow::Result<()> {
    let (hotkey, netuid, amount) = (args.tx.hotkey_address()?, args.netuid, args.amount);
    context.block_on(async {
        let chain = args.tx.connect().await?;
        let key = args.tx.unlock()?;
        let coldkey = args.tx.submit.coldkey(&key);
        let lock_call = calls::lock_stake(hotkey, netuid, amount);
        let (call, mode_text) = match args.mode {
            None => (lock_call, String::new()),
            Some(mode) => {
                let mode_call = calls::set_perpetual_lock(netuid, mode == Mode::Perpetual);
                (calls::batch_all(vec![mode_call, lock_call]), format!(", {}", mode.name()))
            }
        };
        let details = json!({
            "coldkey": coldkey,
            "hotkey": hotkey,
            "netuid": netuid,
            "amount_rao": amount,
            "mode": args.mode.map(Mode::name),
        });
        let description =
            format!("Lock {amount} alpha of {coldkey} on subnet {netuid} to {hotkey}{mode_text}");
        let plan = Plan::new(call, description, details)
            .expected_refusal(expected_refusal(&chain, coldkey, (hotkey, netuid, amount)).await?);
        args.tx.submit.confirm_and_submit(&chain, &key, plan, context).await
    })
}

fn set_mode(args: &ModeArgs, context: &Context) -> anyhow::Result<()> {
    let (netuid, mode) = (args.netuid, args.mode);
    context.block_on(async {
        let chain = args.tx.connect().await?;
        let key = args.tx.unlock()?;
        let coldkey = args.tx.submit.coldkey(&key);
        let lock = find_lock(&chain, coldkey, netuid).await?;
        let call = calls::set_perpetual_lock(netuid, mode == Mode::Perpetual);
        let details = json!({ "coldkey": coldkey, "netuid": netuid, "hotkey": lock.hotkey, "mode": mode.name() });
        let description = format!("Make the lock of {} alpha on subnet {netuid} {}", lock.locked, mode.name());
        args.tx.submit.confirm_and_submit(&chain, &key, Plan::new(call, description, details), context).await
    })
}

fn move_lock(args: &MoveArgs, context: &Context) -> anyhow::Result<()> {
    let (netuid, to_hotkey) = (args.netuid, args.to.hotkey());
    context.block_on(async {
        let chain = args.tx.connect().await?;
        let key = args.tx.unlock()?;
        let coldkey = args.tx.submit.coldkey(&key);
        let lock = find_lock(&chain, coldkey, netuid).await?;
        let details = json!({ "coldkey": coldkey, "netuid": netuid, "hotkey": lock.hotkey, "to_hotkey": to_hotkey });
        let description = format!(
            "Move the lock of {} alpha on subnet {netuid} from {} to {to_hotkey}; its conviction of {} is lost if the hotkeys \
             have different owners",
            lock.locked, lock.hotkey, lock.conviction
        );
        args.tx
            .submit
            .confirm_and_submit(&chain, &key, Plan::new(calls::move_lock(to_hotkey, netuid), description, details), context)
            .await
    })
}
