//! Commit-reveal by hash: the hash first, the weights some epochs later.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use clap::Args;
use serde::{Deserialize, Serialize};
use serde_json::json;
use taonet_chain::{Chain as _, calls};
use taonet_cli_base::chain::{Plan, SigningHotkeyArgs, TxArgs, chain_error};
use taonet_cli_base::context::Context;
use taonet_cli_base::exit::ClassifiedError;
use taonet_cli_base::input;
use taonet_ledger::{commit_hash, salt};
use taonet_primitives::{Hotkey, MechId, NetUid, Uid, counted};
use taonet_service::{Access, atomic_write};

use super::MechanismArgs;
use super::pairs::{Pair, rate_limit_refusal, rounded_to_zero, warn_of_zeros, weight_row};

/// Commit to weights by hash
#[derive(Debug, Args)]
pub struct CommitArgs {
    /// Weights as uid:weight, such as 3:0.5 4:1; only the proportions matter
    #[arg(value_name = "UID:WEIGHT", required = true)]
    weights: Vec<Pair>,
    /// New file for the reveal data; without the file, the commit cannot be revealed
    #[arg(long, value_name = "FILE")]
    save: PathBuf,
    #[command(flatten)]
    mechanism: MechanismArgs,
    /// Version key [default: the subnet's weights_version]
    #[arg(long, value_name = "NUMBER")]
    version_key: Option<u64>,
    #[command(flatten)]
    tx: TxArgs<SigningHotkeyArgs>,
}

/// Reveal committed weights
#[derive(Debug, Args)]
pub struct RevealArgs {
    /// File written by `tao weights commit --save`; `-` is standard input
    file: PathBuf,
    #[command(flatten)]
    tx: TxArgs<SigningHotkeyArgs>,
}

/// Reveal data of a commit.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct WeightsSecret {
    netuid: NetUid,
    mech: MechId,
    hotkey: Hotkey,
    uids: Vec<Uid>,
    values: Vec<u16>,
    salt: Vec<u16>,
    version_key: u64,
}

impl WeightsSecret {
    fn weights(&self) -> Vec<(Uid, u16)> {
        self.uids.iter().copied().zip(self.values.iter().copied()).collect()
    }

    fn hash(&self) -> [u8; 32] {
        commit_hash(
            &self.hotkey,
            self.netuid,
            self.mech,
            &self.weights(),
            &self.salt,
            self.version_key,
        )
    }
}

pub(super) fn commit(args: &CommitArgs, context: &Context) -> anyhow::Result<()> {
    let MechanismArgs { netuid, mech } = args.mechanism;
    let weights = weight_row(&args.weights)?;
    let rounded_uids = rounded_to_zero(&args.weights, &weights);
    warn_of_zeros(&rounded_uids, context);
    if args.save.exists() {
        let text = format!(
            "{} already exists and may belong to a different commit\nhint: choose a new file",
            args.save.display()
        );
        return Err(ClassifiedError::usage(text));
    }
    context.block_on(async {
        let chain = args.tx.connect().await?;
        let head = chain.head().await.map_err(chain_error)?;
        let rules = chain.weight_rules(netuid, head.into()).await.map_err(chain_error)?;
        let version_key = args.version_key.unwrap_or(rules.version_key);
        let key = args.tx.unlock()?;
        let hotkey = args.tx.submit.hotkey(&key);
        let Some(uid) = chain.uid(netuid, &hotkey, head.into()).await.map_err(chain_error)? else {
            bail!(
                "{hotkey} is not registered on subnet {netuid}\nhint: register it with `tao register --netuid {netuid}`"
            );
        };
        let expected_refusal =
            rate_limit_refusal(&chain, (netuid, mech, uid), &rules, head.number).await?;
        let (uids, values) = weights.iter().copied().unzip();
        let salt = salt(&mut rand::rng());
        let secret = WeightsSecret { netuid, mech, hotkey, uids, values, salt, version_key };
        if expected_refusal.is_none() && !args.tx.submit.is_dry_run() {
            // Saved before the commit, which cannot be revealed without its salt.
            let text = serde_json::to_vec_pretty(&secret).context("cannot serialise the weights")?;
            atomic_write(&args.save, &text, Access::Owner)?;
        }
        let hash = secret.hash();
        let call = calls::commit_mechanism_weights(netuid, mech, hash);
        let details = json!({
            "netuid": netuid,
            "mech": mech,
            "hotkey": secret.hotkey,
            "commit_hash": format!("0x{}", hex::encode(hash)),
            "rounded_to_zero": rounded_uids,
            "file": args.save.display().to_string(),
        });
        let description = format!(
            "Commit to {} on subnet {netuid}, saved to {}",
            counted(weights.len(), "weight"),
            args.save.display()
        );
        let plan = Plan::new(call, description, details).expected_refusal(expected_refusal);
        args.tx.submit.submit(&chain, &key, plan, context).await
    })
}

pub(super) fn reveal(args: &RevealArgs, context: &Context) -> anyhow::Result<()> {
    let text = input::read_text(&args.file)?;
    let secret: WeightsSecret =
        serde_json::from_str(&text).with_context(|| not_a_secret_file_message(&args.file))?;
    if secret.uids.len() != secret.values.len() {
        bail!(
            "{}: {} and {}",
            not_a_secret_file_message(&args.file),
            counted(secret.uids.len(), "uid"),
            counted(secret.values.len(), "value")
        );
    }
    context.block_on(async {
        let chain = args.tx.connect().await?;
        let key = args.tx.unlock()?;
        let hotkey = args.tx.submit.hotkey(&key);
        if hotkey != secret.hotkey {
            bail!("the commit belongs to hotkey {}, not {hotkey}", secret.hotkey);
        }
        let WeightsSecret { netuid, mech, version_key, .. } = secret;
        let weights = secret.weights();
        let call =
            calls::reveal_mechanism_weights(netuid, mech, &weights, &secret.salt, version_key);
        let details = json!({
            "netuid": netuid,
            "mech": mech,
            "hotkey": secret.hotkey,
            "uids": secret.uids,
            "values": secret.values,
            "version_key": version_key,
        });
        let description = format!("Reveal {} on subnet {netuid}", counted(weights.len(), "weight"));
        args.tx.submit.submit(&chain, &key, Plan::new(call, description, details), context).await
    })
}

fn not_a_secret_file_message(file: &Path) -> String {
    format!("{} was not written by tao weights commit", file.display())
}
