//! Measurement of time and memory of this process and of others, and statistics over repeats.

use std::time::{Duration, Instant};

use rustix::param::clock_ticks_per_second;
use rustix::time::{ClockId, clock_gettime};
use serde::Serialize;

/// Wall-clock and processor time since the start of a measurement.
pub(super) struct Stopwatch {
    start: Instant,
    processor_time_at_start: Duration,
}

impl Stopwatch {
    pub(super) fn start() -> Self {
        Self { start: Instant::now(), processor_time_at_start: processor_time() }
    }

    /// Returns the elapsed wall-clock seconds, and processor seconds of all threads.
    pub(super) fn elapsed(&self) -> (f64, f64) {
        let processor = processor_time().saturating_sub(self.processor_time_at_start);
        (self.start.elapsed().as_secs_f64(), processor.as_secs_f64())
    }
}

fn processor_time() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    let seconds = u64::try_from(time.tv_sec).unwrap_or_default();
    Duration::new(seconds, u32::try_from(time.tv_nsec).unwrap_or_default())
}

/// Returns the peak memory of this process in MB; `None` on systems other than Linux.
pub(super) fn peak_memory() -> Option<f64> {
    peak_memory_of("self")
}

/// Returns the peak memory in MB of the process with this ID; `None` if it has ended, and on
/// systems other than Linux.
pub(super) fn peak_memory_of(process: &str) -> Option<f64> {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kibibytes: f64 = line.trim().trim_end_matches("kB").trim().parse().ok()?;
    Some(kibibytes * 1024.0 / 1e6)
}

/// Returns the processor seconds that the process with this ID has used, with all its threads and
/// the programs that it has run and waited for; `None` if it has ended, and on systems other than
/// Linux.
pub(super) fn processor_seconds_of(process: &str) -> Option<f64> {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    // The name of the program, in parentheses, may contain spaces. The 12th to 15th field after it
    // are the times in user and kernel mode, of the process and of its children.
    let (_, fields) = stat.rsplit_once(") ")?;
    let ticks = fields.split(' ').skip(11).take(4).map(str::parse::<u64>);
    let ticks = ticks.collect::<Result<Vec<_>, _>>().ok().filter(|ticks| ticks.len() == 4)?;
    Some(ticks.iter().sum::<u64>() as f64 / clock_ticks_per_second() as f64)
}

/// Median, minimum and maximum over repeats.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub(super) struct Spread {
    pub(super) median: f64,
    pub(super) min: f64,
    pub(super) max: f64,
}

fn value_at(values: &[f64], index: usize) -> f64 {
    values.get(index).copied().unwrap_or_default()
}

impl Spread {
    /// Returns median, minimum and maximum of the values; all 0 if there are none.
    pub(super) fn of(values: impl IntoIterator<Item = f64>) -> Self {
        let mut values: Vec<f64> = values.into_iter().collect();
        values.sort_by(f64::total_cmp);
        let last = values.len().saturating_sub(1);
        Self {
            median: f64::midpoint(value_at(&values, last / 2), value_at(&values, values.len() / 2)),
            min: value_at(&values, 0),
            max: value_at(&values, last),
        }
    }
}

/// Divides `value` by `divisor`; returns 0 if the divisor is 0.
pub(super) fn ratio(value: f64, divisor: f64) -> f64 {
    if divisor > 0.0 { value / divisor } else { 0.0 }
}

#[cfg(test)]
#[allow(clippy::float_cmp, reason = "figures are selected, not computed")]
mod tests {
    use super::*;

    #[test]
    fn spread_has_median_minimum_and_maximum() {
        assert_eq!(Spread::of([3.0, 1.0, 2.0]), Spread { median: 2.0, min: 1.0, max: 3.0 });
        assert_eq!(Spread::of([4.0, 1.0]), Spread { median: 2.5, min: 1.0, max: 4.0 });
        assert_eq!(Spread::of([7.0]), Spread { median: 7.0, min: 7.0, max: 7.0 });
        assert_eq!(Spread::of([]), Spread { median: 0.0, min: 0.0, max: 0.0 });
    }

    #[test]
    fn cpu_time_increases_with_work() {
        let watch = Stopwatch::start();
        let start = Instant::now();
        while watch.elapsed().1 < 0.02 {
            assert!(start.elapsed() < Duration::from_mins(1));
        }
        assert!(watch.elapsed().0 > 0.0);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn process_usage_includes_exited_children() {
        use std::io::{BufRead as _, BufReader, Read as _, Write as _};
        use std::process::{Command, Stdio};

        // The inner shell works, and the outer one waits for it.
        let work = "sh -c 'i=0; while [ $i -lt 100000 ]; do i=$((i+1)); done'; echo done; read end";
        let mut shell = Command::new("sh")
            .args(["-c", work])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut output = BufReader::new(shell.stdout.take().unwrap());
        output.read_line(&mut String::new()).unwrap();
        let process = shell.id().to_string();
        let (seconds, megabytes) =
            (processor_seconds_of(&process).unwrap(), peak_memory_of(&process).unwrap());
        assert!(
            (0.01..60.0).contains(&seconds) && (0.1..100.0).contains(&megabytes),
            "{seconds} s, {megabytes} MB"
        );
        shell.stdin.take().unwrap().write_all(b"\n").unwrap();
        output.read_to_string(&mut String::new()).unwrap();
        shell.wait().unwrap();
        assert_eq!((processor_seconds_of(&process), peak_memory_of(&process)), (None, None));
    }
}
