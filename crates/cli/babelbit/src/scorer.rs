//! The `bb scorer` command.

use std::net::SocketAddr;
use std::path::PathBuf;

use anyhow::Context as _;
use clap::Args;
use taonet_babelbit_config::Config;
use taonet_babelbit_workers::{JobTiming, Services, Worker};
use taonet_cli_base::context::Context;
use taonet_cli_base::daemon::serve_metrics_or_warn;
use taonet_cli_base::exit::ClassifiedError;
use taonet_cli_base::preflight;
use taonet_cli_models::engines;
use taonet_http::Readiness;
use taonet_objects::ObjectStorage;
use taonet_service::Shutdown;

use crate::settings;

/// Default metrics port; the runner uses 8011.
const METRICS_PORT: u16 = 8012;

/// Transcribe replies for runners on this and other machines
#[derive(Debug, Args)]
pub struct ScorerArgs {
    /// Name of this worker in logs and database [default: host name and process ID]
    #[arg(long)]
    name: Option<String>,
    /// Model directory [env: BB_MODELS_DIR] [default: taonet/models in the cache directory]
    #[arg(long, value_name = "DIR")]
    models: Option<PathBuf>,
    /// Listen address of /metrics and /readyz [default: BABELBIT_METRICS_ADDR and port 8012, or 127.0.0.1:8012]
    #[arg(long, value_name = "ADDRESS")]
    metrics: Option<SocketAddr>,
}

pub(crate) fn run(args: &ScorerArgs, context: &Context) -> anyhow::Result<()> {
    let mut config = settings::load()?;
    config.models_dir = args.models.clone().or(config.models_dir);
    let Some(services) = services(&config)? else {
        let message = "NATS_URL is not set\nhint: NATS_URL=nats://HOST:4222; without it, bb runner transcribes on this machine";
        return Err(ClassifiedError::usage(message));
    };
    let recognizer = engines::network_recognizer(&config)?;
    let name = args.name.clone().unwrap_or_else(|| format!("{}-{}", host(), std::process::id()));
    context.print_notice(&format!(
        "worker {name}, recogniser {} {}",
        recognizer.name(),
        recognizer.fingerprint()
    ));
    context.block_on(async {
        let shutdown = Shutdown::on_signals().context("cannot install signal handlers")?;
        preflight::spawn_network_clock_check(&shutdown);
        let default_address = SocketAddr::new(config.services.metrics_addr, METRICS_PORT);
        let readiness = serve_metrics_or_warn("scorer", args.metrics, default_address, &shutdown).await?;
        Worker::describe_metrics();
        let worker = Worker::new(&name, recognizer, services);
        let (running_worker, stop) = (worker.clone(), shutdown.clone());
        shutdown.spawn("worker", async move {
            running_worker.run(&stop, || readiness.iter().for_each(Readiness::set_ready)).await;
        });
        shutdown.finished().await.context("the worker did not stop in time")?;
        // Only the end of the process ends a stuck thread.
        anyhow::ensure!(
            !worker.is_stuck(),
            "a transcription exceeded its deadline or the recogniser stopped, see the log\nhint: systemd, Docker and \
             PM2 restart the worker"
        );
        Ok(())
    })
}

/// Returns the services of transcription workers; `None` if none is configured.
///
/// # Errors
/// If only some of the services are configured.
pub(crate) fn services(config: &Config) -> anyhow::Result<Option<Services>> {
    let Some(nats_url) = &config.operator.nats_url else { return Ok(None) };
    let database = config.operator.database_url.as_ref().map(|url| url.expose().to_owned());
    let database_url = database.filter(|url| url.starts_with("postgres")).ok_or_else(|| {
        let message = "NATS_URL is set, and DATABASE_URL is not a PostgreSQL database\nhint: transcription workers need \
                       both: DATABASE_URL=postgres://USER:PASSWORD@HOST/DATABASE";
        ClassifiedError::usage(message)
    })?;
    if config.operator.s3.bucket.trim().is_empty() {
        let message = "NATS_URL is set, and S3_BUCKET_NAME is empty\nhint: transcription workers receive audio through \
                       a bucket; see the S3_ settings";
        return Err(ClassifiedError::usage(message));
    }
    let bucket = ObjectStorage::open(&config.operator.s3)?;
    Ok(Some(Services {
        nats_url: nats_url.expose().to_owned(),
        database_url,
        bucket,
        timing: JobTiming::default(),
    }))
}

/// Returns the host name of this machine.
fn host() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    if name.trim().is_empty() { "worker".to_owned() } else { name.trim().to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each case: environment variables, and a part of the expected error, if any.
    #[test]
    fn scorer_requires_queue_database_and_bucket() {
        let nats = ("NATS_URL", "nats://user:hunter2@queue:4222");
        let database = ("DATABASE_URL", "postgres://me:hunter2@db/scores");
        let bucket = ("S3_BUCKET_NAME", "replies");
        for (variables, error) in [
            (vec![nats, database, bucket], None),
            (vec![nats, bucket], Some("DATABASE_URL is not a PostgreSQL database")),
            (
                vec![nats, ("DATABASE_URL", "sqlite:x"), bucket],
                Some("DATABASE_URL is not a PostgreSQL database"),
            ),
            (vec![nats, database], Some("S3_BUCKET_NAME is empty")),
        ] {
            let pairs = variables.into_iter().map(|(name, value)| (name.into(), value.into()));
            let (config, _) = Config::from_variables(pairs, None).unwrap();
            match (services(&config), error) {
                (Ok(Some(_)), None) => {}
                (Err(actual), Some(error)) => {
                    assert!(actual.to_string().contains(error), "{actual}");
                    assert!(!actual.to_string().contains("hunter2"), "{actual}");
                }
                (Ok(_), error) => panic!("expected {error:?}"),
                (Err(actual), None) => panic!("{actual}"),
            }
        }
        let (config, _) = Config::from_variables([], None).unwrap();
        assert!(services(&config).unwrap().is_none());
    }
}
