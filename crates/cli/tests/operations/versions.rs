//! Checks that all files name the same version: that of the workspace.

use crate::{read, root};

const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Words before a version in the names of release files, and in the output of the program.
const PREFIXES: [&str; 5] = ["taonet_", "taonet-", "tao-", "dist/", "tao "];
/// Version of docs/update.md in the names of files on a release server.
const PLACEHOLDER: &str = "1.2.3";

/// Returns the versions MAJOR.MINOR.PATCH directly after a prefix.
fn versions_after<'a>(text: &'a str, prefix: &str) -> Vec<&'a str> {
    let version = |remaining: &'a str| {
        let end =
            remaining.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(remaining.len());
        remaining[..end].trim_end_matches('.')
    };
    let candidates = text.split(prefix).skip(1).map(version);
    candidates.filter(|version| version.split('.').count() == 3).collect()
}

/// Returns the crates of this repository in a lock file, with their versions.
fn locked_crates(lock: &str) -> Vec<(String, String)> {
    let value = |package: &str, key: &str| {
        let start = format!("{key} = \"");
        package
            .lines()
            .find_map(|line| Some(line.strip_prefix(&start)?.trim_end_matches('"')))
            .map(str::to_owned)
    };
    let lock = read(lock);
    // Crates of registries have a source.
    let local = lock.split("[[package]]\n").filter(|package| value(package, "source").is_none());
    local
        .filter_map(|package| Some((value(package, "name")?, value(package, "version")?)))
        .collect()
}

#[test]
fn workspace_crates_have_one_version() {
    let manifest = read("Cargo.toml");
    assert!(manifest.contains(&format!("\n[workspace.package]\nversion = \"{VERSION}\"\n")));
    // Dependencies on crates that are published have a version beside their path.
    let published = manifest.lines().filter(|line| {
        line.starts_with("taonet-") && line.contains("path = ") && line.contains("version = ")
    });
    let mut count = 0;
    for line in published {
        assert!(line.contains(&format!("version = \"{VERSION}\"")), "{line}");
        count += 1;
    }
    assert!(count > 10, "{count}");
    for (lock, minimum) in [("Cargo.lock", 80), ("fuzz/Cargo.lock", 20)] {
        let crates = locked_crates(lock);
        assert!(crates.len() > minimum, "{lock}: {crates:?}");
        for (name, version) in crates {
            // The fuzz targets are never released.
            let expected = if name == "taonet-fuzz" { "0.0.0" } else { VERSION };
            assert_eq!(version, expected, "{lock}: {name}");
        }
    }
}

#[test]
fn changelog_begins_with_the_dated_version() {
    let changelog = read("CHANGELOG.md");
    let mut headings = changelog.lines().filter_map(|line| line.strip_prefix("## "));
    let heading = headings.find(|heading| *heading != "[Unreleased]").unwrap();
    let date = heading
        .strip_prefix(&format!("[{VERSION}] - "))
        .unwrap_or_else(|| panic!("CHANGELOG.md: {heading}"));
    let is_date = date.len() == 10
        && date.char_indices().all(|(index, c)| match index {
            4 | 7 => c == '-',
            _ => c.is_ascii_digit(),
        });
    assert!(is_date, "CHANGELOG.md: {heading}");
}

#[test]
fn documents_and_scripts_name_the_version() {
    let mut paths = vec!["README.md".to_owned(), "install.sh".to_owned()];
    for folder in ["docs", "scripts"] {
        let entries = std::fs::read_dir(root().join(folder)).unwrap();
        let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        paths.extend(names.map(|name| format!("{folder}/{name}")));
    }
    let mut count = 0;
    for path in paths.iter().filter(|path| root().join(path).is_file()) {
        let text = read(path);
        for prefix in PREFIXES {
            for version in versions_after(&text, prefix) {
                let is_known = version == VERSION || version == PLACEHOLDER;
                assert!(is_known, "{path}: {prefix}{version}");
                count += 1;
            }
        }
    }
    assert!(count >= 8, "{count}");
}

#[test]
fn supported_versions_and_api_promises_name_the_minor_version() {
    let (minor, _) = VERSION.rsplit_once('.').unwrap();
    let security = read("SECURITY.md");
    let (_, supported) = security.split_once("\n## Supported versions\n").unwrap();
    let (supported, _) = supported.split_once("\n## ").unwrap();
    assert!(supported.contains(&format!("| {minor}.x | yes |")), "SECURITY.md: {supported}");
    for path in ["docs/crates.md", "crates/README.md"] {
        let text = read(path);
        assert!(text.contains(&format!("({minor} to ")), "{path}");
        assert!(text.contains(&format!("({VERSION} to ")), "{path}");
    }
}
