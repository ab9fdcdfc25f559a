//! A connection whose peer has to take what it asked for.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::{Sleep, sleep},
};

/// A peer that does not take [`LEAST`] bytes within this time while more wait for it is gone, or holds answers in memory
/// on purpose.
const WINDOW: Duration = Duration::from_mins(1);
/// One kibibyte a second: less than the slowest phone line.
const LEAST: usize = 60 << 10;

/// A stream that fails when its peer does not read.
pub(super) struct Paced<S> {
    stream: S,
    window: Duration,
    /// While bytes wait: when the window ends, and what was taken in it.
    waiting: Option<(Pin<Box<Sleep>>, usize)>,
}

impl<S> Paced<S> {
    pub(super) fn new(stream: S) -> Self {
        Self { stream, window: WINDOW, waiting: None }
    }

    fn written(&mut self, taken: usize, offered: usize) {
        match &mut self.waiting {
            // Whoever takes everything does not keep anything waiting.
            waiting if taken >= offered => *waiting = None,
            Some((_, sum)) if *sum + taken < LEAST => *sum += taken,
            waiting => *waiting = None,
        }
    }

    fn stalled(&mut self, context: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let window = self.window;
        let (end, _) = self.waiting.get_or_insert_with(|| (Box::pin(sleep(window)), 0));
        end.as_mut().poll(context).map(|()| Err(io::ErrorKind::TimedOut.into()))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Paced<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Paced<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match Pin::new(&mut self.stream).poll_write(context, bytes) {
            Poll::Ready(Ok(taken)) => {
                self.written(taken, bytes.len());
                Poll::Ready(Ok(taken))
            }
            Poll::Pending => self.stalled(context),
            failed @ Poll::Ready(_) => failed,
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match Pin::new(&mut self.stream).poll_flush(context) {
            Poll::Pending => self.stalled(context).map_ok(|_| ()),
            done @ Poll::Ready(_) => done,
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match Pin::new(&mut self.stream).poll_shutdown(context) {
            Poll::Pending => self.stalled(context).map_ok(|_| ()),
            done @ Poll::Ready(_) => done,
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    use super::*;

    fn paced(window: Duration) -> (Paced<tokio::io::DuplexStream>, tokio::io::DuplexStream) {
        let (near, far) = duplex(1024);
        (Paced { stream: near, window, waiting: None }, far)
    }

    #[tokio::test]
    async fn a_peer_that_reads_too_little_is_cut_off() {
        for read in [0, 1, 1000] {
            let (mut paced, mut far) = paced(Duration::ZERO);
            paced.write_all(&[0; 1024]).await.expect("it fits");
            let mut piece = vec![0; read];
            far.read_exact(&mut piece).await.expect("it is there");
            assert_eq!(paced.write_all(&[0; 1024]).await.expect_err("too little").kind(), io::ErrorKind::TimedOut);
        }
    }

    #[tokio::test]
    async fn a_peer_that_takes_enough_in_each_window_is_served() {
        let (mut paced, mut far) = paced(Duration::from_hours(1));
        let reader = tokio::spawn(async move {
            let mut sum = Vec::new();
            far.read_to_end(&mut sum).await.map(|_| sum.len())
        });
        let mut windows = 0;
        for _ in 0..200 {
            paced.write_all(&[0; 3000]).await.expect("it is read");
            windows += u32::from(paced.waiting.is_none());
        }
        drop(paced);
        assert_eq!(reader.await.expect("no panic").expect("read"), 600_000);
        assert!(windows > 0);
    }

    #[test]
    fn what_is_taken_counts_until_it_is_enough_or_nothing_waits() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
        let _guard = runtime.enter();
        let (mut paced, _far) = paced(WINDOW);
        let wait = |paced: &mut Paced<_>| paced.waiting = Some((Box::pin(sleep(WINDOW)), 0));
        wait(&mut paced);
        paced.written(LEAST - 1, usize::MAX);
        assert!(paced.waiting.is_some());
        paced.written(1, usize::MAX);
        assert!(paced.waiting.is_none());
        wait(&mut paced);
        paced.written(7, 7);
        assert!(paced.waiting.is_none());
    }
}
