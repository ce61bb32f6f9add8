//! How many messages a second one core signs and verifies, one by one and in batches.
//!
//! `cargo bench -p taonet-benches --bench wallet` prints the rates; with `-- --json` as one document, which
//! `wallet/compare` reads.
#![allow(clippy::print_stdout, reason = "printing the figures is what a benchmark is for")]

use std::hint::black_box;
use std::time::{Duration, Instant};

use serde_json::json;
use taonet_wallet::{Keypair, Signed, verify, verify_batch};

/// As long as what a request between neurons signs.
const MESSAGE: [u8; 128] = [b'm'; 128];
/// Signatures in a batch.
const BATCH: usize = 64;
const ROUND: Duration = Duration::from_secs(1);

/// Times a second that work of `count` operations is done.
fn rate(count: usize, mut work: impl FnMut()) -> f64 {
    let (started, mut operations) = (Instant::now(), 0);
    while started.elapsed() < ROUND {
        work();
        operations += count;
    }
    operations as f64 / started.elapsed().as_secs_f64()
}

fn main() -> anyhow::Result<()> {
    let pair = Keypair::from_uri("//Alice")?;
    let (signer, signature) = (pair.hotkey(), pair.sign(&MESSAGE));
    let sign = rate(1, || {
        black_box(pair.sign(black_box(&MESSAGE)));
    });
    let single = rate(1, || {
        black_box(verify(&signer, black_box(&MESSAGE), &signature));
    });
    // As many signers as signatures.
    let pairs = (0..BATCH).map(|number| Keypair::from_uri(&format!("//{number}"))).collect::<Result<Vec<_>, _>>()?;
    let items: Vec<_> = pairs
        .iter()
        .map(|pair| Signed { signer: pair.hotkey(), message: &MESSAGE, signature: pair.sign(&MESSAGE) })
        .collect();
    anyhow::ensure!(verify_batch(&items).into_iter().all(|holds| holds), "the batch does not hold");
    let batch = rate(BATCH, || {
        black_box(verify_batch(black_box(&items)));
    });

    if std::env::args().any(|argument| argument == "--json") {
        println!("{}", json!({ "sign": sign, "verify": single, "verify_batch": batch }));
    } else {
        println!("sign {sign:.0}/s, verify {single:.0}/s, verify {BATCH} at once {batch:.0}/s ({:.2} x)", batch / single);
    }
    Ok(())
}
