//! Trends of memory, descriptors and latencies over the samples of a run.

use std::time::Duration;

use serde::Serialize;

use crate::load::Results;

/// Highest growth of resident memory, in percent.
const MAX_GROWTH_PERCENT: f64 = 5.0;
/// Number of samples whose median is a value at the beginning or the end.
const MEDIAN_SAMPLES: usize = 3;
/// Maximum growth of the number of descriptors: connections can be open when a sample is taken.
const MAX_DESCRIPTOR_GROWTH: usize = 4;
/// Maximum ratio of the second half's median latency to the first half's, and a tolerance in
/// milliseconds.
const MAX_LATENCY_GROWTH: (f64, f64) = (1.25, 1.0);

/// A sample of a process.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Usage {
    pub(crate) resident_kib: u64,
    /// The part of the resident memory that the process allocated: heaps and stacks.
    pub(crate) anonymous_kib: u64,
    /// The part of the resident memory that maps files: the program, libraries, models.
    pub(crate) file_kib: u64,
    /// Open files and connections; `None` if the system hides them.
    pub(crate) descriptors: Option<usize>,
    /// Whether the process may have huge pages.
    pub(crate) has_huge_pages: bool,
}

/// Memory and descriptors of a daemon.
#[derive(Debug, Clone, Serialize)]
pub struct ProcessTrend {
    /// The daemon.
    pub name: String,
    /// Resident memory after the warm-up, in MiB: the median of three samples.
    pub first_mib: f64,
    /// Resident memory at the end, in MiB: the median of three samples.
    pub last_mib: f64,
    /// Growth of resident memory, in percent.
    pub growth_percent: f64,
    /// Anonymous memory (heaps and stacks) after the warm-up and at the end, in MiB: not judged,
    /// but it tells a leak from pages of the program that were read late.
    pub anonymous_mib: [f64; 2],
    /// Resident pages of mapped files after the warm-up and at the end, in MiB: not judged.
    pub file_mib: [f64; 2],
    /// Whether the process may have huge pages, into which the system can merge sparsely used
    /// memory: not judged, but it tells such growth from a leak.
    pub has_huge_pages: bool,
    /// Most descriptors in the first and in the second half; `None` if the system hides them.
    pub descriptors: Option<[usize; 2]>,
    /// Whether memory and descriptors meet the requirements.
    pub has_passed: bool,
}

impl ProcessTrend {
    /// Compares the samples of a process. One that is not `judged` always passes.
    pub(crate) fn from_usages(name: &str, usages: &[Usage], is_judged: bool) -> Self {
        let [first_mib, last_mib] = first_and_last(usages, |usage| usage.resident_kib);
        let growth_percent = 100.0 * (last_mib / first_mib - 1.0);
        let maximum = |half: &[Usage]| half.iter().filter_map(|usage| usage.descriptors).max();
        let (first, second) = usages.split_at(usages.len() / 2);
        let descriptors =
            maximum(first).zip(maximum(second)).map(|(first, second)| [first, second]);
        let is_constant =
            descriptors.is_none_or(|[first, second]| second <= first + MAX_DESCRIPTOR_GROWTH);
        let has_passed = !is_judged || (growth_percent <= MAX_GROWTH_PERCENT && is_constant);
        Self {
            name: name.to_owned(),
            first_mib,
            last_mib,
            growth_percent,
            anonymous_mib: first_and_last(usages, |usage| usage.anonymous_kib),
            file_mib: first_and_last(usages, |usage| usage.file_kib),
            has_huge_pages: usages.iter().any(|usage| usage.has_huge_pages),
            descriptors,
            has_passed,
        }
    }
}

/// Returns the medians of the first and of the last three samples, in MiB.
fn first_and_last(usages: &[Usage], kib: impl Fn(&Usage) -> u64) -> [f64; 2] {
    let values: Vec<f64> = usages.iter().map(|usage| kib(usage) as f64 / 1024.0).collect();
    [median(values.iter().take(MEDIAN_SAMPLES)), median(values.iter().rev().take(MEDIAN_SAMPLES))]
}

/// The latencies of a sample's requests.
#[derive(Debug, Clone)]
pub(crate) struct Latencies {
    /// In milliseconds, sorted.
    sorted: Vec<f64>,
    failures: u64,
    error: Option<String>,
}

impl Latencies {
    pub(crate) fn from_results(results: Results) -> Self {
        let mut sorted: Vec<f64> =
            results.latencies.iter().map(|latency| milliseconds(*latency)).collect();
        sorted.sort_by(f64::total_cmp);
        Self { sorted, failures: results.failures, error: results.error }
    }

    /// Returns the latency below which this share of the requests is.
    fn percentile(&self, share: f64) -> f64 {
        let index = (self.sorted.len() as f64 * share) as usize;
        self.sorted.get(index).or(self.sorted.last()).copied().unwrap_or(f64::NAN)
    }
}

fn milliseconds(duration: Duration) -> f64 {
    1_000.0 * duration.as_secs_f64()
}

/// Latencies of a kind of request.
#[derive(Debug, Clone, Serialize)]
pub struct LatencyTrend {
    /// Name of the load: the request and its receiver.
    pub name: String,
    /// Number of requests.
    pub requests: usize,
    /// Number of failed requests.
    pub failures: u64,
    /// The last failure.
    pub error: Option<String>,
    /// Median over the samples' median latencies, in milliseconds, of the first and of the second
    /// half.
    pub p50_ms: [f64; 2],
    /// The same of the 99th percentile.
    pub p99_ms: [f64; 2],
    /// Whether the median latency has not grown.
    pub has_passed: bool,
}

impl LatencyTrend {
    pub(crate) fn from_samples(name: &str, samples: &[Latencies]) -> Self {
        let (first, second) = samples.split_at(samples.len() / 2);
        let halves = |share: f64| {
            [first, second].map(|half| {
                let values: Vec<f64> = half.iter().map(|sample| sample.percentile(share)).collect();
                median(values.iter())
            })
        };
        let (p50_ms, p99_ms) = (halves(0.5), halves(0.99));
        let failures = samples.iter().map(|sample| sample.failures).sum();
        let answered: usize = samples.iter().map(|sample| sample.sorted.len()).sum();
        let [before, after] = p50_ms;
        Self {
            name: name.to_owned(),
            requests: answered + failures as usize,
            failures,
            error: samples.iter().rev().find_map(|sample| sample.error.clone()),
            p50_ms,
            p99_ms,
            has_passed: after <= before * MAX_LATENCY_GROWTH.0 + MAX_LATENCY_GROWTH.1,
        }
    }

    /// Share of requests that failed.
    pub(crate) fn failed_share(&self) -> f64 {
        self.failures as f64 / self.requests.max(1) as f64
    }
}

/// Returns the median; NaN without values, so that no requirement is met.
fn median<'a>(values: impl Iterator<Item = &'a f64>) -> f64 {
    let mut sorted: Vec<f64> = values.copied().collect();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied().unwrap_or(f64::NAN)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trend(mib: &[u64], descriptors: &[usize]) -> ProcessTrend {
        let usage = |(mib, open): (&u64, &usize)| Usage {
            resident_kib: mib * 1024,
            anonymous_kib: mib * 768,
            file_kib: mib * 256,
            descriptors: Some(*open),
            has_huge_pages: false,
        };
        let usages: Vec<_> = mib.iter().zip(descriptors).map(usage).collect();
        ProcessTrend::from_usages("signer A", &usages, true)
    }

    fn latencies(milliseconds: &[u64]) -> LatencyTrend {
        let sample = |ms: &u64| {
            let latencies = vec![Duration::from_millis(*ms); 10];
            Latencies::from_results(Results { latencies, failures: 0, error: None })
        };
        LatencyTrend::from_samples("scores", &milliseconds.iter().map(sample).collect::<Vec<_>>())
    }

    #[test]
    fn growing_memory_fails_and_a_single_peak_does_not() {
        assert!(trend(&[100, 100, 100, 180, 104, 104, 104], &[9; 7]).has_passed);
        let growing_trend = trend(&[100, 100, 100, 102, 106, 106, 106], &[9; 7]);
        assert!(
            !growing_trend.has_passed && (growing_trend.growth_percent - 6.0).abs() < 1e-9,
            "{growing_trend:?}"
        );
    }

    #[test]
    fn trend_reports_anonymous_and_file_memory() {
        let trend = trend(&[100, 100, 100, 104, 104, 104], &[9; 6]);
        assert_eq!((trend.anonymous_mib, trend.file_mib), ([75.0, 78.0], [25.0, 26.0]));
    }

    #[test]
    fn growing_descriptors_fail() {
        assert!(trend(&[100; 6], &[9, 12, 9, 9, 14, 16]).has_passed);
        assert!(!trend(&[100; 6], &[9, 12, 9, 15, 16, 17]).has_passed);
    }

    #[test]
    fn growing_latency_fails() {
        assert!(latencies(&[10, 10, 12, 11, 12, 13]).has_passed);
        assert!(!latencies(&[10, 10, 12, 13, 14, 15]).has_passed);
    }

    #[test]
    fn run_without_samples_fails() {
        assert!(!trend(&[], &[]).has_passed);
        assert!(!latencies(&[]).has_passed);
    }
}
