//! OpenAI-compatible gateway through which buyers use the market.
//!
//! | Route | Response |
//! |---|---|
//! | `POST /v1/chat/completions`, `POST /v1/completions` | text completions, streamed or as one document |
//! | `POST /v1/responses` | the same in OpenAI's newer protocol, without stored state |
//! | `POST /v1/messages`, `POST /v1/messages/count_tokens` | the same in Anthropic's protocol; tokens of a request |
//! | `POST /v1/embeddings` | embedding vectors |
//! | `POST /v1/images/generations`, `POST /v1/images/edits` | images |
//! | `POST /v1/text-to-image`, `/v1/image-to-image`, `/v1/inpaint`, `/v1/avatar` | images, in the reference's format |
//! | `GET /v1/models`, `GET /v1/models/{id}` | the offered tasks; with an API key, those that it may use |
//! | `GET /v1/key`, `GET /v1/usage` | limits, credits and usage of the request's API key |
//! | `GET /v1/invoices/{month}` | usage, grants and transfers of the request's API key in a month |
//! | `GET /usage`, `GET /usage.js` | page with the usage of an API key, and its script |
//! | `GET /v1/topup` | deposit address for TAO, price and transfers of the request's API key |
//! | `GET /openapi.json` | the OpenAPI document |
//! | `GET /`, `GET /status`, `GET /status.json`, `GET /status.js` | tasks, capacity, latencies; the script of their page |
//! | `GET /healthz` | liveness |
//!
//! A [`Gateway`] sends buyers' requests to miners, itself or through query workers. In a background
//! task, it releases the credits of abandoned requests, and warns of budgets that are nearly spent,
//! also by a [`Webhook`]:
//!
//! ```no_run
//! use taonet_nineteen_control::MarketFile;
//! use taonet_nineteen_entry::Gateway;
//! use taonet_nineteen_query::Querier;
//! use taonet_nineteen_store::{Store, StoreError};
//! use taonet_service::{Shutdown, system_clock};
//!
//! # async fn example(
//! #     store: Store, querier: Querier, market: MarketFile, shutdown: Shutdown,
//! # ) -> Result<axum::Router, StoreError> {
//! let gateway = Gateway::new(store, querier, market, system_clock());
//! // No model is installed on this machine.
//! gateway.load_tokenizers(|_repository| None).await;
//! gateway.recover().await?;
//! let routes = gateway.router();
//! let stop = shutdown.clone();
//! shutdown.spawn("maintenance", async move { gateway.run_maintenance(&stop).await });
//! # Ok(routes)
//! # }
//! ```
//!
//! A request needs an API key with enough credits: the gateway reserves the maximum cost before it
//! queries a miner, and charges the delivered work when the answer ends, even if the buyer
//! disconnects early. It rejects unknown fields with an error that names the field; every error
//! ([`GatewayError`]) has OpenAI's format, or Anthropic's on its routes. A successful response of
//! at most 4 MiB to a request with an `Idempotency-Key` is stored for a day: retries get it without
//! another charge. After a crash, the next start releases the reserved credits of unfinished
//! requests ([`Gateway::recover`]), with PostgreSQL 30 minutes later. A request body is at most 8
//! MiB and must arrive within 30 s; encrypted for a miner, a request is at most 16 MiB. Buyers may
//! close their sending side before the response.
//!
//! Web pages of any origin may call all routes (CORS), since requests are authenticated by the API
//! key alone.
//!
//! Decisions that differ from the reference, or from what one may expect:
//!
//! - The default market has a task of completions and one of embeddings beside the reference's ten,
//!   with the weight 0.02 each, because buyers expect both routes. On the wire, a task is an entry
//!   of a list: the reference's miners skip the type `embedding`; those of October 2024 fail at
//!   completions, which costs them nothing in other tasks. Tasks that no miner serves have no part
//!   in the weights.
//! - A period is 30 minutes by default, as the reference's, not 60 as the subnet's description says
//!   (`period_profile = "seed"` without `period`). A capacity is that of a period, so with 60
//!   minutes, buyers would get half as much from each miner; and scores count periods, so a
//!   validator with longer ones computes other weights than the other validators.
//! - Without `max_tokens`, the limit is the remaining context of the model, as in vLLM, and the
//!   time for an answer grows with its tokens. With a fixed time, the longest answers would count
//!   as failures of honest miners.
//! - Several choices or prompts are one request to miners for each, up to 128, with 262 144 tokens
//!   together: servers differ in their support of `n`, and answers that are not streamed are in
//!   memory until all are complete.
//!
//! The gateway keeps no conversations. An operator grants credits with `tao nineteen keys`, or the
//! validator's process credits transfers of TAO. The gateway serves plain HTTP; use a proxy for
//! TLS.
//!
//! With the feature `testing`, `testing` has the parsers of requests for fuzz targets.
//!
//! Uses `taonet-nineteen-query` (miners), `taonet-nineteen-store` (keys, credits),
//! `taonet-nineteen-control` (the market's tasks), `taonet-nineteen-images` (formats, masks,
//! forms), `taonet-nineteen-openapi`, `taonet-nineteen-core`, `taonet-http`, `taonet-wire` (public
//! addresses), `taonet-primitives` (backoff) and `taonet-service`. Used by `tao nineteen`.

// Counters and scores are compared exactly.
#![cfg_attr(test, allow(clippy::float_cmp))]

mod abandoned;
mod account;
mod answer;
mod bill;
mod budget_warnings;
mod cors;
mod delivery;
mod download;
mod embedding;
mod error;
mod fallback;
mod idempotency;
mod image;
mod items;
mod logprobs;
mod messages;
mod meter;
mod metrics;
mod models;
mod openapi;
mod rates;
mod replies;
mod request;
mod responses;
mod routes;
mod sale;
mod size;
mod sse;
mod status;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
mod tokenizer;
mod translation;
mod usage;
mod usage_page;
mod vision;
mod webhook;

pub use error::GatewayError;
pub use routes::{Gateway, describe_metrics};
pub use tokenizer::{TOKENIZER_FILE, tokenizer_file};
pub use webhook::{Webhook, WebhookError};

#[cfg(test)]
mod tests;
