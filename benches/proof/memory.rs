//! Memory of a validator with many miners: `cargo bench -p taonet-proof-validator --bench memory
//! [-- MINERS]`.
//!
//! The miners run in a child process, and the validator has as many requests in flight as there are
//! miners. It verifies every proof and stores bundles and scores on disk. The measurement ends when
//! each miner has two verified proofs.

// A failed measurement ends this process, and its child with it.
#![allow(missing_docs, clippy::print_stdout, clippy::zombie_processes)]

use std::error::Error;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use taonet_http::{ServeLimits, serve};
use taonet_proof_circuits::{Catalogue, CircuitDirectory, ShippedModel};
use taonet_proof_miner::{Miner, MinerSettings, router, signed_requests};
use taonet_proof_validator::{Examiner, ExaminerSettings, ProofMiner, ScoreStore, Wire};
use taonet_service::{Shutdown, system_clock};
use taonet_wallet::Keypair;
use taonet_wire::{BtauthScheme, ClientConfig, Peer, SignedClient, Signer};
use tokio::net::TcpListener;
use tokio::sync::watch;

/// Default number of miners.
const DEFAULT_MINERS: usize = 200;
/// Number of verified proofs of each miner after which the measurement ends.
const PROOFS: u64 = 2;
/// Timeout of a request: all miners share the cores of this machine.
const TIMEOUT: Duration = Duration::from_mins(10);
/// Argument of the child process.
const CHILD: &str = "--serve-miners";

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> =
        std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    if let [mode, directory, miners] = &arguments[..]
        && mode == CHILD
    {
        // Few proofs at a time: the memory of the miners is not measured.
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .enable_all()
            .max_blocking_threads(2)
            .build()?;
        return runtime.block_on(serve_miners(Path::new(directory), miners.parse()?));
    }
    let miners = arguments.first().map_or(Ok(DEFAULT_MINERS), |miners| miners.parse())?;
    tokio::runtime::Runtime::new()?.block_on(measure(miners))
}

fn key(number: usize) -> Result<Keypair, Box<dyn Error>> {
    Ok(Keypair::from_uri(&format!("//miner/{number}"))?)
}

/// Serves miners until standard input ends. Prints one port per line.
async fn serve_miners(circuits: &Path, miners: usize) -> Result<(), Box<dyn Error>> {
    let catalogue = Catalogue::open(circuits)?;
    let stop = Shutdown::new();
    let first = Miner::load(&catalogue, MinerSettings::new(key(0)?.hotkey()))?;
    for number in 0..miners {
        let hotkey = key(number)?.hotkey();
        let miner =
            first.with_settings(MinerSettings { timeout: TIMEOUT, ..MinerSettings::new(hotkey) });
        let routes = router(miner, signed_requests(hotkey, TIMEOUT).build());
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let mut output = std::io::stdout().lock();
        writeln!(output, "{}", listener.local_addr()?.port())?;
        output.flush()?;
        let shutdown = stop.clone();
        stop.spawn("miner", async move {
            serve(listener, routes, &shutdown, ServeLimits::default()).await;
        });
    }
    let mut remaining = Vec::new();
    tokio::task::spawn_blocking(move || std::io::stdin().read_to_end(&mut remaining)).await??;
    Ok(())
}

async fn measure(count: usize) -> Result<(), Box<dyn Error>> {
    let folder = tempfile::tempdir()?;
    let circuits = folder.path().join("circuits");
    let model = ShippedModel::DigitsMlp;
    CircuitDirectory::create(&circuits.join("mlp"), &model.compile("stark")?)?;
    let catalogue = Catalogue::open(&circuits)?;
    let mut child = Command::new(std::env::current_exe()?)
        .args([CHILD, &circuits.display().to_string(), &count.to_string()])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    let ports = BufReader::new(child.stdout.take().ok_or("the child has no output")?);
    let mut miners = Vec::new();
    for (number, port) in ports.lines().take(count).enumerate() {
        let peer = Peer::new(key(number)?.hotkey(), "127.0.0.1", port?.parse()?)?;
        miners.push(ProofMiner { peer, wire: Wire::Http });
    }
    assert_eq!(miners.len(), count, "every miner listens");
    let score_store = Arc::new(ScoreStore::open(&folder.path().join("scores")).await?);
    let signer = Signer::new(Keypair::from_uri("//Alice")?, "127.0.0.1", BtauthScheme::new());
    let client = SignedClient::new(
        signer,
        ClientConfig { max_response_bytes: 40 << 20, ..ClientConfig::default() },
    )?;
    let settings = ExaminerSettings {
        interval: Duration::from_millis(1),
        timeout: TIMEOUT,
        requests: count,
        bundles: Some(folder.path().to_owned()),
        ..ExaminerSettings::default()
    };
    let examiner = Arc::new(Examiner::load(
        &catalogue,
        client,
        Arc::clone(&score_store),
        settings,
        system_clock(),
    )?);
    let idle = memory("VmRSS")?;
    let (start, shutdown) = (Instant::now(), Shutdown::new());
    let (_miners_sender, miners_receiver) = watch::channel(miners);
    let (task_examiner, task_shutdown) = (Arc::clone(&examiner), shutdown.clone());
    let run = tokio::spawn(async move { task_examiner.run(miners_receiver, &task_shutdown).await });
    let proven = || {
        score_store
            .read(|board| board.tallies().values().filter(|tally| tally.verified >= PROOFS).count())
    };
    while proven() < count {
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    let seconds = start.elapsed().as_secs_f64();
    let (verified, faults) = score_store.read(|board| {
        let tallies = || board.tallies().values();
        let faults: u64 = tallies().flat_map(|tally| tally.faults.values()).sum();
        (tallies().map(|tally| tally.verified).sum::<u64>(), faults)
    });
    let (now, highest) = (memory("VmRSS")?, memory("VmHWM")?);
    run.abort();
    child.kill()?;
    child.wait()?;
    println!(
        "{count} miners: {verified} proofs verified and {faults} requests failed in {seconds:.0} s"
    );
    println!(
        "resident memory of the validator: {idle} MB idle, {now} MB at the end, {highest} MB at most"
    );
    Ok(())
}

/// Returns the value of `name`, such as `VmRSS`, in `/proc/self/status`, in megabytes.
fn memory(name: &str) -> Result<u64, Box<dyn Error>> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    let kibibytes: u64 = line
        .and_then(|line| line.split_whitespace().next())
        .ok_or_else(|| format!("/proc/self/status has no {name}"))?
        .parse()?;
    Ok(kibibytes * 1024 / 1_000_000)
}
