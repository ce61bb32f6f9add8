//! Probe of a miner: plays one utterance as a validator does, and sends requests that must be
//! refused.

mod text;
mod wire;

use std::pin::pin;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};
use taonet_babelbit_core::protocol::{
    DTYPE, FRAME_RATE_HZ, FRAME_SAMPLES, SAMPLE_BYTES, SAMPLE_RATE_HZ,
};
use taonet_primitives::{counted, page_text};
use tokio::time::{Instant, timeout};

use super::fault::{FailedExchange, Fault, NoReply};
use super::rules::Findings;
use super::timing::ResponseTimes;
use super::{Observer, Phase, Rule, RulesReport, Target, TestError, deadline};
use taonet_babelbit_runner::http::{INIT_MESSAGE, PREDICT_MESSAGE};
use taonet_babelbit_runner::{PlaySettings, Source};
pub use text::check_text;
pub(super) use wire::Reply;
use wire::{Forgery, Wire};

/// Challenge ID in the requests; no validator uses it.
const CHALLENGE: &str = "taonet-test-miner";
/// Maximum number of characters of a miner's response in reports.
const MAX_QUOTED_CHARS: usize = 200;
/// Time between two reports of the progress of a slow session.
const PROGRESS_INTERVAL: Duration = Duration::from_secs(5);

/// Checks every rule of the speech contest that is observable from outside, with `source` as the
/// speech to play. Calls `observe` with each outcome as soon as it is final.
///
/// # Errors
/// [`TestError`] when no request can be sent, or no connection can be opened.
pub async fn check<'a>(
    target: &Target,
    source: &Source,
    settings: &'a PlaySettings,
    observe: &'a mut Observer<'a>,
) -> Result<RulesReport, TestError> {
    let mut probe = Probe::new(target, INIT_MESSAGE, settings, observe)?;
    probe.check_health().await?;
    if let Some(session) = probe.open(source).await {
        probe.play(&session, source).await;
        probe.check_signed_body(source).await;
        probe.check_two_channels(source).await;
        probe.check_forgeries(&init(source, source.channels)).await;
    }
    Ok(RulesReport {
        timings: probe.times.timings(settings),
        rules: probe.findings.finish(&Rule::SPEECH),
        interruption: probe.interruption,
    })
}

struct Probe<'a> {
    wire: Wire,
    settings: &'a PlaySettings,
    findings: Findings<'a>,
    times: ResponseTimes,
    /// The first request whose connection was lost after earlier responses, and the error.
    interruption: Option<String>,
}

/// Serialises a JSON object as the reference system's client does: with spaces after `,` and `:`.
fn json_with_spaces(fields: &[(&str, Value)]) -> String {
    let fields: Vec<_> =
        fields.iter().map(|(name, value)| format!("\"{name}\": {value}")).collect();
    format!("{{{}}}", fields.join(", "))
}

fn init(source: &Source, channels: u16) -> String {
    json_with_spaces(&[
        ("kind", json!("init")),
        ("challenge_uid", json!(CHALLENGE)),
        ("utterance_id", json!(source.utterance_id)),
        ("language", json!(source.language)),
        ("sample_rate_hz", json!(SAMPLE_RATE_HZ)),
        ("frame_rate_hz", json!(FRAME_RATE_HZ)),
        ("frame_samples", json!(FRAME_SAMPLES)),
        ("dtype", json!(DTYPE)),
        ("channels", json!(channels)),
    ])
}

/// Parses a response as a JSON object.
fn parse_object(
    reply: &Result<Reply, FailedExchange>,
) -> Result<Map<String, Value>, FailedExchange> {
    let reply = reply.as_ref().map_err(Clone::clone)?;
    if let Some(kind) = Fault::of(reply) {
        return Err(FailedExchange { kind, observation: excerpt(reply) });
    }
    match serde_json::from_slice(&reply.body) {
        Ok(Value::Object(object)) if !object.contains_key("error") => Ok(object),
        _ => Err(FailedExchange { kind: Fault::NotAnswer, observation: excerpt(reply) }),
    }
}

/// Returns the start of a response, for display: decompressed, and of a page only its text.
fn excerpt(reply: &Reply) -> String {
    let body = String::from_utf8_lossy(&reply.body);
    let text = page_text(&body).unwrap_or_else(|| body.into_owned());
    let mut excerpt = reply.status.to_string();
    // The page of a proxy begins with its status.
    let text = text.strip_prefix(&format!("{excerpt} ")).unwrap_or(&text);
    if let Some(location) = &reply.location {
        excerpt = format!("{excerpt} to {location}");
    }
    if let Some(encoding) = &reply.encoding {
        excerpt = format!("{excerpt} ({encoding})");
    }
    let text: String = text.chars().take(MAX_QUOTED_CHARS).collect();
    format!("{excerpt} {}", text.trim_end()).trim_end().to_owned()
}

fn description(reply: &Result<Reply, FailedExchange>) -> String {
    reply.as_ref().map_or_else(|failed| failed.observation.clone(), excerpt)
}

fn quote_fields(object: &Map<String, Value>, fields: &[&str]) -> String {
    let lines = fields.iter().map(|field| match object.get(*field) {
        Some(value) => {
            format!(
                "{field}: {}",
                value.to_string().chars().take(MAX_QUOTED_CHARS).collect::<String>()
            )
        }
        None => format!("no {field}"),
    });
    lines.collect::<Vec<_>>().join(", ")
}

impl<'a> Probe<'a> {
    fn new(
        target: &Target,
        message: &'static str,
        settings: &'a PlaySettings,
        observe: &'a mut Observer<'a>,
    ) -> Result<Self, TestError> {
        let wire = Wire::new(target, message, settings)?;
        Ok(Self {
            wire,
            settings,
            findings: Findings::new(observe),
            times: ResponseTimes::default(),
            interruption: None,
        })
    }

    /// Reports that a request got no answer; `label` names the request, if there are several. A
    /// miner that has ended breaks no rule: the rules that are still open are not tested.
    fn fail(&mut self, rule: Rule, label: &str, failed: &FailedExchange) {
        if failed.kind == Fault::NoReply(NoReply::Ended) {
            let label = if label.is_empty() { rule.name() } else { label };
            self.interruption.get_or_insert_with(|| format!("{label}: {}", failed.observation));
            self.findings.discard_unreported();
            return;
        }
        let remedy = failed.kind.remedy(rule, &self.wire.path, self.wire.is_text());
        let observation = if label.is_empty() {
            failed.observation.clone()
        } else {
            format!("{label}: {}", failed.observation)
        };
        self.findings.fail_with(rule, observation, Some(remedy));
    }

    /// Checks the health routes, with the first requests to the miner.
    ///
    /// # Errors
    /// If no connection can be opened for the first request: then nothing is known about the rules.
    async fn check_health(&mut self) -> Result<(), TestError> {
        let mut observations = Vec::new();
        for route in ["/healthz", "/health"] {
            let reply = self.wire.get(route).await;
            let health = match parse_object(&reply) {
                Ok(health) => health,
                Err(FailedExchange {
                    kind: Fault::NoReply(NoReply::Unreachable),
                    observation: reason,
                }) if observations.is_empty() => {
                    return Err(TestError::Unreachable { address: self.wire.address(), reason });
                }
                Err(failed) => {
                    self.fail(Rule::Health, route, &failed);
                    return Ok(());
                }
            };
            let is_met = health.get("status") == Some(&json!("healthy"))
                && health.get("model").is_some_and(Value::is_string)
                && health.get("model_loaded").is_some_and(Value::is_boolean);
            let text = description(&reply);
            if !is_met {
                self.findings.fail(Rule::Health, format!("{route}: {text}"));
                return Ok(());
            }
            observations.push(format!("{route}: {text}"));
        }
        self.findings.pass(Rule::Health, observations.join("; "));
        self.findings.report_final(&[Rule::Health]);
        Ok(())
    }

    /// Opens the session; returns its ID, or `None` if the miner opens none.
    async fn open(&mut self, source: &Source) -> Option<String> {
        let start = Instant::now();
        let reply = self.post_init(init(source, source.channels)).await;
        self.times.add(Phase::Init, start.elapsed());
        let object = match parse_object(&reply) {
            Ok(object) => object,
            Err(failed) => {
                self.fail(Rule::SignedRequest, "", &failed);
                return None;
            }
        };
        self.findings.pass(Rule::SignedRequest, "200");
        self.check_init_response(&object, source, source.channels);
        self.findings.report_final(&[
            Rule::SignedRequest,
            Rule::Ready,
            Rule::SessionId,
            Rule::SameUtterance,
            Rule::AudioFormat,
            Rule::FrameGrid,
        ]);
        let session =
            object.get("session_id").and_then(Value::as_str).filter(|session| !session.is_empty());
        session.map(str::to_owned)
    }

    /// Sends the first request of a session, and announces a long wait for its response: the miner
    /// may have to load its models.
    async fn post_init(&mut self, body: String) -> Result<Reply, FailedExchange> {
        let limit = deadline(Phase::Init, self.settings);
        let mut response = pin!(self.wire.post_signed(INIT_MESSAGE, body, limit));
        if let Ok(reply) = timeout(PROGRESS_INTERVAL, &mut response).await {
            return reply;
        }
        let limit = limit.as_secs();
        self.findings.progress(&format!("waiting for the response to init, at most {limit} s"));
        response.await
    }

    /// Checks the response to init.
    fn check_init_response(&mut self, object: &Map<String, Value>, source: &Source, channels: u16) {
        let has_value = |field: &str, expected: Value| object.get(field) == Some(&expected);
        let is_positive = |field: &str| {
            object.get(field).and_then(Value::as_f64).is_some_and(|value| value > 0.0)
        };
        let has_session_id = object
            .get("session_id")
            .and_then(Value::as_str)
            .is_some_and(|session| !session.is_empty());
        let is_same = has_value("challenge_uid", json!(CHALLENGE))
            && has_value("utterance_id", json!(source.utterance_id));
        let format =
            has_value("sample_rate_hz", json!(SAMPLE_RATE_HZ)) && has_value("dtype", json!(DTYPE));
        let format = format && has_value("channels", json!(channels));
        let has_frame_grid = is_positive("frame_rate_hz") && is_positive("frame_samples");
        for (rule, is_met, fields) in [
            (Rule::Ready, has_value("ready", json!(true)), &["ready"][..]),
            (Rule::SessionId, has_session_id, &["session_id"]),
            (Rule::SameUtterance, is_same, &["challenge_uid", "utterance_id"]),
            (Rule::AudioFormat, format, &["sample_rate_hz", "dtype", "channels"]),
            (Rule::FrameGrid, has_frame_grid, &["frame_rate_hz", "frame_samples"]),
        ] {
            self.findings.record(rule, is_met, quote_fields(object, fields));
        }
    }

    /// Sends every frame, then drains the reply with empty requests.
    async fn play(&mut self, session: &str, source: &Source) {
        let mut received = ReceivedAudio { channels: source.channels, bytes: 0, pieces: 0 };
        let frames = source.frames_b64.len();
        let (mut last_sent, mut reported) = (Instant::now(), Instant::now());
        for (number, frame) in (1..).zip(&source.frames_b64) {
            let label = format!("frame {number} of {frames}");
            last_sent = Instant::now();
            self.progress(&mut reported, &label);
            let limit = deadline(Phase::for_predict(true, number == frames), self.settings);
            match self.predict(session, frame, number == frames, limit, &label, &mut received).await
            {
                Some(false) => {}
                Some(true) => return self.check_reply_audio(&label, &received),
                None => return,
            }
        }
        // All empty requests share one deadline, as in a validator.
        let drain_end = (last_sent + self.settings.drain_timeout)
            .max(Instant::now() + self.settings.final_drain_min);
        for request in 1..=self.settings.drain_max_requests {
            let label = format!("empty request {request}");
            self.progress(&mut reported, &label);
            let limit = drain_end.saturating_duration_since(Instant::now());
            match self.predict(session, "", true, limit, &label, &mut received).await {
                Some(false) => {}
                Some(true) => return self.check_reply_audio(&label, &received),
                None => return,
            }
        }
        let observation = format!(
            "no out_eos in {} and {}",
            counted(frames, "frame"),
            counted(self.settings.drain_max_requests, "empty request")
        );
        self.findings.fail(Rule::ReplyEnds, observation);
    }

    /// Reports the progress, at most once in [`PROGRESS_INTERVAL`].
    fn progress(&mut self, reported: &mut Instant, label: &str) {
        if reported.elapsed() >= PROGRESS_INTERVAL {
            *reported = Instant::now();
            self.findings.progress(label);
        }
    }

    fn check_reply_audio(&mut self, label: &str, received: &ReceivedAudio) {
        self.findings.pass(Rule::ReplyEnds, format!("out_eos with {label}"));
        let unit = SAMPLE_BYTES as u64 * u64::from(received.channels);
        let sound = format!(
            "{} in {}",
            counted(received.bytes, "byte"),
            counted(received.pieces, "answer")
        );
        self.findings.record(Rule::WholeSamples, received.bytes.is_multiple_of(unit), sound);
        let seconds = received.bytes as f64 / (unit as f64 * f64::from(SAMPLE_RATE_HZ));
        self.findings.pass(Rule::ReplyLength, format!("{seconds:.2} s"));
    }

    /// Sends one request with a timeout of `limit`; returns whether its response ended the reply,
    /// or `None` if the probe must stop.
    async fn predict(
        &mut self,
        session: &str,
        audio: &str,
        in_eos: bool,
        limit: Duration,
        label: &str,
        received: &mut ReceivedAudio,
    ) -> Option<bool> {
        let body = json_with_spaces(&[
            ("kind", json!("predict")),
            ("session_id", json!(session)),
            ("audio_b64", json!(audio)),
            ("in_eos", json!(in_eos)),
        ]);
        let phase = Phase::for_predict(!audio.is_empty(), in_eos);
        let start = Instant::now();
        let miner_timeout = self.settings.miner_timeout.max(limit);
        let reply = self.wire.post_signed(PREDICT_MESSAGE, body, miner_timeout).await;
        let elapsed = start.elapsed();
        self.times.add(phase, elapsed);
        if elapsed > limit {
            let rule = if phase == Phase::Drain { Rule::ReplyEnds } else { Rule::FrameDeadline };
            let observation = format!(
                "{label}: {:.2} s, at most {:.2} s",
                elapsed.as_secs_f64(),
                limit.as_secs_f64()
            );
            self.findings.fail(rule, observation);
        }
        let answer = match parse_object(&reply) {
            Ok(answer) => answer,
            Err(_) if elapsed > limit => return None,
            Err(failed) => {
                self.fail(Rule::JsonAnswer, label, &failed);
                return None;
            }
        };
        self.findings.pass(Rule::JsonAnswer, "every response");
        self.findings.pass(Rule::FrameDeadline, "every response");
        let is_same = answer.get("session_id").and_then(Value::as_str) == Some(session);
        self.findings.record(
            Rule::AnswerSession,
            is_same,
            format!("{label}: {}", quote_fields(&answer, &["session_id"])),
        );
        self.check_audio(&answer, label, received)?;
        match answer.get("out_eos") {
            None => Some(false),
            Some(Value::Bool(ended)) => Some(*ended),
            Some(_) => {
                self.findings.fail(
                    Rule::ReplyEnds,
                    format!("{label}: {}", quote_fields(&answer, &["out_eos"])),
                );
                None
            }
        }
    }

    /// Checks the audio of a response; returns `None` if the probe must stop.
    fn check_audio(
        &mut self,
        answer: &Map<String, Value>,
        label: &str,
        received: &mut ReceivedAudio,
    ) -> Option<()> {
        let bytes = match answer.get("audio_b64") {
            None => Some(0),
            Some(Value::String(text)) => STANDARD.decode(text).ok().map(|sound| sound.len()),
            Some(_) => None,
        };
        let Some(bytes) = bytes else {
            self.findings
                .fail(Rule::Base64, format!("{label}: {}", quote_fields(answer, &["audio_b64"])));
            return None;
        };
        self.findings.pass(Rule::Base64, "every response");
        let is_counted = answer.get("n_bytes").is_none_or(|count| {
            count.as_u64().is_some_and(|count| count == 0 || count == bytes as u64)
        });
        self.findings.record(
            Rule::ByteCount,
            is_counted,
            format!(
                "{label}: {}, {} of audio",
                quote_fields(answer, &["n_bytes"]),
                counted(bytes, "byte")
            ),
        );
        received.bytes += bytes as u64;
        received.pieces += usize::from(bytes > 0);
        let limit = self.settings.max_reply_bytes(received.channels) as u64;
        if received.bytes > limit {
            self.findings.fail(
                Rule::ReplyLength,
                format!("{} by {label}, at most {limit}", counted(received.bytes, "byte")),
            );
            return None;
        }
        Some(())
    }

    async fn check_signed_body(&mut self, source: &Source) {
        // The session is over: its outcomes are final.
        self.findings.report_final(&Rule::SPEECH);
        let reply = self
            .wire
            .post_body_signed(init(source, source.channels), self.settings.miner_timeout)
            .await;
        match parse_object(&reply) {
            Ok(_) => self.findings.pass(Rule::SignedBody, description(&reply)),
            // Signed requests without a body hash were accepted: the hash makes the difference.
            Err(failed) if failed.kind == Fault::Status(401) => {
                self.findings.fail(Rule::SignedBody, failed.observation);
            }
            Err(failed) => self.fail(Rule::SignedBody, "", &failed),
        }
        self.findings.report_final(&[Rule::SignedBody]);
    }

    async fn check_two_channels(&mut self, source: &Source) {
        let limit = self.settings.miner_timeout;
        let reply = self.wire.post_signed(INIT_MESSAGE, init(source, 2), limit).await;
        match parse_object(&reply) {
            Ok(answer) => {
                let is_met = answer.get("channels") == Some(&json!(2));
                self.findings.record(
                    Rule::TwoChannels,
                    is_met,
                    quote_fields(&answer, &["channels"]),
                );
            }
            // A miner may refuse the number of channels with any status.
            Err(failed) if matches!(failed.kind, Fault::Status(400..) | Fault::NotAnswer) => {
                self.findings.fail(Rule::TwoChannels, failed.observation);
            }
            Err(failed) => self.fail(Rule::TwoChannels, "", &failed),
        }
        self.findings.report_final(&[Rule::TwoChannels]);
    }

    /// Sends requests with this body that must be refused.
    async fn check_forgeries(&mut self, body: &str) {
        for (forgery, rule, must_be_401) in [
            (Forgery::Unsigned, Rule::UnsignedRefused, true),
            (Forgery::OtherReceiver, Rule::OtherReceiverRefused, true),
            (Forgery::FalseSignature, Rule::FalseSignatureRefused, true),
            (Forgery::OldNonce, Rule::OldNonceRefused, false),
            (Forgery::FutureNonce, Rule::FutureNonceRefused, false),
            (Forgery::Replay, Rule::ReplayRefused, false),
        ] {
            let reply =
                self.wire.post_forged(forgery, body.to_owned(), self.settings.miner_timeout).await;
            // Other forged requests may be refused with any 4xx status.
            let refuses = |reply: &Reply| {
                reply.status == 401 || (!must_be_401 && (400..500).contains(&reply.status))
            };
            match &reply {
                Ok(reply) if refuses(reply) => self.findings.pass(rule, excerpt(reply)),
                // Accepted, or refused with another status.
                Ok(reply) if reply.status < 300 || (400..500).contains(&reply.status) => {
                    self.findings.fail(rule, excerpt(reply));
                }
                Ok(reply) => {
                    let kind = Fault::of(reply).unwrap_or(Fault::NotAnswer);
                    self.fail(rule, "", &FailedExchange { kind, observation: excerpt(reply) });
                }
                Err(failed) => self.fail(rule, "", failed),
            }
            self.findings.report_final(&[rule]);
        }
    }
}

/// Audio received so far.
struct ReceivedAudio {
    channels: u16,
    bytes: u64,
    pieces: usize,
}

/// Margin by which a request's timeout exceeds the deadline, so that a late response is reported
/// with its time.
pub(super) const DEADLINE_MARGIN: Duration = Duration::from_secs(2);

#[cfg(test)]
mod tests;
