//! Kills of worker processes, and recordings that crash or hang them. Each process is this test
//! binary, restarted.

use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use taonet_service::Shutdown;

use super::*;
use crate::queue::Queue;
use crate::store::Store;

/// Environment variable for the child process: the service URLs, and the transcription deadline in
/// milliseconds.
const SERVICES: &str = "TAONET_TEST_WORKER_SERVICES";
const WORKERS: usize = 3;
/// Minimum number of kills. Further kills follow until one has hit a worker with a job.
const MIN_KILLS: usize = 10;
const MAX_KILLS: usize = 60;
/// Processing time of a recording.
const PROCESSING_TIME: Duration = Duration::from_millis(40);

/// Entry point of the child process: a worker that runs until it is killed or stuck.
#[test]
fn worker_process_entry() {
    let Ok(urls) = std::env::var(SERVICES) else { return };
    let urls: Vec<&str> = urls.split(' ').collect();
    let mut services = services(urls[0], urls[1], urls[2]);
    services.timing.transcription = Duration::from_millis(urls[3].parse().unwrap());
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let worker = Worker::new(
        &format!("worker-{}", std::process::id()),
        SlowRecognizer::new(PROCESSING_TIME),
        services,
    );
    runtime.block_on(worker.run(&Shutdown::new(), || {}));
    assert!(worker.is_stuck(), "nothing else ends the worker");
    // Dropping the runtime would wait for the stuck transcription.
    runtime.shutdown_background();
}

struct Process(Child);

impl Process {
    fn start(servers: &Servers, transcription: Duration) -> Self {
        let (nats, postgres, bucket) =
            (servers.nats.url(), servers.postgres.url(), &servers.bucket.url);
        let urls = format!("{nats} {postgres} {bucket} {}", transcription.as_millis());
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", "tests::kills::worker_process_entry"]).env(SERVICES, urls);
        Self(command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap())
    }

    fn has_ended(&mut self) -> bool {
        self.0.try_wait().unwrap().is_some()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

/// A thread that starts and kills worker processes. Dropping it stops the thread and its processes.
struct Supervisor {
    should_stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Supervisor {
    fn start(work: impl FnOnce(&AtomicBool) + Send + 'static) -> Self {
        let should_stop = Arc::new(AtomicBool::new(false));
        let should_stop_in_thread = Arc::clone(&should_stop);
        Self { should_stop, thread: Some(std::thread::spawn(move || work(&should_stop_in_thread))) }
    }
}

impl Drop for Supervisor {
    fn drop(&mut self) {
        self.should_stop.store(true, Ordering::Relaxed);
        let result = self.thread.take().unwrap().join();
        assert!(result.is_ok() || std::thread::panicking(), "the thread of the workers panicked");
    }
}

/// Returns the number of repeated attempts of jobs, each of which has one row with a result.
async fn repeated_attempts(servers: &Servers, jobs: &[JobId]) -> i64 {
    let rows = Store::open(&servers.postgres.url()).await.unwrap();
    let rows =
        rows.find_rows(&jobs.iter().map(JobId::to_string).collect::<Vec<_>>()).await.unwrap();
    assert_eq!(rows.len(), jobs.len());
    assert!(rows.iter().all(|row| row.result.is_some()));
    rows.iter().map(|row| row.tries - 1).sum()
}

/// Asserts that queue and bucket are empty.
async fn check_no_leftovers(servers: &Servers, jobs: &[JobId]) {
    let queue = Queue::connect(&servers.nats.url(), &identity()).await.unwrap();
    let start = std::time::Instant::now();
    while queue.depth().await.unwrap().jobs > 0
        || jobs.iter().any(|job| servers.bucket.object(&job.object_key()).exists())
    {
        assert!(start.elapsed() < Duration::from_secs(30), "{:?}", queue.depth().await);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

fn job(candidate: &Candidate) -> JobId {
    JobId::new(candidate.wav.as_ref().unwrap().hash(), &identity())
}

#[tokio::test(flavor = "multi_thread")]
async fn three_workers_killed_ten_times_lose_and_repeat_nothing() {
    let Some(servers) = Servers::start().await else { return };
    let servers = Arc::new(servers);
    let seed = std::env::var("TAONET_TEST_SEED")
        .map_or_else(|_| rand::random(), |seed| seed.parse().unwrap());
    println!("TAONET_TEST_SEED={seed} repeats these kill times");
    let (kills, target_kills) =
        (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(MIN_KILLS)));
    let _killer = {
        let (servers, kills, target_kills) =
            (Arc::clone(&servers), Arc::clone(&kills), Arc::clone(&target_kills));
        Supervisor::start(move |should_stop| {
            let mut random = StdRng::seed_from_u64(seed);
            let start = || Process::start(&servers, TIMING.transcription);
            let mut workers: Vec<Process> = (0..WORKERS).map(|_| start()).collect();
            while !should_stop.load(Ordering::Relaxed) {
                std::thread::sleep(Duration::from_millis(random.random_range(800..2_000)));
                // A worker that ended by itself is started again, as systemd does.
                for worker in
                    workers.iter_mut().filter_map(|worker| worker.has_ended().then_some(worker))
                {
                    *worker = start();
                }
                let killed_worker = &mut workers[random.random_range(0..WORKERS)];
                if kills.load(Ordering::Relaxed) < target_kills.load(Ordering::Relaxed) {
                    // The assignment drops, and thereby kills, the old process.
                    *killed_worker = start();
                    kills.fetch_add(1, Ordering::Relaxed);
                }
            }
        })
    };
    let (local, distributed) = (Arc::new(local_scorer()), scorer_with_workers(servers.services()));
    let (mut jobs, mut batches, mut repeated) = (Vec::new(), 0, 0);
    while kills.load(Ordering::Relaxed) < target_kills.load(Ordering::Relaxed) {
        let candidates: Vec<_> =
            (0..24).map(|index| candidate(recording(batches * 24 + index))).collect();
        assert_eq!(
            score(&distributed, &candidates).await,
            score(&local, &candidates).await,
            "batch {batches}"
        );
        jobs.extend(candidates.iter().map(job));
        batches += 1;
        repeated = repeated_attempts(&servers, &jobs).await;
        if repeated == 0 && kills.load(Ordering::Relaxed) == target_kills.load(Ordering::Relaxed) {
            assert!(
                target_kills.fetch_add(1, Ordering::Relaxed) < MAX_KILLS,
                "no kill hit a worker with a job"
            );
        }
    }
    let kills = kills.load(Ordering::Relaxed);
    println!("{} jobs in {batches} batches, {repeated} repeated after {kills} kills", jobs.len());
    // A kill repeats at most the jobs in progress on one worker.
    let maximum = kills * CONCURRENCY.get();
    assert!(
        usize::try_from(repeated).unwrap() <= maximum,
        "{repeated} attempts repeated after {kills} kills"
    );
    check_no_leftovers(&servers, &jobs).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn recording_that_kills_workers_is_excluded_alone() {
    check_excluded(POISON_AMPLITUDE, TIMING.transcription).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn recording_that_hangs_the_recogniser_is_excluded_alone() {
    check_excluded(HANG_AMPLITUDE, Duration::from_secs(5)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn recording_that_stops_the_recogniser_is_excluded_alone() {
    check_excluded(STOP_AMPLITUDE, TIMING.transcription).await;
}

/// Checks that a recording of a constant amplitude fails after it has ended its worker three times,
/// once among other recordings and twice alone, and that other recordings have their usual scores.
async fn check_excluded(amplitude: f32, transcription: Duration) {
    let Some(servers) = Servers::start().await else { return };
    let servers = Arc::new(servers);
    let worker_exits = Arc::new(AtomicUsize::new(0));
    let _supervisor = {
        let (servers, worker_exits) = (Arc::clone(&servers), Arc::clone(&worker_exits));
        Supervisor::start(move |should_stop| {
            let mut worker = Process::start(&servers, transcription);
            while !should_stop.load(Ordering::Relaxed) {
                if worker.has_ended() {
                    worker_exits.fetch_add(1, Ordering::Relaxed);
                    worker = Process::start(&servers, transcription);
                }
                std::thread::sleep(Duration::from_millis(20));
            }
        })
    };
    let poison = candidate(encoded(vec![amplitude; 16_000]));
    let mut candidates: Vec<_> = (0..8).map(|index| candidate(recording(index))).collect();
    candidates.insert(3, poison.clone());
    let mut results = score(&scorer_with_workers(servers.services()), &candidates).await;
    let error = results.remove(3).score_error.unwrap();
    let expected = format!(
        "RuntimeError:transcription {} failed 3 times: the last worker, worker-",
        job(&poison)
    );
    assert!(error.starts_with(&expected), "{error}");
    candidates.remove(3);
    let others: Vec<_> = results
        .iter()
        .map(|result| (&result.stt_text, &result.score_error, result.raw_score))
        .collect();
    let expected = score(&Arc::new(local_scorer()), &candidates).await;
    let expected: Vec<_> = expected
        .iter()
        .map(|result| (&result.stt_text, &result.score_error, result.raw_score))
        .collect();
    assert_eq!(others, expected);
    let worker_exits = worker_exits.load(Ordering::Relaxed);
    // On a starved machine, another recording may exceed a short deadline, which also ends the
    // worker.
    let is_short = transcription < TIMING.transcription;
    let maximum = if is_short { 3 + others.len() } else { 3 };
    assert!((3..=maximum).contains(&worker_exits), "{worker_exits} workers ended");
}
