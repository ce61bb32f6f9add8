//! The pages of daemons: whether each is ready, and its metrics.

mod metrics;
mod page;
mod source;

use std::str::FromStr;
use std::sync::Arc;

use async_trait::async_trait;
use axum::Router;
use axum::extract::Path;
use axum::response::IntoResponse as _;
use axum::routing::get;
use maud::Markup;
use taonet_service::Shutdown;
use url::Url;

use crate::changes::Changes;
use crate::panel::Panel;
use crate::site::{Link, Section, Site};
use crate::view::View;
use metrics::Value;
use source::{Source, State};

/// Maximum length of a service's name in characters.
const MAX_NAME: usize = 40;

/// Name and URL of a daemon that serves `/readyz` and `/metrics`. Parsed from text such as
/// `engine=http://127.0.0.1:8000`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServiceAddress {
    name: String,
    url: Url,
}

/// Error for a text that is not a [`ServiceAddress`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "malformed service {0:?}, expected NAME=URL such as engine=http://127.0.0.1:8000, with a name of at most {max} \
     letters, digits, `-` and `_`",
    max = MAX_NAME
)]
pub struct ServiceAddressError(String);

impl ServiceAddress {
    /// Returns the URL without credentials.
    fn public_url(&self) -> String {
        let mut url = self.url.clone();
        // This fails only for URLs that have no host and therefore no credentials.
        let _ = (url.set_username(""), url.set_password(None));
        url.into()
    }
}

fn is_name(text: &str) -> bool {
    (1..=MAX_NAME).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
}

impl FromStr for ServiceAddress {
    type Err = ServiceAddressError;

    fn from_str(text: &str) -> Result<Self, ServiceAddressError> {
        let parts = text.split_once('=').filter(|(name, _)| is_name(name));
        let url = parts.and_then(|(_, url)| url.parse::<Url>().ok());
        let url = url.filter(|url| ["http", "https"].contains(&url.scheme()) && url.has_host());
        match parts.zip(url) {
            Some(((name, _), url)) => Ok(Self { name: name.to_owned(), url }),
            None => Err(ServiceAddressError(text.to_owned())),
        }
    }
}

/// The pages of daemons.
pub struct ServicesSection {
    source: Source,
}

impl ServicesSection {
    /// Creates empty pages for these daemons; [`Self::follow`] fills them.
    pub fn new(services: Vec<ServiceAddress>) -> Arc<Self> {
        Arc::new(Self { source: Source::new(services) })
    }

    /// Adds a daemon, in place of one with the same name, and reports the change.
    pub fn add(&self, service: ServiceAddress, changes: &Changes) {
        self.source.add(service);
        changes.report();
    }

    /// Returns the number and the mean of a histogram's values over all daemons, for sections of
    /// the same dashboard; `None` without values.
    pub fn histogram_count_and_mean(&self, metric: &str) -> Option<(f64, f64)> {
        let states = self.source.states();
        let metrics = states
            .iter()
            .flat_map(|state| state.metrics.iter())
            .filter(|histogram| histogram.name == metric);
        let (count, sum) = metrics.fold((0.0, 0.0), |(counts, sums), metric| match metric.value {
            Value::Histogram { count, sum } => (counts + count, sums + sum),
            Value::Counter(_) | Value::Gauge(_) => (counts, sums),
        });
        (count > 0.0).then(|| (count, sum / count))
    }

    /// Marks daemons that have stopped on purpose, by their names, and reports the change; returns
    /// the names. Their pages keep the metrics of the last read.
    pub fn stop(&self, is_stopped: impl Fn(&str) -> bool, changes: &Changes) -> Vec<String> {
        let names = self.source.stop(is_stopped);
        changes.report();
        names
    }

    /// Reads the daemons once, for instance before they stop.
    pub async fn read(&self, changes: &Changes) {
        self.source.read(changes).await;
    }

    /// Reads the daemons' readiness and metrics until shutdown, and reports each change.
    pub async fn follow(&self, changes: &Changes, shutdown: &Shutdown) {
        tokio::select! {
            () = self.source.follow(changes) => {}
            () = shutdown.requested() => {}
        }
    }
}

#[async_trait]
impl Section for ServicesSection {
    fn links(&self) -> Vec<Link> {
        vec![Link::new("/services", "Services")]
    }

    async fn overview(&self, view: &View) -> Markup {
        page::overview(view, &self.source.states())
    }

    fn panels(&self) -> Vec<Panel> {
        vec![page::panel(&self.source.states())]
    }

    fn problems(&self) -> Vec<String> {
        self.source.states().iter().filter_map(State::problem).collect()
    }

    fn failed_services(&self) -> Vec<String> {
        let states = self.source.states();
        let failed = states.iter().filter(|state| state.problem().is_some());
        failed.map(|state| state.address.name.clone()).collect()
    }

    fn routes(self: Arc<Self>) -> Router<Site> {
        let list = Arc::clone(&self);
        Router::new()
            .route(
                "/services",
                get(move |view: View| async move { page::list(&view, &list.source.states()) }),
            )
            .route(
                "/services/{name}",
                get(move |view: View, Path(name): Path<String>| async move {
                    page::service(&view, &self.source.states(), &name).into_response()
                }),
            )
    }
}

#[cfg(test)]
mod tests;
