use serde_json::{Value, json};

use super::super::registry_rows::ListingBuilder;
use super::super::testing::{hotkey, policy, registered};
use super::*;

const GATEWAY: &str = "https://gw.example.com/api";

fn resolved(rows: &[Value], uids: &[u16], dev_mode: bool) -> ResolvedRoutes {
    let mut list = ListingBuilder::new("v1/predict");
    list.add(rows);
    let policy = policy(dev_mode);
    let endpoints = Endpoints { policy: &policy, gateway: &GATEWAY.parse().unwrap() };
    resolve(&list.into_listing().rows, &registered(uids), &endpoints)
}

fn row(uid: u16, status: &str) -> Value {
    json!({ "hotkey": hotkey(uid), "uid": uid, "status": status, "url": format!("http://9.9.9.9:{uid}/{status}") })
}

fn uids(resolved: &ResolvedRoutes) -> Vec<u16> {
    resolved.routes.iter().map(|route| route.miner.uid.0).collect()
}

#[test]
fn only_registered_miners_are_played_with_uids_of_the_chain() {
    let mut other_uid = row(2, "running");
    other_uid["uid"] = json!(9);
    let mut other_hotkey = row(3, "running");
    other_hotkey["hotkey"] = json!("5SomethingElse");
    let mut without_hotkey = row(8, "running");
    without_hotkey["uid"] = json!(77);
    let mut without_uid = row(4, "running");
    without_uid.as_object_mut().unwrap().remove("uid");
    let resolution = resolved(
        &[row(1, "running"), other_uid, other_hotkey, without_hotkey, without_uid, row(6, "idle")],
        &[1, 2, 3, 4, 5],
        true,
    );
    assert_eq!((uids(&resolution), resolution.unregistered), (vec![1, 2, 3, 4], 2));
    // Hotkey and uid come from the chain, regardless of the row.
    assert_eq!(resolution.routes[2].miner, registered(&[3])[0]);
    assert_eq!(resolution.routes[1].miner, registered(&[2])[0]);
}

#[test]
fn duplicate_rows_keep_the_better_state() {
    for (first, second, better) in [
        ("warming", "running", "running"),
        ("running", "warming", "running"),
        ("idle", "running", "running"),
        ("failed", "unavailable", "unavailable"),
        ("unavailable", "stopped", "stopped"),
        ("stopped", "unhealthy", "unhealthy"),
        ("unknown", "failed", "failed"),
        ("odd", "strange", "odd"),
    ] {
        let resolution = resolved(&[row(1, first), row(2, "idle"), row(1, second)], &[1, 2], true);
        assert_eq!(
            (uids(&resolution), resolution.routes[0].status.as_str()),
            (vec![1, 2], better),
            "{first} {second}"
        );
    }
    // The uid resolves to the same miner.
    let mut alias = row(1, "running");
    alias["hotkey"] = json!("5X");
    assert_eq!(resolved(&[row(1, "warming"), alias], &[1], true).routes[0].status, "running");
}

/// Columns: reason · whether the miner remains in the list
#[test]
fn miner_terminated_when_idle_stays_in_the_list() {
    for (reason, stays) in [
        (json!({}), false),
        (json!({ "reason": "banned" }), false),
        (json!({ "reason": "NOT_IN_LIST" }), true),
        (json!({ "status_reason": "idle timeout" }), true),
        (json!({ "metadata": { "termination_reason": "was not_in_list" } }), true),
    ] {
        let mut terminated = row(1, "terminated");
        terminated.as_object_mut().unwrap().extend(reason.as_object().unwrap().clone());
        let resolution = resolved(&[terminated], &[1], true);
        assert_eq!(
            (resolution.routes.len(), resolution.terminated),
            (usize::from(stays), usize::from(!stays)),
            "{reason}"
        );
        assert!(resolution.routes.iter().all(|route| !route.is_ready()));
    }
}

#[test]
fn pod_route_has_endpoint_id_and_state() {
    let pod = |status: &str| {
        let mut pod = row(1, status);
        pod["endpoint_type"] = json!("Pod");
        pod["metadata"] = json!(r#"{"endpoint_id":"abc"}"#);
        resolved(&[pod], &[1], true).routes.remove(0).target
    };
    for (status, up) in
        [("running", true), ("warming", true), ("idle", true), ("stopped", false), ("", false)]
    {
        let Target::Pod { pod, .. } = pod(status) else { panic!("{status}") };
        assert_eq!(pod, Pod { id: Some("abc".into()), is_up: up }, "{status}");
    }
}

/// Columns: endpoint · provider · whether it is called in production
#[test]
fn private_endpoints_are_not_called_in_production() {
    for (endpoint, provider, called) in [
        ("http://9.9.9.9:9000", "runpod", true),
        ("https://abc-8000.proxy.runpod.net/v1/predict", "runpod", true),
        ("http://127.0.0.1:9000", "runpod", false),
        ("http://169.254.169.254/latest", "runpod", false),
        ("http://10.0.0.1:80", "runpod", false),
        ("http://localhost:80", "runpod", false),
        ("http://redis:6379", "runpod", false),
        ("http://[::ffff:10.0.0.1]:80", "runpod", false),
        ("file:///etc/passwd", "runpod", false),
        ("https://gw.example.com/api/runsync", "gateway", true),
        ("https://gw.example.com/other", "gateway", true),
    ] {
        let row = json!({ "hotkey": hotkey(1), "status": "running", "provider": provider, "url": endpoint });
        let resolution = resolved(std::slice::from_ref(&row), &[1], false);
        assert_eq!(resolution.routes.len(), usize::from(called), "{endpoint}");
        if let Some(Target::Gateway { is_ours, .. }) =
            resolution.routes.first().map(|route| &route.target)
        {
            assert!(is_ours, "{endpoint}");
        }
    }
    let resolution = resolved(&[row(1, "running")], &[1], true);
    assert!(matches!(resolution.routes[0].target, Target::Container(_)));
}

/// A token request names no gateway, so a request signed for another gateway is valid at the
/// configured one, too.
#[test]
fn route_through_foreign_gateway_is_refused() {
    for origin in [
        "https://other.example.net",
        "http://gw.example.com",
        "https://gw.example.com:81",
        "http://127.0.0.1:8060",
    ] {
        let url = format!("{origin}/api/runsync");
        let rows = [
            json!({ "hotkey": hotkey(1), "status": "running", "provider": "gateway", "url": url }),
            row(2, "idle"),
        ];
        let resolution = resolved(&rows, &[1, 2], false);
        assert_eq!(uids(&resolution), [2], "{origin}");
        let [(uid, error)] = &resolution.refused[..] else {
            panic!("{origin}: {:?}", resolution.refused)
        };
        let ours = "https://gw.example.com".to_owned();
        assert_eq!(
            (*uid, error),
            (Uid(1), &RouteError::ForeignGateway { origin: origin.to_owned(), ours })
        );
        assert!(error.to_string().contains("set BB_ARENA_GATEWAY_URL to it"), "{error}");
        let resolution = resolved(&rows, &[1, 2], true);
        assert!(
            matches!(resolution.routes[0].target, Target::Gateway { is_ours: false, .. }),
            "{origin}"
        );
    }
}
