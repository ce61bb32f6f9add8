//! Charts as SVG, drawn on the server. Colours come from the style sheet; every chart has a text
//! alternative.

mod lane;
mod peaks;
mod play_both;

use std::fmt::Write as _;

use maud::{Markup, html};

pub use lane::{Lane, Mark, Piece, ruler};
pub use peaks::{Peaks, PeaksError};
pub use play_both::play_both_button;

/// Width and height of a sparkline, in SVG units.
const SPARK: (f64, f64) = (100.0, 24.0);
/// Number of bars of a histogram.
const BARS: usize = 24;

/// Draws a line chart of values from 0 to 1, oldest first; missing values leave a gap.
pub fn sparkline(values: &[Option<f64>], label: &str) -> Markup {
    let (width, height) = SPARK;
    let step = width / (values.len().max(2) - 1) as f64;
    let (mut path, mut is_drawing, mut last) = (String::new(), false, None);
    for (position, value) in values.iter().enumerate() {
        let Some(value) = value.filter(|value| value.is_finite()) else {
            is_drawing = false;
            continue;
        };
        let x = step * position as f64;
        let y = height - 2.0 - value.clamp(0.0, 1.0) * (height - 4.0);
        // A single point is drawn as a line of length 0; round line caps make it visible.
        let _ = write!(path, "{}{x:.1} {y:.1}", if is_drawing { "L" } else { "M" });
        if !is_drawing {
            let _ = write!(path, "h0");
        }
        (is_drawing, last) = (true, Some((x, y)));
    }
    html! {
        svg.spark viewBox={ "-3 0 " (width + 6.0) " " (height) } role="img" aria-label=(label) {
            title { (label) }
            path d=(path) {}
            @if let Some((x, y)) = last { circle cx=(format!("{x:.1}")) cy=(format!("{y:.1}")) r="2.5" {} }
        }
    }
}

/// Draws a horizontal bar for a share from 0 to 1.
pub fn meter(share: f64, label: &str) -> Markup {
    let share = if share.is_finite() { share.clamp(0.0, 1.0) } else { 0.0 };
    html! {
        svg.meter role="img" aria-label=(label) {
            title { (label) }
            rect.track width="100%" height="100%" rx="3" {}
            rect.fill width={ (format!("{:.2}", share * 100.0)) "%" } height="100%" rx="3" {}
        }
    }
}

/// A bar of a [`columns`] chart.
#[derive(Debug, Clone, PartialEq)]
pub struct Column {
    /// Height of the bar, from 0 to 1.
    pub value: f64,
    /// Text of the bar, shown on hover and read by screen readers.
    pub label: String,
    /// URL that the bar links to.
    pub href: String,
}

/// Draws a chart of linked bars from 0 to 1, oldest first.
pub fn columns(columns: &[Column], label: &str) -> Markup {
    let step = 100.0 / columns.len().max(8) as f64;
    html! {
        svg.columns role="group" aria-label=(label) {
            @for (share, text) in [(0.0, "1"), (0.5, "0.5"), (1.0, "0")] {
                line.grid x1="0" x2="100%" y1=(y(share)) y2=(y(share)) {}
                text.tick x="2" y=(y(share)) dy="-3" aria-hidden="true" { (text) }
            }
            @for (position, column) in columns.iter().enumerate() {
                @let value = if column.value.is_finite() { column.value.clamp(0.0, 1.0) } else { 0.0 };
                a href=(column.href) aria-label=(column.label) {
                    title { (column.label) }
                    // The click target has the full height of the chart.
                    rect.hit x=(percent(step * position as f64)) y="0" width=(percent(step))
                        height="100%" {}
                    rect.bar x=(percent(step * (position as f64 + 0.15)))
                        width=(percent(step * 0.7)) y=(y(1.0 - value))
                        height=(percent((value * 92.0).max(0.8))) rx="2" {}
                }
            }
        }
    }
}

/// Returns the vertical position of a share of the chart's height, counted from the top, below a
/// margin for labels.
fn y(share: f64) -> String {
    percent(7.0 + share * 92.0)
}

/// Formats a length in percent.
fn percent(value: f64) -> String {
    format!("{value:.2}%")
}

/// Draws a histogram of durations in seconds; the last bar includes all values beyond the 99th
/// percentile.
pub fn histogram(values: &[f64], label: &str) -> Markup {
    let mut sorted: Vec<f64> = values.iter().copied().filter(|value| value.is_finite()).collect();
    sorted.sort_by(f64::total_cmp);
    let top =
        sorted.get(sorted.len() * 99 / 100).or(sorted.last()).copied().unwrap_or_default().max(0.1);
    let mut counts = [0_usize; BARS];
    for value in &sorted {
        let position = ((value / top) * BARS as f64).clamp(0.0, BARS as f64 - 1.0) as usize;
        if let Some(count) = counts.get_mut(position) {
            *count += 1;
        }
    }
    let maximum = counts.iter().copied().max().unwrap_or_default().max(1) as f64;
    let width = 100.0 / BARS as f64;
    html! {
        svg.histogram role="img" aria-label=(label) {
            title { (label) }
            @for (position, count) in counts.iter().enumerate() {
                @let height = *count as f64 / maximum * 80.0;
                @if *count > 0 {
                    rect.bar x=(percent(width * (position as f64 + 0.1)))
                        width=(percent(width * 0.8)) y=(percent(82.0 - height))
                        height=(percent(height.max(1.0))) rx="1" {
                        title { (format!("{:.2} to {:.2} s: {count}", top * position as f64 / BARS as f64, top * (position + 1) as f64 / BARS as f64)) }
                    }
                }
            }
            line.grid x1="0" x2="100%" y1="82%" y2="82%" {}
            text.tick x="0" y="98%" { "0 s" }
            text.tick x="50%" y="98%" text-anchor="middle" { (format!("{:.2} s", top / 2.0)) }
            text.tick x="100%" y="98%" text-anchor="end" { (format!("{top:.2} s")) }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sparkline_has_gaps_at_missing_and_non_finite_values() {
        let svg = sparkline(&[Some(0.0), None, Some(2.0), Some(f64::NAN), Some(0.5)], "<b>")
            .into_string();
        assert!(svg.contains("d=\"M0.0 22.0h0M50.0 2.0h0M100.0 12.0h0\""), "{svg}");
        assert!(!svg.contains("<b>"), "{svg}");
        for values in [&[][..], &[None], &[Some(0.4)]] {
            assert!(!sparkline(values, "").into_string().contains("NaN"));
        }
    }

    #[test]
    fn histogram_counts_only_finite_values() {
        let svg = histogram(&[0.1, 0.1, 0.2, 5.0, f64::INFINITY, -1.0], "times").into_string();
        assert_eq!(svg.matches("<rect").count(), 2, "{svg}");
        assert!(svg.contains(": 4</title>") && svg.contains(": 1</title>"), "{svg}");
        assert!(!histogram(&[], "none").into_string().contains("<rect"));
    }

    #[test]
    fn chart_columns_are_links() {
        let column = Column { value: 7.0, label: "<i>".into(), href: "/a?b=\"".into() };
        let svg = columns(&[column], "history").into_string();
        assert!(svg.contains("href=\"/a?b=&quot;\"") && !svg.contains("<i>"), "{svg}");
    }
}
