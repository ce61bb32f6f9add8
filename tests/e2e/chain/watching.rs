use serde_json::{Value, json};

use super::{BOB, Chain};
use crate::support::{document, stderr};

#[test]
fn blocks_and_their_events_are_shown() {
    let chain = Chain::start();
    let sent = chain.alice(&["transfer", BOB, "1", "--yes"]);
    let number = sent["block"]["number"].to_string();
    let block = chain.ask(&["block", &number]);
    assert_eq!((&block["block"], &block["is_final"]), (&sent["block"], &json!(true)));
    let by_hash = chain.ask(&["block", sent["block"]["hash"].as_str().unwrap()]);
    assert_eq!(by_hash["block"], sent["block"]);
    let transfers = ["events", "--block", &number, "--pallet", "Balances", "--name", "Transfer"];
    let events = chain.ask(&transfers);
    let events = events["events"].as_array().unwrap();
    assert_eq!((events.len(), &events[0]["fields"]["to"]), (1, &json!(BOB)));
    let text = String::from_utf8(chain.tao(&transfers, &[]).stdout).unwrap();
    assert!(text.contains("Balances.Transfer"), "{text}");
}

#[test]
fn watching_leaves_no_block_out() {
    let chain = Chain::start();
    let output = chain.tao(&["watch", "--blocks", "5", "--json", "--netuid", "59"], &[]);
    assert!(output.status.success(), "{}", stderr(&output));
    let lines = String::from_utf8(output.stdout).unwrap();
    let blocks: Vec<Value> =
        lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let numbers: Vec<_> =
        blocks.iter().map(|line| line["block"]["number"].as_u64().unwrap()).collect();
    assert_eq!(numbers, (numbers[0]..numbers[0] + 5).collect::<Vec<_>>());
    assert!(
        blocks.iter().all(|line| line["next_epoch"].as_u64() > line["block"]["number"].as_u64()),
        "{lines}"
    );
    let output = chain.tao(&["watch", "--blocks", "1"], &[]);
    assert!(String::from_utf8(output.stdout).unwrap().contains("(0x"));
    document(&chain.tao(&["block", "finalized", "--json"], &[]));
}
