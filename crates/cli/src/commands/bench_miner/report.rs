//! The report of a benchmark: JSON, tables and CSV.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use anyhow::bail;
use serde::Serialize;
use taonet_primitives::{Hotkey, counted};

use super::load::{Plan, Run, Sample};
use crate::commands::axon::{Verdict, quantile};
use crate::printable::printable;
use crate::table::{decimals, facts, table};
use crate::tables::{BENCH_FAILURES, BENCH_OUTCOMES};

/// Maximum number of reasons of failures in a report: a hostile miner could state another one each time.
const MAX_REASONS: usize = 20;

/// What was measured.
#[derive(Debug, Serialize)]
pub(super) struct About {
    pub(super) url: String,
    pub(super) hotkey: Hotkey,
    pub(super) kind: String,
    pub(super) scheme: &'static str,
    /// Size of generated requests.
    pub(super) size: Option<u32>,
}

/// The JSON document of the command.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    schema: u32,
    #[serde(flatten)]
    pub(super) about: About,
    calls: u32,
    batch: u32,
    /// Calls per second that were planned.
    rate: f64,
    concurrency: usize,
    /// Requests that were answered or failed.
    pub(super) requests: usize,
    pub(super) succeeded: usize,
    /// Whether all planned requests were sent.
    complete: bool,
    seconds: f64,
    successes_per_second: f64,
    response_bytes: u64,
    /// Response times of the requests that succeeded.
    pub(super) milliseconds: Milliseconds,
    outcomes: Vec<CodeGroup>,
    failures: Vec<Failed>,
    #[serde(skip)]
    pub(super) samples: Vec<Sample>,
}

/// Response times in milliseconds; `None` without samples.
#[derive(Debug, PartialEq, Serialize)]
pub(super) struct Milliseconds {
    min: Option<f64>,
    mean: Option<f64>,
    pub(super) p50: Option<f64>,
    p90: Option<f64>,
    pub(super) p95: Option<f64>,
    pub(super) p99: Option<f64>,
    max: Option<f64>,
}

/// The requests with one return code.
#[derive(Debug, PartialEq, Serialize)]
struct CodeGroup {
    code: u8,
    outcome: String,
    requests: usize,
    /// Share of all requests.
    share: f64,
    p50_ms: Option<f64>,
    p99_ms: Option<f64>,
}

/// The failures with one reason.
#[derive(Debug, PartialEq, Eq, Serialize)]
struct Failed {
    outcome: String,
    status: u16,
    reason: String,
    requests: usize,
}

impl Report {
    pub(super) fn new(about: About, plan: Plan, run: Run) -> Self {
        let Run { samples, elapsed } = run;
        let succeeded = samples.iter().filter(|sample| sample.code.is_success()).count();
        let seconds = elapsed.as_secs_f64();
        Self {
            schema: 1,
            about,
            calls: plan.calls,
            batch: plan.batch,
            rate: plan.rate,
            concurrency: plan.concurrency,
            requests: samples.len(),
            succeeded,
            complete: samples.len() == plan.calls as usize * plan.batch as usize,
            seconds,
            successes_per_second: succeeded as f64 / seconds.max(f64::MIN_POSITIVE),
            response_bytes: samples.iter().map(|sample| sample.bytes as u64).sum(),
            milliseconds: Milliseconds::of(&latencies(samples.iter().filter(|sample| sample.code.is_success()))),
            outcomes: outcomes(&samples),
            failures: failures(&samples),
            samples,
        }
    }

    /// Returns an error if no request succeeded, with the exit code of the last failure.
    pub(super) fn check(&self) -> anyhow::Result<()> {
        if self.succeeded > 0 {
            return Ok(());
        }
        let Some(last) = self.samples.last() else { bail!("interrupted before the first response") };
        let verdict = Verdict { code: last.code, status: last.status, message: last.reason.clone() };
        let requests = counted(self.requests, "request");
        verdict.check().map_err(|error| error.context(format!("none of {requests} succeeded")))
    }

    /// Formats the report as tables.
    pub(super) fn text(&self) -> String {
        let About { url, hotkey, kind, scheme, size } = &self.about;
        let mut rows = facts();
        let size = size.map(|size| format!(" of size {size}")).unwrap_or_default();
        let batch = if self.batch == 1 { String::new() } else { format!(" of {} requests", self.batch) };
        let ms = |value| decimals(value, 2);
        let Milliseconds { min, mean, p50, p90, p95, p99, max } = self.milliseconds;
        for (name, value) in [
            ("miner", url.clone()),
            ("hotkey", hotkey.to_string()),
            ("requests", format!("{kind}{size}, signed by {scheme}")),
            (
                "load",
                format!(
                    "{}{batch}, {} calls per second, at most {} at the same time",
                    counted(self.calls, "call"),
                    self.rate,
                    counted(self.concurrency, "request")
                ),
            ),
            (
                "sent",
                format!(
                    "{} in {:.1} s{}",
                    self.requests,
                    self.seconds,
                    if self.complete { "" } else { ", incomplete" }
                ),
            ),
            ("succeeded", format!("{}, {:.1} per second", self.succeeded, self.successes_per_second)),
            ("ms", format!("min {}, mean {}, max {}", ms(min), ms(mean), ms(max))),
            ("percentiles", format!("p50 {}, p90 {}, p95 {}, p99 {} ms", ms(p50), ms(p90), ms(p95), ms(p99))),
        ] {
            rows.add_row([name, &value]);
        }
        let mut text = rows.to_string();
        let _ = write!(text, "\n\n{}", self.outcome_table());
        if !self.failures.is_empty() {
            let _ = write!(text, "\n\n{}", self.failure_table());
        }
        text
    }

    fn outcome_table(&self) -> String {
        let mut rows = table(&BENCH_OUTCOMES);
        for CodeGroup { code, outcome, requests, share, p50_ms, p99_ms } in &self.outcomes {
            rows.add_row([
                outcome.clone(),
                code.to_string(),
                requests.to_string(),
                format!("{:.1} %", share * 100.0),
                decimals(*p50_ms, 2),
                decimals(*p99_ms, 2),
            ]);
        }
        rows.to_string()
    }

    fn failure_table(&self) -> String {
        let mut rows = table(&BENCH_FAILURES);
        for Failed { outcome, status, reason, requests } in &self.failures {
            rows.add_row([requests.to_string(), outcome.clone(), status.to_string(), printable(reason).into_owned()]);
        }
        rows.to_string()
    }

    /// Formats the samples as CSV, with a header line.
    pub(super) fn csv(&self) -> String {
        let mut csv = String::from("call,start_ms,latency_ms,code,outcome,status,bytes,reason\n");
        for Sample { call, start, latency, code, status, reason, bytes } in &self.samples {
            let [start, latency] = [start, latency].map(|time| time.as_secs_f64() * 1_000.0);
            let reason = printable(reason).replace('"', "\"\"");
            let (number, status) = (code.code(), status.as_u16());
            let _ = writeln!(csv, "{call},{start:.3},{latency:.3},{number},{code},{status},{bytes},\"{reason}\"");
        }
        csv
    }
}

impl Milliseconds {
    /// Computes the figures of sorted response times.
    fn of(sorted: &[f64]) -> Self {
        let mean = sorted.iter().sum::<f64>() / sorted.len() as f64;
        Self {
            min: sorted.first().copied(),
            mean: Some(mean).filter(|mean| mean.is_finite()),
            p50: quantile(sorted, 0.5),
            p90: quantile(sorted, 0.9),
            p95: quantile(sorted, 0.95),
            p99: quantile(sorted, 0.99),
            max: sorted.last().copied(),
        }
    }
}

/// Returns the response times of samples in milliseconds, sorted.
fn latencies<'a>(samples: impl Iterator<Item = &'a Sample>) -> Vec<f64> {
    let mut latencies: Vec<f64> = samples.map(|sample| sample.latency.as_secs_f64() * 1_000.0).collect();
    latencies.sort_unstable_by(f64::total_cmp);
    latencies
}

/// Groups samples by return code, the success first.
fn outcomes(samples: &[Sample]) -> Vec<CodeGroup> {
    let mut groups: BTreeMap<u8, Vec<&Sample>> = BTreeMap::new();
    for sample in samples {
        groups.entry(sample.code.code()).or_default().push(sample);
    }
    let outcome = |(code, group): (u8, Vec<&Sample>)| {
        let sorted = latencies(group.iter().copied());
        Some(CodeGroup {
            code,
            outcome: group.first()?.code.to_string(),
            requests: group.len(),
            share: group.len() as f64 / samples.len() as f64,
            p50_ms: quantile(&sorted, 0.5),
            p99_ms: quantile(&sorted, 0.99),
        })
    };
    groups.into_iter().filter_map(outcome).collect()
}

/// Groups failures by their reason, the most frequent first.
fn failures(samples: &[Sample]) -> Vec<Failed> {
    let mut counts: BTreeMap<(u8, u16, &str), (String, usize)> = BTreeMap::new();
    for sample in samples.iter().filter(|sample| !sample.code.is_success()) {
        let key = (sample.code.code(), sample.status.as_u16(), sample.reason.as_str());
        counts.entry(key).or_insert_with(|| (sample.code.to_string(), 0)).1 += 1;
    }
    let failed = |((_, status, reason), (outcome, requests)): ((u8, u16, &str), (String, usize))| Failed {
        outcome,
        status,
        reason: reason.to_owned(),
        requests,
    };
    let mut failures: Vec<Failed> = counts.into_iter().map(failed).collect();
    failures.sort_by_key(|failure| std::cmp::Reverse(failure.requests));
    if failures.len() > MAX_REASONS {
        let others = failures.split_off(MAX_REASONS);
        let requests = others.iter().map(|failure| failure.requests).sum();
        let reason = counted(others.len(), "other reason");
        failures.push(Failed { outcome: "–".to_owned(), status: 0, reason, requests });
    }
    failures
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::testing::{report, sample};
    use super::*;
    use crate::exit::exit_code;

    #[test]
    fn failures_are_grouped_by_reason_and_do_not_count_as_response_times() {
        let report = report(vec![
            sample(0, 10, 200, ""),
            sample(1, 30, 200, ""),
            sample(2, 1, 429, "too often"),
            sample(3, 2, 429, "too often"),
            sample(4, 3, 403, "no \"permit\"\u{1b}"),
        ]);
        let document = serde_json::to_value(&report).unwrap();
        assert_eq!(
            document["outcomes"],
            json!([
                { "code": 1, "outcome": "Success", "requests": 2, "share": 0.4, "p50_ms": 10.0, "p99_ms": 30.0 },
                { "code": 3, "outcome": "Backoff", "requests": 2, "share": 0.4, "p50_ms": 1.0, "p99_ms": 2.0 },
                { "code": 21, "outcome": "SenderUnknown", "requests": 1, "share": 0.2, "p50_ms": 3.0, "p99_ms": 3.0 },
            ])
        );
        assert_eq!(
            document["failures"],
            json!([
                { "outcome": "Backoff", "status": 429, "reason": "too often", "requests": 2 },
                { "outcome": "SenderUnknown", "status": 403, "reason": "no \"permit\"\u{1b}", "requests": 1 },
            ])
        );
        let milliseconds =
            json!({ "min": 10.0, "mean": 20.0, "p50": 10.0, "p90": 30.0, "p95": 30.0, "p99": 30.0, "max": 30.0 });
        assert_eq!(document["milliseconds"], milliseconds);
        assert_eq!(document["successes_per_second"], 1.0);
        assert_eq!((&document["complete"], &document["response_bytes"]), (&json!(false), &json!(50)));
        let csv = report.csv();
        let lines: Vec<_> = csv.lines().collect();
        assert_eq!(lines[1], r#"0,0.000,10.000,1,Success,200,10,"""#);
        assert_eq!(lines[5], r#"4,400.000,3.000,21,SenderUnknown,403,10,"no ""permit""\u{1b}""#);
        assert_eq!(exit_code(&report.check()), 0);
    }

    #[test]
    fn benchmark_without_success_fails_like_its_last_request() {
        for (status, code) in [(401, 4), (403, 4), (408, 3), (429, 1), (500, 1)] {
            let report = report(vec![sample(0, 1, 500, "first"), sample(1, 1, status, "last")]);
            let result = report.check();
            assert_eq!(exit_code(&result), code, "{status}");
            assert!(format!("{:#}", result.unwrap_err()).contains("none of 2 requests succeeded"));
        }
        let empty = report(Vec::new());
        assert_eq!(empty.check().unwrap_err().to_string(), "interrupted before the first response");
        let document = serde_json::to_value(&empty).unwrap();
        assert_eq!((&document["milliseconds"]["mean"], &document["outcomes"]), (&json!(null), &json!([])));
    }

    #[test]
    fn reasons_are_bounded() {
        let samples = (0..30).map(|call| sample(call, 1, 500, &format!("reason {call}"))).collect();
        let failures = report(samples).failures;
        assert_eq!(failures.len(), MAX_REASONS + 1);
        let others = failures.last().unwrap();
        assert_eq!((others.reason.as_str(), others.requests), ("10 other reasons", 10));
    }
}
