//! Response times of the pages of a full subnet.

use std::time::{Duration, Instant};

use axum::body::{Body, to_bytes};
use axum::http::Request;
use axum::http::header::HOST;
use taonet_service::Shutdown;
use tower::ServiceExt as _;

use crate::{Access, BasePath, Changes, Dashboard, log, weights};

#[tokio::test]
async fn pages_of_a_full_subnet_are_built_within_200_ms() {
    let (weights, chain) = weights::tests::full_sections().await;
    let log = log::tests::full_section().await;
    let dashboard = Dashboard::new(Access::Local, BasePath::default(), Changes::default());
    let router = dashboard.with(weights).with(chain).with(log).router(Shutdown::new());
    for (path, part) in [
        ("/", "Incentive over the last 32 epochs"),
        ("/chain", "1–64 of 256 neurons"),
        ("/chain?sort=incentive&order=asc", "1–64 of 256 neurons"),
        ("/chain/0", "Weights set on the neuron"),
        ("/chain/subnets", "1–64 of 129"),
        ("/chain/subnets/59", "1–64 of 256 neurons"),
        ("/chain/blocks", "30 blocks from 971 to 1000"),
        ("/chain/accounts/5GrwvaEF5zXb26Fz9rcQpDWS57CtERHpNehXCPcNoHGKutQY", "in the 30 blocks"),
        ("/weights", "the chain holds these weights"),
        ("/log", "1–100 of 10000 events"),
        ("/log?miner=7&level=debug", "10000, newest first"),
    ] {
        let mut times = Vec::new();
        for _ in 0..9 {
            let request = Request::get(path).header(HOST, "localhost").body(Body::empty()).unwrap();
            let start = Instant::now();
            let response = router.clone().oneshot(request).await.unwrap();
            let status = response.status();
            let body = to_bytes(response.into_body(), 1 << 24).await.unwrap();
            times.push(start.elapsed());
            let body = String::from_utf8_lossy(&body);
            assert!(status == 200 && body.contains(part), "{path}: {part}: {body}");
        }
        let fastest = times[0];
        times.sort();
        println!("{path}: first {fastest:?}, median {:?}, worst {:?}", times[4], times[8]);
        // A busy machine and unoptimised code take longer than the 20 ms of docs/benchmarks.md: the
        // fastest counts.
        assert!(times[0] < Duration::from_millis(200), "{path}: {times:?}");
    }
}
