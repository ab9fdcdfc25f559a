//! The table: what is sent, and what must come back.

mod accounts;
mod bodies;
mod events;
mod later;
mod names;
mod reads;
mod tokens;

use super::world::{Ask, World};

/// A line of the table.
pub(super) struct Case {
    pub(super) name: String,
    /// Requests that must succeed before, to set the stage.
    pub(super) before: Vec<Ask>,
    pub(super) request: Ask,
    /// The status and error code.
    pub(super) expected: String,
    /// What it may take of memory beside the usual, KiB.
    pub(super) memory: Option<u64>,
}

fn case(name: impl Into<String>, request: Ask, expected: &str) -> Case {
    Case { name: name.into(), before: Vec::new(), request, expected: expected.to_owned(), memory: None }
}

impl Case {
    fn after(self, before: Vec<Ask>) -> Self {
        Self { before, ..self }
    }

    /// For requests of the largest size: a body, its parsed form, and what the allocator keeps of both.
    fn large(self) -> Self {
        Self { memory: Some(48 << 10), ..self }
    }
}

/// Every case.
pub(super) fn cases(world: &World) -> Vec<Case> {
    let families = [
        bodies::bodies,
        names::identifiers,
        tokens::tokens,
        tokens::transactions,
        events::events,
        reads::filters,
        reads::sliding,
        later::later,
        later::media,
        accounts::push,
        accounts::keys,
        accounts::bounds,
        names::names,
    ];
    families.iter().flat_map(|family| family(world)).collect()
}
