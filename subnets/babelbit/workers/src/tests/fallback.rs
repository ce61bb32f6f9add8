//! Transcription by the runner itself while no worker has its recogniser.

use std::sync::atomic::{AtomicUsize, Ordering};

use taonet_service::Shutdown;

use super::*;

/// The embedded recogniser with the fingerprint that it would have on another processor.
struct ForeignRecognizer(Arc<SlowRecognizer>);

impl Recognizer for ForeignRecognizer {
    fn name(&self) -> &str {
        self.0.name()
    }

    fn fingerprint(&self) -> &'static str {
        "another processor"
    }

    fn recognize(&self, _: &[f32]) -> Result<Recognition, RecognizeError> {
        panic!("jobs of other recognisers are not for this worker")
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn runner_transcribes_if_no_worker_has_its_recogniser() {
    let Some(servers) = Servers::start().await else { return };
    let (mut services, stop) = (servers.services(), Shutdown::new());
    services.timing.fallback_after = Duration::from_millis(500);
    let foreign_worker = Worker::new(
        "foreign",
        Arc::new(ForeignRecognizer(SlowRecognizer::new(Duration::ZERO))),
        services.clone(),
    );
    let running = {
        let stop = stop.clone();
        tokio::spawn(async move { foreign_worker.run(&stop, || {}).await })
    };
    // The model is missing at first.
    let loads = Arc::new(AtomicUsize::new(0));
    let load = {
        let loads = Arc::clone(&loads);
        move || match loads.fetch_add(1, Ordering::Relaxed) {
            0 => Err("the model is not installed".into()),
            _ => Ok(SlowRecognizer::new(Duration::ZERO) as Arc<dyn Recognizer>),
        }
    };
    let distributed = scorer_with_fallback(services, Arc::new(load));
    for first in [0, 4] {
        let candidates: Vec<_> =
            (first..first + 4).map(|index| candidate(recording(index))).collect();
        assert_eq!(
            score(&distributed, &candidates).await,
            score(&Arc::new(local_scorer()), &candidates).await
        );
        // The worker in this process keeps running.
        assert_eq!(loads.load(Ordering::Relaxed), 2);
    }
    stop.request();
    running.await.unwrap();
}
