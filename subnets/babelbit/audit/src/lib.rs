//! Audits of Babelbit results: recomputed scores, evidence bundles, and conformance tests of
//! miners.
//!
//! Scores decide rewards, so anybody must be able to check them. The runner's ledger records the
//! conditions of every score (engines, options, the batch of replies), and this crate computes the
//! score again from the audio.
//!
//! - [`audit`]: recomputes every score of a challenge from the ledger and the WAV files, and
//!   reports each difference (`bb audit`). [`audit::ChallengeRecord`] is the stored challenge,
//!   [`audit::Engines`] is the recogniser and the embedder of this machine, and
//!   [`audit::AuditReport`] lists the mismatches.
//! - [`evidence`]: a signed bundle with all inputs of the scores, for verification by anyone (`bb
//!   evidence`). The signature is verified before any content is parsed, and no file name in the
//!   bundle is ever used as a path.
//! - [`conformance`]: sends a miner the requests of a validator and requests that must be refused,
//!   and returns a verdict per [`conformance::Rule`], with response times and expected scores (`bb
//!   test-miner`); plays challenges for `bb bench interpret`.
//!
//! An audit reads the ledger, then compares; a runner may write to the same ledger concurrently:
//!
//! ```no_run
//! use std::path::Path;
//!
//! use taonet_babelbit_audit::audit::{AuditError, ChallengeRecord, Engines, audit};
//! use taonet_babelbit_core::records::ChallengeType;
//! use taonet_babelbit_runner::RunPaths;
//!
//! # async fn example(engines: &Engines) -> Result<(), AuditError> {
//! let paths = RunPaths::in_directory(Path::new("results"));
//! let record = ChallengeRecord::read(&paths.state, "the-flood", ChallengeType::Main).await?;
//! let report = audit(&record, &paths, engines)?;
//! assert!(report.is_clean());
//! # Ok(())
//! # }
//! ```
//!
//! Floats count as equal within [`audit::TOLERANCE`], because the last digits of sentence
//! embeddings depend on the machine. A changed reply is one mismatch: scores of the other replies
//! to the utterance are recomputed with its recorded transcript. The crate changes neither ledger
//! nor result files, and sends reports to no service: the caller decides what a mismatch means.
//!
//! Uses `taonet-babelbit-runner` (ledger, files, connections), `taonet-babelbit-scorer`
//! (recognition and scores), `taonet-babelbit-core` (rules and records), `taonet-babelbit-engine`
//! and `taonet-babelbit-challenges` (the contest of a conformance test), `taonet-speech`,
//! `taonet-wallet` and `taonet-wire` (signatures), `taonet-http`, `taonet-service` and
//! `taonet-primitives`. Used by `bb audit`, `bb evidence`, `bb test-miner` and `bb bench interpret`.

pub mod audit;
pub mod conformance;
pub mod evidence;
