//! What a miner wants to know before it registers: whether it keeps to the protocol, how fast it answers, and what it
//! would score.
//!
//! [`check`] plays one utterance as a validator does and looks at every answer, then sends what must be refused: one
//! verdict for each [`Rule`]. [`play`] plays whole challenges through the runner itself and scores them. Both measure
//! how long each answer took.

mod contest;
mod probe;
mod rules;
mod timing;

use std::time::Duration;

use serde::Serialize;
use taonet_babelbit_core::protocol::{FRAME_SAMPLES, SAMPLE_RATE_HZ};
use taonet_primitives::{Hotkey, SampleRate};
use taonet_speech::{Pcm, SampleFormat, Wav, WavError};
use taonet_wallet::Keypair;
use taonet_wire::PeerError;

use taonet_babelbit_runner::{MinerAddress, PlaySettings, Source};

pub use contest::{ContestError, Played, play, speech};
pub use probe::check;
pub use rules::{Rule, RuleReport, Verdict};
pub use timing::{Phase, PhaseTiming, Timings};

/// The miner under test, and who calls it.
#[derive(Debug, Clone)]
pub struct Target {
    /// Where it listens.
    pub address: MinerAddress,
    /// The route below the address, e.g. `v1/predict`.
    pub predict_path: String,
    /// Its hotkey: requests are signed for it alone.
    pub hotkey: Hotkey,
    /// Who signs.
    pub validator: Keypair,
}

/// Why a miner cannot be tested. What it does wrong is no error.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TestError {
    /// Its host cannot be signed for.
    #[error(transparent)]
    Peer(#[from] PeerError),
    /// The HTTP client cannot be set up.
    #[error("the HTTP client cannot be set up")]
    Client(#[source] reqwest::Error),
}

/// What checking the rules came to.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RulesReport {
    /// One entry for each rule, in the order of the specification.
    pub rules: Vec<RuleReport>,
    /// How long answers took.
    pub timings: Timings,
}

impl RulesReport {
    /// The rules that the miner breaks.
    pub fn failed(&self) -> impl Iterator<Item = &RuleReport> {
        self.rules.iter().filter(|rule| rule.verdict == Verdict::Failed)
    }
}

/// Two seconds of a quiet tone, for where there is no speech at hand.
///
/// # Errors
/// [`WavError`] never: the sound is always the same.
pub fn tone() -> Result<Source, WavError> {
    const FRAMES: u32 = 25;
    let sample = |index: u32| 0.1 * (std::f32::consts::TAU * 220.0 * index as f32 / SAMPLE_RATE_HZ as f32).sin();
    let samples = (0..FRAMES * FRAME_SAMPLES).map(sample).collect();
    let wav = Wav::encode(&Pcm::mono(samples, SampleRate::HZ_24K), SampleFormat::S16)?;
    Source::from_wav(0, "0".to_owned(), "en".to_owned(), &wav)
}

/// The deadline of each phase.
fn deadline(phase: Phase, settings: &PlaySettings) -> Duration {
    match phase {
        Phase::Init => settings.init_timeout,
        Phase::Frame => settings.chunk_timeout,
        Phase::FinalFrame | Phase::Drain => settings.drain_timeout,
    }
}
