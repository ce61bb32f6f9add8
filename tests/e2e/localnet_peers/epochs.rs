//! Epochs of the chain, read with the SDKs, and the oracle in vectors/yuma.

use serde_json::{Value, json};

use super::{BABELBIT, chain};
use crate::peers::Peer;
use crate::support::{Daemon, is_exhaustive, repository, tao};

/// Runs a script that compares each epoch of a chain on a manual clock with the oracle, and returns
/// its report.
fn compare(chain: &Daemon, sdk10: &Peer, script: &str, epochs: u32) -> Value {
    let question = json!({
        "url": chain.url(),
        "netuid": BABELBIT,
        "epochs": epochs,
        "seed": 59,
        "oracle": repository("vectors/yuma/oracle.py"),
        "tao": tao().get_program().to_str().unwrap(),
    });
    sdk10.query(&mut sdk10.script(script), &question)
}

/// 50 epochs, or 20 unless `TAONET_TEST_ALL` is set.
#[test]
fn epochs_of_two_validators_equal_the_oracle() {
    let Some(sdk10) = Peer::find("sdk10") else { return };
    // Epochs without weights or incentive would compare nothing.
    let (count, min_with_incentive, min_weights_set) =
        if is_exhaustive() { (50, 41, 61) } else { (20, 11, 21) };
    let result = compare(&chain("manual"), &sdk10, "localnet_epochs.py", count);
    assert_eq!(result["compared"], count, "{result}");
    assert!(result["with_incentive"].as_u64() >= Some(min_with_incentive), "{result}");
    assert!(result["weights_set"].as_u64() >= Some(min_weights_set), "{result}");
}

/// In 20 epochs, or 8 unless `TAONET_TEST_ALL` is set.
#[test]
fn metagraph_of_sixteen_neurons_matches_the_sdk() {
    let (Some(sdk10), Some(sdk11)) = (Peer::find("sdk10"), Peer::find("sdk11")) else { return };
    let chain = chain("manual");
    let count = if is_exhaustive() { 20 } else { 8 };
    let mut result = compare(&chain, &sdk10, "localnet_numbers.py", count);
    let epochs = result.as_object_mut().unwrap().remove("epochs").unwrap_or_default();
    // In every epoch there were children, takes and root dividends.
    let expected = json!({
        "compared": count, "neurons": 16, "with_incentive": count, "with_root_dividends": count,
        "silent_earned": count,
    });
    assert_eq!(result, expected);
    // SDK 11 reads the same numbers as the script found in storage.
    let epochs = epochs.as_array().unwrap();
    let blocks: Vec<_> = epochs.iter().map(|epoch| &epoch["block"]).collect();
    let question = json!({ "url": chain.url(), "netuid": BABELBIT, "blocks": blocks });
    let read = sdk11.query(&mut sdk11.script("localnet_sdk11_numbers.py"), &question);
    let read = read.as_array().unwrap();
    assert_eq!((epochs.len(), read.len()), (count as usize, count as usize));
    for (epoch, read) in epochs.iter().zip(read) {
        assert_eq!(read, &epoch["numbers"], "block {}", epoch["block"]);
    }
}
