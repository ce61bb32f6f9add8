use super::*;
use crate::testing::{S3Server, settings};
use taonet_settings::Secret;

fn file(folder: &Path, content: &[u8]) -> PathBuf {
    let path = folder.join("file");
    std::fs::write(&path, content).unwrap();
    path
}

/// Uploads small and large files in both addressing styles to a server that checks signatures.
#[tokio::test(flavor = "multi_thread")]
async fn files_are_uploaded_and_removed() {
    let folder = tempfile::tempdir().unwrap();
    let server = S3Server::start().await;
    // A bucket's name can precede only a host name, not an IP address.
    let mut url_with_name = server.url.clone();
    url_with_name.set_host(Some("localhost")).unwrap();
    for (url, addressing) in
        [(&server.url, S3Addressing::Path), (&url_with_name, S3Addressing::Virtual)]
    {
        let mut options = client_options(REQUEST_TIMEOUT);
        if addressing == S3Addressing::Virtual {
            // Not every machine resolves subdomains of localhost; with the server as a proxy, none
            // has to.
            options = options.with_proxy_url(server.url.as_str());
        }
        let storage = ObjectStorage::open_with(&settings(url, addressing), options).unwrap();
        for (name, size) in
            [("empty", 0), ("small", 100), ("exact", PART_BYTES), ("large", 2 * PART_BYTES + 7)]
        {
            let content: Vec<u8> = (0..size).map(|index| (index * 31) as u8).collect();
            let key = format!("logs/{name}.json");
            storage.upload(&key, &file(folder.path(), &content)).await.unwrap();
            assert!(std::fs::read(server.object(&key)).unwrap() == content, "{name}");
            storage.upload(&key, &file(folder.path(), b"new")).await.unwrap();
            assert_eq!(std::fs::read(server.object(&key)).unwrap(), b"new");
            storage.remove(&key).await.unwrap();
            storage.remove(&key).await.unwrap();
            assert!(!server.object(&key).exists());
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn objects_in_memory_are_read_up_to_a_limit() {
    let server = S3Server::start().await;
    let storage = ObjectStorage::open(&settings(&server.url, S3Addressing::Path)).unwrap();
    let content: Vec<u8> = (0..300_000_u32).map(|index| (index * 31) as u8).collect();
    storage.put("a/b", content.clone().into()).await.unwrap();
    assert!(storage.get("a/b", content.len()).await.unwrap() == content);
    let error = storage.get("a/b", content.len() - 1).await.unwrap_err();
    assert_eq!(error.to_string(), "object a/b in bucket results is larger than 299999 bytes");
    assert!(!error.is_missing());
    assert!(storage.get("a/c", 1).await.unwrap_err().is_missing());
}

/// Columns: missing or wrong setting, expected error.
#[tokio::test]
async fn missing_and_invalid_settings_are_reported() {
    let folder = tempfile::tempdir().unwrap();
    let server = S3Server::start().await;
    let valid = settings(&server.url, S3Addressing::Path);
    for (settings, text) in [
        (
            S3Settings { bucket: " ".into(), ..valid.clone() },
            "S3_BUCKET_NAME is empty; hint: name the bucket, or disable uploads",
        ),
        (
            S3Settings { access_key_id: None, ..valid.clone() },
            "only one of S3_ACCESS_KEY_ID and S3_SECRET_ACCESS_KEY is set",
        ),
        (
            S3Settings { secret_access_key: None, ..valid.clone() },
            "only one of S3_ACCESS_KEY_ID and S3_SECRET_ACCESS_KEY is set",
        ),
    ] {
        let error = ObjectStorage::open(&settings).unwrap_err().to_string();
        assert!(error.starts_with(text), "{error}");
    }
    let path = file(folder.path(), b"x");
    let wrong_secret =
        S3Settings { secret_access_key: Some(Secret::new("wrong")), ..valid.clone() };
    let error = ObjectStorage::open(&wrong_secret)
        .unwrap()
        .upload("x", &path)
        .await
        .unwrap_err()
        .to_string();
    assert!(error.starts_with("request to bucket results failed: "), "{error}");
    let storage = ObjectStorage::open(&valid).unwrap();
    let error = storage.upload("x", &folder.path().join("none")).await.unwrap_err().to_string();
    assert!(error.starts_with("cannot read "), "{error}");
    assert!(!format!("{valid:?} {storage:?}").contains("wJalr"), "{valid:?}");
}

/// Columns: endpoint, whether TLS is enabled, bucket in the host name, expected URL.
#[test]
fn scheme_of_endpoint_overrides_use_ssl() {
    for (endpoint, use_ssl, bucket, expected) in [
        ("https://s3.example:9000", false, None, "https://s3.example:9000"),
        ("http://s3.example", true, None, "http://s3.example"),
        ("s3.example:9000", true, None, "https://s3.example:9000"),
        ("s3.example:9000", false, None, "http://s3.example:9000"),
        ("s3.example:9000", false, Some("b"), "http://b.s3.example:9000"),
        ("https://s3.example", false, Some("b"), "https://b.s3.example"),
    ] {
        assert_eq!(endpoint_of(endpoint, use_ssl, bucket).unwrap(), expected);
    }
}
