//! Whole-text check: compares every token of an answer with one forward pass of the validator's model over prompt and
//! answer.
//!
//! The reference runs this check before the comparison of single tokens ([`super::text`]) since December 2024.

/// Minimum rank of an unlikely token.
const UNLIKELY_RANK: u32 = 10;

/// Maximum number of unlikely tokens in an answer.
const MOST_UNLIKELY: usize = 3;

/// Maximum ratio of the end token's probability to that of the emitted token.
const END_RATIO: f64 = 100.0;

/// Assessment of one token of an answer by the validator's model.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Verdict {
    /// Rank of the token at its position, from 1; `None` if the model did not return the token.
    pub rank: Option<u32>,
    /// Log-probability of the token (natural logarithm).
    pub logprob: f64,
    /// Log-probability of the end token at the same position.
    pub end_logprob: Option<f64>,
}

/// Why an answer fails the whole-text check. The score of such an answer is 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum WholeFault {
    /// The answer exceeds the requested number of tokens.
    #[error("answer has {chunks} chunks, but the limit is {max_tokens} tokens")]
    TooLong {
        /// Number of chunks of the answer.
        chunks: usize,
        /// The requested maximum number of tokens.
        max_tokens: usize,
    },
    /// A token is not among the model's candidates at its position.
    #[error("token {0} is not among the model's candidates at its position")]
    Absent(usize),
    /// The answer has more than 3 unlikely tokens.
    #[error("{0} tokens are unlikely, the limit is 3")]
    Unlikely(usize),
    /// The answer continues where the model would have ended it.
    #[error("answer continues after token {0}, where its end is over 100 times likelier")]
    PastItsEnd(usize),
}

/// Checks an answer of `chunks` chunks; returns the positions of its unlikely tokens, which are then compared
/// individually.
///
/// # Errors
/// [`WholeFault`]; the answer's score is 0.
pub fn check(verdicts: &[Verdict], chunks: usize, max_tokens: usize) -> Result<Vec<usize>, WholeFault> {
    if chunks > max_tokens {
        return Err(WholeFault::TooLong { chunks, max_tokens });
    }
    let mut unlikely = Vec::new();
    for (place, verdict) in verdicts.iter().enumerate() {
        let rank = verdict.rank.ok_or(WholeFault::Absent(place))?;
        if verdict.end_logprob.is_some_and(|end| end.exp() > END_RATIO * verdict.logprob.exp()) {
            return Err(WholeFault::PastItsEnd(place));
        }
        if rank >= UNLIKELY_RANK || verdict.logprob == f64::NEG_INFINITY {
            unlikely.push(place);
        }
    }
    if unlikely.len() > MOST_UNLIKELY { Err(WholeFault::Unlikely(unlikely.len())) } else { Ok(unlikely) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn likely() -> Verdict {
        Verdict { rank: Some(1), logprob: -0.1, end_logprob: Some(-5.0) }
    }

    #[test]
    fn each_fault_is_found() {
        let unlikely = Verdict { rank: Some(10), ..likely() };
        let impossible = Verdict { logprob: f64::NEG_INFINITY, end_logprob: None, ..likely() };
        let absent = Verdict { rank: None, ..likely() };
        let past = Verdict { logprob: -5.0, end_logprob: Some(-0.3), ..likely() };
        let nearly = Verdict { logprob: -4.8, end_logprob: Some(-0.3), ..likely() };
        assert_eq!(check(&[likely(), nearly, likely()], 3, 3), Ok(vec![]));
        assert_eq!(check(&[unlikely, likely(), impossible, unlikely], 4, 10), Ok(vec![0, 2, 3]));
        assert_eq!(check(&[unlikely; 4], 4, 10), Err(WholeFault::Unlikely(4)));
        assert_eq!(check(&[likely(), absent], 2, 10), Err(WholeFault::Absent(1)));
        assert_eq!(check(&[likely(), past], 2, 10), Err(WholeFault::PastItsEnd(1)));
        assert_eq!(check(&[likely(); 4], 4, 3), Err(WholeFault::TooLong { chunks: 4, max_tokens: 3 }));
    }
}
