//! Tests with ciphertexts and schedules of the Python tools, and pulses of the public beacon.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a vector that is not as described fails the test"
)]

use std::time::Duration;

use rand::SeedableRng as _;
use rand::rngs::StdRng;
use serde::Deserialize;
use taonet_primitives::{Hotkey, Uid};
use taonet_timelock::{
    Beacon, Ciphertext, DecryptError, EpochSchedule, Pulse, PulseError, Round, WeightsPayload,
    WrappedCiphertext, encrypt,
};

#[derive(Deserialize)]
struct Vectors {
    quicknet: Quicknet,
    cases: Vec<Case>,
    reveal_round_schedule: Vec<ScheduleCase>,
}

#[derive(Deserialize)]
struct Quicknet {
    public_key_hex: String,
    genesis_time: u64,
    period: u64,
}

#[derive(Deserialize)]
struct Case {
    round: u64,
    signature_hex: String,
    plaintext_hex: String,
    ciphertext_hex: String,
}

impl Case {
    fn pulse(&self) -> Pulse {
        Pulse::new(Round(self.round), &bytes(&self.signature_hex).try_into().unwrap()).unwrap()
    }
}

#[derive(Deserialize)]
struct ScheduleCase {
    id: String,
    inputs: Inputs,
    rounds_ahead_of_now: f64,
    ciphertext_len: usize,
}

#[derive(Deserialize)]
struct Inputs {
    uids: Vec<u16>,
    weights: Vec<u16>,
    version_key: u64,
    tempo: u16,
    blocks_since_last_step: u64,
    subnet_reveal_period_epochs: u64,
    block_time: f64,
    hotkey: String,
    last_epoch_block: u64,
    pending_epoch_at: u64,
    current_block: u64,
}

fn bytes(hex: &str) -> Vec<u8> {
    hex::decode(hex.trim_start_matches("0x")).unwrap()
}

/// Reads the recorded vectors; `None` if they are missing.
fn vectors() -> Option<Vectors> {
    Some(serde_json::from_slice(&taonet_chain_vectors::read("drand_timelock.json")?).unwrap())
}

#[test]
fn quicknet_parameters_equal_the_recording() {
    let Some(Vectors { quicknet, .. }) = vectors() else { return };
    assert_eq!(Beacon::quicknet().public_key().as_slice(), bytes(&quicknet.public_key_hex));
    let genesis = Duration::from_secs(quicknet.genesis_time);
    assert_eq!(Beacon::quicknet().time_of(Round(1)), Some(genesis));
    assert_eq!(
        Beacon::quicknet().time_of(Round(2)),
        Some(genesis + Duration::from_secs(quicknet.period))
    );
}

#[test]
fn recorded_pulses_verify() {
    let Some(Vectors { cases, .. }) = vectors() else { return };
    assert_eq!(cases.len(), 6);
    for case in &cases {
        let pulse = case.pulse();
        assert_eq!(pulse.verify(Beacon::quicknet()), Ok(()));
        assert_eq!(pulse.signature().as_slice(), bytes(&case.signature_hex));
        let renumbered = Pulse::new(Round(case.round + 1), &pulse.signature()).unwrap();
        assert_eq!(
            renumbered.verify(Beacon::quicknet()),
            Err(PulseError::Unverified(Round(case.round + 1)))
        );
    }
}

#[test]
fn ciphertexts_of_the_python_tools_decrypt() {
    let Some(Vectors { cases, .. }) = vectors() else { return };
    assert_eq!(cases.len(), 6);
    for case in &cases {
        let wrapped = WrappedCiphertext::from_bytes(&bytes(&case.ciphertext_hex)).unwrap();
        assert_eq!(wrapped.round, Round(case.round));
        assert_eq!(wrapped.ciphertext.decrypt(&case.pulse()), Ok(bytes(&case.plaintext_hex)));
        assert_eq!(wrapped.to_bytes(), bytes(&case.ciphertext_hex));
        let other = cases.iter().find(|other| other.round != case.round).unwrap().pulse();
        assert_eq!(
            wrapped.ciphertext.decrypt(&other),
            Err(DecryptError::WrongPulse(other.round()))
        );
    }
}

#[test]
fn our_ciphertexts_decrypt_with_recorded_pulses() {
    let Some(Vectors { cases, .. }) = vectors() else { return };
    let mut rng = StdRng::seed_from_u64(8);
    for case in &cases {
        let plaintext = bytes(&case.plaintext_hex);
        let ciphertext =
            encrypt(&plaintext, Beacon::quicknet(), Round(case.round), &mut rng).unwrap();
        assert_eq!(ciphertext.to_bytes().len() + 10, bytes(&case.ciphertext_hex).len());
        let read = Ciphertext::from_bytes(&ciphertext.to_bytes()).unwrap();
        assert_eq!(read.decrypt(&case.pulse()), Ok(plaintext));
    }
}

#[test]
fn reveal_schedules_equal_the_recording() {
    let Some(Vectors { quicknet, reveal_round_schedule, .. }) = vectors() else { return };
    assert_eq!(reveal_round_schedule.len(), 7);
    for ScheduleCase { id, inputs, rounds_ahead_of_now, ciphertext_len } in reveal_round_schedule {
        let schedule = EpochSchedule {
            current_block: inputs.current_block,
            last_epoch_block: inputs.last_epoch_block,
            pending_epoch_at: Some(inputs.pending_epoch_at).filter(|block| *block != 0),
            blocks_since_last_step: inputs.blocks_since_last_step,
            tempo: inputs.tempo,
            reveal_period_epochs: inputs.subnet_reveal_period_epochs,
        };
        // The vectors lack the time of recording, but have its distance from the round (two
        // decimals).
        let partial_period =
            (rounds_ahead_of_now.ceil() - rounds_ahead_of_now) * quicknet.period as f64;
        let now_rounds = 24_000_000;
        let now = Duration::from_secs(quicknet.genesis_time + now_rounds * quicknet.period);
        let block_time = Duration::from_secs_f64(inputs.block_time);
        let round = schedule
            .reveal_round(
                Beacon::quicknet(),
                block_time,
                now + Duration::from_secs_f64(partial_period),
            )
            .unwrap();
        assert_eq!(round, Round(now_rounds + rounds_ahead_of_now.ceil() as u64), "{id}");

        let payload = WeightsPayload {
            hotkey: Hotkey::from_bytes(bytes(&inputs.hotkey).try_into().unwrap()),
            uids: inputs.uids.into_iter().map(Uid).collect(),
            values: inputs.weights,
            version_key: inputs.version_key,
        };
        let commit =
            encrypt(&payload.to_bytes(), Beacon::quicknet(), round, &mut StdRng::seed_from_u64(8))
                .unwrap();
        assert_eq!(commit.to_bytes().len(), ciphertext_len, "{id}");
    }
}
