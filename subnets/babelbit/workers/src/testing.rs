//! Test servers: NATS, PostgreSQL and an S3 bucket.
#![allow(
    missing_docs,
    clippy::missing_panics_doc,
    clippy::unwrap_used,
    reason = "helpers of tests"
)]

use taonet_database::testing::Postgres;
pub use taonet_database::testing::{FaultyProxy, Nats, ProxyFault};
use taonet_objects::testing::S3Server;
use tokio::sync::OnceCell;

use crate::store::Store;

/// All services of the workers.
pub struct Servers {
    pub nats: Nats,
    pub postgres: Postgres,
    pub bucket: S3Server,
    /// Opened by the first query of the jobs.
    store: OnceCell<Store>,
}

impl Servers {
    /// Starts the three services; returns `None` if one is not installed.
    pub async fn start() -> Option<Self> {
        let (nats, postgres, bucket) =
            (Nats::start()?, Postgres::start()?, S3Server::start().await);
        Some(Self { nats, postgres, bucket, store: OnceCell::new() })
    }

    /// Returns the last worker and the number of attempts of each started job without a result.
    pub async fn unfinished(&self) -> Vec<(String, i64)> {
        let url = self.postgres.url();
        let store = self.store.get_or_try_init(|| Store::open(&url)).await.unwrap();
        store.unfinished().await.unwrap().into_iter().map(|row| (row.worker, row.tries)).collect()
    }
}
