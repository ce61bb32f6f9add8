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
const MAX_LINES: usize = 9_600;
/// Minimum number of lines of a crate's first page.
const MIN_PAGE_LINES: usize = 20;
/// Crates exempt from [`MAX_LINES`].
const UNLIMITED: [&str; 1] = ["localnet-runtime"];
/// Programs, which may use the crates of every subnet, and which no crate names as its user.
const PROGRAMS: [&str; 4] = ["cli", "benches", "chaos", "simulation"];
/// Crates of commands for several subnets: the page of all of them, and the models of their
/// commands.
const MULTI_SUBNET_CRATES: [&str; 3] = ["cli-dashboard", "cli-demo", "cli-models"];

/// Words that a test's name must not have. They stand in place of its subject (`what`, `nobody`),
/// or of the field's verb: `reports` or `logs` in place of `tells`.
const VAGUE_WORDS: [&str; 17] = [
    "anybody",
    "everybody",
    "nobody",
    "said",
    "say",
    "says",
    "somebody",
    "tell",
    "tells",
    "told",
    "us",
    "we",
    "what",
    "whatever",
    "who",
    "whoever",
    "whom",
];
/// Words with which a test's name must not begin, because nothing before them says what they refer
/// to.
const PRONOUNS: [&str; 3] = ["it", "they", "those"];
/// Sequences of words that a test's name must not have.
const VAGUE_PHRASES: [&[&str]; 5] = [
    &["all", "that"],
    &["of", "those"],
    &["that", "are", "no"],
    &["that", "is", "no"],
    &["that", "is", "none"],
];

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
    external: BTreeSet<String>,
}

/// Returns the workspace's packages, as `cargo metadata` describes them.
fn cargo_packages() -> Vec<Value> {
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["metadata", "--no-deps", "--offline", "--format-version=1"]).current_dir(root());
    let mut metadata: Value = serde_json::from_slice(&cargo.output().unwrap().stdout).unwrap();
    let Value::Array(packages) = metadata["packages"].take() else {
        panic!("no packages: {metadata}")
    };
    packages
}

/// Returns the workspace's packages by name without `taonet-`.
fn packages() -> BTreeMap<String, Package> {
    cargo_packages().iter().map(package).collect()
}

fn package(package: &Value) -> (String, Package) {
    let own_name =
        |value: &Value| value["name"].as_str().unwrap().strip_prefix("taonet-").map(str::to_owned);
    let directory =
        Path::new(package["manifest_path"].as_str().unwrap()).parent().unwrap().to_owned();
    let mut dependencies = Package {
        directory,
        uses: BTreeSet::new(),
        tests_use: BTreeSet::new(),
        external: BTreeSet::new(),
    };
    for dependency in package["dependencies"].as_array().unwrap() {
        let always = dependency["kind"].is_null() && dependency["optional"] == false;
        match own_name(dependency) {
            Some(name) if always => drop(dependencies.uses.insert(name)),
            Some(name) => drop(dependencies.tests_use.insert(name)),
            None if always => {
                dependencies.external.insert(dependency["name"].as_str().unwrap().to_owned());
            }
            None => {}
        }
    }
    dependencies.tests_use.retain(|name| !dependencies.uses.contains(name));
    (own_name(package).unwrap(), dependencies)
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
fn crate_dependencies_match_table_and_point_upwards() {
    let (packages, rows) = (packages(), table());
    let table_crates: BTreeSet<&str> = rows.iter().map(|[name, ..]| name.as_str()).collect();
    assert_eq!(
        table_crates,
        packages.keys().map(String::as_str).collect(),
        "the table has a row for each crate"
    );
    let mut crates_above = BTreeSet::new();
    for [name, uses, tests_use] in &rows {
        let package = &packages[name];
        assert_eq!(package.uses, names(uses), "{name}");
        assert_eq!(package.tests_use, names(tests_use), "tests and features of {name}");
        let violations: Vec<_> = package.uses.difference(&crates_above).collect();
        assert!(
            violations.is_empty(),
            "{name} uses {violations:?}, which the table lists below it"
        );
        crates_above.insert(name.clone());
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
        let is_shared =
            PROGRAMS.contains(&name.as_str()) || MULTI_SUBNET_CRATES.contains(&name.as_str());
        for other in package.uses.union(&package.tests_use).filter_map(|used| subnet_of(used)) {
            assert!(own == Some(other) || is_shared, "{name} uses a crate of {other}");
        }
        if name.ends_with("-core") || name == "consensus" {
            let impure = ["tokio", "rand", "getrandom", "reqwest", "axum", "sqlx", "jiff"];
            let impure_crates: Vec<_> =
                package.external.iter().filter(|used| impure.contains(&used.as_str())).collect();
            assert!(impure_crates.is_empty(), "{name} is not pure: {impure_crates:?}");
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
                let impure_items: Vec<_> =
                    impure.iter().filter(|item| text.contains(*item)).collect();
                assert!(
                    impure_items.is_empty(),
                    "{} is not pure: {impure_items:?}",
                    path.display()
                );
            }
        }
    }
}

/// Returns the product code of a package: its Rust files without tests and test helpers, each with
/// its text before the tests.
fn sources(package: &Path) -> Vec<(PathBuf, String)> {
    let (mut files, mut folders) = (Vec::new(), vec![package.join("src")]);
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
                files.push((path, product));
            }
        }
    }
    files
}

#[test]
fn crates_stay_below_max_lines() {
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
fn crate_page_names_dependencies_and_users() {
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
fn every_crate_page_has_minimum_length() {
    for (name, package) in packages() {
        let Ok(text) = fs::read_to_string(package.directory.join("src/lib.rs")) else { continue };
        let lines = text.lines().take_while(|line| line.starts_with("//!")).count();
        assert!(
            lines >= MIN_PAGE_LINES,
            "the page of {name} has {lines} lines: say what it is, how a caller starts, what it omits"
        );
    }
}

/// Returns the Rust files in folders.
fn rust_files(mut pending: Vec<PathBuf>) -> Vec<PathBuf> {
    let mut files = Vec::new();
    while let Some(path) = pending.pop() {
        if path.is_dir() {
            // Build directories have code of other projects.
            if !path.ends_with("target") && !path.ends_with("node_modules") {
                pending.extend(fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path()));
            }
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    files
}

/// Returns the names of the tests in a file.
fn test_names(text: &str) -> impl Iterator<Item = &str> {
    let tests = ["#[test]", "#[tokio::test"]
        .into_iter()
        .flat_map(move |attribute| text.split(attribute).skip(1));
    tests.filter_map(|test| test.split_once("fn ")?.1.split('(').next())
}

/// Returns whether a test's name does not say what it tests, under which condition and with which
/// result.
fn is_vague(name: &str) -> bool {
    let words: Vec<&str> = name.split('_').collect();
    PRONOUNS.contains(&words[0])
        || words.iter().any(|word| VAGUE_WORDS.contains(word))
        || VAGUE_PHRASES
            .iter()
            .any(|phrase| words.windows(phrase.len()).any(|part| part == *phrase))
}

#[test]
fn test_names_are_not_vague() {
    let folders = ["benches", "crates", "examples", "python", "subnets", "tests"];
    let (mut count, mut vague_names) = (0, Vec::new());
    for path in rust_files(folders.iter().map(|folder| root().join(folder)).collect()) {
        let text = fs::read_to_string(&path).unwrap();
        count += test_names(&text).count();
        vague_names.extend(
            test_names(&text)
                .filter(|name| is_vague(name))
                .map(|name| format!("{}: {name}", path.display())),
        );
    }
    println!("{count} tests");
    assert!(
        vague_names.is_empty(),
        "hint: name them subject_condition_result:\n{}",
        vague_names.join("\n")
    );
    assert!(count > 4_000, "{count} tests");
}

#[test]
fn vague_names_are_recognised() {
    for name in [
        "what_nobody_ends_is_not_read_for_ever",
        "they_read_our_wallets",
        "a_network_that_is_none_is_wrong_usage",
        "mistakes_are_told",
    ] {
        assert!(is_vague(name), "{name}");
    }
    for name in [
        "incomplete_request_times_out",
        "files_are_read_once_until_they_change",
        "weak_token_is_rejected",
    ] {
        assert!(!is_vague(name), "{name}");
    }
}

/// A program without the features of the command line must not compile their crates, else its build
/// and its image are not smaller.
#[test]
fn program_without_features_has_no_crates_of_features() {
    const FEATURES: [&str; 4] = ["dashboard", "localnet", "nineteen", "proof"];
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["tree", "--offline", "--package=taonet-cli", "--edges=normal", "--prefix=none"]);
    let output = cargo.arg("--no-default-features").current_dir(root()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let tree = String::from_utf8(output.stdout).unwrap();
    let own_crates =
        tree.lines().filter_map(|line| line.strip_prefix("taonet-")?.split(' ').next());
    let own_crates: BTreeSet<&str> = own_crates.collect();
    assert!(own_crates.contains("cli-babelbit"), "{own_crates:?}");
    let has_feature = |name: &&&str| name.split('-').any(|word| FEATURES.contains(&word));
    let extra: Vec<_> = own_crates.iter().filter(has_feature).collect();
    assert!(extra.is_empty(), "a crate of no feature uses {extra:?}");
}

/// Returns whether the documentation in a file has a block of code that is a test.
fn has_doc_test(text: &str) -> bool {
    let lines = text.lines().map(str::trim_start);
    let docs =
        lines.filter_map(|line| line.strip_prefix("///").or_else(|| line.strip_prefix("//!")));
    // Every second fence ends a block.
    let mut fences = docs.filter_map(|line| line.trim_start().strip_prefix("```")).step_by(2);
    fences.any(|language| ["", "no_run", "rust", "should_panic"].contains(&language.trim()))
}

/// A library without tests is not compiled a second time, and `rustdoc` does not read one without
/// doc tests.
#[test]
fn libraries_declare_whether_they_have_tests() {
    for package in cargo_packages() {
        let manifest = Path::new(package["manifest_path"].as_str().unwrap());
        let files = rust_files(vec![manifest.parent().unwrap().join("src")]);
        let texts: Vec<String> =
            files.iter().map(|file| fs::read_to_string(file).unwrap()).collect();
        let (name, targets) = (&package["name"], package["targets"].as_array().unwrap());
        for library in targets.iter().filter(|target| target["kind"][0] == "lib") {
            let has_test = texts.iter().any(|text| test_names(text).next().is_some());
            assert_eq!(library["test"], has_test, "{name}: set `test` of [lib]");
            assert_eq!(
                library["doctest"],
                texts.iter().any(|text| has_doc_test(text)),
                "{name}: set `doctest` of [lib]"
            );
        }
    }
}
