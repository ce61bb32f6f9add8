//! Tests of the commands' sources: all tables have a sample, and no other output is aligned.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::samples;

/// Aligned output without a table: progress bars, and lists of paths, which are not wrapped so that
/// they can be copied. And decimals that are filled up to be parsed.
const ALIGNED: [(&str, &str); 5] = [
    ("demo/contest.rs", "prefix:12"),
    ("demo/contest.rs", "bar:30.cyan"),
    ("wallet/wallet/written_key.rs", "kind:8"),
    ("wallet/stake/limit.rs", "decimals:0<DECIMALS$"),
    ("help/groups.rs", "name:NAME_WIDTH$"),
];

/// Returns the folder of the command line's crates; the folder itself is the crate of the program.
fn command_line() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Returns the sources that use tables, by path below the folder of the crates without `src`,
/// without comments and unit tests.
fn sources() -> Vec<(String, String)> {
    let root = command_line();
    let packages = std::fs::read_dir(&root).unwrap().map(|entry| entry.unwrap().path());
    let mut directories: Vec<PathBuf> =
        packages.map(|package| package.join("src")).filter(|src| src.is_dir()).collect();
    directories.push(root.join("src"));
    let mut sources = Vec::new();
    while let Some(directory) = directories.pop() {
        for entry in std::fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            let components = path.strip_prefix(&root).unwrap().components();
            let name: PathBuf = components.filter(|part| part.as_os_str() != "src").collect();
            let name = name.to_str().unwrap().to_owned();
            let is_module = ["base/table", "base/tables", "base/table.rs", "base/tables.rs"]
                .contains(&name.as_str());
            if path.is_dir() && !is_module {
                directories.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs")
                && !name.ends_with("tests.rs")
                && !is_module
            {
                let source = std::fs::read_to_string(path).unwrap();
                let source = source.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
                let lines = source.lines().filter(|line| !line.trim_start().starts_with("//"));
                sources.push((name, lines.collect::<Vec<_>>().join("\n")));
            }
        }
    }
    assert!(sources.len() > 100);
    sources
}

/// Returns the first arguments of all calls of a function.
fn arguments<'a>(source: &'a str, function: &str) -> Vec<&'a str> {
    let call = format!("{function}(");
    let starts = source.match_indices(&call).filter(|(start, _)| {
        let before = &source[..*start];
        !before.ends_with(|last: char| last.is_alphanumeric() || last == '_' || last == '.')
            && !before.ends_with("fn ")
    });
    let argument = |(start, _): (usize, &str)| {
        let remaining = &source[start + call.len()..];
        remaining.split(['(', ')', ',']).next().unwrap_or_default().trim().trim_start_matches('&')
    };
    starts.map(argument).collect()
}

/// Returns the source of all columns.
fn declarations() -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let groups = std::fs::read_dir(root.join("tables")).unwrap().map(|entry| entry.unwrap().path());
    let files = groups.filter(|path| path.is_file()).chain([root.join("tables.rs")]);
    files.map(|path| std::fs::read_to_string(path).unwrap()).collect()
}

#[test]
fn every_table_has_a_sample() {
    let (mut used_names, mut key_value_paths) = (BTreeSet::new(), BTreeSet::new());
    let sources = sources();
    for (path, source) in &sources {
        used_names.extend(
            ["table", "headerless_table", "matrix"]
                .into_iter()
                .flat_map(|function| arguments(source, function)),
        );
        if !arguments(source, "key_values").is_empty() {
            key_value_paths.insert(path.as_str());
        }
    }
    let samples = samples();
    let (paths, names): (BTreeSet<_>, BTreeSet<_>) =
        samples.iter().map(|sample| sample.name).partition(|name| name.contains('/'));
    assert_eq!(used_names, names);
    assert_eq!(key_value_paths, paths);
    let declarations = declarations();
    let declared = declarations.lines().filter_map(|line| {
        let (name, _) = line.strip_prefix("pub static ")?.split_once(':')?;
        Some(name)
    });
    assert!(declared.collect::<BTreeSet<_>>().is_subset(&used_names));
}

/// Returns whether a placeholder of a format string sets a width, other than by leading zeros.
fn sets_width(placeholder: &str) -> bool {
    let Some((_, format)) = placeholder.split_once(':') else { return false };
    let format =
        format.trim_start_matches(|fill: char| !fill.is_alphanumeric() && !" .:+#?".contains(fill));
    let width = format.split('.').next().unwrap_or_default();
    width.starts_with(|digit: char| ('1'..='9').contains(&digit)) || width.ends_with('$')
}

#[test]
fn output_has_no_width_specifiers() {
    for placeholder in [":13", "name:names$", ":<14", ":─>8.2", "text:^20"] {
        assert!(sets_width(placeholder), "{placeholder}");
    }
    for placeholder in
        ["", "name", ":?", ":#?", ":.3", ":04x", "value:.places$", ":+.4", " a: 1 ", "a::b"]
    {
        assert!(!sets_width(placeholder), "{placeholder}");
    }
    let mut aligned = BTreeSet::new();
    let sources = sources();
    for (path, source) in &sources {
        for start in source.split('{').skip(1) {
            let Some((placeholder, _)) = start.split_once('}') else { continue };
            if !placeholder.contains(['"', '\n']) && sets_width(placeholder) {
                aligned.insert((path.as_str(), placeholder));
            }
        }
        for forbidden in ["comfy_table", "Column::", "}\\t{"] {
            assert!(
                !source.contains(forbidden),
                "{path} contains {forbidden}; declare its columns in the module tables"
            );
        }
    }
    assert_eq!(aligned, BTreeSet::from(ALIGNED));
}
