//! Tests of malformed answers, and of whether the miner or the buyer is at fault.

use taonet_nineteen_core::task::TaskType;

use super::*;

fn refusing(status: u16) -> axum::routing::MethodRouter {
    post(move || async move {
        (axum::http::StatusCode::from_u16(status).unwrap(), "no").into_response()
    })
}

/// Sums of the contenders' requests and failures.
fn count_requests(test_market: &TestMarket) -> (f64, f64) {
    let counts = test_market.contenders.iter().map(|contender| contender.counts());
    counts.fold((0.0, 0.0), |(total, failed), counts| {
        (total + counts.total_requests, failed + counts.requests_500)
    })
}

/// A buyer cannot lower miners' scores with malformed requests: a request that two miners refuse
/// counts as the buyer's fault.
#[tokio::test]
async fn request_refused_by_two_miners_counts_against_neither() {
    let test_market =
        test_market([400, 404, 422].map(refusing).into(), QueryDeadlines::default()).await;
    let error = test_market.querier.query(request(RequestKind::Organic)).await.unwrap_err();
    let QueryError::Failed { attempts, rejection_status: Some(400 | 404 | 422), .. } = error else {
        panic!("{error:?}")
    };
    assert_eq!(attempts, Attempts { limited: 0, failed: 2 }, "the third miner is not asked");
    assert_eq!(count_requests(&test_market), (0.0, 0.0));
    assert!(test_market.contenders.iter().all(|contender| contender.running() == 0));
    let unknown = Request { task: "none".parse().unwrap(), ..request(RequestKind::Organic) };
    assert!(matches!(test_market.querier.query(unknown).await, Err(QueryError::UnknownTask(_))));
    // A synthetic request is well-formed, so that a refusal is a failure.
    test_market.querier.query(request(RequestKind::Synthetic)).await.unwrap_err();
    assert_eq!(count_requests(&test_market), (1.0, 1.0));
}

/// Opens a period in which the miners offer embeddings, on the same route.
fn offer_embeddings(test_market: &mut TestMarket) {
    let mut task = MarketConfig::default().task(TASK).unwrap().clone();
    (task.task_type, task.is_stream) = (TaskType::Embedding, false);
    let contender = |contender: &Arc<TaskMiner>| {
        let counts = PeriodCounts::with_capacity(1_000.0);
        let row = ContenderRow { offer: contender.offer.clone(), counts, sent: 0.0, score: None };
        TaskMiner::new(&row, contender.session().clone(), 900.0)
    };
    let contenders = test_market.contenders.iter().map(contender).collect();
    let market = test_market.querier.market();
    market.open(PeriodMiners::new(
        PeriodId(2),
        vec![TaskMiners::new(Arc::new(task), contenders, 10)],
    ));
    test_market.contenders = market.period_miners().unwrap().tasks()[0].contenders().to_vec();
}

/// The model does not have the requested dimensions if two miners' embeddings have the same other
/// number of them.
#[tokio::test]
async fn ignored_dimensions_are_a_request_error_if_two_miners_agree() {
    let embeds = |width: usize| {
        respond_with(json!({"data": [{"index": 0, "embedding": vec![0.5; width]}]}).to_string())
    };
    for (widths, is_answered, ignored, failures) in [
        (vec![2, 2, 2], false, Some(2), 0.0),
        (vec![2, 3], false, None, 0.0),
        (vec![2], false, None, 1.0),
        (vec![4], true, None, 0.0),
    ] {
        let mut test_market = test_market(
            widths.iter().map(|width| embeds(*width)).collect(),
            QueryDeadlines::default(),
        )
        .await;
        offer_embeddings(&mut test_market);
        let mut request =
            Request { is_collected: true, max_chunks: 1, ..request(RequestKind::Organic) };
        request.payload.insert("dimensions".to_owned(), json!(4));
        match test_market.querier.query(request).await.map(drop) {
            Ok(()) => assert!(is_answered, "{widths:?}"),
            Err(QueryError::Dimensions(width)) => assert_eq!(Some(width), ignored),
            Err(QueryError::Failed { rejection_status: None, .. }) => {
                assert!(!is_answered && ignored.is_none(), "{widths:?}");
            }
            Err(error) => panic!("{widths:?}: {error:?}"),
        }
        assert_eq!(count_requests(&test_market).1, failures, "{widths:?}");
    }
}

/// If only one miner refuses a request, the refusal counts as that miner's failure.
#[tokio::test]
async fn request_refused_by_one_miner_counts_against_it() {
    let test_market =
        test_market(vec![refusing(422), respond_with(chunk("a"))], QueryDeadlines::default()).await;
    while test_market.contenders[0].counts().total_requests == 0.0 {
        assert_eq!(
            text(test_market.querier.query(request(RequestKind::Organic)).await.unwrap())
                .await
                .unwrap(),
            "a"
        );
    }
    assert_eq!(test_market.contenders[0].counts().requests_500, 1.0);
}

/// A prompt at which every miner's server fails does not count against the miners: no miner fails,
/// and no breaker opens.
#[tokio::test]
async fn poison_prompt_counts_against_no_miner() {
    let error_event = "data: {\"error\":{\"message\":\"bad prompt\"}}\n\n".to_owned();
    let poisoned = || {
        vec![
            refusing(500),
            refusing(502),
            respond_with(error_event.clone()),
            refusing(500),
            refusing(500),
        ]
    };
    let test_market = test_market(poisoned(), QueryDeadlines::default()).await;
    for _ in 0..20 {
        let error = test_market.querier.query(request(RequestKind::Organic)).await.unwrap_err();
        let QueryError::Failed { attempts, rejection_status: None, .. } = error else {
            panic!("{error:?}")
        };
        assert_eq!(attempts, Attempts { limited: 0, failed: 2 }, "the third miner is not asked");
    }
    assert_eq!(count_requests(&test_market), (0.0, 0.0));
    assert!(test_market.querier.is_served(TASK));
    // Alone, a miner has failed, but its breaker stays closed for other buyers.
    let test_market = self::test_market(vec![refusing(500)], QueryDeadlines::default()).await;
    for _ in 0..20 {
        test_market.querier.query(request(RequestKind::Organic)).await.unwrap_err();
    }
    assert_eq!(count_requests(&test_market), (20.0, 20.0));
    assert!(test_market.querier.is_served(TASK));
    // No prompt is the cause of a malformed stream.
    let test_market = self::test_market(
        vec![respond_with("data: garbage\n\n".to_owned())],
        QueryDeadlines::default(),
    )
    .await;
    for _ in 0..5 {
        test_market.querier.query(request(RequestKind::Organic)).await.unwrap_err();
    }
    assert!(!test_market.querier.is_served(TASK));
}

/// A server may fail at a prompt after the first token, when no other miner can try the request. The
/// failure counts against the miner, but opens no breaker, unlike a malformed event, which no prompt
/// causes.
#[tokio::test]
async fn error_after_first_chunk_opens_no_breaker() {
    for (event, is_served) in
        [("{\"error\":{\"message\":\"bad prompt\"}}", true), ("garbage", false)]
    {
        let body = chunk("a") + &format!("data: {event}\n\n");
        let test_market = test_market(vec![respond_with(body)], QueryDeadlines::default()).await;
        for _ in 0..5 {
            let answer = test_market.querier.query(request(RequestKind::Organic)).await.unwrap();
            text(answer).await.unwrap_err();
        }
        assert_eq!(test_market.querier.is_served(TASK), is_served, "{event}");
        assert_eq!(count_requests(&test_market), (5.0, 5.0));
    }
}

/// After the pause of a circuit breaker, one request tries the miner; further requests wait for its
/// outcome.
#[tokio::test]
async fn half_open_breaker_allows_one_request() {
    let gate = Arc::new(tokio::sync::Semaphore::new(0));
    let test_market =
        miners::market(vec![(miners::gated_handler(&gate), Some(8))], QueueSettings::default())
            .await;
    let contender = &test_market.contenders[0];
    // Five failures, of which the last one was 6 s before the querier's clock began.
    let failed = Some(taonet_nineteen_core::period::RequestOutcome::Failed);
    for _ in 0..5 {
        contender.count(&crate::period_miners::Completion {
            outcome: failed,
            now: -6.0,
            ..Default::default()
        });
    }
    let mut buying = tokio::task::JoinSet::new();
    for _ in 0..8 {
        buying.spawn(miners::buy(test_market.querier.clone(), "a"));
    }
    miners::wait_for_queued(&test_market, 7).await;
    assert_eq!(contender.running(), 1);
    // A cancelled request tells nothing of the miner, so that the next one tries it.
    buying.abort_all();
    while buying.join_next().await.is_some() {}
    for _ in 0..8 {
        buying.spawn(miners::buy(test_market.querier.clone(), "a"));
    }
    miners::wait_for_queued(&test_market, 7).await;
    assert_eq!((contender.running(), test_market.querier.is_served(TASK)), (1, true));
    gate.add_permits(10);
    while let Some(answer) = buying.join_next().await {
        assert_eq!(answer.unwrap(), Ok("a"));
    }
}

/// A half-open breaker allows the next request once the answer to the one before has begun, not
/// only once it is complete.
#[tokio::test]
async fn half_open_breaker_allows_next_request_after_first_chunk() {
    let test_market = miners::market(
        vec![(stall_after(vec![(0, chunk("a"))]), Some(8))],
        QueueSettings::default(),
    )
    .await;
    let failed = Some(taonet_nineteen_core::period::RequestOutcome::Failed);
    for _ in 0..5 {
        test_market.contenders[0].count(&crate::period_miners::Completion {
            outcome: failed,
            now: -6.0,
            ..Default::default()
        });
    }
    let mut answers = Vec::new();
    for running in 1..=3 {
        answers.push(test_market.querier.query(request(RequestKind::Organic)).await.unwrap());
        assert_eq!(test_market.contenders[0].running(), running);
    }
}

/// A buyer can ask for more than any miner writes in time: two miners try, and neither has failed.
#[tokio::test]
async fn too_long_collected_answer_counts_against_no_miner() {
    let slow = || stall_after((0..49).map(|_| (100, chunk("x"))).collect());
    let deadlines = QueryDeadlines { total: Duration::from_secs(1), ..QueryDeadlines::default() };
    let test_market = test_market(vec![slow(), slow(), slow()], deadlines).await;
    let collected_request = Request { is_collected: true, ..request(RequestKind::Organic) };
    let error = test_market.querier.query(collected_request).await.unwrap_err();
    let QueryError::Failed { attempts, rejection_status: None, last, is_disputed: true } = error
    else {
        panic!("{error:?}")
    };
    assert_eq!(attempts, Attempts { limited: 0, failed: 2 }, "{last}");
    assert_eq!(count_requests(&test_market), (0.0, 0.0));
}

/// Options such as grammars can keep every model from answering. As miners that are down fail in
/// the same way, further miners are asked.
#[tokio::test]
async fn timeout_with_unusual_options_counts_only_if_another_miner_answers() {
    let silent = || stall_after(Vec::<(u64, String)>::new());
    let plain_request = request(RequestKind::Organic);
    let mut unusual_request = plain_request.clone();
    unusual_request.payload.insert("structured_outputs".to_owned(), json!({"regex": "a+"}));
    // The empty answer to the plain request counts, and the first silence.
    for (request, failures) in [(&unusual_request, 0.0), (&plain_request, 2.0)] {
        let test_market =
            test_market(vec![silent(), respond_with(String::new()), silent()], short_deadlines())
                .await;
        let error = test_market.querier.query(request.clone()).await.unwrap_err();
        let QueryError::Failed { attempts, is_disputed: false, .. } = error else {
            panic!("{error:?}")
        };
        assert_eq!(attempts, Attempts { limited: 0, failed: 3 });
        assert_eq!(count_requests(&test_market), (failures, failures));
    }
    let test_market =
        test_market(vec![silent(), respond_with(chunk("a"))], short_deadlines()).await;
    while test_market.contenders[0].counts().total_requests == 0.0 {
        let answer = test_market.querier.query(unusual_request.clone()).await.unwrap();
        assert_eq!(text(answer).await.unwrap(), "a");
    }
    assert_eq!(test_market.contenders[0].counts().requests_500, 1.0);
}

/// A prompt at which every miner stays silent counts against the first one only, and opens no
/// breaker.
#[tokio::test]
async fn prompt_without_first_token_counts_against_first_miner_only() {
    const REQUESTS: usize = 18;
    let silent = || (stall_after(Vec::<(u64, String)>::new()), Some(REQUESTS));
    let miners = vec![silent(), silent(), silent()];
    let test_market =
        miners::market_with(miners, QueueSettings::default(), short_deadlines()).await;
    let mut buying = tokio::task::JoinSet::new();
    for _ in 0..REQUESTS {
        let querier = test_market.querier.clone();
        let request = request(RequestKind::Organic);
        buying.spawn(async move { querier.query(request).await.map(drop) });
    }
    for outcome in buying.join_all().await {
        let error = outcome.unwrap_err();
        let QueryError::Failed { attempts, rejection_status: None, is_disputed: false, .. } = error
        else {
            panic!("{error:?}")
        };
        assert_eq!(attempts, Attempts { limited: 0, failed: 3 }, "further miners are asked");
    }
    assert_eq!(count_requests(&test_market), (REQUESTS as f64, REQUESTS as f64));
    let is_open = |contender: &Arc<TaskMiner>| contender.health().breaker().allows_from() > 0.0;
    assert!(!test_market.contenders.iter().any(is_open));
}

/// A miner that is silent at requests which another miner answers is found by its breaker, and so
/// is one that no other miner can replace.
#[tokio::test]
async fn silent_miner_opens_its_breaker() {
    const REQUESTS: usize = 16;
    let silent = || (stall_after(Vec::<(u64, String)>::new()), Some(REQUESTS));
    // Has one slot, so that most requests go to the silent miner first.
    let answering = || {
        let handler = post(|| async {
            tokio::time::sleep(Duration::from_millis(50)).await;
            chunk("a")
        });
        (handler, Some(1))
    };
    for miners in [vec![silent(), answering()], vec![silent()]] {
        let is_alone = miners.len() == 1;
        let test_market =
            miners::market_with(miners, QueueSettings::default(), short_deadlines()).await;
        let mut buying = tokio::task::JoinSet::new();
        for _ in 0..REQUESTS {
            buying.spawn(miners::buy(test_market.querier.clone(), "a"));
        }
        for outcome in buying.join_all().await {
            assert_eq!(outcome.is_err(), is_alone, "{outcome:?}");
        }
        let counts = test_market.contenders[0].counts();
        assert!(counts.requests_500 >= 5.0 && counts.requests_500 == counts.total_requests);
        assert!(test_market.contenders[0].health().breaker().allows_from() > 0.0);
    }
}

/// A buyer who disconnects before another miner answers does not hide that the first one is silent.
#[tokio::test]
async fn silence_counts_if_the_buyer_disconnects() {
    let arrivals = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&arrivals);
    let handlers = miners::scripted_handlers(2, move |_| {
        count.fetch_add(1, Ordering::SeqCst);
        std::future::pending()
    });
    let test_market = test_market(handlers, short_deadlines()).await;
    let querier = test_market.querier.clone();
    let buying =
        tokio::spawn(async move { querier.query(request(RequestKind::Organic)).await.map(drop) });
    miners::wait_until(|| arrivals.load(Ordering::SeqCst) == 2).await;
    buying.abort();
    assert!(buying.await.unwrap_err().is_cancelled());
    assert_eq!(count_requests(&test_market), (1.0, 1.0));
}

/// Miners of another task have failed at the request: of this one's, the first one does not count
/// either, unless another one answers.
#[tokio::test]
async fn failure_after_that_of_another_task_counts_only_if_another_miner_answers() {
    let silent = || stall_after(Vec::<(u64, String)>::new());
    let earlier = EarlierTasks { elapsed: Duration::ZERO, have_failed: true };
    for failing in [refusing(500), refusing(422), silent()] {
        let test_market = test_market(vec![failing], short_deadlines()).await;
        let request = Request { earlier, ..request(RequestKind::Organic) };
        test_market.querier.query(request).await.unwrap_err();
        assert_eq!(count_requests(&test_market), (0.0, 0.0));
    }
    let test_market =
        test_market(vec![refusing(500), respond_with(chunk("a"))], short_deadlines()).await;
    while test_market.contenders[0].counts().total_requests == 0.0 {
        let request = Request { earlier, ..request(RequestKind::Organic) };
        assert_eq!(text(test_market.querier.query(request).await.unwrap()).await.unwrap(), "a");
    }
    assert_eq!(test_market.contenders[0].counts().requests_500, 1.0);
}

/// A server that fails at requests which another miner answers is at fault.
#[tokio::test]
async fn failure_counts_if_another_miner_answers() {
    let test_market =
        test_market(vec![refusing(500), respond_with(chunk("a"))], QueryDeadlines::default()).await;
    for _ in 0..100 {
        assert_eq!(
            text(test_market.querier.query(request(RequestKind::Organic)).await.unwrap())
                .await
                .unwrap(),
            "a"
        );
    }
    let counts = test_market.contenders[0].counts();
    assert!(counts.total_requests > 0.0 && counts.total_requests == counts.requests_500);
}

/// Malformed answers of a miner: each ends the attempt with the reason, and counts as a failure.
#[tokio::test]
async fn malformed_stream_is_reported_with_reason() {
    let event = |data: &[u8]| [b"data: ", data, b"\n\n"].concat();
    let text =
        |text: &[u8]| event(&[br#"{"choices":[{"delta":{"content":""#, text, br#""}}]}"#].concat());
    let megabyte = vec![b'a'; 1 << 20];
    for (body, expected) in [
        (text(&megabyte), "an event of the stream is longer than 1048576 bytes"),
        (
            [b"data: ".to_vec(), megabyte.clone(), megabyte].concat(),
            "an event of the stream is longer",
        ),
        // Half of a character, at the end of the text and of the stream.
        (text(b"h\xc3"), "an event is not a JSON object"),
        (
            b"data: {\"choices\":[{\"delta\":{\"content\":\"h\xc3".to_vec(),
            "an event is not a JSON object",
        ),
        (event(b"\xff\x00garbage"), "an event is not a JSON object"),
        (event(b"[1]"), "an event is not a JSON object"),
        (event(br#"{"choices":{}}"#), "chunk has no array of choices"),
        (event(br#"{"choices":[{"delta":{"content":7}}]}"#), "the chunk's text is not a string"),
        (
            event(br#"{"choices":[],"error":{"message":"out of memory"}}"#),
            "stream reports an error",
        ),
        (
            event(br#"{"choices":[{"delta":{"content":"a"},"finish_reason":"error"}]}"#),
            "stream reports an error",
        ),
        (b"event: error\ndata: {\"message\":\"boom\"}\n\n".to_vec(), "stream reports an error"),
        (event(br#"{"choices":[]}"#), "answer is empty"),
        (b"HTTP/1.1 200 OK\r\n\r\n".to_vec(), "answer is empty"),
    ] {
        let handler = post(move || async move { body });
        let test_market = test_market(vec![handler], QueryDeadlines::default()).await;
        let error = test_market
            .querier
            .query(request(RequestKind::Synthetic))
            .await
            .unwrap_err()
            .to_string();
        assert!(error.contains(expected), "{error} does not contain {expected}");
        assert_eq!(count_requests(&test_market), (1.0, 1.0), "{expected}");
    }
    // A character may arrive in two packets.
    let pieces = vec![
        (0, b"data: {\"choices\":[{\"delta\":{\"content\":\"h\xc3".to_vec()),
        (50, b"\xa9\"}}]}\n\n".to_vec()),
    ];
    let test_market = test_market(vec![stall_after(pieces)], QueryDeadlines::default()).await;
    let mut answer = test_market.querier.query(request(RequestKind::Organic)).await.unwrap();
    assert_eq!(answer.next().await.unwrap().unwrap().text(), Some("h\u{e9}"));
}

/// A model may write nothing, which any buyer can request: such an answer is not a failure of the
/// miner, and opens no breaker. It is not a sample either, because no check can compare it with the
/// model.
#[tokio::test]
async fn empty_answer_is_not_a_miner_failure() {
    let role = "data: {\"choices\":[{\"delta\":{\"role\":\"assistant\",\"content\":\"\"}}]}\n\n";
    let finish = "data: {\"choices\":[{\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n";
    for (body, reason) in
        [(format!("{role}{finish}data: [DONE]\n\n"), Some("stop")), (role.to_owned(), None)]
    {
        let mut test_market =
            test_market(vec![respond_with(body)], QueryDeadlines::default()).await;
        for _ in 0..8 {
            let mut answer =
                test_market.querier.query(request(RequestKind::Organic)).await.unwrap();
            let mut actual = None;
            while let Some(chunk) = answer.next().await {
                let chunk = chunk.unwrap();
                assert_eq!((chunk.text().unwrap_or_default(), chunk.is_content), ("", false));
                actual = chunk.finish_reason().map(str::to_owned);
            }
            assert_eq!(actual.as_deref(), reason);
        }
        let counts = test_market.contenders[0].counts();
        assert_eq!(
            (counts.total_requests, counts.requests_500, counts.consumed_capacity),
            (8.0, 0.0, 8.0)
        );
        assert!(test_market.samples.try_recv().is_err());
        // A validator's synthetic request asks for a text.
        test_market.querier.query(request(RequestKind::Synthetic)).await.unwrap();
        assert!(test_market.samples.recv().await.is_some());
    }
}

/// Chunks without text do not count as the first chunk, and an answer cannot consist of any number
/// of them.
#[tokio::test]
async fn empty_chunks_are_limited() {
    let empty =
        "data: {\"choices\":[{\"delta\":{\"content\":\"\"},\"logprobs\":{\"content\":[{}]}}]}\n\n";
    let test_market =
        test_market(vec![respond_with(empty.repeat(251))], QueryDeadlines::default()).await;
    let error =
        test_market.querier.query(request(RequestKind::Organic)).await.unwrap_err().to_string();
    assert!(error.contains("more chunks than requested"), "{error}");
    assert_eq!(count_requests(&test_market), (1.0, 1.0));
}
