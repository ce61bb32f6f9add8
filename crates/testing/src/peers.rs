use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::{print_skipped, skip};

/// Returns the directory of a peer by its name in tests/peers: a Python environment, or a directory
/// of Node.js packages. If it is not installed, the test is skipped with a message, or fails if
/// `CI` is set.
pub fn peer_directory(name: &str) -> Option<PathBuf> {
    let directory = peers_directory().join(name);
    let lists = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/peers");
    let node_lockfile = lists.join(name).join("package-lock.json");
    let list =
        if node_lockfile.exists() { node_lockfile } else { lists.join(name).with_extension("txt") };
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

/// Returns the directory of a repository, of which `scripts/suites` has fetched a part, by its name
/// under `suites` in the directory of the peers; or a checkout that the environment variable names.
/// If it does not have `folder`, the test is skipped with a message, in CI too: CI without access
/// to the repository is not a fault.
///
/// # Panics
/// When the variable names a directory without `folder`.
pub fn suite_directory(name: &str, variable: &str, folder: &str) -> Option<PathBuf> {
    if let Some(checkout) = std::env::var_os(variable).filter(|value| !value.is_empty()) {
        let checkout = PathBuf::from(checkout);
        assert!(
            checkout.join(folder).is_dir(),
            "{variable}: no {folder} in {}",
            checkout.display()
        );
        return Some(checkout);
    }
    let directory = peers_directory().join("suites").join(name);
    if directory.join(folder).is_dir() {
        return Some(directory);
    }
    print_skipped(&format!(
        "SKIPPED: tests with {name}: {} does not have it. Run ./test with access to its repository, or \
         set {variable} to a checkout",
        directory.display()
    ));
    None
}

/// Runs a program with a JSON document on its standard input, and returns the JSON document that it
/// prints.
pub fn query_program(program: &mut Command, request: &Value) -> Value {
    let mut child = program.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(request.to_string().as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{program:?}: {}", output.status);
    serde_json::from_slice(&output.stdout).unwrap()
}

/// Returns the same directory as `peers_dir` in scripts/lib.sh.
fn peers_directory() -> PathBuf {
    let variable = |name| std::env::var_os(name).filter(|value| !value.is_empty());
    let default = || {
        let home = variable("HOME").unwrap_or_default();
        let cache = variable("XDG_CACHE_HOME")
            .map_or_else(|| Path::new(&home).join(".cache"), PathBuf::from);
        cache.join("taonet/peers")
    };
    variable("TAONET_PEERS_DIR").map_or_else(default, PathBuf::from)
}
