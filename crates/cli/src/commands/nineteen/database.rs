//! The validator's database, in its state directory or in PostgreSQL.

use std::path::Path;

use anyhow::Context as _;
use clap::Args;
use taonet_nineteen_store::Store;

use crate::exit::{Classified, Failure};
use crate::settings;

#[derive(Debug, Args)]
pub(super) struct DatabaseArgs {
    /// PostgreSQL database, postgres://…; prefer DATABASE_URL, which other users cannot see [default: SQLite in --state]
    #[arg(long, value_name = "URL", global = true)]
    database: Option<String>,
}

impl DatabaseArgs {
    /// Opens the database: PostgreSQL if --database or DATABASE_URL names one, otherwise SQLite in `directory`.
    pub(super) async fn open(&self, directory: Option<&Path>) -> anyhow::Result<Store> {
        let set = settings::load()?.submission.database_url.map(|url| url.expose().to_owned());
        if let Some(url) = self.database.clone().or(set) {
            if !["postgres://", "postgresql://"].iter().any(|scheme| url.starts_with(scheme)) {
                let message = "the database of Nineteen is postgres://USER:PASSWORD@HOST/DATABASE, or SQLite in --state \
                               without --database and DATABASE_URL";
                return Err(Classified::error(Failure::Usage, message.to_owned()));
            }
            return Ok(Store::connect(&url).await?);
        }
        let missing = "--state is missing: name the validator's state directory, or its database with --database";
        Ok(Store::open(directory.context(missing)?).await?)
    }
}
