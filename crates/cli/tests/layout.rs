//! Checks the layout in ARCHITECTURE.md against the manifests.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test helper panics as a test does")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// Maximum lines of product code per crate.
const MOST_LINES: usize = 8_000;
/// Crates without that limit.
const UNLIMITED: [&str; 2] = ["cli", "localnet-runtime"];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

struct Package {
    directory: PathBuf,
    /// Workspace dependencies, without optional and dev-dependencies.
    uses: BTreeSet<String>,
    /// All other dependencies.
    foreign: BTreeSet<String>,
}

/// The workspace's packages by their names without `taonet-`.
fn packages() -> BTreeMap<String, Package> {
    let mut found = BTreeMap::new();
    let mut folders = vec![root().join("crates"), root().join("subnets")];
    while let Some(folder) = folders.pop() {
        if let Ok(manifest) = fs::read_to_string(folder.join("Cargo.toml")) {
            let (name, package) = package(&folder, &manifest);
            found.insert(name, package);
            continue;
        }
        let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
        folders.extend(entries.filter(|path| path.is_dir()));
    }
    found
}

fn package(directory: &Path, manifest: &str) -> (String, Package) {
    let name = manifest.lines().find_map(|line| line.strip_prefix("name = \"taonet-")).unwrap();
    let (_, section) = manifest.split_once("\n[dependencies]\n").unwrap_or_default();
    let lines = section.lines().take_while(|line| !line.starts_with('['));
    let all = lines.filter(|line| !line.contains("optional = true")).filter_map(|line| line.split(['.', ' ']).next());
    let (ours, foreign): (BTreeSet<&str>, BTreeSet<&str>) =
        all.filter(|name| !name.is_empty() && !name.starts_with('#')).partition(|name| name.starts_with("taonet-"));
    let uses = ours.into_iter().filter_map(|name| name.strip_prefix("taonet-")).map(str::to_owned).collect();
    let foreign = foreign.into_iter().map(str::to_owned).collect();
    (name.trim_end_matches('"').to_owned(), Package { directory: directory.to_owned(), uses, foreign })
}

/// Rows of the table in ARCHITECTURE.md: a crate and its dependencies.
fn table() -> Vec<(String, String)> {
    let text = fs::read_to_string(root().join("ARCHITECTURE.md")).unwrap();
    let (_, table) = text.split_once("| Crate (`taonet-…`) | uses |\n|---|---|\n").unwrap();
    let rows = table.lines().take_while(|line| line.starts_with('|'));
    rows.map(|row| {
        let mut cells = row.trim_matches('|').splitn(2, '|').map(|cell| cell.trim().to_owned());
        (cells.next().unwrap().replace('`', ""), cells.next().unwrap())
    })
    .collect()
}

#[test]
fn every_crate_uses_what_the_table_says_and_only_what_stands_above_it() {
    let (packages, rows) = (packages(), table());
    let drawn: BTreeSet<&str> = rows.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(drawn, packages.keys().map(String::as_str).collect(), "the table has a row for each crate");
    let mut above = BTreeSet::new();
    for (name, cell) in &rows {
        let uses = &packages[name].uses;
        let listed: BTreeSet<String> = cell.split('`').skip(1).step_by(2).map(str::to_owned).collect();
        if cell.starts_with("all but") {
            let all = above.difference(&listed).cloned().collect::<BTreeSet<_>>();
            assert_eq!(*uses, all, "{name}");
        } else {
            assert_eq!(*uses, listed, "{name}");
        }
        let below: Vec<_> = uses.difference(&above).collect();
        assert!(below.is_empty(), "{name} uses {below:?}, which stand below it");
        above.insert(name.clone());
    }
}

#[test]
fn subnets_use_no_other_subnet_and_cores_are_pure() {
    let packages = packages();
    let subnets: BTreeSet<String> = fs::read_dir(root().join("subnets"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    let subnet_of = |name: &str| subnets.iter().find(|subnet| name.starts_with(&format!("{subnet}-")));
    for (name, package) in &packages {
        let own = subnet_of(name);
        for other in package.uses.iter().filter_map(|used| subnet_of(used)) {
            assert!(own == Some(other) || name == "cli", "{name} uses a crate of {other}");
        }
        if name.ends_with("-core") || name == "consensus" {
            let impure = ["tokio", "rand", "getrandom", "reqwest", "axum", "sqlx", "jiff"];
            let found: Vec<_> = package.foreign.iter().filter(|used| impure.contains(&used.as_str())).collect();
            assert!(found.is_empty(), "{name} is not pure: {found:?}");
        }
    }
}

/// Lines of a file before its tests.
fn product_lines(text: &str) -> usize {
    text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default().lines().count()
}

#[test]
fn no_crate_is_too_large_to_know() {
    for (name, package) in packages() {
        let (mut lines, mut folders) = (0, vec![package.directory.join("src")]);
        while let Some(folder) = folders.pop() {
            for path in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
                let stem = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
                let is_test = stem == "tests" || stem == "testing" || stem.ends_with("_tests");
                if path.is_dir() && !is_test {
                    folders.push(path);
                } else if path.extension().is_some_and(|extension| extension == "rs") && !is_test {
                    lines += product_lines(&fs::read_to_string(path).unwrap());
                }
            }
        }
        println!("{name}: {lines} lines");
        assert!(lines <= MOST_LINES || UNLIMITED.contains(&name.as_str()), "{name} has {lines} lines: split it");
    }
}
