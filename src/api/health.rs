//! Whether the server answers: for supervisors and proxies.

use axum::routing::get;

use crate::api::Routes;

pub(super) fn routes(router: Routes) -> Routes {
    router.route("/health", get(|| async { "OK" }))
}
