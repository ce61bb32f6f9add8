//! Client of the Chutes API.

use std::ops::ControlFlow;
use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};
use taonet_http::Fault;
use taonet_service::Sleeper;

use super::call::{Body, Form, Scheme, Service};
use super::script::{CHUTE_PATH, FILE, GPUS, MIN_VRAM_GB};
use super::{ApiError, Call, ChutesSettings};

/// Timeout of a request.
const TIMEOUT: Duration = Duration::from_mins(1);
/// Maximum number of chutes in a page.
const PAGE_SIZE: usize = 100;
/// Maximum number of pages of one account's chutes.
const MAX_PAGES: usize = 50;
/// Substring of the name of every text miner's chute, in any case.
const TEXT_MINER_NAME: &str = "babelbit";
/// Maximum time to build an image.
const MAX_BUILD_TIME: Duration = Duration::from_hours(2);
/// Pause between two requests for the status of an image.
const BUILD_PAUSE: Duration = Duration::from_secs(5);
/// Maximum number of consecutive failed requests for the status of an image.
const MAX_FAILURES: u32 = 10;
/// Start of the status of a complete image, and of one whose build failed.
const BUILD_SUCCEEDED: &str = "built and pushed";
const BUILD_FAILED: &str = "error";
/// Last line of a build's log; the connection stays open after it.
const LAST_LOG_LINE: &str = "DONE";
/// A ZIP archive without files: only the record that ends an archive.
const EMPTY_ZIP: &[u8] = b"PK\x05\x06\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0";
/// Python's `None`, pickled, in base64. The API requires the pickled object that rendered the
/// Dockerfile, but only stores it.
const PICKLED_NONE: &str = "gAROLg==";

/// A deployed chute.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChuteInfo {
    /// ID of the chute.
    pub chute_id: String,
    /// Name of the chute.
    pub name: String,
    /// Slug of the chute, part of its URL.
    pub slug: Option<String>,
    /// Revision of the model's repository.
    pub revision: Option<String>,
    /// Whether an instance is running.
    pub hot: bool,
}

/// A chute to deploy.
#[derive(Debug, Clone, Copy)]
pub struct NewChute<'a> {
    /// Name of the chute.
    pub name: &'a str,
    /// Image of the chute: `name:tag`, or an ID.
    pub image: &'a str,
    /// Python script that defines the chute.
    pub code: &'a str,
    /// Revision of the model's repository.
    pub revision: &'a str,
    /// Name of the model's repository.
    pub model: &'a str,
}

/// An image to build.
#[derive(Debug, Clone, Copy)]
pub struct NewImage<'a> {
    /// Name of the Chutes account.
    pub username: &'a str,
    /// Name of the image.
    pub name: &'a str,
    /// Tag of the image.
    pub tag: &'a str,
    /// The Dockerfile. There are no other files: Chutes adds the script of a chute itself.
    pub dockerfile: &'a str,
}

/// Client of the Chutes API.
#[derive(Debug, Clone)]
pub struct ChutesApi {
    service: Service,
}

impl ChutesApi {
    /// Creates a client. Without an API key, requests fail with [`ApiError::NoKey`].
    ///
    /// # Errors
    /// [`ApiError::Client`] when TLS initialisation fails.
    pub fn new(settings: &ChutesSettings) -> Result<Self, ApiError> {
        let key = settings.api_key.clone();
        Ok(Self {
            service: Service::new(&settings.api_url, key, "CHUTES_API_KEY", Scheme::Raw, TIMEOUT)?,
        })
    }

    /// Creates a client with another timeout of requests.
    ///
    /// # Errors
    /// [`ApiError::Client`] when TLS initialisation fails.
    pub fn with_timeout(settings: &ChutesSettings, timeout: Duration) -> Result<Self, ApiError> {
        let key = settings.api_key.clone();
        Ok(Self {
            service: Service::new(&settings.api_url, key, "CHUTES_API_KEY", Scheme::Raw, timeout)?,
        })
    }

    /// Request for the image of a chute.
    pub fn image(&self, image: &str) -> Call {
        self.service.call("get the image", Method::GET, &["images", image], Body::None)
    }

    /// Request to build an image. The response comes before the build: wait with
    /// [`Self::wait_until_built`].
    pub fn build(&self, image: &NewImage<'_>) -> Call {
        let fields = [
            ("username", image.username),
            ("name", image.name),
            ("tag", image.tag),
            ("readme", "Babelbit text miner"),
            ("dockerfile", image.dockerfile),
            ("public", "False"),
            ("logo_id", "__none__"),
            ("wait", "False"),
            ("image", PICKLED_NONE),
        ];
        let form = Form {
            fields: Vec::from(fields.map(|(name, value)| (name, value.to_owned()))),
            field: "build_context",
            file: "chute.zip",
            content_type: "application/zip",
            content: EMPTY_ZIP.to_vec(),
        };
        self.service.call("build the image", Method::POST, &["images", ""], Body::Form(form))
    }

    /// Request for the log of an image's build, after the event `offset`.
    pub fn build_log(&self, image_id: &str, offset: Option<&str>) -> Call {
        let mut call = self.service.call(
            "read the build's log",
            Method::GET,
            &["images", image_id, "logs"],
            Body::None,
        );
        if let Some(offset) = offset {
            call.url.query_pairs_mut().append_pair("offset", offset);
        }
        call
    }

    /// Request to deploy a chute.
    pub fn deploy(&self, chute: &NewChute<'_>) -> Call {
        let cord = |path: &str| {
            json!({
                "method": "POST", "path": format!("/{path}"), "function": path, "stream": false, "passthrough": false,
                "public_api_path": format!("/{path}"), "public_api_method": "POST",
            })
        };
        let body = json!({
            "name": chute.name, "image": chute.image, "public": false, "code": chute.code, "filename": FILE,
            "ref_str": CHUTE_PATH, "revision": chute.revision, "concurrency": 4,
            "tagline": format!("Babelbit text miner, {}", chute.model), "readme": format!("{} {}", chute.model, chute.revision),
            "node_selector": { "gpu_count": GPUS, "min_vram_gb_per_gpu": MIN_VRAM_GB },
            "cords": [cord("health"), cord("predict")],
        });
        let mut call =
            self.service.call("deploy the chute", Method::POST, &["chutes", ""], Body::Json(body));
        call.url.query_pairs_mut().append_pair("accept_fee", "true");
        call
    }

    /// Request for a page of the account's text miners' chutes; the first page is 0.
    pub fn list(&self, page: usize) -> Call {
        let mut call =
            self.service.call("list the chutes", Method::GET, &["chutes", ""], Body::None);
        let mut query = call.url.query_pairs_mut();
        query.append_pair("name", TEXT_MINER_NAME).append_pair("limit", &PAGE_SIZE.to_string());
        query.append_pair("page", &page.to_string());
        drop(query);
        call
    }

    /// Request for one chute.
    pub fn get(&self, id_or_name: &str) -> Call {
        self.service.call("get the chute", Method::GET, &["chutes", id_or_name], Body::None)
    }

    /// Request to let another account use a chute.
    pub fn share(&self, chute_id: &str, user: &str) -> Call {
        let body = json!({ "chute_id_or_name": chute_id, "user_id_or_name": user });
        self.service.call("share the chute", Method::POST, &["chutes", "share"], Body::Json(body))
    }

    /// Request to start an instance.
    pub fn warm_up(&self, chute_id: &str) -> Call {
        self.service.call(
            "warm up the chute",
            Method::GET,
            &["chutes", "warmup", chute_id],
            Body::None,
        )
    }

    /// Request for the log of an instance.
    pub fn logs(&self, instance_id: &str) -> Call {
        self.service.call(
            "read the instance's log",
            Method::GET,
            &["instances", instance_id, "logs"],
            Body::None,
        )
    }

    /// Request to delete a chute.
    pub fn delete(&self, chute_id: &str) -> Call {
        self.service.call("delete the chute", Method::DELETE, &["chutes", chute_id], Body::None)
    }

    /// Sends a request.
    ///
    /// # Errors
    /// [`ApiError`] when the service refuses or does not respond.
    pub async fn send(&self, call: &Call) -> Result<Value, ApiError> {
        self.service.send(call).await
    }

    /// Sends a request for a log, and calls `line` with each line until the log ends.
    ///
    /// # Errors
    /// [`ApiError`] when the service refuses or does not respond, or the connection breaks.
    pub async fn follow(&self, call: &Call, mut line: impl FnMut(&str)) -> Result<(), ApiError> {
        let each_line = |text: &str| {
            // The data of an event may have several lines.
            text.lines().for_each(&mut line);
            ControlFlow::Continue(())
        };
        self.service.lines(call, None, each_line).await
    }

    /// Waits until an image is built, for at most two hours, and calls `line` with each line of the
    /// build's log. `sleeper` waits between two requests for the image.
    ///
    /// # Errors
    /// [`ApiError::Build`] when the build failed, otherwise [`ApiError`] when the service refuses,
    /// as with status 404 if there is no such image, or does not respond.
    pub async fn wait_until_built(
        &self,
        image: &str,
        sleeper: &Sleeper,
        line: impl FnMut(&str),
    ) -> Result<(), ApiError> {
        let build =
            tokio::time::timeout(MAX_BUILD_TIME, self.watch_build(image, sleeper, line)).await;
        build.unwrap_or_else(|_| {
            let operation = "build the image";
            Err(ApiError::refused(operation, Fault::Timeout))
        })
    }

    async fn watch_build(
        &self,
        image: &str,
        sleeper: &Sleeper,
        mut line: impl FnMut(&str),
    ) -> Result<(), ApiError> {
        let call = self.image(image);
        let (mut offset, mut is_done, mut failures) = (None::<String>, false, 0);
        loop {
            let answer = match self.send(&call).await {
                Err(ApiError::Refused { fault, .. })
                    if fault.is_retryable() && failures < MAX_FAILURES =>
                {
                    failures += 1;
                    sleeper(BUILD_PAUSE).await;
                    continue;
                }
                answer => answer?,
            };
            failures = 0;
            let field = |name: &str| answer.get(name).and_then(Value::as_str);
            match field("status") {
                None => return Ok(()),
                Some(status) if status.starts_with(BUILD_SUCCEEDED) => return Ok(()),
                Some(status) if status.starts_with(BUILD_FAILED) => {
                    return Err(ApiError::Build {
                        image: image.to_owned(),
                        status: status.to_owned(),
                    });
                }
                Some(_) => {}
            }
            if !is_done {
                let id = field("image_id").ok_or(call.missing_field("image_id"))?;
                let log = self.build_log(id, offset.as_deref());
                let log_end = self.service.lines(&log, Some(self.service.timeout()), |text| {
                    is_done = text == LAST_LOG_LINE;
                    if is_done {
                        return ControlFlow::Break(());
                    }
                    match log_event(text) {
                        Some((text, at)) => {
                            line(&text);
                            offset = at.or(offset.take());
                        }
                        // The log of a complete build is plain text, and begins again.
                        None if offset.is_none() && text != "." => line(text),
                        None => {}
                    }
                    ControlFlow::Continue(())
                });
                match log_end.await {
                    Ok(()) if is_done => continue,
                    Ok(()) => {}
                    // The build does not depend on its log.
                    Err(error) => {
                        tracing::debug!(
                            error = &error as &dyn std::error::Error,
                            "log interrupted"
                        );
                    }
                }
            }
            sleeper(BUILD_PAUSE).await;
        }
    }

    /// Finds the chute with exactly this name, or else the one of this revision, which another
    /// program may have named; `None` if there is neither.
    ///
    /// # Errors
    /// [`ApiError`] when the service refuses or does not respond.
    pub async fn find(&self, name: &str, revision: &str) -> Result<Option<ChuteInfo>, ApiError> {
        let mut revision_chute = None;
        for page in 0..MAX_PAGES {
            let call = self.list(page);
            let answer = self.send(&call).await?;
            let items = answer.get("items").and_then(Value::as_array);
            let items = items.ok_or(call.missing_field("items"))?;
            for item in items {
                let has = |field: &str, value: &str| {
                    item.get(field).and_then(Value::as_str) == Some(value)
                };
                if has("name", name) {
                    return info(call.operation, item).map(Some);
                }
                if revision_chute.is_none() && has("revision", revision) {
                    revision_chute = Some(info(call.operation, item)?);
                }
            }
            if items.len() < PAGE_SIZE {
                break;
            }
        }
        Ok(revision_chute)
    }

    /// Reads a chute from a response.
    ///
    /// # Errors
    /// [`ApiError::Field`] when the response lacks the chute's ID.
    pub fn chute(call: &Call, answer: &Value) -> Result<ChuteInfo, ApiError> {
        info(call.operation, answer)
    }
}

/// Parses an event of a build's log: its text, and the offset at which the log continues.
fn log_event(text: &str) -> Option<(String, Option<String>)> {
    let event: Value = serde_json::from_str(text).ok()?;
    let log = event.get("log")?;
    let text = log.as_str().or_else(|| log.get("log").and_then(Value::as_str))?;
    Some((text.to_owned(), event.get("offset").and_then(Value::as_str).map(str::to_owned)))
}

fn info(operation: &'static str, chute: &Value) -> Result<ChuteInfo, ApiError> {
    let text = |field: &str| chute.get(field).and_then(Value::as_str).map(str::to_owned);
    Ok(ChuteInfo {
        chute_id: text("chute_id").ok_or(ApiError::Field { operation, field: "chute_id" })?,
        name: text("name").unwrap_or_default(),
        slug: text("slug"),
        revision: text("revision"),
        hot: chute.get("hot").and_then(Value::as_bool).unwrap_or_default(),
    })
}
