//! Tests of miners over several periods.

use super::*;

#[test]
fn quality_and_health_are_inherited_by_the_next_period() {
    // The next period's miners inherit health and quality, but not counters that are stored.
    let config = MarketConfig::default();
    let task = Arc::new(config.task(TASK).unwrap().clone());
    let hotkey = key("//Bob").hotkey();
    let session = || {
        let peer = Peer::new(hotkey, "127.0.0.1", 1).unwrap();
        taonet_nineteen_transport::Session::restore(
            peer,
            "a".to_owned(),
            taonet_nineteen_transport::FernetKey::from_bytes([1; 32]),
            1,
            true,
        )
    };
    let capacity = Capacity { declared: 1.0, accepted: 1.0, to_score: 1.0 };
    let offer =
        NewContender { task: task.task.clone(), hotkey, uid: Uid(1), capacity, concurrency: None };
    let row =
        ContenderRow { offer, counts: PeriodCounts::with_capacity(1.0), sent: 0.0, score: None };
    let market = Market::default();
    let open = |id| {
        let task_miners =
            TaskMiners::new(Arc::clone(&task), vec![TaskMiner::new(&row, session(), 1.0)], 1);
        market.open(PeriodMiners::new(PeriodId(id), vec![task_miners]));
        market.period_miners().unwrap()
    };
    let first = open(1);
    let contender = &first.tasks()[0].contenders()[0];
    contender.set_quality(0.9);
    contender.enter(0.0).unwrap();
    let outcome = Some(taonet_nineteen_core::period::RequestOutcome::Failed);
    contender.leave(&crate::period_miners::Completion { outcome, ..Default::default() });
    assert_eq!(contender.part().1.total_requests, 1.0);
    let second = open(2);
    let successor = &second.tasks()[0].contenders()[0];
    assert_eq!((successor.quality(), successor.health()), (0.9, contender.health()));
    assert_eq!(successor.counts().total_requests, 0.0);
}

/// A request that ends after its period counts in the period after it, even if a later period is
/// open by then.
#[tokio::test]
async fn requests_count_in_the_period_in_which_they_end() {
    let slow = || stall_after(vec![(0, chunk("slow"))]);
    let test_market = test_market(vec![slow()], QueryDeadlines::default()).await;
    let open = |period| {
        let period_miners = test_market.querier.market().period_miners().unwrap();
        let task_miners = &period_miners.tasks()[0];
        let earlier = &task_miners.contenders()[0];
        let counts = PeriodCounts::default();
        let row = ContenderRow { offer: earlier.offer.clone(), counts, sent: 0.0, score: None };
        let next = TaskMiner::new(&row, earlier.session().clone(), 1.0);
        test_market.querier.market().open(PeriodMiners::new(
            PeriodId(period),
            vec![TaskMiners::new(Arc::clone(&task_miners.task), vec![next], 1)],
        ));
        Arc::clone(
            &test_market.querier.market().period_miners().unwrap().tasks()[0].contenders()[0],
        )
    };
    let total = |contender: &TaskMiner| contender.counts().total_requests;
    let send_request =
        async || test_market.querier.query(request(RequestKind::Organic)).await.unwrap();
    let (stored, unstored) = (send_request().await, send_request().await);
    let first = Arc::clone(&test_market.contenders[0]);
    // The first answer ends before the period is closed; the second one ends afterwards, before the
    // next one opens.
    drop(stored);
    let (row, part) = first.take_changes().unwrap();
    assert_eq!((row.counts.total_requests, part.total_requests), (1.0, 1.0));
    let late_answer = send_request().await;
    drop(unstored);
    let second = open(2);
    assert_eq!((total(&second), second.running()), (1.0, 1));
    // The third one ends two periods later.
    let third = open(3);
    assert_eq!(
        (total(&third), third.running()),
        (1.0, 1),
        "no period has stored the second request"
    );
    drop(late_answer);
    assert_eq!((total(&second), total(&third), third.running()), (1.0, 2.0, 0));
    let (row, part) = third.take_changes().unwrap();
    assert_eq!((row.counts.total_requests, part.total_requests), (2.0, 2.0));
    // The third period was closed without this part.
    let fourth = open(4);
    third.carry_over(&part);
    assert_eq!((total(&fourth), fourth.take_changes().unwrap().1.total_requests), (2.0, 2.0));
}
