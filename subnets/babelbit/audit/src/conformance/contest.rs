//! Complete challenges, played and scored by the runner.

use std::num::NonZeroUsize;
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::future::{BoxFuture, try_join_all};
use futures::{FutureExt as _, TryFutureExt as _};
use serde::Serialize;
use taonet_babelbit_core::protocol::{InitRequest, InitResponse, PredictResponse};
use taonet_primitives::Uid;
use taonet_speech::{Synthesizer, WavError};
use taonet_wire::{
    BabelbitScheme, CallError as WireError, ClientConfig, PeerError, SignedClient, Signer,
};
use tokio::time::Instant;

use super::deferred::{DeferredScorer, PlayCounter};
use super::timing::{ResponseTimes, Timings};
use super::{Phase, Target};
use taonet_babelbit_challenges::{BuildError, BuiltChallenge, Challenge};
use taonet_babelbit_core::records::MinerKey;
use taonet_babelbit_engine::client::{PrefetchedChallenge, Reference};
use taonet_babelbit_runner::{
    CallError, HttpMiner, Miner, MinerConnection, MinerEntry, MinerReport, PlaySettings,
    PredictCall, ReplyScorer, RunError, Runner, RunnerSettings, Source, SourceError, read_source,
};

/// Why challenges could not be played. Protocol violations by the miner are part of the result.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ContestError {
    /// Speech synthesis of a challenge failed.
    #[error(transparent)]
    Build(#[from] BuildError),
    /// The challenge's audio would be unplayable for a validator.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// The challenge's audio is malformed.
    #[error(transparent)]
    Wav(#[from] WavError),
    /// The runner failed.
    #[error(transparent)]
    Run(#[from] RunError),
    /// The miner's host is neither an IP address nor a host name.
    #[error(transparent)]
    Peer(#[from] PeerError),
    /// The HTTP client could not be created.
    #[error(transparent)]
    Client(#[from] WireError),
}

/// Result of one challenge.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PlayedChallenge {
    /// ID of the challenge.
    pub challenge_uid: String,
    /// Title of the challenge, for display.
    pub title: String,
    /// The miner's results.
    pub miner: MinerReport,
}

/// Plays challenges to one miner alone, so that no duplication penalty applies, and scores them.
pub struct ChallengePlayer<'a> {
    /// The miner.
    pub target: &'a Target,
    /// Synthesiser of the challenges' texts.
    pub synthesizer: Arc<dyn Synthesizer>,
    /// Scorer of the replies.
    pub scorer: Arc<dyn ReplyScorer>,
    /// Settings of the run, with the directories of its files.
    pub settings: RunnerSettings,
    /// Language of the replies.
    pub target_language: &'a str,
    /// Number of challenges to play at the same time. Above 1, each challenge has one utterance;
    /// replies are scored when all these challenges have been played, so that scoring takes no
    /// processor time from the miner.
    pub speakers: NonZeroUsize,
}

impl ChallengePlayer<'_> {
    /// Plays challenges in order until `stop` is ready. Calls `observe` with each result. Stopping
    /// abandons the challenges that are playing; the results of the others are complete.
    ///
    /// # Errors
    /// [`ContestError`] when a challenge cannot be synthesised or played.
    pub async fn play_challenges(
        self,
        challenges: Vec<Challenge>,
        mut observe: impl FnMut(&PlayedChallenge),
        stop: impl Future<Output = ()>,
    ) -> Result<(Vec<PlayedChallenge>, Timings), ContestError> {
        let Self { target, synthesizer, scorer, settings, target_language, speakers } = self;
        let connection =
            Arc::new(TimedMiner { inner: connect(target, &settings)?, times: Mutex::default() });
        let key = MinerKey { uid: Uid(0), hotkey: target.hotkey };
        let miner = Miner { key, name: None, connection: Arc::clone(&connection) as _ };
        let play = settings.play.clone();
        let counter = Arc::new(PlayCounter::default());
        let scorer: Arc<dyn ReplyScorer> = if speakers == NonZeroUsize::MIN {
            scorer
        } else {
            Arc::new(DeferredScorer::new(scorer, Arc::clone(&counter)))
        };
        let runner = Runner::open(settings, target_language, scorer).await?;
        let mut stop = pin!(stop);
        let (mut played_challenges, mut challenges) =
            (Vec::new(), challenges.into_iter().peekable());
        while challenges.peek().is_some() {
            let mut group = Vec::new();
            for challenge in challenges.by_ref().take(speakers.get()) {
                let title = challenge.title.clone();
                let synthesizer = Arc::clone(&synthesizer);
                let built_challenge =
                    BuiltChallenge::build(Arc::new(challenge), synthesizer).await?;
                // Before the first challenge of the group is played.
                group.push((title, prefetched_challenge(&built_challenge), counter.start()));
            }
            let challenge_runs = group.into_iter().map(|(title, challenge, observer)| {
                let played =
                    runner.play(challenge, std::slice::from_ref(&miner), Arc::new(observer));
                played.map_ok(|report| (title, report))
            });
            let reports = tokio::select! {
                biased;
                () = &mut stop => break,
                reports = try_join_all(challenge_runs) => reports?,
            };
            for (title, report) in reports {
                let challenge_uid = report.challenge_uid;
                for miner in report.miners {
                    let (challenge_uid, title) = (challenge_uid.clone(), title.clone());
                    let played = PlayedChallenge { challenge_uid, title, miner };
                    observe(&played);
                    played_challenges.push(played);
                }
            }
        }
        let times = connection.times.lock().unwrap_or_else(PoisonError::into_inner);
        Ok((played_challenges, times.timings(&play)))
    }
}

/// Returns the first utterance of a challenge, ready to send.
///
/// # Errors
/// [`ContestError`] when speech synthesis fails, or the synthesised audio is unplayable.
pub async fn speech(
    challenge: Challenge,
    synthesizer: Arc<dyn Synthesizer>,
) -> Result<Source, ContestError> {
    let built_challenge = BuiltChallenge::build(Arc::new(challenge), synthesizer).await?;
    let first = built_challenge.payload("", 0);
    let (wav, _) = read_source(&first, PlaySettings::default().max_source)?;
    Ok(Source::from_wav(0, first.utterance_id, first.language, &wav)?)
}

fn connect(target: &Target, settings: &RunnerSettings) -> Result<HttpMiner, ContestError> {
    let signer = Signer::new(target.validator.clone(), "0.0.0.0", BabelbitScheme::axon());
    let config = ClientConfig {
        max_response_bytes: settings.play.max_response_bytes(1),
        ..ClientConfig::default()
    };
    let client = SignedClient::new(signer, config)?;
    let entry = MinerEntry {
        uid: Uid(0),
        hotkey: target.hotkey,
        address: target.address.clone(),
        name: None,
    };
    Ok(HttpMiner::new(client, &entry, &target.predict_path)?)
}

/// Converts a challenge to the format in which an engine delivers challenges.
fn prefetched_challenge(built_challenge: &BuiltChallenge) -> PrefetchedChallenge {
    PrefetchedChallenge {
        challenge_uid: built_challenge.challenge.uid.clone(),
        title: Some(built_challenge.challenge.title.clone()),
        utterances: (0..built_challenge.audio.len())
            .map(|index| built_challenge.payload("", index))
            .collect(),
        error: None,
        reference: Some(Reference {
            document: built_challenge.challenge.reference_document(),
            source: "shipped".to_owned(),
        }),
    }
}

/// A connection that measures response times.
struct TimedMiner {
    inner: HttpMiner,
    times: Mutex<ResponseTimes>,
}

impl TimedMiner {
    fn measure(&self, phase: Phase) -> ResponseTimeGuard<'_> {
        ResponseTimeGuard { times: &self.times, phase, started: Instant::now(), has_response: true }
    }
}

/// Records a response time when dropped, so that a cancelled call is recorded with the time until
/// its cancellation.
struct ResponseTimeGuard<'a> {
    times: &'a Mutex<ResponseTimes>,
    phase: Phase,
    started: Instant,
    has_response: bool,
}

impl ResponseTimeGuard<'_> {
    /// Discards the time of a request that could not be sent or whose connection failed: it is no
    /// response time.
    fn check<T>(&mut self, result: &Result<T, CallError>) {
        self.has_response =
            !matches!(result, Err(CallError::Transport(_) | CallError::Identity(_)));
    }
}

impl Drop for ResponseTimeGuard<'_> {
    fn drop(&mut self) {
        if !self.has_response {
            return;
        }
        self.times
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .add(self.phase, self.started.elapsed());
    }
}

impl MinerConnection for TimedMiner {
    fn init(
        &self,
        request: InitRequest,
        timeout: Duration,
    ) -> BoxFuture<'_, Result<InitResponse, CallError>> {
        async move {
            let mut measure = self.measure(Phase::Init);
            let result = self.inner.init(request, timeout).await;
            measure.check(&result);
            result
        }
        .boxed()
    }

    fn predict(
        &self,
        call: PredictCall,
        timeout: Duration,
    ) -> BoxFuture<'_, Result<PredictResponse, CallError>> {
        async move {
            let mut measure =
                self.measure(Phase::for_predict(!call.audio_b64.is_empty(), call.in_eos));
            let result = self.inner.predict(call, timeout).await;
            measure.check(&result);
            result
        }
        .boxed()
    }
}

#[cfg(test)]
mod tests {
    use taonet_babelbit_challenges as challenges;
    use taonet_babelbit_runner::testing::{TextScorer, wav};
    use taonet_babelbit_runner::{AddressPolicy, RunPaths};
    use taonet_primitives::Hotkey;
    use taonet_speech::{Pcm, SynthesisError, Voice};
    use taonet_wallet::Keypair;
    use tokio::net::TcpListener;
    use tokio::sync::oneshot;

    use super::*;

    struct NoSynthesizer;

    impl Synthesizer for NoSynthesizer {
        fn speak(&self, _: &str, _: &Voice) -> Result<Pcm, SynthesisError> {
            Err(SynthesisError::Failed("the challenges are recordings".to_owned()))
        }
    }

    /// Creates a challenge of one recording.
    fn recording(uid: &str) -> Challenge {
        let audio = challenges::UtteranceAudio::from_wav(&wav(2_400, 24_000)).unwrap();
        let target = challenges::Target {
            text: "Hello.".to_owned(),
            words: Vec::new(),
            words_per_second: None,
        };
        let utterance = challenges::Utterance {
            id: format!("{uid}:0"),
            speaker: None,
            source: challenges::Source::Recording(audio),
            target,
        };
        Challenge {
            uid: uid.to_owned(),
            title: uid.to_owned(),
            language: "en".to_owned(),
            target_language: "en".to_owned(),
            utterances: vec![utterance],
        }
    }

    #[tokio::test]
    async fn stopped_player_returns_the_played_challenges() {
        let directory = tempfile::tempdir().unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        // No miner is needed: its result is an error.
        drop(listener);
        let target = Target {
            address: AddressPolicy::private().resolve(&address).unwrap(),
            predict_path: "v1/predict".to_owned(),
            hotkey: Hotkey::from_bytes([7; 32]),
            validator: Keypair::from_uri("//Alice").unwrap(),
        };
        let player = ChallengePlayer {
            target: &target,
            synthesizer: Arc::new(NoSynthesizer),
            scorer: Arc::new(TextScorer),
            settings: RunnerSettings::new(RunPaths::in_directory(directory.path())),
            target_language: "en",
            speakers: NonZeroUsize::MIN,
        };
        let (stop, stopped) = oneshot::channel();
        let mut stop = Some(stop);
        let observe = |_: &PlayedChallenge| stop.take().unwrap().send(()).unwrap();
        let stopped = async { stopped.await.unwrap() };
        let challenges = vec![recording("first"), recording("second")];
        let (played, _) = player.play_challenges(challenges, observe, stopped).await.unwrap();
        let played: Vec<_> = played.iter().map(|played| &*played.challenge_uid).collect();
        assert_eq!(played, ["first"]);
    }
}
