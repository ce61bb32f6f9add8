//! The simulated processes of Babelbit: a validator's daemons, and the subnet owner's services.

use crate::process::Process;
use crate::runner;
use crate::schedule::Targets;
use crate::services::{self, Services};
use crate::simulation::{Parts, Route};

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
pub(crate) fn processes(parts: &Parts<'_>) -> anyhow::Result<Vec<Process>> {
    let services_of = |client: usize| -> anyhow::Result<Services> {
        let (engine, scoring) = (parts.url(client, ENGINE)?, parts.url(client, SCORING)?);
        Ok(Services { engine, scoring, gateway: parts.url(client, GATEWAY)? })
    };
    let (of_signer, of_validator, of_runner) =
        (parts.url(SIGNER, GATEWAY)?, services_of(VALIDATOR)?, services_of(RUNNER)?);
    let (signer, node) = (parts.url(VALIDATOR, SIGNER)?, parts.node.clone());
    let (of_engine, of_scoring) = (parts.faults_of(ENGINE), parts.faults_of(SCORING));
    let [engine, scoring, gateway, signing, validator, running] = NAMES;
    let root = parts.root;
    Ok(vec![
        Process::new(engine, root, parts.seed_of_disk(), move |process_run| {
            Box::pin(services::engine(process_run, of_engine.clone()))
        }),
        Process::new(scoring, root, parts.seed_of_disk(), move |process_run| {
            Box::pin(services::scoring(process_run, of_scoring.clone()))
        }),
        Process::new(gateway, root, parts.seed_of_disk(), move |process_run| {
            Box::pin(services::gateway(process_run, node.clone()))
        }),
        Process::new(signing, root, parts.seed_of_disk(), move |process_run| {
            Box::pin(services::signer(process_run, of_signer.clone()))
        }),
        Process::new(validator, root, parts.seed_of_disk(), move |process_run| {
            Box::pin(services::validator(process_run, of_validator.clone(), signer.clone()))
        }),
        Process::new(running, root, parts.seed_of_disk(), move |process_run| {
            Box::pin(runner::runner(process_run, of_runner.clone()))
        }),
    ])
}
