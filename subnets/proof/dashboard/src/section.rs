use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use axum::Router;
use axum::routing::get;
use maud::Markup;
use taonet_dashboard::{
    Changes, Health, Link, Panel, Section, ServicesSection, Site, View, now_unix,
};
use taonet_service::Shutdown;

use crate::source::Source;
use crate::{page, panels};

/// Histogram of the validator: time to verify a proof.
const VERIFY_SECONDS: &str = "taonet_proof_validator_verify_seconds";

/// The pages of the proof subnet, as a section of the dashboard.
pub struct ProofSection {
    source: Source,
    services: Option<Arc<ServicesSection>>,
}

impl ProofSection {
    /// Creates an empty page for a validator, read from its state directory; [`Self::follow`] fills
    /// it. `circuits` is the validator's directory of circuits, and `services` may have its
    /// metrics.
    pub fn new(
        directory: PathBuf,
        circuits: Option<PathBuf>,
        services: Option<Arc<ServicesSection>>,
    ) -> Arc<Self> {
        Arc::new(Self { source: Source::new(directory, circuits), services })
    }

    /// Reads the sources until shutdown, and reports each change.
    pub async fn follow(&self, changes: &Changes, shutdown: &Shutdown) {
        self.source.follow(changes, shutdown).await;
    }

    /// Reads the sources once, and reports a change.
    pub async fn read(&self, changes: &Changes) {
        self.source.read(changes).await;
    }

    /// Returns the number of verifications and their mean time in seconds; `None` if no service has
    /// this metric.
    fn verifications(&self) -> Option<(f64, f64)> {
        self.services.as_ref()?.histogram_count_and_mean(VERIFY_SECONDS)
    }
}

#[async_trait]
impl Section for ProofSection {
    fn links(&self) -> Vec<Link> {
        vec![Link::new("/proof", "Proof")]
    }

    async fn overview(&self, view: &View) -> Markup {
        page::overview(view, &self.source.proofs(), self.verifications())
    }

    fn panels(&self) -> Vec<Panel> {
        panels::proof_panels(&self.source.proofs(), self.verifications(), now_unix())
    }

    fn problems(&self) -> Vec<String> {
        self.source
            .proofs()
            .problems(now_unix())
            .map(|(title, reason)| format!("Proof: {title}: {reason}"))
            .collect()
    }

    fn health(&self) -> Option<Health> {
        Some(self.source.proofs().health(now_unix()))
    }

    fn routes(self: Arc<Self>) -> Router<Site> {
        let page = move |view: View| async move {
            page::page(&view, &self.source.proofs(), self.verifications())
        };
        Router::new().route("/proof", get(page))
    }
}
