//! The plot of a benchmark as SVG: the response time of each request by its start.

use std::fmt::Write as _;

use rand::seq::IteratorRandom as _;

use super::load::Sample;
use super::report::{Report, milliseconds};

const WIDTH: f64 = 960.0;
const HEIGHT: f64 = 440.0;
const LEFT_MARGIN: f64 = 70.0;
const RIGHT_MARGIN: f64 = 150.0;
const TOP_MARGIN: f64 = 50.0;
const BOTTOM_MARGIN: f64 = 50.0;
/// Approximate number of labels of an axis.
const TICKS: f64 = 6.0;
/// Maximum number of points: a larger drawing is slow to open.
const MAX_POINTS: usize = 5_000;
const SUCCESS: &str = "#1a7f37";
const FAILURE: &str = "#cf222e";
const LINE: &str = "#57606a";

/// Draws the requests as points, and the percentiles of the successes as lines.
pub(super) fn draw(report: &Report) -> String {
    let x = Axis::new(
        report.samples.iter().map(|sample| sample.start.as_secs_f64()),
        LEFT_MARGIN,
        WIDTH - RIGHT_MARGIN,
    );
    let latencies = report.samples.iter().map(|sample| milliseconds(sample.latency()));
    let y = Axis::new(latencies, HEIGHT - BOTTOM_MARGIN, TOP_MARGIN);
    let target = &report.target;
    let title = format!(
        "{} at {}: {} of {} requests succeeded",
        escape(&target.kind),
        escape(&target.url),
        report.succeeded,
        report.requests
    );
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" font-family=\"sans-serif\" \
         font-size=\"13\">\n<title>{title}</title>\n<rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n"
    );
    text(&mut svg, LEFT_MARGIN, TOP_MARGIN / 2.0, "start", &title);
    axes(&mut svg, &x, &y);
    for sample in samples_to_draw(&report.samples) {
        let (cx, cy) = (x.at(sample.start.as_secs_f64()), y.at(milliseconds(sample.latency())));
        let fill = if sample.code.is_success() { SUCCESS } else { FAILURE };
        let _ = writeln!(
            svg,
            "<circle cx=\"{cx:.1}\" cy=\"{cy:.1}\" r=\"2.5\" fill=\"{fill}\" fill-opacity=\"0.6\"/>"
        );
    }
    let percentiles = &report.milliseconds;
    let mut last_label_y = HEIGHT;
    for (name, value) in
        [("p50", percentiles.p50), ("p95", percentiles.p95), ("p99", percentiles.p99)]
    {
        let Some(value) = value else { continue };
        let (end, label_y) = (WIDTH - RIGHT_MARGIN, y.at(value));
        line(&mut svg, [LEFT_MARGIN, label_y, end, label_y], SUCCESS);
        // The labels of close percentiles must not overlap.
        last_label_y = f64::min(label_y, last_label_y - 14.0);
        text(&mut svg, end + 6.0, last_label_y, "start", &format!("{name} {value:.2} ms"));
    }
    for (offset, color, name) in [(0.0, SUCCESS, "success"), (20.0, FAILURE, "failure")] {
        let (marker_x, marker_y) =
            (WIDTH - RIGHT_MARGIN + 12.0, HEIGHT - BOTTOM_MARGIN + 20.0 + offset);
        let _ =
            writeln!(svg, "<circle cx=\"{marker_x}\" cy=\"{marker_y}\" r=\"4\" fill=\"{color}\"/>");
        text(&mut svg, marker_x + 10.0, marker_y + 4.0, "start", name);
    }
    svg.push_str("</svg>\n");
    svg
}

/// Selects the requests to draw: if there are too many, the slowest one, the failures, and
/// successes at random. Every second or third one could leave out all slow ones of a miner that is
/// slow at regular intervals.
fn samples_to_draw(samples: &[Sample]) -> Vec<&Sample> {
    if samples.len() <= MAX_POINTS {
        return samples.iter().collect();
    }
    let mut selected: Vec<&Sample> =
        samples.iter().max_by_key(|sample| sample.latency()).into_iter().collect();
    let others = samples
        .iter()
        .filter(|sample| !selected.iter().any(|slowest| std::ptr::eq(*slowest, *sample)));
    let (successes, failures): (Vec<&Sample>, Vec<&Sample>) =
        others.partition(|sample| sample.code.is_success());
    for group in [failures, successes] {
        let remaining = MAX_POINTS - selected.len();
        selected.extend(group.into_iter().choose_multiple(&mut rand::rng(), remaining));
    }
    selected
}

/// Draws both axes with their labels.
fn axes(svg: &mut String, x: &Axis, y: &Axis) {
    let (end, baseline) = (WIDTH - RIGHT_MARGIN, HEIGHT - BOTTOM_MARGIN);
    line(svg, [LEFT_MARGIN, baseline, end, baseline], LINE);
    line(svg, [LEFT_MARGIN, baseline, LEFT_MARGIN, TOP_MARGIN], LINE);
    for value in x.ticks() {
        line(svg, [x.at(value), baseline, x.at(value), baseline + 5.0], LINE);
        text(svg, x.at(value), baseline + 20.0, "middle", &x.label(value));
    }
    for value in y.ticks() {
        line(svg, [LEFT_MARGIN - 5.0, y.at(value), LEFT_MARGIN, y.at(value)], LINE);
        text(svg, LEFT_MARGIN - 8.0, y.at(value) + 4.0, "end", &y.label(value));
    }
    text(
        svg,
        f64::midpoint(LEFT_MARGIN, end),
        baseline + 40.0,
        "middle",
        "start of the request, in seconds",
    );
    text(svg, 8.0, TOP_MARGIN - 8.0, "start", "response time, in ms");
}

fn line(svg: &mut String, [x1, y1, x2, y2]: [f64; 4], color: &str) {
    let coordinates = format!("x1=\"{x1:.1}\" y1=\"{y1:.1}\" x2=\"{x2:.1}\" y2=\"{y2:.1}\"");
    let _ = writeln!(svg, "<line {coordinates} stroke=\"{color}\"/>");
}

fn text(svg: &mut String, x: f64, y: f64, anchor: &str, text: &str) {
    let _ = writeln!(svg, "<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\">{text}</text>");
}

/// A linear axis from 0 to a round number.
struct Axis {
    step: f64,
    max: f64,
    /// Position of 0.
    from: f64,
    /// Position of the maximum.
    to: f64,
}

impl Axis {
    /// Creates an axis that covers all values.
    fn new(values: impl Iterator<Item = f64>, from: f64, to: f64) -> Self {
        // With one call, or none, all values can be 0.
        let largest = values.fold(0.001, f64::max);
        let magnitude = 10_f64.powf((largest / TICKS).log10().floor());
        let steps = [1.0, 2.0, 5.0].map(|factor| factor * magnitude);
        let step =
            steps.into_iter().find(|step| largest / step <= TICKS).unwrap_or(10.0 * magnitude);
        // The quotient of a round number can be slightly too large.
        Self { step, max: step * (largest / step - 1e-9).ceil(), from, to }
    }

    /// Returns the position of a value.
    fn at(&self, value: f64) -> f64 {
        self.from + (self.to - self.from) * value / self.max
    }

    fn ticks(&self) -> impl Iterator<Item = f64> + use<> {
        let (step, count) = (self.step, (self.max / self.step).round() as u32);
        (0..=count).map(move |index| f64::from(index) * step)
    }

    fn label(&self, value: f64) -> String {
        let decimals = (-self.step.log10().floor()).max(0.0) as usize;
        format!("{value:.decimals$}")
    }
}

/// Escapes a text for XML.
fn escape(text: &str) -> String {
    // XML forbids control characters and these two noncharacters.
    let is_allowed =
        |character: &char| !character.is_control() && !['\u{fffe}', '\u{ffff}'].contains(character);
    let visible = text.chars().filter(is_allowed);
    visible.collect::<String>().replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::super::testing::{report, sample};
    use super::*;

    #[test]
    fn axes_end_at_round_numbers_above_all_values() {
        for (largest, step, max, label) in [
            (0.0, 0.0002, 0.001, "0.0010"),
            (0.9, 0.2, 1.0, "1.0"),
            (6.0, 1.0, 6.0, "6"),
            (12.5, 5.0, 15.0, "15"),
            (61.0, 20.0, 80.0, "80"),
            (12_000.0, 2_000.0, 12_000.0, "12000"),
        ] {
            let axis = Axis::new([largest, 0.0].into_iter(), 100.0, 0.0);
            assert!(
                (axis.step - step).abs() < 1e-9 && (axis.max - max).abs() < 1e-9,
                "{largest}: {}",
                axis.max
            );
            assert_eq!(axis.label(axis.max), label);
            assert!((axis.at(0.0) - 100.0).abs() < 1e-9 && axis.at(axis.max).abs() < 1e-9);
            assert!((2..=7).contains(&axis.ticks().count()), "{largest}");
        }
    }

    #[test]
    fn plot_has_a_point_for_each_request_and_its_percentiles() {
        let mut report = report(vec![
            sample(0, 10, 200, ""),
            sample(1, 30, 200, ""),
            sample(2, 1, 429, "often"),
        ]);
        report.target.kind = "a&b<c>\u{fffe}\u{ffff}\u{1b}.json".to_owned();
        let svg = draw(&report);
        assert!(svg.starts_with("<svg ") && svg.ends_with("</svg>\n"), "{svg}");
        let points = |color: &str| svg.matches(&format!("r=\"2.5\" fill=\"{color}\"")).count();
        assert_eq!((points(SUCCESS), points(FAILURE)), (2, 1));
        for label in [
            "p50 10.00 ms",
            "p99 30.00 ms",
            "2 of 3 requests succeeded",
            "a&amp;b&lt;c&gt;.json at ",
        ] {
            assert!(svg.contains(label), "{label}: {svg}");
        }
        assert!(!svg.contains("NaN") && !svg.contains("inf"), "{svg}");
    }

    #[test]
    fn plot_of_many_requests_has_the_slowest_and_all_failures() {
        let sample = |call: u32| match call {
            1 => sample(call, 9_000, 200, ""),
            2 | 4 | 5 => sample(call, 1, 500, "no"),
            _ => sample(call, 1, 200, ""),
        };
        let samples: Vec<_> = (0..12_001).map(sample).collect();
        let plotted = samples_to_draw(&samples);
        assert_eq!(plotted.len(), MAX_POINTS);
        assert_eq!(plotted.iter().filter(|sample| sample.call == 1).count(), 1);
        assert_eq!(plotted.iter().filter(|sample| !sample.code.is_success()).count(), 3);
        // Successes from the whole run.
        let late = plotted.iter().filter(|sample| sample.call >= 6_000).count();
        assert!((2_000..3_000).contains(&late), "{late}");
    }

    #[test]
    fn plot_of_many_requests_is_bounded() {
        let report = report((0..12_001).map(|call| sample(call, 1, 200, "")).collect());
        let points = draw(&report).matches("r=\"2.5\"").count();
        assert!((4_000..=MAX_POINTS).contains(&points), "{points}");
        let empty = draw(&super::super::testing::report(Vec::new()));
        assert!(empty.contains("0 of 0 requests succeeded") && !empty.contains("NaN"), "{empty}");
    }
}
