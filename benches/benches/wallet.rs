//! Signing and verification rates on one core, and the times to list 1 000 wallets and to open an
//! encrypted keyfile: `cargo bench -p taonet-benches --bench wallet`.
//!
//! Each figure is the best of several rounds. With `-- --json` the output is one JSON object.
#![allow(clippy::print_stdout, reason = "the figures are the output")]

use std::fs;
use std::hint::black_box;
use std::time::Instant;

use anyhow::Result;
use serde_json::json;
use taonet_benches::rate;
use taonet_wallet::{
    CryptoType, EncryptedKeyfile, Keyfile, Keypair, Password, SignedMessage, Wallets, verify,
    verify_batch,
};

/// A message of about the length of a signed request's payload.
const MESSAGE: [u8; 200] = [b'm'; 200];
const BATCH: usize = 128;
const WALLETS: usize = 1000;

fn main() -> Result<()> {
    let pair = Keypair::from_uri("//Alice")?;
    let (signer, signature) = (pair.hotkey(), pair.sign(&MESSAGE));
    let items: Vec<_> = (0..BATCH)
        .map(|_| SignedMessage { signer, message: &MESSAGE, signature: pair.sign(&MESSAGE) })
        .collect();

    let sign = rate(|| black_box(pair.sign(black_box(&MESSAGE))));
    let verify = rate(|| black_box(verify(&signer, black_box(&MESSAGE), &signature)));
    let batch = rate(|| black_box(verify_batch(black_box(&items)))) * BATCH as f64;
    let list = list_seconds()? * 1e3;
    let open = open_seconds()?;

    if std::env::args().any(|argument| argument == "--json") {
        let figures = json!({
            "sign_per_s": sign, "verify_per_s": verify, "verify_batch_per_s": batch,
            "list_1000_wallets_ms": list, "open_encrypted_s": open,
        });
        println!("{figures}");
    } else {
        println!("sign                   {sign:9.0} a second");
        println!("verify                 {verify:9.0} a second");
        println!(
            "verify in batches      {batch:9.0} a second, {:.2} x single (batches of {BATCH})",
            batch / verify
        );
        println!("list {WALLETS} wallets     {list:9.1} ms");
        println!("open an encrypted key  {open:9.2} s");
    }
    Ok(())
}

/// Returns the shortest duration of several runs, in seconds.
fn shortest(rounds: usize, mut run: impl FnMut() -> Result<()>) -> Result<f64> {
    let mut best = f64::MAX;
    for _ in 0..rounds {
        let start = Instant::now();
        run()?;
        best = best.min(start.elapsed().as_secs_f64());
    }
    Ok(best)
}

/// Measures the time to list wallets as Bittensor's tools create them: an encrypted coldkey, its
/// public file, one plain hotkey and its public file.
fn list_seconds() -> Result<f64> {
    let directory = tempfile::tempdir()?;
    let wallets = Wallets::new(directory.path());
    let key = Keyfile::from_seed(&[7; 32], CryptoType::Sr25519);
    let hotkey = "default".parse()?;
    for number in 0..WALLETS {
        let wallet = wallets.wallet(format!("wallet{number}").parse()?);
        fs::create_dir_all(wallet.hotkeys_directory())?;
        fs::write(wallet.coldkey_path(), "$NACL")?;
        fs::write(wallet.coldkeypub_path(), key.to_public_json())?;
        fs::write(wallet.hotkey_path(&hotkey), key.to_json())?;
        fs::write(wallet.hotkeypub_path(&hotkey), key.to_public_json())?;
    }
    shortest(10, || {
        anyhow::ensure!(wallets.list()?.len() == WALLETS);
        Ok(())
    })
}

fn open_seconds() -> Result<f64> {
    let password = Password::new("testing-Passw0rd!".to_owned());
    let file = Keyfile::from_seed(&[7; 32], CryptoType::Sr25519).seal(&password)?;
    let sealed = EncryptedKeyfile::parse(&file)?;
    shortest(3, || {
        anyhow::ensure!(sealed.as_ref().is_some_and(|sealed| sealed.open(&password).is_ok()));
        Ok(())
    })
}
