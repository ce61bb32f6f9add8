use async_trait::async_trait;
use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::Request;
use axum::http::header::HOST;
use taonet_service::Shutdown;
use tower::ServiceExt as _;

use super::*;
use crate::access::Access;
use crate::changes::Changes;
use crate::site::{Dashboard, Link, Site};

/// A section with a subnet, problems and failed services.
#[derive(Default)]
struct FakeSection {
    health: Option<Health>,
    problems: Vec<String>,
    services: Vec<String>,
}

#[async_trait]
impl Section for FakeSection {
    fn links(&self) -> Vec<Link> {
        Vec::new()
    }

    async fn overview(&self, _: &View) -> Markup {
        html! {}
    }

    fn panels(&self) -> Vec<Panel> {
        Vec::new()
    }

    fn problems(&self) -> Vec<String> {
        self.problems.clone()
    }

    fn health(&self) -> Option<Health> {
        self.health.clone()
    }

    fn failed_services(&self) -> Vec<String> {
        self.services.clone()
    }

    fn routes(self: Arc<Self>) -> Router<Site> {
        Router::new()
    }
}

fn subnet(name: &'static str, condition: Condition) -> Arc<dyn Section> {
    let fact = "2 of 2 miners answer".to_owned();
    let health = Some(Health { name, path: "/path", condition, fact });
    Arc::new(FakeSection { health, ..FakeSection::default() })
}

/// Returns services that have failed.
fn failed_services_section(names: &[&str]) -> Arc<dyn Section> {
    let services: Vec<_> = names.iter().map(|name| (*name).to_owned()).collect();
    let problems = services.iter().map(|name| format!("{name}: refused")).collect();
    Arc::new(FakeSection { health: None, problems, services })
}

/// Returns the name, the condition and the fact of each entry.
fn entries(sections: &[Arc<dyn Section>]) -> Vec<(&'static str, &'static str, String)> {
    subnet_health(sections)
        .into_iter()
        .map(|entry| (entry.name, entry.condition.word(), entry.fact))
        .collect()
}

#[test]
fn failed_services_degrade_the_subnet_they_are_named_after() {
    let sections = [
        subnet("Proof", Condition::Healthy),
        subnet("Prompting", Condition::Healthy),
        subnet("Nineteen", Condition::Stopped),
        failed_services_section(&["proof", "PROOF-miner", "proofs", "nineteen_gateway", "é"]),
    ];
    let fact = || "2 of 2 miners answer".to_owned();
    let expected = [
        ("Proof", "degraded", "2 services fail".to_owned()),
        ("Prompting", "healthy", fact()),
        // A stopped subnet is not degraded by a failed service.
        ("Nineteen", "stopped", fact()),
        // The services `proofs` and `é`.
        (OTHER_SOURCES, "degraded", "2 problems".to_owned()),
    ];
    assert_eq!(entries(&sections), expected);
}

#[test]
fn failed_services_degrade_the_only_subnet() {
    let sections = [subnet("Babelbit", Condition::Healthy), failed_services_section(&["engine"])];
    assert_eq!(entries(&sections), [("Babelbit", "degraded", "1 service fails".to_owned())]);
}

#[test]
fn problems_without_a_subnet_have_their_own_entry() {
    let chain =
        FakeSection { problems: vec!["chain: refused".to_owned()], ..FakeSection::default() };
    let chain: Arc<dyn Section> = Arc::new(chain);
    let sections = [subnet("Proof", Condition::Healthy), Arc::clone(&chain)];
    let expected = (OTHER_SOURCES, "degraded", "1 problem".to_owned());
    assert_eq!(entries(&sections).last(), Some(&expected));
    assert!(entries(&[chain]).is_empty(), "a page without subnets has no strip");
}

#[test]
fn terminal_panel_shows_health_of_several_subnets() {
    let sections = [subnet("Babelbit", Condition::Healthy)];
    assert_eq!(panel(&subnet_health(&sections)), None, "one subnet has panels of its own");
    let sections = [subnet("Babelbit", Condition::Healthy), subnet("Proof", Condition::Stopped)];
    let figures = vec![
        ("Babelbit", "healthy, 2 of 2 miners answer".to_owned()),
        ("Proof", "stopped, 2 of 2 miners answer".to_owned()),
    ];
    assert_eq!(panel(&subnet_health(&sections)).unwrap().content, Content::Figures(figures));
}

#[test]
fn answering_miners_below_half_are_a_minority() {
    for (answering, queried, is_minority, text) in [
        (0, 0, false, "0 of 0 miners answer"),
        (0, 1, true, "0 of 1 miner answer"),
        (1, 2, false, "1 of 2 miners answers"),
        (1, 3, true, "1 of 3 miners answers"),
        (12, 12, false, "12 of 12 miners answer"),
    ] {
        let miners = AnsweringMiners { answering, queried };
        assert_eq!((miners.is_minority(), &*miners.to_string()), (is_minority, text));
    }
}

#[tokio::test]
async fn health_strip_links_are_on_every_page() {
    let hostile = Health {
        name: "Proof",
        path: "/proof",
        condition: Condition::Waiting,
        fact: "<script>alert(1)</script>\u{202e}".to_owned(),
    };
    let section = FakeSection { health: Some(hostile), ..FakeSection::default() };
    let base = "/contest".parse().unwrap();
    let dashboard = Dashboard::new(Access::Local, base, Changes::default());
    let router = dashboard
        .with(subnet("Babelbit", Condition::Healthy))
        .with(Arc::new(section))
        .router(Shutdown::new());
    for path in ["/contest/", "/contest/absent"] {
        let request = Request::get(path).header(HOST, "localhost").body(Body::empty()).unwrap();
        let response = router.clone().oneshot(request).await.unwrap();
        let body = to_bytes(response.into_body(), 1 << 20).await.unwrap();
        let page = String::from_utf8(body.to_vec()).unwrap();
        let strip = page.split_once("<nav class=\"health\"").unwrap().1;
        let strip = strip.split_once("</nav>").unwrap().0;
        assert_eq!(strip.matches("<li><a href=\"/contest/").count(), 2, "{strip}");
        assert!(strip.contains("</span> healthy</span> <small>2 of 2 miners answer</small>"));
        assert!(strip.contains("</span> waiting</span> <small>&lt;script&gt;"), "{strip}");
        assert!(!strip.contains('\u{202e}'), "{strip}");
    }
}
