//! SDK 11 and its command line on the development chain.

use serde_json::json;

use super::results::{Did, check_table};
use super::{ALICE, BABELBIT, TEMPO, address, chain};
use crate::peers::Peer;
use crate::support::{document, tao};

#[test]
fn sdk11_and_its_command_line_use_the_chain() {
    let Some(sdk11) = Peer::find("sdk11") else { return };
    let chain = chain("12s");
    let question = json!({ "url": chain.url(), "netuid": BABELBIT });
    let did = Did::all(&sdk11.ask(&mut sdk11.script("localnet_sdk11_operations.py"), &question));
    check_table("what SDK 11 and its command line did", &did.iter().collect::<Vec<_>>());
}

pub(super) fn check(did: &Did, ten: &Did, url: &str) {
    assert_eq!(did.value("connect"), taonet_localnet_runtime::VERSION.spec_version);
    assert!(did.value("block").as_u64() > ten.value("block").as_u64());
    let balance = document(&tao().args(["balance", ALICE, "--json", "--network", url]).output().unwrap());
    assert_eq!(did.value("balance"), &balance["accounts"][0]["free_rao"], "{balance}");
    assert_eq!(did.value("existential deposit"), 500);
    assert_eq!(did.value("subnets list"), &json!((0..61).collect::<Vec<_>>()));
    assert_eq!(did.value("hyperparameters"), TEMPO);
    assert_eq!(did.value("metagraph"), &json!([2]));
    assert_eq!(did.value("neurons"), &json!([2]));
    assert_eq!(did.value("uid"), 2);
    assert_eq!(did.value("commitments"), 1);
    assert_eq!(did.value("stake list"), &json!([BABELBIT]));
    assert_eq!(did.value("delegates"), &json!({ address("//AliceHotkey"): [ALICE, 0.09] }));
    let price = did.value("prices").as_f64().unwrap();
    assert!((0.05..0.2).contains(&price), "{price}");
    // For 1 TAO: the fee is taken first, and the trade moves the price by less than half a percent.
    let quote = did.value("quote");
    assert_eq!(quote["tao_fee"], 1_000_000_000_u64 * 33 / 65_535);
    let bought = quote["alpha"].as_f64().unwrap() * price / 1e9;
    assert!((0.995..1.0).contains(&bought), "{quote} {price}");
    let epoch = did.value("epochs");
    let number = |key: &str| epoch[key].as_u64().unwrap();
    assert_eq!((number("tempo"), number("next_epoch_start_block")), (TEMPO, number("last_epoch_block") + TEMPO));
    assert_eq!(number("blocks_remaining"), number("next_epoch_start_block") - number("block"));
    // By the block time that the chain states.
    assert_eq!(epoch["seconds_remaining"].as_f64(), Some(number("blocks_remaining") as f64 * 0.25), "{epoch}");
}
