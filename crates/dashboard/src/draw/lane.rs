use std::fmt::Write as _;

use maud::{Markup, html};

use super::{Peaks, percent};

/// Minimum distance between two word labels, in percent of the axis.
const MIN_LABEL_DISTANCE: f64 = 4.5;
/// Gap, in seconds, below which two segments are joined, since it is inaudible.
const INAUDIBLE: f64 = 0.002;
/// Maximum number of segments for the script.
const MAX_SEGMENTS: usize = 2_000;
/// Maximum number of word marks in a lane.
const MAX_MARKS: usize = 400;

/// A segment of a recording on the time axis.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Piece {
    /// Start of the segment on the axis, in seconds.
    pub start: f64,
    /// Start of the segment within the recording, in seconds.
    pub offset: f64,
    /// Duration of the segment in seconds.
    pub seconds: f64,
}

/// A word on the time axis.
#[derive(Debug, Clone, PartialEq)]
pub struct Mark {
    /// Start of the word on the axis, in seconds.
    pub start: f64,
    /// Text of the word.
    pub text: String,
}

/// A recording on a time axis that several lanes share.
#[derive(Debug, Clone)]
pub struct Lane<'a> {
    /// Length of the axis in seconds.
    pub axis: f64,
    /// The recording's envelope; `None` if the recording is missing or unreadable.
    pub peaks: Option<&'a Peaks>,
    /// Segments of the recording, with their playback times.
    pub pieces: &'a [Piece],
    /// End of the source on the axis, in seconds.
    pub source_end: f64,
    /// Latest allowed end of a reply on the axis, in seconds. The lane marks the window between the
    /// end of the source and this time.
    pub window_end: Option<f64>,
    /// End of the reply on the axis, in seconds.
    pub end: Option<f64>,
    /// Words of the recording, in order of time.
    pub marks: &'a [Mark],
    /// Text alternative for screen readers.
    pub label: &'a str,
}

impl Lane<'_> {
    /// Draws the lane as SVG.
    pub fn draw(&self) -> Markup {
        let source_end = self.axis_position(self.source_end);
        let window = self.window_end.map(|end| (source_end, self.axis_position(end)));
        let mut last = f64::NEG_INFINITY;
        let marks = self.marks.iter().take(MAX_MARKS).map(|mark| {
            let x = self.axis_position(mark.start);
            let has_label = x - last >= MIN_LABEL_DISTANCE && x < 96.0;
            if has_label {
                last = x;
            }
            (x, mark.text.as_str(), has_label)
        });
        let marks: Vec<_> = marks.collect();
        // The script moves a playhead along the axis, and seeks where the visitor clicks.
        html! {
            svg.lane role="img" aria-label=(self.label) data-axis=(self.axis) data-pieces=(segments(self.pieces)) {
                title { (self.label) }
                @if let Some((start, end)) = window {
                    rect.window x=(percent(start)) width=(percent(end - start)) y="0"
                        height="100%" {}
                }
                line.axis x1="0" x2="100%" y1="42%" y2="42%" {}
                @if let Some(peaks) = self.peaks {
                    svg viewBox="0 0 1000 100" preserveAspectRatio="none" x="0" y="0" width="100%" height="84%" {
                        path.wave d=(self.envelope(peaks)) {}
                    }
                }
                @for (x, text, has_label) in &marks {
                    line.word x1=(percent(*x)) x2=(percent(*x)) y1="84%" y2="90%" {
                        title { (text) }
                    }
                    @if *has_label { text.word x=(percent(*x)) y="100%" dy="-2" { (text) } }
                }
                line.source x1=(percent(source_end)) x2=(percent(source_end)) y1="0" y2="86%" {}
                @if let Some(end) = self.end.map(|end| self.axis_position(end)) {
                    line.end x1=(percent(end)) x2=(percent(end)) y1="0" y2="86%" {}
                }
            }
        }
    }

    /// Returns the position of a time on the axis, in percent.
    fn axis_position(&self, seconds: f64) -> f64 {
        (seconds / self.axis * 100.0).clamp(0.0, 100.0)
    }

    /// Returns the outline of the recording as SVG path data in a coordinate system of 1000 by 100,
    /// with one closed path per piece.
    fn envelope(&self, peaks: &Peaks) -> String {
        let mut path = String::new();
        let step = peaks.seconds / peaks.points.len().max(1) as f64;
        if !(step > 0.0 && self.axis > 0.0) {
            return path;
        }
        for piece in join_pieces(self.pieces) {
            let first = (piece.offset / step).floor().max(0.0) as usize;
            let last = ((piece.offset + piece.seconds) / step).ceil().max(0.0) as usize;
            let Some(points) = peaks
                .points
                .get(first..last.min(peaks.points.len()))
                .filter(|points| !points.is_empty())
            else {
                continue;
            };
            for (position, (_, high)) in points.iter().enumerate() {
                let _ = write!(
                    path,
                    "{}{:.1} {:.1}",
                    if position == 0 { "M" } else { "L" },
                    self.outline_x(piece, (first + position) as f64 * step),
                    49.0 - high * 48.0
                );
            }
            for (position, (low, _)) in points.iter().enumerate().rev() {
                let x = self.outline_x(piece, (first + position + 1) as f64 * step);
                let _ = write!(path, "L{x:.1} {:.1}", 51.0 - low * 48.0);
            }
            path.push('Z');
        }
        path
    }

    /// Returns the coordinate at which a piece plays the recording's `second`.
    fn outline_x(&self, piece: Piece, second: f64) -> f64 {
        let seconds = (second - piece.offset).clamp(0.0, piece.seconds);
        ((piece.start + seconds) / self.axis * 1_000.0).clamp(0.0, 1_000.0)
    }
}

/// Joins segments that follow each other without an audible gap.
fn join_pieces(pieces: &[Piece]) -> Vec<Piece> {
    let mut joined: Vec<Piece> = Vec::new();
    for piece in pieces {
        match joined.last_mut() {
            Some(last) if (last.start + last.seconds - piece.start).abs() < INAUDIBLE => {
                last.seconds += piece.seconds;
            }
            _ => joined.push(*piece),
        }
    }
    joined
}

/// Returns segments as JSON for the script: start, offset and duration of each.
pub(super) fn segments(pieces: &[Piece]) -> String {
    let joined = join_pieces(pieces);
    let segments =
        joined.iter().take(MAX_SEGMENTS).map(|piece| [piece.start, piece.offset, piece.seconds]);
    serde_json::json!(segments.collect::<Vec<_>>()).to_string()
}

/// Draws the ticks of a time axis that is `seconds` long.
pub fn ruler(seconds: f64) -> Markup {
    let step = [0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 300.0, 600.0]
        .into_iter()
        .find(|step| seconds / step <= 10.0);
    let step = step.unwrap_or(1_800.0);
    let count =
        if seconds.is_finite() { (seconds / step).floor().clamp(0.0, 20.0) as u32 } else { 0 };
    html! {
        svg.ruler aria-hidden="true" {
            @for tick in 0..=count {
                @let seconds_here = f64::from(tick) * step;
                @let x = percent(seconds_here / seconds * 100.0);
                line x1=(x) x2=(x) y1="0" y2="5" {}
                text x=(x) y="100%" dy="-3" text-anchor=(if tick == 0 { "start" } else { "middle" }) { (seconds_here) " s" }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lane<'a>(peaks: &'a Peaks, pieces: &'a [Piece], marks: &'a [Mark]) -> Lane<'a> {
        Lane {
            axis: 10.0,
            peaks: Some(peaks),
            pieces,
            source_end: 5.0,
            window_end: Some(7.0),
            end: Some(6.0),
            marks,
            label: "a <b>",
        }
    }

    #[test]
    fn pieces_are_drawn_at_their_playback_times() {
        let peaks = Peaks { seconds: 2.0, points: vec![(0.0, 1.0), (-1.0, 0.0)] };
        let pieces = [
            Piece { start: 1.0, offset: 0.0, seconds: 1.0 },
            Piece { start: 4.0, offset: 1.0, seconds: 1.0 },
        ];
        let svg = lane(&peaks, &pieces, &[]).draw().into_string();
        assert!(svg.contains("d=\"M100.0 1.0L200.0 51.0ZM400.0 49.0L500.0 99.0Z\""), "{svg}");
        assert!(svg.contains("class=\"window\" x=\"50.00%\" width=\"20.00%\""), "{svg}");
        assert!(
            svg.contains("data-axis=\"10\" data-pieces=\"[[1.0,0.0,1.0],[4.0,1.0,1.0]]\""),
            "{svg}"
        );
        assert!(!svg.contains("<b>"));
        let steady = [
            Piece { start: 1.0, offset: 0.0, seconds: 1.0 },
            Piece { start: 2.0, offset: 1.0, seconds: 1.0 },
        ];
        assert_eq!(join_pieces(&steady), [Piece { start: 1.0, offset: 0.0, seconds: 2.0 }]);
    }

    #[test]
    fn dense_word_marks_are_limited_and_unlabelled() {
        let marks: Vec<_> =
            (0..1_000).map(|at| Mark { start: f64::from(at) * 0.1, text: "<i>".into() }).collect();
        let svg = lane(&Peaks::default(), &[], &marks).draw().into_string();
        assert!(
            !svg.contains("<i>") && svg.matches("class=\"word\"").count() < MAX_MARKS + 30,
            "{svg}"
        );
    }

    #[test]
    fn invalid_times_do_not_panic() {
        let peaks = Peaks { seconds: 1.0, points: vec![(0.0, 1.0)] };
        for value in [0.0, -1.0, f64::NAN, f64::INFINITY, 1e300] {
            let pieces = [Piece { start: value, offset: value, seconds: value }];
            let _ = Lane { axis: value, ..lane(&peaks, &pieces, &[]) }.draw();
            let _ = lane(&peaks, &pieces, &[]).draw();
            let _ = ruler(value);
        }
    }
}
