//! Full-text check: compares every token of an answer with one forward pass of the validator's
//! model over prompt and answer.
//!
//! Since December 2024, the reference has run this check before the comparison of single tokens
//! ([`super::text`]).

/// Rank from which a token counts as unlikely.
const UNLIKELY_RANK: u32 = 10;

/// Maximum number of unlikely tokens in an answer.
const MAX_UNLIKELY_TOKENS: usize = 3;

/// Maximum ratio of the end token's probability to the emitted token's.
const MAX_END_RATIO: f64 = 100.0;

/// Rank and probability of one token of an answer, according to the validator's model.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TokenLikelihood {
    /// Rank of the token at its position, from 1; `None` if the model did not return the token.
    pub rank: Option<u32>,
    /// Natural logarithm of the token's probability.
    pub logprob: f64,
    /// Log-probability of the end token at the same position; `None` if the model did not return
    /// this token.
    pub end_logprob: Option<f64>,
}

/// Why an answer fails the full-text check. The answer's score is then 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FullTextError {
    /// The answer exceeds the requested maximum number of tokens.
    #[error("answer has {chunks} chunks, but the limit is {max_tokens} tokens")]
    TooLong {
        /// Number of chunks of the answer.
        chunks: usize,
        /// Requested maximum number of tokens.
        max_tokens: usize,
    },
    /// A token is not among the model's candidates at its position.
    #[error("token {0} is not among the model's candidates at its position")]
    Absent(usize),
    /// The answer has more than 3 unlikely tokens.
    #[error("{0} tokens are unlikely, the limit is 3")]
    Unlikely(usize),
    /// The answer continues where the model would have ended it.
    #[error("answer continues at token {0}, where the end token is over 100 times as likely")]
    AfterEnd(usize),
}

/// Checks every token of an answer of `chunks` chunks; returns the positions of the unlikely
/// tokens, which the text check then compares individually.
///
/// # Errors
/// [`FullTextError`] when the answer fails the check; the answer's score is then 0.
pub fn check(
    likelihoods: &[TokenLikelihood],
    chunks: usize,
    max_tokens: usize,
) -> Result<Vec<usize>, FullTextError> {
    if chunks > max_tokens {
        return Err(FullTextError::TooLong { chunks, max_tokens });
    }
    let mut unlikely = Vec::new();
    for (index, likelihood) in likelihoods.iter().enumerate() {
        let rank = likelihood.rank.ok_or(FullTextError::Absent(index))?;
        if likelihood
            .end_logprob
            .is_some_and(|end| end.exp() > MAX_END_RATIO * likelihood.logprob.exp())
        {
            return Err(FullTextError::AfterEnd(index));
        }
        if rank >= UNLIKELY_RANK || likelihood.logprob == f64::NEG_INFINITY {
            unlikely.push(index);
        }
    }
    if unlikely.len() > MAX_UNLIKELY_TOKENS {
        Err(FullTextError::Unlikely(unlikely.len()))
    } else {
        Ok(unlikely)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn likely() -> TokenLikelihood {
        TokenLikelihood { rank: Some(1), logprob: -0.1, end_logprob: Some(-5.0) }
    }

    #[test]
    fn unlikely_tokens_are_reported_and_faults_fail_the_check() {
        let unlikely = TokenLikelihood { rank: Some(10), ..likely() };
        let impossible =
            TokenLikelihood { logprob: f64::NEG_INFINITY, end_logprob: None, ..likely() };
        let absent_token = TokenLikelihood { rank: None, ..likely() };
        let past_end = TokenLikelihood { logprob: -5.0, end_logprob: Some(-0.3), ..likely() };
        let before_end = TokenLikelihood { logprob: -4.8, end_logprob: Some(-0.3), ..likely() };
        assert_eq!(check(&[likely(), before_end, likely()], 3, 3), Ok(vec![]));
        assert_eq!(check(&[unlikely, likely(), impossible, unlikely], 4, 10), Ok(vec![0, 2, 3]));
        assert_eq!(check(&[unlikely; 4], 4, 10), Err(FullTextError::Unlikely(4)));
        assert_eq!(check(&[likely(), absent_token], 2, 10), Err(FullTextError::Absent(1)));
        assert_eq!(check(&[likely(), past_end], 2, 10), Err(FullTextError::AfterEnd(1)));
        assert_eq!(
            check(&[likely(); 4], 4, 3),
            Err(FullTextError::TooLong { chunks: 4, max_tokens: 3 })
        );
    }
}
