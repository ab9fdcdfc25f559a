//! The canaries: what each is, and when it must have died.

use std::collections::{BTreeMap, BTreeSet};

use lethe::seizure::Loot;

/// What kills a canary.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum Death {
    /// Dead when the operation is answered.
    AtOnce,
    /// Dead 15 minutes after its redaction.
    Redaction,
    /// Dead with the next generation of its owner, within a day.
    Generation,
    /// Dead 15 minutes after its epoch ended and its lifetime passed.
    Epoch,
}

impl Death {
    pub(super) const ALL: [Self; 4] = [Self::AtOnce, Self::Redaction, Self::Generation, Self::Epoch];
}

/// Everything that was planted.
#[derive(Default)]
pub(super) struct Garden {
    canaries: BTreeMap<u32, (&'static str, Option<Death>)>,
    /// Local names that must be found nowhere once people were erased.
    pub(super) erased: BTreeSet<String>,
    /// Revoked credentials, which must open nothing.
    pub(super) revoked: Vec<lethe::seizure::Credential>,
}

impl Garden {
    /// A fresh canary; without a death it lives.
    pub(super) fn plant(&mut self, kind: &'static str, death: Option<Death>) -> String {
        let number = u32::try_from(self.canaries.len()).expect("few");
        self.canaries.insert(number, (kind, death));
        format!("fact-{number}")
    }

    /// The canaries of these kinds.
    pub(super) fn of(&self, kinds: &[&str]) -> BTreeSet<u32> {
        self.canaries.iter().filter(|(_, (kind, _))| kinds.contains(kind)).map(|(number, _)| *number).collect()
    }

    /// The canaries that die in one of these ways.
    pub(super) fn dying(&self, deaths: &[Option<Death>]) -> BTreeSet<u32> {
        self.canaries.iter().filter(|(_, (_, death))| deaths.contains(death)).map(|(number, _)| *number).collect()
    }

    /// Counts what was found when everything that `dead` names must have died.
    pub(super) fn judge(&self, loot: &Loot, dead: &[Death]) -> Report {
        let mut report = Report::default();
        for (number, (kind, death)) in &self.canaries {
            report.count(kind, State::of(*death, dead), loot.facts.contains(number));
        }
        for name in &self.erased {
            report.count("erased person", State::of(Some(Death::AtOnce), dead), loot.names.contains(name));
        }
        report
    }
}

/// What is expected of a canary.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum State {
    /// It must be found: nothing dies early.
    Living,
    /// It was ended, and its time has not come.
    Dying,
    /// It must not be found.
    Dead,
}

impl State {
    fn of(death: Option<Death>, dead: &[Death]) -> Self {
        match death {
            Some(death) if dead.contains(&death) => Self::Dead,
            Some(Death::AtOnce | Death::Redaction | Death::Generation) if !dead.is_empty() => Self::Dying,
            _ => Self::Living,
        }
    }
}

/// How many canaries of each kind were found.
#[derive(Default)]
pub(super) struct Report(BTreeMap<(&'static str, State), Line>);

#[derive(Default)]
struct Line {
    found: u32,
    missed: u32,
}

impl Report {
    fn count(&mut self, kind: &'static str, state: State, found: bool) {
        let line = self.0.entry((kind, state)).or_default();
        if found { line.found += 1 } else { line.missed += 1 }
    }

    /// Prints what was found, and fails when the dead were, or the living were not.
    #[expect(clippy::print_stderr, reason = "the trial's figures are read by people")]
    pub(super) fn passes(&self, when: &str) {
        eprintln!("{when}:");
        let mut wrong = Vec::new();
        for ((kind, state), Line { found, missed }) in &self.0 {
            let line = format!("{kind:<32} {state:<8?} {found:>6} found {missed:>6} not");
            eprintln!("  {line}");
            if (*state == State::Dead && *found > 0) || (*state == State::Living && *missed > 0) {
                wrong.push(line);
            }
        }
        assert!(wrong.is_empty(), "{when}: {wrong:#?}");
    }
}
