use super::*;

const SECOND: u64 = 1_000_000_000;
const NOW: u64 = 1_800_000_000 * SECOND;

fn key(byte: u8) -> Hotkey {
    Hotkey::from_bytes([byte; 32])
}

#[test]
fn rate_limit_burst_is_used_up_and_refilled() {
    let limiter = RateLimiter::new(Rate { per_second: 2, burst: 3 });
    let refused = Err(Refusal::RateLimited(key(1)));
    for expected in [Ok(()), Ok(()), Ok(()), refused.clone(), refused.clone()] {
        assert_eq!(limiter.check(&key(1), NOW), expected);
    }
    assert_eq!(limiter.check(&key(2), NOW), Ok(()), "others have their own");
    assert_eq!(limiter.check(&key(1), NOW + SECOND / 2), Ok(()));
    assert_eq!(limiter.check(&key(1), NOW + SECOND / 2), refused);
    // A long pause refills up to the burst, not beyond.
    for expected in [Ok(()), Ok(()), Ok(()), refused.clone()] {
        assert_eq!(limiter.check(&key(1), NOW + 100 * SECOND), expected);
    }
    // After the clock is set back, a caller waits for at most one full refill.
    assert_eq!(limiter.check(&key(1), NOW), refused);
    assert_eq!(limiter.check(&key(1), NOW + 2 * SECOND), Ok(()));
}

#[test]
fn idle_callers_are_removed() {
    let limiter = RateLimiter::new(Rate { per_second: 1, burst: 1 });
    (0..100).for_each(|byte| assert_eq!(limiter.check(&key(byte), NOW), Ok(())));
    assert_eq!(limiter.check(&key(200), NOW + 2 * SECOND), Ok(()));
    assert_eq!(limiter.state.lock().unwrap().full_at.len(), 1);
}

fn gate(running: usize, waiting: usize) -> Arc<Gate> {
    Gate::new(Concurrency { running, waiting, max_wait: LONG_TIMEOUT })
}

const LONG_TIMEOUT: Duration = Duration::from_hours(1);

/// Enters the queue, and returns once the request is queued.
async fn wait(gate: &Arc<Gate>, stake: u64) -> tokio::task::JoinHandle<Result<Permit, Refusal>> {
    let old_arrivals = gate.lock().arrivals;
    let task = tokio::spawn({
        let gate = Arc::clone(gate);
        async move { gate.enter(stake, Duration::ZERO).await }
    });
    while gate.lock().arrivals == old_arrivals {
        tokio::task::yield_now().await;
    }
    task
}

#[tokio::test]
async fn queue_is_ordered_by_stake_then_arrival() {
    let gate = gate(1, 10);
    let first = gate.enter(0, Duration::ZERO).await.unwrap();
    let (small, large, late) = (wait(&gate, 1).await, wait(&gate, 9).await, wait(&gate, 9).await);
    drop(first);
    let large = large.await.unwrap().unwrap();
    assert!(!small.is_finished() && !late.is_finished());
    drop(large);
    let late = late.await.unwrap().unwrap();
    assert!(!small.is_finished());
    drop(late);
    drop(small.await.unwrap().unwrap());
    assert_eq!(gate.lock().running, 0);
}

#[tokio::test]
async fn full_queue_refuses_the_lowest_stake() {
    let gate = gate(1, 2);
    let running = gate.enter(0, Duration::ZERO).await.unwrap();
    let (small, middle) = (wait(&gate, 1).await, wait(&gate, 5).await);
    assert_eq!(
        gate.enter(1, Duration::ZERO).await.unwrap_err(),
        Refusal::Busy,
        "came later with no more"
    );
    let large = wait(&gate, 9).await;
    assert_eq!(small.await.unwrap().unwrap_err(), Refusal::Busy);
    drop(running);
    drop(large.await.unwrap().unwrap());
    drop(middle.await.unwrap().unwrap());
    assert_eq!(gate.lock().running, 0);
}

#[tokio::test]
async fn cancelled_request_leaves_the_queue() {
    let gate = gate(1, 2);
    let running = gate.enter(0, Duration::ZERO).await.unwrap();
    let limit = Duration::from_millis(1);
    assert_eq!(gate.enter(7, limit).await.unwrap_err(), Refusal::QueueTimeout { limit });
    let cancelled = wait(&gate, 8).await;
    cancelled.abort();
    assert!(cancelled.await.unwrap_err().is_cancelled());
    assert_eq!(gate.lock().pending.len(), 0);
    drop(running);
    assert_eq!(gate.lock().running, 0);
    assert!(gate.enter(0, Duration::ZERO).await.is_ok());
}
