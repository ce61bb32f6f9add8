//! The Python tools and Polkadot-JS on the development chain. `TAONET_UPDATE_DOCS=1` regenerates
//! the tables in docs/localnet-tools.md.

mod btcli;
mod epochs;
mod polkadot;
mod reference;
mod results;
mod sdk10;
mod sdk11;

use serde_json::json;

use self::results::{ToolReport, check_table};
use crate::peers::Peer;
use crate::support::{Daemon, tao};

/// Coldkey address of //Alice, who has most of the TAO.
const ALICE: &str = "5GrwvaEF5zXb26Fz9rcQpDWS57CtERHpNehXCPcNoHGKutQY";
/// Babelbit's netuid, the same as on the main network.
const BABELBIT: u16 = 59;
/// Babelbit's tempo on the development chain.
const TEMPO: u64 = 10;

/// Starts an in-memory development chain, stopped on drop.
fn chain(block_time: &str) -> Daemon {
    Daemon::start(tao().args(["localnet", "--memory", "--block-time", block_time]))
}

/// Starts a chain with blocks on demand. All such chains have the same genesis block and the same
/// clock.
fn chain_at_noon() -> Daemon {
    let start_time = "2026-01-31T12:00:00Z";
    Daemon::start(tao().args([
        "localnet",
        "--memory",
        "--block-time",
        "manual",
        "--at",
        start_time,
    ]))
}

/// Returns the address of a development key.
fn address(uri: &str) -> String {
    taonet_wallet::Keypair::from_uri(uri).unwrap().hotkey().to_string()
}

#[test]
fn sdks_are_compatible_with_the_chain() {
    let (Some(sdk10), Some(sdk11)) = (Peer::find("sdk10"), Peer::find("sdk11")) else { return };
    let chain = chain("250ms");
    let question =
        json!({ "url": chain.url(), "netuid": BABELBIT, "tempo": TEMPO, "block_seconds": 0.25 });
    let reports = ToolReport::all(&sdk10.query(&mut sdk10.script("localnet_sdk10.py"), &question));
    let [sdk10_report, client_report] = reports.as_slice() else { panic!("two tools") };
    let hotkey = address("//BobHotkey");
    let question =
        json!({ "url": chain.url(), "netuid": BABELBIT, "coldkey": ALICE, "hotkey": hotkey });
    let reports = ToolReport::all(&sdk11.query(&mut sdk11.script("localnet_sdk11.py"), &question));
    let [sdk11_report] = reports.as_slice() else { panic!("one tool") };
    check_table("what the SDKs did", &[sdk10_report, client_report, sdk11_report]);
    sdk10::check(sdk10_report, chain.url());
    sdk10::check_substrate_client(client_report, sdk10_report);
    sdk11::check(sdk11_report, sdk10_report, chain.url());
}
