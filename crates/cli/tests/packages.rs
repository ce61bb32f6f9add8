//! Checks that the crates of docs/crates.md can be published: fields of the manifests,
//! dependencies, contained files.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test helper panics as a test does"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::Read as _;
use std::path::{Component, Path, PathBuf};
use std::process::Command;

use flate2::read::GzDecoder;
use serde_json::Value;

/// Files that every package contains. An empty or dangling one has less than [`MIN_SIZE`].
const FILES: [&str; 5] = ["Cargo.toml", "LICENSE-APACHE", "LICENSE-MIT", "README.md", "src/lib.rs"];
const MIN_SIZE: usize = 500;
/// Limits of crates.io: categories or keywords of a crate, bytes of a keyword, bytes of a package.
const MAX_WORDS: usize = 5;
const MAX_KEYWORD_BYTES: usize = 20;
const MAX_PACKAGE_BYTES: u64 = 10 * 1024 * 1024;
/// Crates whose features are for macros of a framework, not for users: docs.rs documents the
/// default ones.
const UNDOCUMENTED_FEATURES: [&str; 1] = ["taonet-localnet-runtime"];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Runs Cargo in the workspace without network access, and returns its output.
fn cargo(arguments: &[&str]) -> Vec<u8> {
    let mut cargo = Command::new(env!("CARGO"));
    let output = cargo.args(arguments).arg("--offline").current_dir(root()).output().unwrap();
    assert!(
        output.status.success(),
        "cargo {arguments:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    output.stdout
}

/// Returns the published crates of the workspace by name, from `cargo metadata`.
fn published_packages() -> BTreeMap<String, Value> {
    let metadata: Value =
        serde_json::from_slice(&cargo(&["metadata", "--no-deps", "--format-version=1"])).unwrap();
    let packages = metadata["packages"].as_array().unwrap().iter();
    // `publish = false` is an empty list of registries.
    let published = packages.filter(|package| package["publish"].is_null());
    published.map(|package| (text(package, "name").to_owned(), package.clone())).collect()
}

/// Returns a field's text, or an empty text without the field.
fn text<'a>(value: &'a Value, field: &str) -> &'a str {
    value[field].as_str().unwrap_or_default()
}

/// A dependency of a crate on another one of the workspace.
struct Dependency<'a> {
    name: &'a str,
    requirement: &'a str,
    is_development: bool,
}

fn dependencies(package: &Value) -> impl Iterator<Item = Dependency<'_>> {
    let all = package["dependencies"].as_array().unwrap().iter();
    all.filter(|dependency| dependency["path"].is_string()).map(|dependency| Dependency {
        name: text(dependency, "name"),
        requirement: text(dependency, "req"),
        is_development: text(dependency, "kind") == "dev",
    })
}

#[test]
fn page_lists_the_published_crates() {
    let (page, published) = (read("docs/crates.md"), published_packages());
    let (tables, _) = page.split_once("\n## What the API promises\n").unwrap();
    let rows = tables.lines().filter_map(|line| line.strip_prefix("| `")?.split_once("` |"));
    let mut listed: Vec<&str> = rows.map(|(name, _)| name).collect();
    listed.sort_unstable();
    assert_eq!(listed, published.keys().collect::<Vec<_>>());
    for package in published.values() {
        assert!(
            page.contains(&format!("now {}.", text(package, "rust_version"))),
            "docs/crates.md: rust-version"
        );
    }
    let readme = read("crates/README.md");
    let linked = readme
        .split("](https://docs.rs/")
        .skip(1)
        .filter_map(|remaining| remaining.split(')').next());
    let unpublished: Vec<&str> = linked.filter(|name| !published.contains_key(*name)).collect();
    assert!(unpublished.is_empty(), "crates/README.md: {unpublished:?}");
}

#[test]
fn manifests_of_published_crates_are_complete() {
    let is_keyword = |word: &str| {
        word.len() <= MAX_KEYWORD_BYTES
            && word.starts_with(|first: char| first.is_ascii_alphanumeric())
            && word
                .chars()
                .all(|other| other.is_ascii_alphanumeric() || ['-', '_', '+'].contains(&other))
    };
    for (name, package) in published_packages() {
        for field in ["description", "license", "repository", "readme", "rust_version"] {
            assert!(!text(&package, field).is_empty(), "{name} has no {field}");
        }
        for field in ["keywords", "categories"] {
            let words = package[field].as_array().unwrap();
            assert!((1..=MAX_WORDS).contains(&words.len()), "{name}: {field} {words:?}");
        }
        for keyword in package["keywords"].as_array().unwrap() {
            assert!(
                keyword.as_str().is_some_and(is_keyword),
                "{name}: {keyword} is no keyword of crates.io"
            );
        }
        let has_features = !package["features"].as_object().unwrap().is_empty();
        let documents_features = package["metadata"]["docs"]["rs"]["all-features"] == true;
        let expected = has_features && !UNDOCUMENTED_FEATURES.contains(&name.as_str());
        assert_eq!(
            documents_features, expected,
            "{name}: all-features in [package.metadata.docs.rs]"
        );
    }
}

#[test]
fn published_crates_depend_on_published_crates_of_their_version() {
    let published = published_packages();
    for (name, package) in &published {
        for Dependency { name: used, requirement, is_development } in dependencies(package) {
            if let Some(used_package) = published.get(used) {
                let expected = format!("^{}", text(used_package, "version"));
                assert_eq!(
                    requirement, expected,
                    "{name}: the version of {used} in [workspace.dependencies]"
                );
            } else {
                assert!(is_development, "{name} uses {used}, which is not published");
                // Cargo removes dependencies of tests that have no version.
                assert_eq!(
                    requirement, "*",
                    "{name}: {used} is not published, so it must have no version"
                );
            }
        }
    }
}

/// crates.io accepts a crate only after everything that it depends on, including the dependencies
/// of its tests.
#[test]
fn published_crates_have_an_order_of_publication() {
    let published = published_packages();
    let mut remaining: BTreeMap<&str, BTreeSet<&str>> = published
        .iter()
        .map(|(name, package)| {
            let used = dependencies(package).map(|dependency| dependency.name);
            (name.as_str(), used.filter(|used| published.contains_key(*used)).collect())
        })
        .collect();
    while !remaining.is_empty() {
        let ready: BTreeSet<&str> =
            remaining.iter().filter(|(_, uses)| uses.is_empty()).map(|(name, _)| *name).collect();
        assert!(!ready.is_empty(), "these depend on each other: {remaining:?}");
        remaining.retain(|name, uses| {
            uses.retain(|used| !ready.contains(used));
            !ready.contains(name)
        });
    }
}

/// Returns the files in a package by their paths.
fn unpack(package: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let file = File::open(package).unwrap_or_else(|error| panic!("{}: {error}", package.display()));
    let mut archive = tar::Archive::new(GzDecoder::new(file));
    let entries = archive.entries().unwrap().map(|entry| {
        let (mut entry, mut content) = (entry.unwrap(), Vec::new());
        // Without the directory NAME-VERSION.
        let path: PathBuf = entry.path().unwrap().components().skip(1).collect();
        entry.read_to_end(&mut content).unwrap();
        (path, content)
    });
    entries.collect()
}

/// Returns the paths of the files that a source file includes at compile time; panics if one is no
/// literal.
fn included_files(path: &Path, source: &str) -> Vec<PathBuf> {
    let calls = ["include_str!(", "include_bytes!("]
        .into_iter()
        .flat_map(|call| source.split(call).skip(1));
    calls
        .map(|arguments| {
            let literal = arguments
                .trim_start()
                .strip_prefix('"')
                .and_then(|remaining| remaining.split_once('"'));
            let Some((file, _)) = literal else {
                panic!("{} includes a computed path", path.display())
            };
            let mut included = path.parent().unwrap().to_owned();
            for component in Path::new(file).components() {
                if component == Component::ParentDir {
                    assert!(
                        included.pop(),
                        "{} includes {file}, which is outside of the package",
                        path.display()
                    );
                } else {
                    included.push(component);
                }
            }
            included
        })
        .collect()
}

#[test]
fn packages_contain_all_included_files() {
    let (published, target) = (published_packages(), tempfile::tempdir().unwrap());
    let mut arguments =
        vec!["package", "--quiet", "--no-verify", "--exclude-lockfile", "--allow-dirty"];
    arguments.extend(["--target-dir", target.path().to_str().unwrap()]);
    arguments.extend(published.keys().flat_map(|name| ["-p", name.as_str()]));
    cargo(&arguments);
    for (name, package) in &published {
        let file = target.path().join(format!("package/{name}-{}.crate", text(package, "version")));
        let files = unpack(&file);
        assert!(
            fs::metadata(&file).unwrap().len() < MAX_PACKAGE_BYTES,
            "the package of {name} is too large"
        );
        for file in FILES {
            let size = files.get(Path::new(file)).map_or(0, Vec::len);
            assert!(size >= MIN_SIZE, "{file} in the package of {name} has {size} bytes");
        }
        for (path, content) in &files {
            if path.extension().is_some_and(|extension| extension == "rs") {
                for included in included_files(path, str::from_utf8(content).unwrap()) {
                    let (path, included_path) = (path.display(), included.display());
                    assert!(
                        files.contains_key(&included),
                        "{path} in the package of {name} lacks {included_path}"
                    );
                }
            }
        }
        // Tables such as [dependencies.taonet-chain] and [dev-dependencies.taonet-chain].
        let manifest = str::from_utf8(&files[Path::new("Cargo.toml")]).unwrap();
        let tables =
            manifest.lines().filter_map(|line| line.strip_suffix(']')?.split_once("dependencies."));
        let used: BTreeSet<&str> =
            tables.map(|(_, used)| used).filter(|used| used.starts_with("taonet-")).collect();
        let expected = dependencies(package).map(|dependency| dependency.name);
        let expected: BTreeSet<&str> =
            expected.filter(|used| published.contains_key(*used)).collect();
        assert_eq!(used, expected, "dependencies in the package of {name}");
    }
}
