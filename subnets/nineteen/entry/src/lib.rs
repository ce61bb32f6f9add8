//! The gateway for buyers: OpenAI's protocol in front of the market.
//!
//! | Route | |
//! |---|---|
//! | `POST /v1/chat/completions`, `POST /v1/completions` | answers of miners, streamed or whole |
//! | `GET /v1/models`, `GET /v1/models/{id}` | the text tasks that are offered |
//! | `GET /healthz` | liveness |
//!
//! A request needs an API key with enough credits: as much as the answer may cost is held before a miner is asked, and what
//! was delivered is charged when the answer ends, also when the buyer leaves early. Fields that the gateway does not know
//! are refused by name, never dropped in silence; every error has OpenAI's form.
//!
//! Uses query (miners), store (keys, credits) and control (the market's tasks). Used by `tao nineteen`.

// Counters and scores are compared exactly.
#![cfg_attr(test, allow(clippy::float_cmp))]

mod answer;
mod bill;
mod error;
mod request;
mod routes;
mod usage;

pub use error::GatewayError;
pub use routes::{Gateway, describe_metrics};

#[cfg(test)]
mod tests;
