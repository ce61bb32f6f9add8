//! The report of a benchmark: JSON, tables and CSV.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use anyhow::bail;
use serde::Serialize;
use taonet_cli_base::printable::printable;
use taonet_cli_base::table::{decimals, key_values, table};
use taonet_cli_base::tables::{BENCH_FAILURES, BENCH_OUTCOMES};
use taonet_primitives::{Hotkey, counted};

use super::load::{LoadResults, Plan, Sample};
use crate::axon::{CallOutcome, quantile};

/// Maximum number of reasons of failures in a report: a hostile miner could send a different one
/// each time.
const MAX_REASONS: usize = 20;

/// Settings and target of a measurement.
#[derive(Debug, Serialize)]
pub(super) struct BenchTarget {
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
    pub(super) target: BenchTarget,
    calls: u32,
    batch: u32,
    /// Calls per second that were planned.
    rate: f64,
    /// Calls per second that started; `None` with fewer than two calls.
    achieved_rate: Option<f64>,
    concurrency: usize,
    /// Requests that were answered or failed.
    pub(super) requests: usize,
    pub(super) succeeded: usize,
    /// Whether all planned requests were sent.
    complete: bool,
    seconds: f64,
    successes_per_second: f64,
    response_bytes: u64,
    /// Response times of the requests that succeeded, from when they were due.
    pub(super) milliseconds: Milliseconds,
    /// The same from when they started.
    service_ms: Milliseconds,
    /// Delay of the requests' starts after their schedule.
    late_ms: Milliseconds,
    outcomes: Vec<CodeGroup>,
    failures: Vec<FailureGroup>,
    #[serde(skip)]
    pub(super) samples: Vec<Sample>,
}

/// Times in milliseconds; `None` without samples.
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
struct FailureGroup {
    outcome: String,
    status: u16,
    reason: String,
    requests: usize,
}

impl Report {
    pub(super) fn new(target: BenchTarget, plan: Plan, results: LoadResults) -> Self {
        let LoadResults { samples, elapsed } = results;
        let successes: Vec<&Sample> =
            samples.iter().filter(|sample| sample.code.is_success()).collect();
        let succeeded = successes.len();
        let latencies = successes.iter().map(|sample| sample.latency());
        let milliseconds = Milliseconds::from_sorted(&sorted_ms(latencies));
        let service_times = successes.iter().map(|sample| sample.service_time);
        let service_ms = Milliseconds::from_sorted(&sorted_ms(service_times));
        let seconds = elapsed.as_secs_f64();
        Self {
            schema: 1,
            target,
            calls: plan.calls,
            batch: plan.batch,
            rate: plan.rate,
            achieved_rate: achieved_rate(&samples),
            concurrency: plan.concurrency,
            requests: samples.len(),
            succeeded,
            complete: samples.len() == plan.calls as usize * plan.batch as usize,
            seconds,
            successes_per_second: succeeded as f64 / seconds.max(f64::MIN_POSITIVE),
            response_bytes: samples.iter().map(|sample| sample.bytes as u64).sum(),
            milliseconds,
            service_ms,
            late_ms: Milliseconds::from_sorted(&sorted_ms(samples.iter().map(Sample::lateness))),
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
        let Some(last) = self.samples.last() else {
            bail!("interrupted before the first response")
        };
        let outcome =
            CallOutcome { code: last.code, status: last.status, message: last.reason.clone() };
        let requests = counted(self.requests, "request");
        outcome.check().map_err(|error| error.context(format!("none of {requests} succeeded")))
    }

    /// Formats the report as tables.
    pub(super) fn text(&self) -> String {
        let BenchTarget { url, hotkey, kind, scheme, size } = &self.target;
        let mut rows = key_values();
        let size = size.map(|size| format!(" of size {size}")).unwrap_or_default();
        let batch =
            if self.batch == 1 { String::new() } else { format!(" of {} requests", self.batch) };
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
                    "{} in {:.1} s, {} calls per second{}",
                    self.requests,
                    self.seconds,
                    decimals(self.achieved_rate, 2),
                    if self.complete { "" } else { ", incomplete" }
                ),
            ),
            (
                "succeeded",
                format!("{}, {:.1} per second", self.succeeded, self.successes_per_second),
            ),
            ("ms", format!("min {}, mean {}, max {}", ms(min), ms(mean), ms(max))),
            (
                "percentiles",
                format!("p50 {}, p90 {}, p95 {}, p99 {} ms", ms(p50), ms(p90), ms(p95), ms(p99)),
            ),
            ("from the start", format_times(&self.service_ms)),
            ("started late by", format_times(&self.late_ms)),
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
        for FailureGroup { outcome, status, reason, requests } in &self.failures {
            rows.add_row([
                requests.to_string(),
                outcome.clone(),
                status.to_string(),
                printable(reason).into_owned(),
            ]);
        }
        rows.to_string()
    }

    /// Formats the samples as CSV, with a header line.
    pub(super) fn csv(&self) -> String {
        let mut csv = String::from(
            "call,due_ms,late_ms,latency_ms,service_ms,code,outcome,status,bytes,reason\n",
        );
        for sample in &self.samples {
            let Sample { call, scheduled_start, service_time, code, status, reason, bytes, .. } =
                sample;
            let [due, late, latency, service] =
                [*scheduled_start, sample.lateness(), sample.latency(), *service_time]
                    .map(milliseconds);
            let (code_number, status, reason) =
                (code.code(), status.as_u16(), csv_cell(&printable(reason)));
            let _ = writeln!(
                csv,
                "{call},{due:.3},{late:.3},{latency:.3},{service:.3},{code_number},{code},{status},{bytes},{reason}"
            );
        }
        csv
    }
}

/// Formats a text as a quoted cell of CSV. Spreadsheets would run a text that a miner begins like a
/// formula.
fn csv_cell(text: &str) -> String {
    let escape = if text.starts_with(['=', '+', '-', '@', '\t', '\r']) { "'" } else { "" };
    format!("\"{escape}{}\"", text.replace('"', "\"\""))
}

impl Milliseconds {
    /// Computes the figures of sorted response times.
    fn from_sorted(sorted: &[f64]) -> Self {
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

pub(super) fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1_000.0
}

fn ms(value: Option<f64>) -> String {
    decimals(value, 2)
}

fn format_times(times: &Milliseconds) -> String {
    format!("p50 {}, p99 {}, max {} ms", ms(times.p50), ms(times.p99), ms(times.max))
}

/// Returns times in milliseconds, sorted.
fn sorted_ms(times: impl Iterator<Item = Duration>) -> Vec<f64> {
    let mut sorted: Vec<f64> = times.map(milliseconds).collect();
    sorted.sort_unstable_by(f64::total_cmp);
    sorted
}

/// Returns how many calls started per second, from samples in the order of their start.
fn achieved_rate(samples: &[Sample]) -> Option<f64> {
    let (first, last) = (
        samples.first()?,
        samples.iter().max_by_key(|sample| (sample.call, Reverse(sample.start)))?,
    );
    let seconds = last.start.saturating_sub(first.start).as_secs_f64();
    (last.call > first.call && seconds > 0.0).then(|| f64::from(last.call - first.call) / seconds)
}

/// Groups samples by return code, the success first.
fn outcomes(samples: &[Sample]) -> Vec<CodeGroup> {
    let mut groups: BTreeMap<u8, Vec<&Sample>> = BTreeMap::new();
    for sample in samples {
        groups.entry(sample.code.code()).or_default().push(sample);
    }
    let outcomes = groups.into_iter().filter_map(|(code, group)| {
        let sorted = sorted_ms(group.iter().map(|sample| sample.latency()));
        Some(CodeGroup {
            code,
            outcome: group.first()?.code.to_string(),
            requests: group.len(),
            share: group.len() as f64 / samples.len() as f64,
            p50_ms: quantile(&sorted, 0.5),
            p99_ms: quantile(&sorted, 0.99),
        })
    });
    outcomes.collect()
}

/// Groups failures by their reason, the most frequent first.
fn failures(samples: &[Sample]) -> Vec<FailureGroup> {
    let mut counts: BTreeMap<(u8, u16, &str), (&Sample, usize)> = BTreeMap::new();
    for sample in samples.iter().filter(|sample| !sample.code.is_success()) {
        let key = (sample.code.code(), sample.status.as_u16(), sample.reason.as_str());
        counts.entry(key).or_insert((sample, 0)).1 += 1;
    }
    let mut failures: Vec<FailureGroup> = counts
        .into_values()
        .map(|(sample, requests)| FailureGroup {
            outcome: sample.code.to_string(),
            status: sample.status.as_u16(),
            reason: sample.reason.clone(),
            requests,
        })
        .collect();
    failures.sort_by_key(|failure| Reverse(failure.requests));
    if failures.len() > MAX_REASONS {
        let others = failures.split_off(MAX_REASONS);
        let requests = others.iter().map(|failure| failure.requests).sum();
        let reason = counted(others.len(), "other reason");
        failures.push(FailureGroup { outcome: "–".to_owned(), status: 0, reason, requests });
    }
    failures
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use taonet_cli_base::exit::exit_code;

    use super::super::testing::{report, sample};
    use super::*;

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
            (&document["achieved_rate"], &document["late_ms"]["max"]),
            (&json!(10.0), &json!(0.0))
        );
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
        let milliseconds = json!({ "min": 10.0, "mean": 20.0, "p50": 10.0, "p90": 30.0, "p95": 30.0, "p99": 30.0, "max": 30.0 });
        assert_eq!(document["milliseconds"], milliseconds);
        assert_eq!(document["successes_per_second"], 1.0);
        assert_eq!(
            (&document["complete"], &document["response_bytes"]),
            (&json!(false), &json!(50))
        );
        let csv = report.csv();
        let lines: Vec<_> = csv.lines().collect();
        assert_eq!(lines[1], r#"0,0.000,0.000,10.000,10.000,1,Success,200,10,"""#);
        assert_eq!(
            lines[5],
            r#"4,400.000,0.000,3.000,3.000,21,SenderUnknown,403,10,"no ""permit""\u{1b}""#
        );
        assert_eq!(exit_code(&report.check()), 0);
    }

    #[test]
    fn latency_of_late_requests_counts_from_scheduled_start() {
        let late = |call: u32, late_ms: u64| {
            let sample = sample(call, 40, 200, "");
            Sample { start: sample.scheduled_start + Duration::from_millis(late_ms), ..sample }
        };
        // The calls were due every 100 ms, and start every 200 ms.
        let report = report(vec![late(0, 0), late(1, 100), late(2, 200)]);
        let document = serde_json::to_value(&report).unwrap();
        assert_eq!((&document["rate"], &document["achieved_rate"]), (&json!(10.0), &json!(5.0)));
        for (times, min, max) in
            [("milliseconds", 40.0, 240.0), ("service_ms", 40.0, 40.0), ("late_ms", 0.0, 200.0)]
        {
            let extremes = [&document[times]["min"], &document[times]["max"]]
                .map(|value| value.as_f64().unwrap());
            assert!(
                (extremes[0] - min).abs() < 1e-6 && (extremes[1] - max).abs() < 1e-6,
                "{times}: {extremes:?}"
            );
        }
        assert_eq!(
            report.csv().lines().nth(2),
            Some(r#"1,100.000,100.000,140.000,40.000,1,Success,200,10,"""#)
        );
        assert!(report.text().contains("5.00 calls per second"), "{}", report.text());
        let one = serde_json::to_value(super::super::testing::report(vec![sample(0, 1, 200, "")]))
            .unwrap();
        assert_eq!(one["achieved_rate"], json!(null));
    }

    #[test]
    fn spreadsheet_formulas_in_reasons_are_escaped() {
        for (reason, expected) in [
            ("=HYPERLINK(\"x\")", r#""'=HYPERLINK(""x"")""#),
            ("+1", "\"'+1\""),
            ("-1", "\"'-1\""),
            ("@SUM(1)", "\"'@SUM(1)\""),
            ("\t=1", r#""\t=1""#),
            ("a=b", "\"a=b\""),
            ("", "\"\""),
        ] {
            let csv = report(vec![sample(0, 1, 500, reason)]).csv();
            assert!(csv.trim_end().ends_with(&format!(",10,{expected}")), "{csv}");
        }
        assert_eq!([csv_cell("\t=1"), csv_cell("\r=1")], ["\"'\t=1\"", "\"'\r=1\""]);
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
        assert_eq!(
            (&document["milliseconds"]["mean"], &document["outcomes"]),
            (&json!(null), &json!([]))
        );
    }

    #[test]
    fn number_of_distinct_reasons_is_limited() {
        let samples = (0..30).map(|call| sample(call, 1, 500, &format!("reason {call}"))).collect();
        let failures = report(samples).failures;
        assert_eq!(failures.len(), MAX_REASONS + 1);
        let others = failures.last().unwrap();
        assert_eq!((others.reason.as_str(), others.requests), ("10 other reasons", 10));
    }
}
