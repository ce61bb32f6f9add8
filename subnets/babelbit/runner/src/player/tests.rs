// The paused clock makes times exact.
#![allow(clippy::float_cmp)]

use std::io::{Read as _, Seek as _};
use std::time::Duration;

use super::*;
use crate::testing::{RecordedRequest, ScriptedMiner, Step, source, wav};
use taonet_testing::CapturedLog;

const MS: Duration = Duration::from_millis(1);

fn settings() -> PlaySettings {
    PlaySettings::default()
}

async fn play(
    miner: &ScriptedMiner,
    frames: usize,
    settings: &PlaySettings,
) -> Result<PlayedReply, PlayFailure> {
    play_utterance(miner, "c", &source(0, frames), settings, &std::env::temp_dir()).await
}

fn read_pcm(reply: PlayedReply) -> Vec<u8> {
    let (mut pcm, mut bytes) = (reply.pcm, Vec::new());
    pcm.rewind().unwrap();
    pcm.read_to_end(&mut bytes).unwrap();
    bytes
}

async fn error(miner: &ScriptedMiner, frames: usize, settings: &PlaySettings) -> String {
    play(miner, frames, settings).await.unwrap_err().error.to_string()
}

#[tokio::test(start_paused = true)]
async fn source_at_12_khz_is_sent_in_two_frames_of_80_ms() {
    let miner =
        ScriptedMiner::new(|_, call| Step::sound(10, call.in_eos)).with_init(|_, response| {
            // The player ignores this frame rate.
            response.frame_rate_hz = 50.0;
            response.frame_samples = 480;
            Ok(Duration::ZERO)
        });
    let source = Source::from_wav(0, "c:0".into(), "fr".into(), &wav(1_920, 12_000)).unwrap();
    let reply =
        play_utterance(&miner, "c", &source, &settings(), &std::env::temp_dir()).await.unwrap();
    let requests = miner.requests();
    let RecordedRequest::Init { request, timeout } = &requests[0] else { panic!("{requests:?}") };
    assert_eq!(*timeout, Duration::from_mins(10));
    assert_eq!(
        *request,
        InitRequest {
            challenge_uid: "c".into(),
            utterance_id: "c:0".into(),
            language: Some("fr".into()),
            sample_rate_hz: 24_000,
            frame_rate_hz: 12.5,
            frame_samples: 1_920,
            dtype: "float32le".into(),
            channels: 1,
        }
    );
    assert_eq!(
        requests[1..],
        [
            RecordedRequest::Predict { bytes: 7_680, in_eos: false },
            RecordedRequest::Predict { bytes: 7_680, in_eos: true }
        ]
    );
    assert_eq!(reply.timeline, Timeline::new(vec![(1, 40), (2, 40)], 2));
    assert_eq!(reply.session_id, "session of c:0");
    assert_eq!((reply.frames_in, read_pcm(reply).len()), (2, 40));
}

#[tokio::test(start_paused = true)]
async fn later_utterances_have_the_short_init_timeout() {
    let miner = ScriptedMiner::silent();
    play_utterance(&miner, "c", &source(1, 1), &settings(), &std::env::temp_dir()).await.unwrap();
    let requests = miner.requests();
    let RecordedRequest::Init { timeout, .. } = &requests[0] else { panic!("{requests:?}") };
    assert_eq!(*timeout, Duration::from_secs(10));
}

#[tokio::test(start_paused = true)]
async fn reply_that_ends_early_gets_no_further_frame() {
    let miner = ScriptedMiner::new(|k, _| Step::sound(1_920, k == 2));
    let reply = play(&miner, 5, &settings()).await.unwrap();
    assert_eq!(miner.predict_count(), 2);
    assert_eq!((reply.frames_in, reply.timeline.eos_frame), (2, 2));
}

#[tokio::test(start_paused = true)]
async fn frame_clock_excludes_response_time() {
    let fast_miner = ScriptedMiner::new(|_, call| Step::sound(1_920, call.in_eos));
    let slow_miner =
        ScriptedMiner::new(|_, call| Step::sound(1_920, call.in_eos).delayed_by(30 * MS));
    let (fast_reply, slow_reply) = (
        play(&fast_miner, 1, &settings()).await.unwrap(),
        play(&slow_miner, 1, &settings()).await.unwrap(),
    );
    assert_eq!(fast_reply.timeline, slow_reply.timeline);
    assert_eq!(fast_reply.timeline.completion(1), 0.16);
    assert_eq!(
        (fast_reply.wall.total_sec, slow_reply.wall.total_sec, slow_reply.wall.after_source_sec),
        (0.0, 0.03, 0.03)
    );
}

#[tokio::test(start_paused = true)]
async fn remaining_reply_is_drained() {
    let miner = ScriptedMiner::new(|k, _| Step::sound(960, k == 3));
    let reply = play(&miner, 2, &settings()).await.unwrap();
    assert_eq!(miner.requests()[3], RecordedRequest::Predict { bytes: 0, in_eos: true });
    assert_eq!(reply.timeline, Timeline::new(vec![(1, 3_840), (2, 3_840), (3, 3_840)], 3));
}

#[tokio::test(start_paused = true)]
async fn endless_reply_exhausts_drain_budget() {
    let miner = ScriptedMiner::new(|_, _| Step::sound(0, false));
    let settings = PlaySettings { drain_max_requests: 2, ..settings() };
    let error = error(&miner, 2, &settings).await;
    assert!(error.contains("drain budget was exhausted"), "{error}");
    assert_eq!(miner.predict_count(), 4);
}

#[tokio::test(start_paused = true)]
async fn chunk_timeout_is_not_retried() {
    let miner = ScriptedMiner::new(|_, _| Step::sound(0, false).delayed_by(20 * MS));
    let settings = PlaySettings { chunk_timeout: 10 * MS, ..settings() };
    assert_eq!(
        error(&miner, 3, &settings).await,
        "audio chunk response for frame 1/3 timed out after 0.01s"
    );
    assert_eq!(miner.predict_count(), 1);
}

#[tokio::test(start_paused = true)]
async fn last_frame_has_a_longer_timeout() {
    let miner = ScriptedMiner::new(|k, call| {
        Step::sound(0, call.in_eos).delayed_by(if k == 2 { 20 * MS } else { 5 * MS })
    });
    let settings = PlaySettings { chunk_timeout: 10 * MS, drain_timeout: 50 * MS, ..settings() };
    let reply = play(&miner, 2, &settings).await.unwrap();
    assert_eq!(reply.wall.after_source_sec, 0.02);
}

#[tokio::test(start_paused = true)]
async fn drain_has_a_deadline() {
    // 2 frames and one drain request: a drain timeout fails the reply.
    let miner = ScriptedMiner::new(|k, _| {
        Step::sound(0, false).delayed_by(if k == 3 { 1_000 * MS } else { Duration::ZERO })
    });
    let short_drain =
        PlaySettings { drain_timeout: 100 * MS, final_drain_min: 10 * MS, ..settings() };
    assert_eq!(
        error(&miner, 2, &short_drain).await,
        "drain response after final audio chunk timed out after 0.10s"
    );
    assert_eq!(miner.predict_count(), 3);

    // Each response is in time, but the drain timeout expires before the end of the reply.
    let miner = ScriptedMiner::new(|k, _| {
        Step::sound(0, false).delayed_by(if k > 2 { 50 * MS } else { Duration::ZERO })
    });
    let error = error(&miner, 2, &short_drain).await;
    assert!(error.contains("drain timeout was exhausted"), "{error}");
    assert_eq!(miner.predict_count(), 4);
}

#[tokio::test(start_paused = true)]
async fn drain_has_a_minimum_time_after_a_slow_last_frame() {
    let miner = ScriptedMiner::new(|k, _| {
        Step::sound(0, k == 3).delayed_by(if k > 1 { 90 * MS } else { Duration::ZERO })
    });
    let settings =
        PlaySettings { drain_timeout: 100 * MS, final_drain_min: 100 * MS, ..settings() };
    assert!(play(&miner, 2, &settings).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn single_frame_has_the_miner_timeout() {
    let miner = ScriptedMiner::new(|_, _| Step::sound(0, true).delayed_by(Duration::from_secs(9)));
    let settings = PlaySettings { miner_timeout: Duration::from_secs(8), ..settings() };
    assert_eq!(error(&miner, 1, &settings).await, "timeout after 8.0s");
}

#[tokio::test(start_paused = true)]
async fn init_without_response_times_out() {
    let miner = ScriptedMiner::silent().with_init(|_, _| Ok(Duration::MAX));
    let failure = play(&miner, 1, &settings()).await.unwrap_err();
    assert_eq!(failure.error.to_string(), "timeout after 600.0s");
    assert_eq!((failure.session_id, failure.wall), (None, Duration::from_mins(10)));
    assert_eq!((miner.init_count(), miner.predict_count()), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn init_response_is_validated() {
    type Change = fn(&mut InitResponse);
    for (change, message) in [
        ((|r| r.ready = false) as Change, "init response has ready false, expected true"),
        (|r| r.session_id.clear(), "init response has session_id \"\", expected a name"),
        (|r| r.challenge_uid = "d".into(), "init response has challenge_uid \"d\", expected \"c\""),
        (
            |r| r.utterance_id = "c:1".into(),
            "init response has utterance_id \"c:1\", expected \"c:0\"",
        ),
        (|r| r.dtype = "int16".into(), "init response has dtype \"int16\", expected \"float32le\""),
        (|r| r.sample_rate_hz = 16_000, "init response has sample_rate_hz 16000, expected 24000"),
        (|r| r.channels = 2, "init response has channels 2, expected 1"),
        (
            |r| r.frame_rate_hz = 0.0,
            "init response has frame_rate_hz 0, expected a positive number",
        ),
        (
            |r| r.frame_rate_hz = -12.5,
            "init response has frame_rate_hz -12.5, expected a positive number",
        ),
        (
            |r| r.frame_rate_hz = f64::NAN,
            "init response has frame_rate_hz NaN, expected a positive number",
        ),
        (|r| r.frame_samples = 0, "init response has frame_samples 0, expected a positive number"),
    ] {
        let miner = ScriptedMiner::silent().with_init(move |_, response| {
            change(response);
            Ok(Duration::ZERO)
        });
        assert_eq!(error(&miner, 1, &settings()).await, message);
        assert_eq!(miner.predict_count(), 0);
    }
}

/// Columns: response of the miner · whether the player logs a warning
#[tokio::test(start_paused = true)]
async fn irrelevant_init_fields_are_ignored() {
    type Change = fn(&mut InitResponse);
    for (change, warns) in [
        ((|_| {}) as Change, false),
        (|r| r.language = None, false),
        (|r| r.language = Some("xx".into()), false),
        (|r| r.miner_id = Some("somebody".into()), false),
        (|r| r.frame_samples = 480, false),
        (|r| r.frame_rate_hz = 50.0, true),
    ] {
        let (log, guard) = CapturedLog::start();
        let miner = ScriptedMiner::silent().with_init(move |_, response| {
            change(response);
            Ok(Duration::ZERO)
        });
        play(&miner, 2, &settings()).await.unwrap();
        drop(guard);
        assert_eq!(miner.predict_count(), 2);
        let log = log.text();
        assert_eq!(log.contains("WARN") && log.contains("frame_rate_hz=50"), warns, "{log}");
    }
}

#[tokio::test(start_paused = true)]
async fn malformed_response_fails_the_utterance_with_a_reason() {
    let long_audio = "A".repeat(4_000_000);
    for (step, message) in [
        (Step::text("AAAAA", true), "audio_b64 is not base64: "),
        (
            Step::text("AAAA", true),
            "reply of 3 bytes is not a whole number of float32 samples on 1 channel(s)",
        ),
        (Step::text(long_audio, true), "reply exceeds 96000 bytes of audio"),
        (Step::error(CallError::status(503, b"no room")), "503:no room"),
        (Step::error(CallError::Parse("expected value".into())), "parse:expected value"),
        (Step::error(CallError::InvalidPayloadType), "invalid_payload_type"),
        (Step::error(CallError::Refused("unknown session".into())), "unknown session"),
        (Step::error(CallError::Transport("refused".into())), "ConnectionError:refused"),
    ] {
        let miner = ScriptedMiner::new(move |_, _| step.clone());
        let settings = PlaySettings { max_reply: Duration::from_secs(1), ..settings() };
        let error = error(&miner, 1, &settings).await;
        assert!(error.starts_with(message), "{error} for {message}");
    }
    let miner = ScriptedMiner::new(|_, _| {
        let mut step = Step::sound(0, true);
        step.response.as_mut().unwrap().session_id = "other".into();
        step
    });
    assert_eq!(
        error(&miner, 1, &settings()).await,
        "session_id is \"other\", expected \"session of c:0\""
    );
}

#[tokio::test(start_paused = true)]
async fn endless_reply_fails_at_its_limit() {
    let miner = ScriptedMiner::new(|_, _| Step::sound(24_000, false));
    let settings = PlaySettings { max_reply: Duration::from_secs(10), ..settings() };
    assert_eq!(error(&miner, 200, &settings).await, "reply exceeds 960000 bytes of audio");
    assert_eq!(miner.predict_count(), 11);
}

#[tokio::test(start_paused = true)]
async fn nan_becomes_silence() {
    use base64::Engine as _;
    let nan = base64::engine::general_purpose::STANDARD.encode(f32::NAN.to_le_bytes().repeat(3));
    let miner = ScriptedMiner::new(move |_, _| Step::text(nan.clone(), true));
    assert_eq!(read_pcm(play(&miner, 1, &settings()).await.unwrap()), [0; 6]);
}

#[tokio::test(start_paused = true)]
async fn failed_init_keeps_its_reason() {
    let miner = ScriptedMiner::silent()
        .with_init(|_, _| Err(CallError::Refused("RuntimeError:boom".into())));
    assert_eq!(error(&miner, 1, &settings()).await, "RuntimeError:boom");
}

/// Columns: utterance · delayed frame · whether the utterance is played
#[tokio::test(start_paused = true)]
async fn first_arena_frames_have_a_longer_deadline() {
    let arena = PlaySettings {
        startup_utterances: 3,
        startup_frames: 4,
        miner_timeout: Duration::from_mins(2),
        ..settings()
    };
    let late_start = |frame: usize| {
        ScriptedMiner::new(move |k, call| {
            let delay = if k == frame { Duration::from_secs(5) } else { Duration::ZERO };
            Step::sound(10, call.in_eos).delayed_by(delay)
        })
    };
    let source_of = |index| source(index, 6);
    for (utterance, frame, is_played) in
        [(0, 1, true), (2, 4, true), (2, 5, false), (3, 1, false), (3, 6, true)]
    {
        let spool = std::env::temp_dir();
        let played =
            play_utterance(&late_start(frame), "c", &source_of(utterance), &arena, &spool).await;
        assert_eq!(played.is_ok(), is_played, "utterance {utterance}, frame {frame}");
    }
    let error = error(&late_start(1), 6, &settings()).await;
    assert_eq!(error, "audio chunk response for frame 1/6 timed out after 3.00s");
}

/// A connection with a long minimum timeout, like that of a gateway that starts its miner.
struct PatientConnection(ScriptedMiner);

impl MinerConnection for PatientConnection {
    fn init(
        &self,
        request: InitRequest,
        timeout: Duration,
    ) -> futures::future::BoxFuture<'_, Result<InitResponse, CallError>> {
        self.0.init(request, timeout)
    }

    fn predict(
        &self,
        call: PredictCall,
        timeout: Duration,
    ) -> futures::future::BoxFuture<'_, Result<PredictResponse, CallError>> {
        self.0.predict(call, timeout)
    }

    fn min_timeout(&self) -> Duration {
        Duration::from_mins(10)
    }
}

#[tokio::test(start_paused = true)]
async fn patient_connection_is_limited_by_barrier_and_frame_deadline() {
    let slow_miner = |init: u64, first: u64| {
        let script = ScriptedMiner::new(move |k, call| {
            Step::sound(10, call.in_eos).delayed_by(Duration::from_secs(if k == 1 {
                first
            } else {
                0
            }))
        });
        PatientConnection(script.with_init(move |_, _| Ok(Duration::from_secs(init))))
    };
    let arena = PlaySettings {
        startup_utterances: 8,
        startup_frames: 4,
        max_init_timeout: Some(Duration::from_mins(5)),
        ..settings()
    };
    for (init, first, is_played) in [(299, 59, true), (301, 0, false), (0, 61, false)] {
        let played = play_utterance(
            &slow_miner(init, first),
            "c",
            &source(7, 6),
            &arena,
            &std::env::temp_dir(),
        )
        .await;
        assert_eq!(played.is_ok(), is_played, "{init} s, {first} s");
    }
}
