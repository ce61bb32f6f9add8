use axum::body::{Body, to_bytes};
use axum::http::header::{ALLOW, HOST};
use tower::ServiceExt as _;

use super::*;
use crate::{Paging, Sort, live, shown};

/// A section whose data comes from outside.
struct Hostile;

const INJECTION: &str = "\"><script>alert(1)</script><img src=x onerror=alert(1)>'";

#[async_trait]
impl Section for Hostile {
    fn links(&self) -> Vec<Link> {
        vec![Link::new("/rows", INJECTION)]
    }

    async fn overview(&self, _: &View) -> Markup {
        live("hostile", &html! { p title=(shown(INJECTION)) { (shown(INJECTION)) } })
    }

    fn routes(self: Arc<Self>) -> Router<Site> {
        Router::new().route("/rows", get(rows))
    }
}

async fn rows(view: View) -> Response {
    let sort = Sort::of(&view, &[("score", true), ("uid", false)]);
    let mut rows: Vec<u32> = (0..95).collect();
    sort.apply(&mut rows);
    let paging = Paging::of(&view, "page", 10, rows.len());
    let body = html! {
        table { thead { tr { (sort.header(&view, "score", "Score", "num")) (sort.header(&view, "uid", "Uid", "num")) } } }
        p { @for row in paging.slice(&rows) { (row) " " } }
        (paging.links(&view, "rows"))
    };
    view.page(INJECTION, &body)
}

fn site(base: &str) -> Router {
    let dashboard = Dashboard::new(Access::Local, base.parse().unwrap(), Changes::default());
    dashboard.with(Arc::new(Hostile)).router(Shutdown::new())
}

async fn send(
    router: &Router,
    method: &str,
    path: &str,
    headers: &[(HeaderName, &str)],
) -> (StatusCode, HeaderMap, String) {
    let mut request = axum::http::Request::builder().method(method).uri(path).header(HOST, "127.0.0.1:8099");
    for (name, value) in headers {
        request = request.header(name, *value);
    }
    let response = router.clone().oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
    let (status, headers) = (response.status(), response.headers().clone());
    let body = to_bytes(response.into_body(), 1 << 20).await.unwrap();
    (status, headers, String::from_utf8(body.to_vec()).unwrap())
}

#[tokio::test]
async fn untrusted_text_stays_text() {
    for path in [
        "/",
        "/rows",
        "/rows?sort=%22%3E%3Cscript%3E&order=%3Cscript%3E&page=%3Cscript%3E&x=%3Cscript%3E",
        "/%3Cscript%3E",
    ] {
        let (_, _, body) = send(&site(""), "GET", path, &[]).await;
        assert!(!body.contains("<script>") && !body.contains("<img src=x"), "{path}: {body}");
        assert_eq!(body.matches("<script ").count(), 1, "only our own script: {path}");
    }
}

#[tokio::test]
async fn every_response_is_strict() {
    for (method, path, expected) in [
        ("GET", "/", 200),
        ("HEAD", "/", 200),
        ("GET", "/rows", 200),
        ("GET", "/absent", 404),
        ("POST", "/", 405),
        ("DELETE", "/rows", 405),
        ("GET", "/assets/0/page.css", 200),
        ("GET", "/assets/0/other.css", 404),
        ("GET", "/theme/pink", 404),
    ] {
        let (status, headers, body) = send(&site(""), method, path, &[]).await;
        assert_eq!(status, expected, "{method} {path}");
        assert_eq!(headers[CONTENT_SECURITY_POLICY], POLICY, "{method} {path}");
        assert_eq!(headers[X_CONTENT_TYPE_OPTIONS], "nosniff", "{method} {path}");
        assert!(!body.contains(" style=") && !body.contains("<style") && !body.contains(" onclick"), "{path}");
        if status == 405 {
            assert_eq!(headers[ALLOW], "GET,HEAD");
        }
    }
}

#[tokio::test]
async fn tables_are_sorted_and_paged_by_links() {
    let (_, _, body) = send(&site(""), "GET", "/rows", &[]).await;
    assert!(body.contains("<p>94 93 92 91 90 89 88 87 86 85 </p>"), "{body}");
    assert!(body.contains("1–10 of 95 rows") && body.contains("href=\"/rows?page=2\""), "{body}");
    assert!(body.contains("aria-sort=\"descending\""));
    let (_, _, body) = send(&site(""), "GET", "/rows?order=asc&page=99", &[]).await;
    assert!(body.contains("<p>90 91 92 93 94 </p>"), "{body}");
    assert!(body.contains("href=\"/rows?order=asc&amp;page=9\""), "{body}");
}

#[tokio::test]
async fn links_honour_the_base_path() {
    let router = site("/contest");
    for path in ["/contest/rows", "/rows"] {
        let (status, _, body) = send(&router, "GET", path, &[]).await;
        assert_eq!(status, 200, "{path}");
        for attribute in body.split(" href=\"").skip(1).chain(body.split(" src=\"").skip(1)) {
            assert!(attribute.starts_with("/contest/") || attribute.starts_with("#content"), "{attribute}");
        }
        assert!(body.contains("data-events=\"/contest/events\""));
    }
}

#[tokio::test]
async fn a_theme_is_remembered_and_leads_back() {
    let router = site("/contest");
    for (referer, location) in [
        ("http://127.0.0.1:8099/contest/rows?page=2", "/contest/rows?page=2"),
        ("https://attacker.example//contest/", "/contest/"),
        ("https://attacker.example/elsewhere", "/contest/"),
        ("garbage", "/contest/"),
    ] {
        let (status, headers, _) = send(&router, "GET", "/contest/theme/dark", &[(REFERER, referer)]).await;
        assert_eq!((status, headers[LOCATION].to_str().unwrap()), (StatusCode::SEE_OTHER, location), "{referer}");
        assert!(headers[SET_COOKIE].to_str().unwrap().starts_with("theme=dark; Path=/contest/;"));
    }
    let cookie = [(axum::http::header::COOKIE, "a=b; theme=dark")];
    let (_, _, body) = send(&router, "GET", "/contest/", &cookie).await;
    assert!(body.contains("data-theme=\"dark\""));
}
