//! `tao proof miner --self-probe`: checks that signed requests reach a running miner.

use std::time::Duration;

use anyhow::Context as _;
use axum::http::Method;
use clap::Args;
use serde_json::json;
use taonet_cli_base::context::Context;
use taonet_cli_base::exit::{ClassifiedError, Failure};
use taonet_proof_core::messages::QUERY_ZK_PROOF;
use taonet_wallet::Keypair;
use taonet_wire::{Call, Peer, Retry};

use super::validator::client;

/// Arguments of the self-probe
#[derive(Debug, Args)]
pub(crate) struct ProbeArgs {
    /// Check that requests signed with this key reach the running miner, and exit
    #[arg(long, conflicts_with = "auto_update")]
    pub(crate) self_probe: bool,
    /// Address of the miner [default: the address of --listen]
    #[arg(long, value_name = "HOST:PORT", requires = "self_probe")]
    probe_target: Option<String>,
    /// Timeout of each step in seconds
    #[arg(long, value_name = "SECONDS", default_value = "10", value_parser = clap::value_parser!(u16).range(1..=120))]
    probe_timeout: u16,
}

impl ProbeArgs {
    /// Requests the health page, then sends an empty signed request. Any response but 404 shows
    /// that the path works: this key has no permit, so a rejection is expected.
    pub(crate) async fn probe(
        &self,
        keypair: &Keypair,
        listen: &str,
        context: &Context,
    ) -> anyhow::Result<()> {
        let target = self.probe_target.as_deref().unwrap_or(listen);
        let (host, port) = target.rsplit_once(':').context("--probe-target is not HOST:PORT")?;
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let peer = Peer::new(
            keypair.hotkey(),
            host,
            port.parse().context("--probe-target is not HOST:PORT")?,
        )?;
        let client = client(keypair)?;
        let mut steps = Vec::new();
        for (step, method, path) in
            [("handshake", Method::GET, "health"), ("query", Method::POST, QUERY_ZK_PROOF)]
        {
            let mut call = Call::new(method, path, if step == "query" { "{}" } else { "" });
            (call.deadline, call.retry) =
                (Duration::from_secs(self.probe_timeout.into()), Retry::Never);
            let response = client.call(&peer, &call).await.map_err(|error| {
                let error = anyhow::Error::new(error);
                ClassifiedError::error(Failure::Network, format!("{step} at {target}: {error:#}"))
            })?;
            let text: String = String::from_utf8_lossy(&response.body).chars().take(200).collect();
            steps.push(json!({ "step": step, "status": response.status.as_u16(), "answer": text }));
        }
        // Other servers lack this route.
        let is_miner = steps
            .last()
            .and_then(|step| step["status"].as_u64())
            .is_some_and(|status| status != 404);
        if context.json {
            context.print_json(&json!({ "target": target, "works": is_miner, "steps": steps }))?;
        } else {
            for step in &steps {
                context.print(&format!(
                    "{}: {} {}",
                    string_or_empty(&step["step"]),
                    step["status"],
                    string_or_empty(&step["answer"])
                ))?;
            }
        }
        anyhow::ensure!(is_miner, "{target} responds, but is not a proof miner");
        context.print_notice(&format!("signed requests reach the miner at {target}"));
        Ok(())
    }
}

fn string_or_empty(value: &serde_json::Value) -> &str {
    value.as_str().unwrap_or_default()
}
