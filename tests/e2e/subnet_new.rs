//! `tao subnets new` through the binary: the generated package resolves outside the repository and,
//! in `./test --all`, passes its own test. Its code is that of `examples/summing-subnet`, as a unit
//! test of the command checks; that package is part of the workspace, which compiles it and runs
//! the same test each time.

#[cfg(unix)]
mod python;

use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use serde_json::json;
use taonet_chain::Chain;
use taonet_kit::MinerSettings;
use taonet_service::{Access, Shutdown, atomic_write};
use taonet_summing_subnet::miner;
use taonet_validator::testing::{LocalChain, NETUID};
use taonet_wallet::Keyfile;

use crate::support::{document, is_exhaustive, program, refusal, repository, stderr, tao};

/// Runs `tao subnets new` in a directory, with this checkout as the source of the crates.
fn new(directory: &Path, arguments: &[&str]) -> std::process::Output {
    let mut tao = tao();
    tao.args(["subnets", "new", "--taonet"]).arg(repository("")).args(arguments);
    tao.current_dir(directory).output().unwrap()
}

/// Cargo for a package, without network access.
fn cargo(package: &Path, verb: &str) -> Command {
    let mut cargo = program(env!("CARGO"));
    cargo.args([verb, "--offline"]).current_dir(package);
    cargo
}

#[test]
fn generated_package_resolves_outside_the_repository() {
    let folder = tempfile::tempdir().unwrap();
    let report = document(&new(folder.path(), &["demo", "--json"]));
    let package = folder.path().join("demo");
    assert_eq!(report["name"], "demo");
    assert_eq!(report["directory"], json!(package.canonicalize().unwrap()));
    for file in report["files"].as_array().unwrap() {
        assert!(package.join(file.as_str().unwrap()).is_file(), "{file}");
    }
    // Without network access, Cargo needs the versions of the checkout, which are on this machine.
    let output =
        cargo(&package, "tree").args(["--depth", "1", "--prefix", "none"]).output().unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    let tree = String::from_utf8(output.stdout).unwrap();
    for name in ["demo", "taonet-kit", "taonet-chain", "taonet-validator", "tokio"] {
        assert!(tree.lines().any(|line| line.starts_with(&format!("{name} v"))), "{name}: {tree}");
    }
    // What `cargo build --release` and `cargo test` compile.
    let output = cargo(&package, "metadata").args(["--no-deps", "--format-version", "1"]).output();
    let metadata = document(&output.unwrap());
    let targets = metadata["packages"][0]["targets"].as_array().unwrap().iter();
    let mut targets: Vec<_> =
        targets.map(|target| (target["kind"][0].as_str(), target["name"].as_str())).collect();
    targets.sort_unstable();
    let names = [("bin", "demo"), ("lib", "demo"), ("test", "three_epochs")];
    assert_eq!(targets, names.map(|(kind, name)| (Some(kind), Some(name))));
    if !is_exhaustive() {
        return;
    }
    // The directory remains between runs, since the first build takes many minutes.
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).join("subnet-new");
    let output = cargo(&package, "test").env("CARGO_TARGET_DIR", target).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}{}", stderr(&output));
    assert!(text.contains("test good_miner_earns_most_after_three_epochs ... ok"), "{text}");
}

#[test]
fn existing_directories_and_invalid_names_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("here")).unwrap();
    std::fs::write(folder.path().join("file"), "mine").unwrap();
    for name in ["here", "file"] {
        let error = refusal(&new(folder.path(), &[name]), 1);
        assert!(error.contains(&format!("{name} already exists")), "{error}");
    }
    for (name, words) in [
        ("My_Subnet", "expected lowercase letters, digits and single hyphens"),
        ("../outside", "expected lowercase letters, digits and single hyphens"),
        ("async", "`async` is a word of the Rust language"),
        ("tokio", "`tokio` is the name of a crate that the subnet uses"),
        ("serde-json", "`serde-json` is the name of a crate that the subnet uses"),
    ] {
        let error = refusal(&new(folder.path(), &[name]), 2);
        assert!(error.contains(words), "{name}: {error}");
    }
    let mut in_other_directory = tao();
    in_other_directory.args(["subnets", "new", "demo", "--taonet", "."]).current_dir(folder.path());
    let error = refusal(&in_other_directory.output().unwrap(), 2);
    assert!(error.contains("is no checkout of taonet"), "{error}");
    let in_checkout = tao()
        .args(["subnets", "new", "demo", "--taonet"])
        .arg(repository(""))
        .current_dir(repository("docs"))
        .output();
    assert!(refusal(&in_checkout.unwrap(), 2).contains("is in taonet's checkout"));
    assert!(!repository("docs/demo").exists());
    // Nothing was written.
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 2);
    assert_eq!(std::fs::read_to_string(folder.path().join("file")).unwrap(), "mine");
}

/// Runs the first commands of the guide. `cargo test` is part of another test, since it takes many
/// minutes.
#[tokio::test(flavor = "multi_thread")]
async fn commands_of_the_guide_work_in_order() {
    let (chain, shutdown) = (LocalChain::start(1).await, Shutdown::new());
    let keypair = chain.miners[0].clone();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let miner = miner(keypair.clone(), MinerSettings::new(NETUID));
    let (client, stop): (Arc<dyn Chain>, _) = (chain.client.clone(), shutdown.clone());
    shutdown.spawn("miner", async move { miner.run(listener, client, &stop).await.unwrap() });

    let folder = tempfile::tempdir().unwrap();
    let (mut directory, mut commands) = (folder.path().to_owned(), Vec::new());
    let replacements = [
        ("../taonet", repository("").display().to_string()),
        ("127.0.0.1:8091", address),
        ("HOTKEY", keypair.hotkey().to_string()),
        ("--network local", format!("--network {}", chain.node.url())),
    ];
    let chapter =
        include_str!("../../docs/write-a-subnet.md").split("## Write your own\n").nth(1).unwrap();
    for line in chapter.split("```").nth(1).unwrap().lines() {
        let line = line.split('#').next().unwrap();
        let line = replacements
            .iter()
            .fold(line.to_owned(), |line, (word, other)| line.replace(word, other));
        match line.split_whitespace().collect::<Vec<_>>()[..] {
            [] | ["cargo", "test"] => {}
            ["cd", package] => {
                directory.push(package);
                let hotkeys = directory.join("wallets/default/hotkeys");
                std::fs::create_dir_all(&hotkeys).unwrap();
                let hotkey = Keyfile::from_keypair(chain.validator.clone()).to_json();
                atomic_write(hotkeys.join("default"), &hotkey, Access::Owner).unwrap();
            }
            ["tao", ref arguments @ ..] => {
                let output = tao().args(arguments).current_dir(&directory).output().unwrap();
                assert!(output.status.success(), "{line}: {}", stderr(&output));
                commands.push(arguments[..1].concat());
            }
            ref other => panic!("{other:?}"),
        }
    }
    assert_eq!(commands, ["subnets", "bench-miner", "subnets"]);
    assert!(directory.join("src/lib.rs").is_file());
    shutdown.request();
    shutdown.finished().await.unwrap();
    chain.node.stop().await;
}
