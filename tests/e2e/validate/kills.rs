//! Validator, signer and gateway are killed many times at random: every epoch has at most one
//! submission, and the weights finally arrive.

use std::collections::BTreeMap;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::seq::SliceRandom as _;
use rand::{Rng as _, SeedableRng as _};
use serde_json::{Value, json};
use taonet_chain::{At, Chain as _, Client, Event};
use taonet_ledger::{Ledger, Step};
use taonet_primitives::BlockNumber;

use super::Network;
use crate::kill::random_seed;
use crate::support::{Daemon, free_address, kill_count, terminate};

struct RunningServices<'a> {
    network: &'a Network,
    addresses: [String; 2],
    gateway: Option<Daemon>,
    signer: Option<Daemon>,
    validator: Option<Child>,
}

impl RunningServices<'_> {
    fn url(&self, index: usize) -> String {
        format!("http://{}", self.addresses[index])
    }

    /// Restarts the processes that are not running.
    fn restart_stopped(&mut self) {
        let [gateway_at, signer_at] = &self.addresses;
        let (gateway, signer) = (self.url(0), self.url(1));
        self.gateway.get_or_insert_with(|| self.network.gateway(gateway_at));
        self.signer.get_or_insert_with(|| self.network.signer(signer_at, &gateway));
        self.validator.get_or_insert_with(|| {
            let mut validator = self.network.validator(&signer, &gateway);
            validator
                .args(["--metrics", "127.0.0.1:0"])
                .stdout(Stdio::null())
                .stderr(Stdio::null());
            validator.spawn().unwrap()
        });
    }

    fn kill(&mut self, index: u32) {
        match index {
            // Dropping a daemon kills it.
            0 => drop(self.gateway.take()),
            1 => drop(self.signer.take()),
            _ => {
                if let Some(mut validator) = self.validator.take() {
                    validator.kill().unwrap();
                    validator.wait().unwrap();
                }
            }
        }
    }
}

impl Drop for RunningServices<'_> {
    fn drop(&mut self) {
        self.kill(2);
    }
}

/// Returns the number of included extrinsics per epoch, of those that were signed; fails for any
/// other extrinsic on the chain.
async fn submissions(network: &Network) -> BTreeMap<u64, usize> {
    let chain = Client::connect(&network.chain.url().parse().unwrap()).await.unwrap();
    let (genesis, head) = (BlockNumber::new(0), chain.head().await.unwrap().number);
    let ledger = Ledger::open(&network.path("gateway")).await.unwrap();
    let mut counts = BTreeMap::new();
    for intent in
        ledger.intents(chain.genesis(), &network.hotkey.parse().unwrap(), false).await.unwrap()
    {
        let mut count = 0;
        for signed in ledger.extrinsics(&intent, Step::Submit).await.unwrap() {
            let outcome = chain.lookup(signed.extrinsic.hash, genesis, head).await.unwrap();
            count += usize::from(outcome.is_some_and(|outcome| outcome.is_success()));
        }
        counts.insert(intent.plan.key.epoch, count);
    }
    let mut set_count = 0;
    for number in 1..=head.get() {
        let events = chain.events(At::Number(BlockNumber::new(number))).await.unwrap();
        let is_ours = |event: &&Event| {
            event.is("SubtensorModule", "WeightsSet") && event.fields[1] == network.uid
        };
        set_count += events.iter().filter(is_ours).count();
    }
    assert_eq!(set_count, counts.values().sum::<usize>(), "{counts:?}");
    counts
}

#[test]
fn killed_daemons_duplicate_no_submission() {
    let mut random = StdRng::seed_from_u64(random_seed());
    let network = Network::start();
    let addresses = [free_address(), free_address()];
    let mut services = RunningServices {
        network: &network,
        addresses,
        gateway: None,
        signer: None,
        validator: None,
    };
    let mut turns: Vec<u32> = (0..3).cycle().take(3 * kill_count() as usize).collect();
    turns.shuffle(&mut random);
    for index in turns {
        services.restart_stopped();
        std::thread::sleep(Duration::from_millis(random.random_range(0..350)));
        services.kill(index);
    }
    services.restart_stopped();
    // Undisturbed, they continue for two epochs: on a busy machine, none of the kills may have left
    // them time for one.
    let state = || -> Option<Value> {
        serde_json::from_slice(&std::fs::read(network.path("validator.json")).ok()?).ok()
    };
    let last_set = |state: Option<Value>| state.and_then(|state| state["last_set"].as_u64());
    for _ in 0..2 {
        let (before, start) = (last_set(state()), Instant::now());
        while last_set(state()) == before || last_set(state()).is_none() {
            assert!(start.elapsed() < Duration::from_mins(2), "no weights since: {:?}", state());
            std::thread::sleep(Duration::from_millis(50));
        }
    }
    let mut validator = services.validator.take().unwrap();
    terminate(&validator);
    assert_eq!(validator.wait().unwrap().code(), Some(0));
    drop(services);
    assert_eq!(network.weights(), json!([[network.miner_uid, 65_535]]));
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let counts = runtime.block_on(submissions(&network));
    println!("{} kills of each; submissions by epoch: {counts:?}", kill_count());
    assert!(counts.len() > 1 && counts.values().all(|count| *count <= 1), "{counts:?}");
}
