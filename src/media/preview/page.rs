//! What a page says about itself: OpenGraph's properties, else Twitter's, else its title and description.
//!
//! Pages are read as a stream of tags. No tree is built, so no nesting can be too deep; how much is read was bounded
//! before.

use encoding_rs::Encoding;
use html5gum::{HtmlString, StartTag, Token, Tokenizer, emitters::default::DefaultEmitter};
use serde_json::Map;
use url::Url;

use super::{Preview, text};

/// The properties that are passed on, and the most characters of each. What would make a client load something from
/// elsewhere is not among them.
const PROPERTIES: &[(&str, usize)] = &[
    ("og:title", 300),
    ("og:description", 1000),
    ("og:site_name", 200),
    ("og:type", 50),
    ("og:url", 2000),
    ("og:locale", 20),
    ("og:image:alt", 500),
    ("article:published_time", 50),
];
/// Names under which pages say the same, the best first.
const INSTEAD: &[(&str, &str)] = &[
    ("twitter:title", "og:title"),
    ("twitter:description", "og:description"),
    ("description", "og:description"),
    ("twitter:image:alt", "og:image:alt"),
];
/// Where pages name their picture, the best first.
const PICTURES: &[&str] =
    &["og:image", "og:image:secure_url", "og:image:url", "twitter:image", "twitter:image:src", "image_src", "image"];

/// What was found.
#[derive(Default)]
pub(super) struct Facts {
    /// What to pass on.
    pub(super) properties: Preview,
    /// Where its picture is, as written.
    pub(super) picture: Option<String>,
    /// What addresses in it are relative to, as written.
    base: Option<String>,
}

impl Facts {
    /// What addresses are relative to in this page, which is at `page`.
    pub(super) fn base(&self, page: &Url) -> Url {
        self.base.as_ref().and_then(|base| page.join(base).ok()).unwrap_or_else(|| page.clone())
    }
}

/// Reads a page.
pub(super) fn read(page: &str) -> Facts {
    let mut said = Said::default();
    for token in tokens(page.as_bytes()) {
        match token {
            Token::StartTag(tag) => said.begin(&tag),
            Token::String(text) if said.in_title => said.title.push_str(&String::from_utf8_lossy(&text)),
            Token::EndTag(tag) if *tag.name == b"title" => said.in_title = false,
            Token::EndTag(tag) if *tag.name == b"svg" => said.in_drawing = false,
            _ => {}
        }
    }
    said.sum_up()
}

/// The encoding that the first bytes of a page name.
pub(super) fn encoding(head: &[u8]) -> Option<&'static Encoding> {
    tokens(head).find_map(|token| {
        let Token::StartTag(tag) = token else { return None };
        if *tag.name != b"meta" {
            return None;
        }
        let named = attribute(&tag, b"charset").and_then(|label| Encoding::for_label(label.as_bytes()));
        named.or_else(|| {
            let says = attribute(&tag, b"http-equiv")?.eq_ignore_ascii_case("content-type");
            attribute(&tag, b"content").filter(|_| says).and_then(|content| text::label(&content.to_ascii_lowercase()))
        })
    })
}

/// What a page has said so far; of everything the first counts.
#[derive(Default)]
struct Said {
    named: Map<String, serde_json::Value>,
    title: String,
    titled: bool,
    in_title: bool,
    in_drawing: bool,
    base: Option<String>,
}

impl Said {
    fn begin(&mut self, tag: &StartTag<()>) {
        match tag.name.as_slice() {
            b"meta" => {
                let name = [&b"property"[..], b"name", b"itemprop"].into_iter().find_map(|name| attribute(tag, name));
                if let (Some(name), Some(content)) = (name, attribute(tag, b"content")) {
                    self.note(name.trim().to_ascii_lowercase(), &content);
                }
            }
            b"link" => {
                let rel = attribute(tag, b"rel").is_some_and(|rel| rel.eq_ignore_ascii_case("image_src"));
                if let Some(address) = attribute(tag, b"href").filter(|_| rel) {
                    self.note("image_src".to_owned(), &address);
                }
            }
            b"base" if self.base.is_none() => self.base = attribute(tag, b"href"),
            b"svg" => self.in_drawing = !tag.self_closing,
            b"title" if !self.titled && !self.in_drawing => (self.in_title, self.titled) = (true, true),
            _ => {}
        }
    }

    fn note(&mut self, name: String, content: &str) {
        let wanted = PROPERTIES.iter().any(|(known, _)| *known == name)
            || INSTEAD.iter().any(|(known, _)| *known == name)
            || PICTURES.contains(&name.as_str());
        if wanted && !content.trim().is_empty() {
            self.named.entry(name).or_insert_with(|| content.trim().into());
        }
    }

    fn sum_up(mut self) -> Facts {
        let text = |value: serde_json::Value| value.as_str().map(ToOwned::to_owned);
        for (name, instead) in INSTEAD {
            if let Some(content) = self.named.remove(*name) {
                self.named.entry((*instead).to_owned()).or_insert(content);
            }
        }
        if !self.title.trim().is_empty() {
            self.named.entry("og:title").or_insert_with(|| self.title.as_str().into());
        }
        let picture = PICTURES.iter().find_map(|name| self.named.remove(*name)).and_then(text);
        let mut properties = Preview::new();
        for (name, longest) in PROPERTIES {
            if let Some(content) = self.named.remove(*name).and_then(text) {
                properties.insert((*name).to_owned(), shortened(&content, *longest).into());
            }
        }
        Facts { properties, picture, base: self.base }
    }
}

fn tokens(page: &[u8]) -> impl Iterator<Item = Token<()>> {
    let mut emitter = DefaultEmitter::default();
    // Without this, the text of scripts would be read as tags.
    emitter.naively_switch_states(true);
    Tokenizer::new_with_emitter(page, emitter).flatten()
}

fn attribute(tag: &StartTag<()>, name: &[u8]) -> Option<String> {
    let value: &HtmlString = tag.attributes.get(name)?;
    Some(String::from_utf8_lossy(value).into_owned())
}

/// `text` with its white space evened out, cut behind `longest` characters.
fn shortened(text: &str, longest: usize) -> String {
    let even = text.split_whitespace().collect::<Vec<_>>().join(" ");
    match even.char_indices().nth(longest) {
        None => even,
        Some((end, _)) => {
            let kept = even.get(..end).unwrap_or_default();
            format!("{}…", kept.trim_end())
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn properties(page: &str) -> serde_json::Value {
        read(page).properties.into()
    }

    #[test]
    fn what_a_page_says_is_found() {
        let page = r#"<!DOCTYPE html><html prefix="og: http://ogp.me/ns#"><head><title> Plain
            title</title><script>var x = "<meta property='og:title' content='no'>";</script>
            <!-- <meta property="og:title" content="no"> -->
            <META Property="OG:Title" Content="The &quot;Rock&quot; &amp; Roll">
            <meta property="og:title" content="second">
            <meta property="og:type" content="video.movie"/><meta property="og:video" content="http://x/v.mp4">
            <meta name="description" content="worse"><meta name=twitter:description content=better>
            <meta property=og:image content="a.png"><base href="/pictures/"></head><body></body></html>"#;
        let facts = read(page);
        assert_eq!(
            serde_json::Value::from(facts.properties.clone()),
            json!({"og:title": "The \"Rock\" & Roll", "og:type": "video.movie", "og:description": "better"})
        );
        assert_eq!(facts.picture.as_deref(), Some("a.png"));
        let at: Url = "http://example.org/x/y".parse().unwrap();
        assert_eq!(facts.base(&at).join("a.png").unwrap().as_str(), "http://example.org/pictures/a.png");
        assert_eq!(read("").base(&at), at);
    }

    #[test]
    fn pages_that_say_less_have_a_title() {
        assert_eq!(properties("<title>Just\n a &lt;title&gt;</title><p>x"), json!({"og:title": "Just a <title>"}));
        assert_eq!(
            properties("<svg><title>a drawing</title></svg><title>the page</title>"),
            json!({"og:title": "the page"})
        );
        assert_eq!(properties("<title></title>plain text < > & <"), json!({}));
        assert_eq!(properties("<meta property=og:title content='  '><title>x"), json!({"og:title": "x"}));
        let link = "<link rel=IMAGE_SRC href=/a.png><meta itemprop=image content=/b.png>";
        assert_eq!(read(link).picture.as_deref(), Some("/a.png"));
    }

    #[test]
    fn long_texts_are_cut() {
        let page = format!("<title>{}</title><meta name=description content='{}'>", "ä".repeat(400), "x ".repeat(3000));
        let found = properties(&page);
        assert_eq!(found["og:title"].as_str().unwrap().chars().count(), 301);
        assert!(found["og:description"].as_str().unwrap().ends_with("x…"));
    }

    #[test]
    fn nesting_costs_nothing() {
        let page = format!("{}<title>deep</title>", "<div>".repeat(200_000));
        assert_eq!(properties(&page), json!({"og:title": "deep"}));
        let wide = format!(
            "<meta {}><title>wide</title>",
            (0..20_000).map(|n| format!("a{n}=b")).collect::<Vec<_>>().join(" ")
        );
        assert_eq!(properties(&wide), json!({"og:title": "wide"}));
    }

    proptest! {
        #[test]
        fn no_page_is_too_much(page in "(<|>|/|meta|title|svg|script| |=|\"|'|&#x[0-9]{1,9};|og:title|content|property|\\PC){0,60}") {
            let found = read(&page);
            for (name, value) in &found.properties {
                let longest = PROPERTIES.iter().find(|(known, _)| known == name).unwrap().1;
                prop_assert!(value.as_str().unwrap().chars().count() <= longest + 1);
            }
            encoding(page.as_bytes());
        }
    }
}
