//! Metrics of a miner.

use std::time::Duration;

use http::StatusCode;
use metrics::{
    Unit, counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram,
};

const REQUESTS: &str = "taonet_miner_requests_total";
const SESSIONS: &str = "taonet_miner_sessions";
const FRAME_SECONDS: &str = "taonet_miner_answer_seconds";
const SOURCE_SAMPLES: &str = "taonet_miner_source_samples_total";
const REPLY_SAMPLES: &str = "taonet_miner_reply_samples_total";
const STAGE_CALLS: &str = "taonet_miner_stage_calls_total";
const STAGE_SECONDS: &str = "taonet_miner_stage_seconds";
const LM_PHRASES: &str = "taonet_miner_lm_phrases_total";
const LM_SECONDS: &str = "taonet_miner_lm_seconds";

/// Registers the miner's metrics. Call once, after the recorder is installed.
pub fn describe() {
    describe_counter!(REQUESTS, "Requests by HTTP status");
    describe_gauge!(SESSIONS, "Live sessions");
    describe_histogram!(
        FRAME_SECONDS,
        Unit::Seconds,
        "Time from the arrival of a frame to its response"
    );
    describe_counter!(SOURCE_SAMPLES, "Samples of source audio received, all channels");
    describe_counter!(REPLY_SAMPLES, "Samples of reply audio sent, all channels");
    describe_counter!(
        STAGE_CALLS,
        "Phrases sent to an inference server or skipped after a failure, by stage and outcome"
    );
    describe_histogram!(
        STAGE_SECONDS,
        Unit::Seconds,
        "Duration of a call to an inference server, by stage"
    );
    describe_counter!(LM_PHRASES, "Phrases for the language model of --lm, by outcome");
    describe_histogram!(
        LM_SECONDS,
        Unit::Seconds,
        "Time to shorten a phrase by the language model of --lm"
    );
    // Initialise to 0, so that rate queries include the first request.
    counter!(REQUESTS, "status" => "200").increment(0);
    gauge!(SESSIONS).set(0.0);
    counter!(SOURCE_SAMPLES).increment(0);
    counter!(REPLY_SAMPLES).increment(0);
}

pub(super) fn count_request(status: StatusCode) {
    counter!(REQUESTS, "status" => status.as_str().to_owned()).increment(1);
}

pub(super) fn set_sessions(live: usize) {
    gauge!(SESSIONS).set(live as f64);
}

pub(super) fn record_frame(elapsed: Duration, source: usize, reply: usize) {
    histogram!(FRAME_SECONDS).record(elapsed);
    counter!(SOURCE_SAMPLES).increment(source as u64);
    counter!(REPLY_SAMPLES).increment(reply as u64);
}

pub(super) fn count_stage_call(stage: &'static str, outcome: &'static str) {
    counter!(STAGE_CALLS, "stage" => stage, "outcome" => outcome).increment(1);
}

pub(super) fn record_stage_time(stage: &'static str, elapsed: Duration) {
    histogram!(STAGE_SECONDS, "stage" => stage).record(elapsed);
}

pub(super) fn record_shortening(outcome: &'static str, elapsed: Duration) {
    counter!(LM_PHRASES, "outcome" => outcome).increment(1);
    histogram!(LM_SECONDS).record(elapsed);
}
