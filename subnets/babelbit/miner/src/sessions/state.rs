use taonet_babelbit_core::protocol::{PredictRequest, PredictResponse, SAMPLE_RATE_HZ};

use crate::profile::{Interpretation, Reply};
use crate::{Limits, Refusal, samples};

/// State of one utterance: received frames and the reply so far.
pub struct SessionState {
    phase: Phase,
    channels: u16,
    /// Remaining quota of source samples per channel.
    remaining_samples: u64,
    source_seconds: u64,
    request_count: u64,
    max_requests: u64,
    /// Index and response of the last frame, for retries by the caller.
    last_response: Option<(u64, PredictResponse)>,
}

/// Progress of a session.
enum Phase {
    /// The source is playing.
    Open(Box<dyn Interpretation>),
    /// The source has ended, the reply is incomplete.
    Draining(Box<dyn Interpretation>),
    /// The reply is complete.
    Finished,
    /// An earlier request failed.
    Aborted,
}

/// Response to a frame, with values for the metrics.
pub(crate) struct FrameResponse {
    pub(crate) response: PredictResponse,
    pub(crate) received_samples: usize,
    pub(crate) spoken_samples: usize,
}

impl SessionState {
    pub(super) fn new(
        interpretation: Box<dyn Interpretation>,
        channels: u16,
        limits: &Limits,
    ) -> Self {
        Self {
            phase: Phase::Open(interpretation),
            channels,
            remaining_samples: limits.source.as_secs() * u64::from(SAMPLE_RATE_HZ),
            source_seconds: limits.source.as_secs(),
            request_count: 0,
            max_requests: limits.requests,
            last_response: None,
        }
    }

    /// Processes one frame and returns the speech that is ready. Blocks until the frame is
    /// processed.
    ///
    /// A frame with the same index as the previous one is a retry: it gets the same response and
    /// changes nothing. A rejected frame changes nothing either.
    ///
    /// # Errors
    /// [`Refusal`] when the frame is malformed, out of order or over a limit, or when the profile
    /// fails.
    pub(crate) fn process(&mut self, request: &PredictRequest) -> Result<FrameResponse, Refusal> {
        if let Some(index) = request.frame_index {
            if let Some((last_index, response)) = &self.last_response
                && *last_index == index
            {
                return Ok(FrameResponse {
                    response: response.clone(),
                    received_samples: 0,
                    spoken_samples: 0,
                });
            }
            if index != self.request_count {
                return Err(Refusal::OutOfOrder { expected: self.request_count, got: index });
            }
        }
        if self.request_count >= self.max_requests {
            return Err(Refusal::TooManyRequests(self.max_requests));
        }
        let frame = samples::decode(&request.audio_b64, self.channels)?;
        let reply = self.interpret_frame(&frame, request.in_eos)?;
        let response = PredictResponse {
            session_id: request.session_id.clone(),
            audio_b64: samples::encode(&reply.samples),
            out_eos: reply.done,
            n_bytes: size_of_val(reply.samples.as_slice()) as u64,
        };
        // A retry may have an index that the first request lacked.
        self.last_response = Some((self.request_count, response.clone()));
        self.request_count += 1;
        Ok(FrameResponse {
            response,
            received_samples: frame.len(),
            spoken_samples: reply.samples.len(),
        })
    }

    fn interpret_frame(&mut self, frame: &[f32], in_eos: bool) -> Result<Reply, Refusal> {
        let sample_count = (frame.len() / usize::from(self.channels)) as u64;
        match self.phase {
            Phase::Open(_) if frame.is_empty() && !in_eos => return Err(Refusal::EmptyFrame),
            Phase::Open(_) if sample_count > self.remaining_samples => {
                return Err(Refusal::SourceTooLong { seconds: self.source_seconds });
            }
            Phase::Draining(_) | Phase::Finished if !frame.is_empty() => {
                return Err(Refusal::AfterEnd);
            }
            Phase::Finished => return Ok(Reply { samples: Vec::new(), done: true }),
            _ => {}
        }
        // If the work fails or panics, the session stays broken, since the work may be incomplete.
        let (mut interpretation, has_source_ended) =
            match std::mem::replace(&mut self.phase, Phase::Aborted) {
                Phase::Open(interpretation) => (interpretation, in_eos),
                Phase::Draining(interpretation) => (interpretation, true),
                Phase::Finished | Phase::Aborted => return Err(Refusal::SessionAborted),
            };
        let reply = interpretation.push(frame, in_eos)?;
        self.remaining_samples -= sample_count;
        self.phase = match (reply.done, has_source_ended) {
            (true, _) => Phase::Finished,
            (false, true) => Phase::Draining(interpretation),
            (false, false) => Phase::Open(interpretation),
        };
        Ok(reply)
    }
}
