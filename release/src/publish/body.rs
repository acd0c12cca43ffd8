//! The body of an upload, which tells how much of it has gone.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use tokio::sync::watch;

const CHUNK: usize = 64 << 10;

/// The bytes that are still to be sent.
pub(crate) struct UploadBody {
    rest: Bytes,
    sent: watch::Sender<u64>,
}

impl UploadBody {
    /// The body, and how many of its bytes have been taken from it.
    pub(crate) fn new(bytes: Bytes) -> (Self, watch::Receiver<u64>) {
        let (sent, receiver) = watch::channel(0);
        (Self { rest: bytes, sent }, receiver)
    }
}

impl Body for UploadBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if self.rest.is_empty() {
            return Poll::Ready(None);
        }
        let length = self.rest.len().min(CHUNK);
        let chunk = self.rest.split_to(length);
        self.sent.send_modify(|sent| *sent += length as u64);
        Poll::Ready(Some(Ok(Frame::data(chunk))))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty()
    }

    /// Exact: GitHub takes no body without a length.
    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.rest.len() as u64)
    }
}
