//! Checks of a hotkey on the chain: registration, weight ledger, published endpoint.

use std::net::SocketAddr;
use std::num::NonZeroU16;
use std::path::PathBuf;
use std::time::SystemTime;

use axum::http::Method;
use taonet_babelbit_config::Config;
use taonet_chain::{At, Chain as _, Client};
use taonet_cli_babelbit::runner::address_policy;
use taonet_cli_base::daemon::state_directory;
use taonet_doctor::{
    Check, Endpoint, EndpointCall, Finding, LedgerView, Registration, Status, clock_against_chain,
    ledger, reachability, registration,
};
use taonet_neuron::AddressPolicy;
use taonet_primitives::{Hotkey, MechId, NetUid};
use taonet_reach::{SOURCES, external_ip};
use taonet_service::unix_time;
use taonet_wallet::{Keypair, StoredKey};
use taonet_wire::{BabelbitScheme, BtauthScheme, Call, ClientConfig, Retry, SignedClient, Signer};

use super::role::Role;
use super::{DoctorArgs, QUERY_TIMEOUT, Subnet, directory_problem};

/// Input of the chain checks.
pub(super) struct ChainCheckInput<'a> {
    pub(super) args: &'a DoctorArgs,
    pub(super) subnet: &'a Subnet,
    pub(super) roles: &'a [Role],
    /// The hotkey to look for; `None` if it is unknown.
    pub(super) hotkey: Option<Hotkey>,
    /// The keyfile that signs a request to the endpoint.
    pub(super) key: Option<&'a StoredKey>,
}

/// Checks the hotkey's registration, weight ledger and published endpoint, and the clock.
pub(super) async fn check(input: &ChainCheckInput<'_>) -> anyhow::Result<Vec<Finding>> {
    let network = input.args.network.network()?;
    let (subject, netuid) = (network.to_string(), input.subnet.netuid);
    let chain = match Client::connect(&network).await {
        Ok(chain) => chain,
        Err(error) => {
            let remedy = "select another node with BT_CHAIN_ENDPOINT";
            let mut findings = vec![Finding::error(Check::Network, subject, &error, remedy)];
            let reason = "the chain is unreachable";
            findings.extend(
                [Check::Subnet, Check::Registration]
                    .map(|check| Finding::skipped(check, "", reason)),
            );
            findings.extend(skip_neuron(reason));
            return Ok(findings);
        }
    };
    let genesis = chain.genesis();
    let Registration { mut findings, neuron } =
        registration(&chain, netuid, input.hotkey.as_ref()).await;
    if findings.iter().all(|finding| finding.check != Check::Registration) {
        findings.push(Finding::skipped(Check::Registration, "", "the subnet is unknown"));
    }
    findings.push(Finding::ok(Check::Network, subject, format!("connected, genesis {genesis}")));
    // The chain's time does not depend on the hotkey.
    let hotkey_or_zero = input.hotkey.unwrap_or(Hotkey::from_bytes([0; 32]));
    let state = match chain.hotkey_state(netuid, MechId(0), &hotkey_or_zero, At::Head).await {
        Ok(state) => state,
        Err(error) => {
            findings.push(Finding::skipped(Check::Clock, "the chain's time", error.to_string()));
            findings.extend(skip_neuron("the hotkey's state is unreadable"));
            return Ok(findings);
        }
    };
    findings.push(clock_against_chain(&state, unix_time(SystemTime::now())));
    let (Some(hotkey), Some(neuron)) = (input.hotkey, neuron) else {
        findings.extend(skip_neuron("the hotkey is unknown or not registered"));
        return Ok(findings);
    };
    match ledger_directory(input, hotkey) {
        Ok(directory) => {
            let view = LedgerView {
                genesis,
                netuid,
                hotkey,
                state: &state,
                registered_at: neuron.registered_at,
            };
            let mut ledger_finding = ledger(&directory, &view).await;
            if ledger_finding.status == Status::Fault
                && let Ok(state) = chain.hotkey_state(netuid, MechId(0), &hotkey, At::Head).await
            {
                // Weights may have been included between the two reads.
                ledger_finding = ledger(&directory, &LedgerView { state: &state, ..view }).await;
            }
            findings.push(ledger_finding);
        }
        Err(finding) => findings.push(finding),
    }
    let published_address = neuron.axon.map(|axon| axon.address);
    findings.extend(check_endpoint(input, hotkey, published_address, state.is_development).await);
    Ok(findings)
}

/// Skips the checks that need the hotkey's neuron.
fn skip_neuron(reason: &str) -> [Finding; 2] {
    [Check::Ledger, Check::Reachability].map(|check| Finding::skipped(check, "", reason))
}

/// Returns the directory of the weight ledger; the error is the finding of the check without one.
fn ledger_directory(input: &ChainCheckInput<'_>, hotkey: Hotkey) -> Result<PathBuf, Finding> {
    if let Some(directory) = &input.args.ledger {
        let remedy = "pass the directory that contains weights.sqlite with --ledger";
        let subject = directory.display().to_string();
        return match directory_problem(directory) {
            None => Ok(directory.clone()),
            Some(problem) => Err(Finding::fault(Check::Ledger, subject, problem, remedy)),
        };
    }
    if input.subnet.babelbit.is_none() {
        return existing_ledger(input.subnet.netuid, hotkey).ok_or_else(|| {
            let reason = format!(
                "no ledger of the subnet in {}: pass it with --ledger",
                state_directory("").display()
            );
            Finding::skipped(Check::Ledger, "", reason)
        });
    }
    if input.roles.contains(&Role::Gateway) {
        return Ok(state_directory("subtensor-gateway"));
    }
    let reason = "the gateway has the ledger: check it with --role gateway";
    Err(Finding::skipped(Check::Ledger, "", reason))
}

/// Returns the ledger directory of a Nineteen, text prompting or proof validator, if it exists.
fn existing_ledger(netuid: NetUid, hotkey: Hotkey) -> Option<PathBuf> {
    let directories = ["nineteen", "prompting", "proof-validator"]
        .map(|daemon| state_directory(daemon).join(format!("{netuid}-{hotkey}")).join("weights"));
    directories.into_iter().find(|directory| directory.is_dir())
}

/// Checks the published endpoint of the hotkey.
async fn check_endpoint(
    input: &ChainCheckInput<'_>,
    hotkey: Hotkey,
    published_address: Option<SocketAddr>,
    is_development: bool,
) -> Vec<Finding> {
    let babelbit: Option<&Config> = input.subnet.babelbit.as_ref();
    let policy = match babelbit {
        Some(config) => address_policy(config),
        None if is_development => AddressPolicy::private(),
        None => AddressPolicy::default(),
    };
    // Public services are queried only if there is an endpoint to compare with.
    let external_ip = match (published_address, babelbit.and_then(|config| config.external_ip)) {
        (Some(_), None) if !policy.allow_private => external_ip(&SOURCES, QUERY_TIMEOUT).await.ok(),
        (_, configured) => configured,
    };
    let is_miner = input.roles.contains(&Role::Miner);
    let port =
        babelbit.filter(|_| is_miner).and_then(|config| config.axon_port).map(NonZeroU16::get);
    let endpoint = Endpoint { published: published_address, port, external_ip };
    let request = match babelbit {
        // Miners verify the signature before they reject the empty message.
        Some(config) => Call::new(Method::POST, config.predict_endpoint.as_str(), "{}"),
        None => Call::new(Method::GET, "ping", ""),
    };
    let request = Call {
        name: "Synapse".to_owned(),
        deadline: QUERY_TIMEOUT,
        retry: Retry::Never,
        ..request
    };
    let client =
        input.key.and_then(keypair).and_then(|keypair| client(keypair, babelbit.is_some()));
    let call = client.as_ref().map(|client| EndpointCall {
        hotkey,
        client,
        request: &request,
        is_subnet_route: babelbit.is_some(),
    });
    let findings = reachability(endpoint, &policy, call).await;
    // A validator needs no endpoint, and by default all roles are checked.
    let is_endpoint_optional = published_address.is_none() && input.args.role.is_empty();
    findings
        .into_iter()
        .map(|finding| if is_endpoint_optional { finding.or_warning() } else { finding })
        .collect()
}

/// Returns the key pair of an unencrypted keyfile.
fn keypair(stored: &StoredKey) -> Option<Keypair> {
    stored.encryption().is_none().then(|| stored.open(None).ok()?.into_keypair().ok()).flatten()
}

/// Returns a client that signs as Babelbit's validators do, or with `btauth/1`.
fn client(keypair: Keypair, is_babelbit: bool) -> Option<SignedClient> {
    // No scheme signs the external address.
    let ip = "0.0.0.0";
    let signer = if is_babelbit {
        Signer::new(keypair, ip, BabelbitScheme::axon())
    } else {
        Signer::new(keypair, ip, BtauthScheme::new())
    };
    SignedClient::new(signer, ClientConfig::default()).ok()
}
