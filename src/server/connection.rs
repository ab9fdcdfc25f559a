//! Accepting and serving connections, all of it bounded.

use std::{convert::Infallible, pin::pin, sync::Arc, time::Duration};

use axum::{
    Router,
    body::Body,
    http::{Request, Response},
};
use hyper::{
    body::Incoming as HyperBody,
    server::conn::{http1, http2},
    service::service_fn,
};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::graceful::GracefulConnection,
};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

use super::{
    listener::{Incoming, Listener},
    pace::Paced,
    peer::{Peer, Peers},
};
use crate::{api, log};

/// How long a request's head may take over HTTP/1, and how long a kept connection may idle before the next one: browsers
/// reuse connections within seconds; whoever sends a head byte by byte holds one slot this long.
const HEAD_TIMEOUT: Duration = Duration::from_mins(1);
/// How long a connection may be without a request in hand. Over HTTP/2, where waiting syncs keep it busy.
const IDLE: Duration = Duration::from_mins(2);
/// The largest request head: a filter as inline JSON in the query is the largest legitimate part.
const MAX_HEAD: u32 = 64 * 1024;
/// Requests in flight on one HTTP/2 connection; a client has two long polls and some loads of media.
const MAX_STREAMS: u32 = 64;
/// What one stream may send before the server has read it, bytes: as much as is read at once anyway.
const STREAM_WINDOW: u32 = 64 * 1024;
/// What all streams of a connection may send so, bytes: an upload of 2 MB/s over a line of 100 ms.
const CONNECTION_WINDOW: u32 = 256 * 1024;
/// What one stream buffers of an answer, bytes.
const SEND_BUFFER: usize = 64 * 1024;
/// Streams a peer may reset before they were answered, or that break rules, before its connection ends: rapid resets
/// cost the server and not the peer (CVE-2023-44487). Clients reset some when a user leaves a page.
const RESETS: usize = 64;
/// How often a silent HTTP/2 peer is asked whether it is there, and how long it may take to answer.
const PING: (Duration, Duration) = (Duration::from_mins(1), Duration::from_secs(20));
/// The pause after a failed accept: the usual cause is a lack of file descriptors, which a busy loop prolongs.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// The connections that may be open at once, over all listeners.
#[derive(Clone)]
pub(super) struct Slots(Arc<Semaphore>);

impl Slots {
    pub(super) fn new(count: u32) -> Self {
        Self(Arc::new(Semaphore::new(usize::try_from(count).unwrap_or(Semaphore::MAX_PERMITS))))
    }

    async fn take(&self) -> OwnedSemaphorePermit {
        Arc::clone(&self.0).acquire_owned().await.expect("the semaphore is never closed")
    }
}

/// Accepts until told to stop, then waits for the connections to finish their requests.
pub(super) async fn accept(
    listener: Listener,
    router: Router,
    peers: Peers,
    slots: Slots,
    mut stop: watch::Receiver<bool>,
) {
    let protocols = Protocols::new();
    // Every connection holds a receiver: once they are gone, so are the connections.
    let (served, serving) = watch::channel(());
    loop {
        // Both arms are cancel-safe: a slot not used is given back, and a connection not taken stays in the queue.
        let next = async { (slots.take().await, listener.accept().await) };
        tokio::select! {
            (slot, accepted) = next => match accepted {
                Ok((incoming, address)) => {
                    // A peer with too many connections gets no answer: it would cost what is to be saved.
                    let Some(peer) = peers.welcome(address) else { continue };
                    let guest = Guest { peer: Arc::new(peer), peers: peers.clone(), router: router.clone() };
                    let (protocols, stop, serving) = (protocols.clone(), stop.clone(), serving.clone());
                    tokio::spawn(async move {
                        serve(incoming, protocols, guest, stop).await;
                        drop((slot, serving));
                    });
                }
                Err(_) => tokio::time::sleep(ACCEPT_PAUSE).await,
            },
            () = async { drop(stop.wait_for(|stop| *stop).await) } => break,
        }
    }
    drop((listener, serving));
    served.closed().await;
}

/// What answers a connection's requests.
#[derive(Clone)]
struct Guest {
    peer: Arc<Peer>,
    peers: Peers,
    router: Router,
}

impl Guest {
    async fn answer(self, mut request: Request<HyperBody>) -> Response<Body> {
        let source = self.peers.source(&self.peer, request.headers_mut());
        request.extensions_mut().insert(source);
        api::answer(self.router, request.map(Body::new)).await
    }
}

async fn serve(incoming: Incoming, protocols: Protocols, guest: Guest, stop: watch::Receiver<bool>) {
    let Ok(stream) = incoming.establish().await else {
        log::debug!("a handshake failed");
        return;
    };
    let is_http2 = stream.is_http2();
    let stream = TokioIo::new(Paced::new(stream));
    let busy = Busy::default();
    let service = service_fn(|request: Request<HyperBody>| {
        let (guest, in_hand) = (guest.clone(), busy.begin());
        async move {
            let answer = guest.answer(request).await;
            drop(in_hand);
            Ok::<_, Infallible>(answer)
        }
    });
    if is_http2 {
        drive(protocols.two.serve_connection(stream, service), &busy, stop).await;
    } else {
        drive(protocols.one.serve_connection(stream, service), &busy, stop).await;
    }
}

/// Serves a connection until it ends, has been idle, or the server stops. A connection that ends badly is the peer's
/// business.
async fn drive(connection: impl GracefulConnection, busy: &Busy, mut stop: watch::Receiver<bool>) {
    let mut connection = pin!(connection);
    tokio::select! {
        _ = &mut connection => return,
        () = busy.idle() => {}
        () = async { drop(stop.wait_for(|stop| *stop).await) } => {}
    }
    connection.as_mut().graceful_shutdown();
    // Requests in hand are answered; how long that may take is bounded for each of them.
    let _ = connection.await;
}

/// How many requests of a connection are being answered.
#[derive(Default)]
struct Busy(Arc<watch::Sender<u32>>);

struct InHand(Arc<watch::Sender<u32>>);

impl Busy {
    fn begin(&self) -> InHand {
        self.0.send_modify(|count| *count += 1);
        InHand(Arc::clone(&self.0))
    }

    /// Returns once none has been for [`IDLE`].
    async fn idle(&self) {
        let mut count = self.0.subscribe();
        loop {
            if *count.borrow_and_update() > 0 {
                let _ = count.changed().await;
                continue;
            }
            tokio::select! {
                () = tokio::time::sleep(IDLE) => return,
                _ = count.changed() => {}
            }
        }
    }
}

impl Drop for InHand {
    fn drop(&mut self) {
        self.0.send_modify(|count| *count -= 1);
    }
}

/// How to speak either protocol.
#[derive(Clone)]
struct Protocols {
    one: http1::Builder,
    two: http2::Builder<TokioExecutor>,
}

impl Protocols {
    fn new() -> Self {
        let (mut one, mut two) = (http1::Builder::new(), http2::Builder::new(TokioExecutor::new()));
        let most = usize::try_from(MAX_HEAD).unwrap_or(usize::MAX);
        // A client that closes its side has hung up: its long poll is dropped at once.
        one.half_close(false)
            .timer(TokioTimer::new())
            .header_read_timeout(HEAD_TIMEOUT)
            .max_header_size(most)
            .max_buf_size(most);
        two.timer(TokioTimer::new())
            .max_concurrent_streams(MAX_STREAMS)
            .max_header_list_size(MAX_HEAD)
            .initial_stream_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .max_send_buf_size(SEND_BUFFER)
            .max_pending_accept_reset_streams(RESETS)
            .max_local_error_reset_streams(RESETS)
            .keep_alive_interval(PING.0)
            .keep_alive_timeout(PING.1);
        Self { one, two }
    }
}
