//! Tracing and Prometheus metrics for taonet's daemons.
//!
//! Libraries emit events with `tracing` and metrics with the `metrics` macros, but install neither
//! a subscriber nor a recorder: a process has one of each, and the binary installs them.
//!
//! - [`init_tracing`] sends events to standard error, as readable lines or as JSON ([`LogFormat`]).
//!   taonet's crates log at the level that `-v` selects; dependencies stay at warnings, since their
//!   debug output may contain request bodies. The value of `RUST_LOG` overrides these levels.
//! - [`record_log`] also writes events to a file, one JSON object per line: debug events of
//!   taonet's crates and warnings of dependencies, regardless of `-v` and `RUST_LOG`.
//! - [`Metrics::install`] records the metrics of the process, and [`Metrics::render`] returns them
//!   in the Prometheus text format. Histograms whose names end in `_seconds` have the same buckets
//!   everywhere, from 1 ms to 10 s. A thread aggregates the recorded samples, so that memory stays
//!   bounded even if nobody reads the metrics.
//!
//! A binary calls [`init_tracing`] once, before anything else. A binary that serves metrics also
//! calls [`Metrics::install`], before it records the first metric:
//!
//! ```no_run
//! use taonet_telemetry::{LogFormat, Metrics, init_tracing};
//!
//! let filter = std::env::var("RUST_LOG").ok();
//! init_tracing(1, filter.as_deref(), LogFormat::Human);
//! let metrics = Metrics::install().expect("no other recorder is installed");
//! println!("{}", metrics.render());
//! ```
//!
//! The crate serves no HTTP and pushes nothing to a collector: `taonet-http` serves `/metrics`.
//! Each crate that defines metrics registers their help texts, usually in a function
//! `describe_metrics`. `docs/metrics.md` lists the metrics; a test compares their names with those
//! in the code.
//!
//! Uses no other crate of the workspace. Used by `taonet-http`, whose readiness routes render the
//! metrics, by the commands of `tao`, and by the program of `taonet-summing-subnet`.

mod filter;
mod record;

use std::io::{IsTerminal as _, stderr};
use std::time::Duration;

use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder, PrometheusHandle};
use tracing_subscriber::fmt;
use tracing_subscriber::layer::{Layer as _, SubscriberExt as _};
use tracing_subscriber::util::SubscriberInitExt as _;

pub use record::record_log;

/// The format of log lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LogFormat {
    /// One readable line per event.
    #[default]
    Human,
    /// One JSON object per event.
    Json,
}

/// Sends tracing events to standard error: warnings by default, `-v` adds info, `-vv` debug, `-vvv`
/// trace.
///
/// `filter`, the value of the environment variable `RUST_LOG`, overrides `verbosity`.
/// [`record_log`] also records the events in a file. Does nothing if a subscriber is already
/// installed, as in tests.
pub fn init_tracing(verbosity: u8, filter: Option<&str>, format: LogFormat) {
    let filter = filter::filter(verbosity, filter);
    let layer = match format {
        LogFormat::Human => {
            // https://no-color.org: any value but the empty one.
            let has_colours = stderr().is_terminal()
                && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
            fmt::layer().with_ansi(has_colours).with_writer(stderr).boxed()
        }
        LogFormat::Json => fmt::layer().json().with_writer(stderr).boxed(),
    };
    let _ = tracing_subscriber::registry()
        .with(record::layer())
        .with(layer.with_filter(filter))
        .try_init();
}

/// Bucket bounds, in seconds, of the histograms whose names end in `_seconds`: from the time of a
/// response served from memory to the longest deadline of a miner.
const SECONDS: [f64; 12] =
    [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 3.0, 10.0];

/// The interval of the upkeep: the default of the exporter's own task.
const UPKEEP_INTERVAL: Duration = Duration::from_secs(5);

fn builder() -> Result<PrometheusBuilder, BuildError> {
    PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), &SECONDS)
}

/// The process's metrics, rendered in the Prometheus text format.
#[derive(Clone)]
pub struct Metrics(PrometheusHandle);

impl Metrics {
    /// Installs the process-wide recorder. Call once, before the first metric is emitted.
    ///
    /// # Errors
    /// [`BuildError`] if a recorder is already installed.
    pub fn install() -> Result<Self, BuildError> {
        let metrics = builder()?.install_recorder().map(Self)?;
        metrics.keep_up(|| {
            std::thread::sleep(UPKEEP_INTERVAL);
            true
        });
        Ok(metrics)
    }

    /// Aggregates recorded samples in a thread, each time that `wait` returns true. A histogram
    /// stores each sample, 16 bytes, until then: if nobody reads `/metrics`, a busy daemon would
    /// otherwise grow by megabytes a minute.
    fn keep_up(&self, mut wait: impl FnMut() -> bool + Send + 'static) {
        let metrics = self.0.clone();
        let thread = std::thread::Builder::new().name("metrics".to_owned());
        let spawned = thread.spawn(move || {
            while wait() {
                metrics.run_upkeep();
            }
        });
        if let Err(error) = spawned {
            tracing::warn!(%error, "cannot start the upkeep of metrics, memory grows until /metrics is read");
        }
    }

    /// Returns all metrics in the Prometheus text format.
    pub fn render(&self) -> String {
        self.0.run_upkeep();
        self.0.render()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    /// Resident memory of this process in bytes.
    #[cfg(target_os = "linux")]
    fn resident() -> usize {
        let pages = std::fs::read_to_string("/proc/self/statm").unwrap();
        pages.split(' ').nth(1).unwrap().parse::<usize>().unwrap() * 4_096
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn unread_metrics_do_not_accumulate_samples() {
        const ROUNDS: u64 = 20;
        const SAMPLES: u64 = 1_000_000;
        let recorder = builder().unwrap().build_recorder();
        let metrics = Metrics(recorder.handle());
        let (ready, is_ready) = mpsc::channel();
        let (start, started) = mpsc::channel();
        metrics.keep_up(move || ready.send(()).is_ok() && started.recv().is_ok());
        let before = resident();
        metrics::with_local_recorder(&recorder, || {
            let histogram = metrics::histogram!("taonet_test_seconds");
            for _ in 0..ROUNDS {
                // metrics-util 0.20.4 can lose the samples since the last upkeep if a thread
                // records during an upkeep.
                is_ready.recv().unwrap();
                for _ in 0..SAMPLES {
                    histogram.record(0.01);
                }
                start.send(()).unwrap();
            }
        });
        is_ready.recv().unwrap();
        // Without upkeep, the samples take 330 MB.
        let growth = resident().saturating_sub(before);
        assert!(growth < 100 << 20, "{growth} bytes for {ROUNDS} rounds of {SAMPLES} samples");
        let page = metrics.render();
        assert!(
            page.contains(&format!("taonet_test_seconds_count {}\n", ROUNDS * SAMPLES)),
            "{page}"
        );
    }
}
