//! `tao proxy execute`: makes a call that a proxy announced.

use std::str::FromStr;

use anyhow::bail;
use clap::Args;
use serde_json::{Value, json};
use taonet_chain::{At, Call, Chain as _, Client, Decoded, calls};
use taonet_cli_base::chain::{
    Account, ColdkeyArgs, HexBytes, NamedArgument, Plan, TxArgs, chain_error, hex_text,
};
use taonet_cli_base::context::Context;
use taonet_cli_base::exit::ClassifiedError;
use taonet_cli_chain::any_call::{self, CallOrPallet};
use taonet_primitives::AccountId;

/// Make a call that a proxy announced, after its delay
#[derive(Debug, Args)]
pub struct ExecuteArgs {
    /// Account for which the call was announced
    #[arg(value_name = "ACCOUNT")]
    account: Account,
    /// Announced call as PALLET.NAME, or its encoded bytes as 0x…
    #[arg(value_name = "CALL")]
    call: AnnouncedCall,
    /// Arguments of the call, as in `tao call`
    #[arg(value_name = "NAME=VALUE")]
    named: Vec<NamedArgument>,
    /// Proxy that announced the call [default: the signer]
    #[arg(long, value_name = "PROXY")]
    delegate: Option<Account>,
    #[command(flatten)]
    tx: TxArgs<ColdkeyArgs>,
}

/// A call by its name, or encoded.
#[derive(Debug, Clone, PartialEq, Eq)]
enum AnnouncedCall {
    Named { pallet: String, name: String },
    Encoded(Vec<u8>),
}

impl FromStr for AnnouncedCall {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text.starts_with("0x") {
            let HexBytes(bytes) = text.parse()?;
            return Ok(Self::Encoded(bytes));
        }
        match text.parse::<CallOrPallet>()? {
            CallOrPallet::Call { pallet, name } => Ok(Self::Named { pallet, name }),
            CallOrPallet::Pallet(_) => {
                Err("expected PALLET.NAME, such as Balances.transfer_keep_alive, or 0x…".to_owned())
            }
        }
    }
}

impl ExecuteArgs {
    /// Builds the announced call. Returns it with its name and its arguments as the chain reads
    /// them.
    async fn build_call(&self, chain: &Client) -> anyhow::Result<(Call, String, Value)> {
        let (pallet, name, arguments) = match &self.call {
            AnnouncedCall::Named { pallet, name } => {
                (pallet.clone(), name.clone(), any_call::argument_object(&self.named)?)
            }
            AnnouncedCall::Encoded(_) if !self.named.is_empty() => {
                return Err(ClassifiedError::usage("an encoded call already has its arguments"));
            }
            AnnouncedCall::Encoded(bytes) => {
                match chain.inspect(bytes, At::Head).await.map_err(chain_error)? {
                    Decoded::Call(call) => {
                        (call.pallet, call.name, call.args.as_object().cloned().unwrap_or_default())
                    }
                    Decoded::Extrinsic(_) => bail!("these bytes are an extrinsic, not a call"),
                }
            }
        };
        let (call, arguments) = any_call::build_call(chain, &pallet, &name, arguments).await?;
        Ok((call, format!("{pallet}.{name}"), arguments))
    }
}

pub(super) fn run(args: &ExecuteArgs, context: &Context) -> anyhow::Result<()> {
    let real = args.account.id();
    context.block_on(async {
        let chain = args.tx.connect().await?;
        let (call, name, arguments) = args.build_call(&chain).await?;
        let hash = hex_text(&chain.call_hash(&call).await.map_err(chain_error)?);
        let key = args.tx.unlock()?;
        let delegate: AccountId = args.delegate.map_or_else(|| args.tx.submit.coldkey(&key).into(), Account::id);
        let announcements = chain.announcements(delegate, At::Head).await.map_err(chain_error)?;
        if !announcements.iter().any(|announcement| announcement.real == real && announcement.call_hash == hash) {
            bail!(
                "{delegate} has not announced the call {hash} for {real}\nhint: list the announcements with `tao proxy \
                 announcements {delegate}`"
            );
        }
        let details = json!({
            "real": real,
            "delegate": delegate,
            "call": name,
            "arguments": arguments,
            "call_hash": hash,
        });
        let description = format!("Call {name} {arguments} for {real}, as {delegate} announced");
        let plan = Plan::new(calls::proxy_announced(delegate, real, call), description, details);
        args.tx.submit.confirm_and_submit(&chain, &key, plan, context).await
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn announced_call_is_parsed_from_name_or_bytes() {
        let named = AnnouncedCall::Named { pallet: "System".to_owned(), name: "remark".to_owned() };
        assert_eq!("System.remark".parse(), Ok(named));
        assert_eq!("0x00000411".parse(), Ok(AnnouncedCall::Encoded(vec![0, 0, 4, 17])));
        for text in ["", "System", "0x", "0x0", "System.remark.x"] {
            assert!(text.parse::<AnnouncedCall>().is_err(), "{text}");
        }
    }
}
