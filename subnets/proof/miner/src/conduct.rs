use std::time::Duration;

use crate::Miner;

/// Behaviour of a miner. All but the first are for demonstrations and tests of validators.
#[derive(Clone, Debug, Default)]
pub enum Conduct {
    /// Proves each request.
    #[default]
    Honest,
    /// Delays each answer.
    Slow(Duration),
    /// Changes an output after proving.
    WrongOutput,
    /// Proves the first request, and answers every later one for the same circuit with that proof.
    Replay,
    /// Proves another circuit with the same inputs.
    OtherCircuit,
    /// Answers with another miner's proof.
    Copy(Miner),
}
