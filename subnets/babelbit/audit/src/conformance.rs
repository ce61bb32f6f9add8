//! Conformance tests of a miner: protocol violations, response times and expected scores, before
//! the miner registers.
//!
//! [`check`] plays one utterance as a validator does and inspects every response, then sends
//! requests that must be refused; [`check_text`] does the same with a miner of the text contest.
//! Both return one outcome per [`Rule`], with a remedy for the kind of fault, and report each
//! outcome as soon as it is final. [`ChallengePlayer`] plays complete challenges with the runner
//! and scores them. Both measure response times.

mod contest;
mod deferred;
mod fault;
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

pub use contest::{ChallengePlayer, ContestError, PlayedChallenge, speech};
pub use fault::PAGE_REMEDY;
pub use probe::{check, check_text};
pub use rules::{Rule, RuleOutcome, RuleReport};
pub use timing::{Phase, PhaseTiming, Timings};

/// The miner under test, and the key of its caller.
#[derive(Debug, Clone)]
pub struct Target {
    /// Address of the miner.
    pub address: MinerAddress,
    /// Path of the predict route, e.g. `v1/predict`.
    pub predict_path: String,
    /// Hotkey of the miner, for which requests are signed.
    pub hotkey: Hotkey,
    /// Keypair that signs the requests.
    pub validator: Keypair,
}

/// Why a miner cannot be tested. Rule violations of the miner are not errors.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TestError {
    /// Requests to the miner's host cannot be signed.
    #[error(transparent)]
    Peer(#[from] PeerError),
    /// The HTTP client could not be created.
    #[error("cannot set up the HTTP client")]
    Client(#[source] reqwest::Error),
    /// No connection to the miner can be opened.
    #[error(
        "cannot connect to {address}: {reason}\nhint: start the miner, and check scheme, host, port and firewall"
    )]
    Unreachable {
        /// Host and port of the miner.
        address: String,
        /// Why the connection failed.
        reason: String,
    },
}

/// An intermediate result of a test.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub enum Event<'a> {
    /// The outcome of a rule is final.
    RuleChecked(&'a RuleReport),
    /// Current activity of the test, for display.
    Progress(&'a str),
}

/// A function that receives intermediate results.
pub type Observer<'a> = dyn FnMut(Event<'_>) + Send + 'a;

/// Report of the rule checks.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RulesReport {
    /// One entry per rule, in the order of [`Rule::SPEECH`] or [`Rule::TEXT`].
    pub rules: Vec<RuleReport>,
    /// Response times of the miner.
    pub timings: Timings,
    /// The first request whose connection failed after earlier responses, and the error: the miner
    /// ended or restarted, or closed the connection. `None` if there is no such request.
    pub interruption: Option<String>,
}

impl RulesReport {
    /// Returns the violated rules.
    pub fn failed(&self) -> impl Iterator<Item = &RuleReport> {
        self.rules.iter().filter(|rule| rule.outcome == RuleOutcome::Failed)
    }
}

/// Creates two seconds of a quiet tone, used when no speech is available.
///
/// # Errors
/// [`WavError`]; never in practice, since the tone is constant.
pub fn tone() -> Result<Source, WavError> {
    const FRAMES: u32 = 25;
    let sample = |index: u32| {
        0.1 * (std::f32::consts::TAU * 220.0 * index as f32 / SAMPLE_RATE_HZ as f32).sin()
    };
    let samples = (0..FRAMES * FRAME_SAMPLES).map(sample).collect();
    let wav = Wav::encode(&Pcm::mono(samples, SampleRate::HZ_24K), SampleFormat::S16)?;
    Source::from_wav(0, "0".to_owned(), "en".to_owned(), &wav)
}

/// Returns the timeout of a phase.
fn deadline(phase: Phase, settings: &PlaySettings) -> Duration {
    match phase {
        Phase::Init => settings.init_timeout,
        Phase::Frame => settings.chunk_timeout,
        Phase::FinalFrame | Phase::Drain => settings.drain_timeout,
        Phase::Step => settings.miner_timeout,
    }
}
