//! The simulated processes of Babelbit: a validator's daemons, and the subnet owner's services.

use crate::process::Process;
use crate::runner;
use crate::schedule::Targets;
use crate::services::{self, Services};
use crate::simulation::{ProcessContext, Route};

/// Indices of the processes.
const ENGINE: usize = 0;
pub(crate) const SCORING: usize = 1;
pub(crate) const GATEWAY: usize = 2;
const SIGNER: usize = 3;
const VALIDATOR: usize = 4;
pub(crate) const RUNNER: usize = 5;
/// Names of the processes.
pub(crate) const NAMES: [&str; 6] =
    ["engine", "scoring-api", "gateway", "signer", "validator", "runner"];
/// Client and server of each link.
pub(crate) const ROUTES: [Route; 8] = [
    (Some(SIGNER), GATEWAY),
    (Some(VALIDATOR), GATEWAY),
    (Some(VALIDATOR), SIGNER),
    (Some(VALIDATOR), ENGINE),
    (Some(VALIDATOR), SCORING),
    (Some(RUNNER), GATEWAY),
    (Some(RUNNER), ENGINE),
    (Some(RUNNER), SCORING),
];

/// Parts that faults can affect.
pub(crate) const TARGETS: Targets = Targets {
    processes: NAMES.len(),
    with_files: &[SCORING, GATEWAY, SIGNER, VALIDATOR, RUNNER],
    with_backups: &[SCORING, GATEWAY, SIGNER, VALIDATOR, RUNNER],
    services: &[ENGINE, SCORING],
    links: ROUTES.len(),
    faulty_epochs: 2,
};

/// Creates the processes.
pub(crate) fn processes(context: &ProcessContext<'_>) -> anyhow::Result<Vec<Process>> {
    let services_of = |client: usize| -> anyhow::Result<Services> {
        let (engine, scoring) = (context.url(client, ENGINE)?, context.url(client, SCORING)?);
        Ok(Services { engine, scoring, gateway: context.url(client, GATEWAY)? })
    };
    let (signer_gateway_url, validator_services, runner_services) =
        (context.url(SIGNER, GATEWAY)?, services_of(VALIDATOR)?, services_of(RUNNER)?);
    let (signer, node) = (context.url(VALIDATOR, SIGNER)?, context.node.clone());
    let (engine_faults, scoring_faults) = (context.faults_of(ENGINE), context.faults_of(SCORING));
    let [engine, scoring, gateway, signing, validator, running] = NAMES;
    let root = context.root;
    Ok(vec![
        Process::new(engine, root, context.next_disk_seed(), move |process_run| {
            Box::pin(services::engine(process_run, engine_faults.clone()))
        }),
        Process::new(scoring, root, context.next_disk_seed(), move |process_run| {
            Box::pin(services::scoring(process_run, scoring_faults.clone()))
        }),
        Process::new(gateway, root, context.next_disk_seed(), move |process_run| {
            Box::pin(services::gateway(process_run, node.clone()))
        }),
        Process::new(signing, root, context.next_disk_seed(), move |process_run| {
            Box::pin(services::signer(process_run, signer_gateway_url.clone()))
        }),
        Process::new(validator, root, context.next_disk_seed(), move |process_run| {
            Box::pin(services::validator(process_run, validator_services.clone(), signer.clone()))
        }),
        Process::new(running, root, context.next_disk_seed(), move |process_run| {
            Box::pin(runner::runner(process_run, runner_services.clone()))
        }),
    ])
}
