//! SDK 10 on a chain with the genesis block of the reference's local network.

use serde_json::json;

use super::results::Did;
use crate::peers::Peer;
use crate::support::{Daemon, tao};

#[test]
fn reference_genesis_suits_the_sdks_own_suite() {
    let Some(sdk10) = Peer::find("sdk10") else { return };
    let chain = Daemon::start(tao().args(["localnet", "--memory", "--genesis", "reference", "--block-time", "250ms"]));
    let did = Did::all(&sdk10.ask(&mut sdk10.script("localnet_reference.py"), &json!({ "url": chain.url() })));
    let [did] = did.as_slice() else { panic!("one tool") };
    assert_eq!(did.value("subnets"), &json!([0, 1]));
    assert_eq!(did.value("owner of Alice's hotkey"), false);
    assert_eq!(did.value("register two subnets"), &json!([2, 3]));
    assert_eq!(did.value("balance of the sudo key"), &json!([true, 0]));
    assert_eq!(did.value("duplicate proxy"), &json!([true, "Duplicate", ["Account is already a proxy."]]));
    assert_eq!(did.value("storage set by sudo"), &json!([true, 33]));
    assert_eq!(did.value("code set by sudo"), false);
}
