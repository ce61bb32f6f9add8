//! Test fixtures: results queued for submission, and a faulty proxy in front of a service.
#![allow(
    missing_docs,
    clippy::indexing_slicing,
    clippy::missing_panics_doc,
    clippy::must_use_candidate,
    clippy::new_without_default,
    clippy::panic,
    clippy::unwrap_used,
    reason = "helpers of tests"
)]

use std::net::SocketAddr;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde_json::json;
use taonet_babelbit_core::records::ChallengeType;
use taonet_babelbit_core::submission_api::ResultFile;
use taonet_primitives::{Hotkey, Uid};
use taonet_service::Shutdown;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use url::Url;

use super::{Outbox, OutboxSettings};
use crate::files::Layout;
use crate::{ChallengeRow, Ledger, NewChallenge, RunPaths, WrittenFiles};
use taonet_babelbit_core::records::MinerKey;
use taonet_objects::ObjectStorage;
use taonet_validator::testing::key;

/// Written result files of some miners in the challenge `c`, all queued in the outbox.
pub struct Results {
    pub folder: TempDir,
    pub ledger: Arc<Ledger>,
    pub challenge: ChallengeRow,
}

pub fn miner(number: u16) -> MinerKey {
    let [high, low] = number.to_be_bytes();
    let mut bytes = [7; 32];
    (bytes[0], bytes[1]) = (high, low);
    MinerKey { uid: Uid(number), hotkey: Hotkey::from_bytes(bytes) }
}

pub fn written_files(name: &str) -> WrittenFiles {
    WrittenFiles { run_sha256: name.to_owned(), score_method: "semantic_audio_v1".to_owned() }
}

impl Results {
    pub async fn new(miners: u16) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let ledger = Arc::new(Ledger::open(&folder.path().join("state")).await.unwrap());
        let challenge = ledger.begin(&challenge("c", ChallengeType::Main)).await.unwrap();
        let results = Self { folder, ledger, challenge };
        results.add(0..miners).await;
        results
    }

    /// Writes and queues the files of further miners.
    pub async fn add(&self, miners: Range<u16>) {
        for number in miners {
            for file in ResultFile::SPEECH_FILES {
                let path = self.path(file, number);
                std::fs::create_dir_all(path.parent().unwrap()).unwrap();
                std::fs::write(path, Results::content(file, number)).unwrap();
            }
            self.ledger
                .enqueue(&self.challenge, miner(number), &written_files("run"), true)
                .await
                .unwrap();
        }
    }

    /// Waits until this many files are delivered; fails if one is refused.
    pub async fn wait_for_deliveries(&self, files: u64) {
        let start = Instant::now();
        loop {
            let counts = self.ledger.outbox_counts().await.unwrap();
            assert_eq!(counts.refused, 0);
            if counts.delivered == files {
                return;
            }
            assert!(start.elapsed() < Duration::from_mins(2), "{counts:?}");
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    /// Runs an outbox until the files of `miners` miners are delivered. `inject_fault` injects a
    /// fault after half of the deliveries.
    pub async fn deliver_through(
        outbox: Outbox,
        results: &Self,
        miners: u16,
        inject_fault: impl AsyncFnOnce(),
    ) {
        let shutdown = Shutdown::new();
        let scenario = async {
            results.wait_for_deliveries(u64::from(miners / 2) * 4).await;
            inject_fault().await;
            results.wait_for_deliveries(u64::from(miners) * 4).await;
            shutdown.request();
        };
        tokio::join!(outbox.run(&shutdown), scenario);
    }

    pub fn paths(&self) -> RunPaths {
        RunPaths::in_directory(self.folder.path())
    }

    pub fn path(&self, file: ResultFile, number: u16) -> PathBuf {
        Layout::new(&self.paths(), &self.challenge).result_file(file, miner(number))
    }

    /// Returns content of about the size of a real run's file; the audio is smaller.
    pub fn content(file: ResultFile, number: u16) -> Vec<u8> {
        match file {
            ResultFile::Audio => {
                (0..100_000_u32).map(|index| (index * 7 + u32::from(number)) as u8).collect()
            }
            ResultFile::ChallengeScore => {
                let hotkey = miner(number).hotkey;
                let score = f64::from(number) / 1_000.0;
                json!({ "challenge_uid": "c", "miner_hotkey": hotkey, "challenge_mean_U": score })
                    .to_string()
                    .into()
            }
            _ => json!({ "challenge_uid": "c", "miner_uid": number, "é": "x".repeat(20_000) })
                .to_string()
                .into(),
        }
    }

    /// Returns settings with short backoff and a long drain timeout.
    pub fn settings(&self, api: &Url) -> OutboxSettings {
        OutboxSettings {
            timeout: Duration::from_secs(20),
            initial_backoff: Duration::from_millis(20),
            max_backoff: Duration::from_millis(200),
            drain_timeout: Duration::from_mins(2),
            ..OutboxSettings::new(api.clone(), self.paths())
        }
    }

    pub fn outbox(&self, api: &Url) -> Outbox {
        self.outbox_with(self.settings(api), None)
    }

    pub fn outbox_with(&self, settings: OutboxSettings, storage: Option<ObjectStorage>) -> Outbox {
        Outbox::new(Arc::clone(&self.ledger), Arc::new(key("//validator")), storage, settings)
            .unwrap()
    }
}

pub fn challenge(uid: &str, kind: ChallengeType) -> NewChallenge {
    NewChallenge {
        challenge_uid: uid.to_owned(),
        title: None,
        challenge_type: kind,
        run_timestamp: "20260101_120000".to_owned(),
        started_unix: 1_000,
        error: None,
        main_challenge_uid: (kind == ChallengeType::Solo).then(|| "c".to_owned()),
        reference: None,
        reference_source: None,
        utterances: Vec::new(),
    }
}

/// Fault that a proxy injects into a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// Forwards everything.
    None,
    /// Closes the connection immediately.
    Down,
    /// Accepts the connection, and never responds.
    HalfOpen,
    /// Sends a response one byte every 200 ms.
    Slow,
    /// Sends this response, and closes the connection.
    Response(String),
    /// Forwards the request but not the response: the outcome is unknown to the client.
    NoResponses,
}

/// A faulty proxy in front of a service.
pub struct FaultyProxy {
    pub url: Url,
    fault: watch::Sender<Fault>,
    faults: Arc<AtomicUsize>,
}

impl FaultyProxy {
    pub async fn start(service: &Url, fault: Fault) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap()).parse().unwrap();
        let upstream = service.socket_addrs(|| None).unwrap()[0];
        let (fault, fault_receiver) = watch::channel(fault);
        let faults = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&faults);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (mut fault_receiver, count) = (fault_receiver.clone(), Arc::clone(&count));
                tokio::spawn(async move {
                    let fault = fault_receiver.borrow_and_update().clone();
                    // A response counts once the client has it: the test may end the fault as soon
                    // as it counts.
                    let is_response = matches!(fault, Fault::Response(_));
                    if fault != Fault::None && !is_response {
                        count.fetch_add(1, Ordering::SeqCst);
                    }
                    tokio::select! {
                        () = forward_with_fault(stream, upstream, fault) => {
                            if is_response {
                                count.fetch_add(1, Ordering::SeqCst);
                            }
                        }
                        // Open connections are closed when the fault changes.
                        _ = fault_receiver.changed() => {}
                    }
                });
            }
        });
        Self { url, fault, faults }
    }

    pub fn set(&self, fault: Fault) {
        self.fault.send_replace(fault);
    }

    /// Returns the number of connections affected by faults.
    pub fn faults(&self) -> usize {
        self.faults.load(Ordering::SeqCst)
    }
}

async fn forward_with_fault(mut stream: TcpStream, upstream: SocketAddr, fault: Fault) {
    let mut buffer = vec![0; 1 << 16];
    match fault {
        Fault::Down => {}
        Fault::HalfOpen => std::future::pending().await,
        Fault::Slow => {
            for byte in b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}" {
                tokio::time::sleep(Duration::from_millis(200)).await;
                let _ = stream.write_all(&[*byte]).await;
            }
        }
        Fault::Response(response) => {
            let _ = stream.read(&mut buffer).await;
            let _ = stream.write_all(response.as_bytes()).await;
            let _ = stream.shutdown().await;
            // Reads the remaining input, so that the response is not lost to a reset.
            while stream.read(&mut buffer).await.is_ok_and(|read| read > 0) {}
        }
        Fault::None => {
            let mut service = TcpStream::connect(upstream).await.unwrap();
            let _ = copy_bidirectional(&mut stream, &mut service).await;
        }
        Fault::NoResponses => {
            let mut service = TcpStream::connect(upstream).await.unwrap();
            let (mut reader, mut writer) = stream.split();
            let (mut responses, mut requests) = service.split();
            tokio::select! {
                _ = tokio::io::copy(&mut reader, &mut requests) => {}
                _ = responses.read(&mut buffer) => {}
            }
            let _ = writer.shutdown().await;
        }
    }
}
