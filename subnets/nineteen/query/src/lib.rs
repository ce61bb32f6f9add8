//! A validator's requests to miners, with routing and failover.
//!
//! [`Querier::query`] sends a request to a contender (a miner that offers the task) and returns the
//! answer once its first chunk has arrived, or, of a collected request, once it is complete. The
//! answer is read from the miner's connection on demand ([`Answer::next`]); dropping it cancels the
//! miner's work. Every attempt that is not cancelled before its first chunk updates the contender's
//! counters ([`PeriodMiners`]), unless two miners fail at a buyer's request for a reason that lies
//! in the request, in which case neither has failed. Of miners that all stay silent at a request,
//! only the first one has failed, and its circuit breaker does not count it. A sample of the answers
//! goes to the checker.
//!
//! - a synthetic request tests one contender: of those with a free slot, the one that has used the
//!   smallest share of its allowance. There is no failover, so that a failure does not shift
//!   requests to other miners;
//! - an organic request tries up to five contenders in turn, in a random order that favours high
//!   quality, a high success rate and low latency, until a first chunk arrives or two contenders
//!   have rejected the request or failed at it. There is no failover after the first chunk of an
//!   answer that is delivered as it arrives, because another miner's text would not continue the
//!   text sent so far. A collected answer that breaks off is requested from the next miner.
//!
//! A miner that refuses a chat with images which another miner then reads is not asked for images
//! again in the period, and has not failed: its model may read none.
//!
//! With [`Querier::set_prefix_affinity`], organic text requests whose prompts begin alike go to the
//! same miner, which has the beginning in its cache, except for one of 8 requests. They do not
//! replace synthetic requests, and fewer of their answers are sampled, because buyers can select
//! the miner by the prompt.
//!
//! The requests in flight at a miner are limited, over all its tasks, by what it announces and by
//! its rate limits (429). While no contender has a free slot, organic requests wait in a queue,
//! which is bounded and fair among API keys ([`QueueSettings`]). A failed attempt releases its slot
//! before the request waits again, and a rate limit is not a failed attempt.
//!
//! With [`QueryDeadlines::hedge`], an organic request is also sent to a second contender if the
//! first one is slow to respond; the slower attempt is cancelled and not counted.
//!
//! Several processes can share the load. The validator and each query worker send requests with a
//! [`Querier`] of their own, store their parts of the counters in the database, and divide the
//! miners' limits among each other ([`Recorder`]). An entry process has no querier: it passes
//! buyers' requests to query workers over NATS ([`Workers`], [`Worker`]). [`Queries`] covers both
//! cases.
//!
//! With the feature `testing`, `testing` has the parsers of untrusted input for fuzz targets.
//!
//! Uses `taonet-nineteen-core` (routing), `taonet-nineteen-transport`, `taonet-nineteen-store`,
//! `taonet-wire`, `taonet-http` (server-sent events), `taonet-service`, `taonet-primitives` and
//! `async-nats`. Used by `taonet-nineteen-control`, `taonet-nineteen-entry` and `tao nineteen`.

// Counters and scores are compared exactly.
#![cfg_attr(test, allow(clippy::float_cmp))]

mod answer;
mod attempt;
mod backlog;
mod chunk;
mod deadlines;
mod division;
mod embedding;
mod failure;
mod load;
mod market;
mod membership;
mod metrics;
mod payload;
mod period_miners;
mod prefix;
mod querier;
mod queue;
mod reading;
mod recorder;
mod reply;
mod slot;
mod sse;
#[cfg(feature = "testing")]
pub mod testing;
mod tool_calls;

pub use answer::{Answer, Interrupted};
pub use backlog::QueueSettings;
pub use chunk::{Chunk, ChunkBody};
pub use deadlines::QueryDeadlines;
pub use division::{Division, Divisions};
pub use market::Market;
pub use metrics::describe as describe_metrics;
pub use payload::Payload;
pub use period_miners::{PeriodMiners, TaskMiner, TaskMiners};
pub use querier::{Attempts, EarlierTasks, Querier, QueryError, Request, RequestKind};
pub use queue::{Queue, QueueError, RemoteAnswer, Worker, Workers};
pub use recorder::{ProcessRole, Recorder, sessions};
pub use reply::{Queries, Reply};
pub use taonet_nineteen_transport::{MAX_REQUEST_BYTES, sealed_size};

#[cfg(test)]
mod tests;
