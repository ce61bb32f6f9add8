//! What the network's outputs stand for: blank, `a` to `z`, apostrophe, space.

pub(super) const BLANK: u8 = 0;
pub(super) const SPACE: u8 = 28;
pub(super) const COUNT: usize = 29;
const APOSTROPHE: u8 = 27;

/// The label of a letter or apostrophe.
pub(super) fn of(byte: u8) -> Option<u8> {
    match byte {
        b'a'..=b'z' => Some(byte - b'a' + 1),
        b'\'' => Some(APOSTROPHE),
        _ => None,
    }
}

/// The place of a letter's label among letters in byte order, where the apostrophe comes first; below 27.
pub(super) fn rank(label: u8) -> u8 {
    if label == APOSTROPHE { 0 } else { label }
}

/// All labels as `config.json` writes them.
pub(super) fn names() -> impl Iterator<Item = &'static str> {
    ["<blank>"].into_iter().chain("abcdefghijklmnopqrstuvwxyz' ".split_inclusive(|_| true))
}
