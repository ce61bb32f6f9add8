//! Miners that start, or register, after a period has been opened.

use taonet_nineteen_query::{ProcessRole, Recorder};

use super::*;

/// A miner that starts during a period serves buyers in the rest of it.
#[tokio::test(flavor = "multi_thread")]
async fn miner_that_starts_late_is_admitted_within_the_period() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).await.unwrap();
    let model = Arc::new(LanguageModel::random("m", 2, 1).unwrap());
    let (handshakes, is_open) = (Arc::new(AtomicU32::new(0)), Arc::new(AtomicBool::new(false)));
    let late = gated_miner("//Charlie", 2, &model, &handshakes, Arc::clone(&is_open)).await;
    let nodes = vec![miner("//Bob", 1, &model, &handshakes).await, late];
    let validator = process(&store, &nodes, &model);
    let controller = Arc::clone(&validator.controller);
    let period = tokio::spawn(async move { controller.run_period().await });
    while validator.live_market.period_miners().is_none() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let (worker, shutdown) = (Market::default(), Shutdown::new());
    let (recorder, stop) =
        (Recorder::new(store.clone(), worker.clone(), ProcessRole::Worker), shutdown.clone());
    shutdown.spawn("worker", async move { recorder.follow(|_| {}, &system_clock(), &stop).await });
    while worker.period_miners().is_none() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let contenders = || validator.live_market.period_miners().unwrap().contenders().count();
    assert_eq!((contenders(), handshakes.load(Ordering::SeqCst)), (1, 1));
    is_open.store(true, Ordering::SeqCst);
    while contenders() == 1 {
        assert!(!period.is_finished(), "the miner is not admitted within the period");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let rows = store.contenders(PeriodId(1)).await.unwrap();
    assert_eq!((rows.len(), handshakes.load(Ordering::SeqCst)), (2, 2));
    let capacities = rows.iter().map(|row| row.offer.capacity).collect::<Vec<_>>();
    assert!(
        capacities[1].accepted > 0.0 && capacities[1].accepted < capacities[0].accepted,
        "{capacities:?}"
    );
    assert!(
        capacities[1].to_score > 0.0 && capacities[1].to_score < capacities[0].to_score,
        "{capacities:?}"
    );
    // A query worker has loaded the period before the miner was admitted.
    let charlie = key("//Charlie").hotkey();
    let both_admit_charlie = async {
        while [&validator.live_market, &worker]
            .iter()
            .any(|market| market.period_miners().unwrap().limit(&charlie) != Some(7))
        {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_mins(1), both_admit_charlie).await.unwrap();
    // The budget of synthetic requests is unchanged.
    assert!(period.await.unwrap().unwrap());
    let budget = store.budgets(PeriodId(1), None).await.unwrap().remove(0);
    assert!(budget.remaining < budget.planned, "{budget:?}");
    let period_miners = validator.live_market.period_miners().unwrap();
    assert_eq!(period_miners.tasks()[0].budget(), budget.remaining);
    // Synthetic requests reach the late miner too.
    let late =
        period_miners.contenders().find(|contender| contender.offer.hotkey == charlie).unwrap();
    assert!(late.counts().total_requests > 0.0, "{:?}", late.counts());
    shutdown.request();
}

/// The list of miners is read again while a period runs, and at each attempt while no miner offers
/// capacity.
#[tokio::test(flavor = "multi_thread")]
async fn miner_that_registers_late_is_admitted_within_the_period() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).await.unwrap();
    let model = Arc::new(LanguageModel::random("m", 2, 1).unwrap());
    let handshakes = Arc::new(AtomicU32::new(0));
    let chain = chain(&[]);
    let validator = process_on(&store, chain.clone(), &model);
    assert!(!validator.controller.run_period().await.unwrap(), "no miner is registered");
    let (bob, charlie) = (
        miner("//Bob", 1, &model, &handshakes).await,
        miner("//Charlie", 2, &model, &handshakes).await,
    );
    chain.set_metagraph(subnet(&[bob]));
    let controller = Arc::clone(&validator.controller);
    let period = tokio::spawn(async move { controller.run_period().await });
    let contenders = || {
        validator
            .live_market
            .period_miners()
            .map_or(0, |period_miners| period_miners.contenders().count())
    };
    while contenders() == 0 {
        assert!(!period.is_finished(), "the first miner is not found");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    chain.set_metagraph(subnet(&[bob, charlie]));
    while contenders() == 1 {
        assert!(!period.is_finished(), "the second miner is not admitted within the period");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(contenders(), 2);
    assert!(period.await.unwrap().unwrap());
}
