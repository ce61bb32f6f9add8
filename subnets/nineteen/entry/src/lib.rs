//! OpenAI-compatible gateway through which buyers use the market.
//!
//! | Route | |
//! |---|---|
//! | `POST /v1/chat/completions`, `POST /v1/completions` | answers of miners, streamed or whole |
//! | `POST /v1/responses` | the same in OpenAI's newer protocol, without stored state |
//! | `POST /v1/embeddings` | vectors of texts |
//! | `POST /v1/images/generations` | images |
//! | `POST /v1/text-to-image`, `/v1/image-to-image`, `/v1/inpaint`, `/v1/avatar` | images, in the reference's form |
//! | `GET /v1/models`, `GET /v1/models/{id}` | the offered tasks |
//! | `GET /openapi.json` | the OpenAPI document |
//! | `GET /status`, `GET /status.json` | tasks, capacity, latencies |
//! | `GET /healthz` | liveness |
//!
//! A request needs an API key with enough credits: the maximum cost is held before a miner is queried, and what was
//! delivered is charged when the answer ends, even if the buyer disconnects early. Unknown fields are rejected by name,
//! never ignored; every error has OpenAI's form. A request with an `Idempotency-Key` is answered and charged once,
//! however often it is repeated within a day.
//!
//! Uses query (miners), store (keys, credits) and control (the market's tasks). Used by `tao nineteen`.

// Counters and scores are compared exactly.
#![cfg_attr(test, allow(clippy::float_cmp))]

mod abandoned;
mod answer;
mod bill;
mod delivery;
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
