//! Epochs of the chain, read with SDK 10, and the oracle in vectors/yuma.

use serde_json::{Value, json};

use super::{BABELBIT, chain};
use crate::peers::Peer;
use crate::support::{repository, tao};

/// Runs a script that compares each epoch of a chain with the oracle, and returns its report.
fn compare(sdk10: &Peer, script: &str, epochs: u32) -> Value {
    let chain = chain("manual");
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
    let result = compare(&sdk10, "localnet_epochs.py", 50);
    assert_eq!(result["compared"], 50, "{result}");
    // Otherwise fifty empty epochs would do.
    assert!(result["with_incentive"].as_u64() > Some(40), "{result}");
    assert!(result["weights_set"].as_u64() > Some(60), "{result}");
}

#[test]
fn the_numbers_of_sixteen_neurons_agree() {
    let Some(sdk10) = Peer::find("sdk10") else { return };
    let result = compare(&sdk10, "localnet_numbers.py", 20);
    // In every epoch there were children, takes and root dividends.
    let seen = json!({
        "compared": 20, "neurons": 16, "with_incentive": 20, "with_root_dividends": 20, "silent_earned": 20,
    });
    assert_eq!(result, seen);
}
