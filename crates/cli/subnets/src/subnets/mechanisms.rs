//! `tao subnets mechanisms …`: the incentive mechanisms of a subnet.

use clap::{Args, Subcommand};
use serde_json::{Value, json};
use taonet_chain::{At, Call, Chain as _, Client, Share, calls};
use taonet_cli_base::chain::{ColdkeyArgs, Plan, TxArgs, block_json, chain_error};
use taonet_cli_base::context::Context;
use taonet_cli_base::exit::ClassifiedError;
use taonet_cli_base::table::table;
use taonet_cli_base::tables::MECHANISMS;
use taonet_primitives::{MechId, NetUid, counted};

use super::read::SubnetArgs;

const ADMIN: &str = "AdminUtils";

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Show the number of a subnet's mechanisms
    Count(SubnetArgs),
    /// Show how a subnet's emission is split among its mechanisms
    Emissions(SubnetArgs),
    /// Set the number of a subnet's mechanisms
    Set(SetArgs),
    /// Split a subnet's emission among its mechanisms
    #[command(alias = "split-emissions")]
    Split(SplitArgs),
}

/// Set the number of a subnet's mechanisms
#[derive(Debug, Args)]
pub struct SetArgs {
    /// Netuid of the subnet
    netuid: NetUid,
    /// New number of mechanisms; those beyond it are removed with their weights
    #[arg(value_name = "COUNT", value_parser = clap::value_parser!(u8).range(1..))]
    count: u8,
    #[command(flatten)]
    signer: OwnerArgs,
}

/// Split a subnet's emission among its mechanisms
#[derive(Debug, Args)]
pub struct SplitArgs {
    /// Netuid of the subnet
    netuid: NetUid,
    /// Relative share of each mechanism, separated by commas, such as 75,25
    #[arg(
        value_name = "SHARES",
        value_delimiter = ',',
        required_unless_present = "equal",
        conflicts_with = "equal"
    )]
    shares: Vec<u32>,
    /// Split the emission equally, as without a split
    #[arg(long)]
    equal: bool,
    #[command(flatten)]
    signer: OwnerArgs,
}

/// Arguments for a call of the subnet's owner, or of root
#[derive(Debug, Args)]
pub(super) struct OwnerArgs {
    /// Run the call as root; sign with the chain's sudo key
    #[arg(long)]
    sudo: bool,
    #[command(flatten)]
    tx: TxArgs<ColdkeyArgs>,
}

impl OwnerArgs {
    /// Connects to the selected network.
    pub(super) async fn connect(&self) -> anyhow::Result<Client> {
        self.tx.connect().await
    }

    /// Submits a call of the owner, or of root; adds `as_root` to the JSON document.
    pub(super) async fn submit(
        &self,
        chain: &Client,
        call: Call,
        description: String,
        mut details: Value,
        context: &Context,
    ) -> anyhow::Result<()> {
        if let Value::Object(fields) = &mut details {
            fields.insert("as_root".to_owned(), json!(self.sudo));
        }
        let key = self.tx.unlock()?;
        let call = if self.sudo { calls::sudo(call) } else { call };
        self.tx
            .submit
            .confirm_and_submit(chain, &key, Plan::new(call, description, details), context)
            .await
    }
}

pub(super) fn run(command: &Command, context: &Context) -> anyhow::Result<()> {
    match command {
        Command::Count(args) => count(args, context),
        Command::Emissions(args) => emissions(args, context),
        Command::Set(args) => set(args, context),
        Command::Split(args) => split(args, context),
    }
}

async fn mechanism_count(chain: &Client, netuid: NetUid, at: At) -> anyhow::Result<u8> {
    Ok(chain.weight_rules(netuid, at).await.map_err(chain_error)?.mechanisms)
}

fn count(args: &SubnetArgs, context: &Context) -> anyhow::Result<()> {
    let netuid = args.netuid;
    context.block_on(async {
        let chain = args.network.connect().await?;
        let block = args.at.block(&chain).await?;
        let count = mechanism_count(&chain, netuid, block.into()).await?;
        if context.json {
            return context.print_json(
                &json!({ "block": block_json(block), "netuid": netuid, "count": count }),
            );
        }
        context.print(&format!("subnet {netuid} has {}", counted(count, "mechanism")))
    })
}

fn emissions(args: &SubnetArgs, context: &Context) -> anyhow::Result<()> {
    let netuid = args.netuid;
    context.block_on(async {
        let chain = args.network.connect().await?;
        let block = args.at.block(&chain).await?;
        let count = mechanism_count(&chain, netuid, block.into()).await?;
        let keys = [json!(netuid)];
        let stored_split =
            chain.storage("SubtensorModule", "MechanismEmissionSplit", &keys, block.into()).await;
        let stored_split: Option<Vec<u16>> =
            serde_json::from_value(stored_split.map_err(chain_error)?)
                .map_err(|error| anyhow::anyhow!("malformed emission split: {error}"))?;
        let is_set = stored_split.is_some();
        let parts = effective_shares(stored_split, count);
        let mechanisms = (0..).map(MechId).zip(parts.into_iter().map(Share::new));
        if context.json {
            let list: Vec<_> =
                mechanisms.map(|(mech, share)| json!({ "mech": mech, "parts": share })).collect();
            return context.print_json(&json!({
                "block": block_json(block),
                "netuid": netuid,
                "is_set": is_set,
                "mechanisms": list,
            }));
        }
        let mut rows = table(&MECHANISMS);
        for (mech, share) in mechanisms {
            rows.add_row([mech.to_string(), share.parts().to_string(), share.to_string()]);
        }
        context.print(&format!("{rows}\n\nblock {block}"))
    })
}

/// Returns the parts of all mechanisms, as the chain applies them: without a split, equal parts;
/// mechanisms beyond the split receive nothing.
fn effective_shares(stored_split: Option<Vec<u16>>, count: u8) -> Vec<u16> {
    let mechanisms = usize::from(count);
    let mut parts =
        stored_split.unwrap_or_else(|| vec![u16::MAX / u16::from(count.max(1)); mechanisms]);
    parts.resize(mechanisms, 0);
    parts
}

fn set(args: &SetArgs, context: &Context) -> anyhow::Result<()> {
    let (netuid, count) = (args.netuid, args.count);
    context.block_on(async {
        let chain = args.signer.connect().await?;
        let old_count = mechanism_count(&chain, netuid, At::Head).await?;
        let details = json!({ "netuid": netuid, "count_before": old_count, "count": count });
        let description =
            format!("Set the mechanisms of subnet {netuid} from {old_count} to {count}, and split its emission equally");
        let arguments = json!({ "netuid": netuid, "mechanism_count": count });
        let call =
            chain.call(ADMIN, "sudo_set_mechanism_count", &arguments).await.map_err(chain_error)?;
        args.signer.submit(&chain, call, description, details, context).await
    })
}

fn split(args: &SplitArgs, context: &Context) -> anyhow::Result<()> {
    let netuid = args.netuid;
    let parts = if args.equal { None } else { Some(scale_to_parts(&args.shares)?) };
    context.block_on(async {
        let chain = args.signer.connect().await?;
        let count = mechanism_count(&chain, netuid, At::Head).await?;
        if parts.as_ref().is_some_and(|parts| parts.len() != usize::from(count)) {
            let text = format!(
                "expected {}, one for each mechanism of subnet {netuid}",
                counted(count, "share")
            );
            return Err(ClassifiedError::usage(text));
        }
        let shares = parts
            .iter()
            .flatten()
            .map(|parts| Share::new(*parts).to_string())
            .collect::<Vec<_>>()
            .join(", ");
        let distribution =
            if parts.is_some() { format!("as {shares}") } else { "equally".to_owned() };
        let details = json!({ "netuid": netuid, "parts": parts });
        let description =
            format!("Split the emission of subnet {netuid} among its mechanisms {distribution}");
        let arguments = json!({ "netuid": netuid, "maybe_split": parts });
        let call = chain
            .call(ADMIN, "sudo_set_mechanism_emission_split", &arguments)
            .await
            .map_err(chain_error)?;
        args.signer.submit(&chain, call, description, details, context).await
    })
}

/// Converts relative shares to parts that add up to 65535; the last mechanism with a share receives
/// the remainder.
fn scale_to_parts(shares: &[u32]) -> anyhow::Result<Vec<u16>> {
    let sum: u64 = shares.iter().copied().map(u64::from).sum();
    if sum == 0 {
        return Err(ClassifiedError::usage("at least one mechanism must have a share above 0"));
    }
    let mut parts: Vec<u16> =
        shares.iter().map(|share| (u64::from(*share) * u64::from(u16::MAX) / sum) as u16).collect();
    let remainder = parts.iter().fold(u16::MAX, |left, part| left.saturating_sub(*part));
    let last = parts.iter_mut().zip(shares).rev().find(|(_, share)| **share > 0);
    if let Some((last, _)) = last {
        *last = last.saturating_add(remainder);
    }
    Ok(parts)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_scaled_to_65535() {
        for (shares, expected) in [
            (&[75, 25][..], &[49_151, 16_384][..]),
            (&[1], &[65_535]),
            (&[1, 1, 1], &[21_845, 21_845, 21_845]),
            (&[2, 1, 0], &[43_690, 21_845, 0]),
            (&[1, 2, 4, 0], &[9_362, 18_724, 37_449, 0]),
            (&[u32::MAX, u32::MAX], &[32_767, 32_768]),
        ] {
            let actual = scale_to_parts(shares).unwrap();
            assert_eq!(actual, expected, "{shares:?}");
            assert_eq!(
                actual.iter().map(|part| u32::from(*part)).sum::<u32>(),
                65_535,
                "{shares:?}"
            );
        }
        for shares in [&[][..], &[0, 0]] {
            assert!(scale_to_parts(shares).is_err(), "{shares:?}");
        }
    }

    #[test]
    fn effective_shares_default_to_equal_parts() {
        for (stored, count, expected) in [
            (None, 2, &[32_767, 32_767][..]),
            (Some(vec![65_535]), 2, &[65_535, 0]),
            (Some(vec![40_000, 25_535]), 2, &[40_000, 25_535]),
            (None, 0, &[]),
        ] {
            assert_eq!(effective_shares(stored.clone(), count), expected, "{stored:?} {count}");
        }
    }
}
