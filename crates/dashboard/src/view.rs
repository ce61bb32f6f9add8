use std::convert::Infallible;

use axum::extract::FromRequestParts;
use axum::http::header::COOKIE;
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use maud::{Markup, html};
use url::form_urlencoded;

use crate::layout::{document, problem};
use crate::site::Site;

/// Colour scheme of the pages, chosen by the visitor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Theme {
    /// Colour scheme of the system.
    #[default]
    Auto,
    /// Dark text on a light background.
    Light,
    /// Light text on a dark background.
    Dark,
}

impl Theme {
    pub(crate) const ALL: [Self; 3] = [Self::Auto, Self::Light, Self::Dark];

    /// Returns the theme's name in cookies and URLs.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Light => "light",
            Self::Dark => "dark",
        }
    }

    pub(crate) fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|theme| theme.name() == name)
    }

    fn from_headers(headers: &HeaderMap) -> Self {
        let cookies = headers.get_all(COOKIE).into_iter().filter_map(|cookie| cookie.to_str().ok());
        let mut pairs = cookies
            .flat_map(|cookies| cookies.split(';'))
            .filter_map(|pair| pair.trim().split_once('='));
        pairs
            .find(|(name, _)| *name == "theme")
            .and_then(|(_, theme)| Self::from_name(theme))
            .unwrap_or_default()
    }
}

/// A page request: its path, its query and the visitor's theme. Renders pages and links.
#[derive(Debug, Clone)]
pub struct View {
    pub(crate) site: Site,
    pub(crate) theme: Theme,
    path: String,
    query: Vec<(String, String)>,
}

/// A rendered page or an error page.
pub type Page = Result<Response, Refusal>;

/// An error page for missing or unreadable data.
#[derive(Debug)]
pub struct Refusal(Box<Response>);

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        *self.0
    }
}

impl FromRequestParts<Site> for View {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, site: &Site) -> Result<Self, Infallible> {
        let query = form_urlencoded::parse(parts.uri.query().unwrap_or_default().as_bytes())
            .into_owned()
            .collect();
        let theme = Theme::from_headers(&parts.headers);
        Ok(Self { site: site.clone(), theme, path: parts.uri.path().to_owned(), query })
    }
}

impl View {
    /// Returns the path of the page below the base path.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Returns a link to a path of this site; `path` begins with a slash.
    pub fn href(&self, path: &str) -> String {
        format!("{}{path}", self.site.base())
    }

    /// Returns a query parameter; `None` if missing.
    pub fn param(&self, name: &str) -> Option<&str> {
        self.query.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// Returns a query parameter as a number; `None` if missing or malformed.
    pub fn number<T: std::str::FromStr>(&self, name: &str) -> Option<T> {
        self.param(name)?.parse().ok()
    }

    /// Returns a link to this page with some parameters changed. An empty value removes a
    /// parameter.
    pub fn href_with(&self, changes: &[(&str, &str)]) -> String {
        let unchanged = self
            .query
            .iter()
            .filter(|(name, _)| !changes.iter().any(|(changed, _)| changed == name));
        let unchanged = unchanged.map(|(name, value)| (name.as_str(), value.as_str()));
        let added = changes.iter().copied().filter(|(_, value)| !value.is_empty());
        let query = form_urlencoded::Serializer::new(String::new())
            .extend_pairs(unchanged.chain(added))
            .finish();
        let separator = if query.is_empty() { "" } else { "?" };
        format!("{}{}{separator}{query}", self.site.base(), self.path)
    }

    /// Renders a page with navigation.
    pub fn page(&self, title: &str, body: &Markup) -> Response {
        document(self, title, body).into_response()
    }

    /// Returns a page that reports a missing item, with status 404.
    pub fn missing(&self, item: &str) -> Refusal {
        let body =
            html! { h1 { "Not found" } p { (item) " does not exist, or is no longer available." } };
        Refusal(Box::new(
            (StatusCode::NOT_FOUND, document(self, "Not found", &body)).into_response(),
        ))
    }

    /// Returns a page that reports unreadable data, with status 503.
    pub fn unavailable(&self, title: &str, reason: &str) -> Refusal {
        let body = html! { h1 { (title) } (problem("This data is unavailable", reason)) };
        let page = document(self, title, &body);
        Refusal(Box::new((StatusCode::SERVICE_UNAVAILABLE, page).into_response()))
    }

    /// Renders breadcrumbs: links to the page's parents, and the page's own label.
    pub fn breadcrumbs(&self, steps: &[(&str, &str)], current_title: &str) -> Markup {
        html! {
            nav.trail aria-label="Breadcrumb" {
                @for (path, label) in steps { a href=(self.href(path)) { (label) } span aria-hidden="true" { "/" } }
                span aria-current="page" { (current_title) }
            }
        }
    }
}
