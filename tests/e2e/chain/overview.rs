//! Reads of a wallet with many hotkeys.

use std::time::{Duration, Instant};

use serde_json::json;
use taonet_wallet::{Keyfile, Keypair, Name, Overwrite, Wallets};

use super::{BABELBIT, Chain};
use crate::support::free_address;

/// Number of JSON-RPC requests that the node has received.
fn requests(metrics: &str) -> u64 {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let text =
        runtime.block_on(async { reqwest::get(metrics).await.unwrap().text().await.unwrap() });
    let counts =
        text.lines().filter(|line| line.starts_with("taonet_localnet_rpc_requests_total{"));
    counts.map(|line| line.rsplit(' ').next().unwrap().parse::<u64>().unwrap()).sum()
}

#[test]
fn overview_of_hundred_hotkeys_takes_few_requests() {
    let metrics = free_address();
    let chain = Chain::with(&["--block-time", "50ms", "--metrics", &metrics]);
    let (_, hotkey) = chain.wallet();
    chain.run_json(&["register", "--netuid", BABELBIT, "--yes"]);
    let named: Name = "default".parse().unwrap();
    let wallet = Wallets::new(chain.path("wallets")).wallet(named);
    for index in 0..100 {
        let key = Keyfile::from_keypair(Keypair::from_uri(&format!("//{index}")).unwrap());
        wallet
            .write_hotkey(
                &format!("hotkey-{index}").parse().unwrap(),
                &key,
                None,
                Overwrite::Refuse,
            )
            .unwrap();
    }
    // A subnet of which only one of the hundred is a member.
    let last = Keypair::from_uri("//99").unwrap().hotkey().to_string();
    chain.alice(&["subnets", "start", "2"]);
    chain.alice(&["register", "--netuid", "2", "--hotkey-ss58", &last, "--yes"]);

    let metrics = format!("http://{metrics}/metrics");
    let before = requests(&metrics);
    let start = Instant::now();
    let overview = chain.run_json(&["wallet", "overview"]);
    let (elapsed, request_count) = (start.elapsed(), requests(&metrics) - before);
    let neurons = overview["neurons"].as_array().unwrap();
    let actual: Vec<_> =
        neurons.iter().map(|actual| (&actual["netuid"], &actual["neuron"]["hotkey"])).collect();
    assert_eq!(actual, [(&json!(2), &json!(last)), (&json!(59), &json!(hotkey))], "{overview}");
    assert_eq!(neurons[0]["hotkey_name"], "hotkey-99");
    // 101 hotkeys on 60 subnets are 12 requests.
    assert!(request_count < 50, "{request_count} requests");
    // A guard against hanging. The goal is one second for a release build, which benches/startup
    // measures.
    assert!(elapsed < Duration::from_secs(10), "{elapsed:?}");
    eprintln!("overview of 101 hotkeys: {request_count} requests, {elapsed:?}");

    let only = chain.run_json(&["wallet", "overview", "--netuid", "59"]);
    assert_eq!(only["neurons"].as_array().unwrap().len(), 1, "{only}");
}
