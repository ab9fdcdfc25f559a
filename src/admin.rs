//! The administrator's socket: `lethe user`, `lethe token` and others talk through it to the running server.
//!
//! One JSON object a line in each direction, over a Unix socket that only the server's own user (and root) may use.
//! Owns the protocol and the socket; what a request does is behind [`Dispatch`].

mod client;
mod engine;
mod protocol;
mod socket;

pub use self::{
    client::{Error as ClientError, ask},
    engine::Administrator,
    protocol::{Answer, Request},
    socket::{Dispatch, Socket, path as socket_path},
};
