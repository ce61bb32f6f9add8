//! Stream of a connection that hyper shares with the reader of a body in chunks.
//!
//! hyper passes on each chunk of a body by itself, which takes longer than to parse it. Inference
//! servers send a chunk for each token, often many at a time. So hyper reads only the head of such
//! a response, and an empty body in place of the chunks, which are read here, many at once.

use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};

use bytes::{Buf as _, Bytes, BytesMut};
use http::header::TRANSFER_ENCODING;
use http::{Response, Version};
use http_body::Body as _;
use hyper::body::Incoming;
use hyper::rt::{Read, ReadBuf, ReadBufCursor, Write};
use hyper_rustls::MaybeHttpsStream;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::task::coop;

use super::chunk_decoder::ChunkDecoder;

/// Maximum number of bytes that are read at once.
const MAX_READ_BYTES: usize = 16 * 1024;
/// Start of the head of a successful response.
const SUCCESS_HEAD_START: &[u8] = b"HTTP/1.1 200";
/// End of the head of a response.
const HEAD_END: &[u8] = b"\r\n\r\n";
/// Body in chunks that is empty.
const EMPTY_BODY: &[u8] = b"0\r\n\r\n";

/// Stream of a connection. Clones share it.
#[derive(Debug, Clone)]
pub(super) struct ResponseStream(Arc<Mutex<State>>);

#[derive(Debug)]
struct State {
    stream: MaybeHttpsStream<TokioIo<TcpStream>>,
    /// Bytes that were read, but not used.
    unread: BytesMut,
    access: ReadAccess,
    /// Whether hyper has more to write than the peer accepts now.
    is_write_blocked: bool,
}

/// What hyper may read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ReadAccess {
    /// The head of the next response.
    Head,
    /// Nothing until it is known whether the body that follows is in chunks, or until these are
    /// read.
    Nothing,
    /// Everything.
    All,
}

impl ResponseStream {
    pub(super) fn new(stream: MaybeHttpsStream<TokioIo<TcpStream>>) -> Self {
        let (unread, access) = (BytesMut::new(), ReadAccess::All);
        Self(Arc::new(Mutex::new(State { stream, unread, access, is_write_blocked: false })))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns whether all bytes of the latest response are read.
    pub(super) fn is_fully_read(&self) -> bool {
        let state = self.state();
        state.access == ReadAccess::All && state.unread.is_empty()
    }

    /// Prepares for the next response.
    pub(super) fn begin_response(&self) {
        let mut state = self.state();
        if state.unread.is_empty() {
            state.access = ReadAccess::Head;
        }
    }

    /// Returns the body of a response whose head hyper has just read, if it is in chunks, none of
    /// which hyper has read. Otherwise, hyper reads the body.
    pub(super) fn chunked_body(&self, response: &Response<Incoming>) -> Option<ChunkedBody> {
        let mut state = self.state();
        if state.access == ReadAccess::Nothing && is_chunked(response) {
            return Some(ChunkedBody { stream: self.clone(), decoder: ChunkDecoder::default() });
        }
        state.access = ReadAccess::All;
        None
    }
}

/// Returns whether the body of a response is in chunks, by the same rules as hyper. Other codings
/// are left to hyper.
fn is_chunked(response: &Response<Incoming>) -> bool {
    let mut codings = response.headers().get_all(TRANSFER_ENCODING).iter();
    let (Some(coding), None) = (codings.next(), codings.next()) else { return false };
    response.version() == Version::HTTP_11
        && coding.as_bytes().eq_ignore_ascii_case(b"chunked")
        && !response.body().is_end_stream()
}

/// Returns the length of the head with which `bytes` begin, if it is that of a successful response
/// and complete, as most are. hyper also takes a line feed alone for the end of a line, so that it
/// could find an earlier end of the head: such heads are left to hyper.
fn head_length(bytes: &[u8]) -> Option<usize> {
    let mut ends = bytes.windows(HEAD_END.len());
    let start =
        ends.position(|end| end == HEAD_END).filter(|_| bytes.starts_with(SUCCESS_HEAD_START))?;
    let (head, _) = bytes.split_at_checked(start + HEAD_END.len())?;
    head.split_inclusive(|byte| *byte == b'\n')
        .all(|line| line.ends_with(b"\r\n"))
        .then_some(head.len())
}

impl State {
    /// Writes for hyper.
    fn poll_write<T>(
        &mut self,
        write: impl FnOnce(Pin<&mut MaybeHttpsStream<TokioIo<TcpStream>>>) -> Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        let result = write(Pin::new(&mut self.stream));
        self.is_write_blocked = result.is_pending();
        result
    }

    /// Reads for hyper.
    fn poll_read(
        &mut self,
        context: &mut Context<'_>,
        mut buffer: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        match self.access {
            ReadAccess::Nothing => Poll::Pending,
            ReadAccess::All if self.unread.is_empty() => {
                Pin::new(&mut self.stream).poll_read(context, buffer)
            }
            ReadAccess::All => {
                let length = self.unread.len().min(buffer.remaining());
                buffer.put_slice(self.unread.get(..length).unwrap_or_default());
                advance(&mut self.unread, length);
                Poll::Ready(Ok(()))
            }
            ReadAccess::Head => {
                let mut storage = [const { MaybeUninit::<u8>::uninit() }; MAX_READ_BYTES];
                let length = buffer.remaining().min(MAX_READ_BYTES);
                let mut read = ReadBuf::uninit(storage.get_mut(..length).unwrap_or_default());
                ready!(Pin::new(&mut self.stream).poll_read(context, read.unfilled()))?;
                let bytes = read.filled();
                let head = head_length(bytes);
                self.access = if head.is_some() { ReadAccess::Nothing } else { ReadAccess::All };
                let (head, after_head) =
                    bytes.split_at_checked(head.unwrap_or(bytes.len())).unwrap_or((bytes, &[]));
                buffer.put_slice(head);
                self.unread.extend_from_slice(after_head);
                Poll::Ready(Ok(()))
            }
        }
    }
}

impl Read for ResponseStream {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        self.state().poll_read(context, buffer)
    }
}

impl Write for ResponseStream {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.state().poll_write(|stream| stream.poll_write(context, bytes))
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.state().poll_write(|stream| stream.poll_flush(context))
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.state().stream).poll_shutdown(context)
    }

    fn is_write_vectored(&self) -> bool {
        self.state().stream.is_write_vectored()
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.state().poll_write(|stream| stream.poll_write_vectored(context, slices))
    }
}

/// Body in chunks, which it reads in place of hyper. hyper reads an empty body once it has ended.
#[derive(Debug)]
pub(super) struct ChunkedBody {
    stream: ResponseStream,
    decoder: ChunkDecoder,
}

impl ChunkedBody {
    /// Returns whether hyper has more to write than the peer accepts now: it must be polled for it.
    pub(super) fn is_write_blocked(&self) -> bool {
        self.stream.state().is_write_blocked
    }

    /// Reads the data of the chunks that have arrived; `None` at the end of the body. Each chunk
    /// counts for the cooperative scheduling of the task.
    pub(super) fn poll_next(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Bytes>>> {
        let mut state = self.stream.state();
        let State { stream, unread, access, .. } = &mut *state;
        let mut body = Vec::new();
        while !self.decoder.has_ended() && body.is_empty() {
            let chunks = if unread.is_empty() {
                let mut storage = [const { MaybeUninit::<u8>::uninit() }; MAX_READ_BYTES];
                let mut read = ReadBuf::uninit(&mut storage);
                ready!(Pin::new(&mut *stream).poll_read(context, read.unfilled()))?;
                let bytes = read.filled();
                if bytes.is_empty() {
                    return Poll::Ready(Some(Err(io::ErrorKind::UnexpectedEof.into())));
                }
                body.reserve(bytes.len());
                let decoded = self.decoder.decode(bytes, &mut body)?;
                unread.extend_from_slice(bytes.get(decoded.consumed..).unwrap_or_default());
                decoded.chunks
            } else {
                body.reserve(unread.len());
                let decoded = self.decoder.decode(unread, &mut body)?;
                advance(unread, decoded.consumed);
                decoded.chunks
            };
            spend_budget(chunks, context);
        }
        if self.decoder.has_ended() && *access == ReadAccess::Nothing {
            let after_body = unread.split();
            unread.extend_from_slice(EMPTY_BODY);
            unread.extend_from_slice(&after_body);
            *access = ReadAccess::All;
        }
        Poll::Ready((!body.is_empty()).then(|| Ok(body.into())))
    }
}

/// Removes used bytes from a buffer. Frees its memory once it is empty, since a stream may be open
/// for long.
fn advance(buffer: &mut BytesMut, consumed: usize) {
    buffer.advance(consumed);
    if buffer.is_empty() {
        *buffer = BytesMut::new();
    }
}

/// Counts further operations of the task, of which the first one is counted by the caller. Once too
/// many are counted, the next one is pending.
fn spend_budget(operations: u32, context: &mut Context<'_>) {
    for _ in 1..operations {
        match coop::poll_proceed(context) {
            Poll::Ready(budget) => budget.made_progress(),
            Poll::Pending => return,
        }
    }
}
