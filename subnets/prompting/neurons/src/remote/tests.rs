use taonet_primitives::with_causes;
use wiremock::matchers::path;
use wiremock::{Mock, MockServer, ResponseTemplate};

use super::*;

/// The CID and the SHA-256 of [`TEXT`].
const CID: &str = "bafkreifzjut3te2nhyekklss27nh3k72ysco7y32koao5eei66wof36n5e";
const SHA256: &str = "b94d27b9934d3e08a52e52d7da7dabfac484efe37a5380ee9088f7ace2efcde9";
const TEXT: &str = "hello world";
/// The CID of a directory.
const TREE: &str = "bafybeigdyrzt5sfp7udm7hu76uh7y26nf3efuylqabf3oclgtqy55fbzdi";

fn hash() -> [u8; 32] {
    let mut hash = [0; 32];
    hex::decode_to_slice(SHA256, &mut hash).unwrap();
    hash
}

/// Columns: URL · whether its SHA-256 is stated · suffix of the file, or what the error says
#[test]
fn unverifiable_dataset_url_is_refused() {
    for (url, has_digest, expected) in [
        ("https://hub.example/datasets/a/b/resolve/main/questions.jsonl", true, Ok("jsonl")),
        (
            "https://hub.example/datasets/a/b/resolve/main/questions.jsonl",
            false,
            Err("cannot be verified; hint: state"),
        ),
        ("https://gateway.example/ipfs/CID", false, Ok("txt")),
        ("https://gateway.example/ipfs/CID?filename=Questions.JSONL", false, Ok("jsonl")),
        ("https://gateway.example/ipfs/CID/?filename=a.b/c", false, Ok("txt")),
        ("https://CID.ipfs.gateway.example/?filename=q.md", false, Ok("md")),
        ("https://gateway.example/ipfs/TREE?filename=q.md", false, Err("dag-pb")),
        ("https://gateway.example/ipfs/TREE?filename=q.md", true, Ok("md")),
        ("https://gateway.example/ipfs/TREE/q.jsonl", true, Ok("jsonl")),
        // A path below a CID is not the content of the CID.
        ("https://gateway.example/ipfs/CID/q.jsonl", false, Err("cannot be verified; hint: state")),
        ("https://gateway.example/ipns/CID", false, Err("cannot be verified; hint: state")),
        ("https://gateway.example/ipfs/other", false, Err("not a CID of version 1")),
        ("hub:al/questions/train.jsonl", true, Ok("jsonl")),
        ("hub:al/questions/train.jsonl", false, Err("cannot be verified; hint: state")),
        ("hub:al/questions", true, Err("names no file of the hub")),
        ("hub:al/questions/", true, Err("names no file of the hub")),
        ("hub:al/questions@/train.jsonl", true, Err("names no file of the hub")),
        ("hub:al/../train.jsonl", true, Err("names no file of the hub")),
        ("hub://al/questions/train.jsonl", true, Err("names no file of the hub")),
        ("ipfs://CID", true, Err("is not an http or https URL")),
        ("questions.jsonl", true, Err("is not an http or https URL")),
    ] {
        let url = url.replace("CID", CID).replace("TREE", TREE);
        match (RemoteFile::new(&url, has_digest.then(hash)), expected) {
            (Ok(file), Ok(suffix)) => assert_eq!(file.suffix, suffix, "{url}"),
            (Err(error), Err(text)) => {
                assert!(with_causes(&error).contains(text), "{url}: {}", with_causes(&error));
            }
            (actual, _) => panic!("{url}: {actual:?}, expected {expected:?}"),
        }
    }
    let error =
        RemoteFile::new(&format!("https://gateway.example/ipfs/{CID}"), Some([7; 32])).unwrap_err();
    assert!(matches!(error, RemoteError::Contradiction(_)), "{error}");
    let secret =
        RemoteFile::new("https://ada:secret@hub.example/q.txt?token=secret", Some(hash())).unwrap();
    assert_eq!(secret.redacted_url(), "https://hub.example/q.txt");
}

/// Columns: name · URL
#[test]
fn hub_name_is_resolved_to_its_url() {
    for (name, url) in [
        ("hub:al/questions/train.jsonl", "al/questions/resolve/main/train.jsonl"),
        (
            "hub:al/questions@v1.0/data/a b?.parquet",
            "al/questions/resolve/v1.0/data/a%20b%3F.parquet",
        ),
    ] {
        let file = RemoteFile::new(name, Some(hash())).unwrap();
        assert_eq!(file.redacted_url(), format!("https://huggingface.co/datasets/{url}"));
    }
}

#[tokio::test]
async fn downloaded_file_is_reused() {
    let (server, directory) = (MockServer::start().await, tempfile::tempdir().unwrap());
    let response = ResponseTemplate::new(200).set_body_string(TEXT);
    Mock::given(path("/storage")).respond_with(response).expect(1).mount(&server).await;
    // A hub redirects to its storage.
    let redirect =
        ResponseTemplate::new(302).insert_header("location", format!("{}/storage", server.uri()));
    Mock::given(path("/questions.txt")).respond_with(redirect).expect(1).mount(&server).await;
    let file = RemoteFile::new(&format!("{}/questions.txt", server.uri()), Some(hash())).unwrap();
    let questions = directory.path().join("questions");
    for _ in 0..2 {
        let fetched = file.fetch(&questions).await.unwrap();
        assert_eq!(fetched, questions.join(format!("{SHA256}.txt")));
        assert_eq!(std::fs::read_to_string(fetched).unwrap(), TEXT);
    }
    assert_eq!(std::fs::read_dir(questions).unwrap().count(), 1);
}

#[tokio::test]
async fn changed_or_missing_file_is_an_error() {
    let (server, directory) = (MockServer::start().await, tempfile::tempdir().unwrap());
    let other = ResponseTemplate::new(200).set_body_string("hello, world");
    Mock::given(path(format!("/ipfs/{CID}"))).respond_with(other).mount(&server).await;
    for (url, expected) in [
        (
            format!("{}/ipfs/{CID}", server.uri()),
            format!("has other content: expected SHA-256 {SHA256}, found "),
        ),
        (format!("{}/none.txt", server.uri()), "HTTP 404".to_owned()),
    ] {
        let file = RemoteFile::new(&url, Some(hash())).unwrap();
        let error = with_causes(&file.fetch(directory.path()).await.unwrap_err());
        assert!(error.contains(&expected), "{error}");
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0, "{url}");
    }
}
