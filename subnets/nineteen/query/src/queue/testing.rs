use bytes::Bytes;

use super::frame::{Frame, FrameAssembler};

/// Decodes a message between an entry and a worker, and encodes it again.
pub fn reencode(message: &Bytes) -> Option<Bytes> {
    let (number, frame) = Frame::decode(message)?;
    Some(frame.encode(number))
}

/// Decodes the messages of one sender; returns the documents, up to the first message that is
/// missing or too large.
pub fn documents(messages: &[Bytes]) -> Vec<Bytes> {
    let mut assembler = FrameAssembler::default();
    let frames = messages.iter().filter_map(Frame::decode);
    let complete = frames.map_while(|(number, frame)| assembler.push(number, frame).ok()).flatten();
    complete
        .filter_map(|frame| if let Frame::Last(body) = frame { Some(body) } else { None })
        .collect()
}
