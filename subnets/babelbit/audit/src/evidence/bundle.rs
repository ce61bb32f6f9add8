use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use sha2::{Digest, Sha256};
use taonet_primitives::Hotkey;
use taonet_wallet::verify;

use super::{EvidenceError, Manifest, ManifestSignature, signed_text};
use crate::audit::{ChallengeRecord, MAX_REPLY_BYTES, StoredReplies, check_reply};
use taonet_babelbit_core::records::MinerKey;
use taonet_babelbit_scorer::ScoringConditions;

pub(super) const MANIFEST: &str = "manifest.json";
pub(super) const SIGNATURE: &str = "signature.json";
/// Maximum size of a manifest in bytes: 256 miners and 100 utterances take about 150 MB.
pub const MAX_MANIFEST_BYTES: u64 = 256 << 20;
/// Maximum size of `signature.json` in bytes.
pub const MAX_SIGNATURE_BYTES: u64 = 4 << 10;
/// Maximum size of the zeros at the end of a tar file: two blocks of 512 bytes, or the padding of
/// other writers.
const MAX_END_BYTES: u64 = 10 << 10;

/// Returns the name of a reply's member.
pub(super) fn member_name(miner: MinerKey, index: u32) -> String {
    format!("replies/{}/utt_{index:04}.wav", miner.directory())
}

/// Returns the first 200 characters of the path of a member.
fn printable_path(entry: &tar::Entry<'_, impl Read>) -> String {
    String::from_utf8_lossy(&entry.path_bytes()).chars().take(200).collect()
}

/// A bundle with a valid signature, a valid manifest, and unpacked replies.
#[derive(Debug)]
pub struct Bundle {
    validator: Hotkey,
    manifest_sha256: String,
    record: ChallengeRecord,
    replies: StoredReplies,
}

impl Bundle {
    /// Reads a bundle and unpacks its replies into `directory`, as `0.wav`, `1.wav` and so on. A
    /// reply that differs from the manifest is not an error: [`Bundle::verify`] reports it. Blocks
    /// the calling thread.
    ///
    /// # Errors
    /// [`EvidenceError`] when the bundle is malformed, or its signature is invalid.
    pub fn read(source: impl Read, directory: &Path) -> Result<Self, EvidenceError> {
        let mut archive = tar::Archive::new(source);
        let mut members = Members { entries: archive.entries()?.raw(true) };
        let manifest = members.bytes(MANIFEST, MAX_MANIFEST_BYTES)?;
        let signature_json = members.bytes(SIGNATURE, MAX_SIGNATURE_BYTES)?;
        let signature: ManifestSignature =
            serde_json::from_slice(&signature_json).map_err(EvidenceError::MalformedSignature)?;
        if !verify(&signature.hotkey, signed_text(&manifest).as_bytes(), &signature.signature) {
            return Err(EvidenceError::InvalidSignature(signature.hotkey));
        }
        let manifest_sha256 = hex::encode(Sha256::digest(&manifest));
        let parsed = Manifest::parse(&manifest, signature.hotkey)?;
        drop(manifest);
        let record = parsed.into_record();
        let mut replies = StoredReplies::new();
        for (number, row) in record.rows.iter().filter(|row| row.outcome.is_ok()).enumerate() {
            let path = directory.join(format!("{number}.wav"));
            let mut member =
                members.next(&member_name(row.miner, row.utterance_index), MAX_REPLY_BYTES)?;
            io::copy(&mut member, &mut File::create(&path)?)?;
            if let Some(reply) = check_reply(row, record.channels(row.utterance_index), path) {
                replies.insert((row.miner, row.utterance_index), reply);
            }
        }
        members.end()?;
        let mut trailing = Vec::new();
        archive.into_inner().take(MAX_END_BYTES + 1).read_to_end(&mut trailing)?;
        if trailing.len() as u64 > MAX_END_BYTES || trailing.iter().any(|byte| *byte != 0) {
            return Err(EvidenceError::TrailingData);
        }
        Ok(Self { validator: signature.hotkey, manifest_sha256, record, replies })
    }

    /// Returns the hotkey of the signer.
    pub const fn validator(&self) -> Hotkey {
        self.validator
    }

    /// Returns the SHA-256 of the manifest in lowercase hex.
    pub fn manifest_sha256(&self) -> &str {
        &self.manifest_sha256
    }

    /// Returns the scoring conditions of the replies.
    pub fn conditions(&self) -> impl Iterator<Item = &ScoringConditions> {
        self.record.conditions()
    }

    pub(super) const fn record(&self) -> &ChallengeRecord {
        &self.record
    }

    pub(super) const fn replies(&self) -> &StoredReplies {
        &self.replies
    }
}

/// Reader of a bundle's members, each of which must be the expected one.
struct Members<'a, R: Read> {
    entries: tar::Entries<'a, R>,
}

impl<'a, R: Read> Members<'a, R> {
    fn next(&mut self, name: &str, limit: u64) -> Result<tar::Entry<'a, R>, EvidenceError> {
        let entry =
            self.entries.next().ok_or_else(|| EvidenceError::Truncated(name.to_owned()))??;
        if *entry.path_bytes() != *name.as_bytes() {
            return Err(EvidenceError::UnexpectedMember {
                expected: name.to_owned(),
                actual: printable_path(&entry),
            });
        }
        if entry.header().entry_type() != tar::EntryType::Regular {
            return Err(EvidenceError::NotRegularFile(printable_path(&entry)));
        }
        let bytes = entry.size();
        if bytes > limit {
            return Err(EvidenceError::TooLarge { name: printable_path(&entry), bytes, limit });
        }
        Ok(entry)
    }

    fn bytes(&mut self, name: &str, limit: u64) -> Result<Vec<u8>, EvidenceError> {
        let mut entry = self.next(name, limit)?;
        let mut bytes = Vec::new();
        // The file may be shorter than its header declares.
        if entry.read_to_end(&mut bytes)? as u64 == entry.size() {
            Ok(bytes)
        } else {
            Err(EvidenceError::Truncated(format!("the end of {name}")))
        }
    }

    fn end(&mut self) -> Result<(), EvidenceError> {
        match self.entries.next() {
            None => Ok(()),
            Some(_) => Err(EvidenceError::TrailingData),
        }
    }
}
