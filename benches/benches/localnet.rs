//! Speed and resource use of the development chain: `cargo bench -p taonet-benches --bench
//! localnet`.
//!
//! The chain is stored in a directory, produces blocks on demand only, and keeps the default
//! history. The benchmark prints the rows of the table in docs/benchmarks.md. A number after `--`
//! replaces 1 000 000 as the number of empty blocks.
#![allow(clippy::print_stdout, reason = "the figures are the output")]

use std::cell::Cell;
use std::hint::black_box;
use std::path::Path;
use std::time::Instant;

use anyhow::{Context, Result, anyhow, ensure};
use codec::{Compact, Decode, Encode};
use frame_system::EventRecord;
use futures::{StreamExt, TryStreamExt, stream};
use sp_core::{H256, Pair, sr25519};
use taonet_chain::{At, Chain, Client, Detail};
use taonet_localnet::{Node, NodeConfig, NodeHandle};
use taonet_localnet_runtime::runtime::{Runtime, RuntimeEvent};
use taonet_localnet_runtime::types::{MechId, NetUid, TaoBalance};
use taonet_localnet_runtime::{AccountId, RuntimeCall, VERSION, genesis, subtensor};
use taonet_primitives::BlockHash;

/// The allocator of the released programs.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Babelbit: started, unencrypted weights, no rate limit.
const NETUID: NetUid = NetUid(59);
/// The neurons of the full subnet, including the owner's.
const NEURONS: u16 = 256;
/// The validators that set weights; one permit is left for the owner.
const VALIDATORS: u16 = 60;
/// The miners on which each validator sets weight.
const MINERS_PER_VALIDATOR: u16 = 64;
/// The calls per block: the weight limit has room for 26 `set_weights`.
const CALLS_PER_BLOCK: usize = 25;
/// The number of full blocks.
const FULL_BLOCKS: usize = 200;
/// The number of clients that submit calls at the same time.
const CLIENTS: usize = 16;
/// Maximum number of blocks of the chain in memory.
const MAX_BLOCKS_IN_MEMORY: u32 = 10_000;
/// The number of metagraph reads.
const METAGRAPH_READS: usize = 101;
/// 1 TAO, in rao.
const TAO: u64 = 1_000_000_000;

#[tokio::main]
async fn main() -> Result<()> {
    let blocks = std::env::args().skip(1).find(|argument| !argument.starts_with("--"));
    let blocks = blocks.map_or(Ok(1_000_000), |text| text.parse())?;
    let directory = tempfile::tempdir()?;
    let config = |directory: Option<&Path>| {
        let mut config = NodeConfig::new(genesis::genesis(&[])?);
        config.directory = directory.map(Path::to_owned);
        anyhow::Ok(config)
    };
    println!("| Operation | Goal | Measured | Bottleneck |\n|---|---|---|---|");
    let start = Instant::now();
    let node_config = config(Some(directory.path()))?;
    let bound = format!("{} of it the first block's state", ms(seconds_since(start)));
    let node = Node::start(node_config).await?;
    node.mine(1).await?;
    let started = seconds_since(start);
    print_row("a node in this process to its first block", "20 ms", &ms(started), &bound);

    let block = seconds_per_block(&node, blocks).await?;
    let (bytes, peak) = (size_of_files(directory.path())?, status_kib("VmHWM:")?);
    let memory = Node::start(config(None)?).await?;
    let in_memory = seconds_per_block(&memory, blocks.min(MAX_BLOCKS_IN_MEMORY)).await?;
    memory.stop().await;
    let bound =
        format!("{} a block, {} where the chain is in memory", micros(block), micros(in_memory));
    print_row(
        &format!("{blocks} empty blocks a second"),
        "5 000",
        &format!("{:.0}", 1.0 / block),
        &bound,
    );
    let size = format!("{:.0} MB, {:.0} MB", bytes as f64 / 1e6, peak * 1.024e-3);
    print_row(
        "their size on disk, most memory",
        "200 MB, 200 MB",
        &size,
        "state and content of 2 500 blocks are kept",
    );

    let mut signers = Signers::new()?;
    signers.populate(&node).await?;
    let check = signature_check()?;
    let full = full_blocks(&node, &mut signers, remark, |event| {
        matches!(event, RuntimeEvent::System(frame_system::Event::ExtrinsicSuccess { .. }))
    });
    full.await?.print_row("remarks of 256 bytes a second", "", check);
    let full = full_blocks(&node, &mut signers, weights, is_weights_set);
    let label = format!("calls a second that set {MINERS_PER_VALIDATOR} weights");
    full.await?.print_row(&label, "", check);
    let rate = concurrent_rate(&node, &mut signers).await?;
    let bound = format!("blocks are produced while {CLIENTS} clients submit");
    print_row(&format!("{label}, of concurrent clients"), "4 000", &format!("{rate:.0}"), &bound);
    check_rows(&node)?;
    metagraph(&node).await?;
    node.stop().await;

    let start = Instant::now();
    let node = Node::start(config(Some(directory.path()))?).await?;
    print_row("opening that chain again", "", &ms(seconds_since(start)), "");
    node.stop().await;
    let peak = format!("{:.0} MB", status_kib("VmHWM:")? * 1.024e-3);
    print_row("most memory of this process, with all of the above", "", &peak, "");
    Ok(())
}

fn print_row(label: &str, goal: &str, measured: &str, bound: &str) {
    println!("| {label} | {goal} | {measured} | {bound} |");
}

/// Measures the duration of an empty block in seconds, averaged over `blocks`.
async fn seconds_per_block(node: &NodeHandle, blocks: u32) -> Result<f64> {
    let start = Instant::now();
    node.mine(blocks).await?;
    Ok(seconds_since(start) / f64::from(blocks))
}

/// Measures the duration of a signature verification in seconds.
fn signature_check() -> Result<f64> {
    let pair = pair("//Alice")?;
    let (message, checks) = ([7_u8; 32], 500);
    let signature = pair.sign(&message);
    let start = Instant::now();
    for _ in 0..checks {
        ensure!(
            sr25519::Pair::verify(black_box(&signature), message, &pair.public()),
            "a valid signature does not verify"
        );
    }
    Ok(seconds_since(start) / f64::from(checks))
}

fn pair(uri: &str) -> Result<sr25519::Pair> {
    sr25519::Pair::from_string(uri, None).map_err(|error| anyhow!("{error:?}"))
}

/// The signers, with their nonces.
struct Signers {
    alice: (sr25519::Pair, u32),
    validators: Vec<(sr25519::Pair, u32)>,
}

impl Signers {
    fn new() -> Result<Self> {
        let validators =
            (0..VALIDATORS).map(|number| Ok((pair(&format!("//bench//{number}"))?, 0)));
        Ok(Self { alice: (pair("//Alice")?, 0), validators: validators.collect::<Result<_>>()? })
    }

    /// Fills the subnet: validators with stake and a permit each, and miners.
    async fn populate(&mut self, node: &NodeHandle) -> Result<()> {
        let validators: Vec<AccountId> =
            self.validators.iter().map(|(pair, _)| pair.public().0.into()).collect();
        let miners = (VALIDATORS + 1..NEURONS)
            .map(|number| sp_io::hashing::blake2_256(&number.encode()).into());
        let mut calls = Vec::new();
        for hotkey in validators.iter().cloned().chain(miners) {
            calls.push(RuntimeCall::SubtensorModule(subtensor::Call::burned_register {
                netuid: NETUID,
                hotkey,
            }));
        }
        for hotkey in validators {
            // An account must exist to sign, even calls without a fee.
            let (dest, value) = (sp_runtime::MultiAddress::Id(hotkey.clone()), 10 * TAO);
            calls.push(RuntimeCall::Balances(pallet_balances::Call::transfer_keep_alive {
                dest,
                value,
            }));
            let amount_staked = TaoBalance(100 * TAO);
            let stake = subtensor::Call::add_stake { hotkey, netuid: NETUID, amount_staked };
            calls.push(RuntimeCall::SubtensorModule(stake));
        }
        let call_count = calls.len();
        let mut succeeded = 0;
        for batch in calls.chunks(CALLS_PER_BLOCK) {
            for call in batch {
                node.submit(signed_extrinsic(node, &mut self.alice, call)).await?;
            }
            node.mine(1).await?;
            // Plus the block's own inherent call.
            succeeded += count(node, |event| {
                matches!(event, RuntimeEvent::System(frame_system::Event::ExtrinsicSuccess { .. }))
            })? - 1;
        }
        ensure!(
            succeeded == call_count,
            "only {succeeded} of {call_count} calls to fill the subnet succeeded"
        );
        node.mine_to_epoch(NETUID.0).await?;
        Ok(())
    }
}

/// The duration of a call in full blocks, in seconds.
struct PerCall {
    submitting: f64,
    making: f64,
}

impl PerCall {
    fn print_row(&self, label: &str, goal: &str, check: f64) {
        let measured = format!("{:.0}", 1.0 / (self.submitting + self.making));
        let bound = format!(
            "{} a call to submit it and {} to make its block, one after the other; in each, {} check its signature",
            micros(self.submitting),
            micros(self.making),
            micros(check)
        );
        print_row(label, goal, &measured, &bound);
    }
}

/// Returns calls for the full blocks, signed by the validators in turn.
fn signed_in_turn(node: &NodeHandle, signers: &mut Signers, call: &RuntimeCall) -> Vec<Vec<u8>> {
    let mut calls = Vec::new();
    for number in 0..CALLS_PER_BLOCK * FULL_BLOCKS {
        let turn = number % signers.validators.len();
        calls.extend(
            signers.validators.get_mut(turn).map(|signer| signed_extrinsic(node, signer, call)),
        );
    }
    calls
}

fn is_weights_set(event: &RuntimeEvent) -> bool {
    matches!(event, RuntimeEvent::SubtensorModule(subtensor::Event::WeightsSet(..)))
}

/// Measures the calls per second that set weights, from the first submission to the commit of the
/// last block, while blocks are produced one after the other.
async fn concurrent_rate(node: &NodeHandle, signers: &mut Signers) -> Result<f64> {
    let calls = signed_in_turn(node, signers, &weights());
    let (call_count, submitted) = (calls.len(), Cell::new(0));
    let start = Instant::now();
    let submitting = stream::iter(calls).map(Ok).try_for_each_concurrent(CLIENTS, async |call| {
        node.submit(call).await?;
        submitted.set(submitted.get() + 1);
        anyhow::Ok(())
    });
    let producing = async {
        let mut set_count = 0;
        loop {
            let complete = submitted.get() == call_count;
            node.mine(1).await?;
            let new = count(node, is_weights_set)?;
            set_count += new;
            if complete && (set_count == call_count || new == 0) {
                return anyhow::Ok(set_count);
            }
        }
    };
    let ((), set_count) = futures::try_join!(submitting, producing)?;
    let seconds = seconds_since(start);
    ensure!(set_count == call_count, "only {set_count} of {call_count} calls set weights");
    Ok(call_count as f64 / seconds)
}

/// Measures full blocks of [`CALLS_PER_BLOCK`] calls each, submitted one by one; each call must
/// emit its event.
async fn full_blocks(
    node: &NodeHandle,
    signers: &mut Signers,
    call: fn() -> RuntimeCall,
    expected: fn(&RuntimeEvent) -> bool,
) -> Result<PerCall> {
    let calls = signed_in_turn(node, signers, &call());
    // The inherent call also succeeds in every block.
    node.mine(1).await?;
    let count_before = count(node, expected)?;
    let (mut submitting, mut making) = (0.0, 0.0);
    for calls in calls.chunks(CALLS_PER_BLOCK) {
        let start = Instant::now();
        for call in calls {
            node.submit(call.clone()).await?;
        }
        submitting += seconds_since(start);
        let start = Instant::now();
        node.mine(1).await?;
        making += seconds_since(start);
        let events = count(node, expected)? - count_before;
        ensure!(
            events == CALLS_PER_BLOCK,
            "{events} instead of {CALLS_PER_BLOCK} calls emitted their event in block {}",
            node.head().number()
        );
    }
    let calls = calls.len() as f64;
    Ok(PerCall { submitting: submitting / calls, making: making / calls })
}

/// Returns the number of matching events in the newest block.
fn count(node: &NodeHandle, expected: impl Fn(&RuntimeEvent) -> bool) -> Result<usize> {
    let key = [sp_io::hashing::twox_128(b"System"), sp_io::hashing::twox_128(b"Events")].concat();
    let events = node.storage(&key)?.context("a block without events")?;
    let events = Vec::<EventRecord<RuntimeEvent, H256>>::decode(&mut events.as_slice())?;
    Ok(events.iter().filter(|record| expected(&record.event)).count())
}

/// Checks that every validator's weights are on the chain.
fn check_rows(node: &NodeHandle) -> Result<()> {
    for uid in 1..=VALIDATORS {
        let key = subtensor::Weights::<Runtime>::hashed_key_for(NETUID.mechanism(MechId(0)), uid);
        let row = node.storage(&key)?.with_context(|| format!("validator {uid} has no weights"))?;
        let row = Vec::<(u16, u16)>::decode(&mut row.as_slice())?;
        ensure!(
            row.len() == usize::from(MINERS_PER_VALIDATOR),
            "validator {uid} has {} weights",
            row.len()
        );
    }
    Ok(())
}

/// Reads and decodes the metagraph of all neurons without weights and bonds over WebSocket, at a
/// new block each time.
async fn metagraph(node: &NodeHandle) -> Result<()> {
    let client = Client::connect(&node.url().parse()?).await?;
    let (netuid, mech) = (taonet_primitives::NetUid(NETUID.0), taonet_primitives::MechId(0));
    let (mut rpc_times, mut local_times) = (Vec::new(), Vec::new());
    for _ in 0..METAGRAPH_READS {
        let head = node.mine(1).await?;
        let at = At::Hash(BlockHash::from_bytes(head.hash.0));
        let start = Instant::now();
        let graph = client.metagraph(netuid, mech, Detail::Lite, at).await?;
        rpc_times.push(seconds_since(start));
        ensure!(graph.neurons.len() == usize::from(NEURONS), "{} neurons", graph.neurons.len());
        let start = Instant::now();
        black_box(node.call("SubnetInfoRuntimeApi_get_metagraph", &NETUID)?);
        local_times.push(seconds_since(start));
    }
    let bound = format!("inside the node, get_metagraph takes {}", ms(median(local_times)));
    print_row("lite metagraph of 256 neurons over RPC", "15 ms", &ms(median(rpc_times)), &bound);
    Ok(())
}

fn remark() -> RuntimeCall {
    RuntimeCall::System(frame_system::Call::remark { remark: vec![7; 256] })
}

fn weights() -> RuntimeCall {
    let dests = (NEURONS - MINERS_PER_VALIDATOR..NEURONS).collect();
    let weights = (1..=MINERS_PER_VALIDATOR).collect();
    RuntimeCall::SubtensorModule(subtensor::Call::set_weights {
        netuid: NETUID,
        dests,
        weights,
        version_key: 0,
    })
}

fn signed_extrinsic(
    node: &NodeHandle,
    (pair, nonce): &mut (sr25519::Pair, u32),
    call: &RuntimeCall,
) -> Vec<u8> {
    let extra = [vec![0], Compact(*nonce).encode(), Compact(0u64).encode(), vec![0]].concat();
    *nonce += 1;
    let versions = (VERSION.spec_version, VERSION.transaction_version);
    let implicit = (versions, node.genesis(), node.genesis(), 0u8).encode();
    let payload = [call.encode(), extra.clone(), implicit].concat();
    let signature = if payload.len() > 256 {
        pair.sign(&sp_io::hashing::blake2_256(&payload))
    } else {
        pair.sign(&payload)
    };
    [&[0x84, 0][..], &pair.public().0, &[1], &signature.0, &extra, &call.encode()].concat().encode()
}

fn seconds_since(start: Instant) -> f64 {
    start.elapsed().as_secs_f64()
}

fn median(mut seconds: Vec<f64>) -> f64 {
    seconds.sort_by(f64::total_cmp);
    seconds.get(seconds.len() / 2).copied().unwrap_or_default()
}

fn ms(seconds: f64) -> String {
    format!("{:.1} ms", seconds * 1e3)
}

fn micros(seconds: f64) -> String {
    format!("{:.0} µs", seconds * 1e6)
}

fn size_of_files(directory: &Path) -> Result<u64> {
    let mut bytes = 0;
    for entry in std::fs::read_dir(directory)? {
        bytes += entry?.metadata()?.len();
    }
    Ok(bytes)
}

/// Returns a memory figure of this process, in KiB.
fn status_kib(name: &str) -> Result<f64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix(name))
        .with_context(|| format!("no {name}"))?;
    Ok(line.trim().trim_end_matches(" kB").parse()?)
}
