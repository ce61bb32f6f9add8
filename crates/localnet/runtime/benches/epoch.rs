//! Duration of a subnet's epoch inside the runtime, storage included: `cargo bench -p
//! taonet-localnet-runtime --bench epoch`.
//!
//! Each figure is the best of several rounds on one core, and covers all work at the start of the
//! block in which the epoch runs.
#![allow(clippy::print_stdout, reason = "the figures are the output")]
#![allow(clippy::unwrap_used, reason = "a benchmark may panic on an unexpected result")]

use std::time::{Duration, Instant};

use frame_support::traits::OnInitialize;
use taonet_localnet_runtime::genesis::genesis;
use taonet_localnet_runtime::runtime::System;
use taonet_localnet_runtime::subtensor::{
    self, ActivityCutoffFactorMilli, CommitRevealWeightsEnabled, FirstEmissionBlockNumber, Keys,
    LastEpochBlock, LastUpdate, MaxAllowedValidators, NetworksAdded, SubnetMechanism, SubnetworkN,
    SubtokenEnabled, Tempo, Uids, ValidatorPermit, Weights, Yuma3On,
};
use taonet_localnet_runtime::types::{AlphaBalance, MechId, NetUid, TaoBalance};
use taonet_localnet_runtime::{AccountId, Runtime};

type Subtensor = subtensor::Pallet<Runtime>;

const NETUID: NetUid = NetUid(60);
const TEMPO: u16 = 10;
const ROUNDS: u32 = 9;

fn main() {
    println!("neurons validators  block with the epoch  block without");
    for (neurons, validators) in [(256, 64), (4_096, 64)] {
        let mut chain = sp_io::TestExternalities::new(genesis(&[]).unwrap());
        chain.execute_with(|| build_subnet(neurons, validators));
        chain.commit_all().unwrap();
        let (mut with_epoch, mut without_epoch) = (Duration::MAX, Duration::MAX);
        for block in 1..=ROUNDS * u32::from(TEMPO) {
            let duration = chain.execute_with(|| {
                System::set_block_number(block);
                let start = Instant::now();
                Subtensor::on_initialize(block);
                start.elapsed()
            });
            chain.commit_all().unwrap();
            let epoch_ran =
                chain.execute_with(|| LastEpochBlock::<Runtime>::get(NETUID) == u64::from(block));
            let best = if epoch_ran { &mut with_epoch } else { &mut without_epoch };
            *best = duration.min(*best);
        }
        println!(
            "{neurons:7} {validators:10} {:18.2} ms {:11.3} ms",
            millis(with_epoch),
            millis(without_epoch)
        );
    }
}

fn millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}

/// Builds a started subnet in which every validator sets weights on every miner.
fn build_subnet(neurons: u16, validators: u16) {
    NetworksAdded::<Runtime>::insert(NETUID, true);
    Subtensor::wake(NETUID);
    SubnetMechanism::<Runtime>::insert(NETUID, 1);
    Tempo::<Runtime>::insert(NETUID, TEMPO);
    ActivityCutoffFactorMilli::<Runtime>::insert(NETUID, 50_000);
    CommitRevealWeightsEnabled::<Runtime>::insert(NETUID, false);
    Yuma3On::<Runtime>::insert(NETUID, true);
    MaxAllowedValidators::<Runtime>::insert(NETUID, validators);
    SubtokenEnabled::<Runtime>::insert(NETUID, true);
    FirstEmissionBlockNumber::<Runtime>::insert(NETUID, 1);
    Subtensor::init_pool(NETUID, TaoBalance(1_000_000_000_000), AlphaBalance(10_000_000_000_000));
    let index = NETUID.mechanism(MechId(0));
    SubnetworkN::<Runtime>::insert(NETUID, neurons);
    ValidatorPermit::<Runtime>::insert(
        NETUID,
        (0..neurons).map(|uid| uid < validators).collect::<Vec<_>>(),
    );
    LastUpdate::<Runtime>::insert(index, vec![1_u64; neurons.into()]);
    for uid in 0..neurons {
        let hotkey = account(uid, 1);
        let coldkey = account(uid, 2);
        Subtensor::own_hotkey(&coldkey, &hotkey).unwrap();
        Uids::<Runtime>::insert(NETUID, &hotkey, uid);
        Keys::<Runtime>::insert(NETUID, uid, &hotkey);
        if uid < validators {
            Subtensor::increase_stake(
                &hotkey,
                &coldkey,
                NETUID,
                AlphaBalance(1_000_000_000 * u64::from(uid + 1)),
            );
            let row: Vec<(u16, u16)> = (validators..neurons)
                .map(|miner_uid| (miner_uid, (uid ^ miner_uid).wrapping_mul(257) | 1))
                .collect();
            Weights::<Runtime>::insert(index, uid, row);
        }
    }
}

fn account(uid: u16, kind: u8) -> AccountId {
    let mut bytes = [kind; 32];
    bytes[..2].copy_from_slice(&uid.to_le_bytes());
    AccountId::new(bytes)
}
