//! Accepting and serving connections, all of it bounded.

use std::{convert::Infallible, pin::pin, sync::Arc, time::Duration};

use axum::{Router, body::Body};
use hyper::{body::Incoming as HyperBody, service::service_fn};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::{conn::auto::Builder, graceful::GracefulShutdown},
};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

use super::listener::{Incoming, Listener};
use crate::{api, log};

/// How long a request's head may take, and how long a kept connection may idle before the next one: browsers reuse
/// connections within seconds; whoever sends a head byte by byte holds one slot this long.
const HEAD_TIMEOUT: Duration = Duration::from_mins(1);
/// The largest request head: a filter as inline JSON in the query is the largest legitimate part.
const MAX_HEAD: u32 = 64 * 1024;
/// Requests in flight on one HTTP/2 connection; a client has two long polls and some loads of media.
const MAX_STREAMS: u32 = 64;
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
pub(super) async fn accept(listener: Listener, router: Router, slots: Slots, mut stop: watch::Receiver<bool>) {
    let builder = builder();
    let graceful = GracefulShutdown::new();
    loop {
        // Both arms are cancel-safe: a slot not used is given back, and a connection not taken stays in the queue.
        let next = async { (slots.take().await, listener.accept().await) };
        tokio::select! {
            (slot, accepted) = next => match accepted {
                Ok(incoming) => { tokio::spawn(serve(incoming, builder.clone(), router.clone(), slot, graceful.watcher())); }
                Err(_) => tokio::time::sleep(ACCEPT_PAUSE).await,
            },
            () = async { drop(stop.wait_for(|stop| *stop).await) } => break,
        }
    }
    drop(listener);
    graceful.shutdown().await;
}

async fn serve(
    incoming: Incoming,
    builder: Builder<TokioExecutor>,
    router: Router,
    slot: OwnedSemaphorePermit,
    watcher: hyper_util::server::graceful::Watcher,
) {
    let Ok(stream) = incoming.establish().await else {
        log::debug!("a handshake failed");
        return;
    };
    let builder = if stream.is_http2() { builder.http2_only() } else { builder.http1_only() };
    let service = service_fn(move |request: hyper::Request<HyperBody>| {
        let router = router.clone();
        async move { Ok::<_, Infallible>(api::answer(router, request.map(Body::new)).await) }
    });
    let connection = pin!(watcher.watch(builder.serve_connection(TokioIo::new(stream), service)));
    // A connection that ends badly is the peer's business.
    let _ = connection.await;
    drop(slot);
}

fn builder() -> Builder<TokioExecutor> {
    let mut builder = Builder::new(TokioExecutor::new());
    // A client that closes its side has hung up: its long poll is dropped at once.
    builder
        .http1()
        .half_close(false)
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .max_buf_size(usize::try_from(MAX_HEAD).unwrap_or(usize::MAX));
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(MAX_STREAMS)
        .max_header_list_size(MAX_HEAD)
        .keep_alive_interval(PING.0)
        .keep_alive_timeout(PING.1);
    builder
}
