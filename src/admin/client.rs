//! The administrator's side of the socket.

use std::{
    io::{BufRead, BufReader, Write},
    os::unix::net::UnixStream,
};

use super::{
    protocol::{Answer, Request},
    socket,
};
use crate::config::Config;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Nobody listens at the socket's path.
    #[error("no server is running with this configuration, or it belongs to another user")]
    NotRunning,
    /// The server hung up or answered something else.
    #[error("the server did not answer")]
    NoAnswer,
}

/// Asks the server that runs with `config`, and waits for its answer.
pub fn ask(config: &Config, request: &Request) -> Result<Answer, Error> {
    let mut stream = UnixStream::connect(socket::path(config)).map_err(|_| Error::NotRunning)?;
    let mut line = serde_json::to_vec(request).map_err(|_| Error::NoAnswer)?;
    line.push(b'\n');
    stream.write_all(&line).map_err(|_| Error::NoAnswer)?;
    zeroize::Zeroize::zeroize(&mut line);
    let mut answer = String::new();
    BufReader::new(stream).read_line(&mut answer).map_err(|_| Error::NoAnswer)?;
    serde_json::from_str(&answer).map_err(|_| Error::NoAnswer)
}
