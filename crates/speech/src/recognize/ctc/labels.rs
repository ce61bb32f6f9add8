//! The network's labels: blank, `a` to `z`, apostrophe, space.

pub(super) const BLANK: u8 = 0;
pub(super) const SPACE: u8 = 28;
pub(super) const COUNT: usize = 29;
const APOSTROPHE: u8 = 27;

/// Returns the label of a letter or apostrophe.
pub(super) fn from_byte(byte: u8) -> Option<u8> {
    match byte {
        b'a'..=b'z' => Some(byte - b'a' + 1),
        b'\'' => Some(APOSTROPHE),
        _ => None,
    }
}

/// Returns the index of a letter's label in byte order, `0..=26`; the apostrophe comes first.
pub(super) fn rank(label: u8) -> u8 {
    if label == APOSTROPHE { 0 } else { label }
}

/// Returns the labels' names in `config.json`.
pub(super) fn names() -> impl Iterator<Item = &'static str> {
    ["<blank>"].into_iter().chain("abcdefghijklmnopqrstuvwxyz' ".split_inclusive(|_| true))
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// Returns the labels of a word.
    pub(in super::super) fn labels_of(word: &str) -> Vec<u8> {
        word.bytes().map(|byte| from_byte(byte).unwrap()).collect()
    }

    /// Creates one row of log-probabilities per character. The label of the character has nearly
    /// all of the probability; `_` is the blank.
    pub(in super::super) fn rows(frames: &str) -> Vec<f32> {
        frames
            .bytes()
            .flat_map(|byte| {
                let label = if byte == b'_' { BLANK } else { from_byte(byte).unwrap_or(SPACE) };
                (0..COUNT as u8)
                    .map(move |other| if other == label { 0.93_f32.ln() } else { 0.0025_f32.ln() })
            })
            .collect()
    }

    #[test]
    fn every_label_has_a_name() {
        assert_eq!(names().count(), COUNT);
        assert_eq!(names().nth(1), Some("a"));
        assert_eq!(names().nth(usize::from(SPACE)), Some(" "));
        assert_eq!(names().nth(usize::from(APOSTROPHE)), Some("'"));
        assert_eq!(
            (from_byte(b'z'), from_byte(b'\''), from_byte(b' '), from_byte(b'A')),
            (Some(26), Some(APOSTROPHE), None, None)
        );
    }
}
