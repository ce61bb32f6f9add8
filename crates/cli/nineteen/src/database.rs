//! The validator's database, in its state directory or in PostgreSQL.

use std::path::Path;

use anyhow::Context as _;
use clap::Args;
use taonet_cli_base::exit::ClassifiedError;
use taonet_cli_base::settings;
use taonet_nineteen_store::Store;

/// Error of a command without a database.
const NO_STATE_MESSAGE: &str =
    "--state is missing\nhint: --state DIR, or --database with the validator's PostgreSQL database";

#[derive(Debug, Args)]
pub(crate) struct DatabaseArgs {
    /// PostgreSQL database, postgres://…; prefer DATABASE_URL, which other users cannot see
    /// [default: SQLite in --state]
    #[arg(long, value_name = "URL", global = true)]
    pub(crate) database: Option<String>,
}

impl DatabaseArgs {
    /// Opens the database: PostgreSQL if --database or DATABASE_URL names one, otherwise SQLite in
    /// `directory`.
    pub(crate) async fn open(&self, directory: Option<&Path>) -> anyhow::Result<Store> {
        if let Some(url) = self.url()? {
            return Ok(Store::connect(&url).await?);
        }
        Ok(Store::open(directory.context(NO_STATE_MESSAGE)?).await?)
    }

    /// Opens the database read-only; returns `None` if no validator has created it yet.
    pub(crate) async fn open_read_only(
        &self,
        directory: Option<&Path>,
    ) -> anyhow::Result<Option<Store>> {
        if let Some(url) = self.url()? {
            return Ok(Store::read_shared(&url).await?);
        }
        let directory = directory.context(NO_STATE_MESSAGE)?;
        let exists = Store::exists(directory);
        Ok(if exists { Some(Store::read(directory).await?) } else { None })
    }

    /// Opens a database that a validator has created: like [`Self::open`], but fails if `directory`
    /// has no database.
    pub(crate) async fn open_existing(&self, directory: Option<&Path>) -> anyhow::Result<Store> {
        let without_database = directory.filter(|directory| !Store::exists(directory));
        if let Some(directory) = without_database
            && self.url()?.is_none()
        {
            anyhow::bail!(
                "{} contains no database of a validator\nhint: --state is the directory that `tao nineteen validator \
                 --state` has created; start the validator once before you create keys",
                directory.display()
            );
        }
        self.open(directory).await
    }

    /// Opens the PostgreSQL database that --database or DATABASE_URL names.
    pub(crate) async fn open_shared(&self) -> anyhow::Result<Store> {
        if self.url()?.is_none() {
            let message = "DATABASE_URL is not set\nhint: DATABASE_URL=postgres://USER:PASSWORD@HOST/DATABASE, the \
                           database of the validator";
            return Err(ClassifiedError::usage(message));
        }
        self.open(None).await
    }

    /// Returns the URL of the PostgreSQL database, if --database or DATABASE_URL names one.
    pub(crate) fn url(&self) -> anyhow::Result<Option<String>> {
        let from_environment = settings::operator_config(&["DATABASE_URL"])?
            .database_url
            .map(|url| url.expose().to_owned());
        let url = self.database.clone().or(from_environment);
        if url.as_ref().is_some_and(|url| !is_postgres_url(url)) {
            let message = "malformed database URL, expected postgres://USER:PASSWORD@HOST/DATABASE\nhint: for SQLite in \
                           --state, omit --database and DATABASE_URL";
            return Err(ClassifiedError::usage(message));
        }
        Ok(url)
    }
}

/// Returns whether a text is the URL of a PostgreSQL database.
pub(crate) fn is_postgres_url(text: &str) -> bool {
    ["postgres://", "postgresql://"].iter().any(|scheme| text.starts_with(scheme))
}
