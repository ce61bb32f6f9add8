//! Arguments that several processes of a market have: task file; limits of the queue; webhook;
//! database and NATS.

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use taonet_cli_base::exit::ClassifiedError;
use taonet_cli_base::input;
use taonet_cli_base::settings;
use taonet_nineteen_control::MarketFile;
use taonet_nineteen_core::MarketConfig;
use taonet_nineteen_entry::Webhook;
use taonet_nineteen_query::{Queue, QueueSettings};
use taonet_nineteen_store::Store;
use url::Url;
use zeroize::Zeroizing;

use super::database::DatabaseArgs;
use super::tasks;

#[derive(Debug, Args)]
pub(crate) struct TasksArgs {
    /// Task file, reloaded at the start of each period [default: the tasks that `tao nineteen
    /// tasks` prints, with --model if it is set]
    #[arg(long, value_name = "FILE")]
    tasks: Option<PathBuf>,
}

impl TasksArgs {
    /// Opens the task file. Without one, the tasks are those of `model`, or else the default ones.
    pub(crate) fn open(&self, model: Option<&Path>) -> anyhow::Result<MarketFile> {
        match (&self.tasks, model) {
            (Some(path), _) => Ok(MarketFile::open(path)?),
            (None, Some(model)) => Ok(MarketFile::from_config(tasks::task_for_model(model)?.1)),
            (None, None) => Ok(MarketFile::from_config(MarketConfig::default())),
        }
    }
}

#[derive(Debug, Args)]
pub(crate) struct QueueArgs {
    /// Maximum number of buyers' requests per model that wait while all miners are busy; 0 rejects
    /// them immediately
    #[arg(long, value_name = "N", default_value = "1000", value_parser = clap::value_parser!(u32).range(..=100_000))]
    queue: u32,
    /// Maximum time that a buyer's request waits while all miners are busy, in seconds
    #[arg(long, value_name = "SECONDS", default_value = "30", value_parser = clap::value_parser!(u64).range(1..=600))]
    queue_wait: u64,
}

impl QueueArgs {
    pub(crate) fn settings(&self) -> QueueSettings {
        QueueSettings {
            length: usize::try_from(self.queue).unwrap_or(usize::MAX),
            wait: Duration::from_secs(self.queue_wait),
            ..QueueSettings::default()
        }
    }
}

#[derive(Debug, Args)]
pub(crate) struct WebhookArgs {
    /// URL to which a warning is posted when an API key has spent 80 % of a budget, and 100 %; set
    /// it for one process of a market [default: none]
    #[arg(long, value_name = "URL")]
    budget_webhook: Option<Url>,
    /// File with the secret that signs the warnings, whsec_ and 24 to 64 bytes in base64 [default:
    /// not signed]
    #[arg(long, value_name = "FILE", requires = "budget_webhook")]
    budget_webhook_secret_file: Option<PathBuf>,
}

impl WebhookArgs {
    /// Sets up the webhook, if there is one.
    pub(crate) fn open(&self) -> anyhow::Result<Option<Webhook>> {
        let Some(url) = &self.budget_webhook else { return Ok(None) };
        let secret = self.budget_webhook_secret_file.as_ref();
        let secret =
            secret.map(|file| anyhow::Ok(Zeroizing::new(input::read_text(file)?))).transpose()?;
        Ok(Some(Webhook::new(url.clone(), secret.as_deref().map(String::as_str))?))
    }
}

#[derive(Debug, Args)]
pub(crate) struct MarketConnectionArgs {
    /// PostgreSQL database of the validator, postgres://…; prefer DATABASE_URL, which other users
    /// cannot see
    #[arg(long, value_name = "URL")]
    database: Option<String>,
}

impl MarketConnectionArgs {
    /// Opens the validator's PostgreSQL database, and the queue of `NATS_URL`.
    pub(crate) async fn connect(&self) -> anyhow::Result<(Store, Queue)> {
        let Some(nats) = settings::operator_config(&["NATS_URL"])?.nats_url else {
            let message = "NATS_URL is not set\nhint: NATS_URL=nats://HOST:4222, the same for entry processes and query \
                           workers; without them, the validator itself serves buyers";
            return Err(ClassifiedError::usage(message));
        };
        let store = DatabaseArgs { database: self.database.clone() }.open_shared().await?;
        let queue = Queue::connect(nats.expose(), &store).await?;
        Ok((store, queue))
    }
}
