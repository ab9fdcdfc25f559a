//! System calls of the server while a client writes one thing at a time: before each answer a sync has completed, on
//! the file that was written last before it.

use std::{collections::BTreeMap, fs, path::Path};

use serde_json::json;

use crate::{
    http::escape,
    process::{Process, text},
};

pub(crate) fn run(binary: &Path, writes: u32) {
    let directory = tempfile::tempdir().expect("a scratch directory");
    let trace = directory.path().join("trace");
    let wrapper = [
        "strace",
        "-f",
        "-qq",
        "-y",
        "-s",
        "64",
        "-e",
        "trace=write,pwrite64,writev,sendto,sendmsg,fdatasync,fsync",
        "-o",
    ];
    let mut wrapper: Vec<String> = wrapper.iter().map(|word| (*word).to_owned()).collect();
    wrapper.push(trace.display().to_string());
    let mut server = Process::wrapped(binary, directory.path(), wrapper);
    let mut client = server.register("tracer", "a long password of the tracer", "tracer");
    let room = client.post("/_matrix/client/v3/createRoom", &json!({})).expect("an answer");
    let room = text(&room.json(), "room_id");
    for count in 0..writes {
        let path = format!("/_matrix/client/v3/rooms/{}/send/m.room.message/t{count}", escape(&room));
        let answer = client.put(&path, &json!({ "msgtype": "m.text", "body": "traced" })).expect("an answer");
        assert_eq!(answer.status, 200);
        let path = format!("/_matrix/client/v3/user/@tracer:localhost/account_data/traced.{}", count % 3);
        assert_eq!(client.put(&path, &json!({ "count": count })).expect("an answer").status, 200);
    }
    server.stop();
    let lines = fs::read_to_string(&trace).expect("a trace");
    let checked = check(&lines);
    assert!(checked >= 2 * writes, "only {checked} answers were seen in the trace");
    println!("trace: {checked} answers, each after a completed sync of every log file written before it");
}

/// Follows the trace: which log files have bytes that are not synced, at each answer to the client.
fn check(trace: &str) -> u32 {
    let mut dirty: BTreeMap<String, u32> = BTreeMap::new();
    let mut pending: BTreeMap<String, String> = BTreeMap::new();
    let mut checked = 0;
    for line in trace.lines() {
        let Some((thread, call)) = line.split_once(' ') else { continue };
        let call = call.trim_start();
        let (begun, done) = match (call.ends_with("<unfinished ...>"), call.starts_with("<... ")) {
            (true, _) => (true, false),
            (_, true) => (false, true),
            _ => (true, true),
        };
        let subject = if done && !begun { pending.remove(thread).unwrap_or_default() } else { call.to_owned() };
        if begun && !done {
            pending.insert(thread.to_owned(), call.to_owned());
        }
        let name = subject.split('(').next().unwrap_or_default();
        let file = subject.split_once('<').and_then(|(_, rest)| rest.split_once('>')).map_or("", |(file, _)| file);
        let is_log = file.ends_with(".log");
        match name {
            "write" | "pwrite64" | "writev" if is_log && begun => *dirty.entry(file.to_owned()).or_default() += 1,
            "fdatasync" | "fsync" if is_log && done => {
                assert!(call.contains("= 0"), "a sync failed: {line}");
                dirty.remove(file);
            }
            "write" | "writev" | "sendto" | "sendmsg" if begun && subject.contains("HTTP/1.1 200") => {
                assert!(dirty.is_empty(), "an answer left before a sync: {line}\nnot synced: {dirty:?}");
                checked += 1;
            }
            _ => {}
        }
    }
    checked
}

#[cfg(test)]
mod tests {
    use super::check;

    const WRITE: &str = "7 write(9</d/soup/000004.log>, \"x\", 1) = 1\n";
    const SYNC: &str = "7 fdatasync(9</d/soup/000004.log>) = 0\n";
    const ANSWER: &str = "8 sendto(12<socket:[3]>, \"HTTP/1.1 200 OK\\r\\n\", 17, 0, NULL, 0) = 17\n";

    #[test]
    fn an_answer_after_the_sync_is_fine() {
        assert_eq!(check(&[WRITE, SYNC, ANSWER].concat()), 1);
    }

    #[test]
    #[should_panic(expected = "before a sync")]
    fn an_answer_before_the_sync_is_found() {
        check(&[WRITE, ANSWER, SYNC].concat());
    }

    #[test]
    #[should_panic(expected = "before a sync")]
    fn a_sync_that_has_not_returned_does_not_count() {
        let begun = "7 fdatasync(9</d/soup/000004.log> <unfinished ...>\n";
        check(&[WRITE, begun, ANSWER, "7 <... fdatasync resumed>) = 0\n"].concat());
    }
}
