use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::body::{Body, to_bytes};
use axum::http::header::HOST;
use axum::http::{Request, StatusCode};
use tower::ServiceExt as _;

use super::source::{Health, State};
use super::*;
use crate::access::Access;
use crate::base_path::BasePath;
use crate::site::Dashboard;

const METRICS: &str = "# HELP calls <script>alert(1)</script>\n# TYPE calls counter\ncalls{route=\"\"><img src=x>\"} 41\n";

/// Serves `/readyz` and `/metrics` on a free port.
async fn daemon(is_ready: Arc<AtomicBool>) -> SocketAddr {
    let ready = move || async move {
        if is_ready.load(Ordering::Relaxed) {
            StatusCode::OK
        } else {
            StatusCode::SERVICE_UNAVAILABLE
        }
    };
    let router =
        Router::new().route("/readyz", get(ready)).route("/metrics", get(|| async { METRICS }));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(serve(listener, router));
    address
}

async fn serve(listener: tokio::net::TcpListener, router: Router) {
    taonet_http::serve(listener, router, &Shutdown::new(), taonet_http::ServeLimits::default())
        .await;
}

async fn get_page(router: &Router, path: &str) -> (u16, String) {
    let request = Request::get(path).header(HOST, "localhost").body(Body::empty()).unwrap();
    let response = router.clone().oneshot(request).await.unwrap();
    let status = response.status().as_u16();
    (
        status,
        String::from_utf8(to_bytes(response.into_body(), 1 << 20).await.unwrap().to_vec()).unwrap(),
    )
}

#[tokio::test]
async fn services_are_read_and_their_failures_reported() {
    let is_ready = Arc::new(AtomicBool::new(false));
    let address = daemon(Arc::clone(&is_ready)).await;
    // Nobody listens on the second port, and the system does not give it to a concurrent test.
    let services =
        [format!("engine=http://{address}"), "miner=http://127.0.0.1:9/base/".to_owned()];
    let section = ServicesSection::new(services.iter().map(|text| text.parse().unwrap()).collect());
    let (changes, follower) = (Changes::default(), Arc::clone(&section));
    let mut reports = changes.subscribe();
    let dashboard = Dashboard::new(Access::Local, BasePath::default(), changes.clone());
    let router = dashboard.with(Arc::clone(&section) as _).router(Shutdown::new());
    assert!(get_page(&router, "/services").await.1.contains("not read yet"));
    tokio::spawn(async move { follower.follow(&changes, &Shutdown::new()).await });
    reports.changed().await.unwrap();
    let states = section.source.states();
    assert_eq!(states[0].health, Health::Starting);
    assert!(matches!(states[1].health, Health::Failed(_)), "{:?}", states[1]);
    is_ready.store(true, Ordering::Relaxed);
    while section.source.states()[0].health != Health::Ready {
        reports.changed().await.unwrap();
    }
    for path in ["/", "/services", "/services/engine", "/services/miner"] {
        let (status, page) = get_page(&router, path).await;
        assert_eq!(status, 200, "{path}");
        assert!(!page.contains("<script>") && !page.contains("<img src=x"), "{path}: {page}");
        // The miner has failed, so no page is marked as live.
        assert!(page.contains("data-problems=\"1\""), "{path}: {page}");
    }
    let overview = get_page(&router, "/").await.1;
    assert!(
        overview.contains("<h2 id=\"failing\">1 problem</h2><ul class=\"list\"><li><span>miner: "),
        "{overview}"
    );
    let engine = get_page(&router, "/services/engine").await.1;
    assert!(engine.contains("&lt;script&gt;alert(1)") && engine.contains(">41</td>"), "{engine}");
    let miner = get_page(&router, "/services/miner").await.1;
    assert!(
        miner.contains("The service cannot be read") && miner.contains("No metrics have been read"),
        "{miner}"
    );
    assert_eq!(get_page(&router, "/services/absent").await.0, 404);
}

#[tokio::test]
async fn services_can_be_added_and_replaced() {
    let address = daemon(Arc::new(AtomicBool::new(true))).await;
    let (changes, section) = (Changes::default(), ServicesSection::new(Vec::new()));
    let dashboard = Dashboard::new(Access::Local, BasePath::default(), changes.clone());
    let router = dashboard.with(Arc::clone(&section) as _).router(Shutdown::new());
    assert!(get_page(&router, "/").await.1.contains("No service has started yet"));
    let (follower, reports) = (Arc::clone(&section), changes.clone());
    tokio::spawn(async move { follower.follow(&reports, &Shutdown::new()).await });
    let mut updates = changes.subscribe();
    let start = std::time::Instant::now();
    for path in ["/old", "/older", ""] {
        section.add(format!("engine=http://{address}{path}").parse().unwrap(), &changes);
        while section.source.states()[0].health == Health::Unknown {
            updates.changed().await.unwrap();
        }
    }
    // Two polls would take ten seconds.
    assert!(start.elapsed() < std::time::Duration::from_secs(9), "not only at the next poll");
    let states = section.source.states();
    assert_eq!((states.len(), &states[0].health), (1, &Health::Ready));
}

#[tokio::test]
async fn stopped_services_keep_metrics_and_raise_no_problem() {
    let is_ready = Arc::new(AtomicBool::new(true));
    let address = daemon(is_ready).await;
    let services = [format!("engine=http://{address}"), "miner=http://127.0.0.1:9".to_owned()];
    let section = ServicesSection::new(services.iter().map(|text| text.parse().unwrap()).collect());
    let changes = Changes::default();
    section.read(&changes).await;
    assert_eq!(section.problems().len(), 1);
    assert_eq!(section.stop(|name| name == "miner", &changes), ["miner"]);
    // The engine stops while it is read.
    tokio::join!(section.read(&changes), async {
        section.stop(|name| name == "engine", &changes);
    });
    assert!(section.source.states().iter().all(|state| state.health == Health::Stopped));
    assert!(section.problems().is_empty());
    // Nothing is left to read.
    let reports = changes.subscribe();
    section.read(&changes).await;
    assert!(!reports.has_changed().unwrap());
    let dashboard = Dashboard::new(Access::Local, BasePath::default(), changes);
    let router = dashboard.with(section as _).router(Shutdown::new());
    let engine = get_page(&router, "/services/engine").await.1;
    assert!(engine.contains(">stopped<") && engine.contains(">41</td>"), "{engine}");
}

#[test]
fn histograms_of_all_services_are_added_up() {
    let histogram = |count: u32, sum: f64| {
        super::metrics::parse(&format!(
            "# TYPE seconds histogram\nseconds_sum {sum}\nseconds_count {count}\n"
        ))
    };
    let services = ["a=http://127.0.0.1:9", "b=http://127.0.0.1:9", "c=http://127.0.0.1:9"];
    let section = ServicesSection::new(services.iter().map(|text| text.parse().unwrap()).collect());
    assert_eq!(section.histogram_count_and_mean("seconds"), None);
    let metrics = [histogram(3, 1.5), histogram(1, 0.5), super::metrics::parse(METRICS)];
    section.source.set_metrics(Vec::from(metrics));
    assert_eq!(section.histogram_count_and_mean("seconds"), Some((4.0, 0.5)));
    assert_eq!(section.histogram_count_and_mean("calls"), None);
}

#[test]
fn latency_and_read_time_do_not_count_as_changes() {
    let state = State {
        address: "engine=http://127.0.0.1:8000".parse().unwrap(),
        health: Health::Ready,
        latency: None,
        read_unix: None,
        metrics: Arc::default(),
    };
    let later = State {
        latency: Some(std::time::Duration::from_millis(1)),
        read_unix: Some(1),
        ..state.clone()
    };
    assert!(!later.is_changed(&state));
    assert!(State { health: Health::Starting, ..later.clone() }.is_changed(&state));
    assert!(
        State { metrics: Arc::new(super::metrics::parse(METRICS)), ..later }.is_changed(&state)
    );
}

#[tokio::test]
async fn credentials_are_not_shown() {
    let section = ServicesSection::new(vec![
        "engine=http://anna:secret@127.0.0.1:8000/base".parse().unwrap(),
    ]);
    let dashboard = Dashboard::new(Access::Local, BasePath::default(), Changes::default());
    let router = dashboard.with(section).router(Shutdown::new());
    for path in ["/", "/services", "/services/engine"] {
        let page = get_page(&router, path).await.1;
        assert!(!page.contains("secret") && !page.contains("anna"), "{path}: {page}");
        assert_eq!(page.contains("http://127.0.0.1:8000/base"), path == "/services", "{path}");
    }
}

#[test]
fn malformed_service_addresses_are_refused() {
    let address: ServiceAddress = "engine=http://127.0.0.1:8000".parse().unwrap();
    assert_eq!((address.name.as_str(), address.url.as_str()), ("engine", "http://127.0.0.1:8000/"));
    for text in [
        "",
        "engine",
        "=http://a",
        "a b=http://a",
        "<b>=http://a",
        "a=ftp://a",
        "a=file:///a",
        "a=no",
        "a=",
    ] {
        assert!(text.parse::<ServiceAddress>().is_err(), "{text}");
    }
    assert!(format!("{}=http://a", "x".repeat(MAX_NAME + 1)).parse::<ServiceAddress>().is_err());
}
