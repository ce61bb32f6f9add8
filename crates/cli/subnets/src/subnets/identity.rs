use clap::Args;
use serde_json::json;
use taonet_chain::{At, SubnetIdentity, calls};
use taonet_cli_base::chain::{
    ColdkeyArgs, Plan, TxArgs, block_json, chain_error, describe_changes, print_identity,
};
use taonet_cli_base::context::Context;
use taonet_primitives::NetUid;

use super::read::SubnetArgs;

/// Publish the identity of a subnet (owner only)
#[derive(Debug, Args)]
pub struct SetIdentityArgs {
    /// Netuid of the subnet
    netuid: NetUid,
    /// Name of the subnet, at most 256 bytes
    #[arg(long, value_name = "NAME")]
    subnet_name: Option<String>,
    /// Source repository, at most 1024 bytes
    #[arg(long, value_name = "URL")]
    github_repo: Option<String>,
    /// Contact of the owner, at most 1024 bytes
    #[arg(long, value_name = "TEXT")]
    subnet_contact: Option<String>,
    /// Website of the subnet, at most 1024 bytes
    #[arg(long, value_name = "URL")]
    subnet_url: Option<String>,
    /// Discord channel of the subnet, at most 256 bytes
    #[arg(long, value_name = "NAME")]
    discord: Option<String>,
    /// Description, at most 1024 bytes
    #[arg(long, value_name = "TEXT")]
    description: Option<String>,
    /// URL of the logo, at most 1024 bytes
    #[arg(long, value_name = "URL")]
    logo_url: Option<String>,
    /// Further information, at most 1024 bytes
    #[arg(long, alias = "additional-info", value_name = "TEXT")]
    additional: Option<String>,
    #[command(flatten)]
    tx: TxArgs<ColdkeyArgs>,
}

/// Maximum length of the fields, in bytes.
const LIMITS: [(&str, usize); 8] = [
    ("subnet_name", 256),
    ("github_repo", 1024),
    ("subnet_contact", 1024),
    ("subnet_url", 1024),
    ("discord", 256),
    ("description", 1024),
    ("logo_url", 1024),
    ("additional", 1024),
];

impl SetIdentityArgs {
    /// Returns the given fields, with the others as they are on the chain.
    fn merged_with(&self, current: SubnetIdentity) -> SubnetIdentity {
        SubnetIdentity {
            subnet_name: self.subnet_name.clone().unwrap_or(current.subnet_name),
            github_repo: self.github_repo.clone().unwrap_or(current.github_repo),
            subnet_contact: self.subnet_contact.clone().unwrap_or(current.subnet_contact),
            subnet_url: self.subnet_url.clone().unwrap_or(current.subnet_url),
            discord: self.discord.clone().unwrap_or(current.discord),
            description: self.description.clone().unwrap_or(current.description),
            logo_url: self.logo_url.clone().unwrap_or(current.logo_url),
            additional: self.additional.clone().unwrap_or(current.additional),
        }
    }
}

pub(super) fn set(args: &SetIdentityArgs, context: &Context) -> anyhow::Result<()> {
    let netuid = args.netuid;
    context.block_on(async {
        let chain = args.tx.connect().await?;
        let current =
            chain.subnet(netuid, At::Head).await.map_err(chain_error)?.identity.unwrap_or_default();
        let identity = args.merged_with(current.clone());
        let changed = describe_changes(identity.fields(), current.fields(), LIMITS, "--subnet-name or --subnet-url")?;
        let key = args.tx.unlock()?;
        let details = json!({ "netuid": netuid, "coldkey": args.tx.submit.coldkey(&key), "identity": identity });
        let summary = format!("Publish the identity of subnet {netuid} with {changed}");
        let plan = Plan::new(calls::set_subnet_identity(netuid, &identity), summary, details);
        args.tx.submit.confirm_and_submit(&chain, &key, plan, context).await
    })
}

pub(super) fn get(args: &SubnetArgs, context: &Context) -> anyhow::Result<()> {
    let netuid = args.netuid;
    context.block_on(async {
        let chain = args.network.connect().await?;
        let block = args.at.block(&chain).await?;
        let identity = chain.subnet(netuid, block.into()).await.map_err(chain_error)?.identity;
        if context.json {
            return context.print_json(
                &json!({ "block": block_json(block), "netuid": netuid, "identity": identity }),
            );
        }
        let Some(identity) = identity else {
            context.print_notice(&format!("subnet {netuid} has published no identity"));
            return Ok(());
        };
        print_identity(["netuid", &netuid.to_string()], identity.fields(), context)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn subnet_identity_fields_have_length_limits() {
        let identity = SubnetIdentity::default();
        assert_eq!(identity.fields().map(|(name, _)| name), LIMITS.map(|(name, _)| name));
        let check =
            |new: &SubnetIdentity| describe_changes(new.fields(), identity.fields(), LIMITS, "");
        assert!(check(&SubnetIdentity { logo_url: "é".repeat(512), ..identity.clone() }).is_ok());
        let error = check(&SubnetIdentity { discord: "é".repeat(129), ..identity.clone() })
            .unwrap_err()
            .to_string();
        assert!(error.contains("discord of 258 bytes is too long (at most 256 bytes)"), "{error}");
    }
}
