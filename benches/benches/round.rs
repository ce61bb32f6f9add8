//! A complete round: 256 miners in the runner's process, eight utterances of `vectors/speech`,
//! every reply recognised and scored: `RAYON_NUM_THREADS=1 taskset -c 0,1 cargo bench -p
//! taonet-benches --bench round`.
//!
//! Miners return the audio that they receive, changed in one sample, so that no two replies are
//! equal and each is recognised. The round includes all steps: framing, checks, audio files,
//! recognition, sentence embeddings, scores, ledger, result files. The same number of recordings is
//! then recognised alone: the share of recognition is its processor time divided by that of the
//! round. With more than one thread in rayon's global pool, the processor time includes threads
//! that wait for each other during one recognition.
#![allow(clippy::print_stdout, reason = "the figures are the output")]

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustix::time::{ClockId, clock_gettime};
use serde_json::{Value, json};
use taonet_babelbit_core::scoring::ScoreOptions;
use taonet_babelbit_engine::client::{PrefetchedChallenge, Reference};
use taonet_babelbit_runner::{RunPaths, Runner, RunnerSettings};
use taonet_babelbit_scorer::{BatchScorer, ScorerSettings, TranscriptCache};
use taonet_benches::{Echo, peak_memory};
use taonet_speech::models::{ALL_MINILM_L6_V2, ModelStore};
use taonet_speech::{CtcRecognizer, MiniLm, Recognizer, Wav, resample_for_recognition};

const MINERS: u16 = 256;
const UTTERANCES: usize = 8;

fn main() -> Result<()> {
    let recognizer: Arc<dyn Recognizer> = Arc::new(CtcRecognizer::embedded()?);
    let store = ModelStore::new(std::env::var_os("BB_MODELS_DIR").map(PathBuf::from));
    let embedder = Arc::new(MiniLm::load(&store.locate(&ALL_MINILM_L6_V2)?)?);
    let cache = TranscriptCache::in_memory(&*recognizer, TranscriptCache::DEFAULT_CAPACITY);
    let settings = ScorerSettings::default();
    let scorer = Arc::new(BatchScorer::new(
        Arc::clone(&recognizer),
        embedder,
        cache,
        ScoreOptions::default(),
        settings,
    )?);
    let recordings = recordings()?;

    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let (before, started) = (processor_time(), Instant::now());
    runtime.block_on(play(challenge(&recordings)?, scorer))?;
    let (time, processor) = (started.elapsed(), processor_time().saturating_sub(before));
    drop(runtime);
    let peak = peak_memory();

    let sounds: Vec<_> =
        recordings.iter().map(|recording| resample_for_recognition(&recording.wav.pcm)).collect();
    let before = processor_time();
    for _ in 0..MINERS {
        sounds.iter().try_for_each(|sound| recognizer.recognize(sound).map(drop))?;
    }
    let recognition = processor_time().saturating_sub(before);

    let speech = sounds.iter().map(Vec::len).sum::<usize>() as f64 / 16_000.0;
    println!(
        "{MINERS} miners x {UTTERANCES} utterances {:6.2} s for {speech:.1} s of speech",
        time.as_secs_f64()
    );
    println!("processor                {:6.2} s", processor.as_secs_f64());
    let share = recognition.as_secs_f64() / processor.as_secs_f64();
    println!(
        "recognition of it        {:6.2} s, {:.0} %",
        recognition.as_secs_f64(),
        share * 100.0
    );
    if let Some(peak) = peak {
        println!("peak memory              {peak:6} MB (less than 1000 MB)");
    }
    Ok(())
}

async fn play(challenge: PrefetchedChallenge, scorer: Arc<BatchScorer>) -> Result<()> {
    let directory = tempfile::tempdir()?;
    let settings = RunnerSettings::new(RunPaths::in_directory(directory.path()));
    let runner = Runner::open(settings, "en", scorer).await?;
    let miners: Vec<_> = (0..MINERS)
        .map(|uid| {
            Echo { delay: Duration::ZERO, signature: Some(f32::from(uid) / 1024.0) }.with_uid(uid)
        })
        .collect();
    let report = runner.play(challenge, &miners, Arc::new(())).await?;
    ensure!(
        report.miners.len() == miners.len(),
        "only {} miners have a result",
        report.miners.len()
    );
    for miner in &report.miners {
        let transcribed =
            miner.utterances.iter().filter(|utterance| utterance.transcript.is_some()).count();
        ensure!(
            miner.completed && transcribed == UTTERANCES,
            "miner {}: {transcribed} replies were recognised",
            miner.uid
        );
    }
    Ok(())
}

/// A recording with its expected transcript.
struct Recording {
    file: Vec<u8>,
    wav: Wav,
    text: String,
}

fn recordings() -> Result<Vec<Recording>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../vectors/speech");
    let list: Value = serde_json::from_slice(&std::fs::read(folder.join("transcripts.json"))?)?;
    let items = list.get("items").and_then(Value::as_array).context("transcripts.json: items")?;
    let recordings = items.iter().take(UTTERANCES).map(|item| {
        let file = std::fs::read(folder.join(text_of(item, "file")?))?;
        let text = text_of(item, "text")?.to_owned();
        Ok(Recording { wav: Wav::decode(&file)?, file, text })
    });
    recordings.collect()
}

fn text_of<'a>(item: &'a Value, field: &'static str) -> Result<&'a str> {
    item.get(field).and_then(Value::as_str).with_context(|| format!("transcripts.json: {field}"))
}

fn challenge(recordings: &[Recording]) -> Result<PrefetchedChallenge> {
    let utterances = recordings.iter().enumerate().map(|(index, Recording { file, wav, .. })| {
        let utterance = json!({
            "challenge_uid": "bench", "session_id": "s", "utterance_id": format!("bench:{index}"), "language": "fr",
            "utterance_index": index, "sample_rate_hz": wav.pcm.rate.hz(), "channels": wav.pcm.channels,
            "sample_width_bytes": 2, "utterance_frames": wav.pcm.samples.len() / usize::from(wav.pcm.channels),
            "audio_b64": STANDARD.encode(file),
        });
        serde_json::from_value(utterance).context("utterance")
    });
    let references = recordings.iter().enumerate();
    let references = references
        .map(|(index, recording)| json!({"utterance_id": index, "reference_text": recording.text}));
    let document = json!({"utterances": references.collect::<Vec<_>>()});
    Ok(PrefetchedChallenge {
        challenge_uid: "bench".into(),
        title: None,
        utterances: utterances.collect::<Result<_>>()?,
        error: None,
        reference: Some(Reference { document, source: "vectors/speech".into() }),
    })
}

/// Returns the processor time of this process so far, all threads together.
fn processor_time() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(
        time.tv_sec.try_into().unwrap_or_default(),
        time.tv_nsec.try_into().unwrap_or_default(),
    )
}
