//! The server's side of the socket.

use std::{fs, io, os::unix::fs::PermissionsExt, path::PathBuf, sync::Arc, time::Duration};

use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::{UnixListener, UnixStream},
    sync::{Semaphore, watch},
};

use super::protocol::{Answer, Request};
use crate::{api::BoxFuture, config::Config};

/// The longest request line: a name and a password.
const MAX_LINE: u64 = 16 * 1024;
/// Connections at once: administrators are few.
const MAX_CONNECTIONS: usize = 8;
/// How long a line may take to arrive.
const PATIENCE: Duration = Duration::from_secs(10);

/// Does what an administrator asks.
pub trait Dispatch: Send + Sync + 'static {
    /// Does `request`; failures are answers too.
    fn dispatch(&self, request: Request) -> BoxFuture<'_, Answer>;
}

/// The socket; its file goes with it.
pub struct Socket {
    listener: UnixListener,
    path: PathBuf,
}

impl Socket {
    /// Makes the socket of `config`, replacing one that a former process left behind.
    pub fn bind(config: &Config) -> io::Result<Self> {
        let path = path(config);
        if std::os::unix::net::UnixStream::connect(&path).is_ok() {
            return Err(io::ErrorKind::AddrInUse.into());
        }
        let _ = fs::remove_file(&path);
        let listener = UnixListener::bind(&path)?;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600))?;
        Ok(Self { listener, path })
    }

    /// Answers requests until told to stop.
    pub async fn serve(self, dispatch: Arc<dyn Dispatch>, mut stop: watch::Receiver<bool>) {
        let slots = Arc::new(Semaphore::new(MAX_CONNECTIONS));
        loop {
            tokio::select! {
                accepted = self.listener.accept() => {
                    let Ok((stream, _)) = accepted else { continue };
                    // Too many at once are turned away, not queued.
                    let (Ok(slot), true) = (Arc::clone(&slots).try_acquire_owned(), is_trusted(&stream)) else { continue };
                    let dispatch = Arc::clone(&dispatch);
                    tokio::spawn(async move {
                        let _ = converse(stream, &*dispatch).await;
                        drop(slot);
                    });
                }
                () = async { drop(stop.wait_for(|stop| *stop).await) } => break,
            }
        }
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}

/// Where the socket of `config` is.
#[must_use]
pub fn path(config: &Config) -> PathBuf {
    config.admin.socket.clone().unwrap_or_else(|| config.storage.data.join("admin.sock"))
}

/// Only the server's user and root: the file's mode says so too, but only after it exists.
fn is_trusted(stream: &UnixStream) -> bool {
    let own = rustix::process::geteuid().as_raw();
    stream.peer_cred().is_ok_and(|peer| peer.uid() == own || peer.uid() == 0)
}

/// One request, one answer.
async fn converse(stream: UnixStream, dispatch: &dyn Dispatch) -> io::Result<()> {
    let (reader, mut writer) = stream.into_split();
    let mut line = String::new();
    let mut reader = BufReader::new(reader.take(MAX_LINE));
    tokio::time::timeout(PATIENCE, reader.read_line(&mut line)).await.map_err(|_| io::ErrorKind::TimedOut)??;
    let answer = match serde_json::from_str(&line) {
        Ok(request) => dispatch.dispatch(request).await,
        Err(_) => Answer::failed("this server does not know that request"),
    };
    zeroize::Zeroize::zeroize(&mut line);
    let mut answer = serde_json::to_vec(&answer).map_err(|_| io::ErrorKind::InvalidData)?;
    answer.push(b'\n');
    writer.write_all(&answer).await
}
