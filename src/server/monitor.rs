//! What monitoring asks: `/metrics` on a listener of its own, and the hourly counts in the log, if wanted.

use std::{convert::Infallible, net::SocketAddr, sync::Arc, time::Duration};

use axum::{
    Router,
    body::Body,
    extract::State,
    http::{Request, header::CONTENT_TYPE},
    response::IntoResponse,
    routing::get,
};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinSet,
};
use tower::ServiceExt;

use super::Error;
use crate::{
    config,
    engine::Engine,
    log,
    metrics::{Metrics, Outcome},
};

/// How long a collector may take to ask and to read. There are one or two of them, and they are served one by one.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long after an hour's end its line is written: surely in the next one.
const AFTER: Duration = Duration::from_secs(1);

/// Starts what `config` asks for; the address listened on, if any.
pub(super) async fn start(
    config: &config::Metrics,
    engine: &Arc<Engine>,
    tasks: &mut JoinSet<()>,
    stop: &watch::Receiver<bool>,
) -> Result<Option<SocketAddr>, Error> {
    if config.log {
        tasks.spawn(report(Arc::clone(&engine.metrics), stop.clone()));
    }
    let Some(address) = config.listen else { return Ok(None) };
    let listener = TcpListener::bind(address).await.map_err(|_| Error::Listen)?;
    let address = listener.local_addr().map_err(|_| Error::Listen)?;
    let router = Router::new().route("/metrics", get(metrics)).with_state(Arc::clone(engine));
    tasks.spawn(serve(listener, router, stop.clone()));
    Ok(Some(address))
}

/// One collector after the other, one request each. Without the headers for browsers: no web page has any business here.
async fn serve(listener: TcpListener, router: Router, mut stop: watch::Receiver<bool>) {
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                // Who is slow is cut off; a collector that fails asks again.
                Ok((stream, _)) => drop(tokio::time::timeout(PATIENCE, answer(stream, router.clone())).await),
                Err(_) => tokio::time::sleep(AFTER).await,
            },
            () = async { drop(stop.wait_for(|stop| *stop).await) } => return,
        }
    }
}

async fn answer(stream: TcpStream, router: Router) -> hyper::Result<()> {
    let service = service_fn(move |request: Request<Incoming>| {
        let router = router.clone();
        async move {
            Ok::<_, Infallible>(router.oneshot(request.map(Body::new)).await.unwrap_or_else(|never| match never {}))
        }
    });
    let mut builder = http1::Builder::new();
    builder.keep_alive(false).timer(TokioTimer::new()).serve_connection(TokioIo::new(stream), service).await
}

async fn metrics(State(engine): State<Arc<Engine>>) -> impl IntoResponse {
    let ready = engine.check().await.is_ok();
    ([(CONTENT_TYPE, Metrics::CONTENT_TYPE)], engine.metrics.text(ready))
}

/// Writes one line an hour, when enough accounts were active in it.
async fn report(metrics: Arc<Metrics>, mut stop: watch::Receiver<bool>) {
    loop {
        tokio::select! {
            () = tokio::time::sleep(metrics.rest_of_hour() + AFTER) => {}
            _ = stop.wait_for(|stop| *stop) => return,
        }
        if let Some(hour) = metrics.last_hour() {
            log::info!(
                "requests of the last hour",
                accounts = hour.active,
                answered = hour.of(Outcome::Answered),
                refused = hour.of(Outcome::Refused),
                limited = hour.of(Outcome::Limited),
                failed = hour.of(Outcome::Failed)
            );
        }
    }
}
