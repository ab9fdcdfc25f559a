//! Work that goes on when its client hangs up.

use crate::error::Error;

/// Runs `work` to its end even if the request it belongs to is dropped: for handlers that change more than one thing.
pub(super) async fn finish<T, E>(work: impl Future<Output = Result<T, E>> + Send + 'static) -> Result<T, Error>
where
    T: Send + 'static,
    E: Into<Error> + Send + 'static,
{
    match tokio::spawn(work).await {
        Ok(done) => done.map_err(Into::into),
        Err(stopped) => {
            crate::log::error!(
                "a request's work did not end",
                reason = if stopped.is_panic() { "panic" } else { "stop" }
            );
            Err(Error::internal())
        }
    }
}
