//! A web server on loopback: a page for previews, and a push gateway that fails.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::mpsc::{Receiver, Sender, channel},
    thread,
    time::Duration,
};

/// How long something that must be asked for may take.
const PATIENCE: Duration = Duration::from_secs(60);

pub(super) struct Web {
    address: SocketAddr,
    asked: Receiver<String>,
}

impl Web {
    /// Serves a page with this title everywhere; who posts is told of an error with this text.
    pub(super) fn start(title: &str, error: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        let (sender, asked) = channel();
        let page = format!("<html><head><title>{title}</title></head><body></body></html>");
        let error = format!("{{\"error\":\"{error}\"}}");
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (page, error, sender) = (page.clone(), error.clone(), sender.clone());
                thread::spawn(move || serve(stream, &page, &error, &sender));
            }
        });
        Self { address, asked }
    }

    pub(super) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// Waits until something with `part` in its path was asked for.
    pub(super) fn wait_for(&self, part: &str) {
        while !self.asked.recv_timeout(PATIENCE).expect("it is asked for").contains(part) {}
    }
}

/// One request of a connection.
fn serve(stream: TcpStream, page: &str, error: &str, asked: &Sender<String>) -> Option<()> {
    let mut stream = BufReader::new(stream);
    let mut line = String::new();
    stream.read_line(&mut line).ok()?;
    let posts = line.starts_with("POST");
    let path = line.split(' ').nth(1)?.to_owned();
    let mut length = 0;
    while line.trim_end() != "" {
        line.clear();
        stream.read_line(&mut line).ok()?;
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().ok()?;
        }
    }
    stream.read_exact(&mut vec![0; length]).ok()?;
    let (status, kind, body) =
        if posts { ("400 Bad", "application/json", error) } else { ("200 OK", "text/html; charset=utf-8", page) };
    let answer = format!(
        "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.get_mut().write_all(answer.as_bytes()).ok()?;
    asked.send(path).ok()
}
