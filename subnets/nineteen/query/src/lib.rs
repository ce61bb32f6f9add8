//! A validator's requests to miners, with routing and failover.
//!
//! [`Querier::ask`] sends a request to a contender and returns the answer once its first chunk has arrived. The answer
//! is read from the miner's connection on demand ([`Answer::next`]); dropping it cancels the miner's work. Every
//! attempt updates the contender's counters ([`Roster`]), whatever its outcome. A sample of the answers goes to the
//! checker.
//!
//! - a synthetic request tests one contender: the one that is furthest behind its allowance. There is no failover, so a
//!   failure never costs another miner a request;
//! - an organic request tries up to five contenders in turn, ordered by quality, success and latency, until a first
//!   chunk arrives. There is no failover after the first byte: another miner's text would not match.
//!
//! With [`QueryDeadlines::hedge`], an organic request is also sent to a second contender if the first one is slow to
//! respond; the slower attempt is cancelled and not counted.
//!
//! Uses `taonet-nineteen-core` (routing), the transport and the store's types. Used by control and entry.

// Counters and scores are compared exactly.
#![cfg_attr(test, allow(clippy::float_cmp))]

mod answer;
mod chunk;
mod deadlines;
mod measures;
mod querier;
mod roster;
mod sse;

pub use answer::{Answer, Interrupted};
pub use chunk::Chunk;
pub use deadlines::QueryDeadlines;
pub use measures::describe as describe_metrics;
pub use querier::{Attempts, Querier, QueryError, Request, RequestKind};
pub use roster::{Contender, Market, Roster, TaskFloor};

#[cfg(test)]
mod tests;
