//! Runs the first steps of docs/chain.md.

use super::Chain;
use crate::support::{repository, stderr};

#[test]
fn first_steps_of_chain_guide_work() {
    let chain = Chain::start();
    let guide = std::fs::read_to_string(repository("docs/chain.md")).unwrap();
    let steps = guide.split("```").nth(1).unwrap();
    let mut count = 0;
    for step in steps.lines().map(|line| line.split('#').next().unwrap().trim()) {
        let mut words: Vec<&str> = step.split_whitespace().skip(1).collect();
        match words.as_slice() {
            // The test has its own node, no terminal for passwords, and `watch` would not end.
            [] | ["localnet" | "BT_NETWORK=local"] => continue,
            ["wallet", "create"] => {
                chain.wallet();
                continue;
            }
            ["localnet", ..] => words.extend(["--network", chain.url()]),
            ["watch", ..] => words.extend(["--blocks", "2"]),
            _ => {}
        }
        let output = chain.tao(&words, &[]);
        assert!(output.status.success(), "{step}: {}", stderr(&output));
        count += 1;
    }
    assert_eq!(count, 10);
}
