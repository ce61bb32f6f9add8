use std::fs;
use std::io::{self, SeekFrom};
use std::path::Path;

use axum::body::Body;
use axum::http::header::{
    ACCEPT_RANGES, CACHE_CONTROL, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, RANGE,
};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use taonet_http::file_content;
use tokio::fs::File;
use tokio::io::AsyncSeekExt as _;

/// Opens a regular file. Blocks the thread.
///
/// # Errors
/// When the file cannot be opened or is not a regular file.
pub fn open_file(path: &Path) -> io::Result<fs::File> {
    // Opening a named pipe would block until a program writes to it.
    if !fs::metadata(path)?.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file"));
    }
    fs::File::open(path)
}

/// Sends a file, or the part selected by the request's `range`, without reading all of it into
/// memory.
///
/// # Errors
/// When the file cannot be opened or is not a regular file.
pub async fn send_file(
    path: &Path,
    kind: &'static str,
    request: &HeaderMap,
) -> io::Result<Response> {
    let path = path.to_owned();
    let result = tokio::task::spawn_blocking(move || open_file(&path)).await;
    let mut file = File::from_std(result.map_err(io::Error::other)??);
    let size = file.metadata().await?.len();
    let range = request
        .get(RANGE)
        .and_then(|range| range.to_str().ok())
        .and_then(|range| parse(range, size));
    let headers = [
        (CONTENT_TYPE, HeaderValue::from_static(kind)),
        (ACCEPT_RANGES, HeaderValue::from_static("bytes")),
        (CACHE_CONTROL, HeaderValue::from_static("private, max-age=3600")),
    ];
    let (start, end, status) = match range {
        None => (0, size, StatusCode::OK),
        Some(Ok((start, end))) => (start, end, StatusCode::PARTIAL_CONTENT),
        Some(Err(())) => {
            let range = [(CONTENT_RANGE, format!("bytes */{size}"))];
            return Ok((StatusCode::RANGE_NOT_SATISFIABLE, range).into_response());
        }
    };
    file.seek(SeekFrom::Start(start)).await?;
    let content = Body::from_stream(file_content(file, end - start));
    let mut response = (status, headers, content).into_response();
    response.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from(end - start));
    if status == StatusCode::PARTIAL_CONTENT
        && let Ok(range) =
            HeaderValue::from_str(&format!("bytes {start}-{}/{size}", end.saturating_sub(1)))
    {
        response.headers_mut().insert(CONTENT_RANGE, range);
    }
    Ok(response)
}

/// Parses a byte range into its start and exclusive end; an error if no byte of the file is in the
/// range. Returns `None` for several ranges or other units, which are ignored.
fn parse(range: &str, size: u64) -> Option<Result<(u64, u64), ()>> {
    let (first, last) = range.strip_prefix("bytes=")?.split_once('-')?;
    let (start, end) = match (first.parse::<u64>(), last.parse::<u64>()) {
        (Ok(start), Ok(last)) if start <= last => (start, last.saturating_add(1).min(size)),
        (Ok(start), Err(_)) if last.is_empty() => (start, size),
        (Err(_), Ok(count)) if first.is_empty() => (size.saturating_sub(count), size),
        _ => return None,
    };
    Some(if start < end { Ok((start, end)) } else { Err(()) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn only_regular_files_are_opened() {
        let directory = tempfile::tempdir().unwrap();
        let [pipe, file] = ["pipe", "file"].map(|name| directory.path().join(name));
        assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        fs::write(&file, "RIFF").unwrap();
        for (path, is_file) in
            [(&file, true), (&pipe, false), (&directory.path().to_owned(), false)]
        {
            let headers = HeaderMap::new();
            let result = tokio::time::timeout(
                std::time::Duration::from_secs(5),
                send_file(path, "audio/wav", &headers),
            );
            let result = result.await;
            if result.is_err() {
                // Unblocks the thread that reads the pipe, so that the test can fail.
                drop(fs::OpenOptions::new().write(true).open(path));
            }
            assert_eq!(
                result.expect("opening the file does not block").is_ok(),
                is_file,
                "{}",
                path.display()
            );
        }
    }

    #[test]
    fn range_headers_are_parsed() {
        for (range, expected) in [
            ("bytes=0-", Some(Ok((0, 100)))),
            ("bytes=10-19", Some(Ok((10, 20)))),
            ("bytes=90-200", Some(Ok((90, 100)))),
            ("bytes=-10", Some(Ok((90, 100)))),
            ("bytes=-200", Some(Ok((0, 100)))),
            ("bytes=100-", Some(Err(()))),
            ("bytes=-0", Some(Err(()))),
            ("bytes=0-18446744073709551615", Some(Ok((0, 100)))),
            ("bytes=20-10", None),
            ("bytes=0-1,5-6", None),
            ("items=0-1", None),
        ] {
            assert_eq!(parse(range, 100), expected, "{range}");
        }
    }
}
