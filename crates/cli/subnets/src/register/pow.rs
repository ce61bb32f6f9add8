//! `tao register --pow`: registration for proof of work.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use indicatif::{ProgressBar, ProgressStyle};
use serde::de::DeserializeOwned;
use serde_json::json;
use taonet_chain::{At, Block, Chain as _, Client, calls};
use taonet_cli_base::chain::{Plan, chain_error};
use taonet_cli_base::context::Context;
use taonet_pow::{Device, Searcher, Solution, Work};
use taonet_primitives::{Coldkey, Hotkey, NetUid};

use super::{RegisterArgs, registration_json};

const SUBTENSOR: &str = "SubtensorModule";
/// Number of blocks after which the search begins again with a newer one: the chain accepts the
/// last five.
const SEARCH_BLOCKS: u32 = 3;
const REFRESH_INTERVAL: Duration = Duration::from_millis(200);

pub(super) async fn register(
    args: &RegisterArgs,
    chain: &Client,
    context: &Context,
) -> anyhow::Result<()> {
    let (hotkey, netuid) = (args.tx.hotkey_address()?, args.netuid);
    check_registrable(chain, netuid, hotkey).await?;
    // Before the password prompt: there may be no such device.
    let searcher = open_searcher(args.device).await?;
    let device = searcher.name().to_owned();
    let key = args.tx.unlock()?;
    let timeout = Duration::from_secs(args.timeout);
    let SolvedWork { block, solution, difficulty, hashes } =
        search(chain, netuid, hotkey, args.tx.submit.coldkey(&key), searcher, timeout).await?;
    let details = json!({
        "netuid": netuid,
        "hotkey": hotkey,
        "coldkey": args.tx.submit.coldkey(&key),
        "difficulty": difficulty,
        "work_block": block.number,
        "work_nonce": solution.nonce,
        "hashes": hashes,
        "device": device,
    });
    let call = calls::pow_register(netuid, block.number, solution.nonce, &solution.seal, hotkey);
    let mut plan =
        Plan::new(call, format!("Register {hotkey} on subnet {netuid} for proof of work"), details);
    plan.event_fields = registration_json;
    // Costs nothing, and the work is soon too old.
    args.tx.submit.submit(chain, &key, plan, context).await
}

/// Checks that the subnet accepts a registration of the hotkey by proof of work.
async fn check_registrable(chain: &Client, netuid: NetUid, hotkey: Hotkey) -> anyhow::Result<()> {
    let metadata = chain.calls().await.map_err(chain_error)?;
    if !metadata.iter().any(|call| call.pallet == SUBTENSOR && call.name == "pow_register") {
        bail!("the chain has no registration by proof of work\nhint: register without --pow");
    }
    chain.subnet(netuid, At::Head).await.map_err(chain_error)?;
    if !read_storage::<bool>(chain, "NetworkPowRegistrationAllowed", netuid).await? {
        bail!(
            "subnet {netuid} forbids registration by proof of work\nhint: register without --pow"
        );
    }
    if let Some(uid) = chain.uid(netuid, &hotkey, At::Head).await.map_err(chain_error)? {
        bail!("{hotkey} is already registered on subnet {netuid}, with uid {uid}");
    }
    Ok(())
}

async fn read_storage<T: DeserializeOwned>(
    chain: &Client,
    item: &str,
    netuid: NetUid,
) -> anyhow::Result<T> {
    let value =
        chain.storage(SUBTENSOR, item, &[json!(netuid)], At::Head).await.map_err(chain_error)?;
    serde_json::from_value(value).with_context(|| format!("malformed value of {SUBTENSOR}.{item}"))
}

/// Returns the difficulty of a subnet: `Difficulty` within its bounds, at least 1.
async fn difficulty(chain: &Client, netuid: NetUid) -> anyhow::Result<u64> {
    let (difficulty, min, max): (u64, u64, u64) = tokio::try_join!(
        read_storage(chain, "Difficulty", netuid),
        read_storage(chain, "MinDifficulty", netuid),
        read_storage(chain, "MaxDifficulty", netuid)
    )?;
    Ok(difficulty.min(max).max(min).max(1))
}

/// Opens the device of the search; a driver can take seconds to compile.
async fn open_searcher(device: Device) -> anyhow::Result<Searcher> {
    let threads = std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
    let searcher = tokio::task::spawn_blocking(move || Searcher::open(device, threads)).await;
    Ok(searcher.context("the search failed")??)
}

/// The work that was found.
struct SolvedWork {
    block: Block,
    solution: Solution,
    difficulty: u64,
    hashes: u64,
}

/// Searches with work for a recent block, again and again, until the timeout.
async fn search(
    chain: &Client,
    netuid: NetUid,
    hotkey: Hotkey,
    coldkey: Coldkey,
    mut searcher: Searcher,
    timeout: Duration,
) -> anyhow::Result<SolvedWork> {
    let (search_start, hash_count, device) =
        (Instant::now(), Arc::new(AtomicU64::new(0)), searcher.name().to_owned());
    let bar = ProgressBar::new_spinner()
        .with_style(ProgressStyle::with_template("{spinner} {elapsed} {msg}")?);
    while let Some(remaining) = timeout.checked_sub(search_start.elapsed()) {
        let block = chain.head().await.map_err(chain_error)?;
        let difficulty = difficulty(chain, netuid).await?;
        let work = Work { netuid, block: block.hash, hotkey, coldkey, difficulty };
        let deadline = Instant::now() + remaining.min(chain.block_time() * SEARCH_BLOCKS);
        let (start, count) = (rand::random(), Arc::clone(&hash_count));
        let mut search = tokio::task::spawn_blocking(move || {
            let result = searcher.search(&work, start, deadline, &count);
            (searcher, result)
        });
        let (returned_searcher, result) = loop {
            let outcome = tokio::time::timeout(REFRESH_INTERVAL, &mut search).await;
            let hashes = hash_count.load(Ordering::Relaxed);
            let rate = hashes as f64 / search_start.elapsed().as_secs_f64().max(f64::EPSILON) / 1e6;
            bar.set_message(format!(
                "searching on {device} at difficulty {difficulty}: {hashes} hashes, {rate:.2} million/s"
            ));
            if let Ok(outcome) = outcome {
                break outcome.context("the search failed")?;
            }
        };
        searcher = returned_searcher;
        if let Some(solution) = result? {
            bar.finish_and_clear();
            return Ok(SolvedWork {
                block,
                solution,
                difficulty,
                hashes: hash_count.load(Ordering::Relaxed),
            });
        }
    }
    bar.finish_and_clear();
    let (hashes, seconds) = (hash_count.load(Ordering::Relaxed), timeout.as_secs());
    bail!(
        "no work found in {seconds} s and {hashes} hashes\nhint: allow more time with --timeout, or register for the \
         price, without --pow"
    )
}
