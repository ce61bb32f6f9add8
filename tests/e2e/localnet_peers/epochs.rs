//! Epochs of the chain, read with the SDKs, and the oracle in vectors/yuma.

use serde_json::{Value, json};

use super::{BABELBIT, chain};
use crate::peers::Peer;
use crate::support::{Daemon, repository, tao};

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
    sdk10.ask(&mut sdk10.script(script), &question)
}

#[test]
fn fifty_epochs_equal_the_oracle() {
    let Some(sdk10) = Peer::find("sdk10") else { return };
    let result = compare(&chain("manual"), &sdk10, "localnet_epochs.py", 50);
    assert_eq!(result["compared"], 50, "{result}");
    // Otherwise fifty empty epochs would do.
    assert!(result["with_incentive"].as_u64() > Some(40), "{result}");
    assert!(result["weights_set"].as_u64() > Some(60), "{result}");
}

#[test]
fn metagraph_of_sixteen_neurons_matches_the_sdk() {
    let (Some(sdk10), Some(sdk11)) = (Peer::find("sdk10"), Peer::find("sdk11")) else { return };
    let chain = chain("manual");
    let mut result = compare(&chain, &sdk10, "localnet_numbers.py", 20);
    let epochs = result.as_object_mut().unwrap().remove("epochs").unwrap_or_default();
    // In every epoch there were children, takes and root dividends.
    let expected = json!({
        "compared": 20, "neurons": 16, "with_incentive": 20, "with_root_dividends": 20, "silent_earned": 20,
    });
    assert_eq!(result, expected);
    // SDK 11 reads the same numbers as the script found in storage.
    let epochs = epochs.as_array().unwrap();
    let blocks: Vec<_> = epochs.iter().map(|epoch| &epoch["block"]).collect();
    let question = json!({ "url": chain.url(), "netuid": BABELBIT, "blocks": blocks });
    let read = sdk11.ask(&mut sdk11.script("localnet_sdk11_numbers.py"), &question);
    let read = read.as_array().unwrap();
    assert_eq!((epochs.len(), read.len()), (20, 20));
    for (epoch, read) in epochs.iter().zip(read) {
        assert_eq!(read, &epoch["numbers"], "block {}", epoch["block"]);
    }
}
