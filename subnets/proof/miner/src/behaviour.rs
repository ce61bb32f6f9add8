use std::time::Duration;

use crate::Miner;

/// Behaviour of a miner. All but the first are for demonstrations and tests of validators.
#[derive(Clone, Debug, Default)]
pub enum Behaviour {
    /// Proves each request.
    #[default]
    Honest,
    /// Delays each answer.
    Slow(Duration),
    /// Changes an output after proving.
    WrongOutput,
    /// Proves the first request for a circuit, and returns that proof for every later one.
    Replay,
    /// Proves a different circuit with the same inputs.
    OtherCircuit,
    /// Answers with another miner's proof.
    Copy(Miner),
}
