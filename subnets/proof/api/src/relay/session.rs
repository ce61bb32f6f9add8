//! One connection to the relay.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use futures::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use taonet_proof_core::Digest;
use taonet_proof_core::messages::input_of;
use taonet_proof_core::query;
use taonet_proof_lm::ProofBundle;
use tokio::net::TcpStream;
use tokio::sync::mpsc::{Receiver, Sender};
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async_tls_with_config};

use super::frame::{Challenge, Frame, FrameKind, Request, StatusRequest, encode};
use super::{OutgoingMessage, Relay, SessionEnd, SessionError, tensor};
use crate::{Job, Status, Submission};

/// Maximum size of a message in bytes, as in the reference's relay. Only a tensor can be that
/// large; see [`MAX_JSON_BYTES`](super::frame::MAX_JSON_BYTES).
const MAX_MESSAGE_BYTES: usize = 128 << 20;
/// Timeout of a connection attempt, and of each authentication step.
const AUTH_TIMEOUT: Duration = Duration::from_secs(10);
const PING_INTERVAL: Duration = Duration::from_secs(30);
/// Timeout of the relay's pong, and of each write.
const PONG_TIMEOUT: Duration = Duration::from_mins(2);
/// Close code of a connection that a newer one of the same hotkey replaced.
const SUPERSEDED_CODE: u16 = 4_000;
/// Permitted lengths of a challenge. The payload of an extrinsic ends with two block hashes and two
/// versions, 72 bytes; a payload above 256 bytes is signed as its hash of [`HASH_BYTES`].
/// Therefore, challenges of all other permitted lengths cannot be extrinsics.
const CHALLENGE_BYTES: std::ops::RangeInclusive<usize> = 16..=64;
/// Length of a challenge that may be the hash of an extrinsic's payload.
const HASH_BYTES: usize = 32;

/// Codes of the relay protocol's error frames.
const BUSY_CODE: i32 = 20;
const NO_SUCH_RUN_CODE: i32 = 11;
const INVALID_PARAMS_CODE: i32 = -32_602;

/// Name of the owner under which the relay's proofs are stored in [`Jobs`].
const OWNER: &str = "relay";

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// Reason why a request is refused.
enum Refusal {
    /// Refused with an error frame: code and message.
    ErrorFrame(i32, String),
    /// Refused in a regular reply, with this text as its `error`.
    ReplyError(String),
}

impl Relay {
    /// Connects, authenticates, and serves until the connection ends.
    pub(super) async fn run_session(
        self: &Arc<Self>,
        session: u64,
        outbound: &Sender<OutgoingMessage>,
        queue: &mut Receiver<OutgoingMessage>,
        is_authenticated: &mut bool,
    ) -> Result<SessionEnd, SessionError> {
        let config = WebSocketConfig::default()
            .max_message_size(Some(MAX_MESSAGE_BYTES))
            .max_frame_size(Some(MAX_MESSAGE_BYTES));
        let connect = connect_async_tls_with_config(
            self.url.clone(),
            Some(config),
            true,
            Some(self.connector.clone()),
        );
        let (mut socket, _) = timeout(AUTH_TIMEOUT, connect)
            .await
            .map_err(|_| SessionError::Timeout("no connection", AUTH_TIMEOUT))??;
        self.authenticate(&mut socket).await?;
        *is_authenticated = true;
        tracing::info!(relay = %self.url, "connected to the relay");
        let mut pings = interval(PING_INTERVAL);
        pings.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut last_pong = Instant::now();
        loop {
            tokio::select! {
                message = socket.next() => match message {
                    Some(Ok(Message::Binary(bytes))) => match Frame::decode(&bytes) {
                        Ok(frame) => {
                            if let Some(reply) = self.handle_frame(frame, session, outbound) {
                                send(&mut socket, reply).await?;
                            }
                        }
                        Err(error) => tracing::warn!(relay = %self.url, %error, "ignored a malformed message"),
                    },
                    Some(Ok(Message::Pong(_))) => last_pong = Instant::now(),
                    Some(Ok(Message::Close(close))) => {
                        let is_superseded =
                            close.is_some_and(|close| u16::from(close.code) == SUPERSEDED_CODE);
                        return Ok(if is_superseded {
                            SessionEnd::Superseded
                        } else {
                            SessionEnd::Closed
                        });
                    }
                    Some(Ok(_)) => {}
                    Some(Err(error)) => return Err(error.into()),
                    None => return Ok(SessionEnd::Closed),
                },
                Some(outgoing) = queue.recv() => {
                    if outgoing.session.is_none_or(|target_session| target_session == session) {
                        send(&mut socket, outgoing.bytes).await?;
                    }
                }
                _ = pings.tick() => {
                    if last_pong.elapsed() > PONG_TIMEOUT {
                        return Err(SessionError::Timeout("no pong", PONG_TIMEOUT));
                    }
                    socket.send(Message::Ping(Vec::new().into())).await?;
                }
            }
        }
    }

    async fn authenticate(&self, socket: &mut Socket) -> Result<(), SessionError> {
        let message = receive(socket).await?;
        let challenge = match Frame::decode(&message)? {
            frame if frame.kind == FrameKind::AuthChallenge => frame.json::<Challenge>()?,
            _ => return Err(SessionError::Authentication("the relay sent no challenge")),
        };
        let challenge = BASE64
            .decode(challenge.challenge)
            .ok()
            .filter(|bytes| CHALLENGE_BYTES.contains(&bytes.len()));
        let challenge = challenge
            .ok_or(SessionError::Authentication("the challenge is not 16 to 64 bytes in base64"))?;
        if challenge.len() == HASH_BYTES && !self.is_trusted {
            let reason = "a challenge of 32 bytes could be a transaction's hash; hint: --trust-relay allows it";
            return Err(SessionError::Authentication(reason));
        }
        let signature = hex::decode(self.signer.sign(&challenge).to_bare_hex()).unwrap_or_default();
        let response =
            json!({ "ss58": self.signer.hotkey(), "signature": BASE64.encode(signature) });
        send(socket, encode(FrameKind::AuthResponse, 0, &response)).await?;
        let message = receive(socket).await?;
        match Frame::decode(&message)?.kind {
            FrameKind::AuthSuccess => Ok(()),
            _ => Err(SessionError::Authentication("the relay refused the signature")),
        }
    }

    /// Handles a request of the relay; returns the reply, or `None` if there is none or it is sent
    /// later.
    fn handle_frame(
        self: &Arc<Self>,
        frame: Frame<'_>,
        session: u64,
        outbound: &Sender<OutgoingMessage>,
    ) -> Option<Vec<u8>> {
        let (kind, result) = match frame.kind {
            FrameKind::Submit => (FrameKind::SubmitResult, self.submit(frame, outbound)),
            FrameKind::StatusRequest => (FrameKind::StatusResult, self.run_status(frame)),
            FrameKind::ProofRequest => match self.prove(frame, session, outbound) {
                Ok(()) => return None,
                Err(refusal) => (FrameKind::ProofResult, Err(refusal)),
            },
            other => {
                tracing::warn!(relay = %self.url, kind = ?other, "ignored a message of an unexpected type");
                return None;
            }
        };
        let (kind, payload) = match result {
            Ok(payload) => (kind, payload),
            Err(Refusal::ErrorFrame(code, message)) => {
                (FrameKind::Error, json!({ "code": code, "message": message }))
            }
            Err(Refusal::ReplyError(error)) if kind == FrameKind::ProofResult => {
                (kind, json!({ "success": false, "error": error }))
            }
            Err(Refusal::ReplyError(error)) => (kind, json!({ "error": error })),
        };
        (frame.id != 0).then(|| encode(kind, frame.id, &payload))
    }

    /// Starts a run. Its end is announced with [`FrameKind::BatchDone`].
    fn submit(
        self: &Arc<Self>,
        frame: Frame<'_>,
        outbound: &Sender<OutgoingMessage>,
    ) -> Result<Value, Refusal> {
        let (request, tensor) = frame
            .submission()
            .map_err(|error| Refusal::ErrorFrame(INVALID_PARAMS_CODE, error.to_string()))?;
        let (circuit, slices, inputs) = self.parse_request(&request, tensor)?;
        let (run, job) = self.start_run(circuit, inputs)?;
        let outbound = outbound.clone();
        tokio::spawn(async move {
            let batch_result = if let Status::Failed(_) | Status::Interrupted(_) =
                job.wait_until_finished().await
            {
                let failed = job.unproven_slices(slices);
                json!({ "run_uid": run, "circuit_id": circuit, "status": "partial", "failed_slices": failed })
            } else {
                json!({ "run_uid": run, "circuit_id": circuit, "status": "completed" })
            };
            // The receiver is gone only during shutdown.
            let _ = outbound
                .send(OutgoingMessage {
                    session: None,
                    bytes: encode(FrameKind::BatchDone, 0, &batch_result),
                })
                .await;
        });
        // Slices are not divided into tiles.
        Ok(
            json!({ "run_uid": run, "status": "started", "total_slices": slices, "total_tiles": slices }),
        )
    }

    /// Returns the status of a run. A final status is returned once.
    fn run_status(&self, frame: Frame<'_>) -> Result<Value, Refusal> {
        let request: StatusRequest = frame
            .json()
            .map_err(|error| Refusal::ErrorFrame(INVALID_PARAMS_CODE, error.to_string()))?;
        let run = request.run_uid.parse().ok();
        let run_and_job = run.and_then(|run| Some((run, self.jobs.get(OWNER, &run)?)));
        let (run, job) = run_and_job
            .ok_or_else(|| Refusal::ErrorFrame(NO_SUCH_RUN_CODE, "run not found".to_owned()))?;
        let status = match job.status() {
            Status::Running => return Ok(json!({ "run_uid": run, "status": "processing" })),
            Status::Done(finished) => {
                let output = finished
                    .bundle
                    .proofs()
                    .last()
                    .map(taonet_proof_circuits::Bundle::real_outputs);
                json!({ "run_uid": run, "status": "complete", "output": output })
            }
            Status::Interrupted(error) => {
                json!({ "run_uid": run, "status": "partial", "error": error })
            }
            Status::Failed(error) => {
                let slices = self.slices(&job.circuit).unwrap_or(1);
                let failed = job.unproven_slices(slices);
                json!({ "run_uid": run, "status": "partial", "failed_slices": failed, "error": error })
            }
        };
        self.jobs.forget(&run);
        Ok(status)
    }

    /// Starts a proof of one circuit. The reply is sent when the proof ends.
    fn prove(
        self: &Arc<Self>,
        frame: Frame<'_>,
        session: u64,
        outbound: &Sender<OutgoingMessage>,
    ) -> Result<(), Refusal> {
        let request: Request = frame
            .json()
            .map_err(|error| Refusal::ErrorFrame(INVALID_PARAMS_CODE, error.to_string()))?;
        let (circuit, _, inputs) = self.parse_request(&request, None)?;
        let (run, job) = self.start_run(circuit, inputs)?;
        let (relay, outbound, id) = (Arc::clone(self), outbound.clone(), frame.id);
        tokio::spawn(async move {
            let result = match job.wait_until_finished().await {
                Status::Done(finished) => proof_reply(&finished.bundle),
                Status::Failed(error) => json!({ "success": false, "error": error }),
                Status::Interrupted(error) => json!({ "success": false, "error": error }),
                Status::Running => return,
            };
            relay.jobs.forget(&run);
            if id != 0 {
                // The receiver is gone only during shutdown.
                let bytes = encode(FrameKind::ProofResult, id, &result);
                let _ = outbound.send(OutgoingMessage { session: Some(session), bytes }).await;
            }
        });
        Ok(())
    }

    /// Returns the model of a request, its number of slices, and the inputs.
    fn parse_request(
        &self,
        request: &Request,
        tensor: Option<&[u8]>,
    ) -> Result<(Digest, usize, Vec<i64>), Refusal> {
        let examiner = self.jobs.examiner();
        let circuit: Option<Digest> = request.circuit_id.parse().ok();
        let model = circuit.and_then(|circuit| examiner.served().find(|model| model.id == circuit));
        let model = model.ok_or_else(|| {
            Refusal::ReplyError(format!("circuit {} is not served", request.circuit_id))
        })?;
        let circuit = model.id;
        let inputs = if let Some(bytes) = tensor {
            tensor::decode_integers(bytes, model.input).map_err(|error| error.to_string())
        } else {
            let inputs = request.inputs.as_ref().and_then(input_of).and_then(query::integers);
            inputs.ok_or_else(|| "inputs: expected a list of integers, or a tensor".to_owned())
        };
        let inputs = inputs.map_err(|error| Refusal::ErrorFrame(INVALID_PARAMS_CODE, error))?;
        examiner
            .check_inputs(&circuit, &inputs)
            .map_err(|error| Refusal::ErrorFrame(INVALID_PARAMS_CODE, error.to_string()))?;
        Ok((circuit, model.slices, inputs))
    }

    fn start_run(&self, circuit: Digest, inputs: Vec<i64>) -> Result<(Digest, Arc<Job>), Refusal> {
        let busy_error =
            || Refusal::ErrorFrame(BUSY_CODE, "Server busy, try again later".to_owned());
        let run = self
            .jobs
            .start(OWNER, circuit, Submission::Inputs(inputs))
            .map_err(|_| busy_error())?;
        Ok((run, self.jobs.get(OWNER, &run).ok_or_else(busy_error)?))
    }

    fn slices(&self, circuit: &Digest) -> Option<usize> {
        self.jobs.examiner().served().find(|model| model.id == *circuit).map(|model| model.slices)
    }
}

/// Returns the reply to a proof request. The bundle in it can be verified offline; proof and
/// signals alone need the verification key.
fn proof_reply(bundle: &ProofBundle) -> Value {
    match bundle.proofs().last() {
        Some(last) => {
            let signals = last.inputs.iter().chain(&last.outputs).collect::<Vec<_>>();
            json!({ "success": true, "proof": last.proof, "public_signals": signals, "bundle": bundle })
        }
        None => json!({ "success": false, "error": "no proof" }),
    }
}

async fn send(socket: &mut Socket, bytes: Vec<u8>) -> Result<(), SessionError> {
    let result = timeout(PONG_TIMEOUT, socket.send(Message::Binary(bytes.into()))).await;
    Ok(result.map_err(|_| SessionError::Timeout("cannot send a message", PONG_TIMEOUT))??)
}

/// Receives the next binary message during authentication.
async fn receive(socket: &mut Socket) -> Result<Vec<u8>, SessionError> {
    let next_binary = async {
        while let Some(message) = socket.next().await {
            match message? {
                Message::Binary(bytes) => return Ok(bytes.into()),
                Message::Ping(_) | Message::Pong(_) => {}
                _ => break,
            }
        }
        Err(SessionError::Authentication("the relay closed the connection"))
    };
    timeout(AUTH_TIMEOUT, next_binary)
        .await
        .map_err(|_| SessionError::Timeout("no response", AUTH_TIMEOUT))?
}
