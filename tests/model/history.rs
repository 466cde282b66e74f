//! Which changes did a store take? Read while they are made: a list that is deleted takes the contents of its changes with it.

use std::collections::HashMap;
use std::fmt;

use hashwarden::entry::{ChangeOp, Description, EntryNo, ListId, RowChange};
use hashwarden::store::Store;

use super::reference::{Deed, Row};
use super::universe::{Universe, id, which_details};

/// A change. Its rows stand beside it.
pub struct Step {
    pub seq: u64,
    pub by: String,
    /// `None` where it went before it was read.
    pub op: Option<ChangeOp>,
    pub rows: Vec<Row>,
}

#[derive(Default)]
pub struct History {
    pub steps: Vec<Step>,
    /// Which id each entry is of.
    numbers: HashMap<EntryNo, u32>,
}

impl History {
    /// Reads what came since the last time.
    pub fn follow(&mut self, store: &Store, universe: &Universe) {
        for recorded in store.changes(self.steps.len() as u64 + 1).unwrap() {
            let recorded = recorded.unwrap();
            assert_eq!(recorded.seq, self.steps.len() as u64 + 1, "changes are numbered without a gap");
            let (mut op, mut rows) = (recorded.op, Vec::new());
            if let Some(ChangeOp::Rows { rows: changes, .. } | ChangeOp::Edit { rows: changes, .. }) = &mut op {
                rows = std::mem::take(changes).into_iter().map(|row| self.read(universe, row)).collect();
            }
            self.steps.push(Step { seq: recorded.seq, by: recorded.by, op, rows });
        }
    }

    fn read(&mut self, universe: &Universe, row: RowChange) -> Row {
        let brief = |n, Description { sources, details }: Description| (sources, which_details(n, &details));
        let (entry, n, deed) = match row {
            RowChange::Open { entry, content, description } => {
                let (n, content) = universe.listed(&content);
                self.numbers.insert(entry, n);
                (entry, n, Deed::Open(content, description.map(|said| brief(n, said))))
            }
            RowChange::Close { entry } => (entry, self.numbers[&entry], Deed::Close),
            RowChange::Describe { entry, description } => {
                let n = self.numbers[&entry];
                (entry, n, Deed::Describe(brief(n, description)))
            }
        };
        Row { entry, n, deed }
    }

    /// The changes before and after a number.
    pub fn around(&self, seq: u64) -> String {
        let near = self.steps.iter().filter(|step| step.seq + 8 > seq && step.seq < seq + 5);
        near.map(|step| format!("{} {step}\n", if step.seq == seq { ">" } else { " " })).collect()
    }

    /// The last changes of a list up to a number.
    pub fn of(&self, list: ListId, seq: u64) -> String {
        let of_list = self.steps.iter().filter(|step| step.seq <= seq && step.op.as_ref().is_some_and(|op| list_of(op) == list));
        let mut last: Vec<_> = of_list.rev().take(8).map(|step| format!("  {step}\n")).collect();
        last.reverse();
        last.concat()
    }
}

/// The list that a change is about.
pub fn list_of(op: &ChangeOp) -> ListId {
    match op {
        ChangeOp::CreateList { list, .. }
        | ChangeOp::SetPolicy { list, .. }
        | ChangeOp::SetDisabled { list, .. }
        | ChangeOp::DeleteList { list }
        | ChangeOp::Stage { list, .. }
        | ChangeOp::Rows { list, .. }
        | ChangeOp::Seal { list, .. }
        | ChangeOp::Activate { list, .. }
        | ChangeOp::Undo { list, .. }
        | ChangeOp::Edit { list, .. }
        | ChangeOp::Drop { list, .. }
        | ChangeOp::AddSource { list, .. }
        | ChangeOp::SetMark { list, .. }
        | ChangeOp::SetFeed { list, .. } => *list,
    }
}

impl Step {
    /// Whether look-ups see it.
    pub fn shows(&self) -> bool {
        let unseen = |op: &ChangeOp| {
            matches!(
                op,
                ChangeOp::Stage { .. }
                    | ChangeOp::Rows { .. }
                    | ChangeOp::Seal { .. }
                    | ChangeOp::Undo { .. }
                    | ChangeOp::AddSource { .. }
                    | ChangeOp::Drop { .. }
            )
        };
        !self.op.as_ref().is_some_and(unseen)
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const ROWS_SHOWN: usize = 8;
        write!(f, "{} by {}: ", self.seq, self.by)?;
        match &self.op {
            None => write!(f, "a change that went with its list"),
            Some(ChangeOp::SetPolicy { list, policy }) => {
                let radii: Vec<_> = policy.kinds.iter().map(|(kind, of)| format!("{kind} {}", of.radius)).collect();
                let (own, least, scope) = (&policy.category_radii, policy.quality_min, &policy.scope);
                write!(f, "SetPolicy {list:?}: {}; {own:?}, quality {least}, scope {scope:?}", radii.join(", "))
            }
            Some(ChangeOp::CreateList { list, name, .. }) => write!(f, "CreateList {list:?} {name}"),
            Some(ChangeOp::Rows { list, version, .. }) => write!(f, "Rows {list:?} {version:?}"),
            Some(ChangeOp::Seal { list, version, rows, .. }) => write!(f, "Seal {list:?} {version:?}: {rows} rows"),
            Some(ChangeOp::Edit { list, version, source, .. }) => write!(f, "Edit {list:?} {version:?} ({source})"),
            Some(op) => write!(f, "{op:?}"),
        }?;
        for Row { entry, n, deed } in self.rows.iter().take(ROWS_SHOWN) {
            write!(f, " [{} of {}: {deed:?}]", entry.0, id(*n))?;
        }
        if self.rows.len() > ROWS_SHOWN { write!(f, " and {} rows more", self.rows.len() - ROWS_SHOWN) } else { Ok(()) }
    }
}
