//! Tests of the removal of expired files, and of its failures.

use std::fs::File;

use super::artifacts::{bundle, files, metadata, submit};
use super::retention::{PurgeReport, purge_expired, purge_orphans};
use super::*;
use taonet_objects::ObjectStorage;
use taonet_objects::S3Addressing;
use taonet_objects::testing::{S3Server, settings};

/// Writes an artifact with a modification time this many days ago.
fn write(artifacts: &Path, name: &str, days: u64) {
    let path = artifacts.join(name);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(&path, "left").unwrap();
    set_age_in_days(&path, days);
}

fn set_age_in_days(path: &Path, days: u64) {
    File::open(path)
        .unwrap()
        .set_modified(SystemTime::now() - Duration::from_hours(days * 24))
        .unwrap();
}

/// A process killed after it wrote a file and before it wrote the row leaves an orphaned file.
#[tokio::test]
async fn old_file_without_row_is_deleted() {
    let folder = tempfile::tempdir().unwrap();
    let artifacts = folder.path().join("artifacts");
    let api = api(folder.path(), &sqlite(folder.path()), Admission::Open).await;
    submit(&api, &metadata(&key("//a"), bundle(5), now()), b"sound").await;
    let [(named, _)] = files(&artifacts).try_into().unwrap();
    set_age_in_days(&artifacts.join(&named), 40);
    write(&artifacts, "c/main/5V/miner_1/x-audio.tar", 40);
    write(&artifacts, "c/main/5V/miner_2/x-audio.tar", 29);
    write(&artifacts, ".incoming/x", 40);
    let mut purge = PurgeReport::default();
    purge_orphans(&api.state, &mut purge).await;
    assert_eq!((purge.orphans, purge.failures), (1, 0));
    let mut remaining: Vec<String> = files(&artifacts).into_iter().map(|(name, _)| name).collect();
    remaining.sort();
    let mut expected =
        [".incoming/x".to_owned(), "c/main/5V/miner_2/x-audio.tar".to_owned(), named];
    expected.sort();
    assert_eq!(remaining, expected);
    assert!(!artifacts.join("c/main/5V/miner_1").exists(), "its folder is removed, too");
}

#[tokio::test(flavor = "multi_thread")]
async fn old_object_without_row_is_deleted() {
    let (folder, bucket) = (tempfile::tempdir().unwrap(), S3Server::start().await);
    let storage = || ObjectStorage::open(&settings(&bucket.url, S3Addressing::Path)).unwrap();
    let artifacts =
        || ArtifactStore::open(&folder.path().join("artifacts"), Some(storage())).unwrap();
    let store = Store::open(&sqlite(folder.path())).await.unwrap();
    let api = ScoringApi::new(store, artifacts(), Admission::Open, ScoringLimits::default());
    assert_eq!(submit(&api, &metadata(&key("//a"), bundle(5), now()), b"sound").await.0, 200);
    let source_file = folder.path().join("left");
    std::fs::write(&source_file, "left").unwrap();
    for key in ["artifacts/c/x-audio.tar", "submissions/c/audio.tar"] {
        storage().upload(key, &source_file).await.unwrap();
    }
    let mut purge = PurgeReport::default();
    purge_orphans(&api.state, &mut purge).await;
    assert_eq!(purge.orphans, 0, "no file is expired");
    purge_orphans(&with_later_clock(&api, artifacts()).state, &mut purge).await;
    assert_eq!((purge.orphans, purge.failures), (1, 0));
    let [named] =
        api.store().expired_artifacts(i64::MAX, "", 10).await.unwrap().try_into().unwrap();
    assert!(bucket.object(&format!("artifacts/{named}")).exists());
    assert!(!bucket.object("artifacts/c/x-audio.tar").exists());
    assert!(
        bucket.object("submissions/c/audio.tar").exists(),
        "files outside of the prefix remain"
    );
}

#[tokio::test]
async fn undeletable_file_does_not_block_others() {
    let folder = tempfile::tempdir().unwrap();
    let artifacts = folder.path().join("artifacts");
    let api = api(folder.path(), &sqlite(folder.path()), Admission::Open).await;
    for validator in ["//a", "//b", "//c", "//d"] {
        assert_eq!(
            submit(&api, &metadata(&key(validator), bundle(5), now()), b"sound").await.0,
            200
        );
    }
    post(&api, &score_submission(&key("//a"), &key("//good"), "main", 0.5, now())).await;
    let names = api.store().expired_artifacts(i64::MAX, "", 10).await.unwrap();
    // A folder in place of the first file cannot be removed as a file.
    let first = artifacts.join(&names[0]);
    std::fs::remove_file(&first).unwrap();
    std::fs::create_dir(&first).unwrap();
    let later_api = with_later_clock(&api, ArtifactStore::open(&artifacts, None).unwrap());
    let purge = purge_expired(&later_api.state).await;
    assert_eq!((purge.submissions, purge.failures), (4, 1));
    assert_eq!(api.store().expired_artifacts(i64::MAX, "", 10).await.unwrap(), names[..1]);
    assert_eq!(files(&artifacts), []);
    // The next purge retries it.
    std::fs::remove_dir(&first).unwrap();
    let purge = purge_expired(&later_api.state).await;
    assert_eq!((purge.submissions, purge.failures), (1, 0));
}
