use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use taonet_speech::Embedding;

use super::*;

/// An embedder that counts the words of a text in 256 classes: texts with the same words have the
/// same meaning.
struct WordCounts;

impl SentenceEmbedder for WordCounts {
    fn name(&self) -> &'static str {
        "word counts"
    }

    fn fingerprint(&self) -> &'static str {
        "word counts"
    }

    fn embed(&self, texts: &[&str]) -> Result<Vec<Embedding>, EmbedError> {
        let embed = |text: &&str| {
            let mut counts = [0.0_f32; 256];
            for word in text.split(' ') {
                let class = word
                    .bytes()
                    .fold(7_u8, |class, byte| class.wrapping_mul(31).wrapping_add(byte));
                counts[usize::from(class)] += 1.0;
            }
            let length = counts.iter().map(|count| count * count).sum::<f32>().sqrt();
            Embedding(counts.iter().map(|count| count / length).collect())
        };
        Ok(texts.iter().map(embed).collect())
    }
}

/// An embedder that fails.
struct FailingEmbedder;

impl SentenceEmbedder for FailingEmbedder {
    fn name(&self) -> &'static str {
        "broken"
    }

    fn fingerprint(&self) -> &'static str {
        "broken"
    }

    fn embed(&self, _: &[&str]) -> Result<Vec<Embedding>, EmbedError> {
        Err(EmbedError::Tokenizer("broken".to_owned()))
    }
}

/// Long enough for every scripted model, on a busy machine, too.
const LONG_TIMEOUT: Duration = Duration::from_mins(1);
const PHRASE: &str = "i think that we should really leave the house at eight";

fn words(text: &str) -> Vec<String> {
    text.split_whitespace().map(str::to_owned).collect()
}

/// Creates a stage whose model makes the same proposal for every phrase; also returns the number
/// of its calls.
fn scripted_shortener(
    proposal: fn(ProposalLimits) -> Result<String, ProposalError>,
    limit: Duration,
) -> (Shortener, Arc<AtomicUsize>) {
    let calls = Arc::<AtomicUsize>::default();
    let call_count = Arc::clone(&calls);
    let propose: Propose = Box::new(move |_, limits| {
        call_count.fetch_add(1, Ordering::Relaxed);
        proposal(limits)
    });
    (Shortener::new(propose, Arc::new(WordCounts), limit), calls)
}

/// Waits until the deadline, as a model without an answer in time.
fn too_slow(limits: ProposalLimits) -> Result<String, ProposalError> {
    thread::sleep(limits.deadline.saturating_duration_since(Instant::now()));
    Err(ProposalError::TooSlow)
}

/// Columns: phrase · proposal · outcome
#[test]
fn proposal_is_spoken_only_if_the_guard_accepts_it() {
    type Row = (&'static str, fn(ProposalLimits) -> Result<String, ProposalError>, &'static str);

    let table: [Row; 14] = [
        (PHRASE, |_| Ok("I think we should leave the house at eight.".to_owned()), "complete"),
        // Unchanged phrases need no embedding.
        (PHRASE, |_| Ok(PHRASE.to_owned()), "complete"),
        (PHRASE, |_| Ok(format!("{PHRASE} today")), "longer"),
        (
            PHRASE,
            |_| Ok("i think that we should undoubtedly abandon the residence at eight".to_owned()),
            "longer",
        ),
        (PHRASE, |_| Err(ProposalError::TooLong), "longer"),
        (PHRASE, |_| Ok("we should leave we should leave at eight".to_owned()), "repetitive"),
        (PHRASE, |_| Ok("leave the house and leave the house eight".to_owned()), "repetitive"),
        (PHRASE, |_| Ok("nous devons quitter la maison avec eight".to_owned()), "language"),
        (PHRASE, |_| Ok("мы должны уйти eight".to_owned()), "language"),
        (PHRASE, |_| Ok("i think that we should leave the house at nine".to_owned()), "meaning"),
        (PHRASE, |_| Ok("i think that we should not leave at eight".to_owned()), "meaning"),
        (PHRASE, |_| Ok("my cat likes eight fish".to_owned()), "meaning"),
        (PHRASE, |_| Ok("...".to_owned()), "meaning"),
        (PHRASE, |_| Err(ProposalError::Model(ModelError::Tokens)), "error"),
    ];
    for (phrase, proposal, expected) in table {
        let (shortener, _) = scripted_shortener(proposal, LONG_TIMEOUT);
        let phrase = words(phrase);
        let actual = shortener.attempt(&phrase, Instant::now() + LONG_TIMEOUT);
        let label = actual.as_ref().map_or_else(Rejection::label, |_| "complete");
        assert_eq!(label, expected, "{actual:?}");
        let result = shortener.shorten(phrase.clone(), Instant::now() + LONG_TIMEOUT);
        assert_eq!(result, actual.unwrap_or(phrase), "the phrase of the rules is the fallback");
    }
}

#[test]
fn accepted_proposal_is_spoken_without_case_and_punctuation() {
    let (shortener, _) = scripted_shortener(
        |_| Ok("\"I think we should leave the house at eight.\"".to_owned()),
        LONG_TIMEOUT,
    );
    let result = shortener.shorten(words(PHRASE), Instant::now() + LONG_TIMEOUT);
    assert_eq!(result, words("i think we should leave the house at eight"));
}

/// A repetition of the speaker and names of other languages are not a reason to reject a proposal.
#[test]
fn proposal_may_repeat_words_of_the_phrase() {
    for (phrase, proposal) in [
        ("they had had a very long day at work", "they had had a long day at work"),
        (
            "the road from el paso to los angeles is really very long",
            "the road from el paso to los angeles is long",
        ),
        (
            "the café near the old church is really open today",
            "the café near the old church is open today",
        ),
    ] {
        let guard = ProposalGuard::new(Arc::new(WordCounts));
        let result = guard.check(&words(phrase), &words(proposal));
        assert!(result.is_ok(), "{phrase}: {result:?}");
    }
}

#[test]
fn failure_of_the_embedder_is_an_error() {
    let guard = ProposalGuard::new(Arc::new(FailingEmbedder));
    let result = guard.check(&words(PHRASE), &words("i think we should leave the house at eight"));
    assert!(matches!(result, Err(Rejection::Embedding(_))), "{result:?}");
}

#[test]
fn short_phrase_needs_no_model() {
    let (shortener, calls) = scripted_shortener(|_| Ok("we leave".to_owned()), LONG_TIMEOUT);
    assert_eq!(
        shortener.shorten(words("we leave now"), Instant::now() + LONG_TIMEOUT),
        words("we leave now")
    );
    assert_eq!(calls.load(Ordering::Relaxed), 0);
}

#[test]
fn slow_model_is_not_called_during_the_pause() {
    let limit = Duration::from_millis(500);
    let (shortener, calls) = scripted_shortener(too_slow, limit);
    let began = Instant::now();
    assert_eq!(shortener.shorten(words(PHRASE), began + LONG_TIMEOUT), words(PHRASE));
    assert!(began.elapsed() >= limit);
    let result = shortener.attempt(&words(PHRASE), Instant::now() + LONG_TIMEOUT);
    assert!(matches!(result, Err(Rejection::Paused)), "{result:?}");
    assert_eq!(calls.load(Ordering::Relaxed), 1);
    // After the pause, it is called again.
    shortener.state().paused_until = Some(Instant::now());
    shortener.shorten(words(PHRASE), Instant::now() + LONG_TIMEOUT);
    assert_eq!(calls.load(Ordering::Relaxed), 2);
}

/// The frame's other calls, and not a slow model, have used the time.
#[test]
fn frame_deadline_does_not_pause_the_model() {
    let (shortener, calls) = scripted_shortener(too_slow, LONG_TIMEOUT);
    for expected in 1..=2 {
        let result = shortener.attempt(&words(PHRASE), Instant::now() + Duration::from_millis(20));
        assert!(matches!(result, Err(Rejection::Proposal(ProposalError::TooSlow))), "{result:?}");
        assert_eq!(calls.load(Ordering::Relaxed), expected);
    }
}

#[test]
fn late_proposal_is_not_spoken() {
    let after_the_deadline = |limits: ProposalLimits| {
        thread::sleep(
            limits.deadline.saturating_duration_since(Instant::now()) + Duration::from_millis(1),
        );
        Ok("i think we should leave the house at eight".to_owned())
    };
    let (shortener, _) = scripted_shortener(after_the_deadline, Duration::from_millis(20));
    assert_eq!(shortener.shorten(words(PHRASE), Instant::now() + LONG_TIMEOUT), words(PHRASE));
}

/// A phrase that waited would keep a worker of the miner from the frames of other utterances.
#[test]
fn phrase_does_not_wait_for_a_busy_model() {
    let (shortener, calls) = scripted_shortener(
        |_| Ok("i think we should leave the house at eight".to_owned()),
        LONG_TIMEOUT,
    );
    let permit = shortener.acquire().unwrap();
    let result = shortener.attempt(&words(PHRASE), Instant::now() + LONG_TIMEOUT);
    assert!(matches!(result, Err(Rejection::Busy)), "{result:?}");
    assert_eq!(calls.load(Ordering::Relaxed), 0);
    drop(permit);
    for expected in 1..=2 {
        assert_eq!(
            shortener.attempt(&words(PHRASE), Instant::now() + LONG_TIMEOUT).unwrap().len(),
            9
        );
        assert_eq!(calls.load(Ordering::Relaxed), expected);
    }
}
