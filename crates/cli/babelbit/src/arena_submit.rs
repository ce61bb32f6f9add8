//! The `bb arena-submit` command.

use clap::Args;
use taonet_babelbit_arena::gateway::{SubmitError, submit};
use taonet_babelbit_core::arena_api::Submission;
use taonet_cli_base::context::Context;
use taonet_cli_base::exit::{ClassifiedError, Failure};
use taonet_cli_base::keys::KeyArgs;
use taonet_http::JsonCallError;
use taonet_primitives::{Hotkey, Uid};
use taonet_wire::CallError;
use url::Url;

use crate::settings;

/// Submit a miner's address to the arena gateway
#[derive(Debug, Args)]
pub struct ArenaSubmitArgs {
    /// Address of the miner: http://HOST:PORT, or HOST:PORT
    url: String,
    /// Uid of the miner on the subnet
    #[arg(long, value_name = "UID")]
    uid: Uid,
    /// URL of the arena gateway [default: BB_ARENA_GATEWAY_URL, or http://127.0.0.1:8060 on local
    /// networks]
    #[arg(long, value_name = "URL")]
    gateway: Option<Url>,
    /// Hotkey of the gateway, the receiver of the signed submission [default: queried from the
    /// gateway]
    #[arg(long, value_name = "HOTKEY")]
    gateway_hotkey: Option<Hotkey>,
    #[command(flatten)]
    key: KeyArgs,
}

pub(crate) fn run(args: &ArenaSubmitArgs, context: &Context) -> anyhow::Result<()> {
    let config = settings::load()?;
    let gateway = args.gateway.clone().unwrap_or_else(|| config.arena_gateway_url());
    let keypair = args.key.load(None)?;
    let submission = Submission { endpoint_url: args.url.clone(), uid: args.uid.0 };
    let response = context.block_on(async {
        submit(&gateway, args.gateway_hotkey, &keypair, &submission).await.map_err(classify)
    })?;
    if context.json {
        return context.print_json(&response);
    }
    let membership = if response.listed { "in the arena" } else { "not in the arena yet" };
    context.print(&format!(
        "{} at {} is {membership}; wins: {}",
        response.hotkey, response.endpoint_url, response.wins
    ))
}

fn classify(error: SubmitError) -> anyhow::Error {
    let status = match &error {
        SubmitError::Call(CallError::Status { status, .. })
        | SubmitError::Health(JsonCallError::Status { status, .. }) => Some(status.as_u16()),
        SubmitError::Call(_) | SubmitError::Health(_) => None,
        _ => return error.into(),
    };
    match status {
        Some(401 | 403) => ClassifiedError::error(Failure::Authentication, error.to_string()),
        Some(400..=499) => error.into(),
        _ => ClassifiedError::error(Failure::Network, error.to_string()),
    }
}
