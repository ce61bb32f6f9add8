//! The `bb signer` command.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context as _;
use clap::Args;
use taonet_babelbit_validator::PayloadPolicy;
use taonet_cli_base::context::Context;
use taonet_cli_base::daemon::{Daemon, MetricsArgs, state_directory};
use taonet_cli_base::keys::KeyArgs;
use taonet_cli_base::memory;
use taonet_cli_base::preflight;
use taonet_doctor::{DiskNeeds, WriteDirectory};
use taonet_http::disable_huge_pages;
use taonet_service::Shutdown;
use taonet_validator::operator_http::OperatorLimits;
use taonet_validator::signer::{AuditLog, Signer, SignerConfig};
use taonet_validator::subtensor_gateway::GatewayClient;

use super::access::AccessArgs;
use crate::settings;

/// Sign for the validator's daemons, so that only one process holds the hotkey
#[derive(Debug, Args)]
pub struct SignerArgs {
    /// Listen address [default: SIGNER_HOST and SIGNER_PORT, or 127.0.0.1:8080]
    #[arg(long, value_name = "ADDRESS")]
    listen: Option<SocketAddr>,
    #[command(flatten)]
    access: AccessArgs,
    /// Also sign texts with this prefix, besides those of Babelbit's protocols; can be repeated
    #[arg(long, value_name = "TEXT")]
    allow_prefix: Vec<String>,
    /// Sign any text, as the reference does
    #[arg(long)]
    sign_anything: bool,
    /// Audit log of signing requests [default: audit.jsonl in the state directory]
    #[arg(long, value_name = "FILE")]
    audit_log: Option<PathBuf>,
    #[command(flatten)]
    metrics: MetricsArgs,
    #[command(flatten)]
    key: KeyArgs,
}

pub(crate) fn run(args: &SignerArgs, context: &Context) -> anyhow::Result<()> {
    memory::protect();
    let config = settings::load()?;
    let listen = args.listen.unwrap_or_else(|| config.signer_listen());
    let token = args.access.token(&config, listen)?;
    let keypair = Arc::new(args.key.load(None)?);
    let hotkey = keypair.hotkey();
    let path =
        args.audit_log.clone().unwrap_or_else(|| state_directory("signer").join("audit.jsonl"));
    if let Some(directory) = path.parent() {
        std::fs::create_dir_all(directory).with_context(|| audit_log_error(&path))?;
    }
    let services = &config.services;
    let signer = Signer::new(SignerConfig {
        keypair,
        netuid: config.netuid,
        gateway: GatewayClient::new(
            &config.gateway_url(),
            token.as_ref(),
            services.gateway_timeout,
        )?,
        retries: services.signer_retries,
        retry_delay: services.signer_retry_delay,
        policy: PayloadPolicy {
            prefixes: args.allow_prefix.clone(),
            any: args.sign_anything,
            ..PayloadPolicy::new(hotkey)
        }
        .into_signing_policy(),
        audit: AuditLog::open(&path).with_context(|| audit_log_error(&path))?,
    });
    disable_huge_pages();
    context.block_on(async {
        let daemon = Daemon::bind(listen, &args.metrics).await?;
        Signer::describe_metrics();
        context.print_notice(&format!("hotkey {hotkey}"));
        let shutdown = Shutdown::on_signals().context("cannot install signal handlers")?;
        let audit_log = WriteDirectory::of_file("audit log", &path, DiskNeeds::STATE);
        preflight::spawn_disk_check(vec![audit_log], &shutdown);
        preflight::spawn_network_clock_check(&shutdown);
        daemon
            .serve_until(shutdown, "signer", signer.router(OperatorLimits::new(token)), context)
            .await
    })
}

fn audit_log_error(path: &Path) -> String {
    format!(
        "cannot write the audit log {}\nhint: choose another file with --audit-log",
        path.display()
    )
}
