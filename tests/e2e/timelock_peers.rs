//! Interoperability of timelock encryption with the Python packages.

use std::time::Duration;

use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use serde_json::{Value, json};
use taonet_primitives::{Hotkey, Uid};
use taonet_timelock::{
    Beacon, Ciphertext, EpochSchedule, Pulse, Round, WeightsPayload, WrappedCiphertext, encrypt,
};

use crate::peers::Peer;

/// bittensor-drand 2.0.0 is among the packages of the first, bittensor-core 0.1.5 among those of
/// the second.
const PEERS: [&str; 2] = ["sdk10", "sdk11"];

/// quicknet's published signatures of rounds 1000 and 2000.
const PULSES: [(u64, &str); 2] = [
    (
        1000,
        "b44679b9a59af2ec876b1a6b1ad52ea9b1615fc3982b19576350f93447cb1125e342b73a8dd2bacbe47e4b6b63ed5e39",
    ),
    (
        2000,
        "b6cb8f482a0b15d45936a4c4ea08e98a087e71787caee3f4d07a8a9843b1bc5423c6b3c22f446488b3137eaca799c77e",
    ),
];

const SCHEDULES: usize = 200;

#[test]
fn timelocked_data_is_exchanged_with_python_packages() {
    let texts = [vec![], b"hello timelock".to_vec(), vec![0xa5; 5000]];
    let mut rng = StdRng::seed_from_u64(4);
    for peer in PEERS.into_iter().filter_map(Peer::find) {
        let (mut open, mut seal) = (Vec::new(), Vec::new());
        for (round, signature) in PULSES {
            for text in &texts {
                let ciphertext = encrypt(text, Beacon::quicknet(), Round(round), &mut rng).unwrap();
                let data =
                    hex::encode(WrappedCiphertext { ciphertext, round: Round(round) }.to_bytes());
                open.push(json!({ "data": data, "signature": signature }));
                seal.push(json!({ "data": hex::encode(text), "round": round }));
            }
        }
        let question = json!({ "open": open, "seal": seal, "schedules": [] });
        let report = peer.query(&mut peer.script("timelock.py"), &question);
        let mut results =
            report["open"].as_array().unwrap().iter().zip(report["seal"].as_array().unwrap());
        for (round, signature) in PULSES {
            let pulse = Pulse::new(Round(round), &bytes(signature).try_into().unwrap()).unwrap();
            for text in &texts {
                let (opened_by_peer, sealed_by_peer) = results.next().unwrap();
                assert_eq!(&bytes(opened_by_peer.as_str().unwrap()), text);
                let sealed_by_peer =
                    WrappedCiphertext::from_bytes(&bytes(sealed_by_peer.as_str().unwrap()))
                        .unwrap();
                assert_eq!(sealed_by_peer.round, Round(round));
                assert_eq!(sealed_by_peer.ciphertext.decrypt(&pulse).as_ref(), Ok(text));
            }
        }
    }
}

#[test]
fn reveal_rounds_match_python_packages() {
    let mut rng = StdRng::seed_from_u64(5);
    for peer in PEERS.into_iter().filter_map(Peer::find) {
        let schedules: Vec<_> = (0..SCHEDULES).map(|_| schedule(&mut rng)).collect();
        let arguments: Vec<_> = schedules
            .iter()
            .map(|(schedule, block_time)| arguments(schedule, *block_time))
            .collect();
        let question = json!({ "open": [], "seal": [], "schedules": arguments });
        let report = peer.query(&mut peer.script("timelock.py"), &question);
        let results = report["schedules"].as_array().unwrap();
        assert_eq!(results.len(), SCHEDULES);
        for ((schedule, block_time), result) in schedules.iter().zip(results) {
            // Their clock reads a time between the two that they state, to within a float's
            // precision.
            let round = |time: &Value, slack: f64| {
                let now = Duration::from_secs_f64(time.as_f64().unwrap() + slack);
                schedule.reveal_round(Beacon::quicknet(), *block_time, now).unwrap().0
            };
            let (first, last) = (round(&result["before"], -0.001), round(&result["after"], 0.001));
            let peer_round = result["round"].as_u64().unwrap();
            assert!(
                (first..=last).contains(&peer_round),
                "{schedule:?}, {block_time:?}: {first} to {last}, not {peer_round}"
            );

            let commit = bytes(result["commit"].as_str().unwrap());
            Ciphertext::from_bytes(&commit).unwrap();
            let own_commit =
                encrypt(&payload().to_bytes(), Beacon::quicknet(), Round(peer_round), &mut rng)
                    .unwrap();
            assert_eq!(own_commit.to_bytes().len(), commit.len());
        }
    }
}

fn payload() -> WeightsPayload {
    let uids = [0, 1, 7].map(Uid).to_vec();
    WeightsPayload {
        hotkey: Hotkey::from_bytes([3; 32]),
        uids,
        values: vec![65_535, 32_768, 1],
        version_key: 3,
    }
}

/// Draws an epoch schedule and a block time. Cases: mid-epoch, close to an epoch, with a manually
/// triggered epoch, and long after the last epoch.
fn schedule(rng: &mut StdRng) -> (EpochSchedule, Duration) {
    let current_block = rng.random_range(100_000..10_000_000);
    let tempo =
        if rng.random_bool(0.9) { rng.random_range(1..=720) } else { rng.random_range(1..=50_400) };
    let blocks_since = rng.random_range(0..=u64::from(tempo) + 3);
    let triggered = rng.random_bool(0.3);
    let schedule = EpochSchedule {
        current_block,
        last_epoch_block: current_block - blocks_since,
        pending_epoch_at: triggered.then(|| current_block - 5 + rng.random_range(0..400)),
        blocks_since_last_step: if rng.random_bool(0.2) {
            rng.random_range(50_000..50_500)
        } else {
            blocks_since
        },
        tempo,
        reveal_period_epochs: rng.random_range(0..=5),
    };
    (schedule, Duration::from_millis(if rng.random_bool(0.7) { 12_000 } else { 250 }))
}

fn arguments(schedule: &EpochSchedule, block_time: Duration) -> Value {
    let WeightsPayload { hotkey, values, version_key, .. } = payload();
    json!({
        "uids": [0, 1, 7],
        "weights": values,
        "version_key": version_key,
        "hotkey": hex::encode(hotkey.as_bytes()),
        "last_epoch_block": schedule.last_epoch_block,
        "pending_epoch_at": schedule.pending_epoch_at.unwrap_or(0),
        "subnet_epoch_index": 10,
        "tempo": schedule.tempo,
        "blocks_since_last_step": schedule.blocks_since_last_step,
        "current_block": schedule.current_block,
        "subnet_reveal_period_epochs": schedule.reveal_period_epochs,
        "block_time": block_time.as_secs_f64(),
    })
}

fn bytes(text: &str) -> Vec<u8> {
    hex::decode(text).unwrap()
}
