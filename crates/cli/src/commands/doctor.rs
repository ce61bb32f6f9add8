//! `tao doctor`: checks of an operator's set-up.

mod chain;
mod keys;
mod report;
mod role;
mod service_check;
mod services;
#[cfg(test)]
mod tests;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use taonet_babelbit_config::Config;
use taonet_cli_babelbit::runner::check_ledger;
use taonet_cli_base::chain::NetworkArgs;
use taonet_cli_base::context::Context;
use taonet_cli_base::daemon::state_directory;
use taonet_cli_base::exit::ClassifiedError;
use taonet_cli_base::settings;
use taonet_cli_base::updates::{VERSION, updater};
use taonet_cli_models::{chat_model, engines};
use taonet_doctor::{
    Check, DiskNeeds, Finding, Host, IfMissing, Latest, Report, Status, WriteDirectory,
    clock_against_ntp, disks, host, model, version,
};
#[cfg(feature = "proof")]
use taonet_primitives::counted;
use taonet_primitives::{Hotkey, NetUid};
use taonet_speech::models::{ALL_MINILM_L6_V2, ModelStore};
use taonet_update::ReleaseSource;
use tokio::task::spawn_blocking;
use tokio::time::timeout;

use role::Role;

/// Timeout of a query to a server on the internet, or to a file system.
const QUERY_TIMEOUT: Duration = Duration::from_secs(3);

/// Check the set-up of a validator or miner, and say how to correct it
#[derive(Debug, Args)]
pub(crate) struct DoctorArgs {
    /// Netuid of the subnet [default: BABELBIT_NETUID, or 59]
    #[arg(long, value_name = "NETUID")]
    netuid: Option<NetUid>,
    /// Daemon to check: gateway, signer, validator, runner or miner of Babelbit;
    /// nineteen-validator, nineteen-entry, nineteen-query, nineteen-miner, proof-validator,
    /// proof-miner, prompting-validator or prompting-miner; may be repeated [default: those of the
    /// subnet; in a container, none]
    #[arg(long, value_enum, value_name = "ROLE", hide_possible_values = true)]
    role: Vec<Role>,
    /// Address of the daemon in --role, if it is none of Babelbit's: its --listen, or --metrics
    /// [default: that of the daemon]
    #[arg(long, value_name = "ADDRESS", requires = "role")]
    listen: Option<SocketAddr>,
    /// Language model of a daemon of Nineteen or of text prompting, as its --model or --judge-model
    #[arg(long, value_name = "MODEL")]
    model: Option<PathBuf>,
    /// Directory with the circuits of a daemon of proofs
    #[arg(long, value_name = "DIR")]
    circuits: Option<PathBuf>,
    /// Hotkey file of the daemons [default: the hotkey of the wallet in BITTENSOR_WALLET_COLD,
    /// BITTENSOR_WALLET_HOT and BITTENSOR_WALLET_PATH]
    #[arg(long, value_name = "FILE")]
    keyfile: Option<PathBuf>,
    /// File with the bearer token, as the daemons' --token-file [env: BB_API_TOKEN_FILE]
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// Signer and gateway are started with --insecure: beyond loopback, they require no token
    #[arg(long)]
    insecure: bool,
    /// Hotkey to look for on the chain [default: that of the keyfile]
    #[arg(long, value_name = "HOTKEY")]
    hotkey: Option<Hotkey>,
    /// File of settings [default: .env, if it exists]
    #[arg(long, value_name = "FILE")]
    env_file: Option<PathBuf>,
    /// Directory of the weight ledger [default: that of the subnet's daemon in the state directory]
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

impl DoctorArgs {
    /// Returns the selected subnet: that of --netuid, else of the daemons in --role; `None` without
    /// either.
    fn selected_netuid(&self) -> Option<NetUid> {
        self.netuid.or_else(|| self.role.first()?.netuid())
    }

    /// Whether the daemons to check can be Babelbit's.
    fn allows_babelbit(&self) -> bool {
        self.role.iter().all(|role| role.is_babelbit())
    }

    /// Refuses daemons that cannot be checked together, and options without effect.
    fn check_options(&self) -> anyhow::Result<()> {
        let has_babelbit = self.role.iter().any(|role| role.is_babelbit());
        if let Some((first, others)) = self.role.split_first()
            && let Some(other) = others.iter().find(|role| role.subnet() != first.subnet())
        {
            let problem = format!(
                "daemons of {} and of {} cannot be checked together\nhint: run the command for each subnet",
                first.subnet(),
                other.subnet()
            );
            return Err(ClassifiedError::usage(problem));
        }
        let problem = if self.listen.is_some() && (has_babelbit || self.role.len() != 1) {
            "--listen is the address of one daemon of Nineteen, of proofs or of text prompting\nhint: select it with \
             --role; the addresses of Babelbit's daemons are settings"
        } else if !self.allows_babelbit() && self.selected_netuid().is_none() {
            "text prompting has no netuid of its own\nhint: pass --netuid"
        } else {
            return Ok(());
        };
        Err(ClassifiedError::usage(problem))
    }
}

pub(crate) fn run(args: &DoctorArgs, context: &Context) -> anyhow::Result<()> {
    args.check_options()?;
    let mut report = Report::default();
    let env_result =
        args.env_file.as_deref().map_or_else(settings::load_env_file, settings::load_file);
    let are_settings_loaded = env_result.is_ok();
    if let Err(error) = env_result {
        let file = args.env_file.as_deref().unwrap_or(Path::new(".env")).display().to_string();
        report.extend([Finding::error(Check::Settings, file, error.as_ref(), "correct the line")]);
    }
    context.block_on(async {
        report.extend(Box::pin(run_checks(args, are_settings_loaded)).await?);
        anyhow::Ok(())
    })?;
    if context.json {
        context.print_json(&report::document(&report))?;
    } else {
        context.print(&report::format_report(&report))?;
    }
    report::check_faults(&report)
}

/// Runs all checks. Each check has at least one finding; without `are_settings_loaded`, the
/// settings are not those of the daemons.
async fn run_checks(args: &DoctorArgs, are_settings_loaded: bool) -> anyhow::Result<Vec<Finding>> {
    let (subnet, mut findings) =
        if are_settings_loaded { Subnet::read(args) } else { (None, Vec::new()) };
    let machine = async {
        tokio::join!(
            clock_against_ntp(&args.ntp_server, QUERY_TIMEOUT),
            latest_release(args.from.as_ref()),
            Host::read()
        )
    };
    let (clock, latest, machine) = machine.await;
    findings.extend([clock, version(VERSION, &latest)]);
    let Some(subnet) = subnet else {
        findings.extend(host(&machine, &[]));
        let dependent_checks = [
            Check::Disk,
            Check::Ports,
            Check::Keys,
            Check::Models,
            Check::Services,
            Check::Network,
            Check::Subnet,
            Check::Registration,
            Check::Ledger,
            Check::Reachability,
        ];
        findings.extend(
            dependent_checks.map(|check| Finding::skipped(check, "", "the settings are invalid")),
        );
        return Ok(findings);
    };
    if subnet.babelbit.is_some() && (args.model.is_some() || args.circuits.is_some()) {
        let message = "--model and --circuits are options of daemons of other subnets than Babelbit\nhint: pass \
                       --netuid; the models of Babelbit's daemons are settings";
        return Err(ClassifiedError::usage(message));
    }
    let roles: &[Role] = match (args.role.as_slice(), &subnet.babelbit) {
        ([], _) if machine.container.is_some() => &[],
        ([], Some(_)) => &Role::BABELBIT,
        ([], None) => Role::of_subnet(subnet.netuid),
        (selected, _) => selected,
    };
    keys::check_token_options(args, roles)?;
    let has_units = machine.systemd.is_some();
    let keys = keys::check(args, &subnet, roles, has_units);
    let hotkey = args.hotkey.or(keys.hotkey);
    let input = chain::ChainCheckInput {
        args,
        subnet: &subnet,
        roles,
        hotkey,
        key: keys.stored_key.as_ref(),
    };
    findings.extend(keys.findings);
    let (directories, ports, models, services, runner_ledger, chain) = tokio::join!(
        check_directories(args, &subnet, roles, &machine),
        check_ports(args, &subnet, roles),
        check_models(args, &subnet, roles),
        services::check(&subnet, roles, &keys.token, has_units),
        check_runner_ledger(&subnet, roles),
        chain::check(&input),
    );
    // By default, all roles are checked, of which this machine may have only one.
    let has_default_roles = args.role.is_empty();
    let optional = models
        .into_iter()
        .chain(services)
        .map(|finding| if has_default_roles { finding.or_warning() } else { finding });
    // The addresses of Babelbit's daemons are known, those of others are options.
    let is_known = !has_default_roles || subnet.babelbit.is_some();
    let ports =
        ports.into_iter().map(|finding| if is_known { finding } else { finding.or_warning() });
    findings.extend(directories.into_iter().chain(ports).chain(optional));
    findings.extend(runner_ledger.into_iter().chain(chain?));
    Ok(findings)
}

/// The subnet to check.
struct Subnet {
    netuid: NetUid,
    /// Babelbit's settings; `None` on other subnets, whose daemons have options instead.
    babelbit: Option<Config>,
}

impl Subnet {
    /// Reads and checks the settings of the selected subnet, by default Babelbit's; `None` if any
    /// is invalid.
    fn read(args: &DoctorArgs) -> (Option<Self>, Vec<Finding>) {
        let selected = args.selected_netuid();
        // An invalid BABELBIT_NETUID is a fault of Babelbit's settings, and does not concern
        // another subnet.
        let configured = taonet_cli_models::settings::load_only(&["BABELBIT_NETUID"])
            .or_else(|_| taonet_cli_models::settings::load_only(&[]));
        if let (Some(netuid), Ok(configured)) = (selected, configured)
            && (netuid != configured.netuid || !args.allows_babelbit())
        {
            let findings = settings::check_network();
            let is_valid = findings.iter().all(|finding| finding.status != Status::Fault);
            return (is_valid.then_some(Self { netuid, babelbit: None }), findings);
        }
        match taonet_cli_babelbit::settings::check() {
            Ok(taonet_cli_babelbit::settings::CheckedSettings { config, findings, .. }) => {
                let netuid = selected.unwrap_or(config.netuid);
                (Some(Self { netuid, babelbit: Some(config) }), findings)
            }
            Err(error) => (None, taonet_doctor::settings(Err(&error))),
        }
    }
}

/// Returns the reason for which a check of daemons is skipped: none of them is of the subnet.
fn skip_reason(subnet: &Subnet, roles: &[Role]) -> Option<&'static str> {
    if roles.iter().any(|role| role.is_babelbit() == subnet.babelbit.is_some()) {
        None
    } else if subnet.babelbit.is_none() {
        Some("select a daemon of this subnet with --role: it reports the rest at its start")
    } else {
        Some("in a container, select its daemon with --role")
    }
}

/// Queries the release server.
async fn latest_release(source: Option<&ReleaseSource>) -> Latest {
    let Some(source) = source else { return Latest::NoServer };
    let updater = match updater(source) {
        Ok(updater) => updater,
        Err(error) => return Latest::Unknown(error.to_string()),
    };
    match timeout(QUERY_TIMEOUT, updater.check()).await {
        Ok(Ok(taonet_update::Check::Newer(release))) => {
            Latest::Newer(release.version().to_string())
        }
        Ok(Ok(_)) => Latest::Current,
        Ok(Err(error)) => Latest::Unknown(error.to_string()),
        Err(_) => Latest::Unknown(format!(
            "no response from the release server within {} s",
            QUERY_TIMEOUT.as_secs()
        )),
    }
}

/// Checks the host, and the directories in which the daemons write.
async fn check_directories(
    args: &DoctorArgs,
    subnet: &Subnet,
    roles: &[Role],
    machine: &Host,
) -> Vec<Finding> {
    let state = state_directory("");
    let directories = match &subnet.babelbit {
        Some(config) => write_directories(config, roles, &state, args.ledger.as_deref()),
        None => vec![WriteDirectory::new("state", state, DiskNeeds::STATE)],
    };
    let paths: Vec<_> = directories.iter().map(|directory| directory.path.clone()).collect();
    let mut findings = host(machine, &paths);
    let user = machine.unit_user.as_ref();
    let directories: Vec<_> =
        directories.into_iter().map(|directory| directory.written_by(user)).collect();
    match skip_reason(subnet, roles) {
        Some(reason) if directories.is_empty() => {
            findings.push(Finding::skipped(Check::Disk, "", reason));
        }
        _ => findings.extend(disks(directories, QUERY_TIMEOUT).await),
    }
    findings
}

/// Returns the directories in which daemons write; `ledger` replaces the default one of the
/// gateway.
fn write_directories(
    config: &Config,
    roles: &[Role],
    state: &Path,
    ledger: Option<&Path>,
) -> Vec<WriteDirectory> {
    let mut directories = Vec::new();
    for role in roles {
        let mut role_directories = role.write_directories(config, state);
        if let (Role::Gateway, Some(ledger), Some(directory)) =
            (role, ledger, role_directories.first_mut())
        {
            ledger.clone_into(&mut directory.path);
        }
        directories.extend(role_directories);
    }
    directories
}

/// Checks the models of the runner, and of a miner that shortens phrases; of other subnets, those
/// of the options.
async fn check_models(args: &DoctorArgs, subnet: &Subnet, roles: &[Role]) -> Vec<Finding> {
    if let Some(reason) = skip_reason(subnet, roles) {
        return skip_models(reason);
    }
    if subnet.babelbit.is_none() {
        let (model, circuits) = (args.model.clone(), args.circuits.clone());
        let roles = roles.to_vec();
        let verification = spawn_blocking(move || {
            verify_option_models(model.as_deref(), circuits.as_deref(), &roles)
        });
        return match verification.await {
            Ok(findings) if findings.is_empty() => skip_models(
                "pass the daemon's language model with --model, or its circuits with --circuits",
            ),
            Ok(findings) => findings,
            Err(error) => skip_models(&error.to_string()),
        };
    }
    let is_runner = roles.contains(&Role::Runner);
    let is_miner = roles.contains(&Role::Miner);
    let config = subnet.babelbit.clone();
    let Some(config) =
        config.filter(|config| is_runner || is_miner && config.phrase_model.is_some())
    else {
        return skip_models(
            "only the runner, and a miner with BB_MINER_LM, need models; a miner reports at its start which it lacks",
        );
    };
    let shortens = is_miner && config.phrase_model.is_some();
    // 580 MB are hashed.
    let verification = spawn_blocking(move || {
        let mut findings = if is_runner { verify_models(&config) } else { Vec::new() };
        if shortens {
            findings.extend(verify_phrase_models(&config));
        }
        findings
    });
    match verification.await {
        Ok(findings) => findings,
        Err(error) => skip_models(&error.to_string()),
    }
}

fn skip_models(reason: &str) -> Vec<Finding> {
    vec![Finding::skipped(Check::Models, "", reason)]
}

/// Checks the models of the runner: its recogniser and its sentence embedder.
fn verify_models(config: &Config) -> Vec<Finding> {
    let store = ModelStore::new(config.models_dir.clone());
    let recognizer = match engines::network_recognizer_name(config) {
        Ok(name) if engines::is_directory_name(name) => Finding::skipped(
            Check::Models,
            name,
            "a directory of your own, which has no published sums",
        ),
        Ok(name) => model("recogniser", name, &store, IfMissing::DoesNotStart),
        Err(error) => {
            let remedy = "set another BB_AUDIO_SCORING_STT_MODEL";
            Finding::error(Check::Models, "recogniser", error.as_ref(), remedy)
        }
    };
    vec![recognizer, model("embedder", &config.embedder, &store, IfMissing::Downloads)]
}

/// Checks the models of a miner that shortens phrases: the language model, and the embedder that
/// compares meanings.
fn verify_phrase_models(config: &Config) -> Vec<Finding> {
    let Some(name) = config.phrase_model.as_deref() else { return Vec::new() };
    let store = ModelStore::new(config.models_dir.clone());
    let language_model = if !Path::new(name).exists() && name.starts_with(engines::HUB_PREFIX) {
        let subject = format!("language model of the miner: {name}");
        Finding::skipped(Check::Models, subject, "verified when it is downloaded")
    } else {
        verify_language_model(
            "language model of the miner",
            Path::new(name),
            &store,
            "set another BB_MINER_LM",
        )
    };
    vec![
        language_model,
        model("embedder of the miner", ALL_MINILM_L6_V2.name, &store, IfMissing::Downloads),
    ]
}

/// Checks a language model: the name of an installed one, or a path. `purpose` says what needs it.
fn verify_language_model(
    purpose: &str,
    source: &Path,
    store: &ModelStore,
    remedy: &str,
) -> Finding {
    let subject = format!("{purpose}: {}", source.display());
    if source.exists() {
        return Finding::skipped(
            Check::Models,
            subject,
            "a model of your own, which has no published sums",
        );
    }
    match engines::language_model_file(source, store) {
        Some(Ok(file)) => {
            Finding::ok(Check::Models, subject, format!("verified: {}", file.display()))
        }
        Some(Err(error)) => Finding::error(Check::Models, subject, error.as_ref(), remedy),
        None => Finding::fault(Check::Models, subject, "does not exist", remedy),
    }
}

/// Checks the models and circuits with which daemons of other subnets are started, and the embedder
/// of a validator of text prompting.
fn verify_option_models(
    model_option: Option<&Path>,
    circuits: Option<&Path>,
    roles: &[Role],
) -> Vec<Finding> {
    let mut findings = Vec::new();
    let (is_miner, painter) = (roles.contains(&Role::NineteenMiner), Path::new(engines::PAINTER));
    let is_painter = |source: &Path| is_miner && source == painter && !source.exists();
    if model_option.is_some_and(is_painter) {
        findings.push(Finding::skipped(
            Check::Models,
            engines::PAINTER,
            "draws images without a model",
        ));
    }
    let language_model = model_option.filter(|source| !is_painter(source));
    match chat_model::store() {
        Ok(store) => {
            let remedy = "pass another --model, which `tao models list` shows";
            findings.extend(
                language_model
                    .map(|source| verify_language_model("language model", source, &store, remedy)),
            );
            if roles.contains(&Role::PromptingValidator) {
                findings.push(model(
                    "embedder",
                    ALL_MINILM_L6_V2.name,
                    &store,
                    IfMissing::Downloads,
                ));
            }
        }
        Err(error) => findings.push(Finding::error(
            Check::Models,
            "",
            error.as_ref(),
            "set another BB_MODELS_DIR",
        )),
    }
    findings.extend(
        circuits.map(|directory| {
            verify_circuits(directory, format!("circuits: {}", directory.display()))
        }),
    );
    findings
}

/// Checks the circuits in a directory.
#[cfg(feature = "proof")]
fn verify_circuits(directory: &Path, subject: String) -> Finding {
    if let Some(problem) = directory_problem(directory) {
        let remedy = "pass the directory of the daemon's circuits with --circuits";
        return Finding::fault(Check::Models, subject, problem, remedy);
    }
    match taonet_cli_proof::verify_circuits(directory) {
        Ok(count) => {
            Finding::ok(Check::Models, subject, format!("{} verified", counted(count, "circuit")))
        }
        Err(error) => {
            let remedy = "remove the circuit, and compile or fetch it again";
            Finding::error(Check::Models, subject, error.as_ref(), remedy)
        }
    }
}

/// Skips the circuits in a directory, which this program cannot read.
#[cfg(not(feature = "proof"))]
fn verify_circuits(_: &Path, subject: String) -> Finding {
    Finding::skipped(Check::Models, subject, "this program was built without the feature proof")
}

/// Returns why a path is not that of a directory; `None` if it is.
fn directory_problem(path: &Path) -> Option<String> {
    match path.metadata() {
        Ok(metadata) if metadata.is_dir() => None,
        Ok(_) => Some("not a directory".to_owned()),
        Err(error) => Some(format!("cannot read the directory: {error}")),
    }
}

/// Checks the ledger of the runner; `None` without a runner.
async fn check_runner_ledger(subnet: &Subnet, roles: &[Role]) -> Option<Finding> {
    let config = subnet.babelbit.as_ref().filter(|_| roles.contains(&Role::Runner))?;
    Some(check_ledger(config).await)
}

/// Checks the ports of the daemons.
async fn check_ports(args: &DoctorArgs, subnet: &Subnet, roles: &[Role]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for role in roles {
        match &subnet.babelbit {
            Some(config) => findings.extend(role.check_port(config).await),
            None => findings.extend(role.check_default_port(args.listen).await),
        }
    }
    if findings.is_empty() {
        let unset_reason =
            if subnet.babelbit.is_some() { "MINER_AXON_PORT is not set" } else { "pass --listen" };
        let reason = skip_reason(subnet, roles).unwrap_or(unset_reason);
        findings.push(Finding::skipped(Check::Ports, "", reason));
    }
    findings
}
