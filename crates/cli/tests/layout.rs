//! Checks the layout in ARCHITECTURE.md against the manifests.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test helper panics as a test does"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

/// Maximum number of lines of product code in a crate.
const MAX_LINES: usize = 8_000;
/// Minimum number of lines of a crate's first page.
const MIN_PAGE: usize = 20;
/// Crates exempt from [`MAX_LINES`].
const UNLIMITED: [&str; 1] = ["localnet-runtime"];
/// Programs, which may use the crates of every subnet, and which no crate names as its user.
const PROGRAMS: [&str; 4] = ["cli", "benches", "chaos", "simulation"];
/// Crates of commands for several subnets: the page of all of them, and the models of their
/// commands.
const OF_SEVERAL_SUBNETS: [&str; 3] = ["cli-dashboard", "cli-demo", "cli-models"];

/// Returns whether a crate is a program, or one of the command line's crates: no library names
/// these as its users.
fn is_program(name: &str) -> bool {
    PROGRAMS.contains(&name) || name.starts_with("cli-")
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

struct Package {
    directory: PathBuf,
    /// Workspace dependencies, without optional and dev-dependencies.
    uses: BTreeSet<String>,
    /// Workspace dependencies of its tests and optional features.
    tests_use: BTreeSet<String>,
    /// All other dependencies.
    foreign: BTreeSet<String>,
}

/// Returns the workspace's packages by name without `taonet-`, from `cargo metadata`.
fn packages() -> BTreeMap<String, Package> {
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["metadata", "--no-deps", "--offline", "--format-version=1"]).current_dir(root());
    let metadata: Value = serde_json::from_slice(&cargo.output().unwrap().stdout).unwrap();
    metadata["packages"].as_array().unwrap().iter().map(package).collect()
}

fn package(package: &Value) -> (String, Package) {
    let own_name =
        |value: &Value| value["name"].as_str().unwrap().strip_prefix("taonet-").map(str::to_owned);
    let directory =
        Path::new(package["manifest_path"].as_str().unwrap()).parent().unwrap().to_owned();
    let mut found = Package {
        directory,
        uses: BTreeSet::new(),
        tests_use: BTreeSet::new(),
        foreign: BTreeSet::new(),
    };
    for dependency in package["dependencies"].as_array().unwrap() {
        let always = dependency["kind"].is_null() && dependency["optional"] == false;
        match own_name(dependency) {
            Some(name) if always => drop(found.uses.insert(name)),
            Some(name) => drop(found.tests_use.insert(name)),
            None if always => {
                drop(found.foreign.insert(dependency["name"].as_str().unwrap().to_owned()))
            }
            None => {}
        }
    }
    found.tests_use.retain(|name| !found.uses.contains(name));
    (own_name(package).unwrap(), found)
}

/// Returns the rows of the table in ARCHITECTURE.md: a crate, its dependencies, and those of its
/// tests and optional features.
fn table() -> Vec<[String; 3]> {
    let text = fs::read_to_string(root().join("ARCHITECTURE.md")).unwrap();
    let (_, table) =
        text.split_once("| Crate (`taonet-…`) | uses | tests also use |\n|---|---|---|\n").unwrap();
    let rows = table.lines().take_while(|line| line.starts_with('|'));
    rows.map(|row| {
        let mut cells = row.trim_matches('|').splitn(3, '|').map(|cell| cell.trim().to_owned());
        let mut cell = || cells.next().unwrap();
        [cell().replace('`', ""), cell(), cell()]
    })
    .collect()
}

/// Returns the crate names in a cell of that table.
fn names(cell: &str) -> BTreeSet<String> {
    cell.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

#[test]
fn every_crate_uses_what_the_table_says_and_only_what_stands_above_it() {
    let (packages, rows) = (packages(), table());
    let drawn: BTreeSet<&str> = rows.iter().map(|[name, ..]| name.as_str()).collect();
    assert_eq!(
        drawn,
        packages.keys().map(String::as_str).collect(),
        "the table has a row for each crate"
    );
    let mut above = BTreeSet::new();
    for [name, uses, tests_use] in &rows {
        let package = &packages[name];
        assert_eq!(package.uses, names(uses), "{name}");
        assert_eq!(package.tests_use, names(tests_use), "tests and features of {name}");
        let below: Vec<_> = package.uses.difference(&above).collect();
        assert!(below.is_empty(), "{name} uses {below:?}, which the table lists below it");
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
    // The commands of a subnet use its crates: `cli-proof` those of proof.
    let subnet_of = |name: &str| {
        let name = format!("{}-", name.trim_start_matches("cli-"));
        subnets.iter().find(|subnet| name.starts_with(&format!("{subnet}-")))
    };
    for (name, package) in &packages {
        let own = subnet_of(name);
        let is_of_all =
            PROGRAMS.contains(&name.as_str()) || OF_SEVERAL_SUBNETS.contains(&name.as_str());
        for other in package.uses.union(&package.tests_use).filter_map(|used| subnet_of(used)) {
            assert!(own == Some(other) || is_of_all, "{name} uses a crate of {other}");
        }
        if name.ends_with("-core") || name == "consensus" {
            let impure = ["tokio", "rand", "getrandom", "reqwest", "axum", "sqlx", "jiff"];
            let found: Vec<_> =
                package.foreign.iter().filter(|used| impure.contains(&used.as_str())).collect();
            assert!(found.is_empty(), "{name} is not pure: {found:?}");
            for (path, text) in sources(&package.directory) {
                let impure = [
                    "SystemTime",
                    "Instant",
                    "std::env",
                    "std::fs",
                    "std::net",
                    "std::process",
                    "std::thread",
                ];
                let found: Vec<_> = impure.iter().filter(|item| text.contains(*item)).collect();
                assert!(found.is_empty(), "{} is not pure: {found:?}", path.display());
            }
        }
    }
}

/// Returns the product code of a package: its Rust files without tests and test helpers, each with
/// its text before the tests.
fn sources(package: &Path) -> Vec<(PathBuf, String)> {
    let (mut found, mut folders) = (Vec::new(), vec![package.join("src")]);
    while let Some(folder) = folders.pop() {
        for path in fs::read_dir(folder).into_iter().flatten().map(|entry| entry.unwrap().path()) {
            let stem = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
            let is_test = ["tests", "testing"].contains(&stem.as_str()) || stem.ends_with("_tests");
            if path.is_dir() && !is_test {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") && !is_test {
                let text = fs::read_to_string(&path).unwrap();
                let product =
                    text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default().to_owned();
                found.push((path, product));
            }
        }
    }
    found
}

#[test]
fn no_crate_is_too_large_to_know() {
    for (name, package) in packages() {
        let lines: usize =
            sources(&package.directory).iter().map(|(_, text)| text.lines().count()).sum();
        println!("{name}: {lines} lines");
        assert!(
            lines <= MAX_LINES || UNLIMITED.contains(&name.as_str()),
            "{name} has {lines} lines: split it"
        );
    }
}

/// Returns the sentences of a crate's first page that begin with "Uses" and "Used by".
fn relations(page: &str) -> Option<(String, String)> {
    let lines = page
        .lines()
        .skip_while(|line| !line.starts_with("//! Uses "))
        .take_while(|line| *line != "//!");
    let paragraph: Vec<_> = lines.map(|line| line.trim_start_matches("//! ")).collect();
    let (uses, used_by) =
        paragraph.join(" ").split_once("Used by ").map(|(a, b)| (a.to_owned(), b.to_owned()))?;
    Some((uses, used_by))
}

/// Returns the crates of the workspace that a text names in backquotes.
fn crates(text: &str) -> BTreeSet<String> {
    names(text)
        .into_iter()
        .filter_map(|name| Some(name.strip_prefix("taonet-")?.to_owned()))
        .collect()
}

#[test]
fn the_first_page_of_every_crate_says_what_it_uses_and_who_uses_it() {
    let packages = packages();
    for (name, package) in &packages {
        let Ok(text) = fs::read_to_string(package.directory.join("src/lib.rs")) else { continue };
        let page: Vec<_> = text.lines().take_while(|line| line.starts_with("//!")).collect();
        let (uses, used_by) = relations(&page.join("\n")).unwrap_or_else(|| {
            panic!("the page of {name} has no paragraph that begins with \"Uses\" and has a sentence \"Used by\"")
        });
        assert_eq!(crates(&uses), package.uses, "the page of {name}: what it uses");
        let named = crates(&used_by);
        let users = |has: &dyn Fn(&Package) -> bool| -> BTreeSet<String> {
            packages
                .iter()
                .filter(|(_, package)| has(package))
                .map(|(name, _)| name.clone())
                .collect()
        };
        let all = users(&|package| package.uses.contains(name) || package.tests_use.contains(name));
        let wrong: Vec<_> = named.difference(&all).collect();
        assert!(wrong.is_empty(), "the page of {name}: {wrong:?} do not use it");
        // A crate with many users says so instead of listing them; commands stand for the crates of
        // the command line.
        let mut unnamed = users(&|package| package.uses.contains(name));
        unnamed.retain(|user| {
            !named.contains(user) && (!is_program(user) || name.starts_with("cli-"))
        });
        unnamed.remove("cli");
        let is_general = ["every", "nearly", "all "].iter().any(|word| used_by.contains(word));
        assert!(unnamed.is_empty() || is_general, "the page of {name}: {unnamed:?} use it too");
    }
}

/// A first page says what the crate is, how a caller starts, and what it does not do.
#[test]
fn the_first_page_of_every_crate_is_a_page() {
    for (name, package) in packages() {
        let Ok(text) = fs::read_to_string(package.directory.join("src/lib.rs")) else { continue };
        let lines = text.lines().take_while(|line| line.starts_with("//!")).count();
        assert!(
            lines >= MIN_PAGE,
            "the page of {name} has {lines} lines: say what it is, how a caller starts, what it omits"
        );
    }
}
