//! Miners in the same process as the runner, to measure the runner without a network.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures::FutureExt as _;
use futures::future::BoxFuture;
use taonet_babelbit_core::protocol::{InitRequest, InitResponse, PredictResponse};
use taonet_babelbit_core::records::MinerKey;
use taonet_babelbit_runner::{CallError, Miner, MinerConnection, PredictCall};
use taonet_primitives::{Hotkey, Uid};

/// A miner that returns every frame unchanged.
pub struct Echo {
    /// Time that the miner takes for each frame.
    pub delay: Duration,
    /// Value that replaces the first sample of the last frame, so that no two replies are the same;
    /// `None` keeps the sample.
    pub signature: Option<f32>,
}

impl Echo {
    /// Converts the echo to a runner's miner with this uid, from which its hotkey is derived.
    pub fn with_uid(self, uid: u16) -> Miner {
        let mut key = [0; 32];
        key[..2].copy_from_slice(&uid.to_le_bytes());
        let key = MinerKey { uid: Uid(uid), hotkey: Hotkey::from_bytes(key) };
        Miner { key, name: None, connection: Arc::new(self) }
    }

    fn reply(&self, call: &PredictCall) -> String {
        let signature = self.signature.filter(|_| call.in_eos);
        match signature.map(|signature| (signature, STANDARD.decode(&*call.audio_b64))) {
            Some((signature, Ok(mut sound))) => {
                if let Some(first) = sound.first_chunk_mut() {
                    *first = signature.to_le_bytes();
                }
                STANDARD.encode(sound)
            }
            _ => call.audio_b64.to_string(),
        }
    }
}

impl MinerConnection for Echo {
    fn init(
        &self,
        request: InitRequest,
        _: Duration,
    ) -> BoxFuture<'_, Result<InitResponse, CallError>> {
        let InitRequest { challenge_uid, utterance_id, language, dtype, channels, .. } = request;
        let response = InitResponse {
            ready: true,
            miner_id: None,
            session_id: utterance_id.clone(),
            challenge_uid,
            utterance_id,
            language,
            sample_rate_hz: request.sample_rate_hz,
            frame_rate_hz: request.frame_rate_hz,
            frame_samples: request.frame_samples,
            dtype,
            channels,
        };
        async move { Ok(response) }.boxed()
    }

    fn predict(
        &self,
        call: PredictCall,
        _: Duration,
    ) -> BoxFuture<'_, Result<PredictResponse, CallError>> {
        async move {
            if !self.delay.is_zero() {
                tokio::time::sleep(self.delay).await;
            }
            Ok(PredictResponse {
                session_id: call.session_id.to_string(),
                audio_b64: self.reply(&call),
                out_eos: call.in_eos,
                n_bytes: 0,
            })
        }
        .boxed()
    }
}
