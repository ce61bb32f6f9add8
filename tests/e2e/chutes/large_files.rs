//! `bb push --dry-run` with a file that the hub stores separately.

use std::fs::File;

use serde_json::{Value, json};

use super::{Cloud, model, with_accounts};
use crate::support::{document, local_bb};

/// Returns a request in the output.
fn request<'a>(document: &'a Value, operation: &str) -> &'a Value {
    let mut requests = document["requests"].as_array().unwrap().iter();
    requests
        .find(|request| request["request"] == operation)
        .unwrap_or_else(|| panic!("{operation}: {document}"))
}

#[test]
fn push_dry_run_shows_request_for_large_files() {
    const SIZE: u64 = 10_000_001;

    let folder = tempfile::tempdir().unwrap();
    let (cloud, server) = Cloud::serve();
    let path = model(folder.path());
    File::create(folder.path().join("model/large.safetensors")).unwrap().set_len(SIZE).unwrap();
    let mut push = local_bb();
    push.args(["push", "--dry-run", "--no-commit", "--model-path", &path]);
    let report = document(&with_accounts(&mut push, &server).output().unwrap());
    let batch = request(&report, "upload large files");
    let url = batch["url"].as_str().unwrap();
    assert!(url.ends_with("/al/Babelbit-default.git/info/lfs/objects/batch"), "{url}");
    let objects = batch["body"]["objects"].as_array().unwrap();
    assert_eq!((objects.len(), &objects[0]["size"]), (1, &json!(SIZE)), "{batch}");
    let committed = request(&report, "commit the files")["body"].as_array().unwrap();
    let large = committed.iter().find(|line| line["key"] == "lfsFile").unwrap();
    assert_eq!(
        (&large["value"]["path"], &large["value"]["oid"]),
        (&json!("large.safetensors"), &objects[0]["oid"])
    );
    assert_eq!(cloud.take_requests(), [""; 0]);
}
