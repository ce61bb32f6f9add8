//! Hashes of request bodies, and the text that Python prints for their values: no body causes a
//! panic, and whitespace around the document changes no result.

use taonet_wire::{compact_hash, python_text, synapse_hash};

/// Checks one input.
pub fn check(body: &[u8]) {
    let _ = compact_hash(body);
    let fields = synapse_hash(&["prompt"], body);
    let Ok(text) = std::str::from_utf8(body) else {
        assert!(fields.is_err());
        return;
    };
    let Ok(python) = python_text(text) else { return };
    let spaced = format!(" {text}\n");
    assert_eq!(python_text(&spaced).as_ref(), Ok(&python));
    // Errors name the column, which the space before the body moves.
    assert_eq!(synapse_hash(&["prompt"], spaced.as_bytes()).ok(), fields.ok());
    assert_eq!(compact_hash(spaced.as_bytes()).ok(), compact_hash(body).ok());
}
