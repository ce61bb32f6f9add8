//! Transcription workers behind the commands.

use std::fs::{self, File};
use std::io::{Read as _, Seek as _};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use taonet_babelbit_workers::testing::Servers;
use taonet_objects::S3Addressing;
use taonet_objects::testing::settings;
use tokio::runtime::Runtime;

use crate::axon::BOB;
use crate::support::{Daemon, document, local_bb, refusal, repository, require_sentence_model};
use crate::whisper;

/// Time after which a round is killed.
const TIMEOUT: Duration = Duration::from_mins(5);

/// A worker process, killed on drop.
struct Worker(Child);

impl Worker {
    /// Starts a worker that writes its standard error to `log`.
    fn start(servers: &Servers, log: &File) -> Self {
        let mut command = whisper_bb();
        with_services(&mut command, servers).args(["scorer", "--metrics", "127.0.0.1:0"]);
        Self(command.stdout(Stdio::null()).stderr(log.try_clone().unwrap()).spawn().unwrap())
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

/// Returns a command with the trained model, which is slow enough that a worker can be killed
/// during a transcription.
fn whisper_bb() -> Command {
    let mut command = local_bb();
    command.env("BB_AUDIO_SCORING_STT_MODEL", whisper::model());
    command
}

/// Starts workers one after another, and kills each during its first job, until one leaves a job
/// without a result.
fn kill_a_busy_worker(runtime: &Runtime, servers: &Servers, log: &File, round: &mut Child) {
    let has_unfinished = || !runtime.block_on(servers.unfinished()).is_empty();
    let start = Instant::now();
    loop {
        let worker = Worker::start(servers, log);
        while !has_unfinished() {
            let has_ended = round.try_wait().unwrap().is_some() || start.elapsed() > TIMEOUT;
            assert!(
                !has_ended,
                "no job was in progress: {}",
                String::from_utf8_lossy(&content(log))
            );
            std::thread::sleep(Duration::from_millis(5));
        }
        drop(worker);
        if has_unfinished() {
            return;
        }
    }
}

fn with_services<'a>(command: &'a mut Command, servers: &Servers) -> &'a mut Command {
    let bucket = settings(&servers.bucket.url, S3Addressing::Path);
    command
        .env("NATS_URL", servers.nats.url())
        .env("DATABASE_URL", servers.postgres.url())
        .env("S3_ENDPOINT_URL", bucket.endpoint_url.unwrap())
        .env("S3_BUCKET_NAME", bucket.bucket)
        .env("S3_ACCESS_KEY_ID", bucket.access_key_id.unwrap().expose())
        .env("S3_SECRET_ACCESS_KEY", bucket.secret_access_key.unwrap().expose())
}

/// Returns the content of a file.
fn content(mut file: &File) -> Vec<u8> {
    let mut bytes = Vec::new();
    file.rewind().unwrap();
    file.read_to_end(&mut bytes).unwrap();
    bytes
}

/// Scores and transcripts of a round's report.
fn scores(report: &Value) -> Vec<[Value; 2]> {
    let utterances = report["miners"][0]["utterances"].as_array().unwrap();
    utterances
        .iter()
        .map(|utterance| [utterance["score"].clone(), utterance["transcript"].clone()])
        .collect()
}

#[test]
fn round_with_workers_matches_single_process_scores() {
    require_sentence_model();
    let runtime = Runtime::new().unwrap();
    let Some(servers) = runtime.block_on(Servers::start()) else { return };
    let folder = tempfile::tempdir().unwrap();
    let engine =
        Daemon::start(local_bb().arg("engine").arg(repository("tests/e2e/data/ferry.json")));
    let miner =
        Daemon::start(local_bb().args(["miner", "--profile", "parrot", "--key-uri", "//Bob"]));
    let address = miner.url().trim_start_matches("http://").to_owned();
    let miners = folder.path().join("miners.json");
    fs::write(&miners, json!([{ "uid": 1, "hotkey": BOB, "address": address }]).to_string())
        .unwrap();
    let runner = |name: &str| {
        let mut runner = whisper_bb();
        runner
            .env("BABELBIT_CACHE_DIR", folder.path().join(name).join("cache"))
            .env("BB_S2S_CHUNK_TIMEOUT_SEC", "30");
        runner.args([
            "runner",
            "--once",
            "--json",
            "--key-uri",
            "//Alice",
            "--engine",
            engine.url(),
            "--miners",
        ]);
        runner.arg(&miners).arg("--keep").arg(folder.path().join(name));
        runner
    };
    let expected = scores(&document(&runner("alone").output().unwrap()));
    assert!(expected.iter().all(|[_, transcript]| transcript.is_string()), "{expected:?}");

    let [log, stdout, stderr] = std::array::from_fn(|_| tempfile::tempfile().unwrap());
    let mut runner_with_workers = runner("distributed");
    with_services(&mut runner_with_workers, &servers)
        .stdout(stdout.try_clone().unwrap())
        .stderr(stderr.try_clone().unwrap());
    let (mut runner_with_workers, start) = (runner_with_workers.spawn().unwrap(), Instant::now());
    kill_a_busy_worker(&runtime, &servers, &log, &mut runner_with_workers);
    let _survivor = Worker::start(&servers, &log);
    let status = loop {
        if let Some(status) = runner_with_workers.try_wait().unwrap() {
            break status;
        }
        if start.elapsed() > TIMEOUT {
            runner_with_workers.kill().unwrap();
        }
        std::thread::sleep(Duration::from_millis(50));
    };
    let output = Output { status, stdout: content(&stdout), stderr: content(&stderr) };
    let workers = content(&log);
    let [runner_log, workers_log] =
        [&output.stderr, &workers].map(|log| String::from_utf8_lossy(log));
    assert!(status.success(), "{status}: {runner_log}\nThe workers: {workers_log}");
    assert_eq!(scores(&document(&output)), expected, "the workers: {workers_log}");
    let mut audit = whisper_bb();
    audit.args(["audit", "ferry", "--json", "--keep"]).arg(folder.path().join("distributed"));
    assert_eq!(document(&audit.output().unwrap())["mismatches"], json!([]));
}

#[test]
fn scorer_without_services_names_missing_setting() {
    let error = refusal(&local_bb().arg("scorer").output().unwrap(), 2);
    assert!(error.contains("NATS_URL is not set"), "{error}");
    let mut scorer = local_bb();
    let error =
        refusal(&scorer.arg("scorer").env("NATS_URL", "nats://127.0.0.1:9").output().unwrap(), 2);
    assert!(error.contains("DATABASE_URL is not a PostgreSQL database"), "{error}");
    let error = refusal(
        &local_bb().arg("scorer").env("NATS_URL", "http://127.0.0.1:9").output().unwrap(),
        2,
    );
    assert!(error.contains("NATS_URL=http://127.0.0.1:9: expected nats://HOST:4222"), "{error}");
}

#[test]
fn bench_commands_report_their_measurements() {
    let mut bench = local_bb();
    bench.args([
        "bench",
        "stt",
        "--json",
        "--miners",
        "2",
        "3",
        "--repeat",
        "2",
        "--stt-model",
        "tiny-ctc",
    ]);
    bench.args(["--cpu-threads", "1", "--language", "en"]);
    let report =
        document(&bench.arg("--wav-dir").arg(repository("vectors/speech")).output().unwrap());
    assert_eq!(report["runs"].as_array().unwrap().len(), 2);
    let run = &report["runs"][1];
    assert_eq!((&run["miners"], run["repeats"].as_array().unwrap().len()), (&json!(3), 2));
    assert_eq!((&report["concurrency"], &report["language"]), (&json!(1), &json!("en")));
    for field in [
        "total_audio_sec",
        "wall_sec",
        "cpu_sec",
        "decode_sec",
        "stt_sec",
        "cpu_per_wall",
        "stt_realtime_factor",
        "audio_sec_per_wall_sec",
        "miners_per_wall_sec",
        "word_count",
        "text_chars",
        "max_rss_mb",
    ] {
        let [least, middle, most] =
            ["min", "median", "max"].map(|key| run[field][key].as_f64().unwrap());
        assert!(0.0 < least && least <= middle && middle <= most, "{field}: {run}");
    }
    let mut bench = whisper_bb();
    bench.args([
        "bench",
        "stt",
        "--json",
        "--miners",
        "1",
        "--durations-sec",
        "1",
        "--audio-kind",
        "silence",
    ]);
    let report =
        document(&bench.args(["--cpu-threads", "1", "--language", "de"]).output().unwrap());
    assert!(report["runs"][0]["wall_sec"]["median"].as_f64() > Some(0.0), "{report}");
    let mut bench = local_bb();
    bench.args(["bench", "stt", "--stt-model", "tiny-ctc", "--language", "de"]);
    let error = refusal(&bench.output().unwrap(), 2);
    assert!(error.contains("--language de: tiny-ctc understands English only"), "{error}");
    require_sentence_model();
    let mut bench = local_bb();
    bench.args(["bench", "scoring", "--json", "--miners", "5", "--repeat", "1", "--warmup", "0"]);
    let report = document(&bench.output().unwrap());
    assert!(report["runs"][0]["miners_per_wall_sec"]["median"].as_f64().unwrap() > 0.0, "{report}");
    let mut bench = local_bb();
    bench.args([
        "bench", "scoring", "--json", "--mode", "real", "--miners", "2", "--repeat", "1",
        "--warmup", "0",
    ]);
    let report = document(&bench.args(["--duration-sec", "1"]).output().unwrap());
    assert_eq!([&report["mode"], &report["recognizer"]], ["real", "tiny-ctc"]);
    assert!(report["runs"][0]["cpu_sec"]["median"].as_f64().unwrap() > 0.0, "{report}");
}
