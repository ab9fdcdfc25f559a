//! The example file, written from the definitions: what it says is what the code does.

use std::fmt::Write;

use super::{Config, SECTIONS, section::KeyDoc};

impl Config {
    /// The text of `config.example.toml`: every key with its documentation and default.
    #[must_use]
    pub fn example() -> String {
        let values = toml::Table::try_from(Self::default()).expect("the defaults are valid TOML");
        let mut text = String::from(HEADER);
        for (name, section) in SECTIONS {
            text.push('\n');
            comment(&mut text, section.lines);
            line(&mut text, format_args!("[{name}]"));
            let defaults = values.get(*name).and_then(toml::Value::as_table);
            for key in section.keys {
                comment(&mut text, key.lines);
                line(&mut text, format_args!("{}", assignment(key, defaults)));
            }
        }
        text
    }
}

/// The file's first lines and the one key outside sections.
const HEADER: &str = "\
# The configuration of Lethe, with every default. Written by `lethe config example`.
# Every key can also be set by the environment: LETHE_SECTION__KEY, for example LETHE_SERVER__NAME.

# Which defaults apply: \"standard\", or \"strict\", which forgets after 7 days and closes idle accounts.
profile = \"standard\"
";

/// `key = default`, or a commented example where there is none.
fn assignment(key: &KeyDoc, defaults: Option<&toml::Table>) -> String {
    match (defaults.and_then(|table| table.get(key.key)), key.example) {
        (Some(value), _) => format!("{} = {value}", key.key),
        (None, Some(example)) => format!("# {} = {example}", key.key),
        (None, None) => format!("# {} =", key.key),
    }
}

fn comment(text: &mut String, lines: &[&str]) {
    for content in lines {
        line(text, format_args!("#{content}"));
    }
}

fn line(text: &mut String, content: std::fmt::Arguments<'_>) {
    writeln!(text, "{content}").expect("a string takes every write");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_is_the_default() {
        let parsed = Config::from_parts(&Config::example(), []).expect("valid");
        assert!(parsed == Config::default());
    }

    #[test]
    fn every_key_is_shown() {
        let text = Config::example();
        for key in SECTIONS.iter().flat_map(|(_, section)| section.keys) {
            assert!(text.contains(&format!("{} =", key.key)), "{}", key.key);
        }
    }
}
