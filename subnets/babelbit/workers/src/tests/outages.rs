//! Faults of the services: down or unresponsive at the start, failing later, losing data, returning
//! modified data.

use std::sync::mpsc::channel;

use taonet_babelbit_scorer::{Backend as _, TranscriptionCallback};
use taonet_database::{Database, migrations, statement};
use taonet_objects::client_options;
use taonet_objects::testing::S3Server;
use taonet_service::Shutdown;
use tokio::task::JoinHandle;

use super::*;
use crate::store::Store;
use crate::testing::{FaultyProxy, ProxyFault};

/// Starts a worker in this process.
fn worker(services: &Services, stop: &Shutdown) -> JoinHandle<()> {
    let (worker, stop) = (
        Worker::new("worker", SlowRecognizer::new(Duration::from_millis(50)), services.clone()),
        stop.clone(),
    );
    tokio::spawn(async move { worker.run(&stop, || {}).await })
}

async fn sleep_ms(milliseconds: u64) {
    tokio::time::sleep(Duration::from_millis(milliseconds)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn outages_delay_scores_without_changing_them() {
    let Some(mut servers) = Servers::start().await else { return };
    let (services, stop) = (servers.services(), Shutdown::new());
    servers.nats.stop();
    servers.postgres.stop();
    let running = worker(&services, &stop);
    let distributed = scorer_with_workers(services);
    let candidates: Vec<_> = (0..60).map(|index| candidate(recording(index))).collect();
    let expected = score(&Arc::new(local_scorer()), &candidates).await;
    let scoring = tokio::spawn(async move { score(&distributed, &candidates).await });
    sleep_ms(500).await;
    servers.postgres.run();
    sleep_ms(500).await;
    servers.nats.start_server();
    sleep_ms(1_500).await;
    servers.postgres.stop();
    sleep_ms(500).await;
    servers.postgres.run();
    sleep_ms(300).await;
    servers.nats.stop();
    servers.nats.delete_all_data();
    servers.nats.start_server();
    assert_eq!(scoring.await.unwrap(), expected);
    stop.request();
    running.await.unwrap();
}

/// The client panics, here in a caller's function; this fails no other transcription.
#[tokio::test(flavor = "multi_thread")]
async fn panic_in_a_callback_fails_no_other_transcription() {
    let Some(servers) = Servers::start().await else { return };
    let (services, stop) = (servers.services(), Shutdown::new());
    let running = worker(&services, &stop);
    let workers =
        Workers::start(services, identity(), Arc::new(|| Err("no fallback in this test".into())))
            .unwrap();
    let ((panics, panicked), (outcome, outcomes)) = (channel(), channel());
    let panic = TranscriptionCallback::new(move |_| {
        panics.send(()).unwrap();
        panic!("a fault injected by the test");
    });
    workers.start(Audio::from(recording(0)), panic);
    for index in 1..6 {
        let outcome = outcome.clone();
        workers.start(
            Audio::from(recording(index)),
            TranscriptionCallback::new(move |transcription| outcome.send(transcription).unwrap()),
        );
    }
    for _ in 1..6 {
        let transcription = outcomes.recv_timeout(Duration::from_mins(1)).unwrap();
        assert!(transcription.is_ok(), "{transcription:?}");
    }
    panicked.recv_timeout(Duration::from_mins(1)).expect("the client panics");
    stop.request();
    running.await.unwrap();
}

/// Waits until one more job has a result.
async fn wait_for_a_result(store: &Store, jobs: &[String]) {
    let count = async || {
        store.find_rows(jobs).await.unwrap().iter().filter(|row| row.result.is_some()).count()
    };
    let count_before = count().await;
    let start = std::time::Instant::now();
    while count().await == count_before {
        assert!(
            start.elapsed() < Duration::from_mins(1),
            "no result after {count_before} of {}",
            jobs.len()
        );
        sleep_ms(10).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn slow_and_broken_connections_delay_scores_without_changing_them() {
    let Some(mut servers) = Servers::start().await else { return };
    let (bucket, queue) = (FaultyProxy::unconnected().await, FaultyProxy::unconnected().await);
    servers.bucket = S3Server::start_behind(Some(bucket.port())).await;
    bucket.forward(servers.bucket.url.port().unwrap());
    queue.forward(servers.nats.port());
    let urls = [queue.port(), bucket.port()].map(|port| format!("127.0.0.1:{port}"));
    let services = services(
        &format!("nats://{}", urls[0]),
        &servers.postgres.url(),
        &format!("http://{}", urls[1]),
    );
    let store = Store::open(&services.database_url).await.unwrap();
    for (index, proxy) in [&bucket, &queue].into_iter().enumerate() {
        // Unreachable at the start.
        proxy.set(ProxyFault::Cut);
        let stop = Shutdown::new();
        let running = worker(&services, &stop);
        let distributed = scorer_with_workers(services.clone());
        let candidates: Vec<_> =
            (0..40).map(|offset| candidate(recording(40 * index + offset))).collect();
        let ids: Vec<_> = candidates
            .iter()
            .map(|c| JobId::new(c.wav.as_ref().unwrap().hash(), &identity()).to_string())
            .collect();
        let expected = score(&Arc::new(local_scorer()), &candidates).await;
        let scoring = tokio::spawn(async move { score(&distributed, &candidates).await });
        sleep_ms(500).await;
        for fault in [ProxyFault::Slow(Duration::from_millis(20)), ProxyFault::None] {
            proxy.set(fault);
            wait_for_a_result(&store, &ids).await;
            proxy.set(ProxyFault::Cut);
            sleep_ms(300).await;
        }
        proxy.set(ProxyFault::None);
        assert_eq!(scoring.await.unwrap(), expected);
        stop.request();
        running.await.unwrap();
    }
}

/// Checks that scores do not change if the connections of runner and worker through `proxy` become
/// half-open: first when they are made, then while jobs are in progress.
async fn check_half_open(servers: &Servers, proxy: &FaultyProxy, services: Services) {
    let (stop, store) = (Shutdown::new(), Store::open(&servers.postgres.url()).await.unwrap());
    proxy.set(ProxyFault::HalfOpen);
    let running = worker(&services, &stop);
    let distributed = scorer_with_workers(services);
    let candidates: Vec<_> = (0..60).map(|index| candidate(recording(index))).collect();
    let ids: Vec<_> = candidates
        .iter()
        .map(|c| JobId::new(c.wav.as_ref().unwrap().hash(), &identity()).to_string())
        .collect();
    let expected = score(&Arc::new(local_scorer()), &candidates).await;
    let scoring = tokio::spawn(async move { score(&distributed, &candidates).await });
    sleep_ms(500).await;
    proxy.set(ProxyFault::None);
    wait_for_a_result(&store, &ids).await;
    proxy.set(ProxyFault::HalfOpen);
    sleep_ms(1_000).await;
    assert!(!scoring.is_finished(), "no job was in progress");
    proxy.set(ProxyFault::None);
    assert_eq!(scoring.await.unwrap(), expected);
    stop.request();
    running.await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn half_open_database_connections_delay_scores_without_changing_them() {
    let Some(servers) = Servers::start().await else { return };
    let proxy = FaultyProxy::to(&servers.postgres).await;
    let services =
        services(&servers.nats.url(), &proxy.url("postgres"), servers.bucket.url.as_str());
    check_half_open(&servers, &proxy, services).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn half_open_queue_connections_delay_scores_without_changing_them() {
    let Some(servers) = Servers::start().await else { return };
    let proxy = FaultyProxy::unconnected().await;
    proxy.forward(servers.nats.port());
    let url = format!("nats://127.0.0.1:{}", proxy.port());
    let services = services(&url, &servers.postgres.url(), servers.bucket.url.as_str());
    check_half_open(&servers, &proxy, services).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn half_open_bucket_connections_delay_scores_without_changing_them() {
    let Some(mut servers) = Servers::start().await else { return };
    let proxy = FaultyProxy::unconnected().await;
    servers.bucket = S3Server::start_behind(Some(proxy.port())).await;
    proxy.forward(servers.bucket.url.port().unwrap());
    let url = format!("http://127.0.0.1:{}", proxy.port());
    let mut services = services(&servers.nats.url(), &servers.postgres.url(), &url);
    // The default timeout leaves time for large uploads.
    let settings = settings(&url.parse().unwrap(), S3Addressing::Path);
    services.bucket =
        ObjectStorage::open_with(&settings, client_options(Duration::from_secs(2))).unwrap();
    check_half_open(&servers, &proxy, services).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn slow_database_that_loses_rows_delays_scores_without_changing_them() {
    let Some(servers) = Servers::start().await else { return };
    let (services, stop) = (servers.services(), Shutdown::new());
    let store = Store::open(&services.database_url).await.unwrap();
    let admin_database =
        Database::postgres(&services.database_url, &migrations(&[])).await.unwrap();
    let running = worker(&services, &stop);
    let distributed = scorer_with_workers(services);
    let candidates: Vec<_> = (0..60).map(|index| candidate(recording(index))).collect();
    let ids: Vec<_> = candidates
        .iter()
        .map(|c| JobId::new(c.wav.as_ref().unwrap().hash(), &identity()).to_string())
        .collect();
    let expected = score(&Arc::new(local_scorer()), &candidates).await;
    let scoring = tokio::spawn(async move { score(&distributed, &candidates).await });
    wait_for_a_result(&store, &ids).await;
    // Runner and worker wait for the lock, and then find neither results nor attempts.
    let mut lock = admin_database.begin().await.unwrap();
    statement("LOCK TABLE scorer_job").execute(&mut lock).await.unwrap();
    assert!(statement("DELETE FROM scorer_job").execute(&mut lock).await.unwrap() > 0);
    sleep_ms(2_000).await;
    lock.commit().await.unwrap();
    assert_eq!(scoring.await.unwrap(), expected);
    stop.request();
    running.await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn audio_that_was_lost_or_modified_is_stored_again() {
    let Some(servers) = Servers::start().await else { return };
    let (mut services, stop) = (servers.services(), Shutdown::new());
    // Gives the runner time to store the audio again before the last attempt.
    services.timing.retry_after = Duration::from_secs(1);
    let candidates: Vec<_> = (0..3).map(|index| candidate(recording(index))).collect();
    let ids: Vec<_> = candidates
        .iter()
        .map(|c| JobId::new(c.wav.as_ref().unwrap().hash(), &identity()))
        .collect();
    let expected = score(&Arc::new(local_scorer()), &candidates).await;
    let distributed = scorer_with_workers(services.clone());
    let scoring = tokio::spawn(async move { score(&distributed, &candidates).await });
    while !ids.iter().all(|id| servers.bucket.object(&id.object_key()).exists()) {
        sleep_ms(10).await;
    }
    std::fs::remove_file(servers.bucket.object(&ids[0].object_key())).unwrap();
    std::fs::write(servers.bucket.object(&ids[1].object_key()), recording(5)).unwrap();
    let running = worker(&services, &stop);
    assert_eq!(scoring.await.unwrap(), expected);
    stop.request();
    running.await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn only_well_formed_results_are_reused() {
    let Some(servers) = Servers::start().await else { return };
    let (services, stop) = (servers.services(), Shutdown::new());
    let candidates = [
        candidate(recording(0)),
        candidate(b"not a recording".to_vec()),
        candidate(encoded(vec![])),
    ];
    let expected = score(&Arc::new(local_scorer()), &candidates).await;
    let running = worker(&services, &stop);
    assert_eq!(score(&scorer_with_workers(services.clone()), &candidates).await, expected);
    stop.request();
    running.await.unwrap();
    // No worker runs: the results come from the database.
    assert_eq!(score(&scorer_with_workers(services.clone()), &candidates).await, expected);
    let store = Store::open(&services.database_url).await.unwrap();
    let id = JobId::new(candidates[0].wav.as_ref().unwrap().hash(), &identity());
    store.delete_job(&id).await.unwrap();
    store.begin_attempt(&id, "liar").await.unwrap();
    assert!(store.store_result(&id, b"nonsense", false).await.unwrap());
    let stop = Shutdown::new();
    let running = worker(&services, &stop);
    assert_eq!(score(&scorer_with_workers(services), &candidates).await, expected);
    stop.request();
    running.await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn first_result_is_kept_and_returned_jobs_count_no_attempt() {
    let Some(servers) = Servers::start().await else { return };
    let store = Store::open(&servers.postgres.url()).await.unwrap();
    let id = JobId::new(candidate(recording(0)).wav.unwrap().hash(), &identity());
    assert_eq!(store.begin_attempt(&id, "a").await.unwrap(), Some(1));
    assert_eq!(store.begin_attempt(&id, "b").await.unwrap(), Some(2));
    store.return_attempt(&id).await.unwrap();
    assert_eq!(store.begin_attempt(&id, "c").await.unwrap(), Some(2));
    assert!(store.store_result(&id, b"first", true).await.unwrap());
    assert!(!store.store_result(&id, b"second", false).await.unwrap());
    assert_eq!(store.begin_attempt(&id, "d").await.unwrap(), None);
    let ids = [id.to_string()];
    let rows = store.find_rows(&ids).await.unwrap();
    assert_eq!(
        (rows.len(), rows[0].result.as_deref(), rows[0].worker.as_str()),
        (1, Some(&b"first"[..]), "c")
    );
    // A failure is valid for a while, then the job is repeated.
    store.delete_old_failures(&ids, Duration::from_mins(1)).await.unwrap();
    assert_eq!(store.find_rows(&ids).await.unwrap().len(), 1);
    store.delete_old_failures(&ids, Duration::ZERO).await.unwrap();
    assert_eq!(store.find_rows(&ids).await.unwrap(), []);
    store.begin_attempt(&id, "e").await.unwrap();
    store.purge(Duration::from_mins(1)).await.unwrap();
    assert_eq!(store.find_rows(&ids).await.unwrap().len(), 1);
}
