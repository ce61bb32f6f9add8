//! Test servers: NATS, PostgreSQL and an S3 bucket.
#![allow(missing_docs, reason = "helpers of tests")]

use taonet_database::testing::Postgres;
pub use taonet_database::testing::{Line, LineFault, Nats};
use taonet_objects::testing::S3Server;

/// All services of the workers.
pub struct Servers {
    pub nats: Nats,
    pub postgres: Postgres,
    pub bucket: S3Server,
}

impl Servers {
    /// Starts the three services; returns `None` if one is not installed.
    pub async fn start() -> Option<Self> {
        let mut nats = Nats::new()?;
        nats.run();
        Some(Self { nats, postgres: Postgres::start()?, bucket: S3Server::start().await })
    }
}
