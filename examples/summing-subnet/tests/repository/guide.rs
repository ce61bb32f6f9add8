//! The code of the guide docs/write-a-subnet.md is that of the example.
#![allow(clippy::unwrap_used, reason = "helpers of tests fail like the tests themselves")]

use std::collections::BTreeSet;

const GUIDE: &str = include_str!("../../../../docs/write-a-subnet.md");
const LIBRARY: &str = include_str!("../../src/lib.rs");
const PROGRAM: &str = include_str!("../../src/main.rs");
const PACKAGE: &str = include_str!("../../Cargo.toml");

/// Returns the guide's blocks of code in a language.
fn blocks(language: &str) -> Vec<&'static str> {
    let start = format!("\n```{language}\n");
    GUIDE.split(start.as_str()).skip(1).map(|text| text.split("\n```").next().unwrap()).collect()
}

/// Removes documentation.
fn without_docs(code: &str) -> String {
    let is_code = |line: &&str| !line.trim_start().starts_with("//!") && !line.trim_start().starts_with("///");
    code.lines().filter(is_code).collect::<Vec<_>>().join("\n").trim().to_owned()
}

/// Returns the names of the dependencies of a package.
fn dependencies(package: &str) -> BTreeSet<&str> {
    let section = package.split("[dependencies]\n").nth(1).unwrap().split("\n[").next().unwrap();
    section.lines().filter_map(|line| line.split(['.', ' ']).next()).filter(|name| !name.is_empty()).collect()
}

#[test]
fn code_in_the_guide_matches_the_example() {
    let mut code = blocks("rust");
    assert_eq!(code.pop(), Some(PROGRAM.trim()), "the last block is the program");
    assert_eq!(code.join("\n\n"), without_docs(LIBRARY));
    let class = LIBRARY.lines().filter_map(|line| line.strip_prefix("//!   ")).collect::<Vec<_>>().join("\n");
    assert!(class.contains(blocks("python")[0]), "{class}");
}

#[test]
fn package_in_the_guide_matches_the_example() {
    let package = blocks("toml")[0];
    assert_eq!(dependencies(package), dependencies(PACKAGE));
    let binary = "[[bin]]\nname = \"summing-subnet\"\npath = \"src/main.rs\"\n";
    for lines in ["name = \"taonet-summing-subnet\"\n", binary] {
        assert!(package.contains(lines) && PACKAGE.contains(lines), "{lines}");
    }
}
