//! Bodies: taking those of requests in within bounds of size, time and memory, and letting those of answers go.

use std::{
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use axum::body::{Body, Bytes, HttpBody};
use http_body_util::BodyExt;
use hyper::body::{Frame, SizeHint};

use crate::{
    error::Error,
    rate::{Hold, Seat},
};

/// The largest JSON body taken. Events end at 64 KiB; key uploads and signature batches of large accounts are the
/// largest legitimate bodies and stay well below.
pub const MAX_BODY: usize = 1024 * 1024;
/// The largest body taken from who shows no token: a login, or a registration.
pub(super) const MAX_STRANGERS_BODY: usize = 64 * 1024;
/// What a body may take of memory without asking for it, bytes: most bodies.
const UNASKED: usize = 16 * 1024;
/// The least time a body may take to arrive: a phone on a bad line loses packets for some seconds.
const PATIENCE: Duration = Duration::from_secs(20);
/// The slowest line a body may come over, bytes a second.
const SLOWEST: u64 = 16 << 10;
/// How much of a body that is refused is still read, and for how long: who sends without looking would lose the answer.
const LINGER: (u64, Duration) = (4 << 20, Duration::from_secs(5));
/// The pieces in which an answer is handed to the connection, which buffers little more than one: the rest of the answer
/// counts as the caller's until it is sent.
const PIECE: usize = 64 * 1024;

/// The whole of `body`, if it is at most `limit` bytes and arrives in time. `hold`, if any, grows with it.
pub async fn collect(body: Body, limit: usize, hold: Option<&mut Hold>) -> Result<Bytes, Error> {
    let length = body.size_hint().exact().unwrap_or(u64::MAX).min(limit as u64);
    collect_within(PATIENCE + Duration::from_secs(length / SLOWEST), body, limit, hold).await
}

async fn collect_within(
    patience: Duration,
    mut body: Body,
    limit: usize,
    hold: Option<&mut Hold>,
) -> Result<Bytes, Error> {
    let declared = body.size_hint().exact();
    let whole = tokio::time::timeout(patience, gather(&mut body, declared, limit, hold)).await;
    let refused = match whole {
        Ok(Ok(whole)) => return Ok(whole),
        Ok(Err(error)) => error,
        Err(_) => return Err(Error::too_slow("The body did not arrive in time")),
    };
    let _ = tokio::time::timeout(LINGER.1, discard(body)).await;
    Err(refused)
}

async fn gather(
    body: &mut Body,
    declared: Option<u64>,
    limit: usize,
    mut hold: Option<&mut Hold>,
) -> Result<Bytes, Error> {
    let too_large = || Error::too_large("The body is too large");
    let declared = declared.map_or(Some(0), |length| usize::try_from(length).ok()).unwrap_or(usize::MAX);
    if declared > limit {
        return Err(too_large());
    }
    reserve(hold.as_deref_mut(), declared).await?;
    // A copy: the pieces lie in the connection's buffer, which a waiting request would keep whole.
    let mut whole: Vec<u8> = Vec::with_capacity(declared);
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|_| Error::bad_request("The body could not be read"))?;
        let Ok(piece) = frame.into_data() else { continue };
        let length = whole.len() + piece.len();
        if length > limit {
            return Err(too_large());
        }
        reserve(hold.as_deref_mut(), length).await?;
        whole.extend_from_slice(&piece);
    }
    Ok(whole.into())
}

async fn reserve(hold: Option<&mut Hold>, length: usize) -> Result<(), Error> {
    let Some(hold) = hold.filter(|_| length > UNASKED) else { return Ok(()) };
    let kib = u32::try_from(length.div_ceil(1024)).unwrap_or(u32::MAX);
    hold.grow(kib).await.map_err(|_| Error::limit_exceeded(Duration::from_secs(1)))
}

async fn discard(mut body: Body) {
    let mut left = LINGER.0;
    while let Some(Ok(frame)) = body.frame().await {
        let length = frame.data_ref().map_or(0, Bytes::len) as u64;
        left = left.saturating_sub(length);
        if left == 0 {
            return;
        }
    }
}

/// The body of an answer, with the seat of the request it answers: a caller who reads slowly sits as long.
pub(super) struct Seated {
    body: Body,
    rest: Bytes,
    _seat: Seat,
}

impl Seated {
    /// `body`, in pieces, with the caller's seat.
    pub(super) fn body(body: Body, seat: Seat) -> Body {
        Body::new(Self { body, rest: Bytes::new(), _seat: seat })
    }
}

impl HttpBody for Seated {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        if self.rest.is_empty() {
            let frame = match Pin::new(&mut self.body).poll_frame(context) {
                Poll::Ready(Some(Ok(frame))) => frame,
                other => return other,
            };
            match frame.into_data() {
                Ok(data) if data.len() > PIECE => self.rest = data,
                Ok(data) => return Poll::Ready(Some(Ok(Frame::data(data)))),
                Err(frame) => return Poll::Ready(Some(Ok(frame))),
            }
        }
        let length = self.rest.len().min(PIECE);
        Poll::Ready(Some(Ok(Frame::data(self.rest.split_to(length)))))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let inner = self.body.size_hint();
        let rest = self.rest.len() as u64;
        let mut hint = SizeHint::new();
        hint.set_lower(inner.lower() + rest);
        if let Some(upper) = inner.upper() {
            hint.set_upper(upper + rest);
        }
        hint
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use super::*;
    use crate::rate::{Crowd, Pool, Source};

    fn pieces(count: usize, length: usize) -> Body {
        Body::new(Pieces(vec![Bytes::from(vec![b'x'; length]); count]))
    }

    /// A body that does not say how long it is.
    struct Pieces(Vec<Bytes>);

    impl HttpBody for Pieces {
        type Data = Bytes;
        type Error = Infallible;

        fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
            Poll::Ready(self.0.pop().map(|piece| Ok(Frame::data(piece))))
        }
    }

    #[tokio::test]
    async fn a_body_holds_what_it_takes() {
        let pool = Pool::new(64, 32);
        let mut hold = pool.hold(Source::default());
        assert_eq!(collect(pieces(4, 4096), 1 << 20, Some(&mut hold)).await.ok().unwrap().len(), UNASKED);
        // Nothing was asked for: the share is whole.
        let mut other = pool.hold(Source::default());
        assert_eq!(collect(pieces(8, 4096), 1 << 20, Some(&mut other)).await.ok().unwrap().len(), 32 << 10);
        assert_eq!(collect(pieces(5, 4096), 1 << 20, Some(&mut hold)).await.err().unwrap().status(), 429);
        drop(other);
        assert!(collect(Body::from(vec![0; 32 << 10]), 1 << 20, Some(&mut hold)).await.is_ok());
    }

    #[tokio::test]
    async fn what_is_too_large_or_too_slow_is_refused() {
        assert_eq!(collect(Body::from(vec![0; 11]), 10, None).await.err().unwrap().status(), 413);
        assert_eq!(collect(pieces(3, 4), 10, None).await.err().unwrap().status(), 413);
        assert!(collect(pieces(2, 5), 10, None).await.is_ok());
        let silent = Body::new(Silent);
        assert_eq!(collect_within(Duration::ZERO, silent, 10, None).await.err().unwrap().status(), 408);
    }

    /// A body that never comes.
    struct Silent;

    impl HttpBody for Silent {
        type Data = Bytes;
        type Error = Infallible;

        fn poll_frame(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
            Poll::Pending
        }
    }

    #[tokio::test]
    async fn an_answer_keeps_its_seat_until_its_last_piece() {
        let crowd = Crowd::new(1);
        let seat = || crowd.enter(Source::default());
        let mut body = Seated::body(Body::from(vec![7; PIECE * 2 + 1]), seat().unwrap());
        assert_eq!(body.size_hint().exact(), Some(PIECE as u64 * 2 + 1));
        for length in [PIECE, PIECE, 1] {
            assert!(seat().is_none() && !body.is_end_stream());
            assert_eq!(body.frame().await.unwrap().unwrap().into_data().unwrap().len(), length);
        }
        assert!(body.is_end_stream() && body.frame().await.is_none());
        drop(body);
        assert!(seat().is_some());
    }
}
