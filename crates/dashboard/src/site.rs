//! The server: sections, routes, security headers.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use axum::Router;
use axum::extract::{Path, Request, State};
use axum::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, HeaderMap, LOCATION, REFERER, REFERRER_POLICY,
    SET_COOKIE, X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};
use axum::http::{HeaderName, HeaderValue, StatusCode, Uri};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use maud::{Markup, html};
use taonet_primitives::counted;
use taonet_service::Shutdown;
use tower::ServiceBuilder;
use url::Url;

use crate::access::{Access, cross_site_refusal};
use crate::assets;
use crate::base_path::BasePath;
use crate::changes::Changes;
use crate::format::printable;
use crate::health::{self, Health};
use crate::layout::{live, split_hint};
use crate::panel::Panel;
use crate::view::{Theme, View};

/// Content security policy: resources of this site only, no inline scripts or styles, no frames,
/// and forms to this site only.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; media-src 'self'; \
                      connect-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'";

/// Headers of every response. A section may set its own `cache-control`.
const HEADERS: [(HeaderName, HeaderValue); 4] = [
    (CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY)),
    (X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    (X_FRAME_OPTIONS, HeaderValue::from_static("DENY")),
    (REFERRER_POLICY, HeaderValue::from_static("same-origin")),
];

/// An entry of the navigation bar.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    /// Path below the base path, beginning with a slash.
    pub path: String,
    /// Label of the entry.
    pub label: String,
}

impl Link {
    /// Creates an entry of the navigation bar.
    pub fn new(path: impl Into<String>, label: impl Into<String>) -> Self {
        Self { path: path.into(), label: label.into() }
    }
}

/// The pages of one data source, such as a subnet or the chain.
#[async_trait]
pub trait Section: Send + Sync + 'static {
    /// Returns the section's entries in the navigation bar.
    fn links(&self) -> Vec<Link>;

    /// Renders the section's part of the overview page.
    async fn overview(&self, view: &View) -> Markup;

    /// Returns the section's part of the overview in a terminal.
    fn panels(&self) -> Vec<Panel>;

    /// Returns the current problems, such as an unreachable source: one line each. While there is
    /// any, no page is marked as live.
    fn problems(&self) -> Vec<String> {
        Vec::new()
    }

    /// Returns the entry of the section's subnet in the strip at the top of each page; `None` if
    /// the section shows no subnet. A subnet with [`problems`](Self::problems) is not healthy.
    fn health(&self) -> Option<Health> {
        None
    }

    /// Returns the names of the services that have failed. Each is one of the
    /// [`problems`](Self::problems), too.
    fn failed_services(&self) -> Vec<String> {
        Vec::new()
    }

    /// Returns the routes of the section's pages. Handlers extract a [`View`]. Requests other than
    /// GET and HEAD reach a handler only from pages of this site; the handler must limit their
    /// bodies.
    fn routes(self: Arc<Self>) -> Router<Site>;
}

/// State of the server. Clones are cheap.
#[derive(Clone)]
pub struct Site(Arc<Inner>);

struct Inner {
    base: BasePath,
    access: Access,
    changes: Changes,
    shutdown: Shutdown,
    links: Vec<Link>,
    sections: Vec<Arc<dyn Section>>,
}

impl fmt::Debug for Site {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Site")
            .field("base", &self.0.base)
            .field("links", &self.0.links)
            .finish_non_exhaustive()
    }
}

impl Site {
    pub(crate) fn base(&self) -> &BasePath {
        &self.0.base
    }

    pub(crate) fn links(&self) -> &[Link] {
        &self.0.links
    }

    /// Returns the current problems of all sections.
    pub(crate) fn problems(&self) -> Vec<String> {
        self.0.sections.iter().flat_map(|section| section.problems()).collect()
    }

    /// Returns the entries of the strip at the top of each page.
    pub(crate) fn health(&self) -> Vec<Health> {
        health::subnet_health(&self.0.sections)
    }
}

/// The dashboard server, with the pages of several sections.
pub struct Dashboard {
    base: BasePath,
    access: Access,
    changes: Changes,
    sections: Vec<Arc<dyn Section>>,
}

impl Dashboard {
    /// Creates a dashboard without sections. Sections that are added later report their changes
    /// through `changes`.
    pub fn new(access: Access, base: BasePath, changes: Changes) -> Self {
        Self { base, access, changes, sections: Vec::new() }
    }

    /// Adds a section to the navigation bar, the overview and the routes.
    #[must_use]
    pub fn with(mut self, section: Arc<dyn Section>) -> Self {
        self.sections.push(section);
        self
    }

    /// Returns the server's routes. Event streams end at `shutdown`.
    pub fn router(self, shutdown: Shutdown) -> Router {
        let Self { base, access, changes, sections } = self;
        let overview_link = [Link::new("/", "Overview")];
        let links = overview_link
            .into_iter()
            .chain(sections.iter().flat_map(|section| section.links()))
            .collect();
        let routes = sections
            .iter()
            .fold(Router::new(), |router, section| router.merge(Arc::clone(section).routes()));
        let site = Site(Arc::new(Inner {
            base: base.clone(),
            access,
            changes,
            shutdown,
            links,
            sections,
        }));
        let app = routes
            .route("/", get(overview))
            .route("/events", get(events))
            .route("/theme/{name}", get(theme))
            .route("/assets/{version}/{name}", get(asset))
            .fallback(not_found)
            .method_not_allowed_fallback(read_only)
            .layer(middleware::from_fn_with_state(site.clone(), guard))
            .route("/healthz", get(healthz))
            .with_state(site);
        // Layers of a router run after routing, so this outer service removes the base path first.
        let strip_base_path = ServiceBuilder::new().map_request(move |mut request: Request| {
            let target = request.uri().path_and_query().map_or("/", |target| target.as_str());
            if let Ok(stripped_target) = base.strip(target).parse::<Uri>() {
                *request.uri_mut() = stripped_target;
            }
            request
        });
        Router::new().fallback_service(strip_base_path.service(app))
    }
}

/// Refuses unauthorised and cross-site requests, and adds the security headers to every response.
async fn guard(State(site): State<Site>, request: Request, next: Next) -> Response {
    let refusal = site.0.access.refusal(request.headers());
    let mut response =
        match refusal.or_else(|| cross_site_refusal(request.method(), request.headers())) {
            None => next.run(request).await,
            Some(refusal) => refusal,
        };
    let headers = response.headers_mut();
    headers.extend(HEADERS);
    headers.entry(CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    response
}

async fn events(State(site): State<Site>) -> Response {
    site.0.changes.stream(&site.0.shutdown)
}

async fn asset(Path((_, name)): Path<(String, String)>) -> Response {
    assets::serve(&name)
}

async fn not_found(view: View) -> Response {
    view.missing("This page").into_response()
}

async fn read_only() -> Response {
    (StatusCode::METHOD_NOT_ALLOWED, "the page is read-only").into_response()
}

async fn healthz() -> &'static str {
    "ok"
}

async fn overview(view: View) -> Response {
    let mut parts = Vec::new();
    for section in &view.site.0.sections {
        parts.push(section.overview(&view).await);
    }
    let body = html! {
        (live("problems", &problems(&view.site.problems())))
        @if parts.is_empty() { p { "There is nothing to show." } }
        @for part in &parts { (part) }
    };
    view.page("Overview", &body)
}

/// Lists the problems without their hints, so that the status fits the first screen of a phone.
fn problems(lines: &[String]) -> Markup {
    html! {
        @if !lines.is_empty() {
            section.problem role="status" aria-labelledby="failing" {
                h2 id="failing" { (counted(lines.len(), "problem")) }
                ul.list { @for line in lines { li { span { (printable(split_hint(line).0)) } } } }
            }
        }
    }
}

/// Stores the colour scheme in a cookie and redirects back to the page.
async fn theme(State(site): State<Site>, Path(name): Path<String>, headers: HeaderMap) -> Response {
    let Some(theme) = Theme::from_name(&name) else { return StatusCode::NOT_FOUND.into_response() };
    // Only path and query are used, so that the redirect stays on this site.
    let referer =
        headers.get(REFERER).and_then(|referer| referer.to_str().ok()?.parse::<Url>().ok());
    let return_path = referer.map(|url| {
        format!(
            "{}{}",
            url.path(),
            url.query().map(|query| format!("?{query}")).unwrap_or_default()
        )
    });
    let base = site.base();
    let return_path = return_path
        .filter(|path| path.starts_with(&format!("{base}/")) && !path.starts_with("//"))
        .unwrap_or_else(|| format!("{base}/"));
    let cookie =
        format!("theme={}; Path={base}/; Max-Age=31536000; SameSite=Lax; HttpOnly", theme.name());
    (StatusCode::SEE_OTHER, [(SET_COOKIE, cookie), (LOCATION, return_path)]).into_response()
}

#[cfg(test)]
mod tests;
