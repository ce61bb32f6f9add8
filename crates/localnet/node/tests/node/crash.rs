//! `kill -9` at any moment loses nothing that a client has seen.

#![allow(clippy::print_stdout, reason = "a failed run prints how to reproduce it")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use codec::{Decode, Encode};
use frame_system::{AccountInfo, EventRecord};
use pallet_balances::AccountData;
use serde_json::{Value, json};
use sp_core::H256;
use sp_runtime::traits::BlakeTwo256;
use sp_trie::{LayoutV1, TrieConfiguration};
use taonet_localnet::{Clock, History, Node, NodeError, NodeHandle, StoreError};
use taonet_localnet_runtime::subtensor::{Call, Event};
use taonet_localnet_runtime::types::{AlphaBalance, NetUid, TaoBalance};
use taonet_localnet_runtime::{AccountId, RuntimeCall, RuntimeEvent, crowdloan};

use crate::process::{Process, announce};
use crate::support::{
    account, account_key, config, hex, post, remark, rpc, signed, storage_key, transfer, unhex,
};

/// Environment variable with the directory of a child that takes snapshots and reverts to them.
const REVERTING: &str = "TAONET_CRASH_REVERTING";
/// Environment variable with the child's chain directory.
const DIRECTORY: &str = "TAONET_CRASH_DIRECTORY";
/// Environment variable with the seed of an earlier run.
const SEED: &str = "TAONET_CRASH_SEED";
const KILLS: u32 = 50;
/// Maximum number of kills, for machines on which the load makes few calls between two of them.
const MAX_KILLS: u32 = 500;
/// The development accounts that sign the load's calls.
const SIGNERS: [&str; 4] = ["Alice", "Bob", "Charlie", "Dave"];
/// File in the child's chain directory with the seed of the load.
const SEED_FILE: &str = "seed";
/// The number of newest blocks per round whose events are counted.
const MAX_COUNTED_BLOCKS: u32 = 100;
/// Kinds of effects that the load must have.
const EXPECTED_EFFECTS: [&str; 8] = [
    "transfers",
    "crowdloans",
    "contributions",
    "neurons",
    "additions of stake",
    "removals of stake",
    "swaps of stake",
    "recycled alpha",
];
/// The started subnet of the genesis state.
const BABELBIT: NetUid = NetUid(59);

/// Runs the process to kill if the environment variable is set; otherwise does nothing.
#[tokio::test]
async fn producer_process_entry() {
    Box::pin(produce(false)).await;
}

/// Runs the process to kill like [`producer_process_entry`], but with groups of blocks, of which a
/// second thread writes one while the next is built.
#[tokio::test]
async fn grouping_process_entry() {
    Box::pin(produce(true)).await;
}

/// Produces blocks under load until the process is killed, if the environment variable is set.
async fn produce(grouped: bool) {
    let Some(directory) = std::env::var_os(DIRECTORY) else { return };
    let directory = Path::new(&directory);
    let mut config = config();
    config.directory = Some(directory.to_owned());
    config.clock = Some(Clock::Every(Duration::from_millis(2)));
    let node = Node::start(config).await.unwrap();
    announce(directory, node.address());
    let seed = std::fs::read_to_string(directory.join(SEED_FILE)).unwrap().parse().unwrap();
    let mut generator = LoadGenerator::for_load(seed, node.head().number());
    let mut nonces = [0; SIGNERS.len()];
    for (nonce, signer) in nonces.iter_mut().zip(SIGNERS) {
        let next =
            rpc(&node, "system_accountNextIndex", json!([account(signer).to_string()])).await;
        *nonce = next.as_u64().unwrap() as u32;
    }
    loop {
        let head = node.head().number();
        let submit_calls = async {
            for _ in 0..16 {
                let signer = generator.next_below(SIGNERS.len() as u64) as usize;
                let call = load(SIGNERS[signer], generator.next_below(u64::MAX), head);
                let submitted =
                    node.submit(signed(&node, SIGNERS[signer], nonces[signer], &call)).await;
                // A refused call leaves its nonce to the signer's next call.
                nonces[signer] += u32::from(submitted.is_ok());
            }
        };
        if grouped {
            let (mined, ()) = tokio::join!(node.mine(100), submit_calls);
            mined.unwrap();
        } else {
            submit_calls.await;
            let submitted = node.head().number();
            while node.head().number() == submitted {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        }
    }
}

/// Returns the load's call for a random number, submitted after the block `head`: mostly a movement
/// of TAO or alpha. Some calls fail.
fn load(signer: &str, draw: u64, head: u32) -> RuntimeCall {
    let amount = 1_000_000 + draw % 5_000_000_000;
    let (tao, alpha) = (TaoBalance(amount), AlphaBalance(amount));
    let netuid = if draw & (1 << 40) == 0 { BABELBIT } else { NetUid::ROOT };
    // The signer's own hotkey exists after its registration.
    let is_own = draw & (1 << 41) == 0;
    let own_hotkey = || account(&format!("{signer}_hk"));
    let hotkey = if is_own { own_hotkey() } else { account("Alice_hk") };
    let random_account = || account(&format!("load{}", draw % 300));
    let crowdloan_id = draw as u32 % 8;
    let call = match draw >> 60 {
        0 => return remark("load"),
        1 => return transfer("Bob", amount),
        2 => return RuntimeCall::Crowdloan(new_crowdloan(head)),
        3 => {
            return RuntimeCall::Crowdloan(crowdloan::Call::contribute {
                crowdloan_id,
                amount: tao,
            });
        }
        4 => return RuntimeCall::Crowdloan(crowdloan::Call::withdraw { crowdloan_id }),
        5..8 => Call::add_stake { hotkey, netuid, amount_staked: tao },
        8 => Call::remove_stake { hotkey, netuid, amount_unstaked: alpha },
        9 => Call::transfer_stake {
            destination_coldkey: account("Charlie"),
            hotkey,
            origin_netuid: netuid,
            destination_netuid: BABELBIT,
            alpha_amount: alpha,
        },
        10 => Call::move_stake {
            origin_hotkey: hotkey,
            destination_hotkey: random_account(),
            origin_netuid: netuid,
            destination_netuid: BABELBIT,
            alpha_amount: alpha,
        },
        11 => Call::unstake_all { hotkey },
        12 => Call::burned_register {
            netuid,
            hotkey: if is_own { own_hotkey() } else { random_account() },
        },
        13 => Call::set_children { hotkey, netuid, children: vec![(draw, random_account())] },
        14 => Call::swap_stake {
            hotkey,
            origin_netuid: BABELBIT,
            destination_netuid: NetUid::ROOT,
            alpha_amount: alpha,
        },
        _ => Call::recycle_alpha { hotkey, amount: alpha, netuid: BABELBIT },
    };
    RuntimeCall::SubtensorModule(call)
}

/// Returns a call that creates a crowdloan which ends long after the block `head`.
fn new_crowdloan(head: u32) -> crowdloan::Call<taonet_localnet_runtime::Runtime> {
    let tao = |number: u64| TaoBalance(number * 1_000_000_000);
    crowdloan::Call::create {
        deposit: tao(10),
        min_contribution: tao(1),
        cap: tao(100),
        end: head + 10_000,
        call: None,
        target_address: Some(account("Eve")),
    }
}

/// A pseudo-random generator of delays and calls with a printed seed.
struct LoadGenerator {
    seed: u64,
    drawn: u64,
}

impl LoadGenerator {
    fn new() -> Self {
        let seed_text = std::env::var(SEED).ok();
        let clock = || SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos() as u64;
        let seed = seed_text.map_or_else(clock, |text| text.parse().unwrap());
        println!("{SEED}={seed} reproduces the same delays and calls");
        Self { seed, drawn: 0 }
    }

    /// Creates the generator of the load after the block `head`.
    fn for_load(seed: u64, head: u32) -> Self {
        let seed = u64::from_le_bytes(sp_io::hashing::twox_64(&(seed, head).encode()));
        Self { seed, drawn: 0 }
    }

    /// Returns a pseudo-random number below `bound`.
    fn next_below(&mut self, bound: u64) -> u64 {
        self.drawn += 1;
        let hash = sp_io::hashing::twox_64(&(self.seed, self.drawn).encode());
        u64::from_le_bytes(hash) % bound
    }
}

/// Polls the child's head for the duration `kill_delay`; returns the last number and hash.
async fn watch(child: &mut Process, kill_delay: Duration) -> (u64, Value) {
    let address = child.wait_for_address().await;
    let start = Instant::now();
    let request =
        json!({"jsonrpc": "2.0", "id": 1, "method": "dev_status", "params": []}).to_string();
    loop {
        let (_, body) = post(address, request.as_bytes()).await;
        let response: Value = serde_json::from_str(&body).unwrap();
        let newest =
            (response["result"]["number"].as_u64().unwrap(), response["result"]["hash"].clone());
        if start.elapsed() >= kill_delay {
            return newest;
        }
    }
}

/// Decodes the values of a storage item, each with its key's part after the item's prefix.
fn values<'a, V: Decode>(
    pairs: &'a [(Vec<u8>, Vec<u8>)],
    pallet: &str,
    item: &str,
) -> Vec<(&'a [u8], V)> {
    let prefix = storage_key(pallet, item);
    let remaining = |key: &'a Vec<u8>| key.strip_prefix(prefix.as_slice());
    pairs
        .iter()
        .filter_map(|(key, value)| {
            Some((remaining(key)?, V::decode(&mut value.as_slice()).unwrap()))
        })
        .collect()
}

/// Sums up the values of a map whose last key is this netuid.
fn sum_on_subnet(values: &[(&[u8], u64)], netuid: &[u8]) -> u64 {
    values.iter().filter(|(key, _)| key.ends_with(netuid)).map(|(_, amount)| amount).sum()
}

/// Checks that every rao is on an account or in a pool, and that the stakes and the alpha of each
/// subnet add up to their totals.
fn check_sums(pairs: &[(Vec<u8>, Vec<u8>)]) {
    let sum = |pallet, item| {
        values::<u64>(pairs, pallet, item).iter().map(|(_, amount)| amount).sum::<u64>()
    };
    let accounts = values::<AccountInfo<u32, AccountData<u64>>>(pairs, "System", "Account");
    let account_total: u64 =
        accounts.iter().map(|(_, account)| account.data.free + account.data.reserved).sum();
    assert_eq!(sum("Balances", "TotalIssuance"), account_total);
    let pools = sum("SubtensorModule", "SubnetTAO");
    assert_eq!(sum("SubtensorModule", "TotalStake"), pools);
    assert_eq!(sum("SubtensorModule", "TotalIssuance"), account_total + pools);
    let alpha = |pallet, item| values::<u64>(pairs, pallet, item);
    let alpha_out = alpha("SubtensorModule", "SubnetAlphaOut");
    let alpha_in = alpha("SubtensorModule", "SubnetAlphaIn");
    let issued = alpha("AlphaAssets", "TotalAlphaIssuance");
    let staked = alpha("SubtensorModule", "TotalHotkeyAlpha");
    let total_staked = alpha("SubtensorModule", "TotalAlphaStaked");
    assert!(!alpha_out.is_empty() && !staked.is_empty());
    for (netuid, alpha_out) in alpha_out {
        let stake = sum_on_subnet(&staked, netuid);
        assert!(stake <= alpha_out, "subnet {netuid:?}");
        assert_eq!(sum_on_subnet(&total_staked, netuid), stake, "subnet {netuid:?}");
        // Root has no alpha of its own.
        if *netuid != [0, 0] {
            assert_eq!(
                sum_on_subnet(&issued, netuid),
                alpha_out + sum_on_subnet(&alpha_in, netuid),
                "subnet {netuid:?}"
            );
        }
    }
}

/// Reads all keys and values after a block, compares their root with the header's, and checks their
/// sums.
pub(crate) async fn check_state(node: &NodeHandle, hash: &Value) {
    let mut pairs: Vec<(Vec<u8>, Vec<u8>)> = Vec::new();
    loop {
        let last = pairs.last().map(|(key, _)| hex(key));
        let keys = rpc(node, "state_getKeysPaged", json!(["0x", 1_000, last, hash])).await;
        if keys.as_array().unwrap().is_empty() {
            break;
        }
        let values = rpc(node, "state_queryStorageAt", json!([keys, hash])).await;
        let changes = values[0]["changes"].as_array().unwrap().clone();
        pairs.extend(changes.iter().map(|change| (unhex(&change[0]), unhex(&change[1]))));
    }
    assert!(pairs.len() > 20, "{}", pairs.len());
    check_sums(&pairs);
    let root = LayoutV1::<BlakeTwo256>::trie_root(pairs);
    let header = rpc(node, "chain_getHeader", json!([hash])).await;
    assert_eq!(json!(root), header["stateRoot"], "block {}", header["number"]);
}

/// The effects of the load's successful calls.
#[derive(Debug, Default)]
struct Effects {
    /// The number of events by kind.
    counts: BTreeMap<&'static str, u32>,
    /// The coldkeys that added stake.
    stakers: BTreeSet<AccountId>,
}

impl Effects {
    /// Counts the events of a block.
    async fn count(&mut self, node: &NodeHandle, hash: &Value) {
        let events = hex(&storage_key("System", "Events"));
        let events = rpc(node, "state_getStorage", json!([events, hash])).await;
        let events =
            Vec::<EventRecord<RuntimeEvent, H256>>::decode(&mut unhex(&events).as_slice()).unwrap();
        for record in &events {
            if let RuntimeEvent::SubtensorModule(Event::StakeAdded(coldkey, ..)) = &record.event {
                self.stakers.insert(coldkey.clone());
            }
            if let Some(effect_name) = effect(&record.event) {
                *self.counts.entry(effect_name).or_default() += 1;
            }
        }
    }

    /// Whether calls of every signer, and of every expected kind, succeeded.
    fn is_complete(&self) -> bool {
        EXPECTED_EFFECTS.iter().all(|kind| self.counts.contains_key(kind))
            && SIGNERS.iter().all(|signer| self.stakers.contains(&account(signer)))
    }
}

/// Returns the kind of an event that a successful call of the load deposits.
fn effect(event: &RuntimeEvent) -> Option<&'static str> {
    match event {
        RuntimeEvent::Balances(pallet_balances::Event::Transfer { .. }) => Some("transfers"),
        RuntimeEvent::Crowdloan(crowdloan::Event::Created { .. }) => Some("crowdloans"),
        RuntimeEvent::Crowdloan(crowdloan::Event::Contributed { .. }) => Some("contributions"),
        RuntimeEvent::Crowdloan(crowdloan::Event::Withdrew { .. }) => Some("withdrawals"),
        RuntimeEvent::SubtensorModule(event) => match event {
            Event::NeuronRegistered(..) => Some("neurons"),
            Event::StakeAdded(..) => Some("additions of stake"),
            Event::StakeRemoved(..) => Some("removals of stake"),
            Event::StakeMoved(..) => Some("moves of stake"),
            Event::StakeTransferred(..) => Some("transfers of stake"),
            Event::StakeSwapped(..) => Some("swaps of stake"),
            Event::SetChildrenScheduled(..) => Some("children"),
            Event::AlphaRecycled(..) => Some("recycled alpha"),
            _ => None,
        },
        _ => None,
    }
}

#[tokio::test]
async fn killed_process_loses_no_announced_block() {
    let mut kill_delays = LoadGenerator::new();
    let mut effects = Effects::default();
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join(SEED_FILE), kill_delays.seed.to_string()).unwrap();
    let mut config = config();
    config.directory = Some(directory.path().to_owned());
    // The child creates the chain, with its own block time.
    config.genesis = None;
    let (mut previous, mut announced) = (0, (0, Value::Null));
    let mut round = 0_u32;
    loop {
        let (process_entry, max_micros) = if round.is_multiple_of(2) {
            ("crash::producer_process_entry", 60_000)
        } else {
            ("crash::grouping_process_entry", 200_000)
        };
        let mut child = Process::start(process_entry, DIRECTORY, directory.path());
        // Kill the child sometimes during startup, otherwise under load.
        if kill_delays.next_below(5) == 0 {
            tokio::time::sleep(Duration::from_micros(kill_delays.next_below(400_000))).await;
        } else {
            announced =
                watch(&mut child, Duration::from_micros(kill_delays.next_below(max_micros))).await;
        }
        child.kill();

        let node = match Node::start(config.clone()).await {
            // The child was killed before it had created the chain.
            Err(NodeError::Store(StoreError::Missing(_))) if announced.1.is_null() => continue,
            started => started.unwrap(),
        };
        let head = node.head();
        let (number, hash) = &announced;
        assert!(
            u64::from(head.number()) >= *number,
            "round {round}: seen {number}, left {}",
            head.number()
        );
        if !hash.is_null() {
            assert_eq!(
                rpc(&node, "chain_getBlockHash", json!([number])).await,
                *hash,
                "round {round}"
            );
        }
        // The states are complete: the newest one and an older one.
        check_state(&node, &json!(head.hash)).await;
        let oldest = previous.max(head.number().saturating_sub(History::MIN));
        let older = oldest + kill_delays.next_below(u64::from(head.number() - oldest) + 1) as u32;
        check_state(&node, &rpc(&node, "chain_getBlockHash", json!([older])).await).await;
        // The chain is linked: every block since the last round names its parent.
        let mut parent = rpc(&node, "chain_getBlockHash", json!([oldest])).await;
        for number in oldest + 1..=head.number() {
            let hash = rpc(&node, "chain_getBlockHash", json!([number])).await;
            assert_eq!(
                rpc(&node, "chain_getHeader", json!([hash])).await["parentHash"],
                parent,
                "block {number}"
            );
            if number + MAX_COUNTED_BLOCKS > head.number() {
                effects.count(&node, &hash).await;
            }
            parent = hash;
        }
        let head = node.mine(1).await.unwrap();
        (previous, announced) = (head.number(), (u64::from(head.number()), json!(head.hash)));
        let nonces = SIGNERS.map(|signer| {
            let account = node.storage(&account_key(signer)).unwrap().unwrap();
            u32::from_le_bytes(account[..4].try_into().unwrap())
        });
        node.stop().await;
        round += 1;
        if round >= KILLS && effects.is_complete() && nonces.iter().all(|nonce| *nonce > 20) {
            break;
        }
        assert!(round < MAX_KILLS, "nonces of the signers: {nonces:?}, effects: {effects:?}");
    }
    println!("{round} kills, {effects:?}");
    assert!(previous > round, "the children made no blocks");
}

/// Runs the process to kill while it reverts, if the environment variable is set; otherwise does
/// nothing.
#[tokio::test]
async fn reverting_process_entry() {
    let Some(directory) = std::env::var_os(REVERTING) else { return };
    let directory = Path::new(&directory);
    let mut config = config();
    config.directory = Some(directory.to_owned());
    let node = Node::start(config).await.unwrap();
    announce(directory, node.address());
    // Snapshots of a killed child remain; the names are used again.
    loop {
        for name in ["first", "second"] {
            let _ = node.drop_snapshot(name);
            node.take_snapshot(name).unwrap();
            node.mine(7).await.unwrap();
        }
        node.mine(30).await.unwrap();
        node.revert("second").await.unwrap();
        node.mine(11).await.unwrap();
        node.revert("first").await.unwrap();
        node.mine(9).await.unwrap();
    }
}

#[tokio::test]
async fn chain_killed_during_revert_is_complete() {
    let mut kill_delays = LoadGenerator::new();
    let directory = tempfile::tempdir().unwrap();
    let mut config = config();
    config.directory = Some(directory.path().to_owned());
    let mut reverted = 0;
    for round in 0..20 {
        let mut child =
            Process::start("crash::reverting_process_entry", REVERTING, directory.path());
        child.wait_for_address().await;
        tokio::time::sleep(Duration::from_micros(kill_delays.next_below(300_000))).await;
        child.kill();

        let node = Node::start(config.clone()).await.unwrap();
        let head = node.head();
        check_state(&node, &json!(head.hash)).await;
        for number in head.number().saturating_sub(40)..head.number() {
            let hash = rpc(&node, "chain_getBlockHash", json!([number])).await;
            let next = rpc(&node, "chain_getBlockHash", json!([number + 1])).await;
            assert_eq!(
                rpc(&node, "chain_getHeader", json!([next])).await["parentHash"],
                hash,
                "block {number}"
            );
        }
        let next_hash = rpc(&node, "chain_getBlockHash", json!([head.number() + 1])).await;
        assert_eq!(next_hash, Value::Null, "round {round}");
        for snapshot in node.snapshots().unwrap() {
            assert!(snapshot.number <= head.number(), "round {round}: {snapshot:?}");
            assert_eq!(
                rpc(&node, "chain_getBlockHash", json!([snapshot.number])).await,
                json!(snapshot.hash)
            );
            check_state(&node, &json!(snapshot.hash)).await;
        }
        if let Some(first) = node.snapshots().unwrap().first() {
            let target = node.revert(&first.name).await.unwrap();
            assert_eq!((target.number(), target.hash), (first.number, first.hash), "round {round}");
            reverted += 1;
        }
        node.mine(3).await.unwrap();
        check_state(&node, &json!(node.head().hash)).await;
        node.stop().await;
    }
    assert!(reverted > 5, "the children took no snapshots");
}
