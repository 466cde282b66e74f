//! What of a list answered at an earlier moment?
//!
//! Read from the headers of the changes, which stay, and from the contents of those about the list itself, which go with it. What versions
//! held is not followed here.

use super::history::{Header, Kind, read};
use super::keys::{self, Family};
use super::{Scan, Store, StoreError};
use crate::entry::{ChangeOp, ListId, ListPolicy, Mark, VersionNo};
use std::collections::BTreeMap;

/// A moment in a store's life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moment {
    /// ms since the Unix epoch: after the last change until then.
    Time(u64),
    /// After the change of this number; verdicts name it as their snapshot.
    Change(u64),
}

/// A list at a moment.
#[derive(Debug, Clone, Default)]
pub struct Past {
    /// The last change of any list until then, and when it was made, ms since the Unix epoch.
    pub seq: u64,
    pub time_ms: u64,
    /// `None`: there was no such list yet.
    pub policy: Option<ListPolicy>,
    pub disabled: bool,
    /// The version that look-ups saw; 0 for none. Since when, ms since the Unix epoch.
    pub active: VersionNo,
    pub active_since_ms: u64,
    /// Marks of entries by id.
    pub marks: BTreeMap<String, Mark>,
    /// Of the versions that edits made, then or later: which one each started from.
    pub parents: BTreeMap<VersionNo, VersionNo>,
}

impl Store {
    /// A list as it was at a moment. Reads the headers of all changes.
    pub fn past(&self, list: ListId, moment: Moment) -> Result<Past, StoreError> {
        let headers: Scan<'_, (u64, Header)> = self.scan(Family::History, Vec::new(), Vec::new(), |key, value| {
            Ok((keys::number_u64(Family::History, key)?, read(value)?.1))
        })?;
        let (mut past, mut of_list, mut active) = (Past::default(), Vec::new(), VersionNo(0));
        for item in headers {
            let (seq, header) = item?;
            let is_past = match moment {
                Moment::Time(ms) => header.time_ms <= ms,
                Moment::Change(last) => seq <= last,
            };
            if is_past {
                (past.seq, past.time_ms) = (seq, header.time_ms);
            }
            if header.list != list {
                continue;
            }
            if matches!(header.kind, Kind::Edit | Kind::Activate) {
                if header.kind == Kind::Edit {
                    past.parents.insert(header.version, active);
                }
                active = header.version;
            }
            if !matches!(header.kind, Kind::Rows | Kind::Stage | Kind::Seal | Kind::Undo | Kind::Drop) {
                of_list.push((seq, header));
            }
        }
        // A clock that went back: what counts is the order of changes.
        let last = past.seq;
        for (seq, header) in of_list.into_iter().filter(|(seq, _)| *seq <= last) {
            match header.kind {
                Kind::Edit | Kind::Activate => (past.active, past.active_since_ms) = (header.version, header.time_ms),
                Kind::CreateList | Kind::SetPolicy | Kind::SetDisabled | Kind::SetMark => {
                    let contents = self.contents(seq, &header)?;
                    let (_, change) = contents.ok_or_else(|| Family::Contents.corrupt("what a change says is missing"))?;
                    past.take(change.op);
                }
                _ => {}
            }
        }
        Ok(past)
    }
}

impl Past {
    fn take(&mut self, op: ChangeOp) {
        match op {
            ChangeOp::CreateList { policy, .. } | ChangeOp::SetPolicy { policy, .. } => self.policy = Some(policy),
            ChangeOp::SetDisabled { disabled, .. } => self.disabled = disabled,
            ChangeOp::SetMark { id, mark: Some(mark), .. } => _ = self.marks.insert(id, mark),
            ChangeOp::SetMark { id, mark: None, .. } => _ = self.marks.remove(&id),
            _ => {}
        }
    }
}
