use maud::{Markup, html};

use super::Piece;
use super::lane::segments;

/// Renders a button that plays two recordings on one time axis: `left` from its start, and the
/// segments of `right`. The button is hidden while scripts are disabled. `label` names both
/// recordings for screen readers.
pub fn play_both_button(left: &str, right: &str, pieces: &[Piece], label: &str) -> Markup {
    html! {
        button.together type="button" aria-pressed="false" aria-label=(label) data-left=(left) data-right=(right)
            data-pieces=(segments(pieces)) { "Play both" }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn segments_without_a_gap_are_joined() {
        let piece = |start, offset, seconds| Piece { start, offset, seconds };
        let pieces = [piece(1.0, 0.0, 0.5), piece(1.5, 0.5, 0.25), piece(3.0, 0.75, 1.0)];
        let button = play_both_button("/a.wav", "/b.wav", &pieces, "\"<b>").into_string();
        assert!(button.contains("data-pieces=\"[[1.0,0.0,0.75],[3.0,0.75,1.0]]\""), "{button}");
        assert!(button.contains("aria-label=\"&quot;&lt;b&gt;\""), "{button}");
    }
}
