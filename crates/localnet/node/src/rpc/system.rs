//! `system_` methods: the node's identity, and account nonces.

use serde_json::json;

use super::error::{Answer, submit};
use super::params::Args;
use super::{Context, Methods};

pub(super) fn register(methods: &mut Methods) {
    methods.light(&["system_chain"], |_, _| Ok(json!("Bittensor")));
    methods.light(&["system_name"], |_, _| Ok(json!("taonet localnet")));
    methods.light(&["system_version"], |_, _| Ok(json!(env!("CARGO_PKG_VERSION"))));
    methods.light(&["system_chainType"], |_, _| Ok(json!("Local")));
    methods
        .light(&["system_properties"], |_, _| Ok(json!({"ss58Format": 42, "tokenDecimals": 9, "tokenSymbol": "TAO"})));
    methods.light(&["system_health"], |_, _| Ok(json!({"peers": 0, "isSyncing": false, "shouldHavePeers": false})));
    methods.light(&["system_nodeRoles"], |_, _| Ok(json!(["Authority"])));
    methods.light(&["system_peers"], |_, _| Ok(json!([])));
    methods.light(&["system_syncState"], |context, _| {
        let number = context.chain.head().number();
        Ok(json!({"startingBlock": 0, "currentBlock": number, "highestBlock": number}))
    });
    methods.heavy(&["system_accountNextIndex", "account_nextIndex"], next_index);
}

fn next_index(context: &Context, args: &Args) -> Answer {
    let account = args.account(0)?;
    context.chain.next_nonce(&account).map(|nonce| json!(nonce)).map_err(|error| submit(&error))
}
