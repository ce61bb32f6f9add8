use std::io::SeekFrom;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use bytes::Bytes;
use reqwest::header::{CONTENT_RANGE, RANGE};
use reqwest::{Client, Response, StatusCode};
use taonet_http::client::below;
use tokio::fs::File;
use tokio::io::{AsyncReadExt as _, AsyncSeekExt as _};
use tokio::time::timeout;
use url::Url;

use crate::UpdateError;

/// Size of the chunks of a local file, in bytes.
const CHUNK: usize = 1 << 16;

/// Address of a release server: an http or https URL, or a directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReleaseSource(Kind);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Kind {
    Http(Url),
    Directory(PathBuf),
}

impl FromStr for ReleaseSource {
    type Err = UpdateError;

    fn from_str(text: &str) -> Result<Self, UpdateError> {
        let invalid = || UpdateError::Address(text.to_owned());
        if !text.contains("://") {
            return if text.is_empty() { Err(invalid()) } else { Ok(Self(Kind::Directory(text.into()))) };
        }
        let url = Url::parse(text).map_err(|_| invalid())?;
        match url.scheme() {
            "http" | "https" => Ok(Self(Kind::Http(url))),
            "file" => url.to_file_path().map(|path| Self(Kind::Directory(path))).map_err(|()| invalid()),
            _ => Err(invalid()),
        }
    }
}

impl ReleaseSource {
    /// Path or URL of a file, without credentials.
    pub(crate) fn place(&self, path: &str) -> String {
        match &self.0 {
            Kind::Http(base) => {
                let mut url = below(base, path);
                // Both fail only for URLs without a host, which http URLs have.
                let _ = (url.set_username(""), url.set_password(None));
                url.set_query(None);
                url.to_string()
            }
            Kind::Directory(base) => base.join(path).display().to_string(),
        }
    }

    /// Opens a file at a byte offset. A server that ignores the offset starts at 0.
    pub(crate) async fn open(
        &self,
        client: &Client,
        path: &str,
        from: u64,
        stalled: Duration,
    ) -> Result<Part, UpdateError> {
        let place = self.place(path);
        match &self.0 {
            Kind::Http(base) => {
                let mut request = client.get(below(base, path));
                if from > 0 {
                    request = request.header(RANGE, format!("bytes={from}-"));
                }
                let response = timeout(stalled, request.send()).await;
                let response = response.map_err(|_| UpdateError::Timeout(place.clone()))?;
                let response = response.map_err(|source| transport(&place, source))?;
                let from = match response.status() {
                    StatusCode::OK => 0,
                    StatusCode::PARTIAL_CONTENT if starts_at(&response, from) => from,
                    status => return Err(UpdateError::Status { place, status }),
                };
                let total = response.content_length().map(|rest| from.saturating_add(rest));
                Ok(Part { from, total, place, stalled, body: Body::Http(response) })
            }
            Kind::Directory(base) => {
                let path = base.join(path);
                let failed = |source| UpdateError::Read { path: path.clone(), source };
                let mut file = File::open(&path).await.map_err(failed)?;
                let total = file.metadata().await.map_err(failed)?.len();
                let from = from.min(total);
                file.seek(SeekFrom::Start(from)).await.map_err(failed)?;
                Ok(Part { from, total: Some(total), place, stalled, body: Body::File(file, path) })
            }
        }
    }

    /// Reads a whole file of limited size.
    pub(crate) async fn read(
        &self,
        client: &Client,
        path: &str,
        limit: u64,
        within: Duration,
    ) -> Result<Vec<u8>, UpdateError> {
        let reading = async {
            let mut part = self.open(client, path, 0, within).await?;
            let mut content = Vec::new();
            while let Some(bytes) = part.next().await? {
                content.extend_from_slice(&bytes);
                if content.len() as u64 > limit {
                    return Err(UpdateError::TooLarge { place: self.place(path), limit });
                }
            }
            Ok(content)
        };
        timeout(within, reading).await.map_err(|_| UpdateError::Timeout(self.place(path)))?
    }
}

fn transport(place: &str, source: reqwest::Error) -> UpdateError {
    UpdateError::Transport { place: place.to_owned(), source: source.without_url() }
}

/// Returns whether a partial response begins at the requested offset.
fn starts_at(response: &Response, from: u64) -> bool {
    let range = response.headers().get(CONTENT_RANGE).and_then(|range| range.to_str().ok());
    let first = range.and_then(|range| range.strip_prefix("bytes ")?.split_once('-')?.0.parse().ok());
    first == Some(from)
}

/// The rest of a file.
pub(crate) struct Part {
    /// Offset of the first byte.
    pub(crate) from: u64,
    /// Length of the whole file, if known.
    pub(crate) total: Option<u64>,
    place: String,
    stalled: Duration,
    body: Body,
}

enum Body {
    Http(Response),
    File(File, PathBuf),
}

impl Part {
    /// Returns the next chunk; `None` at the end.
    pub(crate) async fn next(&mut self) -> Result<Option<Bytes>, UpdateError> {
        match &mut self.body {
            Body::Http(response) => {
                let chunk = timeout(self.stalled, response.chunk()).await;
                let chunk = chunk.map_err(|_| UpdateError::Timeout(self.place.clone()))?;
                chunk.map_err(|source| transport(&self.place, source))
            }
            Body::File(file, path) => {
                let mut chunk = Vec::with_capacity(CHUNK);
                let read = file.take(CHUNK as u64).read_to_end(&mut chunk).await;
                read.map_err(|source| UpdateError::Read { path: path.clone(), source })?;
                Ok((!chunk.is_empty()).then(|| chunk.into()))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_are_urls_or_directories() {
        let place = |text: &str| text.parse::<ReleaseSource>().map(|source| source.place("latest.json")).ok();
        assert_eq!(place("releases").as_deref(), Some("releases/latest.json"));
        assert_eq!(place("file:///srv/releases").as_deref(), Some("/srv/releases/latest.json"));
        assert_eq!(place("https://example.com").as_deref(), Some("https://example.com/latest.json"));
        let secret = "https://ada:secret@example.com/taonet/?token=secret";
        assert_eq!(place(secret).as_deref(), Some("https://example.com/taonet/latest.json"));
        for bad in ["", "ftp://example.com", "http://", "file://elsewhere/srv"] {
            assert_eq!(place(bad), None, "{bad}");
        }
    }
}
