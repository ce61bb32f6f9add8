//! Commits by hash: first the hash, some epochs later the weights.

use std::path::PathBuf;

use anyhow::{Context as _, bail};
use clap::Args;
use serde::{Deserialize, Serialize};
use serde_json::json;
use taonet_chain::{At, Chain as _, calls};
use taonet_ledger::{commit_hash, salt};
use taonet_primitives::{Hotkey, MechId, NetUid, Uid, counted};
use taonet_service::{Access, atomic_write};

use super::MechanismArgs;
use super::pairs::{Pair, row};
use crate::chain::{NetworkArgs, Plan, SigningHotkeyArgs, SubmitArgs, failed};
use crate::context::Context;
use crate::exit::{Classified, Failure};
use crate::input;

/// Commit to weights by their hash
#[derive(Debug, Args)]
pub(crate) struct CommitArgs {
    /// Neurons and their weights, e.g. 3:0.5 4:1; only the proportions count
    #[arg(value_name = "UID:WEIGHT", required = true)]
    weights: Vec<Pair>,
    /// Keep what reveals the commit in this new file: without it the weights are lost
    #[arg(long, value_name = "FILE")]
    save: PathBuf,
    #[command(flatten)]
    mechanism: MechanismArgs,
    /// The version of the validator's code [default: what the subnet asks for]
    #[arg(long, value_name = "NUMBER")]
    version_key: Option<u64>,
    #[command(flatten)]
    submit: SubmitArgs,
    #[command(flatten)]
    network: NetworkArgs,
    #[command(flatten)]
    key: SigningHotkeyArgs,
}

/// Reveal weights that were committed to
#[derive(Debug, Args)]
pub(crate) struct RevealArgs {
    /// The file that `tao weights commit --save` wrote; `-` is standard input
    file: PathBuf,
    #[command(flatten)]
    submit: SubmitArgs,
    #[command(flatten)]
    network: NetworkArgs,
    #[command(flatten)]
    key: SigningHotkeyArgs,
}

/// What reveals a commit.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Secret {
    netuid: NetUid,
    mech: MechId,
    hotkey: Hotkey,
    uids: Vec<Uid>,
    values: Vec<u16>,
    salt: Vec<u16>,
    version_key: u64,
}

impl Secret {
    fn weights(&self) -> Vec<(Uid, u16)> {
        self.uids.iter().copied().zip(self.values.iter().copied()).collect()
    }

    fn hash(&self) -> [u8; 32] {
        commit_hash(&self.hotkey, self.netuid, self.mech, &self.weights(), &self.salt, self.version_key)
    }
}

pub(super) fn commit(args: &CommitArgs, context: &Context) -> anyhow::Result<()> {
    let MechanismArgs { netuid, mech } = args.mechanism;
    let weights = row(&args.weights)?;
    if args.save.exists() {
        let text = format!("{} exists: name a new file, it may be the only key to another commit", args.save.display());
        return Err(Classified::error(Failure::Usage, text));
    }
    context.block_on(async {
        let chain = args.network.connect().await?;
        let rules = chain.weight_rules(netuid, At::Head).await.map_err(failed)?;
        let version_key = args.version_key.unwrap_or(rules.version_key);
        let key = args.key.unlock(&args.network, &chain)?;
        let (uids, values) = weights.iter().copied().unzip();
        let salt = salt(&mut rand::rng());
        let secret = Secret { netuid, mech, hotkey: key.hotkey(), uids, values, salt, version_key };
        if !args.submit.is_dry_run() {
            // Before the commit: one without its secret cannot be revealed.
            let text = serde_json::to_vec_pretty(&secret).context("the weights do not fit into JSON")?;
            atomic_write(&args.save, &text, Access::Owner)?;
        }
        let hash = secret.hash();
        let call = calls::commit_mechanism_weights(netuid, mech, hash);
        let about = json!({
            "netuid": netuid,
            "mech": mech,
            "hotkey": secret.hotkey,
            "commit_hash": format!("0x{}", hex::encode(hash)),
            "file": args.save,
        });
        let what = format!(
            "Commit to {} on subnet {netuid}, kept in {}",
            counted(weights.len(), "weight"),
            args.save.display()
        );
        args.submit.carry_out(&chain, &key, Plan::new(call, what, about), context).await
    })
}

pub(super) fn reveal(args: &RevealArgs, context: &Context) -> anyhow::Result<()> {
    let text = input::read(&args.file)?;
    let named = || format!("{} was not written by tao weights commit", args.file.display());
    let secret: Secret = serde_json::from_slice(&text).with_context(named)?;
    if secret.uids.len() != secret.values.len() {
        bail!("{}: {} and {}", named(), counted(secret.uids.len(), "uid"), counted(secret.values.len(), "value"));
    }
    context.block_on(async {
        let chain = args.network.connect().await?;
        let key = args.key.unlock(&args.network, &chain)?;
        if key.hotkey() != secret.hotkey {
            bail!("the commit is of the hotkey {}, and {} would sign", secret.hotkey, key.hotkey());
        }
        let Secret { netuid, mech, version_key, .. } = secret;
        let weights = secret.weights();
        let call = calls::reveal_mechanism_weights(netuid, mech, &weights, &secret.salt, version_key);
        let about = json!({
            "netuid": netuid,
            "mech": mech,
            "hotkey": secret.hotkey,
            "uids": secret.uids,
            "values": secret.values,
            "version_key": version_key,
        });
        let what = format!("Reveal {} on subnet {netuid}", counted(weights.len(), "weight"));
        args.submit.carry_out(&chain, &key, Plan::new(call, what, about), context).await
    })
}
