//! The scoring API as a process, killed at random times during submissions.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use serde_json::{Value, json};
use taonet_babelbit_core::records::ChallengeType;
use taonet_babelbit_core::records::MinerKey;
use taonet_babelbit_core::scoring_api::Contest;
use taonet_babelbit_runner::submission::{Outbox, OutboxSettings};
use taonet_babelbit_runner::{ChallengeRow, Ledger, NewChallenge, RunPaths, WrittenFiles};
use taonet_babelbit_scoring_api::ScoresClient;
use taonet_babelbit_scoring_api::server::Store;
use taonet_primitives::{Hotkey, Uid};
use taonet_service::Shutdown;
use taonet_wallet::Keypair;

use crate::support::{Daemon, bb, free_address, local_bb, refusal};

const KILLS: u16 = 50;
const TIMESTAMP: &str = "20260101_120000";

fn miner(number: u16) -> MinerKey {
    let [high, low] = number.to_be_bytes();
    let mut bytes = [7; 32];
    (bytes[0], bytes[1]) = (high, low);
    MinerKey { uid: Uid(number), hotkey: Hotkey::from_bytes(bytes) }
}

fn score(number: u16) -> f64 {
    f64::from(number) / 1_000.0
}

fn audio(number: u16) -> Vec<u8> {
    (0..50_000_u32).map(|index| (index * 7 + u32::from(number)) as u8).collect()
}

/// Writes a miner's result files like a runner.
fn write_results(folder: &Path, number: u16) {
    let MinerKey { uid, hotkey } = miner(number);
    let home = folder.join(format!("logs/s2s/c/main/miner_{uid}__hk_{hotkey}"));
    let scores = folder.join("scores");
    fs::create_dir_all(&home).unwrap();
    fs::create_dir_all(&scores).unwrap();
    let result =
        json!({ "challenge_uid": "c", "miner_hotkey": hotkey, "challenge_mean_U": score(number) });
    fs::write(
        home.join("run.json"),
        json!({ "miner_uid": uid, "text": "é".repeat(5_000) }).to_string(),
    )
    .unwrap();
    fs::write(home.join("audio.tar"), audio(number)).unwrap();
    for (kind, content) in [("run", json!({})), ("score", result)] {
        let name = format!("challenge_{kind}_c_type_main_miner_{uid}_{kind}_{TIMESTAMP}.json");
        fs::write(scores.join(name), content.to_string()).unwrap();
    }
}

/// Results in a ledger's outbox, and the running outbox.
struct Runner {
    folder: PathBuf,
    ledger: Arc<Ledger>,
    challenge: ChallengeRow,
    outbox: Arc<Outbox>,
}

impl Runner {
    async fn new(folder: &Path, address: &str) -> Self {
        let paths = RunPaths::in_directory(folder);
        let ledger = Arc::new(Ledger::open(&paths.state).await.unwrap());
        let challenge = NewChallenge {
            challenge_uid: "c".into(),
            title: None,
            challenge_type: ChallengeType::Main,
            run_timestamp: TIMESTAMP.into(),
            started_unix: 1_000,
            error: None,
            main_challenge_uid: None,
            reference: None,
            reference_source: None,
            utterances: Vec::new(),
        };
        let challenge = ledger.begin(&challenge).await.unwrap();
        let settings = OutboxSettings {
            initial_backoff: Duration::from_millis(20),
            max_backoff: Duration::from_millis(100),
            ..OutboxSettings::new(format!("http://{address}").parse().unwrap(), paths)
        };
        let keypair = Arc::new(Keypair::from_uri("//Alice").unwrap());
        let outbox = Arc::new(Outbox::new(Arc::clone(&ledger), keypair, None, settings).unwrap());
        Self { folder: folder.to_owned(), ledger, challenge, outbox }
    }

    async fn add(&self, number: u16) {
        write_results(&self.folder, number);
        let files = WrittenFiles {
            run_sha256: number.to_string(),
            score_method: "semantic_audio_v1".into(),
        };
        self.ledger.enqueue(&self.challenge, miner(number), &files, true).await.unwrap();
    }
}

fn scoring_api(state: &Path) -> Command {
    let mut api = local_bb();
    api.arg("scoring-api").arg("--state").arg(state);
    api
}

#[test]
fn fifty_kills_neither_lose_nor_duplicate_results() {
    let seed = std::env::var("TAONET_TEST_SEED")
        .map_or_else(|_| rand::random(), |seed| seed.parse().unwrap());
    println!("TAONET_TEST_SEED={seed} repeats these kill times");
    let mut random = StdRng::seed_from_u64(seed);
    let folder = tempfile::tempdir().unwrap();
    let (state, address) = (folder.path().join("api"), free_address());
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let runner = runtime.block_on(Runner::new(folder.path(), &address));
    let shutdown = Shutdown::new();
    let (outbox, stop) = (Arc::clone(&runner.outbox), shutdown.clone());
    let outbox_task = runtime.spawn(async move { outbox.run(&stop).await });
    let start = Instant::now();
    for round in 0..KILLS {
        let api = Daemon::start_at(&mut scoring_api(&state), &address);
        for number in 0..4 {
            runtime.block_on(runner.add(round * 4 + number));
        }
        std::thread::sleep(Duration::from_millis(random.random_range(0..150)));
        // Dropping a daemon kills it.
        drop(api);
    }
    let submitted = || runtime.block_on(runner.ledger.outbox_counts()).unwrap();
    println!("{KILLS} kills in {:?}; before the last start {:?}", start.elapsed(), submitted());
    let api = Daemon::start_at(&mut scoring_api(&state), &address);
    let start = Instant::now();
    while submitted().waiting > 0 {
        assert!(start.elapsed() < Duration::from_mins(2), "{:?}", submitted());
        std::thread::sleep(Duration::from_millis(20));
    }
    shutdown.request();
    runtime.block_on(outbox_task).unwrap();
    let miners = KILLS * 4;
    assert_eq!((submitted().delivered, submitted().refused), (u64::from(miners) * 4, 0));

    // Every miner has one score, every file is complete, and there are no others.
    let client = ScoresClient::new(
        &api.url().parse().unwrap(),
        Arc::new(Keypair::from_uri("//Bob").unwrap()),
    )
    .unwrap();
    let rows = runtime.block_on(client.rows("c", Some(Contest::Main))).unwrap();
    let actual: Vec<(Value, Value)> = rows
        .iter()
        .map(|row| (row["miner_uid"].clone(), row["challenge_mean_score"].clone()))
        .collect();
    let expected: Vec<_> =
        (0..miners).rev().map(|number| (json!(number), json!(score(number)))).collect();
    assert_eq!(actual, expected);
    assert_eq!(api.terminate().code(), Some(0));
    let database = format!("sqlite:{}", state.join("scoring.sqlite").display());
    let count =
        runtime.block_on(async { Store::open(&database).await.unwrap().count().await.unwrap() });
    assert_eq!(count, i64::from(miners) * 4);
    let bundles = state
        .join("artifacts/c/main")
        .join(Keypair::from_uri("//Alice").unwrap().hotkey().to_string());
    assert_eq!(fs::read_dir(&bundles).unwrap().count(), usize::from(miners));
    for number in 0..miners {
        let MinerKey { uid, hotkey } = miner(number);
        let bundles_of_miner =
            fs::read_dir(bundles.join(format!("miner_{uid}__hk_{hotkey}"))).unwrap();
        let bundles_of_miner: Vec<_> =
            bundles_of_miner.map(|file| fs::read(file.unwrap().path()).unwrap()).collect();
        // A kill between a file and its row leaves an orphaned file, which is deleted later.
        assert!(
            !bundles_of_miner.is_empty()
                && bundles_of_miner.iter().all(|bundle| *bundle == audio(number)),
            "{number}"
        );
    }
    assert_eq!(fs::read_dir(state.join("artifacts/.incoming")).unwrap().count(), 0);
}

/// arguments · variables · exit code · message
type Refusal<'a> = (&'a [&'a str], &'a [(&'a str, &'a str)], i32, &'a str);

#[test]
fn contradictory_options_are_refused_at_startup() {
    let folder = tempfile::tempdir().unwrap();
    let list = folder.path().join("validators");
    fs::write(
        &list,
        "# our validators\n\n5GrwvaEF5zXb26Fz9rcQpDWS57CtERHpNehXCPcNoHGKutQY # Alice\n5V\n",
    )
    .unwrap();
    let list = list.to_str().unwrap();
    #[rustfmt::skip]
    let table: [Refusal; 6] = [
        (&["--validators", "anyone"], &[], 2, "--validators anyone is allowed on the network `local` only"),
        (&["--validators", list], &[], 2, "line 4: expected a hotkey"),
        (&["--validators", "5V"], &[], 2, "--validators 5V: neither a hotkey nor a readable file"),
        (&["--artifacts-in-s3"], &[], 1, "S3_BUCKET_NAME is empty"),
        (&[], &[("DATABASE_URL", "mysql://x")], 2, "DATABASE_URL=mysql://x: expected postgres://"),
        (&[], &[("S3_SIGNATURE_VERSION", "s3v2")], 2, "S3_SIGNATURE_VERSION=s3v2: expected s3v4"),
    ];
    for (arguments, variables, code, text) in table {
        let mut api = bb();
        api.args(["scoring-api", "--listen", "127.0.0.1:0", "--state"])
            .arg(folder.path().join("state"));
        let output = api.args(arguments).envs(variables.iter().copied()).output().unwrap();
        let error = refusal(&output, code);
        assert!(error.contains(text), "{error}");
    }
}
