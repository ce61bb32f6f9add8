//! The simulated processes of Nineteen: the control of a validator, two processes that serve
//! buyers, buyers, and miners. Control and both processes share a database: a SQLite file in place
//! of a PostgreSQL server, and requests pass from a gateway to its querier in memory, in place of
//! NATS.

mod buyers;
mod control;
pub(crate) mod invariants;
pub(crate) mod market_records;
mod miners;
mod query;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use taonet_nineteen_core::MarketConfig;
use taonet_nineteen_query::{Market, Querier, QueryDeadlines};
use taonet_nineteen_store::{Sample, Store};
use taonet_nineteen_transport::{FiberClient, Trust};
use taonet_primitives::Hotkey;
use taonet_service::{monotonic_clock, system_clock};
use taonet_wallet::Keypair;
use taonet_wire::{ClientConfig, SystemClock};
use tokio::sync::mpsc;

use crate::libc_overrides::split_mix;
use crate::network::Link;
use crate::process::Process;
use crate::record;
use crate::schedule::Targets;
use crate::services::validator_key;
use crate::simulation::{ProcessContext, Route, Subnet};

use market_records::MarketRecords;
use miners::Behaviour;

/// Indices of the processes.
const CONTROL: usize = 0;
const QUERY_A: usize = 1;
const QUERY_B: usize = 2;
const BUYERS: usize = 3;
const MINER_1: usize = 4;
const MINER_2: usize = 5;
const MINER_3: usize = 6;
/// Number of the database, which processes share.
const DATABASE: usize = 7;
/// Names of the processes, and of the database.
pub(crate) const NAMES: [&str; 8] =
    ["control", "query-a", "query-b", "buyers", "miner-1", "miner-2", "miner-3", "database"];
/// Processes that share the database.
pub(crate) const CLIENTS: [usize; 3] = [CONTROL, QUERY_A, QUERY_B];
/// Processes that serve buyers.
const GATEWAYS: [usize; 2] = [QUERY_A, QUERY_B];
/// Miners, in the order of their uids, from 1.
const MINERS: [usize; 3] = [MINER_1, MINER_2, MINER_3];
/// Client and server of each link. Control and both queriers call the miners, at the addresses on
/// the chain.
pub(crate) const ROUTES: [Route; 5] = [
    (Some(BUYERS), QUERY_A),
    (Some(BUYERS), QUERY_B),
    (None, MINER_1),
    (None, MINER_2),
    (None, MINER_3),
];

/// Parts that faults can affect. Faults of the miners' services add to the miners' constant
/// behaviour.
pub(crate) const TARGETS: Targets = Targets {
    processes: DATABASE,
    with_files: &CLIENTS,
    with_backups: &[CONTROL, DATABASE],
    services: &MINERS,
    links: ROUTES.len(),
    faulty_epochs: 1,
};

/// Name of the market's only task.
const TASK: &str = "chat-a";
/// Length of a period, in seconds.
const PERIOD: u64 = 90;
/// Credits for 1 000 tokens of a request, and of an answer.
const INPUT_PRICE: u32 = 1_000;
const OUTPUT_PRICE: u32 = 2_000;
/// Maximum number of requests in flight at a miner.
const MAX_REQUESTS_PER_MINER: usize = 64;
/// Capacity of the queue of answers to store.
const SAMPLE_QUEUE_CAPACITY: usize = 256;

/// Returns the directory of the shared database.
pub(crate) fn database(root: &Path) -> PathBuf {
    root.join("database")
}

/// Returns the hotkeys of all neurons with their addresses, the validator first.
pub(crate) fn neurons(links: &[Link]) -> Vec<(Hotkey, Option<SocketAddr>)> {
    let address =
        |process: usize| links.iter().find(|link| link.server == process).map(Link::address);
    let miners =
        (1..).zip(MINERS).map(|(uid, process)| (miner_key(uid).hotkey(), address(process)));
    std::iter::once((validator_key().hotkey(), None)).chain(miners).collect()
}

/// Returns the key of a miner.
fn miner_key(uid: u8) -> Keypair {
    Keypair::from_seed(&[100 + uid; 32])
}

/// Returns the miners' behaviours, in the order of their uids. The first one is honest.
fn behaviours(seed: u64) -> [Behaviour; 3] {
    let random = AtomicU64::new(seed);
    let draw = || match split_mix(&random) % 4 {
        0 => Behaviour::Honest,
        1 => Behaviour::Slow,
        2 => Behaviour::Lying,
        _ => Behaviour::Interrupting,
    };
    [Behaviour::Honest, draw(), draw()]
}

/// Returns the market's configuration.
fn config() -> anyhow::Result<MarketConfig> {
    Ok(MarketConfig::from_toml(&format!(
        "
        period = {PERIOD}

        [[tasks]]
        task = '{TASK}'
        task_type = 'text'
        max_capacity = 4000
        volume_to_requests_conversion = 4
        weight = 1.0
        timeout = 30
        is_stream = true
        endpoint = '/chat/completions'
        price = {{ input = {INPUT_PRICE}, output = {OUTPUT_PRICE} }}

        [tasks.synthetic_generation_config]
        func = 'generate_chat_synthetic'
        kwargs = {{ max_tokens = 6, max_words = 8 }}

        [tasks.orchestrator_server_config]
        server_needed = 'llm_server'
        checking_function = 'check_text_result'
        load_model_config = {{ model = 'm' }}
        "
    ))?)
}

/// State that the processes of the market share.
#[derive(Clone)]
struct Shared {
    /// Directory of the database.
    database: PathBuf,
    market_records: MarketRecords,
}

/// Creates the processes.
pub(crate) fn processes(context: &ProcessContext<'_>) -> anyhow::Result<Vec<Process>> {
    let [control, query_a, query_b, buyers, ..] = NAMES;
    let shared =
        Shared { database: database(context.root), market_records: context.market_records.clone() };
    let (control_shared, node) = (shared.clone(), context.node.clone());
    let control =
        Process::new(control, context.root, context.next_disk_seed(), move |process_run| {
            Box::pin(control::control(process_run, control_shared.clone(), node.clone()))
        });
    let mut processes = vec![control];
    for (name, delay_seconds) in [(query_a, 1), (query_b, 2)] {
        let shared = shared.clone();
        processes.push(Process::new(
            name,
            context.root,
            context.next_disk_seed(),
            move |process_run| Box::pin(query::query(process_run, shared.clone(), delay_seconds)),
        ));
    }
    let gateways = [context.url(BUYERS, QUERY_A)?, context.url(BUYERS, QUERY_B)?];
    let market_records = context.market_records.clone();
    processes.push(Process::new(buyers, context.root, context.next_disk_seed(), move |_| {
        Box::pin(buyers::buyers(gateways.clone(), market_records.clone()))
    }));
    for ((uid, process), behaviour) in (1..).zip(MINERS).zip(behaviours(context.seed)) {
        let name = Subnet::Nineteen.name(process);
        let faults = context.faults_of(process);
        processes.push(Process::new(
            name,
            context.root,
            context.next_disk_seed(),
            move |process_run| Box::pin(miners::miner(process_run, uid, behaviour, faults.clone())),
        ));
    }
    Ok(processes)
}

/// Creates a querier of a market without an open period, and its client. Sends answers that must be
/// checked to `samples`.
fn querier(samples: mpsc::Sender<Sample>) -> anyhow::Result<(FiberClient, Querier)> {
    let (config, clock) = (ClientConfig::default(), Arc::new(SystemClock));
    let client = FiberClient::new(validator_key(), Trust::Any, config, clock)?;
    let clocks = (system_clock(), monotonic_clock());
    let (market, deadlines) = (Market::default(), QueryDeadlines::default());
    let querier =
        Querier::new(client.clone(), market, deadlines, MAX_REQUESTS_PER_MINER, clocks, samples);
    Ok((client, querier))
}

/// Checks every few seconds that the credits balance, each client of the database in its turn.
async fn watch_balances(store: &Store, delay_seconds: u64) {
    tokio::time::sleep(Duration::from_secs(delay_seconds)).await;
    loop {
        tokio::time::sleep(Duration::from_secs(CLIENTS.len() as u64)).await;
        if matches!(store.is_balanced().await, Ok(false)) {
            return record::fail("the credits do not balance");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn market_configuration_is_valid() {
        let config = config().unwrap();
        assert!((config.period().get() - PERIOD as f64).abs() < 1e-9);
        assert_eq!(config.task(TASK).unwrap().price.input, INPUT_PRICE);
    }

    #[test]
    fn process_names_match_their_constants() {
        for (process, name) in [
            (CONTROL, "control"),
            (QUERY_B, "query-b"),
            (BUYERS, "buyers"),
            (MINER_3, "miner-3"),
            (DATABASE, "database"),
        ] {
            assert_eq!(NAMES[process], name);
        }
    }
}
