//! What a localnet says when it is up.

use std::path::Path;

use serde_json::{Value, json};
use taonet_localnet::{Clock, NodeHandle};
use taonet_primitives::Rao;

use super::{clock, rpc};
use crate::table::{facts, table};
use crate::tables::ACCOUNTS;

/// An account that the first block knows.
pub(super) struct Account {
    /// `//Alice`, or nothing for one that was endowed by its address.
    pub(super) name: Option<String>,
    pub(super) address: String,
    pub(super) free: Rao,
}

/// A chain that answers.
pub(super) struct Announcement<'a> {
    pub(super) node: &'a NodeHandle,
    pub(super) clock: Clock,
    pub(super) directory: Option<&'a Path>,
    pub(super) accounts: Vec<Account>,
}

impl Announcement<'_> {
    /// One document for scripts, which they read as the first line of standard output.
    pub(super) fn document(&self) -> Value {
        let url = self.node.url();
        let accounts = self
            .accounts
            .iter()
            .map(|account| json!({ "name": account.name, "address": account.address, "free_rao": account.free.get() }));
        json!({
            "service": "localnet",
            "url": url,
            "http": rpc::http(&url),
            "port": self.node.address().port(),
            "genesis": format!("{:?}", self.node.genesis()),
            "block": self.node.head().number(),
            "block_time": clock::name(self.clock),
            "data": self.directory,
            "pid": std::process::id(),
            "accounts": accounts.collect::<Vec<_>>(),
        })
    }

    /// What a person reads.
    pub(super) fn text(&self) -> String {
        let url = self.node.url();
        let mut node = facts();
        node.add_row(["WebSocket", &url]);
        node.add_row(["HTTP", &rpc::http(&url)]);
        node.add_row(["clock", &clock::describe(self.clock)]);
        node.add_row(["genesis", &format!("{:?}", self.node.genesis())]);
        node.add_row(["block", &self.node.head().number().to_string()]);
        let memory = || "in memory, gone at the end".to_owned();
        node.add_row(["state", &self.directory.map_or_else(memory, |directory| directory.display().to_string())]);
        let mut accounts = table(&ACCOUNTS);
        for account in &self.accounts {
            accounts.add_row([account.name.as_deref().unwrap_or("–"), &account.address, &account.free.to_string()]);
        }
        format!(
            "localnet is up\n{node}\n\nAccounts; everybody knows the keys of those with a name\n{accounts}\n\nTry \
             this\n  btcli subnets list --network {url}\n  python -c 'import bittensor; \
             print(bittensor.Subtensor(\"{url}\").block)'\n  tao subnets list --network {url}\n\nCtrl-C stops it."
        )
    }
}
