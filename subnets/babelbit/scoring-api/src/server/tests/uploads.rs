//! Tests of concurrent uploads of one file.

use axum::body::Body;
use bytes::Bytes;
use futures::StreamExt as _;
use futures::stream;
use sqlx::{Connection as _, SqliteConnection};
use tokio::sync::oneshot;

use super::artifacts::{files, form, metadata, send};
use super::*;

/// Prepares an upload that sends its file on release.
fn upload(
    api: &ScoringApi,
    name: &str,
    content: &str,
    timestamp: i64,
) -> (oneshot::Sender<()>, Upload) {
    let data = json!({ "file_type": "artifact", "file_name": name, "file_size": content.len() });
    let (head, remaining) = form(&metadata(&key("//a"), data, timestamp), content.as_bytes());
    let (release, released) = oneshot::channel();
    let remaining = async move {
        released.await.map_err(std::io::Error::other)?;
        Ok(Bytes::from(remaining))
    };
    let body = Body::from_stream(
        stream::iter([Ok::<_, std::io::Error>(Bytes::from(head))]).chain(stream::once(remaining)),
    );
    let api = api.clone();
    (release, tokio::spawn(async move { send(&api, body).await }))
}

type Upload = tokio::task::JoinHandle<(u16, Value)>;

/// Returns the name and content of the only file, which must be the one in the row.
async fn only_file(api: &ScoringApi, artifacts: &Path) -> (String, String) {
    let [(name, content)] = files(artifacts).try_into().unwrap();
    assert_eq!(
        api.store().expired_artifacts(i64::MAX, "", 10).await.unwrap(),
        std::slice::from_ref(&name)
    );
    (name, String::from_utf8(content).unwrap())
}

async fn check_concurrent_uploads(database: &str, directory: &Path) {
    let (api, _url) = serve_api(directory, database).await;
    let (artifacts, time) = (directory.join("artifacts"), now());
    let (newest, newest_response) = upload(&api, "new.tar", "newest", time + 1);
    let (older, older_response) = upload(&api, "audio.tar", "older", time);
    let (forged, forged_response) = upload(&api, "new.tar", "forged", time + 1);
    // All uploads have found that no file is stored yet.
    while std::fs::read_dir(artifacts.join(".incoming")).unwrap().count() < 3 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let answer = |stored: bool| (200, json!({ "success": true, "stored": stored }));
    newest.send(()).unwrap();
    assert_eq!(newest_response.await.unwrap(), answer(true));
    for (release, response) in [(older, older_response), (forged, forged_response)] {
        release.send(()).unwrap();
        assert_eq!(response.await.unwrap(), answer(false));
    }
    let (name, content) = only_file(&api, &artifacts).await;
    assert!(name.ends_with("-new.tar") && content == "newest", "{name}: {content}");
    // In any order of arrival.
    let uploads: Vec<_> = (2..10)
        .map(|age| upload(&api, &format!("{age}.tar"), &format!("{age}"), time + age))
        .collect();
    let (release, responses): (Vec<_>, Vec<_>) = uploads.into_iter().unzip();
    while std::fs::read_dir(artifacts.join(".incoming")).unwrap().count() < 8 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    for release in release {
        release.send(()).unwrap();
    }
    for response in responses {
        assert_eq!(response.await.unwrap().0, 200);
    }
    let (name, content) = only_file(&api, &artifacts).await;
    assert!(name.ends_with("-9.tar") && content == "9", "{name}: {content}");
}

#[tokio::test(flavor = "multi_thread")]
async fn concurrent_uploads_store_one_artifact_on_sqlite() {
    let folder = tempfile::tempdir().unwrap();
    check_concurrent_uploads(&sqlite(folder.path()), folder.path()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn concurrent_uploads_store_one_artifact_on_postgres() {
    let (Some(postgres), folder) = (Postgres::start(), tempfile::tempdir().unwrap()) else {
        return;
    };
    check_concurrent_uploads(&postgres.url(), folder.path()).await;
}

/// If the row cannot be written, the file is removed: a client that retries forever must not fill
/// the disk.
#[tokio::test(flavor = "multi_thread")]
async fn upload_without_database_row_is_deleted() {
    let folder = tempfile::tempdir().unwrap();
    let artifacts = ArtifactStore::open(&folder.path().join("artifacts"), None).unwrap();
    let store = Store::open_with(&sqlite(folder.path()), Duration::from_secs(1)).await.unwrap();
    let api = ScoringApi::new(store, artifacts, Admission::Open, ScoringLimits::default());
    // A writer blocks no reader: the lookup finds no row yet.
    let mut other = SqliteConnection::connect(&sqlite(folder.path())).await.unwrap();
    sqlx::query("BEGIN IMMEDIATE").execute(&mut other).await.unwrap();
    let (release, end) = upload(&api, "audio.tar", "sound", now());
    release.send(()).unwrap();
    assert_eq!(end.await.unwrap().0, 503);
    assert_eq!(files(&folder.path().join("artifacts")), []);
}
