//! Completions: the scripts of the shells, and the candidates that they get from the program.

use std::process::Command;

use serde_json::json;

use super::ALICE;
use crate::support::{bb, shell, stderr, tao};

/// Candidates for the last of these words, as fish gets them.
pub(crate) fn candidates(mut program: Command, words: &[&str]) -> Vec<String> {
    let output = program.env("TAO_COMPLETE", "fish").arg("--").args(words).output().unwrap();
    assert!(output.status.success(), "{words:?}: {}", stderr(&output));
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines().map(|line| line.split('\t').next().unwrap().to_owned()).collect()
}

#[test]
fn completions_include_commands_networks_models_and_subnets() {
    let cache = tempfile::tempdir().unwrap();
    for (words, expected) in [
        (&["bb", "compute-w"][..], &["compute-weights"][..]),
        (&["bb", "runner", "--sol"], &["--solo"]),
        (&["tao", "metagr"], &["metagraph"]),
        (&["tao", "balance", "--network", ""], &["finney", "test", "archive", "local"]),
        (&["tao", "balance", "-n", "fin"], &["finney"]),
        (&["tao", "models", "pull", "faster-whisper-s"], &["faster-whisper-small"]),
        (&["tao", "models", "verify", "tiny-ctc", "all-"], &["all-MiniLM-L6-v2"]),
        // No subnets were listed yet.
        (&["tao", "metagraph", ""], &["2", "19", "59"]),
        (&["tao", "weights", "show", "--netuid", "5"], &["59"]),
        (&["tao", "completions", "z"], &["zsh"]),
    ] {
        let mut program = if words[0] == "bb" { bb() } else { tao() };
        program.env("XDG_CACHE_HOME", cache.path());
        let suggested = candidates(program, words);
        // Where a value can be omitted, options follow.
        let first: Vec<&str> = suggested.iter().map(String::as_str).take(expected.len()).collect();
        assert_eq!(first, expected, "{words:?}: {suggested:?}");
    }
}

#[test]
fn completions_include_wallets_and_hotkeys() {
    let wallets = tempfile::tempdir().unwrap();
    for (wallet, hotkey) in [("owner", "first"), ("owner", "second"), ("miner", "first")] {
        let hotkeys = wallets.path().join(wallet).join("hotkeys");
        std::fs::create_dir_all(&hotkeys).unwrap();
        std::fs::write(hotkeys.join(hotkey), json!({ "ss58Address": ALICE }).to_string()).unwrap();
    }
    let root = wallets.path().to_str().unwrap();
    for (words, expected) in [
        (
            &["tao", "wallet", "inspect", "--wallet-path", root, "--wallet-name", ""][..],
            &["miner", "owner"][..],
        ),
        (&["tao", "balance", "--wallet-path", root, "-w", "o"], &["owner"]),
        (&["tao", "register", "--wallet-path", root, "--hotkey", ""], &["first", "second"]),
        (&["tao", "register", "-p", root, "-w", "miner", "--hotkey", ""], &["first"]),
    ] {
        assert_eq!(candidates(tao(), words), expected, "{words:?}");
    }
    let mut by_variable = tao();
    by_variable.env("BT_WALLET_PATH", root);
    assert_eq!(
        candidates(by_variable, &["tao", "wallet", "sign", "--wallet-name", "mi"]),
        ["miner"]
    );
    let addresses = candidates(tao(), &["tao", "stake", "add", "-p", root, "--hotkey-ss58", "5G"]);
    assert_eq!(addresses, [ALICE; 3]);
}

#[test]
fn bash_completes_through_the_script() {
    let folder = tempfile::tempdir().unwrap();
    for (program, words, expected) in [
        ("tao", "tao balance --network loc", "local\n"),
        ("bb", "bb compute-w", "compute-weights\n"),
    ] {
        let script = folder.path().join("script");
        let (count, last) = (words.split(' ').count() - 1, words.rsplit(' ').next().unwrap());
        let lines = format!(
            "eval \"$(tao completions bash --program {program})\"\nCOMP_WORDS=({words}) COMP_CWORD={count} COMP_TYPE=9\n\
             _clap_complete_{program} {program} {last}\nprintf '%s\\n' \"${{COMPREPLY[@]}}\"\n"
        );
        std::fs::write(&script, lines).unwrap();
        let output = shell(&format!("bash {}", script.display())).output().unwrap();
        assert_eq!(
            String::from_utf8_lossy(&output.stdout),
            expected,
            "{program}: {}",
            stderr(&output)
        );
    }
}

#[test]
fn completions_for_unknown_shell_are_refused() {
    let refused = tao().env("TAO_COMPLETE", "tcsh").args(["--", "tao", ""]).output().unwrap();
    assert!(!refused.status.success() && refused.stdout.is_empty());
    assert!(stderr(&refused).contains("unknown shell `tcsh`"), "{}", stderr(&refused));
}
