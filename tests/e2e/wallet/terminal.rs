//! Prompts and output of `tao wallet` on a terminal.

use std::process::ExitStatus;

use super::{ADDRESS, PASSWORD, PHRASE, Wallets};
use crate::support::Terminal;

fn start(wallets: &Wallets, arguments: &[&str]) -> Terminal {
    Terminal::start(wallets.command(arguments, &[]))
}

/// Mnemonics of twelve words on their own line.
fn mnemonics(screen: &str) -> Vec<&str> {
    let word = |word: &str| word.bytes().all(|byte| byte.is_ascii_lowercase());
    let lines = screen.lines().map(str::trim);
    lines.filter(|line| line.split(' ').count() == 12 && line.split(' ').all(word)).collect()
}

/// Waits for the exit; returns the status and the output without colour codes.
fn finish(terminal: Terminal) -> (ExitStatus, String) {
    let (status, screen) = terminal.finish();
    (status, strip_ansi_codes(&screen))
}

fn strip_ansi_codes(screen: &str) -> String {
    let mut parts = screen.split("\u{1b}[");
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |text, part| {
        text + part
            .split_once(|end: char| end.is_ascii_alphabetic())
            .map_or("", |(_, remaining)| remaining)
    })
}

#[test]
fn mnemonic_is_shown_once() {
    let wallets = Wallets::new();
    let mut terminal = start(&wallets, &["create"]);
    // Too weak, mismatch, accepted.
    terminal.expect("New password of the coldkey of w: ");
    terminal.type_hidden_line("abc");
    terminal.expect("fewer than 6 characters");
    terminal.expect("New password of the coldkey of w: ");
    terminal.type_hidden_line(PASSWORD);
    terminal.expect("Repeat the password: ");
    terminal.type_hidden_line("something-Else1");
    terminal.expect("the passwords do not match");
    terminal.expect("New password of the coldkey of w: ");
    terminal.type_hidden_line(PASSWORD);
    terminal.expect("Repeat the password: ");
    terminal.type_hidden_line(PASSWORD);
    let (status, screen) = finish(terminal);
    assert!(status.success(), "{screen}");
    assert!(!screen.contains(PASSWORD) && !screen.contains("something-Else1"), "{screen}");
    let mnemonic_words = mnemonics(&screen);
    assert_eq!(mnemonic_words.len(), 2, "one of the coldkey, one of the hotkey: {screen}");

    // The mnemonics belong to the keys.
    let addresses = wallets.run_json(&["list"], &[]);
    let other = Wallets::new();
    for (phrase, address) in mnemonic_words
        .iter()
        .zip([&addresses["wallets"][0], &addresses["wallets"][0]["hotkeys"][0]])
    {
        let file = other.file("phrase", phrase);
        let regenerated =
            other.run_json(&["regen-hotkey", "--overwrite"], &[("--mnemonic-file", &file)]);
        assert_eq!(regenerated["hotkey"]["address"], address["address"]);
    }
    // No other command shows them again.
    for arguments in [&["list"][..], &["inspect"]] {
        let (status, screen) = finish(start(&wallets, arguments));
        assert!(status.success() && mnemonics(&screen).is_empty(), "{screen}");
    }
}

#[test]
fn json_output_on_a_terminal_requires_a_mnemonic_file() {
    let wallets = Wallets::new();
    let (status, screen) = finish(start(&wallets, &["new-hotkey", "--json"]));
    assert_eq!(status.code(), Some(2), "{screen}");
    assert!(screen.contains("--mnemonic-file"), "{screen}");
    assert!(!wallets.root().exists());
}

#[test]
fn secrets_are_typed_without_echo() {
    let wallets = Wallets::new();
    let seed = "6fa2796b0071cac425d8a7851038318c2c37dcebfe4bae73197ce93e75909bd2";
    for secret in [PHRASE, seed, &format!("0x{seed}")] {
        let mut terminal = start(&wallets, &["regen-hotkey", "--overwrite"]);
        terminal.expect("Mnemonic, or seed or private key in hex: ");
        terminal.type_hidden_line(secret);
        let (status, screen) = finish(terminal);
        assert!(status.success() && screen.contains(ADDRESS), "{screen}");
        assert!(!screen.contains("legal winner") && !screen.contains(seed), "{screen}");
    }
}

#[test]
fn hidden_input_can_be_edited() {
    let wallets = Wallets::new();
    let mut terminal = start(&wallets, &["regen-hotkey"]);
    terminal.expect("in hex: ");
    // Ctrl-U deletes the line, DEL one character.
    terminal.type_hidden_line(&format!("garbage\u{15}{PHRASE}äx\u{7f}\u{7f}"));
    let (status, screen) = finish(terminal);
    assert!(status.success() && screen.contains(ADDRESS), "{screen}");
}

#[test]
fn interrupted_or_overlong_input_ends_command() {
    let wallets = Wallets::new();
    // Ctrl-C, Ctrl-\, Ctrl-D, more than a line.
    for (keys, expected_text) in [
        ("legal\u{3}", "interrupted"),
        ("legal\u{1c}", "interrupted"),
        ("\u{4}", "pass the new password with --password-file"),
        (&"x".repeat(4097), "the input is too long"),
    ] {
        let mut terminal = start(&wallets, &["create"]);
        terminal.expect("New password of the coldkey of w: ");
        terminal.type_hidden(keys);
        let (status, screen) = finish(terminal);
        assert_eq!(status.code(), Some(1), "{screen}");
        assert!(screen.contains(expected_text) && !screen.contains("legal"), "{screen}");
        assert!(!wallets.root().exists());
    }
}

#[test]
fn password_is_prompted_for_and_plain_key_confirmed() {
    let wallets = Wallets::new();
    std::fs::create_dir_all(wallets.key("hotkeys")).unwrap();
    std::fs::write(wallets.key("coldkey"), super::keyfile_vector("ansible_vault")).unwrap();
    let mut terminal = start(&wallets, &["decrypt"]);
    terminal.expect("Decrypt it? [y/N] ");
    terminal.type_line("no");
    let (status, screen) = finish(terminal);
    assert_eq!(status.code(), Some(1), "{screen}");

    let mut terminal = start(&wallets, &["decrypt"]);
    terminal.expect("[y/N] ");
    terminal.type_line("y");
    terminal.expect("Password of ");
    terminal.type_hidden_line(PASSWORD);
    let (status, screen) = finish(terminal);
    assert!(status.success() && screen.contains("is now unencrypted"), "{screen}");
    assert!(std::fs::read(wallets.key("coldkey")).unwrap().starts_with(b"{"));
}
