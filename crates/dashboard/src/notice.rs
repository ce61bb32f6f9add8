//! A message at the top of the overview, such as the end of a demonstration.

use std::sync::{Arc, PoisonError, RwLock};

use async_trait::async_trait;
use axum::Router;
use maud::{Markup, html};

use crate::changes::Changes;
use crate::format::printable;
use crate::layout::live;
use crate::panel::Panel;
use crate::site::{Link, Section, Site};
use crate::view::View;

/// A message on the overview, without its own pages. Add it first, so that it is on top.
#[derive(Debug, Default)]
pub struct NoticeSection {
    /// Title and text; `None` while there is nothing to say.
    message: RwLock<Option<(String, String)>>,
}

impl NoticeSection {
    /// Creates a section without a message.
    pub fn new() -> Arc<Self> {
        Arc::default()
    }

    /// Shows a message in place of the previous one, and reports the change.
    pub fn show(&self, title: &str, text: &str, changes: &Changes) {
        let message = Some((title.to_owned(), text.to_owned()));
        *self.message.write().unwrap_or_else(PoisonError::into_inner) = message;
        changes.report();
    }
}

#[async_trait]
impl Section for NoticeSection {
    fn links(&self) -> Vec<Link> {
        Vec::new()
    }

    async fn overview(&self, _: &View) -> Markup {
        let message = self.message.read().unwrap_or_else(PoisonError::into_inner).clone();
        let body = html! {
            @if let Some((title, text)) = message {
                section.card role="status" {
                    h2 { (printable(&title)) }
                    p { (printable(&text)) }
                }
            }
        };
        live("notice", &body)
    }

    fn panels(&self) -> Vec<Panel> {
        Vec::new()
    }

    fn routes(self: Arc<Self>) -> Router<Site> {
        Router::new()
    }
}

#[cfg(test)]
mod tests {
    use axum::body::{Body, to_bytes};
    use axum::http::Request;
    use axum::http::header::HOST;
    use taonet_service::Shutdown;
    use tower::ServiceExt as _;

    use super::*;
    use crate::access::Access;
    use crate::base_path::BasePath;
    use crate::site::Dashboard;

    #[tokio::test]
    async fn notice_is_shown_after_it_is_set() {
        let (changes, notice) = (Changes::default(), NoticeSection::new());
        let reports = changes.subscribe();
        let dashboard = Dashboard::new(Access::Local, BasePath::default(), changes.clone());
        let router = dashboard.with(Arc::clone(&notice) as _).router(Shutdown::new());
        let overview = async || {
            let request = Request::get("/").header(HOST, "localhost").body(Body::empty()).unwrap();
            let response = router.clone().oneshot(request).await.unwrap();
            String::from_utf8(to_bytes(response.into_body(), 1 << 20).await.unwrap().to_vec())
                .unwrap()
        };
        assert!(!overview().await.contains("<h2>"));
        notice.show("Ended", "Stopped: <b>engine</b>", &changes);
        assert!(reports.has_changed().unwrap());
        let page = overview().await;
        assert!(
            page.contains("<h2>Ended</h2>") && page.contains("Stopped: &lt;b&gt;engine"),
            "{page}"
        );
    }
}
