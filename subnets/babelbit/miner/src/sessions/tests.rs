use taonet_babelbit_core::protocol::PredictRequest;

use super::*;
use crate::profile::{Parrot, Silent};

const ALICE: Hotkey = Hotkey::from_bytes([1; 32]);
const BOB: Hotkey = Hotkey::from_bytes([2; 32]);
const LIMITS: Limits = Limits {
    sessions: 3,
    sessions_per_hotkey: 2,
    idle: Duration::from_mins(1),
    source: Duration::from_secs(1),
    requests: 20,
    body_bytes: 1 << 16,
};

impl Sessions {
    /// Returns the number of sessions with an incomplete reply.
    pub(crate) fn live_count(&self) -> usize {
        self.lock().values().filter(|entry| !entry.is_finished).count()
    }
}

fn utterance(number: u32) -> InitRequest {
    InitRequest::new("c1", format!("c1:{number}"), None, 1)
}

fn open(sessions: &Sessions, owner: Hotkey, number: u32, now: Instant) -> Result<String, Refusal> {
    sessions.open(owner, &utterance(number), &Silent, now).map(|id| id.to_string())
}

#[test]
fn session_belongs_to_the_hotkey_that_opened_it() {
    let (sessions, now) = (Sessions::new(LIMITS), Instant::now());
    let id = open(&sessions, ALICE, 0, now).unwrap();
    assert!(sessions.acquire(&id, ALICE, now).is_ok());
    assert!(matches!(sessions.acquire(&id, BOB, now), Err(Refusal::UnknownSession)));
    assert!(matches!(sessions.acquire("s1", ALICE, now), Err(Refusal::UnknownSession)));
}

#[test]
fn idle_sessions_expire() {
    let (sessions, start) = (Sessions::new(LIMITS), Instant::now());
    let at = |seconds| start + Duration::from_secs(seconds);
    let id = open(&sessions, ALICE, 0, start).unwrap();
    assert!(sessions.acquire(&id, ALICE, at(59)).is_ok());
    // Each request restarts the idle timeout.
    assert!(sessions.acquire(&id, ALICE, at(118)).is_ok());
    assert!(matches!(sessions.acquire(&id, ALICE, at(178)), Err(Refusal::UnknownSession)));
    assert_eq!(sessions.live_count(), 0);
}

#[test]
fn session_in_use_does_not_expire() {
    let (sessions, start) = (Sessions::new(LIMITS), Instant::now());
    let id = open(&sessions, ALICE, 0, start).unwrap();
    let (_, state) = sessions.acquire(&id, ALICE, start).unwrap();
    let later = start + Duration::from_mins(10);
    assert!(matches!(sessions.acquire(&id, ALICE, later), Err(Refusal::Busy)));
    drop(state);
    assert!(sessions.acquire(&id, ALICE, later).is_ok());
}

#[test]
fn sessions_are_limited_in_number() {
    let (sessions, now) = (Sessions::new(LIMITS), Instant::now());
    open(&sessions, ALICE, 0, now).unwrap();
    let second = open(&sessions, ALICE, 1, now).unwrap();
    assert!(matches!(open(&sessions, ALICE, 2, now), Err(Refusal::TooManySessionsOfCaller(2))));
    open(&sessions, BOB, 0, now).unwrap();
    assert!(matches!(open(&sessions, BOB, 1, now), Err(Refusal::TooManySessions(3))));
    // A complete reply frees a slot.
    sessions.finish(second.parse().unwrap());
    open(&sessions, ALICE, 2, now).unwrap();
    // The idle timeout frees a slot too.
    let later = now + LIMITS.idle;
    open(&sessions, BOB, 1, later).unwrap();
    assert_eq!(sessions.live_count(), 1);
}

#[test]
fn finished_sessions_are_limited_in_number() {
    let (sessions, now) = (Sessions::new(LIMITS), Instant::now());
    for number in 0..20 {
        let id = open(&sessions, ALICE, number, now).unwrap();
        sessions.finish(id.parse().unwrap());
    }
    assert_eq!(sessions.lock().len(), LIMITS.sessions);
}

#[test]
fn second_init_replaces_the_first() {
    let (sessions, now) = (Sessions::new(LIMITS), Instant::now());
    let first = open(&sessions, ALICE, 0, now).unwrap();
    let bobs_session = open(&sessions, BOB, 0, now).unwrap();
    let second = open(&sessions, ALICE, 0, now).unwrap();
    assert!(matches!(sessions.acquire(&first, ALICE, now), Err(Refusal::UnknownSession)));
    assert!(sessions.acquire(&second, ALICE, now).is_ok());
    assert!(sessions.acquire(&bobs_session, BOB, now).is_ok());
}

struct TestSession {
    sessions: Sessions,
    id: String,
    now: Instant,
}

impl TestSession {
    fn parrot() -> Self {
        let (sessions, now) = (Sessions::new(LIMITS), Instant::now());
        let id = sessions.open(ALICE, &utterance(0), &Parrot, now).unwrap().to_string();
        Self { sessions, id, now }
    }

    fn send(
        &self,
        samples: &[f32],
        in_eos: bool,
        frame_index: Option<u64>,
    ) -> Result<(usize, bool), Refusal> {
        let (_, mut state) = self.sessions.acquire(&self.id, ALICE, self.now)?;
        let audio_b64 = crate::samples::encode(samples);
        let request =
            PredictRequest { session_id: self.id.clone(), audio_b64, in_eos, frame_index };
        let response = state.process(&request)?.response;
        Ok((response.n_bytes as usize / 4, response.out_eos))
    }
}

#[test]
fn frame_after_the_end_is_refused_unless_empty() {
    let parrot = TestSession::parrot();
    assert_eq!(parrot.send(&[0.5; 1920], false, None).unwrap(), (1920, false));
    assert!(matches!(parrot.send(&[], false, None), Err(Refusal::EmptyFrame)));
    assert_eq!(parrot.send(&[0.5; 10], true, None).unwrap(), (10, true));
    assert!(matches!(parrot.send(&[0.5; 10], true, None), Err(Refusal::AfterEnd)));
    assert_eq!(parrot.send(&[], true, None).unwrap(), (0, true));
}

#[test]
fn source_duration_is_limited() {
    let parrot = TestSession::parrot();
    for _ in 0..12 {
        parrot.send(&[0.5; 1920], false, None).unwrap();
    }
    assert!(matches!(
        parrot.send(&[0.5; 1920], false, None),
        Err(Refusal::SourceTooLong { seconds: 1 })
    ));
    assert_eq!(parrot.send(&[0.5; 960], true, None).unwrap(), (960, true));
    for _ in 0..7 {
        parrot.send(&[], true, None).unwrap();
    }
    assert!(matches!(parrot.send(&[], true, None), Err(Refusal::TooManyRequests(20))));
}

#[test]
fn repeated_frame_gets_the_same_response() {
    let parrot = TestSession::parrot();
    assert_eq!(parrot.send(&[0.5; 1920], false, Some(0)).unwrap(), (1920, false));
    assert_eq!(parrot.send(&[0.5; 1920], false, Some(0)).unwrap(), (1920, false));
    assert!(matches!(
        parrot.send(&[0.5; 1920], false, Some(2)),
        Err(Refusal::OutOfOrder { expected: 1, got: 2 })
    ));
    assert_eq!(parrot.send(&[0.5; 4], true, Some(1)).unwrap(), (4, true));
    assert_eq!(parrot.send(&[0.5; 4], true, Some(1)).unwrap(), (4, true));
}
