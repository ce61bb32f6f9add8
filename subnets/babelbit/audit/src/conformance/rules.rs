use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::{Event, Observer};

/// A rule of the protocol. The variants are in the order of the checks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Rule {
    /// The health routes respond.
    Health,
    /// A signed request is accepted.
    SignedRequest,
    /// A signed request that includes the hash of its body is accepted.
    SignedBody,
    /// The session is ready.
    Ready,
    /// The session has an ID.
    SessionId,
    /// Challenge and utterance are echoed.
    SameUtterance,
    /// Sample rate, sample format and channels are echoed.
    AudioFormat,
    /// Frame rate and size are above 0.
    FrameGrid,
    /// Sources with two channels are accepted.
    TwoChannels,
    /// Every response is a JSON object without `error`.
    JsonAnswer,
    /// Every response names its session.
    AnswerSession,
    /// Audio is base64.
    Base64,
    /// The reply ends at a sample boundary.
    WholeSamples,
    /// `n_bytes` matches the audio.
    ByteCount,
    /// Responses to frames meet the deadline.
    FrameDeadline,
    /// The reply ends within the deadline.
    ReplyEnds,
    /// The reply is within the maximum length.
    ReplyLength,
    /// A response to a text has a prediction.
    Prediction,
    /// A response to a text is within the maximum length.
    PredictionLength,
    /// Responses to a text meet the deadline.
    StepDeadline,
    /// Unsigned requests are refused.
    UnsignedRefused,
    /// Requests signed for another receiver are refused.
    OtherReceiverRefused,
    /// Invalid signatures are refused.
    FalseSignatureRefused,
    /// Old requests are refused.
    OldNonceRefused,
    /// Requests dated in the future are refused.
    FutureNonceRefused,
    /// Replayed requests are refused.
    ReplayRefused,
}

/// Descriptive texts of a rule.
struct RuleText {
    name: &'static str,
    section: &'static str,
    requirement: &'static str,
    hint: &'static str,
}

impl Rule {
    /// Rules of the text contest, in the order of the checks.
    pub const TEXT: [Self; 11] = [
        Self::Health,
        Self::SignedRequest,
        Self::Prediction,
        Self::PredictionLength,
        Self::StepDeadline,
        Self::UnsignedRefused,
        Self::OtherReceiverRefused,
        Self::FalseSignatureRefused,
        Self::OldNonceRefused,
        Self::FutureNonceRefused,
        Self::ReplayRefused,
    ];
    /// Rules of the speech contest, in the order of the checks.
    pub const SPEECH: [Self; 23] = [
        Self::Health,
        Self::SignedRequest,
        Self::SignedBody,
        Self::Ready,
        Self::SessionId,
        Self::SameUtterance,
        Self::AudioFormat,
        Self::FrameGrid,
        Self::TwoChannels,
        Self::JsonAnswer,
        Self::AnswerSession,
        Self::Base64,
        Self::WholeSamples,
        Self::ByteCount,
        Self::FrameDeadline,
        Self::ReplyEnds,
        Self::ReplyLength,
        Self::UnsignedRefused,
        Self::OtherReceiverRefused,
        Self::FalseSignatureRefused,
        Self::OldNonceRefused,
        Self::FutureNonceRefused,
        Self::ReplayRefused,
    ];

    /// Returns the name in reports, e.g. `session_id`.
    pub const fn name(self) -> &'static str {
        self.text().name
    }

    /// Returns the section of the rule: `messages`, `deadlines`, `signatures` or `health`.
    pub const fn section(self) -> &'static str {
        self.text().section
    }

    /// Returns the required behaviour of the miner.
    pub(crate) const fn requirement(self) -> &'static str {
        self.text().requirement
    }

    /// Returns a hint for fixing a violation.
    pub const fn fix_hint(self) -> &'static str {
        self.text().hint
    }

    #[expect(clippy::too_many_lines, reason = "one entry after the other")]
    const fn text(self) -> RuleText {
        const fn text(
            section: &'static str,
            name: &'static str,
            requirement: &'static str,
            hint: &'static str,
        ) -> RuleText {
            RuleText { name, section, requirement, hint }
        }
        const MESSAGES: &str = "messages";
        const DEADLINES: &str = "deadlines";
        const SIGNATURES: &str = "signatures";
        match self {
            Self::Health => text(
                "health",
                "health",
                "GET /healthz and GET /health return 200 with \"status\": \"healthy\", \"model\" and \"model_loaded\"",
                "serve both routes next to the predict route, without signatures",
            ),
            Self::SignedRequest => text(
                SIGNATURES,
                "signed_request",
                "a request signed for the miner, with an empty body hash, gets status 200",
                "verify sr25519 over {nonce}.{validator}.{miner}.{uuid}. with --miner-hotkey as your own key; if \
                 only known validators are allowed, sign with one of them (--wallet-name)",
            ),
            Self::SignedBody => text(
                SIGNATURES,
                "signed_body",
                "an init request whose signature covers the SHA-256 of the compact JSON body gets status 200",
                "use computed_body_hash unchanged in the signed text; the body on the wire has spaces after , and :",
            ),
            Self::Ready => text(
                MESSAGES,
                "ready",
                "the init response has \"ready\": true",
                "respond when the session is ready",
            ),
            Self::SessionId => text(
                MESSAGES,
                "session_id",
                "the init response has a non-empty string as \"session_id\"",
                "give each session an id, such as a UUID",
            ),
            Self::SameUtterance => text(
                MESSAGES,
                "same_utterance",
                "the init response repeats \"challenge_uid\" and \"utterance_id\"",
                "copy both from the request",
            ),
            Self::AudioFormat => text(
                MESSAGES,
                "audio_format",
                "the init response repeats \"sample_rate_hz\" (24000), \"dtype\" (float32le) and \"channels\"",
                "copy them from the request, and reply with audio of this format",
            ),
            Self::FrameGrid => text(
                MESSAGES,
                "frame_grid",
                "\"frame_rate_hz\" and \"frame_samples\" of the init response are above 0",
                "copy both from the request: validators always use 12.5 and 1920",
            ),
            Self::TwoChannels => text(
                MESSAGES,
                "two_channels",
                "the response to an init request with \"channels\": 2 has \"channels\": 2",
                "support as many channels as the source has, interleaved",
            ),
            Self::JsonAnswer => text(
                MESSAGES,
                "json_answer",
                "each predict request gets status 200 and a JSON object without the key \"error\"",
                "catch exceptions while processing a frame: an error ends the utterance with score 0",
            ),
            Self::AnswerSession => text(
                MESSAGES,
                "answer_session",
                "each response has the \"session_id\" of its request",
                "copy it from the request",
            ),
            Self::Base64 => text(
                MESSAGES,
                "base64",
                "\"audio_b64\" is standard base64 with padding, or empty",
                "encode with the standard alphabet (+ and /), padded, without line breaks",
            ),
            Self::WholeSamples => text(
                MESSAGES,
                "whole_samples",
                "the reply's size is a multiple of 4 bytes times the number of channels",
                "send complete float32 samples of all channels",
            ),
            Self::ByteCount => text(
                MESSAGES,
                "byte_count",
                "\"n_bytes\" is 0, absent, or the number of bytes in \"audio_b64\"",
                "count the bytes before base64 encoding, or omit the field",
            ),
            Self::FrameDeadline => text(
                DEADLINES,
                "frame_deadline",
                "each frame is answered within 3 s, the final one within 10 s",
                "respond immediately with the audio that is ready, possibly none, and process in the background",
            ),
            Self::ReplyEnds => text(
                DEADLINES,
                "reply_ends",
                "the reply ends with \"out_eos\": true within 10 s of the final frame, and within 8 empty requests",
                "after in_eos, send the remaining audio and set out_eos",
            ),
            Self::ReplyLength => text(
                MESSAGES,
                "reply_length",
                "a reply to one utterance has at most 120 s of audio",
                "limit the reply to roughly the duration of the source",
            ),
            Self::Prediction => text(
                MESSAGES,
                "prediction",
                "each predict request gets status 200 and a JSON object with a string as \"prediction\"",
                "respond with {\"prediction\": \"…\"}: the complete utterance, or an empty string",
            ),
            Self::PredictionLength => text(
                MESSAGES,
                "prediction_length",
                "a response has at most 8 KiB",
                "predict the current utterance only",
            ),
            Self::StepDeadline => text(
                DEADLINES,
                "step_deadline",
                "each word is answered within 10 s",
                "limit the number of predicted words: five late predictions in a row end the round for the miner",
            ),
            Self::UnsignedRefused => text(
                SIGNATURES,
                "unsigned_refused",
                "a request without signed headers gets status 401",
                "always verify signatures: disable development modes such as MINER_DEV_MODE",
            ),
            Self::OtherReceiverRefused => text(
                SIGNATURES,
                "other_receiver_refused",
                "a request signed for another hotkey gets status 401",
                "compare bt_header_axon_hotkey with the miner's hotkey",
            ),
            Self::FalseSignatureRefused => text(
                SIGNATURES,
                "false_signature_refused",
                "a request with an invalid signature gets status 401",
                "verify with the key in bt_header_dendrite_hotkey over the whole signed text",
            ),
            Self::OldNonceRefused => text(
                SIGNATURES,
                "old_nonce_refused",
                "a request older than 4 s plus its timeout is refused",
                "the nonce is the Unix time in nanoseconds: compare it with the clock",
            ),
            Self::FutureNonceRefused => text(
                SIGNATURES,
                "future_nonce_refused",
                "a request dated more than 3 s in the future is refused",
                "the nonce is the Unix time in nanoseconds: compare it with the clock",
            ),
            Self::ReplayRefused => text(
                SIGNATURES,
                "replay_refused",
                "a signed request is accepted only once",
                "remember hotkey and nonce of accepted requests until the nonce expires",
            ),
        }
    }
}

/// Outcome of a rule's check.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum RuleOutcome {
    /// The miner follows the rule.
    Passed,
    /// The miner violates the rule.
    Failed,
    /// The rule was not checked.
    NotTested,
}

/// Report of one rule's check: what the rule requires, and what the miner did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RuleReport {
    /// The checked rule.
    pub rule: Rule,
    /// Section of the specification that contains the rule.
    pub section: &'static str,
    /// Required behaviour.
    pub expected: &'static str,
    /// Result of the check.
    #[serde(rename = "verdict")]
    pub outcome: RuleOutcome,
    /// Observed behaviour.
    #[serde(rename = "seen")]
    pub observation: String,
    /// Hint for fixing the violation, if there is one.
    #[serde(rename = "mend")]
    pub hint: Option<Cow<'static, str>>,
}

/// Outcome of a rule, what was seen, and a remedy other than the rule's own.
type Finding = (RuleOutcome, String, Option<Cow<'static, str>>);

/// Outcomes so far. Once a rule is violated, a later success does not change its outcome.
pub(super) struct Findings<'a> {
    outcomes: BTreeMap<Rule, Finding>,
    reported: BTreeSet<Rule>,
    observe: &'a mut Observer<'a>,
}

impl<'a> Findings<'a> {
    pub(super) fn new(observe: &'a mut Observer<'a>) -> Self {
        Self { outcomes: BTreeMap::new(), reported: BTreeSet::new(), observe }
    }

    pub(super) fn pass(&mut self, rule: Rule, observation: impl Into<String>) {
        self.outcomes
            .entry(rule)
            .or_insert_with(|| (RuleOutcome::Passed, observation.into(), None));
    }

    pub(super) fn fail(&mut self, rule: Rule, observation: impl Into<String>) {
        self.fail_with(rule, observation, None);
    }

    /// Reports a violation with its own remedy.
    pub(super) fn fail_with(
        &mut self,
        rule: Rule,
        observation: impl Into<String>,
        remedy: Option<Cow<'static, str>>,
    ) {
        let entry =
            self.outcomes.entry(rule).or_insert_with(|| (RuleOutcome::Passed, String::new(), None));
        if entry.0 == RuleOutcome::Passed {
            *entry = (RuleOutcome::Failed, observation.into(), remedy);
            self.report_final(&[rule]);
        }
    }

    pub(super) fn record(&mut self, rule: Rule, is_met: bool, observation: impl Into<String>) {
        if is_met { self.pass(rule, observation) } else { self.fail(rule, observation) }
    }

    /// Whether a rule was checked, and not violated so far.
    pub(super) fn has_passed(&self, rule: Rule) -> bool {
        self.outcomes.get(&rule).is_some_and(|(outcome, ..)| *outcome == RuleOutcome::Passed)
    }

    /// Reports what the test is doing.
    pub(super) fn progress(&mut self, text: &str) {
        (self.observe)(Event::Progress(text));
    }

    /// Reports the outcomes of these rules, which no later response changes, unless they are
    /// reported already.
    pub(super) fn report_final(&mut self, rules: &[Rule]) {
        for rule in rules {
            if self.outcomes.contains_key(rule) && self.reported.insert(*rule) {
                let report = self.report(*rule);
                (self.observe)(Event::RuleChecked(&report));
            }
        }
    }

    fn report(&self, rule: Rule) -> RuleReport {
        let (outcome, observation, remedy) =
            self.outcomes.get(&rule).cloned().unwrap_or_else(|| {
                (RuleOutcome::NotTested, "an earlier failure prevented the test".to_owned(), None)
            });
        let hint = (outcome == RuleOutcome::Failed)
            .then(|| remedy.unwrap_or(Cow::Borrowed(rule.fix_hint())));
        RuleReport {
            rule,
            section: rule.section(),
            expected: rule.requirement(),
            outcome,
            observation,
            hint,
        }
    }

    /// Discards the outcomes that are not final: a violation always is.
    pub(super) fn discard_unreported(&mut self) {
        self.outcomes.retain(|rule, _| self.reported.contains(rule));
    }

    /// Returns the report of each rule, after reporting the outcomes that were not reported yet.
    pub(super) fn finish(mut self, rules: &[Rule]) -> Vec<RuleReport> {
        self.report_final(rules);
        rules.iter().map(|rule| self.report(*rule)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_rule_is_listed_once_with_its_json_name() {
        for rules in [&Rule::SPEECH[..], &Rule::TEXT] {
            assert!(rules.is_sorted_by(|one, other| one < other));
            let names: BTreeSet<_> = rules.iter().map(|rule| rule.name()).collect();
            assert_eq!(names.len(), rules.len());
            for rule in rules {
                assert_eq!(serde_json::to_value(rule).unwrap(), rule.name());
            }
        }
    }

    #[test]
    fn rule_that_failed_once_stays_failed() {
        let mut reported = Vec::new();
        let mut observe = |event: Event<'_>| {
            if let Event::RuleChecked(report) = event {
                reported.push((report.rule, report.outcome));
            }
        };
        let mut findings = Findings::new(&mut observe);
        findings.pass(Rule::Base64, "fine");
        findings.fail(Rule::Base64, "first");
        findings.fail(Rule::Base64, "second");
        findings.pass(Rule::Base64, "fine again");
        findings.pass(Rule::Ready, "fine");
        let reports = findings.finish(&[Rule::Ready, Rule::TwoChannels, Rule::Base64]);
        let report = |rule| reports.iter().find(|report| report.rule == rule).unwrap();
        assert_eq!(
            (report(Rule::Base64).outcome, report(Rule::Base64).observation.as_str()),
            (RuleOutcome::Failed, "first")
        );
        assert_eq!(
            (report(Rule::TwoChannels).outcome, &report(Rule::TwoChannels).hint),
            (RuleOutcome::NotTested, &None)
        );
        // A violation is reported at once, and every outcome once.
        assert_eq!(
            reported,
            [(Rule::Base64, RuleOutcome::Failed), (Rule::Ready, RuleOutcome::Passed)]
        );
    }
}
