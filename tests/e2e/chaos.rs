//! Short forms of `./chaos` and `./soak`: a network of real processes under faults, and under load.

use std::time::Duration;

use taonet_chaos::{ChainSpeed, ChaosOptions, FaultKind, SoakOptions, chaos, soak};
use taonet_service::Shutdown;

use crate::kill::random_seed;
use crate::support::require_sentence_model;

/// Epochs of six seconds.
const SPEED: ChainSpeed = ChainSpeed { block_time: Duration::from_millis(150), epoch_blocks: 40 };

#[test]
fn killed_and_paused_daemons_submit_at_most_once_an_epoch() {
    require_sentence_model();
    let faults = vec![FaultKind::Kill, FaultKind::Pause];
    let tao = env!("CARGO_BIN_EXE_tao").into();
    let options = ChaosOptions { tao, speed: SPEED, epochs: 2, seed: random_seed(), faults };
    let report = chaos(&options, &Shutdown::new()).unwrap();
    let text = report.markdown();
    assert_eq!((report.epochs, report.panics), (2, 0), "{text}");
    assert!(report.faults.len() >= 2, "{text}");
    assert!(report.validators.iter().all(|validator| validator.several.is_empty()), "{text}");
    // Daemons retry after up to 5 s: in epochs this short, a validator can miss some.
    assert!(report.validators.iter().any(|validator| validator.exactly_one > 0), "{text}");
}

#[test]
fn daemons_and_requests_are_measured_under_load() {
    require_sentence_model();
    let tao = env!("CARGO_BIN_EXE_tao").into();
    let (duration, sample_every) = (Duration::from_secs(6), Duration::from_secs(1));
    let options = SoakOptions { tao, speed: SPEED, duration, sample_every };
    let report = soak(&options, &Shutdown::new()).unwrap();
    let text = report.markdown();
    assert!(report.ended.is_empty() && report.panics == 0, "{text}");
    assert!(report.processes.iter().all(|process| process.first_mib > 1.0), "{text}");
    // All others have no models, and with huge pages their memory would grow for hours.
    let compute_processes =
        ["chain", "chain follower", "miner interpreter", "runner A", "runner B"];
    for process in report.processes.iter().filter(|process| process.has_huge_pages) {
        assert!(compute_processes.contains(&process.name.as_str()), "{text}");
    }
    assert!(
        report.requests.iter().all(|requests| requests.requests > 0 && requests.failures == 0),
        "{text}"
    );
}
