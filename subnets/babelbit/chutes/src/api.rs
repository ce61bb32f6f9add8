//! Client of the Chutes API.

use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};

use super::call::{Body, Scheme, Service};
use super::script::{FILE, GPUS, MIN_VRAM_GB, REFERENCE};
use super::{ApiError, Call, ChutesSettings};

/// Timeout of a request.
const TIMEOUT: Duration = Duration::from_mins(1);
/// Maximum number of chutes in a list.
const LISTED: &str = "100";

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
        Ok(Self { service: Service::new(&settings.api_url, key, "CHUTES_API_KEY", Scheme::Raw, TIMEOUT)? })
    }

    /// Replaces the timeout of a request.
    ///
    /// # Errors
    /// [`ApiError::Client`] when TLS initialisation fails.
    pub fn with_timeout(settings: &ChutesSettings, timeout: Duration) -> Result<Self, ApiError> {
        let key = settings.api_key.clone();
        Ok(Self { service: Service::new(&settings.api_url, key, "CHUTES_API_KEY", Scheme::Raw, timeout)? })
    }

    /// Request for the image of a chute.
    pub fn image(&self, image: &str) -> Call {
        self.service.call("get the image", Method::GET, &["images", image], Body::None)
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
            "ref_str": REFERENCE, "revision": chute.revision, "concurrency": 4,
            "tagline": format!("Babelbit text miner, {}", chute.model), "readme": format!("{} {}", chute.model, chute.revision),
            "node_selector": { "gpu_count": GPUS, "min_vram_gb_per_gpu": MIN_VRAM_GB },
            "cords": [cord("health"), cord("predict")],
        });
        let mut call = self.service.call("deploy the chute", Method::POST, &["chutes", ""], Body::Json(body));
        call.url.query_pairs_mut().append_pair("accept_fee", "true");
        call
    }

    /// Request for the chutes whose name contains `name`.
    pub fn list(&self, name: &str) -> Call {
        let mut call = self.service.call("list the chutes", Method::GET, &["chutes", ""], Body::None);
        call.url.query_pairs_mut().append_pair("name", name).append_pair("limit", LISTED);
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
        self.service.call("warm up the chute", Method::GET, &["chutes", "warmup", chute_id], Body::None)
    }

    /// Request for the log of an instance.
    pub fn logs(&self, instance_id: &str) -> Call {
        self.service.call("read the instance's log", Method::GET, &["instances", instance_id, "logs"], Body::None)
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
    pub async fn follow(&self, call: &Call, line: impl FnMut(&str)) -> Result<(), ApiError> {
        self.service.lines(call, line).await
    }

    /// Finds the chute with exactly this name; `None` if there is none.
    ///
    /// # Errors
    /// [`ApiError`] when the service refuses or does not respond.
    pub async fn find(&self, name: &str) -> Result<Option<ChuteInfo>, ApiError> {
        let call = self.list(name);
        let answer = self.send(&call).await?;
        let items = answer.get("items").and_then(Value::as_array);
        let items = items.ok_or(ApiError::Field { what: call.what, field: "items" })?;
        let named = items.iter().find(|item| item.get("name").and_then(Value::as_str) == Some(name));
        named.map(|chute| info(call.what, chute)).transpose()
    }

    /// Reads a chute from a response.
    ///
    /// # Errors
    /// [`ApiError::Field`] when the response lacks the chute's ID.
    pub fn chute(call: &Call, answer: &Value) -> Result<ChuteInfo, ApiError> {
        info(call.what, answer)
    }
}

fn info(what: &'static str, chute: &Value) -> Result<ChuteInfo, ApiError> {
    let text = |field: &str| chute.get(field).and_then(Value::as_str).map(str::to_owned);
    Ok(ChuteInfo {
        chute_id: text("chute_id").ok_or(ApiError::Field { what, field: "chute_id" })?,
        name: text("name").unwrap_or_default(),
        slug: text("slug"),
        revision: text("revision"),
        hot: chute.get("hot").and_then(Value::as_bool).unwrap_or_default(),
    })
}
