#![allow(clippy::float_cmp)] // Forbidden logits have one exact value.

use super::*;

/// Ten text tokens, the end of text 10, special tokens up to 13 (no timestamps), timestamps 14..=23.
const TOKENS: usize = 24;

fn rules() -> Rules {
    Rules {
        suppressed: vec![3, 12],
        suppressed_at_begin: vec![5, 10],
        end_of_text: 10,
        no_timestamps: 13,
        latest_first_timestamp: 16,
    }
}

/// Returns the tokens allowed after the generated ones, if text tokens have the logit `text` and
/// timestamps the logit 0.
fn allowed_tokens(generated: &[u32], text: f32) -> Vec<usize> {
    let mut logits: Vec<f32> =
        (0..TOKENS).map(|token| if token < 14 { text } else { 0.0 }).collect();
    rules().apply(&mut logits, generated);
    (0..TOKENS).filter(|token| logits[*token] != FORBIDDEN).collect()
}

fn token_range(from: usize, to: usize) -> Vec<usize> {
    (from..=to).collect()
}

#[test]
fn first_token_is_an_early_timestamp() {
    assert_eq!(allowed_tokens(&[], 100.0), token_range(14, 16));
}

#[test]
fn timestamps_come_in_pairs_around_text() {
    // Text tokens except the suppressed ones (3, 12) and the no-timestamps token (13).
    let text = [0, 1, 2, 4, 5, 6, 7, 8, 9, 10, 11];
    let with_text = |timestamps: &[usize]| [text.as_slice(), timestamps].concat();
    let cases: [(&[u32], Vec<usize>); 6] = [
        // After the first timestamp: text.
        (&[14], with_text(&[])),
        // After text: more text or a later timestamp.
        (&[14, 1], with_text(&token_range(15, 23))),
        (&[16, 1, 2], with_text(&token_range(17, 23))),
        // After a closing timestamp: its pair, the end, or other special tokens.
        (&[14, 1, 18], [vec![10, 11], token_range(18, 23)].concat()),
        // After a pair: text.
        (&[14, 1, 18, 18], with_text(&[])),
        (&[14, 1, 18, 19, 2], with_text(&token_range(20, 23))),
    ];
    for (generated, expected) in cases {
        assert_eq!(allowed_tokens(generated, 100.0), expected, "after {generated:?}");
    }
}

#[test]
fn probable_timestamps_exclude_text() {
    // Nine timestamps with logit 0 are together as probable as a token with logit ln 9 = 2.197.
    assert_eq!(allowed_tokens(&[14, 1], 2.2).len(), 11 + 9);
    assert_eq!(allowed_tokens(&[14, 1], 2.19), token_range(15, 23));
    // Six timestamps remain after a closing timestamp; the end of text counts as text.
    assert_eq!(allowed_tokens(&[14, 1, 18], 1.8), [vec![10, 11], token_range(18, 23)].concat());
    assert_eq!(allowed_tokens(&[14, 1, 18], 1.79), token_range(18, 23));
    // After a pair no timestamp is possible.
    assert_eq!(allowed_tokens(&[14, 1, 18, 18], -100.0).first(), Some(&0));
}

#[test]
fn suppressed_tokens_never_occur_and_blanks_never_first() {
    let mut rules = rules();
    rules.latest_first_timestamp = 23;
    // Timestamps may be suppressed as first tokens too.
    rules.suppressed_at_begin = vec![15];
    let mut logits = vec![0.0; TOKENS];
    rules.apply(&mut logits, &[]);
    assert_eq!(logits[15], FORBIDDEN);
    assert_eq!(logits[16], 0.0);
    let mut logits = vec![0.0; TOKENS];
    rules.suppressed.push(17);
    rules.apply(&mut logits, &[14, 1]);
    assert_eq!((logits[15], logits[16], logits[17]), (0.0, 0.0, FORBIDDEN));
}
