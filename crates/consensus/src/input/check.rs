use taonet_primitives::{Uid, counted};

use super::{EpochInput, Row};

/// Why an epoch's input is invalid.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InputError {
    /// The JSON document is malformed, or a field is missing, unknown or of the wrong type.
    #[error("{field}: {source}")]
    Document {
        /// The path of the field, e.g. `input.stake[3]`.
        field: String,
        /// The JSON error.
        source: serde_json::Error,
    },
    /// The length of a list is not the number of neurons.
    #[error("{field}: {} for {}", counted(.actual, "item"), counted(.expected, "neuron"))]
    Length {
        /// The name of the list.
        field: &'static str,
        /// The length of the list.
        actual: usize,
        /// The number of neurons.
        expected: usize,
    },
    /// The owner's uid is not the uid of a neuron.
    #[error("owner_uid: {uid} is not below n = {n}")]
    Owner {
        /// The owner's uid.
        uid: Uid,
        /// The number of neurons.
        n: u16,
    },
    /// A uid is duplicated in a row.
    #[error("{field}[{row}]: uid {uid} appears twice")]
    Duplicate {
        /// The name of the list of rows.
        field: &'static str,
        /// The index of the row.
        row: usize,
        /// The duplicated uid.
        uid: Uid,
    },
}

impl EpochInput {
    /// Checks what the types do not ensure: list lengths, the owner's uid, and no duplicate uids in
    /// a row. Uids outside the subnet are valid in a row; the epoch ignores their entries.
    ///
    /// # Errors
    /// [`InputError`] if the input is inconsistent. The error names the field.
    pub fn check(&self) -> Result<(), InputError> {
        let expected = usize::from(self.n);
        let commit_blocks = self.commit_blocks.as_ref().map_or(expected, Vec::len);
        let liquid_alpha_consensus =
            self.liquid_alpha_consensus.as_ref().map_or(expected, Vec::len);
        for (field, actual) in [
            ("stake", self.stake.len()),
            ("validator_permit", self.validator_permit.len()),
            ("last_update", self.last_update.len()),
            ("block_at_registration", self.block_at_registration.len()),
            ("commit_blocks", commit_blocks),
            ("weights", self.weights.len()),
            ("bonds", self.bonds.len()),
            ("liquid_alpha_consensus", liquid_alpha_consensus),
        ] {
            if actual != expected {
                return Err(InputError::Length { field, actual, expected });
            }
        }
        if let Some(uid) = self.owner_uid
            && uid.0 >= self.n
        {
            return Err(InputError::Owner { uid, n: self.n });
        }
        check_rows("weights", &self.weights)?;
        check_rows("bonds", &self.bonds)
    }
}

fn check_rows(field: &'static str, rows: &[Row]) -> Result<(), InputError> {
    let mut sorted = Vec::new();
    for (row, entries) in rows.iter().enumerate() {
        if entries.is_sorted_by(|(a, _), (b, _)| a < b) {
            continue;
        }
        sorted.clear();
        sorted.extend(entries.iter().map(|&(uid, _)| uid));
        sorted.sort_unstable();
        if let Some(&[uid, _]) = sorted.array_windows().find(|[a, b]| a == b) {
            return Err(InputError::Duplicate { field, row, uid });
        }
    }
    Ok(())
}
