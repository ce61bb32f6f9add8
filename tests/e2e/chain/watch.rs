use serde_json::Value;

use super::Chain;
use crate::support::{document, stderr};

#[test]
fn watch_reports_every_block() {
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
