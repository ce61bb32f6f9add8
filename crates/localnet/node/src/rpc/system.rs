//! `system_` methods: the node's identity, and account nonces.

use serde_json::{Value, json};

use super::error::{RpcResult, submit_error};
use super::params::Args;
use super::{Context, Methods};
use crate::chain::Chain;

/// The name of the node software.
pub(crate) const NODE_NAME: &str = "taonet localnet";
/// The role of a node that produces blocks.
pub(crate) const PRODUCER_ROLE: &str = "Authority";

pub(super) fn register(methods: &mut Methods) {
    methods.register_in_memory(&["system_chain"], &[], |_, _| Ok(json!("Bittensor")));
    methods.register_in_memory(&["system_name"], &[], |_, _| Ok(json!(NODE_NAME)));
    methods
        .register_in_memory(&["system_version"], &[], |_, _| Ok(json!(env!("CARGO_PKG_VERSION"))));
    methods.register_in_memory(&["system_chainType"], &[], |_, _| Ok(json!("Local")));
    methods.register_in_memory(&["system_properties"], &[], |_, _| {
        Ok(json!({"ss58Format": 42, "tokenDecimals": 9, "tokenSymbol": "TAO"}))
    });
    methods.register_in_memory(&["system_health"], &[], |context, _| Ok(health(&context.chain)));
    methods.register_in_memory(&["system_nodeRoles"], &[], |context, _| {
        Ok(json!([if context.chain.leader.is_some() { "Full" } else { PRODUCER_ROLE }]))
    });
    methods.register_in_memory(&["system_peers"], &[], |_, _| Ok(json!([])));
    methods.register_in_memory(&["system_syncState"], &[], |context, _| {
        let number = context.chain.head().number();
        let highest =
            context.chain.leader.as_ref().map_or(number, |leader| leader.height().max(number));
        Ok(json!({"startingBlock": 0, "currentBlock": number, "highestBlock": highest}))
    });
    methods.register_forwarded(
        &["system_accountNextIndex", "account_nextIndex"],
        &["account"],
        next_index,
    );
}

/// Returns the result of `system_health`. The only peer of a node is the one that it follows.
fn health(chain: &Chain) -> Value {
    let Some(leader) = &chain.leader else {
        return json!({"peers": 0, "isSyncing": false, "shouldHavePeers": false});
    };
    let is_behind = chain.head().number() < leader.height();
    json!({"peers": u8::from(leader.is_connected()), "isSyncing": is_behind, "shouldHavePeers": true})
}

fn next_index(context: &Context, args: &Args) -> RpcResult {
    let account = args.account(0)?;
    context
        .chain
        .next_nonce(&account)
        .map(|nonce| json!(nonce))
        .map_err(|error| submit_error(&error))
}
