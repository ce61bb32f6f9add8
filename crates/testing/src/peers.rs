use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::skip;

/// Returns the directory of a peer by its name in tests/peers: a Python environment, or a directory
/// of Node.js packages. If it is not installed, the test is skipped with a message, or fails if
/// `CI` is set.
pub fn peer_directory(name: &str) -> Option<PathBuf> {
    let directory = peers().join(name);
    let lists = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/peers");
    let of_node = lists.join(name).join("package-lock.json");
    let list = if of_node.exists() { of_node } else { lists.join(name).with_extension("txt") };
    // Marker file that scripts/peers writes last.
    let installed = std::fs::read(directory.join("installed.txt"));
    if installed.is_ok_and(|installed| installed == std::fs::read(&list).unwrap()) {
        return Some(directory);
    }
    skip(&format!(
        "NOT TESTED against the peer {name}: {} does not have the packages of {}. Run scripts/peers, or ./test, which \
         does so",
        directory.display(),
        list.display()
    ));
    None
}

/// Runs a program with a JSON document on its standard input, and returns the JSON document that it
/// prints.
pub fn ask(program: &mut Command, question: &Value) -> Value {
    let mut child = program.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(question.to_string().as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{program:?}: {}", output.status);
    serde_json::from_slice(&output.stdout).unwrap()
}

/// Returns the same directory as `peers_dir` in scripts/lib.sh.
fn peers() -> PathBuf {
    let variable = |name| std::env::var_os(name).filter(|value| !value.is_empty());
    let default = || {
        let home = variable("HOME").unwrap_or_default();
        let cache = variable("XDG_CACHE_HOME")
            .map_or_else(|| Path::new(&home).join(".cache"), PathBuf::from);
        cache.join("taonet/peers")
    };
    variable("TAONET_PEERS_DIR").map_or_else(default, PathBuf::from)
}
