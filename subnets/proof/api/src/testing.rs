//! A validator with one miner, for tests.

use std::sync::Arc;
use std::time::Duration;

use taonet_http::{ServeLimits, serve};
use taonet_proof_circuits::{Catalogue, CircuitDirectory, Compiled, ShippedModel};
use taonet_proof_core::Digest;
use taonet_proof_miner::{Behaviour, Miner, MinerSettings, router, signed_requests};
use taonet_proof_validator::{Examiner, ExaminerSettings, ProofMiner, ScoreStore, Wire};
use taonet_service::{Shutdown, system_clock};
use taonet_wallet::Keypair;
use taonet_wire::{BtauthScheme, ClientConfig, Peer, SignedClient, Signer};
use tempfile::TempDir;
use tokio::net::TcpListener;

/// A validator with one listed miner, which serves one model.
pub(crate) struct TestValidator {
    pub(crate) examiner: Arc<Examiner>,
    /// The model as one circuit.
    pub(crate) circuit: Digest,
    /// The same model in two slices.
    pub(crate) model: Digest,
    pub(crate) stop: Shutdown,
    pub(crate) work_directory: TempDir,
}

impl TestValidator {
    pub(crate) async fn start(behaviour: Behaviour) -> Self {
        Self::start_with(behaviour, None).await
    }

    /// Starts a validator that serves another circuit, too.
    pub(crate) async fn start_with(behaviour: Behaviour, other: Option<&Compiled>) -> Self {
        let work_directory = tempfile::tempdir().unwrap();
        let (circuits, stop) = (work_directory.path().join("circuits"), Shutdown::new());
        let model = ShippedModel::DiabetesRegression;
        let directory =
            CircuitDirectory::create(&circuits.join("whole"), &model.compile("stark").unwrap())
                .unwrap();
        let sliced = model.compile_slices("stark", 2).unwrap();
        sliced.write(&circuits.join("sliced")).unwrap();
        if let Some(other) = other {
            CircuitDirectory::create(&circuits.join("other"), other).unwrap();
        }
        let catalogue = Catalogue::open(&circuits).unwrap();

        let bob = Keypair::from_uri("//Bob").unwrap().hotkey();
        let miner = MinerSettings { behaviour, concurrency: 4, ..MinerSettings::new(bob) };
        let routes = signed_requests(bob, Duration::from_mins(3)).build();
        let routes = router(Miner::load(&catalogue, miner).unwrap(), routes);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let peer = Peer::new(bob, "127.0.0.1", listener.local_addr().unwrap().port()).unwrap();
        let stop_signal = stop.clone();
        stop.spawn("miner", async move {
            serve(listener, routes, &stop_signal, ServeLimits::default()).await;
        });

        let score_store =
            Arc::new(ScoreStore::open(&work_directory.path().join("scores")).await.unwrap());
        let signer =
            Signer::new(Keypair::from_uri("//Alice").unwrap(), "127.0.0.1", BtauthScheme::new());
        let config = ClientConfig { max_response_bytes: 40 << 20, ..ClientConfig::default() };
        let client = SignedClient::new(signer, config).unwrap();
        let examiner = Examiner::load(
            &catalogue,
            client,
            score_store,
            ExaminerSettings::default(),
            system_clock(),
        )
        .unwrap();
        let examiner = Arc::new(examiner);
        examiner.follow_miners(&[ProofMiner { peer, wire: Wire::Http }]).await;
        let (circuit, model) = (directory.id(), sliced.model.id().unwrap());
        Self { examiner, circuit, model, stop, work_directory }
    }
}
