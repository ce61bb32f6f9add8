//! How fast the chain goes, and what it takes: `cargo bench -p taonet-benches --bench localnet`.
//!
//! A chain in a directory, on the manual clock, with the default history. One JSON line for each figure; a number
//! behind `--` is the number of empty blocks instead of 100 000.
#![allow(clippy::print_stdout, reason = "the figures are the output")]

use std::path::Path;
use std::time::Instant;

use anyhow::{Context, Result, anyhow};
use codec::{Compact, Encode};
use serde_json::json;
use sp_core::{Pair, sr25519};
use taonet_localnet::{Node, NodeConfig, NodeHandle};
use taonet_localnet_runtime::{RuntimeCall, VERSION, genesis, subtensor};

/// Calls in one block.
const CALLS: u32 = 100;
/// Blocks of such calls.
const FULL: u32 = 50;

#[tokio::main]
async fn main() -> Result<()> {
    let blocks = std::env::args().skip(1).find(|argument| !argument.starts_with("--"));
    let blocks = blocks.map_or(Ok(100_000), |text| text.parse())?;
    let directory = tempfile::tempdir()?;
    let config = || {
        let mut config = NodeConfig::new(genesis::genesis(&[])?);
        config.directory = Some(directory.path().to_owned());
        anyhow::Ok(config)
    };
    let began = Instant::now();
    let node = Node::start(config()?).await?;
    node.mine(1).await?;
    println!("{}", json!({"start_to_first_block_ms": began.elapsed().as_millis()}));

    let began = Instant::now();
    node.mine(blocks).await?;
    let rate = f64::from(blocks) / began.elapsed().as_secs_f64();
    let (bytes, resident) = (size_of_file(directory.path())?, resident_kib()?);
    println!("{}", json!({"empty_blocks": blocks, "per_second": rate, "bytes": bytes, "resident_kib": resident}));

    for (name, call) in [("remark", remark()), ("set_weights", weights())] {
        full_blocks(&node, name, &call).await?;
    }
    node.stop().await;

    let began = Instant::now();
    let node = Node::start(config()?).await?;
    println!("{}", json!({"reopen_ms": began.elapsed().as_millis(), "number": node.head().number()}));
    node.stop().await;
    Ok(())
}

/// Blocks of a hundred calls each, submitted one after another: checking them, and making the blocks.
async fn full_blocks(node: &NodeHandle, name: &str, call: &RuntimeCall) -> Result<()> {
    let alice = sr25519::Pair::from_string("//Alice", None).map_err(|error| anyhow!("{error:?}"))?;
    let nonce = node.call("AccountNonceApi_account_nonce", &alice.public().0)?;
    let nonce = u32::from_le_bytes(nonce.as_slice().try_into()?);
    let calls: Vec<_> = (nonce..nonce + CALLS * FULL).map(|nonce| signed(node, &alice, nonce, call)).collect();
    let (mut submitting, mut making) = (0.0, 0.0);
    for calls in calls.chunks(CALLS as usize) {
        let began = Instant::now();
        for call in calls {
            node.submit(call.clone()).await?;
        }
        submitting += began.elapsed().as_secs_f64();
        let began = Instant::now();
        node.mine(1).await?;
        making += began.elapsed().as_secs_f64();
    }
    let calls = f64::from(CALLS * FULL);
    println!(
        "{}",
        json!({
            "call": name,
            "per_second": calls / (submitting + making),
            "submitted_per_second": calls / submitting,
            "made_per_second": calls / making,
        })
    );
    Ok(())
}

fn remark() -> RuntimeCall {
    RuntimeCall::System(frame_system::Call::remark { remark: vec![7; 256] })
}

/// As many weights as a validator of a full subnet of 64 miners sets.
fn weights() -> RuntimeCall {
    RuntimeCall::SubtensorModule(subtensor::Call::set_weights {
        netuid: 1.into(),
        dests: (0..64).collect(),
        weights: (0..64).collect(),
        version_key: 0,
    })
}

fn signed(node: &NodeHandle, pair: &sr25519::Pair, nonce: u32, call: &RuntimeCall) -> Vec<u8> {
    let extra = [vec![0], Compact(nonce).encode(), Compact(0u64).encode(), vec![0]].concat();
    let versions = (VERSION.spec_version, VERSION.transaction_version);
    let implicit = (versions, node.genesis(), node.genesis(), 0u8).encode();
    let payload = [call.encode(), extra.clone(), implicit].concat();
    let signature =
        if payload.len() > 256 { pair.sign(&sp_io::hashing::blake2_256(&payload)) } else { pair.sign(&payload) };
    [&[0x84, 0][..], &pair.public().0, &[1], &signature.0, &extra, &call.encode()].concat().encode()
}

fn size_of_file(directory: &Path) -> Result<u64> {
    let mut bytes = 0;
    for entry in std::fs::read_dir(directory)? {
        bytes += entry?.metadata()?.len();
    }
    Ok(bytes)
}

fn resident_kib() -> Result<u64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("no resident size")?;
    Ok(line.trim().trim_end_matches(" kB").parse()?)
}
