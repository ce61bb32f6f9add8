//! Babelbit's runner with its outbox, with miners in its process and a scorer that reads the score
//! from the reference.

use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt as _;
use futures::future::BoxFuture;
use taonet_babelbit_core::protocol::{InitRequest, InitResponse, PredictResponse};
use taonet_babelbit_core::reference::Reference;
use taonet_babelbit_core::scoring::{BatchFailure, ScoreResult};
use taonet_babelbit_engine::client::{EngineClient, EngineOptions};
use taonet_babelbit_runner::submission::{Outbox, OutboxSettings};
use taonet_babelbit_runner::{
    AddressPolicy, CallError, ChainView, MinerConnection, MinerEntry, MinerSource, PlaySettings,
    PredictCall, ReplyScorer, RoundDependencies, Rounds, RunPaths, Runner, RunnerSettings,
    ScheduleSettings, SpeechRounds,
};
use taonet_babelbit_scorer::Candidate;
use taonet_primitives::Uid;
use taonet_service::{Shutdown, sleeper, system_clock};
use taonet_validator::subtensor_gateway::GatewayClient;

use crate::chain::{NETUID, TEMPO};
use crate::process::ProcessRun;
use crate::services::{MINERS, Services, miner, validator_key};

/// Runs rounds and submissions, like `bb runner`.
pub(crate) async fn runner(process_run: ProcessRun, services: Services) -> anyhow::Result<()> {
    let keypair = Arc::new(validator_key());
    let paths = RunPaths::in_directory(&process_run.directory);
    let settings = RunnerSettings { submit: true, ..RunnerSettings::new(paths.clone()) };
    let runner = Runner::open(settings, "en", Arc::new(TextScorer)).await?;
    let outbox_settings = OutboxSettings::new(services.scoring.clone(), paths);
    let outbox =
        Outbox::new(Arc::clone(runner.ledger()), Arc::clone(&keypair), None, outbox_settings)?;
    let gateway = GatewayClient::new(&services.gateway, None, Duration::from_secs(30))?;
    let engine = EngineClient::new(services.engine.as_str(), keypair, EngineOptions::default())?;
    let (ledger, chain) =
        (Arc::clone(runner.ledger()), Arc::new(ChainView::new(gateway, NETUID, None)));
    let player = SpeechRounds {
        runner,
        engine: engine.clone(),
        chain: Arc::clone(&chain),
        miners: MinerSource::Listed((1..=MINERS).map(entry).collect::<anyhow::Result<_>>()?),
        connect: Arc::new(|_| Ok(Arc::new(Echo) as Arc<dyn MinerConnection>)),
        arena: None,
        shuffle: Arc::new(|_| {}),
        observer: Arc::new(()),
        arena_play: PlaySettings::default(),
    };
    let parts = RoundDependencies {
        player: Arc::new(player),
        ledger,
        engine,
        chain,
        on_round: Arc::new(|report| {
            crate::record::record_event(&format!("round {:?}: {}", report.epoch, report.outcome));
        }),
        clock: system_clock(),
        sleeper: sleeper(),
    };
    let schedule =
        ScheduleSettings { tempo: TEMPO, on_startup: true, solo: false, arena: None, attempts: 3 };
    let mut rounds = Rounds::new(parts, schedule).await?;
    let shutdown = Shutdown::new();
    tokio::join!(outbox.run(&shutdown), rounds.run(&shutdown));
    Ok(())
}

fn entry(uid: u16) -> anyhow::Result<MinerEntry> {
    let address = AddressPolicy::private().resolve("127.0.0.1:9")?;
    Ok(MinerEntry { uid: Uid(uid), hotkey: miner(uid), address, name: None })
}

/// A miner that returns every frame.
struct Echo;

impl MinerConnection for Echo {
    fn init(
        &self,
        request: InitRequest,
        _: Duration,
    ) -> BoxFuture<'_, Result<InitResponse, CallError>> {
        let response = InitResponse {
            ready: true,
            miner_id: None,
            session_id: request.utterance_id.clone(),
            challenge_uid: request.challenge_uid,
            utterance_id: request.utterance_id,
            language: request.language,
            sample_rate_hz: request.sample_rate_hz,
            frame_rate_hz: request.frame_rate_hz,
            frame_samples: request.frame_samples,
            dtype: request.dtype,
            channels: request.channels,
        };
        async move { Ok(response) }.boxed()
    }

    fn predict(
        &self,
        call: PredictCall,
        _: Duration,
    ) -> BoxFuture<'_, Result<PredictResponse, CallError>> {
        async move {
            Ok(PredictResponse {
                session_id: call.session_id.to_string(),
                audio_b64: call.audio_b64.to_string(),
                out_eos: call.in_eos,
                n_bytes: 0,
            })
        }
        .boxed()
    }
}

/// A scorer that gives each reply the number in its reference text as score.
struct TextScorer;

impl ReplyScorer for TextScorer {
    fn prepare(&self, _: &Candidate) {}

    fn score(
        &self,
        reference: Result<&Reference, &BatchFailure>,
        candidates: &[Candidate],
    ) -> Vec<ScoreResult> {
        let text = reference.map_or_else(|_| "0".to_owned(), |reference| reference.text.clone());
        let score: f64 = text.parse().unwrap_or_default();
        let result = |candidate: &Candidate| {
            let completion = candidate.timeline.completion(candidate.channels);
            let source = candidate.source_duration;
            let result = serde_json::json!({
                "score": score, "raw_score": score, "accuracy": score, "accuracy_pass": true,
                "speech_rate": { "penalty": 1.0, "miner_wps": 2.0, "reference_wps": 2.0, "ratio": 1.0 },
                "latency": {
                    "score": 1.0, "completion_sec": completion, "source_duration_sec": source, "overshoot_sec": 0.0,
                    "allowed_overshoot_sec": 2.0,
                },
                "stt_text": text, "gt_text": text, "predicted_duration_sec": 0.4,
                "effective_completion_sec": completion, "source_duration_sec": source, "score_is_fallback": false,
                "score_method": "semantic_audio_v1", "scoring_metadata_source": null,
            });
            serde_json::from_value(result).unwrap_or_else(|error| unreachable!("a score: {error}"))
        };
        candidates.iter().map(result).collect()
    }
}
