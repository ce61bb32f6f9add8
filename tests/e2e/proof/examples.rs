//! Models with the operators of ezkl's examples, a few of those that `benches/proof/examples`
//! proves.

use std::process::Command;

use taonet_testing::peer_directory;

use crate::support::repository;

/// Several inputs and outputs, windows, functions, indices that are inputs, trees and recurrent
/// cells; and one without inputs, which is refused.
const NAMES: [&str; 13] = [
    "1d_conv",
    "1l_identity",
    "1l_upsample",
    "arange",
    "bitshift",
    "boolean",
    "gather_elements",
    "hummingbird_decision_tree",
    "lightgbm",
    "log",
    "rnn",
    "rounding_ops",
    "tutorial",
];

#[test]
fn examples_are_proven_and_match_onnxruntime() {
    let Some(peer) = peer_directory("onnx") else { return };
    let mut command = Command::new(peer.join("bin/python"));
    command.arg(repository("benches/proof/examples.py"));
    command.args(["--tao", env!("CARGO_BIN_EXE_tao"), "--proofs", "2"]).args(NAMES);
    let output = command.output().unwrap();
    let table = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{table}{}", String::from_utf8_lossy(&output.stderr));
    assert!(table.ends_with("12 proven, 1 refused, 0 failed\n"), "{table}");
}
