//! `tao wallet list`.

use clap::Args;
use serde_json::{Value, json};
use taonet_wallet::{ListedHotkey, ListedWallet, PublicKey, SecretState, Wallets};

use super::place::RootArgs;
use crate::context::Context;

/// Show all wallets and their hotkeys
#[derive(Debug, Args)]
pub(crate) struct ListArgs {
    #[command(flatten)]
    root: RootArgs,
}

pub(crate) fn run(args: &ListArgs, context: &Context) -> anyhow::Result<()> {
    let wallets = args.root.wallets();
    let list = wallets.list()?;
    if context.json {
        let list: Vec<_> = list.iter().map(document).collect();
        return context.print_json(&json!({ "path": wallets.root(), "wallets": list }));
    }
    if list.is_empty() {
        context.say(&format!("no wallets in {}: tao wallet create makes one", wallets.root().display()));
        return Ok(());
    }
    context.print(tree(&wallets, &list).trim_end())
}

fn document(wallet: &ListedWallet) -> Value {
    let hotkeys = wallet.hotkeys.iter().map(|hotkey| key(&hotkey.name.to_string(), hotkey.hotkey, hotkey.secret));
    let mut document = key(&wallet.name.to_string(), wallet.coldkey, wallet.secret);
    document["hotkeys"] = hotkeys.collect();
    document
}

fn key(name: &str, public: Option<PublicKey>, secret: SecretState) -> Value {
    json!({
        "name": name,
        "address": public.map(|key| key.to_string()),
        "crypto_type": public.map(|key| key.crypto_type().name()),
        "secret": secret_name(secret),
    })
}

/// How a secret is kept, in a word.
pub(super) const fn secret_name(secret: SecretState) -> &'static str {
    match secret {
        SecretState::Plain => "plain",
        SecretState::Encrypted(_) => "encrypted",
        _ => "absent",
    }
}

/// The folder, below it the wallets, below each its hotkeys.
fn tree(wallets: &Wallets, list: &[ListedWallet]) -> String {
    let width = |names: &mut dyn Iterator<Item = usize>| names.max().unwrap_or_default();
    let names = width(&mut list.iter().map(|wallet| wallet.name.as_str().chars().count()));
    let mut text = format!("{}\n", wallets.root().display());
    for (position, wallet) in list.iter().enumerate() {
        let is_last = position + 1 == list.len();
        let (branch, below) = if is_last { ("└──", "    ") } else { ("├──", "│   ") };
        let name = console::style(format!("{:names$}", wallet.name)).bold();
        text += &format!("{branch} {name}  {}\n", coldkey(wallet));
        let hotkeys = width(&mut wallet.hotkeys.iter().map(|hotkey| hotkey.name.as_str().chars().count()));
        for (position, key) in wallet.hotkeys.iter().enumerate() {
            let branch = if position + 1 == wallet.hotkeys.len() { "└──" } else { "├──" };
            text += &format!("{below}{branch} {:hotkeys$}  {}\n", key.name, hotkey(key));
        }
    }
    text
}

fn coldkey(wallet: &ListedWallet) -> String {
    let note = match wallet.secret {
        SecretState::Plain => "  not encrypted",
        SecretState::Encrypted(_) => "",
        _ => "  public file only",
    };
    address(wallet.coldkey, "no public file") + &console::style(note).yellow().to_string()
}

fn hotkey(hotkey: &ListedHotkey) -> String {
    let note = if matches!(hotkey.secret, SecretState::Encrypted(_)) { "  encrypted" } else { "" };
    address(hotkey.hotkey, "unreadable") + note
}

fn address(key: Option<PublicKey>, otherwise: &str) -> String {
    key.map_or_else(|| otherwise.to_owned(), |key| key.to_string())
}
