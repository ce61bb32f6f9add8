//! Rates per second of timelock encryption, decryption and verification of pulses, on one core:
//! `cargo bench -p taonet-benches --bench timelock`.
//!
//! Each figure is the best of five rounds. With `-- --json` the output is one JSON object.
#![allow(clippy::print_stdout, reason = "the figures are the output")]

use std::hint::black_box;

use anyhow::Result;
use serde_json::json;
use taonet_benches::rate;
use taonet_primitives::{Hotkey, Uid};
use taonet_timelock::{Beacon, Ciphertext, Pulse, Round, WeightsPayload, encrypt};

/// The signature of quicknet's round 1000.
const SIGNATURE: [u8; 48] = [
    0xb4, 0x46, 0x79, 0xb9, 0xa5, 0x9a, 0xf2, 0xec, 0x87, 0x6b, 0x1a, 0x6b, 0x1a, 0xd5, 0x2e, 0xa9,
    0xb1, 0x61, 0x5f, 0xc3, 0x98, 0x2b, 0x19, 0x57, 0x63, 0x50, 0xf9, 0x34, 0x47, 0xcb, 0x11, 0x25,
    0xe3, 0x42, 0xb7, 0x3a, 0x8d, 0xd2, 0xba, 0xcb, 0xe4, 0x7e, 0x4b, 0x6b, 0x63, 0xed, 0x5e, 0x39,
];

fn main() -> Result<()> {
    let (beacon, pulse) = (Beacon::quicknet(), Pulse::new(Round(1000), &SIGNATURE)?);
    let weights = WeightsPayload {
        hotkey: Hotkey::from_bytes([7; 32]),
        uids: (0..256).map(Uid).collect(),
        values: (0..256).collect(),
        version_key: 0,
    };
    let (weights, mut rng) = (weights.to_bytes(), rand::rng());
    let commit = encrypt(&weights, beacon, pulse.round(), &mut rng)?.to_bytes();
    anyhow::ensure!(Ciphertext::from_bytes(&commit)?.decrypt(&pulse)? == weights);

    let encrypt_rate = rate(|| encrypt(black_box(&weights), beacon, pulse.round(), &mut rng));
    let decrypt_rate =
        rate(|| Ciphertext::from_bytes(black_box(&commit)).map(|commit| commit.decrypt(&pulse)));
    let verify_rate = rate(|| black_box(&pulse).verify(beacon));
    if std::env::args().any(|argument| argument == "--json") {
        println!(
            "{}",
            json!({
                "encrypt_per_s": encrypt_rate,
                "decrypt_per_s": decrypt_rate,
                "verify_per_s": verify_rate
            })
        );
    } else {
        println!("encrypt weights of 256    {encrypt_rate:7.0} a second");
        println!("read and decrypt them     {decrypt_rate:7.0} a second");
        println!("verify a pulse            {verify_rate:7.0} a second");
    }
    Ok(())
}
