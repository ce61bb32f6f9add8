//! `tao doctor`: checks of an operator's set-up.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use clap::Args;
use serde_json::{Value, json};
use taonet_babelbit_config::Config;
use taonet_chain::{At, Chain as _, Client};
use taonet_doctor::{
    Check, DiskNeeds, Endpoint, Finding, Host, IfMissing, Latest, LedgerView, Registration, Report, Status,
    clock_against_chain, clock_against_ntp, coldkey, disk, host, ledger, model, port, reachability, registration,
    secret_file, version,
};
use taonet_primitives::{Hotkey, MechId, NetUid, counted};
use taonet_reach::{SOURCES, external_ip};
use taonet_service::unix_time;
use taonet_speech::models::ModelStore;
use taonet_update::ReleaseSource;

use super::babelbit::runner::address_policy;
use crate::chain::NetworkArgs;
use crate::context::Context;
use crate::daemon::state_directory;
use crate::engines;
use crate::exit::{Classified, Failure};
use crate::keys::{configured_wallet, stored_hotkey};
use crate::printable::printable;
use crate::settings;
use crate::table::{Cell, facts, judged, table, warning};
use crate::tables::FINDINGS;
use crate::updates::{VERSION, updater};

/// Timeout of a query to a server on the internet.
const TIMEOUT: Duration = Duration::from_secs(3);
/// Hint of the error for a missing hotkey.
const NO_HOTKEY: &str = "create a wallet with `tao wallet create`, or select one with BITTENSOR_WALLET_COLD and \
    BITTENSOR_WALLET_HOT";

/// Check the set-up of a validator or miner, and say how to correct it
#[derive(Debug, Args)]
pub(crate) struct DoctorArgs {
    /// Netuid of the subnet [default: BABELBIT_NETUID, or 59]
    #[arg(long, value_name = "NETUID")]
    netuid: Option<NetUid>,
    /// Hotkey to look for on the chain [default: that of the wallet in BITTENSOR_WALLET_COLD, BITTENSOR_WALLET_HOT and
    /// BITTENSOR_WALLET_PATH]
    #[arg(long, value_name = "HOTKEY")]
    hotkey: Option<Hotkey>,
    /// Directory of the gateway's weight ledger [default: subtensor-gateway in the state directory]
    #[arg(long, value_name = "DIR")]
    ledger: Option<PathBuf>,
    /// NTP server to compare the clock with
    #[arg(long, value_name = "HOST[:PORT]", default_value = "pool.ntp.org")]
    ntp_server: String,
    /// Release server to compare the version with: an http or https URL, or a directory
    #[arg(long, value_name = "URL|DIR", env = "TAO_UPDATE_URL", hide_env_values = true)]
    from: Option<ReleaseSource>,
    #[command(flatten)]
    network: NetworkArgs,
}

pub(crate) fn run(args: &DoctorArgs, context: &Context) -> anyhow::Result<()> {
    let mut report = Report::default();
    if let Err(error) = settings::load_env_file() {
        report.extend([Finding::error(Check::Settings, ".env", error.as_ref(), "correct the line")]);
    }
    let (config, findings) = settings::check();
    report.extend(findings);
    context.block_on(async {
        let machine = check_machine(args, config.as_ref());
        match &config {
            Some(config) => {
                let (files, known) = check_files(config);
                let hotkey = args.hotkey.or(known);
                let (machine, ports, chain) =
                    tokio::join!(machine, check_ports(config), check_chain(args, config, hotkey));
                report.extend(machine.into_iter().chain(files).chain(ports).chain(chain?));
            }
            None => {
                report.extend(machine.await);
                let rest = [Check::Disk, Check::Ports, Check::Keys, Check::Models, Check::Network];
                report.extend(rest.map(|check| Finding::skipped(check, "", "the settings are invalid")));
            }
        }
        anyhow::Ok(())
    })?;
    if context.json {
        context.print_json(&document(&report))?;
    } else {
        context.print(&shown(&report))?;
    }
    verdict(&report)
}

/// Returns the directories with files that must be kept, each with a name.
fn directories(config: &Config) -> [(&'static str, PathBuf); 5] {
    [
        ("state", state_directory("")),
        ("logs", config.logs_dir.clone()),
        ("scores", config.scores_dir.clone()),
        ("status files", config.status_dir.clone()),
        ("caches", config.cache_dir.clone()),
    ]
}

/// Checks the system, the clock and the version of this program.
async fn check_machine(args: &DoctorArgs, config: Option<&Config>) -> Vec<Finding> {
    let (clock, system, latest) =
        tokio::join!(clock_against_ntp(&args.ntp_server, TIMEOUT), Host::read(), latest(args.from.as_ref()));
    let state: Vec<_> = config.into_iter().flat_map(directories).map(|(_, path)| path).collect();
    let mut findings = host(&system, &state);
    findings.extend([clock, version(VERSION, &latest)]);
    findings
}

/// Queries the release server.
async fn latest(source: Option<&ReleaseSource>) -> Latest {
    let Some(source) = source else { return Latest::NoServer };
    let check = match updater(source) {
        Ok(updater) => updater.check().await.map_err(Into::into),
        Err(error) => Err(error),
    };
    match check {
        Ok(taonet_update::Check::Newer(release)) => Latest::Newer(release.version().to_string()),
        Ok(_) => Latest::Current,
        Err(error) => Latest::Unknown(error.to_string()),
    }
}

/// Checks directories, keys and models. Also returns the hotkey of the configured wallet.
fn check_files(config: &Config) -> (Vec<Finding>, Option<Hotkey>) {
    let checked = directories(config).into_iter().map(|(what, path)| disk(what, &path, DiskNeeds::default()));
    let mut findings: Vec<_> = checked.collect();
    let (keys, hotkey) = check_keys(config);
    findings.extend(keys);
    findings.extend(check_models(config));
    (findings, hotkey)
}

fn check_keys(config: &Config) -> (Vec<Finding>, Option<Hotkey>) {
    let (wallet, home) = (&config.operator.wallet, dirs::home_dir());
    let (mut findings, mut known) = (Vec::new(), None);
    match stored_hotkey(wallet, home.as_deref(), NO_HOTKEY) {
        Ok(stored) => (findings, known) = taonet_doctor::hotkey(&stored),
        Err(error) => findings.push(Finding::error(Check::Keys, "hotkey", error.as_ref(), NO_HOTKEY)),
    }
    if let Ok(Some(wallet)) = configured_wallet(wallet, home.as_deref()) {
        findings.extend(coldkey(&wallet));
    }
    findings.extend(config.services.token_file.as_deref().map(|path| secret_file("token", path)));
    (findings, known)
}

fn check_models(config: &Config) -> Vec<Finding> {
    let store = ModelStore::new(config.models_dir.clone());
    let recognizer = match engines::network_name(config) {
        Ok(name) if engines::is_directory(name) => {
            Finding::skipped(Check::Models, name, "a directory of your own, which has no published sums")
        }
        Ok(name) => model("recogniser", name, &store, IfMissing::Stops),
        Err(error) => {
            let remedy = "set another BB_AUDIO_SCORING_STT_MODEL";
            Finding::error(Check::Models, "recogniser", error.as_ref(), remedy)
        }
    };
    vec![recognizer, model("embedder", &config.embedder, &store, IfMissing::Downloads)]
}

async fn check_ports(config: &Config) -> Vec<Finding> {
    let (signer, gateway, metrics) = tokio::join!(
        port("signer", config.signer_listen(), "SIGNER_HOST and SIGNER_PORT"),
        port("subtensor gateway", config.gateway_listen(), "SUBTENSOR_GATEWAY_HOST and SUBTENSOR_GATEWAY_PORT"),
        port("metrics", config.metrics_listen(), "BABELBIT_METRICS_ADDR and BABELBIT_METRICS_PORT"),
    );
    let mut findings = vec![signer, gateway, metrics];
    if let Some(axon) = config.axon_port {
        let address = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), axon.get());
        findings.push(port("miner", address, "MINER_AXON_PORT").await);
    }
    findings
}

/// Checks what the chain knows of the hotkey.
async fn check_chain(args: &DoctorArgs, config: &Config, hotkey: Option<Hotkey>) -> anyhow::Result<Vec<Finding>> {
    let (network, netuid) = (args.network.network()?, args.netuid.unwrap_or(config.netuid));
    let subject = network.to_string();
    let chain = match Client::connect(&network).await {
        Ok(chain) => chain,
        Err(error) => {
            let remedy = "select another node with BT_CHAIN_ENDPOINT";
            let rest = [Check::Registration, Check::Ledger, Check::Reachability];
            let mut findings = vec![Finding::error(Check::Network, subject, &error, remedy)];
            findings.extend(rest.map(|check| Finding::skipped(check, "", "the chain is unreachable")));
            return Ok(findings);
        }
    };
    let genesis = chain.genesis();
    let Registration { mut findings, neuron } = registration(&chain, netuid, hotkey.as_ref()).await;
    findings.push(Finding::ok(Check::Network, subject, format!("connected, genesis {genesis}")));
    // The chain's time does not depend on the hotkey.
    let asked = hotkey.unwrap_or(Hotkey::from_bytes([0; 32]));
    let read_state = || chain.hotkey_state(netuid, MechId(0), &asked, At::Head);
    let state = match read_state().await {
        Ok(state) => state,
        Err(error) => {
            findings.push(Finding::skipped(Check::Clock, "the chain's time", error.to_string()));
            return Ok(findings);
        }
    };
    findings.push(clock_against_chain(&state, unix_time(SystemTime::now())));
    let (Some(hotkey), Some(neuron)) = (hotkey, neuron) else { return Ok(findings) };
    let directory = args.ledger.clone().unwrap_or_else(|| state_directory("subtensor-gateway"));
    let view = LedgerView { genesis, netuid, hotkey, state: &state, registered_at: neuron.registered_at };
    let mut compared = ledger(&directory, &view).await;
    if compared.status == Status::Fault
        && let Ok(state) = read_state().await
    {
        // Weights may have been included between the two reads.
        compared = ledger(&directory, &LedgerView { state: &state, ..view }).await;
    }
    findings.push(compared);
    findings.extend(check_endpoint(config, neuron.axon.map(|axon| axon.address)).await);
    Ok(findings)
}

async fn check_endpoint(config: &Config, published: Option<SocketAddr>) -> Vec<Finding> {
    let policy = address_policy(config);
    // Public services are queried only if there is an endpoint to compare with.
    let external = match (published, config.external_ip) {
        (Some(_), None) if !policy.allow_private => external_ip(&SOURCES, TIMEOUT).await.ok(),
        (_, set) => set,
    };
    let port = config.axon_port.map(std::num::NonZeroU16::get);
    reachability(Endpoint { published, port, external_ip: external }, &policy, TIMEOUT).await
}

fn document(report: &Report) -> Value {
    let findings: Vec<_> = report.findings().iter().map(finding_json).collect();
    json!({
        "findings": findings,
        "faults": report.count(Status::Fault),
        "warnings": report.count(Status::Warning),
        "exit_code": report.exit_code(),
    })
}

/// Returns a finding as JSON.
pub(crate) fn finding_json(finding: &Finding) -> Value {
    json!({
        "check": finding.check.name(),
        "status": finding.status.name(),
        "exit_code": finding.exit_code(),
        "subject": finding.subject,
        "seen": finding.seen,
        "remedy": finding.remedy,
    })
}

/// Formats the report as text: the table, then the remedies.
fn shown(report: &Report) -> String {
    let mut rows = table(&FINDINGS);
    for finding in report.findings() {
        let code = finding.exit_code().map(|code| code.to_string()).unwrap_or_default();
        rows.add_row([
            finding.check.into(),
            status(finding.status),
            code.into(),
            Cell::from(&finding.subject),
            Cell::from(&finding.seen),
        ]);
    }
    let mut text = rows.to_string();
    for finding in report.findings() {
        let Some(remedy) = &finding.remedy else { continue };
        let mut parts = facts();
        parts.add_row([
            finding.status.name(),
            &format!("{}: {}", printable(&finding.subject), printable(&finding.seen)),
        ]);
        parts.add_row(["remedy", &printable(remedy)]);
        text = format!("{text}\n\n{}\n{parts}", finding.check);
    }
    text
}

fn status(status: Status) -> Cell {
    match status {
        Status::Ok => judged(status.name(), true),
        Status::Warning => warning(status.name()),
        Status::Fault => judged(status.name(), false),
        Status::Skipped => status.name().into(),
    }
}

/// Returns an error with the exit code of the first fault, if there is one.
fn verdict(report: &Report) -> anyhow::Result<()> {
    let Some(fault) = report.first_fault() else { return Ok(()) };
    let faults = counted(report.count(Status::Fault), "fault");
    let message = format!("{faults}; the first is {}: {}: {}", fault.check, fault.subject, fault.seen);
    let remedy = fault.remedy.as_deref().unwrap_or_default();
    let message = format!("{message}\nhint: {remedy}");
    Err(match Failure::of_code(report.exit_code()) {
        Some(failure) => Classified::error(failure, message),
        None => anyhow::anyhow!(message),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exit::exit_code;

    #[test]
    fn exit_code_and_document_are_those_of_first_fault() {
        for check in Check::ALL {
            let mut report = Report::default();
            report.extend([Finding::fault(check, "subject", "broken", "mend it"), Finding::ok(check, "other", "fine")]);
            assert_eq!(exit_code(&verdict(&report)), check.exit_code(), "{check}");
            let document = document(&report);
            assert_eq!((&document["faults"], &document["exit_code"]), (&json!(1), &json!(check.exit_code())));
            assert_eq!(document["findings"][0]["remedy"], json!("mend it"));
            assert_eq!(document["findings"][1]["exit_code"], Value::Null);
            assert!(shown(&report).contains("mend it"));
        }
        let mut report = Report::default();
        report.extend([Finding::warning(Check::Keys, "subject", "odd", "mend it")]);
        assert_eq!(exit_code(&verdict(&report)), 0);
    }
}
