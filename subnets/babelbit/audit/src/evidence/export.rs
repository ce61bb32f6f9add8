use std::io::{self, Write};

use taonet_wallet::Keypair;

use super::bundle::{MANIFEST, SIGNATURE, member_name};
use super::{EvidenceError, Manifest, ManifestSignature, signed_text};
use crate::audit::{ChallengeRecord, check_reply};
use taonet_babelbit_runner::RunPaths;
use taonet_babelbit_runner::files::Layout;

/// Writes the evidence bundle of a challenge, signed with the validator's hotkey. Blocks the
/// calling thread.
///
/// # Errors
/// [`EvidenceError::AlteredReply`] when a stored reply differs from the record; another
/// [`EvidenceError`] when the bundle cannot be written.
pub fn export(
    record: &ChallengeRecord,
    paths: &RunPaths,
    validator: &Keypair,
    out: impl Write,
) -> Result<(), EvidenceError> {
    let manifest = serde_json::to_vec(&Manifest::of(record, validator.hotkey()))?;
    let signature = validator.sign(signed_text(&manifest).as_bytes());
    let signature_json =
        serde_json::to_vec(&ManifestSignature { hotkey: validator.hotkey(), signature })?;
    let mut tar = tar::Builder::new(out);
    append(&mut tar, MANIFEST, &manifest)?;
    append(&mut tar, SIGNATURE, &signature_json)?;
    let layout = Layout::new(paths, &record.challenge);
    for row in &record.rows {
        let index = row.utterance_index;
        let Some(reply) =
            check_reply(row, record.channels(index), layout.predicted(row.miner, index))
        else {
            continue;
        };
        if let Some((field, ..)) = reply.differences.first() {
            return Err(EvidenceError::AlteredReply { uid: row.miner.uid, index, field });
        }
        append(&mut tar, &member_name(row.miner, index), &std::fs::read(&reply.path)?)?;
    }
    tar.into_inner()?.flush()?;
    Ok(())
}

fn append(tar: &mut tar::Builder<impl Write>, name: &str, bytes: &[u8]) -> io::Result<()> {
    let mut header = tar::Header::new_ustar();
    header.set_size(bytes.len() as u64);
    header.set_mode(0o644);
    // The bytes depend only on the record, not on the time of the export.
    header.set_mtime(0);
    tar.append_data(&mut header, name, bytes)
}
