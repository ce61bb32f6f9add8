//! An in-process gateway and miners.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use axum::Router;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use taonet_babelbit_core::arena_api::{Submission, SubmissionResponse};
use taonet_babelbit_core::protocol::InitRequest;
use taonet_wallet::Keypair;
use tempfile::TempDir;
use url::Url;

use super::{ArenaGateway, ArenaGatewayConfig, Members, SubmitError, submit};
use taonet_babelbit_miner::MinerConfig;
use taonet_babelbit_miner::profile::Parrot;
use taonet_babelbit_miner::server::{Miner, router, signed_requests};
use taonet_babelbit_runner::{AddressPolicy, MinerConnection, PredictCall};
use taonet_service::Clock;
use taonet_validator::testing::listen;

pub(crate) fn key(uri: &str) -> Keypair {
    Keypair::from_uri(uri).unwrap()
}

pub(crate) fn miner_key(uid: u16) -> Keypair {
    key(&format!("//miner//{uid}"))
}

pub(crate) fn config() -> ArenaGatewayConfig {
    ArenaGatewayConfig {
        policy: AddressPolicy::private(),
        ..ArenaGatewayConfig::new(Arc::new(key("//gateway")))
    }
}

/// The system's time plus an offset set by the test.
#[derive(Clone, Default)]
pub(crate) struct OffsetClock(Arc<AtomicU64>);

impl OffsetClock {
    pub(crate) fn clock(&self) -> Clock {
        let seconds = Arc::clone(&self.0);
        Arc::new(move || SystemTime::now() + Duration::from_secs(seconds.load(Ordering::SeqCst)))
    }

    pub(crate) fn advance(&self, time: Duration) {
        self.0.fetch_add(time.as_secs(), Ordering::SeqCst);
    }
}

/// A gateway on a loopback port.
pub(crate) struct RunningGateway {
    pub(crate) gateway: ArenaGateway,
    pub(crate) router: Router,
    pub(crate) url: Url,
    pub(crate) directory: TempDir,
}

impl RunningGateway {
    pub(crate) async fn start(config: ArenaGatewayConfig) -> Self {
        Self::with_members(config, None).await
    }

    pub(crate) async fn with_members(config: ArenaGatewayConfig, members: Option<Members>) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let gateway = ArenaGateway::open(config, directory.path(), false, members).await.unwrap();
        let router = gateway.router();
        let url = listen(router.clone()).await;
        Self { gateway, router, url, directory }
    }

    pub(crate) async fn submit(
        &self,
        uid: u16,
        endpoint: &str,
    ) -> Result<SubmissionResponse, SubmitError> {
        let submission = Submission { endpoint_url: endpoint.to_owned(), uid };
        submit(&self.url, None, &miner_key(uid), &submission).await
    }
}

/// Starts a miner that echoes its input, on a loopback port.
pub(crate) async fn parrot(uid: u16) -> Url {
    let config = MinerConfig::default();
    let signed = signed_requests(miner_key(uid).hotkey(), &config).build();
    listen(router(Arc::new(Miner::new(config, Arc::new(Parrot))), signed)).await
}

pub(crate) fn init(utterance: u32) -> InitRequest {
    InitRequest::new("c1", format!("c1:{utterance}"), Some("fr".into()), 1)
}

/// Returns the base64 of the frame with this number; all frames differ.
pub(crate) fn frame_b64(number: u16) -> String {
    let sample = f32::from(number + 1) / 65_536.0;
    let bytes: Vec<u8> = std::iter::repeat_n(sample.to_le_bytes(), 1_920).flatten().collect();
    BASE64_STANDARD.encode(bytes)
}

pub(crate) fn frame(session: &str, number: u16, is_last: bool) -> PredictCall {
    PredictCall {
        session_id: session.into(),
        audio_b64: frame_b64(number).into(),
        in_eos: is_last,
        max_response_bytes: 1 << 20,
    }
}

/// Plays an utterance to an echoing miner, which must echo each frame once.
pub(crate) async fn play(miner: &dyn MinerConnection, utterance: u32, frames: u16) {
    let limit = Duration::from_secs(10);
    let session = miner.init(init(utterance), limit).await.unwrap().session_id;
    for number in 0..frames {
        let is_last = number + 1 == frames;
        let answer = miner.predict(frame(&session, number, is_last), limit).await.unwrap();
        assert!(answer.audio_b64 == frame_b64(number), "frame {number} of utterance {utterance}");
        assert_eq!(answer.out_eos, is_last);
    }
}
