//! Evidence bundles: one file with everything that another validator needs to check a challenge.
//!
//! An evidence bundle is an uncompressed tar file (ustar, mode 0644, time 0, no owner) with these
//! members in order:
//!
//! | Member | Content |
//! |---|---|
//! | `manifest.json` | [`Manifest`] as compact JSON: utterances, reference, conditions, replies and scores |
//! | `signature.json` | [`ManifestSignature`]: the validator's hotkey and its sr25519 signature over [`signed_text`] of the manifest's bytes |
//! | `replies/miner_{uid}__hk_{hotkey}/utt_{index}.wav` | audio of each complete reply, in the manifest's order |
//!
//! The same record always yields identical bytes, except for the signature: sr25519 signatures are
//! randomised. A reader verifies the signature before it parses any signed content. Member names
//! are compared with the names derived from the manifest, and are never used as paths. Sizes are
//! bounded ([`MAX_MANIFEST_BYTES`] and others); links and tar extensions are rejected.

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

/// Name and version of the evidence format.
pub const FORMAT: &str = "taonet.evidence/1";

/// Content of `signature.json`: a validator's signature of a manifest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ManifestSignature {
    /// Hotkey of the validator.
    pub hotkey: Hotkey,
    /// The validator's sr25519 signature.
    pub signature: Signature,
}

/// Why a bundle cannot be created or used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EvidenceError {
    /// Reading or writing failed.
    #[error("cannot read or write the bundle")]
    Io(#[from] std::io::Error),
    /// The file is not a tar file, or is truncated.
    #[error("the bundle ends before {0}: it is truncated, or not an evidence bundle")]
    Truncated(String),
    /// A member has an unexpected name.
    #[error("unexpected member {actual:?} in the bundle, expected {expected}")]
    UnexpectedMember {
        /// Expected name of the member.
        expected: String,
        /// Actual name of the member.
        actual: String,
    },
    /// A member is not a regular file, but a link, a directory or an extended header.
    #[error("member {0:?} of the bundle is not a regular file")]
    NotRegularFile(String),
    /// A file in the bundle exceeds its size limit.
    #[error("member {name:?} of the bundle has {}, the limit is {limit}", counted(.bytes, "byte"))]
    TooLarge {
        /// Name of the member.
        name: String,
        /// Size of the member in bytes.
        bytes: u64,
        /// The limit in bytes.
        limit: u64,
    },
    /// Data follows the last member.
    #[error("trailing data after the last member of the bundle")]
    TrailingData,
    /// `signature.json` is malformed.
    #[error("malformed signature.json in the bundle")]
    MalformedSignature(#[source] serde_json::Error),
    /// The signature is invalid: the manifest was changed, or another key signed it.
    #[error(
        "invalid signature of {0}: the manifest was changed after signing, or another key signed it"
    )]
    InvalidSignature(Hotkey),
    /// The manifest is inconsistent, or has an unsupported version.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    /// A stored reply differs from the record, so the bundle would prove nothing.
    #[error(
        "the stored reply of miner {uid} to utterance {index} differs from the record ({field}); hint: run bb audit"
    )]
    AlteredReply {
        /// Uid of the miner.
        uid: Uid,
        /// Position of the utterance.
        index: u32,
        /// Name of the differing field.
        field: &'static str,
    },
    /// The manifest could not be serialised.
    #[error("cannot encode the manifest")]
    Json(#[from] serde_json::Error),
}

/// Returns the text that the validator's hotkey signs: the format's name and the SHA-256 of the
/// manifest's bytes, so that the signature is useless in any other context.
pub fn signed_text(manifest: &[u8]) -> String {
    format!("{FORMAT}:{}", hex::encode(Sha256::digest(manifest)))
}

/// Report of a bundle's verification. Serialises as the document of `bb evidence verify --json`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct EvidenceReport {
    /// Name and version of the report format, `taonet.evidence-report/1`.
    pub schema: &'static str,
    /// Hotkey of the signer, whose signature is valid.
    pub validator_hotkey: Hotkey,
    /// SHA-256 of the manifest, lowercase hex.
    pub manifest_sha256: String,
    /// Report of the recomputed scores.
    pub audit: AuditReport,
}

impl Bundle {
    /// Recomputes the bundle's scores. Blocks during recognition: call it on a blocking thread.
    ///
    /// # Errors
    /// [`AuditError`] when the scores cannot be recomputed.
    pub fn verify(&self, engines: &Engines) -> Result<EvidenceReport, AuditError> {
        let started = Instant::now();
        let recomputed = recompute(self.record(), self.replies(), engines)?;
        let mut audit =
            AuditReport::new(self.record(), engines, recomputed.replies, recomputed.mismatches);
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
