//! Probe of a miner of the text contest.

use serde_json::Value;
use taonet_babelbit_core::text_api::{CONTEXT_SEPARATOR, PREDICT_MESSAGE, PredictedUtterance};
use taonet_babelbit_runner::PlaySettings;
use tokio::time::Instant;

use super::{CHALLENGE, Probe, parse_object, quote_fields};
use crate::conformance::{Observer, Phase, Rule, RulesReport, Target, TestError, deadline};

/// Utterances to predict: each with one that precedes it.
const UTTERANCES: [&str; 2] =
    ["Good morning, is this seat still free?", "Yes, it is, please sit down."];
/// Maximum size of a response in bytes, as for validators.
const MAX_RESPONSE_BYTES: usize = 8 << 10;

/// Checks every rule of the text contest that is observable from outside. Calls `observe` with each
/// outcome as soon as it is final.
///
/// # Errors
/// [`TestError`] when no request can be sent, or no connection can be opened.
pub async fn check_text<'a>(
    target: &Target,
    settings: &'a PlaySettings,
    observe: &'a mut Observer<'a>,
) -> Result<RulesReport, TestError> {
    let mut probe = Probe::new(target, PREDICT_MESSAGE, settings, observe)?;
    probe.check_health().await?;
    if probe.check_predictions().await {
        probe.check_forgeries(&body(&["Good"], "")).await;
    }
    Ok(RulesReport {
        timings: probe.times.timings(settings),
        rules: probe.findings.finish(&Rule::TEXT),
        interruption: probe.interruption,
    })
}

/// Returns the request for a prediction after these words.
fn body(words: &[&str], context: &str) -> String {
    let request = PredictedUtterance {
        index: CHALLENGE.to_owned(),
        step: words.len().saturating_sub(1) as u32,
        prefix: words.join(" "),
        context: context.to_owned(),
        done: false,
        prediction: String::new(),
        ground_truth: None,
        evaluation: None,
    };
    serde_json::to_string(&request).unwrap_or_default()
}

impl Probe<'_> {
    /// Reveals the utterances word by word; returns whether the miner answers signed requests.
    async fn check_predictions(&mut self) -> bool {
        let (mut context, mut reported) = (String::new(), Instant::now());
        for utterance in UTTERANCES {
            let words: Vec<&str> = utterance.split(' ').collect();
            for count in 1..=words.len() {
                let revealed = words.get(..count).unwrap_or_default();
                let label = format!("word {count} of {}", words.len());
                self.progress(&mut reported, &label);
                if !self.check_prediction(body(revealed, &context), &label).await {
                    break;
                }
            }
            if !self.findings.has_passed(Rule::SignedRequest) {
                return false;
            }
            if !context.is_empty() {
                context.push_str(CONTEXT_SEPARATOR);
            }
            context.push_str(utterance);
        }
        self.findings.report_final(&[Rule::Prediction, Rule::PredictionLength, Rule::StepDeadline]);
        true
    }

    /// Sends one request; returns whether the next one of the utterance is worth sending.
    async fn check_prediction(&mut self, body: String, label: &str) -> bool {
        let limit = deadline(Phase::Step, self.settings);
        let start = Instant::now();
        let reply = self.wire.post_signed(PREDICT_MESSAGE, body, limit).await;
        let elapsed = start.elapsed();
        self.times.add(Phase::Step, elapsed);
        let is_first = !self.findings.has_passed(Rule::SignedRequest);
        let answer = match parse_object(&reply) {
            Ok(answer) => answer,
            Err(failed) => {
                let deadline_or_prediction =
                    if elapsed > limit { Rule::StepDeadline } else { Rule::Prediction };
                let rule = if is_first { Rule::SignedRequest } else { deadline_or_prediction };
                self.fail(rule, label, &failed);
                return false;
            }
        };
        self.findings.pass(Rule::SignedRequest, "200");
        self.findings.report_final(&[Rule::SignedRequest]);
        let is_text = answer.get("prediction").is_some_and(Value::is_string);
        let observation = if is_text {
            "every response".to_owned()
        } else {
            format!("{label}: {}", quote_fields(&answer, &["prediction"]))
        };
        self.findings.record(Rule::Prediction, is_text, observation);
        let bytes = reply.map_or(0, |reply| reply.body.len());
        let observation = if bytes > MAX_RESPONSE_BYTES {
            format!("{label}: {bytes} bytes")
        } else {
            "every response".to_owned()
        };
        self.findings.record(Rule::PredictionLength, bytes <= MAX_RESPONSE_BYTES, observation);
        let observation = if elapsed > limit {
            format!("{label}: {:.2} s, at most {:.2} s", elapsed.as_secs_f64(), limit.as_secs_f64())
        } else {
            "every response".to_owned()
        };
        self.findings.record(Rule::StepDeadline, elapsed <= limit, observation);
        is_text && elapsed <= limit
    }
}
