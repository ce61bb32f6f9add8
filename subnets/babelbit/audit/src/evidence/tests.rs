use std::path::Path;

use proptest::prelude::*;
use serde_json::json;
use taonet_wallet::Keypair;
use tempfile::TempDir;

use super::bundle::{MANIFEST, SIGNATURE};
use super::*;
use crate::audit::MismatchLocation;
use crate::audit::testing::{UTTERANCES, change_byte, engines, engines_with, key, play, record};
use taonet_babelbit_runner::RunPaths;

fn alice() -> Keypair {
    Keypair::from_uri("//Alice").unwrap()
}

async fn played_run() -> (TempDir, RunPaths) {
    let directory = tempfile::tempdir().unwrap();
    let paths = play(directory.path(), &[(1, 10), (2, 20), (4, 0)]).await;
    (directory, paths)
}

async fn exported_bundle() -> Vec<u8> {
    let (_directory, paths) = played_run().await;
    let mut bundle = Vec::new();
    export(&record(&paths).await, &paths, &alice(), &mut bundle).unwrap();
    bundle
}

fn read(bundle: &[u8]) -> Result<EvidenceReport, EvidenceError> {
    let directory = tempfile::tempdir().unwrap();
    Bundle::read(bundle, directory.path()).map(|bundle| bundle.verify(&engines()).unwrap())
}

/// Name and content of a member.
type Member = (String, Vec<u8>);

/// Reads the members of a tar file.
fn members(bundle: &[u8]) -> Vec<Member> {
    let mut archive = tar::Archive::new(bundle);
    let member = |entry: std::io::Result<tar::Entry<'_, &[u8]>>| {
        let mut entry = entry.unwrap();
        let mut bytes = Vec::new();
        std::io::Read::read_to_end(&mut entry, &mut bytes).unwrap();
        (entry.path().unwrap().to_str().unwrap().to_owned(), bytes)
    };
    archive.entries().unwrap().map(member).collect()
}

fn pack(members: &[Member]) -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    for (name, bytes) in members {
        let mut header = tar::Header::new_ustar();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        tar.append_data(&mut header, name, bytes.as_slice()).unwrap();
    }
    tar.into_inner().unwrap()
}

/// Returns the bundle with a modified manifest, signed by `signer`.
fn with_manifest(
    bundle: &[u8],
    signer: &Keypair,
    edit: impl Fn(&mut serde_json::Value),
) -> Vec<u8> {
    let mut members = members(bundle);
    let mut manifest: serde_json::Value = serde_json::from_slice(&members[0].1).unwrap();
    edit(&mut manifest);
    members[0].1 = serde_json::to_vec(&manifest).unwrap();
    let signature = signer.sign(signed_text(&members[0].1).as_bytes());
    members[1].1 =
        serde_json::to_vec(&ManifestSignature { hotkey: signer.hotkey(), signature }).unwrap();
    pack(&members)
}

#[tokio::test]
async fn exported_bundle_can_be_verified() {
    let bundle = exported_bundle().await;
    let report = read(&bundle).unwrap();
    assert!(report.audit.is_clean(), "{report:?}");
    assert_eq!(
        (report.validator_hotkey, report.audit.recomputed),
        (alice().hotkey(), 3 * UTTERANCES)
    );
    let names: Vec<_> = members(&bundle).into_iter().map(|(name, _)| name).collect();
    let reply = |uid: u8, index: u32| {
        format!("replies/miner_{uid}__hk_{}/utt_{index:04}.wav", key(uid).hotkey)
    };
    let replies = [1, 2, 4].iter().flat_map(|uid| [reply(*uid, 0), reply(*uid, 1)]);
    assert_eq!(
        names,
        [MANIFEST.to_owned(), SIGNATURE.to_owned()].into_iter().chain(replies).collect::<Vec<_>>()
    );
}

#[tokio::test]
async fn bundle_is_reproducible_except_for_the_signature() {
    let (_directory, paths) = played_run().await;
    let record = record(&paths).await;
    let [first, second] = [(); 2].map(|()| {
        let mut bundle = Vec::new();
        export(&record, &paths, &alice(), &mut bundle).unwrap();
        let (start, end) = {
            let text = String::from_utf8_lossy(&bundle);
            let start = text.find("\"signature\":\"0x").unwrap() + "\"signature\":\"0x".len();
            (start, start + 128)
        };
        bundle[start..end].fill(0);
        bundle
    });
    assert!(first == second);
}

#[tokio::test]
async fn changed_byte_of_a_reply_is_reported() {
    let bundle = exported_bundle().await;
    let mut members = members(&bundle);
    let last = members[3].1.len() - 1;
    members[3].1[last] ^= 1;
    let report = read(&pack(&members)).unwrap();
    let mismatches: Vec<_> = report
        .audit
        .mismatches
        .iter()
        .map(|mismatch| (mismatch.location, mismatch.miner_uid, mismatch.utterance_index))
        .collect();
    assert_eq!(mismatches, [(MismatchLocation::Reply, Some(key(1).uid), Some(1))]);
    // Truncated, longer, or replaced by another reply: the result is the same.
    for change in [Vec::new(), vec![0; 100_000], members[4].1.clone()] {
        members[3].1 = change;
        let report = read(&pack(&members)).unwrap();
        assert_eq!(report.audit.changed_replies(), [(key(1).uid, 1)].into());
    }
}

#[tokio::test]
async fn export_with_changed_reply_is_refused() {
    let (_directory, paths) = played_run().await;
    let record = record(&paths).await;
    let wav = paths
        .logs
        .join(format!("s2s/challenge-1/main/miner_2__hk_{}/predicted/utt_0000.wav", key(2).hotkey));
    change_byte(&wav, 1);
    let error = export(&record, &paths, &alice(), Vec::new()).unwrap_err();
    assert!(error.to_string().contains("miner 2 to utterance 0"), "{error}");
}

#[tokio::test]
async fn changed_manifest_is_rejected() {
    let bundle = exported_bundle().await;
    let bob = Keypair::from_uri("//Bob").unwrap();
    let mut changed_members = members(&bundle);
    let offset = changed_members[0].1.len() / 2;
    changed_members[0].1[offset] ^= 1;
    assert!(matches!(read(&pack(&changed_members)), Err(EvidenceError::InvalidSignature(_))));

    let error = |bundle: &[u8]| read(bundle).unwrap_err().to_string();
    assert!(
        error(&with_manifest(&bundle, &bob, |_| {}))
            .contains("the manifest names the validator 5Grwva")
    );
    for (pointer, value, expected_text) in [
        ("/format", json!("taonet.evidence/2"), "unsupported bundle format"),
        ("/replies/1/utterance_index", json!(0), "replies[1].utterance_index: duplicate reply"),
        ("/replies/1/utterance_index", json!(9), "replies[1].utterance_index: unknown utterance"),
        ("/replies/0/audio_sha256", json!("AB"), "replies[0].audio_sha256: expected 64 lower-case"),
        ("/replies/0/error", json!("boom"), "either audio_sha256 or error"),
        ("/replies/0/score/conditions", json!("x"), "unknown conditions"),
        ("/replies/0/frames", json!(u64::MAX), "replies[0].frames: the reply is too long"),
        (
            "/replies/0/score/batch",
            json!(65),
            "replies[0].score.batch: the batch number is too large",
        ),
        ("/utterances/1/index", json!(0), "utterances[1]: duplicate index"),
        ("/utterances/0/source/channels", json!(0), "utterances[0]: invalid audio format"),
        ("/replies/0/colour", json!("red"), "malformed manifest"),
    ] {
        let edit = |manifest: &mut serde_json::Value| {
            let (parent, field) = pointer.rsplit_once('/').unwrap();
            let parent =
                if parent.is_empty() { manifest } else { manifest.pointer_mut(parent).unwrap() };
            parent[field] = value.clone();
        };
        let actual = error(&with_manifest(&bundle, &alice(), edit));
        assert!(actual.contains(expected_text), "{pointer}: {actual}");
    }
    // Conditions are keyed by their hash: other options under a known key are rejected.
    let options = with_manifest(&bundle, &alice(), |manifest| {
        let conditions =
            manifest["conditions"].as_object_mut().unwrap().values_mut().next().unwrap();
        conditions["options"]["accuracy_threshold"] = 0.1.into();
    });
    assert!(error(&options).contains("not the SHA-256 of the conditions"));
}

#[tokio::test]
async fn signed_scores_that_do_not_follow_from_replies_are_reported() {
    let bundle = exported_bundle().await;
    let false_score = with_manifest(&bundle, &alice(), |manifest| {
        manifest["replies"][0]["score"]["result"]["score"] = 1.0.into();
    });
    let report = read(&false_score).unwrap();
    let fields: Vec<_> = report
        .audit
        .mismatches
        .iter()
        .map(|mismatch| (mismatch.location, mismatch.field.as_str()))
        .collect();
    assert_eq!(fields, [(MismatchLocation::Ledger, "score")]);

    let directory = tempfile::tempdir().unwrap();
    let other = Bundle::read(bundle.as_slice(), directory.path())
        .unwrap()
        .verify(&engines_with("2"))
        .unwrap();
    assert_eq!(other.audit.different_conditions[0].field, "recognizer.fingerprint");
}

#[tokio::test]
async fn unexpected_and_missing_bundle_members_are_rejected() {
    let bundle = exported_bundle().await;
    let original = members(&bundle);
    let error = |edit: &dyn Fn(&mut Vec<Member>)| {
        let mut members = original.clone();
        edit(&mut members);
        read(&pack(&members)).unwrap_err().to_string()
    };
    assert!(
        error(&|members| members[2].0 = "elsewhere.wav".into())
            .contains("unexpected member \"elsewhere.wav\" in the bundle, expected replies/")
    );
    assert!(error(&|members| members.swap(2, 3)).contains("unexpected member"));
    assert!(error(&|members| members.truncate(5)).contains("ends before replies/"));
    assert!(error(&|members| members.push(("more".into(), vec![]))).contains("trailing data"));
    assert!(
        error(&|members| members[1].1 = vec![b' '; 5000])
            .contains("has 5000 bytes, the limit is 4096")
    );
    assert!(error(&|members| members[1].1 = b"{}".to_vec()).contains("malformed signature.json"));
    assert!(error(&Vec::clear).contains("ends before manifest.json"));
    assert!(read(b"").unwrap_err().to_string().contains("ends before manifest.json"));

    let mut trailing = bundle.clone();
    trailing.extend(b"more");
    assert!(matches!(read(&trailing), Err(EvidenceError::TrailingData)));
    for length in [100, 512, 700, bundle.len() / 2, bundle.len() - 1500] {
        assert!(
            read(&bundle[..length]).is_err() || !read(&bundle[..length]).unwrap().audit.is_clean(),
            "{length}"
        );
    }
}

/// Creates a tar header with a name, a kind and a size.
fn header(name: &str, kind: tar::EntryType, size: u64) -> Vec<u8> {
    let mut header = tar::Header::new_gnu();
    header.as_mut_bytes()[..name.len()].copy_from_slice(name.as_bytes());
    header.set_entry_type(kind);
    header.set_size(size);
    header.set_cksum();
    header.as_bytes().to_vec()
}

#[test]
fn links_unsafe_paths_and_oversized_members_are_refused_before_writing() {
    for (name, kind, size, expected_text) in [
        ("manifest.json", tar::EntryType::Symlink, 0, "is not a regular file"),
        ("manifest.json", tar::EntryType::Directory, 0, "is not a regular file"),
        ("manifest.json", tar::EntryType::GNULongName, 10, "is not a regular file"),
        ("manifest.json", tar::EntryType::XHeader, u64::MAX / 2, "is not a regular file"),
        ("../manifest.json", tar::EntryType::Regular, 1, "in the bundle, expected manifest.json"),
        ("/manifest.json", tar::EntryType::Regular, 1, "in the bundle, expected manifest.json"),
        (
            "manifest.json",
            tar::EntryType::Regular,
            MAX_MANIFEST_BYTES + 1,
            "the limit is 268435456",
        ),
        (
            "manifest.json",
            tar::EntryType::Regular,
            MAX_MANIFEST_BYTES,
            "ends before the end of manifest.json",
        ),
    ] {
        let directory = tempfile::tempdir().unwrap();
        let error =
            Bundle::read(header(name, kind, size).as_slice(), directory.path()).unwrap_err();
        assert!(error.to_string().contains(expected_text), "{name} {kind:?}: {error}");
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0);
    }
}

fn verify_without_panic(bundle: &[u8], directory: &Path) {
    // No input causes a panic.
    if let Ok(bundle) = Bundle::read(bundle, directory) {
        let _ = bundle.verify(&engines());
    }
}

#[test]
fn modified_bundle_never_panics() {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let bundle = runtime.block_on(exported_bundle());
    let directory = tempfile::tempdir().unwrap();
    proptest!(ProptestConfig::with_cases(64), |(changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4))| {
        let mut bundle = bundle.clone();
        for (offset, value) in changes {
            let offset = offset.index(bundle.len());
            bundle[offset] = value;
        }
        verify_without_panic(&bundle, directory.path());
    });
    // Arbitrary numbers in a manifest with a valid signature.
    proptest!(ProptestConfig::with_cases(64), |(field in 0_usize..8, number: u64)| {
        let fields = ["frames_in", "frames", "wav_bytes", "utterance_index", "miner_uid"];
        let bundle = with_manifest(&bundle, &alice(), |manifest| match fields.get(field) {
            Some(name) => manifest["replies"][0][*name] = number.into(),
            None if field == 5 => manifest["replies"][0]["timeline"]["arrivals"] = json!([[number, number]]),
            None if field == 6 => manifest["replies"][0]["timeline"]["eos_frame"] = number.into(),
            None => manifest["utterances"][0]["source"]["frames"] = number.into(),
        });
        verify_without_panic(&bundle, directory.path());
    });
}

proptest! {
    #[test]
    fn arbitrary_bytes_are_an_error_and_never_panic(bytes: Vec<u8>) {
        let directory = tempfile::tempdir().unwrap();
        prop_assert!(Bundle::read(bytes.as_slice(), directory.path()).is_err());
        prop_assert!(Manifest::parse(&bytes, alice().hotkey()).is_err());
    }
}
