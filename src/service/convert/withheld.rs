//! How much does a verdict tell? Who can have many pictures judged can find a listed hash out, the quicker the more each answer tells.
//!
//! Without the right to see it, what is left says that lists match, and what they ask for. Absent is all that is larger or smaller for a
//! nearer hash, or is of the nearest of several: distance and chance, but also which entry, frame, transform and view it was, how many
//! matches there are, and their order.

use crate::access::Rights;
use crate::proto::v1;
use crate::verdict::Verdict;

/// A verdict as who asks may see it.
pub fn verdict_for(rights: &Rights, verdict: Verdict, ages: &[Option<u64>]) -> v1::Verdict {
    let mut shown = super::verdict(verdict, ages);
    if rights.lists.is_some() {
        // A look-up that crashed no longer knows which lists it was asked for.
        shown.lists.retain(|asked| rights.has_list(&asked.list));
    }
    if !rights.sees {
        withhold(&mut shown);
    }
    shown
}

fn withhold(shown: &mut v1::Verdict) {
    shown.suppressed.clear();
    shown.shadow_matches.clear();
    shown.cut = None;
    for found in &mut shown.matches {
        let v1::Match { list, category, kind, exact, action, .. } = std::mem::take(found);
        *found = v1::Match { list, category, kind, exact, action, ..v1::Match::default() };
    }
    shown.matches.sort_by(|a, b| {
        let key = |m: &v1::Match| (!m.exact, m.kind, m.action);
        (&a.list, &a.category).cmp(&(&b.list, &b.category)).then_with(|| key(a).cmp(&key(b)))
    });
    shown.matches.dedup();
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(list: &str, id: &str, distance: u32, exact: bool) -> v1::Match {
        v1::Match {
            list: list.to_owned(),
            entry_id: id.to_owned(),
            category: "A1".to_owned(),
            kind: v1::HashKind::Pdq as i32,
            distance: Some(distance),
            threshold: Some(31),
            transform: v1::Transform::Rot90 as i32,
            frame: Some(3),
            exact,
            action: v1::Action::Review as i32,
            view: Some(v1::View::default()),
            chance: Some(1e-9),
        }
    }

    #[test]
    fn nothing_that_a_nearer_hash_would_change_is_told() {
        let tells = |matches: Vec<v1::Match>, cut| {
            let suppressed = vec![found("a", "s", 1, false)];
            let mut shown = v1::Verdict { matches, suppressed, cut: Some(cut), ..v1::Verdict::default() };
            withhold(&mut shown);
            shown
        };
        let far = tells(vec![found("b", "2", 3, false), found("a", "9", 30, false)], 0);
        let near = tells(vec![found("a", "1", 0, false), found("a", "7", 2, false), found("b", "3", 31, false)], 5);
        assert_eq!(far, near);
        let left = v1::Match {
            list: "a".to_owned(),
            category: "A1".to_owned(),
            kind: v1::HashKind::Pdq as i32,
            action: v1::Action::Review as i32,
            ..v1::Match::default()
        };
        assert_eq!(far.matches, [left.clone(), v1::Match { list: "b".to_owned(), ..left }]);
        assert_eq!((far.suppressed.len(), far.cut), (0, None));
        assert_eq!(
            tells(vec![found("a", "1", 0, true), found("a", "1", 0, false)], 0).matches.len(),
            2,
            "exact is a fact of its own"
        );
    }
}
