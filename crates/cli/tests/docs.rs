//! The documents say what the code says.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn read(path: impl AsRef<Path>) -> String {
    fs::read_to_string(root().join(&path)).unwrap_or_else(|error| panic!("{}: {error}", path.as_ref().display()))
}

/// The text of every Rust file below the given folders.
fn sources(folders: &[&str]) -> Vec<String> {
    let mut waiting: Vec<PathBuf> = folders.iter().map(|folder| root().join(folder)).collect();
    let mut texts = Vec::new();
    while let Some(path) = waiting.pop() {
        if path.is_dir() {
            waiting.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            texts.push(fs::read_to_string(&path).unwrap());
        }
    }
    texts
}

/// What stands between `open` and `close` in `text`.
fn between<'a>(text: &'a str, open: &'a str, close: &'a str) -> impl Iterator<Item = &'a str> {
    text.split(open).skip(1).filter_map(move |rest| rest.split_once(close)).map(|(inner, _)| inner)
}

#[test]
fn every_metric_is_documented_and_every_documented_metric_exists() {
    let is_metric = |text: &&str| {
        let plain = |c: char| c.is_ascii_lowercase() || c == '_';
        text.starts_with("taonet_") && text.chars().all(plain) && text.matches('_').count() >= 2
    };
    let code = sources(&[
        "subnets/babelbit/node/src/engine",
        "subnets/babelbit/node/src/miner",
        "crates/cli/src/commands/axon",
        "crates/service/src",
    ]);
    let code = code.join("\n");
    let emitted: BTreeSet<_> = between(&code, "\"taonet", "\"").map(|rest| format!("taonet{rest}")).collect();
    let emitted: BTreeSet<_> = emitted.iter().map(String::as_str).filter(is_metric).collect();
    let document = read("docs/metrics.md");
    let documented: BTreeSet<_> = document.split('`').filter(is_metric).collect();
    assert!(!emitted.is_empty());
    assert_eq!(emitted, documented);
}

#[test]
fn every_test_that_the_comparison_names_exists() {
    let code = sources(&["subnets", "crates", "tests"]).join("\n");
    let document = read("docs/compat.md");
    let rows = document.lines().filter(|line| line.starts_with("| ")).filter_map(|line| line.rsplit('|').nth(1));
    let mut named = 0;
    for path in rows.flat_map(|cell| cell.split('`').skip(1).step_by(2)) {
        let (_, name) = path.rsplit_once("::").unwrap_or(("", path));
        let exists = [format!("fn {name}("), format!("mod {name};")].iter().any(|text| code.contains(text.as_str()));
        assert!(exists, "docs/compat.md names the test {path}, which does not exist");
        named += 1;
    }
    assert!(named > 15, "only {named} tests found in the tables");
}

#[test]
fn the_challenges_that_ship_are_the_ones_in_the_folder() {
    let list = read("subnets/babelbit/node/src/challenge/shipped.rs");
    let listed: BTreeSet<_> = between(&list, "shipped!(\"", "\"").map(str::to_owned).collect();
    let folder = fs::read_dir(root().join("subnets/babelbit/challenges")).unwrap();
    let names = folder.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    assert_eq!(listed, names.filter(|name| name.ends_with(".json")).collect());
}
