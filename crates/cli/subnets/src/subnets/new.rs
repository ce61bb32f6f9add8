//! The `tao subnets new` command: writes a subnet of one's own, from the files of
//! `examples/summing-subnet`.

use std::fs;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use anyhow::{Context as _, bail};
use clap::Args;
use serde_json::json;
use taonet_cli_base::context::Context;
use taonet_cli_base::exit::ClassifiedError;

/// Name of the example's package, and of its program.
const EXAMPLE_PACKAGE: &str = "taonet-summing-subnet";
const EXAMPLE_PROGRAM: &str = "summing-subnet";

macro_rules! example_files {
    ($($path:literal),+ $(,)?) => {
        [$(($path, include_str!(concat!("../../../../../examples/summing-subnet/", $path)))),+]
    };
}

/// The files of the example, by their paths. Its manifest is that of a workspace member, and its
/// other tests need the repository.
const EXAMPLE_FILES: [(&str, &str); 9] = example_files![
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
/// The miner of the example in Python.
const PYTHON_FILES: [(&str, &str); 8] = example_files![
    "python/.gitignore",
    "python/README.md",
    "python/pyproject.toml",
    "python/summing_subnet_miner/__init__.py",
    "python/summing_subnet_miner/__main__.py",
    "python/summing_subnet_miner/miner.py",
    "python/summing_subnet_miner/protocol.py",
    "python/tests/test_miner.py",
];
const MANIFEST_TEMPLATE: &str = include_str!("new/manifest.toml");

/// Write a subnet of your own: protocol, miner, validator, and a test on an embedded chain
#[derive(Debug, Args)]
pub struct NewArgs {
    /// Name of the package and its program, such as my-subnet; also the directory, which must not
    /// exist
    name: PackageName,
    /// Source of taonet's crates: a checkout of its repository, or the URL of a git repository
    #[arg(long, value_name = "PATH|GIT-URL")]
    taonet: TaonetSource,
    /// Commit or tag of the git repository [default: its newest commit]
    #[arg(long, value_name = "COMMIT|TAG")]
    rev: Option<String>,
    /// Also write the miner as a Python package for the Bittensor SDK 10, in the directory `python`
    #[arg(long)]
    python: bool,
}

/// Name of a package, of its program, and of its Rust crate, which has `_` in place of `-`.
#[derive(Debug, Clone, PartialEq, Eq)]
struct PackageName(String);

/// Source of taonet's crates for the generated package.
#[derive(Debug, Clone, PartialEq, Eq)]
enum TaonetSource {
    Checkout(PathBuf),
    Git { url: String, rev: Option<String> },
}

/// Why a text is not a package name.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
enum NameError {
    #[error(
        "expected lowercase letters, digits and single hyphens, with a letter first, such as my-subnet"
    )]
    Characters,
    #[error("expected at most {} characters", MAX_NAME_LENGTH)]
    Length,
    #[error("`{0}` is a word of the Rust language, or the name of one of its types or crates")]
    Reserved(String),
    #[error(
        "`{0}` is the name of a crate that the subnet uses, or could be that of one of taonet's own"
    )]
    Dependency(String),
}

/// Longest name of a package: the systemd unit runs as the user of this name, and Linux has no
/// longer ones.
const MAX_NAME_LENGTH: usize = 31;

/// Words that cannot be the name of a crate: keywords, primitive types, crates of the compiler, and
/// names that Cargo refuses.
const RESERVED_NAMES: &str = "abstract alloc as async await become bool box break build char const continue core crate deps \
    do dyn else enum examples extern f16 f32 f64 f128 false final fn for gen i8 i16 i32 i64 i128 if impl in incremental \
    isize let loop macro match mod move mut override priv proc-macro pub ref return self static std str struct super \
    test trait true try type typeof u8 u16 u32 u64 u128 unsafe use usize virtual where while yield";

fn is_word(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())
}

impl FromStr for PackageName {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        if !text.starts_with(|first: char| first.is_ascii_lowercase())
            || !text.split('-').all(is_word)
        {
            return Err(NameError::Characters);
        }
        if text.len() > MAX_NAME_LENGTH {
            return Err(NameError::Length);
        }
        if RESERVED_NAMES.split(' ').any(|word| word == text) {
            return Err(NameError::Reserved(text.to_owned()));
        }
        // Crates that differ only in `-` and `_` have the same name in Rust.
        let dependencies = MANIFEST_TEMPLATE.lines().skip_while(|line| *line != "[dependencies]");
        let mut dependencies = dependencies.take_while(|line| !line.starts_with("[profile"));
        let is_dependency = dependencies.any(|line| {
            line.split_once(" = ").is_some_and(|(name, _)| name.replace('_', "-") == text)
        });
        if text.starts_with("taonet-") || is_dependency {
            return Err(NameError::Dependency(text.to_owned()));
        }
        Ok(Self(text.to_owned()))
    }
}

impl FromStr for TaonetSource {
    type Err = std::convert::Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        // Cargo takes URLs only, not the short form of ssh.
        if let Some((host, path)) =
            text.strip_prefix("git@").and_then(|location| location.split_once(':'))
        {
            return Ok(Self::Git {
                url: format!("ssh://git@{host}/{}", path.trim_start_matches('/')),
                rev: None,
            });
        }
        let is_url = text.contains("://");
        Ok(if is_url {
            Self::Git { url: text.to_owned(), rev: None }
        } else {
            Self::Checkout(text.into())
        })
    }
}

impl TaonetSource {
    /// Returns the source with an absolute path or with the commit; an error if it is not a
    /// checkout.
    fn validate(&self, rev: Option<&str>) -> anyhow::Result<Self> {
        let path = match self {
            Self::Git { url, .. } => {
                return Ok(Self::Git { url: url.clone(), rev: rev.map(str::to_owned) });
            }
            Self::Checkout(path) => path,
        };
        if !path.join("crates/kit/Cargo.toml").is_file() {
            return Err(ClassifiedError::usage(format!(
                "{} is no checkout of taonet: it has no crates/kit/Cargo.toml",
                path.display()
            )));
        }
        if rev.is_some() {
            return Err(ClassifiedError::usage(
                "--rev is the commit of a git repository, but --taonet is a checkout",
            ));
        }
        Ok(Self::Checkout(
            path.canonicalize().with_context(|| format!("cannot resolve {}", path.display()))?,
        ))
    }

    /// Checks that a directory is outside the checkout: the package is a separate repository.
    fn check_outside(&self, directory: &Path) -> anyhow::Result<()> {
        match self {
            Self::Checkout(path) if directory.starts_with(path) => {
                Err(ClassifiedError::usage(format!(
                    "{} is in taonet's checkout\nhint: run the command in a directory outside it",
                    directory.display()
                )))
            }
            Self::Checkout(_) | Self::Git { .. } => Ok(()),
        }
    }

    /// Returns the keys of a dependency on a crate in this directory of the repository.
    fn dependency(&self, directory: &str) -> anyhow::Result<String> {
        // Strings of JSON are strings of TOML.
        Ok(match self {
            Self::Git { url, rev: None } => format!("git = {}", json!(url)),
            Self::Git { url, rev: Some(rev) } => {
                format!("git = {}, rev = {}", json!(url), json!(rev))
            }
            Self::Checkout(path) => {
                let path = path.join(directory);
                let path = path
                    .to_str()
                    .with_context(|| format!("{} is not UTF-8 text", path.display()))?;
                format!("path = {}", json!(path))
            }
        })
    }
}

pub(super) fn run(args: &NewArgs, context: &Context) -> anyhow::Result<()> {
    let PackageName(name) = &args.name;
    let source = args.taonet.validate(args.rev.as_deref())?;
    let current_directory =
        Path::new(".").canonicalize().context("cannot resolve the current directory")?;
    source.check_outside(&current_directory)?;
    let files = package_files(name, &source, args.python)?;
    create_package(&current_directory, name, &files)?;
    if context.json {
        let paths: Vec<_> = files.iter().map(|(path, _)| path).collect();
        let directory = current_directory.join(name).display().to_string();
        return context
            .print_json(&json!({ "name": name, "directory": directory, "files": paths }));
    }
    context.print(&format!(
        "wrote {} files to {name}; next:\n\n  cd {name}\n  cargo test\n\nREADME.md explains the files, and how to run \
         a miner and a validator",
        files.len()
    ))
}

/// Creates a directory with its files, or nothing: they are written beside it, and then renamed.
fn create_package(parent: &Path, name: &str, files: &[(String, String)]) -> anyhow::Result<()> {
    let directory = parent.join(name);
    if directory.symlink_metadata().is_ok() {
        bail!("{name} already exists\nhint: choose another name");
    }
    let temporary_directory = tempfile::Builder::new()
        .prefix(&format!(".{name}-"))
        .tempdir_in(parent)
        .with_context(|| creation_error_message(name))?;
    // A temporary directory is readable by its owner only, one in it by all users.
    let package = temporary_directory.path().join(name);
    for (path, text) in files {
        write_file(&package.join(path), text)?;
    }
    fs::rename(&package, &directory).with_context(|| creation_error_message(name))
}

fn creation_error_message(name: &str) -> String {
    format!("cannot create the directory {name}")
}

fn write_file(path: &Path, text: &str) -> anyhow::Result<()> {
    fs::create_dir_all(path.parent().unwrap_or(path))
        .and_then(|()| fs::write(path, text))
        .with_context(|| format!("cannot write {}", path.display()))
}

/// Returns the files of a package by their paths, with the miner in Python if `has_python`.
fn package_files(
    name: &str,
    source: &TaonetSource,
    has_python: bool,
) -> anyhow::Result<Vec<(String, String)>> {
    // The source is inserted after the names: its path or URL can contain those of the example.
    let mut files = vec![(
        "Cargo.toml".to_owned(),
        fill_manifest(&replace_example_name(MANIFEST_TEMPLATE, name), source)?,
    )];
    if let TaonetSource::Checkout(path) = source {
        // With the versions that the checkout is tested with. Cargo removes those that the package
        // does not use.
        let lock = path.join("Cargo.lock");
        let text =
            fs::read_to_string(&lock).with_context(|| format!("cannot read {}", lock.display()))?;
        files.push(("Cargo.lock".to_owned(), text));
    }
    let python = PYTHON_FILES.iter().filter(|_| has_python);
    let example = EXAMPLE_FILES.iter().chain(python);
    files.extend(
        example.map(|(path, text)| {
            (replace_example_name(path, name), replace_example_name(text, name))
        }),
    );
    Ok(files)
}

/// Replaces the names of the example's package, crate, program and Python module.
fn replace_example_name(text: &str, name: &str) -> String {
    // In two steps each, since the new name can contain the old one.
    let text =
        text.replace(EXAMPLE_PACKAGE, "\0").replace(EXAMPLE_PROGRAM, "\0").replace('\0', name);
    let [package, program, module] =
        [EXAMPLE_PACKAGE, EXAMPLE_PROGRAM, name].map(|name| name.replace('-', "_"));
    text.replace(&package, "\0").replace(&program, "\0").replace('\0', &module)
}

/// Fills in a manifest with taonet's crates from a source: `@DIRECTORY` stands for the source of a
/// crate.
fn fill_manifest(template: &str, source: &TaonetSource) -> anyhow::Result<String> {
    let mut text = String::new();
    for line in template.lines() {
        if let Some((before, after)) = line.split_once('@') {
            let (directory, after) = after.split_at(after.find([' ', ',']).unwrap_or(after.len()));
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
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../..")
    }

    fn example() -> PathBuf {
        root().join("examples/summing-subnet")
    }

    fn git() -> TaonetSource {
        "https://git.example/taonet".parse().unwrap()
    }

    /// Lists the files below a directory, by their paths in it.
    fn list_files(directory: &Path, below: &str, paths: &mut BTreeSet<String>) {
        for entry in fs::read_dir(directory.join(below)).unwrap() {
            let entry = entry.unwrap();
            let path = Path::new(below).join(entry.file_name()).to_str().unwrap().to_owned();
            if entry.path().is_dir() {
                list_files(directory, &path, paths);
            } else {
                paths.insert(path);
            }
        }
    }

    /// Returns the names and sources of the dependencies in a section of a manifest.
    fn dependencies<'a>(manifest: &'a str, section: &str) -> Vec<(&'a str, &'a str)> {
        let (_, remaining) = manifest.split_once(&format!("\n[{section}]\n")).unwrap();
        let lines = remaining.lines().take_while(|line| !line.starts_with('['));
        // A member of the workspace inherits whole dependencies, or adds features to them.
        let split =
            |line: &'a str| line.split_once(".workspace = ").or_else(|| line.split_once(" = "));
        lines.filter_map(split).collect()
    }

    #[test]
    fn generated_package_equals_the_example() {
        let files = package_files(EXAMPLE_PROGRAM, &git(), true).unwrap();
        for (path, text) in files.iter().filter(|(path, _)| path != "Cargo.toml") {
            let example = fs::read_to_string(example().join(path)).unwrap();
            // The example's package has another name than its program.
            let example = example
                .replace(EXAMPLE_PACKAGE, EXAMPLE_PROGRAM)
                .replace("taonet_summing_subnet", "summing_subnet");
            assert_eq!(*text, example, "{path}");
        }
        let mut expected = BTreeSet::new();
        list_files(&example(), "", &mut expected);
        // These compare with the guide, kill the programs, and fill the subnet.
        for test in ["guide", "main", "programs", "registrations"] {
            assert!(expected.remove(&format!("tests/repository/{test}.rs")), "{test}");
        }
        assert_eq!(files.into_iter().map(|(path, _)| path).collect::<BTreeSet<_>>(), expected);
    }

    #[test]
    fn manifest_has_the_dependencies_of_the_example() {
        let generated = fill_manifest(MANIFEST_TEMPLATE, &git()).unwrap();
        let example = fs::read_to_string(example().join("Cargo.toml")).unwrap();
        let workspace = fs::read_to_string(root().join("Cargo.toml")).unwrap();
        for section in ["dependencies", "dev-dependencies"] {
            let names = |manifest: &str| -> BTreeSet<String> {
                dependencies(manifest, section)
                    .into_iter()
                    .map(|(name, _)| name.to_owned())
                    .collect()
            };
            assert_eq!(names(&generated), names(&example), "{section}");
            for (name, value) in dependencies(&generated, section) {
                if let Some(crate_name) = name.strip_prefix("taonet-") {
                    let directory =
                        format!("{name} = {{ path = \"crates/{crate_name}\", version = ");
                    assert!(
                        workspace.contains(&directory) && value.starts_with("{ git = "),
                        "{name} = {value}"
                    );
                    assert!(
                        MANIFEST_TEMPLATE.contains(&format!("{name} = {{ @crates/{crate_name}")),
                        "{name}"
                    );
                } else {
                    assert!(
                        workspace.contains(&format!("\n{name} = {value}\n")),
                        "{name} = {value}"
                    );
                }
            }
        }
        for key in ["edition", "rust-version"] {
            let line =
                generated.lines().find(|line| line.starts_with(&format!("{key} = "))).unwrap();
            assert!(workspace.contains(&format!("\n{line}\n")), "{line}");
        }
    }

    #[test]
    fn package_name_replaces_the_example_name() {
        assert_eq!(
            replace_example_name("taonet-summing-subnet summing-subnet", "my-summing-subnet"),
            "my-summing-subnet my-summing-subnet"
        );
        for (path, text) in package_files("my-subnet", &git(), true).unwrap() {
            assert!(
                !path.contains(EXAMPLE_PROGRAM) && !text.contains(EXAMPLE_PROGRAM),
                "{path}: {text}"
            );
            assert!(!text.contains("summing_subnet"), "{path}: {text}");
            if path == "src/main.rs" {
                assert!(text.contains("use my_subnet::{Summing, miner};"), "{text}");
            }
            if path == "README.md" {
                assert!(
                    text.contains("/var/lib/my-subnet/.bittensor/wallets/default/hotkeys/default"),
                    "{text}"
                );
            }
        }
    }

    #[test]
    fn crates_come_from_a_checkout_or_a_git_repository() {
        let checkout_source: TaonetSource = root().to_str().unwrap().parse().unwrap();
        let checked = checkout_source.validate(None).unwrap();
        let TaonetSource::Checkout(path) = &checked else { panic!("{checkout_source:?}") };
        let checkout = fill_manifest(MANIFEST_TEMPLATE, &checked).unwrap();
        let kit = json!(path.join("crates/kit").to_str().unwrap());
        assert!(checkout.contains(&format!("\ntaonet-kit = {{ path = {kit} }}\n")), "{checkout}");
        for (text, url) in [
            ("https://git.example/taonet", "https://git.example/taonet"),
            ("ssh://git@git.example/taonet", "ssh://git@git.example/taonet"),
            ("git@git.example:taonet.git", "ssh://git@git.example/taonet.git"),
            ("git@git.example:/srv/taonet", "ssh://git@git.example/srv/taonet"),
        ] {
            let source: TaonetSource = text.parse().unwrap();
            for (rev, key) in [(None, ""), (Some("v1.0"), ", rev = \"v1.0\"")] {
                let manifest =
                    fill_manifest(MANIFEST_TEMPLATE, &source.validate(rev).unwrap()).unwrap();
                let validator = format!(
                    "\ntaonet-validator = {{ git = \"{url}\"{key}, features = [\"testing\"] }}\n"
                );
                assert!(manifest.contains(&validator), "{manifest}");
            }
        }
        let quoted = TaonetSource::Git { url: "https://git.example/\"\\".to_owned(), rev: None };
        let quoted = fill_manifest(MANIFEST_TEMPLATE, &quoted).unwrap();
        assert!(quoted.contains(r#"git = "https://git.example/\"\\" }"#), "{quoted}");
        let other: TaonetSource = "/nowhere".parse().unwrap();
        let error = other.validate(None).unwrap_err().to_string();
        assert!(error.contains("/nowhere is no checkout of taonet"), "{error}");
        let error = checkout_source.validate(Some("v1.0")).unwrap_err().to_string();
        assert!(error.contains("--rev is the commit of a git repository"), "{error}");
    }

    #[test]
    fn source_url_with_example_name_is_unchanged() {
        let source: TaonetSource =
            "https://git.example/taonet-summing-subnet/summing-subnet".parse().unwrap();
        let (path, manifest) = &package_files("demo", &source, false).unwrap()[0];
        assert_eq!(path, "Cargo.toml");
        let kit = "\ntaonet-kit = { git = \"https://git.example/taonet-summing-subnet/summing-subnet\" }\n";
        assert!(manifest.contains("\nname = \"demo\"\n") && manifest.contains(kit), "{manifest}");
    }

    #[test]
    fn package_of_a_checkout_has_its_lock_file() {
        let checkout = TaonetSource::Checkout(root());
        let lock = fs::read_to_string(root().join("Cargo.lock")).unwrap();
        let files = package_files("demo", &checkout, false).unwrap();
        assert!(files.contains(&("Cargo.lock".to_owned(), lock)));
    }

    #[test]
    fn package_creation_is_atomic() {
        let folder = tempfile::tempdir().unwrap();
        let names = || {
            let entries = fs::read_dir(folder.path()).unwrap();
            entries
                .map(|entry| entry.unwrap().file_name().into_string().unwrap())
                .collect::<Vec<_>>()
        };
        let file = |path: &str| (path.to_owned(), "text".to_owned());
        // The second file would be in the first.
        let error =
            create_package(folder.path(), "demo", &[file("src"), file("src/lib.rs")]).unwrap_err();
        assert!(format!("{error:#}").contains("cannot write"), "{error:#}");
        assert_eq!(names(), [""; 0]);
        create_package(folder.path(), "demo", &[file("Cargo.toml"), file("src/lib.rs")]).unwrap();
        assert_eq!(names(), ["demo"]);
        assert_eq!(fs::read_to_string(folder.path().join("demo/src/lib.rs")).unwrap(), "text");
        fs::create_dir(folder.path().join("empty")).unwrap();
        for name in ["demo", "empty"] {
            let error =
                create_package(folder.path(), name, &[file("Cargo.toml")]).unwrap_err().to_string();
            assert!(error.contains("already exists"), "{error}");
        }
    }

    #[test]
    fn package_in_the_checkout_is_refused() {
        let checkout = TaonetSource::Checkout("/srv/taonet".into());
        for directory in ["/srv/taonet", "/srv/taonet/examples"] {
            let error = checkout.check_outside(Path::new(directory)).unwrap_err().to_string();
            assert!(error.contains("is in taonet's checkout"), "{error}");
        }
        for directory in ["/srv", "/srv/taonet-subnets"] {
            checkout.check_outside(Path::new(directory)).unwrap();
        }
        git().check_outside(Path::new("/srv/taonet")).unwrap();
    }

    /// Columns: name · error
    #[test]
    fn invalid_package_names_are_errors() {
        for name in ["demo", "my-subnet", "a1-b2", &"a".repeat(MAX_NAME_LENGTH)] {
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
            ("core", reserved("core")),
            ("alloc", reserved("alloc")),
            ("proc-macro", reserved("proc-macro")),
            ("u8", reserved("u8")),
            ("i128", reserved("i128")),
            ("f64", reserved("f64")),
            ("usize", reserved("usize")),
            ("bool", reserved("bool")),
            ("char", reserved("char")),
            ("str", reserved("str")),
            ("tokio", dependency("tokio")),
            ("serde-json", dependency("serde-json")),
            ("taonet-subnet", dependency("taonet-subnet")),
            ("taonet-kit", dependency("taonet-kit")),
            ("tempfile", dependency("tempfile")),
        ] {
            assert_eq!(name.parse::<PackageName>(), Err(error), "{name}");
        }
        // Longer than the name of a user.
        assert_eq!("a".repeat(32).parse::<PackageName>(), Err(NameError::Length));
    }
}
