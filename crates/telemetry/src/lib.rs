//! Tracing and Prometheus metrics for taonet's daemons.
//!
//! Libraries only emit events and metrics; a binary calls [`init_tracing`] once, and a daemon that serves `/metrics`
//! installs [`Metrics`] once.
//!
//! Uses no other crate of the workspace. Used by the command line, which installs both, and by `taonet-http`, which
//! serves `/metrics`.

mod filter;

use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder, PrometheusHandle};

/// The format of log lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LogFormat {
    /// One readable line per event.
    #[default]
    Human,
    /// One JSON object per event.
    Json,
}

/// Sends tracing events to standard error: warnings by default, `-v` adds info, `-vv` debug, `-vvv` trace.
///
/// `filter`, the value of the environment variable `RUST_LOG`, overrides `verbosity`. Does nothing if a subscriber is
/// already installed, as in tests.
pub fn init_tracing(verbosity: u8, filter: Option<&str>, format: LogFormat) {
    let filter = filter::filter(verbosity, filter);
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    let _ = match format {
        LogFormat::Human => builder.with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr())).try_init(),
        LogFormat::Json => builder.json().try_init(),
    };
}

/// Bucket bounds of all histograms in seconds: from a response served from memory to the longest deadline of a miner.
const SECONDS: [f64; 12] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 3.0, 10.0];

/// The process's metrics, rendered in the Prometheus text format.
#[derive(Clone)]
pub struct Metrics(PrometheusHandle);

impl Metrics {
    /// Installs the process-wide recorder. Call once, before the first metric is emitted.
    ///
    /// # Errors
    /// [`BuildError`] when a recorder is already installed.
    pub fn install() -> Result<Self, BuildError> {
        PrometheusBuilder::new()
            .set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), &SECONDS)?
            .install_recorder()
            .map(Self)
    }

    /// Returns all metrics in the Prometheus text format.
    pub fn render(&self) -> String {
        self.0.run_upkeep();
        self.0.render()
    }
}
