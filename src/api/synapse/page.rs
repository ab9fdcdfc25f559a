//! Sorting and paging of lists, as Synapse's tools ask for it.

use std::{cmp::Ordering, collections::HashMap};

use serde_json::Value;

use crate::error::Error;

/// Items of a page when nobody says how many.
const USUAL: usize = 100;
/// The most items of a page, as tools ask for at most; what is more comes with the next.
const MOST: usize = 1000;

/// A page of a list.
pub(super) struct Page {
    pub(super) items: Vec<Value>,
    /// Where it starts.
    pub(super) from: usize,
    /// How many items a page has.
    pub(super) limit: usize,
    /// How many items the list has.
    pub(super) total: usize,
}

impl Page {
    /// Where the next page starts, if there is one.
    pub(super) fn next(&self) -> Option<usize> {
        let end = self.from + self.items.len();
        (end < self.total).then_some(end)
    }

    /// Where the page before starts, if there is one.
    pub(super) fn previous(&self) -> Option<usize> {
        (self.from > 0).then(|| self.from.saturating_sub(self.limit))
    }
}

/// The part of `items` that `query` asks for, sorted by one of `fields`, the first where it names none. Items are in a
/// stable order already.
pub(super) fn page(mut items: Vec<Value>, query: &HashMap<String, String>, fields: &[&str]) -> Result<Page, Error> {
    let wanted = query.get("order_by").map_or(fields[0], String::as_str);
    if !fields.contains(&wanted) {
        return Err(Error::invalid_param("The list cannot be sorted by that"));
    }
    items.sort_by(|a, b| compare(&a[wanted], &b[wanted]));
    match query.get("dir").map(String::as_str) {
        None | Some("f") => {}
        Some("b") => items.reverse(),
        Some(_) => return Err(Error::invalid_param("dir is f or b")),
    }
    let number = |name: &str, usual: usize| match query.get(name) {
        None => Ok(usual),
        Some(text) => text.parse::<usize>().map_err(|_| Error::invalid_param("A number was expected")),
    };
    let (from, limit) = (number("from", 0)?, number("limit", USUAL)?.min(MOST));
    let total = items.len();
    let items = items.into_iter().skip(from).take(limit).collect();
    Ok(Page { items, from, limit, total })
}

fn compare(a: &Value, b: &Value) -> Ordering {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => a.as_u64().cmp(&b.as_u64()),
        (Value::Bool(a), Value::Bool(b)) => a.cmp(b),
        (Value::String(a), Value::String(b)) => a.cmp(b),
        // What has no value comes first.
        (a, b) => b.is_null().cmp(&a.is_null()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn ask(pairs: &[(&str, &str)]) -> Result<Vec<u64>, ()> {
        let items = vec![json!({"n": 1, "s": null}), json!({"n": 3, "s": "a"}), json!({"n": 2, "s": "b"})];
        let query = pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let page = page(items, &query, &["n", "s"]).map_err(drop)?;
        Ok(page.items.iter().map(|item| item["n"].as_u64().unwrap()).collect())
    }

    #[test]
    fn lists_are_sorted_and_cut() {
        assert_eq!(ask(&[]), Ok(vec![1, 2, 3]));
        assert_eq!(ask(&[("dir", "b")]), Ok(vec![3, 2, 1]));
        assert_eq!(ask(&[("order_by", "s")]), Ok(vec![1, 3, 2]));
        assert_eq!(ask(&[("from", "1"), ("limit", "1")]), Ok(vec![2]));
        assert_eq!(ask(&[("from", "9")]), Ok(vec![]));
        for odd in [("order_by", "x"), ("dir", "x"), ("limit", "-1"), ("from", "x")] {
            assert!(ask(&[odd]).is_err());
        }
    }
}
