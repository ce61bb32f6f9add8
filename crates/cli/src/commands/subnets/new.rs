//! The `tao subnets new` command: writes a subnet of one's own, from the files of `examples/summing-subnet`.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use anyhow::{Context as _, bail};
use clap::Args;
use serde_json::json;

use crate::context::Context;
use crate::exit::{Classified, Failure};

/// Name of the example's package, and of its program.
const PACKAGE: &str = "taonet-summing-subnet";
const PROGRAM: &str = "summing-subnet";

macro_rules! example {
    ($($path:literal),+ $(,)?) => {
        [$(($path, include_str!(concat!("../../../../../examples/summing-subnet/", $path)))),+]
    };
}

/// The files of the example, by their paths. Its manifest is that of a workspace member, and its other tests need the
/// repository.
const EXAMPLE: [(&str, &str); 9] = example![
    ".dockerignore",
    ".gitignore",
    "Dockerfile",
    "README.md",
    "rustfmt.toml",
    "src/lib.rs",
    "src/main.rs",
    "summing-subnet@.service",
    "tests/three_epochs.rs",
];
const MANIFEST: &str = include_str!("new/manifest.toml");

/// Write a subnet of your own: protocol, miner, validator, and a test on an embedded chain
#[derive(Debug, Args)]
pub(crate) struct NewArgs {
    /// Name of the package and its program, such as my-subnet; also the directory, which must not exist
    name: PackageName,
    /// Source of taonet's crates: a checkout of its repository, or the URL of a git repository
    #[arg(long, value_name = "PATH|GIT-URL")]
    taonet: Source,
}

/// A name for a package, a program, and a Rust crate with `_` in place of `-`.
#[derive(Debug, Clone, PartialEq, Eq)]
struct PackageName(String);

/// Where the generated package gets taonet's crates from.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Source {
    Checkout(PathBuf),
    Git(String),
}

/// Why a text is no package name.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
enum NameError {
    #[error("expected lowercase letters, digits and single hyphens, with a letter first, such as my-subnet")]
    Characters,
    #[error("expected at most {} characters", MAX_NAME)]
    Length,
    #[error("`{0}` is a word of the Rust language, or the name of one of its own crates")]
    Reserved(String),
    #[error("`{0}` is the name of a crate that the subnet uses")]
    Dependency(String),
}

/// Longest name of a package: crates.io has the same limit.
const MAX_NAME: usize = 64;

/// Words that cannot be the name of a crate: keywords, crates of the compiler, and names that Cargo refuses.
const RESERVED: &str = "abstract alloc as async await become box break build const continue core crate deps do dyn else \
    enum examples extern false final fn for gen if impl in incremental let loop macro match mod move \
    mut override priv pub ref return self static std struct super test trait true try type typeof \
    unsafe use virtual where while";

impl FromStr for PackageName {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let is_word = |word: &str| {
            !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())
        };
        if !text.starts_with(|first: char| first.is_ascii_lowercase()) || !text.split('-').all(is_word) {
            return Err(NameError::Characters);
        }
        if text.len() > MAX_NAME {
            return Err(NameError::Length);
        }
        if RESERVED.split(' ').any(|word| word == text) {
            return Err(NameError::Reserved(text.to_owned()));
        }
        let is_dependency = |line: &str| line.split_once(" = ").is_some_and(|(name, _)| name == text);
        let dependencies = MANIFEST.lines().skip_while(|line| *line != "[dependencies]");
        if dependencies.take_while(|line| !line.starts_with("[profile")).any(is_dependency) {
            return Err(NameError::Dependency(text.to_owned()));
        }
        Ok(Self(text.to_owned()))
    }
}

impl FromStr for Source {
    type Err = std::convert::Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let is_url = text.contains("://") || text.starts_with("git@");
        Ok(if is_url { Self::Git(text.to_owned()) } else { Self::Checkout(text.into()) })
    }
}

impl Source {
    /// Returns the source with an absolute path; an error if it is no checkout.
    fn checked(&self) -> anyhow::Result<Self> {
        let Self::Checkout(path) = self else { return Ok(self.clone()) };
        if !path.join("crates/kit/Cargo.toml").is_file() {
            return Err(Classified::error(
                Failure::Usage,
                format!("{} is no checkout of taonet: it has no crates/kit/Cargo.toml", path.display()),
            ));
        }
        Ok(Self::Checkout(path.canonicalize().with_context(|| format!("cannot resolve {}", path.display()))?))
    }

    /// Returns the keys of a dependency on a crate in this directory of the repository.
    fn dependency(&self, directory: &str) -> anyhow::Result<String> {
        // Strings of JSON are strings of TOML.
        Ok(match self {
            Self::Git(url) => format!("git = {}", json!(url)),
            Self::Checkout(path) => {
                let path = path.join(directory);
                let path = path.to_str().with_context(|| format!("{} is not UTF-8 text", path.display()))?;
                format!("path = {}", json!(path))
            }
        })
    }
}

pub(super) fn run(args: &NewArgs, context: &Context) -> anyhow::Result<()> {
    let PackageName(name) = &args.name;
    let files = files(name, &args.taonet.checked()?)?;
    let directory = Path::new(name);
    match fs::create_dir(directory) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            bail!("{name} already exists\nhint: choose another name")
        }
        other => other.with_context(|| format!("cannot create the directory {name}"))?,
    }
    for (path, text) in &files {
        write(&directory.join(path), text)?;
    }
    if context.json {
        let paths: Vec<_> = files.iter().map(|(path, _)| path).collect();
        let directory = directory.canonicalize()?.display().to_string();
        return context.print_json(&json!({ "name": name, "directory": directory, "files": paths }));
    }
    context.print(&format!(
        "wrote {} files to {name}; next:\n\n  cd {name}\n  cargo test\n\nREADME.md explains the files, and how to run \
         a miner and a validator",
        files.len()
    ))
}

fn write(path: &Path, text: &str) -> anyhow::Result<()> {
    let named = || format!("cannot write {}", path.display());
    fs::create_dir_all(path.parent().unwrap_or(path)).with_context(named)?;
    fs::write(path, text).with_context(named)
}

/// Returns the files of a package by their paths.
fn files(name: &str, source: &Source) -> anyhow::Result<Vec<(String, String)>> {
    let mut files = vec![("Cargo.toml".to_owned(), named(&manifest(source)?, name))];
    files.extend(EXAMPLE.iter().map(|(path, text)| (named(path, name), named(text, name))));
    Ok(files)
}

/// Replaces the names of the example's package, crate and program.
fn named(text: &str, name: &str) -> String {
    // In two steps, since the new name can contain the old one.
    let text = text.replace(PACKAGE, "\0").replace(PROGRAM, "\0").replace('\0', name);
    text.replace(&PACKAGE.replace('-', "_"), &name.replace('-', "_"))
}

/// Returns the manifest with taonet's crates from a source: `@DIRECTORY` stands for the source of a crate.
fn manifest(source: &Source) -> anyhow::Result<String> {
    let mut text = String::new();
    for line in MANIFEST.lines() {
        if let Some((before, rest)) = line.split_once('@') {
            let (directory, after) = rest.split_at(rest.find([' ', ',']).unwrap_or(rest.len()));
            text.extend([before, &source.dependency(directory)?, after]);
        } else {
            text.push_str(line);
        }
        text.push('\n');
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn root() -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
    }

    fn example() -> PathBuf {
        root().join("examples/summing-subnet")
    }

    fn git() -> Source {
        "https://git.example/taonet".parse().unwrap()
    }

    /// Lists the files below a directory, by their paths in it.
    fn listed(directory: &Path, below: &str, paths: &mut BTreeSet<String>) {
        for entry in fs::read_dir(directory.join(below)).unwrap() {
            let entry = entry.unwrap();
            let path = Path::new(below).join(entry.file_name()).to_str().unwrap().to_owned();
            if entry.path().is_dir() {
                listed(directory, &path, paths);
            } else {
                paths.insert(path);
            }
        }
    }

    /// Returns the names and sources of the dependencies in a section of a manifest.
    fn dependencies<'a>(manifest: &'a str, section: &str) -> Vec<(&'a str, &'a str)> {
        let (_, rest) = manifest.split_once(&format!("\n[{section}]\n")).unwrap();
        let lines = rest.lines().take_while(|line| !line.starts_with('['));
        // A member of the workspace inherits whole dependencies, or adds features to them.
        let split = |line: &'a str| line.split_once(".workspace = ").or_else(|| line.split_once(" = "));
        lines.filter_map(split).collect()
    }

    #[test]
    fn example_is_the_output() {
        let files = files(PROGRAM, &git()).unwrap();
        for (path, text) in files.iter().filter(|(path, _)| path != "Cargo.toml") {
            let example = fs::read_to_string(example().join(path)).unwrap();
            // The example's package has another name than its program.
            let example = example.replace(PACKAGE, PROGRAM).replace("taonet_summing_subnet", "summing_subnet");
            assert_eq!(*text, example, "{path}");
        }
        let mut expected = BTreeSet::new();
        listed(&example(), "", &mut expected);
        // These compare with the guide, and kill the programs.
        for test in ["tests/guide.rs", "tests/programs.rs"] {
            assert!(expected.remove(test), "{test}");
        }
        assert_eq!(files.into_iter().map(|(path, _)| path).collect::<BTreeSet<_>>(), expected);
    }

    #[test]
    fn manifest_has_the_dependencies_of_the_example() {
        let own = manifest(&git()).unwrap();
        let example = fs::read_to_string(example().join("Cargo.toml")).unwrap();
        let workspace = fs::read_to_string(root().join("Cargo.toml")).unwrap();
        for section in ["dependencies", "dev-dependencies"] {
            let names = |manifest: &str| -> BTreeSet<String> {
                dependencies(manifest, section).into_iter().map(|(name, _)| name.to_owned()).collect()
            };
            assert_eq!(names(&own), names(&example), "{section}");
            for (name, value) in dependencies(&own, section) {
                if let Some(crate_name) = name.strip_prefix("taonet-") {
                    let directory = format!("{name} = {{ path = \"crates/{crate_name}\" }}");
                    assert!(workspace.contains(&directory) && value.starts_with("{ git = "), "{name} = {value}");
                    assert!(MANIFEST.contains(&format!("{name} = {{ @crates/{crate_name}")), "{name}");
                } else {
                    assert!(workspace.contains(&format!("\n{name} = {value}\n")), "{name} = {value}");
                }
            }
        }
        for key in ["edition", "rust-version"] {
            let line = own.lines().find(|line| line.starts_with(&format!("{key} = "))).unwrap();
            assert!(workspace.contains(&format!("\n{line}\n")), "{line}");
        }
    }

    #[test]
    fn names_replace_those_of_the_example() {
        assert_eq!(
            named("taonet-summing-subnet summing-subnet", "my-summing-subnet"),
            "my-summing-subnet my-summing-subnet"
        );
        for (path, text) in files("my-subnet", &git()).unwrap() {
            assert!(!path.contains(PROGRAM) && !text.contains(PROGRAM), "{path}: {text}");
            assert!(!text.contains("summing_subnet"), "{path}: {text}");
            if path == "src/main.rs" {
                assert!(text.contains("use my_subnet::{Summing, miner};"), "{text}");
            }
        }
    }

    #[test]
    fn crates_come_from_a_checkout_or_a_git_repository() {
        let here: Source = root().to_str().unwrap().parse().unwrap();
        let Source::Checkout(path) = here.checked().unwrap() else { panic!("{here:?}") };
        let checkout = manifest(&Source::Checkout(path.clone())).unwrap();
        let kit = json!(path.join("crates/kit").to_str().unwrap());
        assert!(checkout.contains(&format!("\ntaonet-kit = {{ path = {kit} }}\n")), "{checkout}");
        for url in ["https://git.example/taonet", "ssh://git@git.example/taonet", "git@git.example:taonet.git"] {
            let source: Source = url.parse().unwrap();
            let manifest = manifest(&source.checked().unwrap()).unwrap();
            let validator = format!("\ntaonet-validator = {{ git = \"{url}\", features = [\"testing\"] }}\n");
            assert!(manifest.contains(&validator), "{manifest}");
        }
        let quoted = manifest(&Source::Git("https://git.example/\"\\".to_owned())).unwrap();
        assert!(quoted.contains(r#"git = "https://git.example/\"\\" }"#), "{quoted}");
        let other: Source = "/nowhere".parse().unwrap();
        let error = other.checked().unwrap_err().to_string();
        assert!(error.contains("/nowhere is no checkout of taonet"), "{error}");
    }

    /// Columns: name · error
    #[test]
    fn names_that_no_package_can_have_are_errors() {
        for name in ["demo", "my-subnet", "a1-b2", &"a".repeat(MAX_NAME)] {
            assert_eq!(name.parse::<PackageName>(), Ok(PackageName(name.to_owned())));
        }
        let reserved = |name: &str| NameError::Reserved(name.to_owned());
        let dependency = |name: &str| NameError::Dependency(name.to_owned());
        for (name, error) in [
            ("", NameError::Characters),
            ("Demo", NameError::Characters),
            ("1demo", NameError::Characters),
            ("-demo", NameError::Characters),
            ("demo-", NameError::Characters),
            ("my--subnet", NameError::Characters),
            ("my_subnet", NameError::Characters),
            ("my subnet", NameError::Characters),
            ("../demo", NameError::Characters),
            ("démo", NameError::Characters),
            ("async", reserved("async")),
            ("test", reserved("test")),
            ("std", reserved("std")),
            ("tokio", dependency("tokio")),
            ("taonet-kit", dependency("taonet-kit")),
            ("tempfile", dependency("tempfile")),
        ] {
            assert_eq!(name.parse::<PackageName>(), Err(error), "{name}");
        }
        assert_eq!("a".repeat(MAX_NAME + 1).parse::<PackageName>(), Err(NameError::Length));
    }
}
