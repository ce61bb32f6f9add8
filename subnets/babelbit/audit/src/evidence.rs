//! What another validator needs to check a challenge, in one file.
//!
//! An evidence bundle is an uncompressed tar file (ustar, mode 0644, time 0, no owner) with these members, in this order:
//!
//! | Member | Content |
//! |---|---|
//! | `manifest.json` | [`Manifest`] as compact JSON: utterances, reference, conditions, replies and scores |
//! | `signature.json` | [`Seal`]: the validator's hotkey and its sr25519 signature over [`signed_text`] of the manifest's bytes |
//! | `replies/miner_{uid}__hk_{hotkey}/utt_{index}.wav` | the sound of each reply that did not fail, in the manifest's order |
//!
//! One record always gives the same bytes, the signature's apart: sr25519 signatures are random. Whoever reads a bundle
//! checks the signature before anything is parsed that it covers. Names of members are compared with those that follow
//! from the manifest and never become paths; sizes are bounded ([`MAX_MANIFEST_BYTES`] and so on), links and extensions
//! refused.

mod bundle;
mod export;
mod manifest;

use std::time::Instant;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use taonet_primitives::{Hotkey, Uid, counted};
use taonet_wallet::Signature;

use crate::audit::{AuditError, AuditReport, Engines, recompute};

pub use bundle::{Bundle, MAX_MANIFEST_BYTES, MAX_SIGNATURE_BYTES};
pub use export::export;
pub use manifest::{Manifest, ManifestError, ReplyEvidence, UtteranceEvidence};

/// The layout's name and version.
pub const FORMAT: &str = "taonet.evidence/1";

/// Who vouches for a manifest: the content of `signature.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Seal {
    /// The validator.
    pub hotkey: Hotkey,
    /// Its sr25519 signature.
    pub signature: Signature,
}

/// Why a bundle cannot be made or used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EvidenceError {
    /// Reading or writing failed.
    #[error("the bundle cannot be read or written")]
    Io(#[from] std::io::Error),
    /// There is no tar file, or it ends too early.
    #[error("the bundle ends before {0}: it is cut off, or no evidence bundle")]
    Missing(String),
    /// A member is not the one that must stand there.
    #[error("the bundle's member {found:?} stands where {expected} belongs")]
    Member {
        /// The name that must stand there.
        expected: String,
        /// The name that does.
        found: String,
    },
    /// A member is a link, a directory or an extension.
    #[error("the bundle's member {0:?} is no plain file")]
    Kind(String),
    /// A member is larger than any honest one.
    #[error("the bundle's member {name:?} has {}, at most {limit} are taken", counted(.bytes, "byte"))]
    TooLarge {
        /// The member.
        name: String,
        /// Its size.
        bytes: u64,
        /// The limit.
        limit: u64,
    },
    /// Something follows the last member.
    #[error("something follows the bundle's last member")]
    Trailing,
    /// `signature.json` is not what it must be.
    #[error("the bundle's signature.json cannot be read")]
    Seal(#[source] serde_json::Error),
    /// The signature does not hold: the manifest was changed, or somebody else signed it.
    #[error("the signature of {0} does not hold: the manifest is not the one that was signed")]
    Signature(Hotkey),
    /// The manifest contradicts itself, or is of another version.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    /// A kept reply is not the recorded one: such evidence would prove nothing.
    #[error("the kept reply of miner {uid} to utterance {index} is not as it was recorded ({field}): see bb audit")]
    Kept {
        /// The miner.
        uid: Uid,
        /// The utterance.
        index: u32,
        /// What differs.
        field: &'static str,
    },
    /// The document does not fit into JSON.
    #[error("the manifest cannot be written")]
    Json(#[from] serde_json::Error),
}

/// What the validator's hotkey signs: the format's name and the SHA-256 of the manifest's bytes, so that the signature
/// means nothing anywhere else.
pub fn signed_text(manifest: &[u8]) -> String {
    format!("{FORMAT}:{}", hex::encode(Sha256::digest(manifest)))
}

/// What checking a bundle came to. Serialises as the document of `bb evidence verify --json`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct EvidenceReport {
    /// `taonet.evidence-report/1`.
    pub schema: &'static str,
    /// Who signed the bundle; the signature holds.
    pub validator_hotkey: Hotkey,
    /// SHA-256 of the manifest, lowercase hex.
    pub manifest_sha256: String,
    /// What recomputing its scores found.
    pub audit: AuditReport,
}

impl Bundle {
    /// Recomputes the bundle's scores. Blocks for as long as recognition takes: call it on a thread for heavy work.
    ///
    /// # Errors
    /// [`AuditError`] when they cannot be recomputed at all.
    pub fn verify(&self, engines: &Engines) -> Result<EvidenceReport, AuditError> {
        let started = Instant::now();
        let done = recompute(self.record(), self.kept(), engines)?;
        let mut audit = AuditReport::new(self.record(), engines, done.replies, done.mismatches);
        audit.wall_sec = started.elapsed().as_secs_f64();
        Ok(EvidenceReport {
            schema: "taonet.evidence-report/1",
            validator_hotkey: self.validator(),
            manifest_sha256: self.manifest_sha256().to_owned(),
            audit,
        })
    }
}

#[cfg(test)]
mod tests;
