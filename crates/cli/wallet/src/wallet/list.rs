//! The `tao wallet list` command.

use clap::Args;
use serde_json::{Map, Value, json};
use taonet_cli_base::context::Context;
use taonet_cli_base::table::{Cell, headerless_table, status_cell, warning_cell};
use taonet_cli_base::tables::WALLETS;
use taonet_cli_base::wallet_args::RootArgs;
use taonet_wallet::{ListedWallet, Name, PublicKey, SecretState, Wallets};

/// Label of a keyfile that cannot be read.
const UNREADABLE_LABEL: &str = "keyfile unreadable";
/// Label of an encrypted hotkey.
const ENCRYPTED_LABEL: &str = "encrypted";

/// List wallets and their hotkeys
#[derive(Debug, Args)]
pub struct ListArgs {
    #[command(flatten)]
    root: RootArgs,
}

pub(crate) fn run(args: &ListArgs, context: &Context) -> anyhow::Result<()> {
    let wallets = args.root.wallets()?;
    let list = wallets.list()?;
    if context.json {
        let list: Vec<_> = list.iter().map(wallet_document).collect();
        return context
            .print_json(&json!({ "path": wallets.root().display().to_string(), "wallets": list }));
    }
    if list.is_empty() {
        context.print_notice(&format!(
            "no wallets in {}; create one with `tao wallet create`",
            wallets.root().display()
        ));
        return Ok(());
    }
    context.print(&format_tree(&wallets, &list))
}

fn wallet_document(wallet: &ListedWallet) -> Value {
    let hotkeys = wallet
        .hotkeys
        .iter()
        .map(|hotkey| key_document(&hotkey.name, hotkey.hotkey, hotkey.mismatch, hotkey.secret));
    let mut document = key_document(&wallet.name, wallet.coldkey, wallet.mismatch, wallet.secret);
    document.insert("hotkeys".to_owned(), hotkeys.map(Value::Object).collect());
    document.into()
}

fn key_document(
    name: &Name,
    public: Option<PublicKey>,
    mismatch: Option<PublicKey>,
    secret: SecretState,
) -> Map<String, Value> {
    let fields = [
        ("name", json!(name.as_str())),
        ("address", json!(public.map(|key| key.to_string()))),
        ("keyfile_address", json!(mismatch.map(|key| key.to_string()))),
        ("crypto_type", json!(public.map(|key| key.crypto_type().name()))),
        ("secret", json!(secret.name())),
    ];
    fields.map(|(field, value)| (field.to_owned(), value)).into_iter().collect()
}

/// Formats the wallets as a tree: directory, wallets, hotkeys.
fn format_tree(wallets: &Wallets, list: &[ListedWallet]) -> String {
    let mut rows = headerless_table(&WALLETS);
    for (position, wallet) in list.iter().enumerate() {
        let is_last = position + 1 == list.len();
        let (connector, indent) =
            if is_last { ("└──", "    ") } else { ("├──", "│   ") };
        let name = format!("{connector} {}", wallet.name).into();
        rows.add_row([
            name,
            format_address(wallet.coldkey).into(),
            state_cell(wallet.mismatch, coldkey_note(wallet.secret)),
        ]);
        for (position, key) in wallet.hotkeys.iter().enumerate() {
            let connector =
                if position + 1 == wallet.hotkeys.len() { "└──" } else { "├──" };
            let name = format!("{indent}{connector} {}", key.name).into();
            rows.add_row([
                name,
                format_address(key.hotkey).into(),
                state_cell(key.mismatch, hotkey_note(key.secret)),
            ]);
        }
    }
    format!("{}\n{rows}", wallets.root().display())
}

/// Creates the cell of a key's state, with a warning if the public file contradicts the keyfile.
fn state_cell(keyfile: Option<PublicKey>, note: &str) -> Cell {
    match keyfile.map(mismatch_text) {
        None if note == ENCRYPTED_LABEL => note.into(),
        None => warning_cell(note),
        Some(mismatch) if note.is_empty() => status_cell(mismatch, false),
        Some(mismatch) => status_cell(format!("{mismatch}, {note}"), false),
    }
}

const fn coldkey_note(secret: SecretState) -> &'static str {
    match secret {
        SecretState::Plain => "not encrypted",
        SecretState::Encrypted(_) => "",
        SecretState::Unreadable => UNREADABLE_LABEL,
        _ => "public file only",
    }
}

const fn hotkey_note(secret: SecretState) -> &'static str {
    match secret {
        SecretState::Encrypted(_) => ENCRYPTED_LABEL,
        SecretState::Unreadable => UNREADABLE_LABEL,
        _ => "",
    }
}

/// Formats the warning for a public file that contradicts the keyfile.
pub(super) fn mismatch_text(keyfile: PublicKey) -> String {
    format!("does not match: the keyfile belongs to {keyfile}")
}

fn format_address(key: Option<PublicKey>) -> String {
    key.map_or_else(|| "no public file".to_owned(), |key| key.to_string())
}
