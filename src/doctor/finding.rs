//! What was found, and how it is shown.

use std::fmt::{self, Write};

use serde::Serialize;

/// How much it matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// As it should be.
    Fine,
    /// Worth knowing; may be meant.
    Advice,
    /// Should be changed.
    Warning,
    /// Breaks a promise, or the server.
    Error,
}

impl Severity {
    fn word(self) -> &'static str {
        match self {
            Self::Fine => "ok",
            Self::Advice => "advice",
            Self::Warning => "warning",
            Self::Error => "error",
        }
    }
}

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// Which check this is; stays the same from version to version.
    pub check: &'static str,
    /// How much it matters.
    pub severity: Severity,
    /// What was found.
    pub what: String,
    /// Why it matters; empty when all is well.
    #[serde(skip_serializing_if = "str::is_empty")]
    pub why: &'static str,
    /// What to do about it; empty when all is well.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub fix: String,
}

macro_rules! severities {
    ($($(#[doc = $doc:literal])+ $name:ident: $severity:ident;)+) => {
        impl Finding {
            $(
                $(#[doc = $doc])+
                #[must_use]
                pub fn $name(check: &'static str, what: impl Into<String>, why: &'static str, fix: impl Into<String>) -> Self {
                    Self { check, severity: Severity::$severity, what: what.into(), why, fix: fix.into() }
                }
            )+
        }
    };
}

severities! {
    /// Worth knowing.
    advice: Advice;
    /// Should be changed.
    warning: Warning;
    /// Breaks a promise, or the server.
    error: Error;
}

impl Finding {
    /// As it should be.
    #[must_use]
    pub fn fine(check: &'static str, what: impl Into<String>) -> Self {
        Self { check, severity: Severity::Fine, what: what.into(), why: "", fix: String::new() }
    }
}

/// All findings, in the order in which things were looked at.
#[derive(Default, Serialize)]
pub struct Report {
    findings: Vec<Finding>,
}

impl Report {
    /// Adds what was found.
    pub fn add(&mut self, finding: Finding) {
        self.findings.push(finding);
    }

    /// All of it.
    #[must_use]
    pub fn findings(&self) -> &[Finding] {
        &self.findings
    }

    /// The worst of it.
    #[must_use]
    pub fn worst(&self) -> Severity {
        self.findings.iter().map(|finding| finding.severity).max().unwrap_or(Severity::Fine)
    }

    /// The exit code: 0 when nothing has to be changed, 1 after warnings, 2 after errors.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        match self.worst() {
            Severity::Fine | Severity::Advice => 0,
            Severity::Warning => 1,
            Severity::Error => 2,
        }
    }

    /// As JSON, for programs: an object with a list `findings`.
    #[must_use]
    pub fn json(&self) -> String {
        serde_json::to_string_pretty(self).unwrap_or_default()
    }
}

/// For people: the worst last, where the eye is when the screen has stopped.
impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut sorted: Vec<&Finding> = self.findings.iter().collect();
        sorted.sort_by_key(|finding| finding.severity);
        for finding in sorted {
            writeln!(f, "{:8} {:24} {}", finding.severity.word(), finding.check, finding.what)?;
            for (word, text) in [("why", finding.why), ("fix", finding.fix.as_str())] {
                if !text.is_empty() {
                    f.write_str(&wrapped(word, text))?;
                }
            }
        }
        Ok(())
    }
}

/// `text` in lines a terminal has room for, indented under its finding.
fn wrapped(word: &str, text: &str) -> String {
    const WIDTH: usize = 78;
    let (mut out, mut line) = (String::new(), format!("         {word}:"));
    for part in text.split_whitespace() {
        if line.chars().count() + 1 + part.chars().count() > WIDTH {
            writeln!(out, "{line}").expect("a string takes every write");
            line = " ".repeat(13);
        }
        line.push(' ');
        line.push_str(part);
    }
    writeln!(out, "{line}").expect("a string takes every write");
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worst_decides() {
        let mut report = Report::default();
        assert_eq!((report.worst(), report.exit_code()), (Severity::Fine, 0));
        report.add(Finding::advice("a", "x", "y", "z"));
        assert_eq!(report.exit_code(), 0);
        report.add(Finding::error("b", "x", "y", "z"));
        report.add(Finding::warning("c", "x", "y", "z"));
        assert_eq!(report.exit_code(), 2);
    }

    #[test]
    fn findings_are_shown() {
        let mut report = Report::default();
        report.add(Finding::error("keys.overwriting", "it does not", "word ".repeat(30).leak(), "mend it"));
        report.add(Finding::fine("config.valid", "it is"));
        let text = report.to_string();
        assert!(
            text.starts_with(
                "ok       config.valid             it is\nerror    keys.overwriting         it does not\n"
            )
        );
        assert!(text.lines().all(|line| line.chars().count() <= 78), "{text}");
        let json: serde_json::Value = serde_json::from_str(&report.json()).expect("JSON");
        assert_eq!(json["findings"][0]["severity"], "error");
        assert_eq!(
            json["findings"][1],
            serde_json::json!({"check": "config.valid", "severity": "fine", "what": "it is"})
        );
    }
}
