//! nginx: an access log is on unless the nearest `access_log` up the blocks is `off`.

use std::path::{Path, PathBuf};

use super::{Line, Logs, MOST_DEPTH, MOST_FILES, expand, read};

const REMEDY: &str =
    "In nginx: `access_log off;` and `error_log /dev/null crit;` in every server block in front of Lethe.";

/// A directive, with the block it opens if it does.
struct Directive {
    words: Vec<String>,
    line: Line,
    block: Option<Vec<Directive>>,
}

impl Directive {
    fn name(&self) -> &str {
        self.words.first().map_or("", String::as_str)
    }
}

/// How accesses are logged at some place.
#[derive(Clone)]
enum Access {
    Default,
    Off,
    On(Line),
}

pub(super) fn logs(path: &Path) -> Logs {
    let base = path.parent().map(Path::to_owned).unwrap_or_default();
    let mut reader = Reader { base, left: MOST_FILES, depth: MOST_DEPTH };
    let directives: Vec<Directive> = expand(path).iter().flat_map(|file| reader.file(file)).collect();
    let mut logs = Logs { remedy: REMEDY, ..Logs::default() };
    visit(&directives, &Access::Default, false, &mut logs);
    logs.accesses.dedup();
    logs
}

/// Looks at a block, given what holds around it.
fn visit(block: &[Directive], outside: &Access, quiet_outside: bool, logs: &mut Logs) {
    let own: Vec<&Directive> = block.iter().filter(|directive| directive.name() == "access_log").collect();
    let is_off = |directive: &&Directive| directive.words.get(1).is_some_and(|to| to == "off" || to == "/dev/null");
    let access = match own.iter().find(|directive| !is_off(directive)) {
        Some(directive) => Access::On(directive.line.clone()),
        None if own.is_empty() => outside.clone(),
        None => Access::Off,
    };
    let mut errors = block.iter().filter(|directive| directive.name() == "error_log");
    let quiet = errors.next_back().map_or(quiet_outside, |directive| {
        directive.words.get(2).is_some_and(|level| ["crit", "alert", "emerg"].contains(&level.as_str()))
    });
    if block.iter().any(|directive| directive.name() == "proxy_pass") {
        logs.errors |= !quiet;
        match &access {
            Access::On(line) => logs.accesses.push(line.clone()),
            Access::Default => logs.by_default = true,
            Access::Off => {}
        }
    }
    for directive in block {
        if let Some(inner) = &directive.block {
            visit(inner, &access, quiet, logs);
        }
    }
}

/// Reads files and what they include.
struct Reader {
    /// What relative includes start from.
    base: PathBuf,
    /// Files that may still be read, and blocks and files that may still stand in each other: includes can go in circles.
    left: usize,
    depth: usize,
}

impl Reader {
    fn file(&mut self, path: &Path) -> Vec<Directive> {
        let Some(left) = self.left.checked_sub(1) else { return Vec::new() };
        self.left = left;
        let words = words(&read(path).unwrap_or_default());
        self.block(path, &mut words.into_iter())
    }

    fn block(&mut self, path: &Path, words: &mut dyn Iterator<Item = (usize, String)>) -> Vec<Directive> {
        let Some(depth) = self.depth.checked_sub(1) else { return Vec::new() };
        self.depth = depth;
        let directives = self.directives(path, words);
        self.depth += 1;
        directives
    }

    fn directives(&mut self, path: &Path, words: &mut dyn Iterator<Item = (usize, String)>) -> Vec<Directive> {
        let (mut directives, mut current, mut number) = (Vec::new(), Vec::new(), 0);
        while let Some((at, word)) = words.next() {
            match word.as_str() {
                ";" | "{" => {
                    let text = current.join(" ");
                    let block = (word == "{").then(|| self.block(path, words));
                    let line = Line { file: path.to_owned(), number, text };
                    let directive = Directive { words: std::mem::take(&mut current), line, block };
                    match directive.words.as_slice() {
                        [include, what] if include == "include" => {
                            let files = expand(&self.base.join(what));
                            directives.extend(files.iter().flat_map(|file| self.file(file)));
                        }
                        _ => directives.push(directive),
                    }
                }
                "}" => break,
                _ => {
                    if current.is_empty() {
                        number = at;
                    }
                    current.push(word);
                }
            }
        }
        directives
    }
}

/// Words with their lines, `;`, `{` and `}` apart, without quotes and comments.
fn words(text: &str) -> Vec<(usize, String)> {
    let mut words = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let (mut word, mut quote) = (String::new(), None);
        let mut end = |word: &mut String| {
            if !word.is_empty() {
                words.push((index + 1, std::mem::take(word)));
            }
        };
        let mut characters = line.chars().peekable();
        while let Some(character) = characters.next() {
            match (quote, character) {
                (Some(open), _) if character == open => quote = None,
                (None, '"' | '\'') => quote = Some(character),
                (None, '#') if word.is_empty() => break,
                // `${name}` is part of a word.
                (None, '$') if characters.peek() == Some(&'{') => {
                    word.push('$');
                    word.extend(characters.by_ref().take_while(|inner| *inner != '}'));
                }
                (None, ';' | '{' | '}') => {
                    end(&mut word);
                    end(&mut character.to_string());
                }
                (None, _) if character.is_whitespace() => end(&mut word),
                _ => word.push(character),
            }
        }
        end(&mut word);
    }
    words
}
