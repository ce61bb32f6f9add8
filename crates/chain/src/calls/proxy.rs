use subxt::ext::scale_value::Value;
use taonet_primitives::{AccountId, BlockNumber};

use super::{address, number, option};
use crate::{Call, ProxyType};

const PROXY: &str = "Proxy";

/// Builds a call that makes another call for an account, of which the signer is a proxy.
pub fn proxy(real: AccountId, call: Call) -> Call {
    Call::new(PROXY, "proxy", with_inner_call(vec![("real", address(real))], call))
}

/// Builds a call that makes a call for an account, which the proxy `delegate` announced. Anyone can
/// sign it.
pub fn proxy_announced(delegate: AccountId, real: AccountId, call: Call) -> Call {
    Call::new(
        PROXY,
        "proxy_announced",
        with_inner_call(vec![("delegate", address(delegate)), ("real", address(real))], call),
    )
}

/// Builds a call that announces a call by its hash, for an account of which the signer is a proxy
/// with a delay.
pub fn announce_call(real: AccountId, call_hash: [u8; 32]) -> Call {
    Call::new(
        PROXY,
        "announce",
        vec![("real", address(real)), ("call_hash", Value::from_bytes(call_hash))],
    )
}

/// Builds a call that withdraws the signer's announcement of a call.
pub fn remove_announcement(real: AccountId, call_hash: [u8; 32]) -> Call {
    Call::new(
        PROXY,
        "remove_announcement",
        vec![("real", address(real)), ("call_hash", Value::from_bytes(call_hash))],
    )
}

/// Builds a call that rejects a proxy's announcement of a call for the signer.
pub fn reject_announcement(delegate: AccountId, call_hash: [u8; 32]) -> Call {
    let args = vec![("delegate", address(delegate)), ("call_hash", Value::from_bytes(call_hash))];
    Call::new(PROXY, "reject_announcement", args)
}

/// Builds a call that adds a proxy of the signer, which must announce its calls `delay` blocks
/// before.
pub fn add_proxy(delegate: AccountId, proxy_type: ProxyType, delay: u32) -> Call {
    Call::new(PROXY, "add_proxy", definition_args(delegate, proxy_type, delay))
}

/// Builds a call that removes a proxy of the signer.
pub fn remove_proxy(delegate: AccountId, proxy_type: ProxyType, delay: u32) -> Call {
    Call::new(PROXY, "remove_proxy", definition_args(delegate, proxy_type, delay))
}

/// Builds a call that removes all proxies of the signer.
pub fn remove_proxies() -> Call {
    Call::new(PROXY, "remove_proxies", Vec::new())
}

/// Builds a call that creates an account without a key, with the signer as its proxy.
pub fn create_pure(proxy_type: ProxyType, delay: u32, index: u16) -> Call {
    let args = vec![
        ("proxy_type", proxy_type_value(proxy_type)),
        ("delay", number(delay)),
        ("index", number(index)),
    ];
    Call::new(PROXY, "create_pure", args)
}

/// Builds a call with which an account without a key removes itself; `created_at` is the
/// extrinsic that created it.
pub fn kill_pure(
    spawner: AccountId,
    proxy_type: ProxyType,
    index: u16,
    created_at: (BlockNumber, u32),
) -> Call {
    let args = vec![
        ("spawner", address(spawner)),
        ("proxy_type", proxy_type_value(proxy_type)),
        ("index", number(index)),
        ("height", number(created_at.0.get())),
        ("ext_index", number(created_at.1)),
    ];
    Call::new(PROXY, "kill_pure", args)
}

fn definition_args(
    delegate: AccountId,
    proxy_type: ProxyType,
    delay: u32,
) -> Vec<(&'static str, Value)> {
    vec![
        ("delegate", address(delegate)),
        ("proxy_type", proxy_type_value(proxy_type)),
        ("delay", number(delay)),
    ]
}

fn with_inner_call(mut args: Vec<(&'static str, Value)>, call: Call) -> Vec<(&'static str, Value)> {
    args.extend([("force_proxy_type", option(None)), ("call", call.into_value())]);
    args
}

fn proxy_type_value(proxy_type: ProxyType) -> Value {
    Value::unnamed_variant(proxy_type.name(), [])
}
