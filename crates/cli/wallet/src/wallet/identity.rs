use clap::Args;
use serde_json::json;
use taonet_chain::{Identity, calls};
use taonet_cli_base::chain::{
    ColdkeyArgs, Plan, ReadColdkeyArgs, TxArgs, block_json, chain_error, describe_changes,
    print_identity,
};
use taonet_cli_base::context::Context;

/// Publish the identity of a coldkey
#[derive(Debug, Args)]
pub struct SetIdentityArgs {
    /// Name, at most 256 bytes
    #[arg(long = "id-name", value_name = "NAME")]
    name: Option<String>,
    /// Website, at most 256 bytes
    #[arg(long, alias = "web-url", value_name = "URL")]
    url: Option<String>,
    /// Source repository, at most 256 bytes
    #[arg(long, alias = "github", value_name = "URL")]
    github_repo: Option<String>,
    /// URL of the logo, at most 1024 bytes
    #[arg(long, alias = "image-url", value_name = "URL")]
    image: Option<String>,
    /// Discord contact, at most 256 bytes
    #[arg(long, value_name = "NAME")]
    discord: Option<String>,
    /// Description, at most 1024 bytes
    #[arg(long, value_name = "TEXT")]
    description: Option<String>,
    /// Further information, at most 1024 bytes
    #[arg(long, value_name = "TEXT")]
    additional: Option<String>,
    #[command(flatten)]
    tx: TxArgs<ColdkeyArgs>,
}

/// Maximum length of the fields, in bytes.
const LIMITS: [(&str, usize); 7] = [
    ("name", 256),
    ("url", 256),
    ("github_repo", 256),
    ("image", 1024),
    ("discord", 256),
    ("description", 1024),
    ("additional", 1024),
];

impl SetIdentityArgs {
    /// Returns the given fields, with the others as they are on the chain.
    fn merged_with(&self, current: Identity) -> Identity {
        Identity {
            name: self.name.clone().unwrap_or(current.name),
            url: self.url.clone().unwrap_or(current.url),
            github_repo: self.github_repo.clone().unwrap_or(current.github_repo),
            image: self.image.clone().unwrap_or(current.image),
            discord: self.discord.clone().unwrap_or(current.discord),
            description: self.description.clone().unwrap_or(current.description),
            additional: self.additional.clone().unwrap_or(current.additional),
        }
    }
}

pub(super) fn set(args: &SetIdentityArgs, context: &Context) -> anyhow::Result<()> {
    context.block_on(async {
        let chain = args.tx.connect().await?;
        let key = args.tx.unlock()?;
        let coldkey = args.tx.submit.coldkey(&key);
        let current = chain
            .identity(coldkey, taonet_chain::At::Head)
            .await
            .map_err(chain_error)?
            .unwrap_or_default();
        let identity = args.merged_with(current.clone());
        let changed =
            describe_changes(identity.fields(), current.fields(), LIMITS, "--id-name or --url")?;
        let details = json!({ "coldkey": coldkey, "identity": identity });
        let summary = format!("Publish the identity of {coldkey} with {changed}");
        args.tx
            .submit
            .confirm_and_submit(
                &chain,
                &key,
                Plan::new(calls::set_identity(&identity), summary, details),
                context,
            )
            .await
    })
}

pub(super) fn get(args: &ReadColdkeyArgs, context: &Context) -> anyhow::Result<()> {
    let coldkey = args.coldkey()?;
    context.block_on(async {
        let (chain, block) = args.connect().await?;
        let identity = chain.identity(coldkey, block.into()).await.map_err(chain_error)?;
        if context.json {
            return context.print_json(
                &json!({ "block": block_json(block), "coldkey": coldkey, "identity": identity }),
            );
        }
        let Some(identity) = identity else {
            context.print_notice(&format!("{coldkey} has published no identity"));
            return Ok(());
        };
        print_identity(["coldkey", &coldkey.to_string()], identity.fields(), context)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identity_fields_have_length_limits() {
        let identity = Identity::default();
        assert_eq!(identity.fields().map(|(name, _)| name), LIMITS.map(|(name, _)| name));
        let check = |new: &Identity| describe_changes(new.fields(), identity.fields(), LIMITS, "");
        assert!(check(&Identity { description: "é".repeat(512), ..identity.clone() }).is_ok());
        let error =
            check(&Identity { name: "é".repeat(129), ..identity.clone() }).unwrap_err().to_string();
        assert!(error.contains("name of 258 bytes is too long (at most 256 bytes)"), "{error}");
    }
}
