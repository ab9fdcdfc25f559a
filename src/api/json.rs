//! JSON at the edge: a bound on nesting, and answers that ruma's types cannot express.

use axum::http::Response;
use ruma::{
    api::{OutgoingBodyJson, OutgoingResponse, error::IntoHttpError},
    exports::serde::Serialize,
};

use serde_json::value::RawValue;

use crate::error::Error;

/// How deep a request's JSON may nest. Parsers give up at 128; what is stored is wrapped in a few more levels, and
/// must still be readable then. Real events stay below ten.
pub const MAX_DEPTH: usize = 64;

/// Refuses a `body` that is not UTF-8, that has something behind its array or object, or that nests deeper than
/// [`MAX_DEPTH`]: parsers pass over what they do not need, unread. Says nothing about anything else.
pub fn check(body: &[u8]) -> Result<(), Error> {
    if std::str::from_utf8(body).is_err() {
        return Err(Error::not_json("The body is not UTF-8"));
    }
    let (mut depth, mut in_string, mut escaped, mut ended) = (0_usize, false, false, false);
    for &byte in body {
        if ended && !byte.is_ascii_whitespace() {
            return Err(Error::not_json("The body is more than one value"));
        }
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            b'{' | b'[' if !in_string => depth += 1,
            b'}' | b']' if !in_string => {
                depth = depth.saturating_sub(1);
                ended = depth == 0;
            }
            _ => {}
        }
        if depth > MAX_DEPTH {
            return Err(Error::bad_json("The body nests too deeply"));
        }
    }
    Ok(())
}

/// A 200 answer with an arbitrary JSON body.
pub struct Json(pub serde_json::Value);

/// The body of a [`Json`] answer.
#[derive(Serialize, OutgoingBodyJson)]
#[serde(transparent)]
pub struct JsonBody(serde_json::Value);

impl OutgoingResponse for Json {
    type Body = JsonBody;

    fn try_into_http_response_inner(self) -> Result<Response<JsonBody>, IntoHttpError> {
        Ok(Response::new(JsonBody(self.0)))
    }
}

/// A 200 answer whose body is JSON text already.
pub struct RawJson(pub Box<RawValue>);

/// The body of a [`RawJson`] answer.
#[derive(Serialize, OutgoingBodyJson)]
#[serde(transparent)]
pub struct RawJsonBody(Box<RawValue>);

impl OutgoingResponse for RawJson {
    type Body = RawJsonBody;

    fn try_into_http_response_inner(self) -> Result<Response<RawJsonBody>, IntoHttpError> {
        Ok(Response::new(RawJsonBody(self.0)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nesting_is_bounded_and_strings_do_not_count() {
        let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        assert!(check(nested(MAX_DEPTH).as_bytes()).is_ok());
        assert!(check(nested(MAX_DEPTH + 1).as_bytes()).is_err());
        assert!(check(format!(r#"{{"a\"{}": "\\{}"}}"#, "[".repeat(99), "{".repeat(99)).as_bytes()).is_ok());
        assert!(check(format!("[{}1]", "[1],".repeat(500)).as_bytes()).is_ok());
    }

    #[test]
    fn a_body_is_one_value_in_utf_8() {
        for body in [&b"{} \r\n\t"[..], b"", b"1", b"[{\"a\":[]}]", "\"\u{e9}\"".as_bytes()] {
            assert!(check(body).is_ok());
        }
        for body in [&b"{}{}"[..], b"[1]x", b"{},", b"{\"a\":\"\xff\"}", b"{}\0"] {
            assert!(check(body).is_err());
        }
    }
}
