use super::*;

fn model() -> Arc<LanguageModel> {
    Arc::new(LanguageModel::random("m", 3, 11).unwrap())
}

fn prompt(model: &LanguageModel, number: usize) -> Vec<u32> {
    // Prompts range from a few tokens to more tokens than one pass processes.
    model.completion_prompt(&format!("question {number}{}", " stan".repeat(number * 40))).unwrap()
}

fn sampling(number: usize) -> Sampling {
    Sampling {
        seed: number as u64,
        top_k: 5,
        max_tokens: 12 + number * 3,
        top_logprobs: 2,
        ..Sampling::default()
    }
}

fn generate_alone(model: &LanguageModel, number: usize) -> (Vec<u32>, Option<FinishReason>) {
    let mut generation = model.generate(prompt(model, number), sampling(number));
    let tokens = generation.by_ref().map(|step| step.unwrap().token).collect();
    (tokens, generation.finish_reason())
}

async fn read(mut events: mpsc::Receiver<EngineEvent>) -> (Vec<u32>, Option<FinishReason>) {
    let mut tokens = Vec::new();
    while let Some(event) = events.recv().await {
        match event {
            EngineEvent::Step(step) => tokens.push(step.token),
            EngineEvent::End(finish) => return (tokens, Some(finish)),
            EngineEvent::Failed => return (tokens, None),
        }
    }
    (tokens, None)
}

#[tokio::test]
async fn batched_completions_equal_separate_ones() {
    let model = model();
    // The cache has room for only some of the answers: the others are queued, and join while the
    // first ones are in progress.
    let settings = EngineSettings { streams: 6, cache_tokens: 2_048, ..EngineSettings::default() };
    let engine = Engine::start(Arc::clone(&model), settings).unwrap();
    let readers: Vec<_> = (0..10)
        .map(|number| {
            tokio::spawn(read(engine.submit(prompt(&model, number), sampling(number)).unwrap()))
        })
        .collect();
    for (number, answer) in readers.into_iter().enumerate() {
        let actual = answer.await.unwrap();
        assert_eq!(actual, generate_alone(&model, number), "{number}");
        assert!(!actual.0.is_empty() && actual.1.is_some());
    }
}

#[test]
fn short_prompt_does_not_wait_for_a_long_one() {
    let model = model();
    let (_, job_receiver) = channel();
    let cache = PagedCache::new(model.llama(), 4_096);
    let mut batch = Batch::new(&model, cache, EngineSettings::default(), job_receiver);
    let mut received = [9, 0].map(|number| {
        let (events, receiver) = mpsc::channel(EVENT_BUFFER);
        batch.pending_jobs.push_back(Job {
            prompt: prompt(&model, number),
            sampling: sampling(number),
            events,
        });
        receiver
    });
    assert!(
        prompt(&model, 9).len() > MAX_PROMPT_TOKENS
            && prompt(&model, 0).len() < MAX_PROMPT_TOKENS / 2
    );
    batch.admit();
    batch.step_batch();
    let [long, short] = &mut received;
    assert!(long.try_recv().is_err() && short.try_recv().is_ok());
}

#[tokio::test]
async fn slow_client_does_not_block_others() {
    let model = model();
    let engine = Engine::start(Arc::clone(&model), EngineSettings::default()).unwrap();
    let long = Sampling { max_tokens: 60, temperature: 0.0, ..Sampling::default() };
    let slow_events = engine.submit(prompt(&model, 1), long).unwrap();
    let quick_result = read(engine.submit(prompt(&model, 2), sampling(2)).unwrap()).await;
    assert_eq!(quick_result, generate_alone(&model, 2));
    // Wait until the slow client's event buffer is full.
    while slow_events.len() < EVENT_BUFFER - 1 {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    let mut generation = model.generate(prompt(&model, 1), long);
    let expected: Vec<u32> = generation.by_ref().map(|step| step.unwrap().token).collect();
    assert!(expected.len() > EVENT_BUFFER, "{}", expected.len());
    assert_eq!(read(slow_events).await, (expected, generation.finish_reason()));
}

#[tokio::test]
async fn cancelled_request_frees_its_slot() {
    let model = model();
    let settings =
        EngineSettings { streams: 1, pace: Duration::from_millis(20), ..EngineSettings::default() };
    let engine = Engine::start(Arc::clone(&model), settings).unwrap();
    let long = Sampling { max_tokens: 4_000, ..Sampling::default() };
    let mut first = engine.submit(prompt(&model, 0), long).unwrap();
    assert!(matches!(first.recv().await, Some(EngineEvent::Step(_))));
    let waiting = engine.submit(prompt(&model, 0), sampling(0)).unwrap();
    drop(first);
    let answer = tokio::time::timeout(Duration::from_mins(1), read(waiting)).await.unwrap();
    assert_eq!(answer, generate_alone(&model, 0));
}

#[tokio::test]
async fn invalid_prompt_is_refused() {
    let model = model();
    let settings = EngineSettings { cache_tokens: 64, ..EngineSettings::default() };
    let engine = Engine::start(model, settings).unwrap();
    let submit = |prompt: Vec<u32>, max_tokens| {
        engine.submit(prompt, Sampling { max_tokens, temperature: 0.0, ..Sampling::default() })
    };
    let long = submit(vec![9; 64], 1).map(drop);
    assert!(
        matches!(long, Err(SubmitError::Prompt(ModelError::TooLong { tokens: 64, context: 64 }))),
        "{long:?}"
    );
    assert!(matches!(submit(Vec::new(), 1), Err(SubmitError::Prompt(ModelError::Tokens))));
    assert!(matches!(submit(vec![1 << 20], 1), Err(SubmitError::Prompt(ModelError::Tokens))));
    assert_eq!(read(submit(vec![9], 0).unwrap()).await, (Vec::new(), Some(FinishReason::Length)));
}
