//! A validator's requests to miners.
//!
//! [`Querier::ask`] sends a request to a contender and gives its answer as soon as the first piece is there. The answer is
//! read from the miner's connection only as fast as it is asked for ([`Answer::next`]); dropping it cancels the miner's
//! work. Each attempt ends in the contender's counters ([`Roster`]), whichever way it ends; a sample of the answers goes to
//! the checker.
//!
//! - a synthetic request tests one contender: the one that is furthest behind its allowance. There is no failover, so
//!   that a failure costs nobody else a request;
//! - an organic request goes to contenders by quality, success and latency, up to five, one after the other, until a
//!   first piece arrives. After the first byte there is no failover: another miner's words would not fit on.
//!
//! With [`QueryDeadlines::hedge`], an organic request goes to a second contender when the first one is slow to begin; the
//! loser's work is cancelled and counts nothing.
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
