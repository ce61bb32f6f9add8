//! The gateway for buyers: OpenAI's protocol in front of the market.
//!
//! | Route | |
//! |---|---|
//! | `POST /v1/chat/completions`, `POST /v1/completions` | answers of miners, streamed or whole |
//! | `POST /v1/responses` | the same as OpenAI's newer protocol has it, without stored state |
//! | `POST /v1/embeddings` | vectors of texts |
//! | `POST /v1/images/generations` | images |
//! | `POST /v1/text-to-image`, `/v1/image-to-image`, `/v1/inpaint`, `/v1/avatar` | images, in the reference's form |
//! | `GET /v1/models`, `GET /v1/models/{id}` | the tasks that are offered |
//! | `GET /openapi.json` | the OpenAPI document |
//! | `GET /status`, `GET /status.json` | tasks, capacity, latencies |
//! | `GET /healthz` | liveness |
//!
//! A request needs an API key with enough credits: as much as the answer may cost is held before a miner is asked, and what
//! was delivered is charged when the answer ends, also when the buyer leaves early. Fields that the gateway does not know
//! are refused by name, never dropped in silence; every error has OpenAI's form. A request with an `Idempotency-Key` is
//! answered and charged once, however often it is repeated within a day.
//!
//! Uses query (miners), store (keys, credits) and control (the market's tasks). Used by `tao nineteen`.

// Counters and scores are compared exactly.
#![cfg_attr(test, allow(clippy::float_cmp))]

mod answer;
mod bill;
mod embedding;
mod error;
mod image;
mod once;
mod openapi;
mod rates;
mod request;
mod responses;
mod routes;
mod sale;
mod status;
mod usage;

pub use error::GatewayError;
pub use routes::{Gateway, describe_metrics};

#[cfg(test)]
mod tests;
