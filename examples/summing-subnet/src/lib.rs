//! A subnet whose miners add two numbers: the example of `taonet-kit`, which docs/write-a-subnet.md
//! explains.
//!
//! - [`Sum`] is the protocol. A Python miner or validator with the same class takes part in the
//!   subnet:
//!
//!   ```python
//!   class Sum(bt.Synapse):
//!       a: int
//!       b: int
//!       sum: Optional[int] = None
//!       required_hash_fields: ClassVar[tuple[str, ...]] = ("a", "b")
//!   ```
//!
//! - [`miner`] creates a miner that adds the numbers.
//! - [`Summing`] is what validators ask and reward: a random sum for each step, and 1 for the right
//!   answer, else 0.
//!
//! The program `summing-subnet` runs a miner or a validator; `tests/three_epochs.rs` runs both on
//! an embedded chain. The example does nothing of use: replace the three items to make a subnet of
//! your own.
//!
//! Uses `taonet-kit` (miner, validator) and `taonet-wallet` (the hotkey), and in its program
//! `taonet-chain`, `taonet-http` (metrics), `taonet-primitives`, `taonet-service` (shutdown) and
//! `taonet-telemetry` (logs). Used by its program and its test only.

use serde::{Deserialize, Serialize};
use serde_json::json;
use taonet_kit::{
    BoxError, Caller, Challenge, Miner, MinerEntry, MinerSettings, Protocol, Reply, SynapseClass, SynapseError,
};
use taonet_wallet::Keypair;

/// A request to add two numbers, and its response.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Sum {
    /// The first number.
    pub a: i64,
    /// The second number.
    pub b: i64,
    /// The answer: `a + b`.
    pub sum: Option<i64>,
}

impl Protocol for Sum {
    fn class() -> SynapseClass {
        SynapseClass::new("Sum").hash(["a", "b"]).required("a", json!(0)).required("b", json!(0))
    }
}

/// Creates a miner that adds the numbers of each request.
pub fn miner(keypair: Keypair, settings: MinerSettings) -> Miner {
    Miner::new(keypair, settings).serve(add)
}

/// Adds the numbers of a request. Overflow wraps around: a validator can send any numbers.
async fn add(request: Sum, _: Caller) -> Result<Sum, SynapseError> {
    Ok(Sum { sum: Some(request.a.wrapping_add(request.b)), ..request })
}

/// The challenge of the subnet: random sums, and a reward for right answers.
#[derive(Debug, Clone, Copy)]
pub struct Summing;

impl Challenge for Summing {
    type Request = Sum;

    async fn request(&self, _: &[MinerEntry]) -> Result<Sum, BoxError> {
        let number = || rand::random_range(-1_000_000_000..=1_000_000_000);
        Ok(Sum { a: number(), b: number(), sum: None })
    }

    async fn rewards(&self, request: &Sum, replies: &[Reply<Sum>]) -> Result<Vec<f64>, BoxError> {
        let right = Some(request.a + request.b);
        let reward = |reply: &Reply<Sum>| match &reply.response {
            Ok(response) if response.sum == right => 1.0,
            Ok(_) | Err(_) => 0.0,
        };
        Ok(replies.iter().map(reward).collect())
    }
}
