//! What would have matched at an earlier time, and by which version.

use super::*;
use hashwarden::catalog::{ActionRule, Moment, PastReport};
use hashwarden::entry::{Action, Mark, MarkKind};

fn hash(n: u64) -> HashValue {
    let mixed = |n: u64| (n ^ n >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9).rotate_left(17).wrapping_mul(0x94d0_49bb_1331_11eb);
    HashValue::Pdq(Pdq([1, 2, 3, 4].map(|word| mixed(n * 4 + word))))
}

fn csv(rows: &[(u64, &str)]) -> String {
    let rows = rows.iter().map(|(n, category)| format!("e{n},{},{category}\n", hash(*n).hex()));
    std::iter::once("id,pdq,category\n".to_owned()).chain(rows).collect()
}

impl Bench {
    fn as_of(&self, seq: u64, n: u64) -> Result<PastReport, CatalogError> {
        self.catalog.as_of("known", Moment::Change(seq), &hash(n))
    }

    fn mark_as(&self, id: &str, kind: Option<MarkKind>) {
        let mark = kind.map(|kind| Mark { contents: Vec::new(), kind, until_ms: None, note: "why".to_owned() });
        self.catalog.set_mark(&self.by, "known", id, mark).unwrap();
    }
}

/// The ids that matched, by name, as a verdict says them.
fn matched(report: &PastReport) -> Vec<String> {
    let stands = report.matches.iter().filter(|found| found.stopped_by.is_none() && !report.disabled && !report.shadow);
    let mut ids: Vec<_> = stands.map(|found| found.entry_id.clone()).collect();
    ids.sort();
    ids
}

/// Whatever was done to a list, each verdict that it gave can be had again by its snapshot, or it is said why not.
#[test]
fn what_a_verdict_said_can_be_had_again() {
    let dir = tempfile::tempdir().unwrap();
    let bench = open_with(dir.path(), unchecked());
    bench.create("other");
    bench.create("known");
    let mut said: Vec<(u64, Vec<Vec<String>>)> = Vec::new();
    let note = |said: &mut Vec<_>| {
        let verdicts: Vec<Verdict> = (0..6).map(|n| bench.ask(hash(n))).collect();
        said.push((verdicts[0].snapshot, (0..6).map(|n| bench.ids(hash(n))).collect()));
    };
    note(&mut said);
    bench.import("known", &csv(&[(0, "A1"), (1, "A1"), (2, "B2")])).unwrap();
    note(&mut said);
    bench.mark_as("e1", Some(MarkKind::Disabled));
    note(&mut said);
    bench.add("known", "e3", vec![hash(3)]);
    note(&mut said);
    bench.mark_as("e1", None);
    bench.remove("known", "e0");
    note(&mut said);
    bench.import("known", &csv(&[(1, "A1"), (2, "A1"), (4, "A1")])).unwrap();
    note(&mut said);
    bench.catalog.set_disabled(&bench.by, "known", true).unwrap();
    note(&mut said);
    bench.catalog.set_disabled(&bench.by, "known", false).unwrap();
    bench.catalog.set(&bench.by, "known", &PolicyUpdate { shadow: Some(true), ..PolicyUpdate::default() }).unwrap();
    note(&mut said);
    bench.catalog.set(&bench.by, "known", &PolicyUpdate { shadow: Some(false), ..PolicyUpdate::default() }).unwrap();
    bench.catalog.roll_back(&bench.by, "known").unwrap();
    note(&mut said);
    bench.add("known", "e5", vec![hash(5)]);
    note(&mut said);
    let check = |said: &[(u64, Vec<Vec<String>>)], is_whole: bool| {
        for (seq, of) in said {
            for (n, ids) in (0..).zip(of) {
                let report = bench.as_of(*seq, n).unwrap();
                assert_eq!(report.snapshot, *seq);
                assert!(!is_whole || !report.incomplete);
                if report.incomplete {
                    assert!(matched(&report).iter().all(|id| ids.contains(id)), "{seq} {n}");
                } else {
                    assert_eq!(&matched(&report), ids, "snapshot {seq}, hash {n}");
                }
            }
        }
    };
    check(&said, false);
    check(&said[..3], true);
    check(&said[5..], true);

    // Many edits: the versions of those before are dropped, and what was removed meanwhile is gone.
    bench.remove("known", "e5");
    let before = said.clone();
    for n in 100..160 {
        bench.add("known", &format!("e{n}"), vec![hash(n)]);
        if n == 110 {
            note(&mut said);
        }
    }
    check(&said[..3], true); // of the first import, which is kept
    check(&said, false);
    let (seq, ids) = said.last().unwrap();
    let then = bench.as_of(*seq, 105).unwrap();
    assert!(then.incomplete && matched(&then) == ["e105"] && matched(&bench.as_of(*seq, 150).unwrap()).is_empty());
    assert_eq!(ids[2], ["e2"]);
    // What was there then, and was removed since.
    let (seq, ids) = before.last().unwrap();
    assert_eq!(ids[5], ["e5"]);
    assert_eq!(matched(&bench.as_of(*seq, 5).unwrap()), ["e5"]);
    bench.catalog.merge();
    check(&said, false);
    let gone = bench.as_of(*seq, 5).unwrap();
    assert!(gone.incomplete && gone.matches.is_empty(), "{gone:?}");
    bench.assert_sound();
}

#[test]
fn the_answer_says_what_held_then() {
    let dir = tempfile::tempdir().unwrap();
    let bench = open_with(dir.path(), unchecked());
    bench.create("known");
    let action = ActionRule { category: Some("A1".to_owned()), kind: None, action: Action::Block };
    bench.catalog.set(&bench.by, "known", &PolicyUpdate { actions: vec![action], ..PolicyUpdate::default() }).unwrap();
    bench.import("known", &csv(&[(0, "A1"), (1, "B2")])).unwrap();
    bench.mark_as("e1", Some(MarkKind::Quarantined));
    let seq = bench.ask(hash(0)).snapshot;
    let mut near = hash(0).to_vec();
    near[0] ^= 0b111;
    let near = HashValue::from_hex(HashKind::Pdq, &near.iter().map(|byte| format!("{byte:02x}")).collect::<String>()).unwrap();
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_millis() as u64;
    for moment in [Moment::Change(seq), Moment::Time(now)] {
        let report = bench.catalog.as_of("known", moment, &near).unwrap();
        assert!(report.matched() && !report.incomplete && report.version == VersionNo(1) && report.version_ms <= now);
        let found = &report.matches[0];
        assert_eq!((found.entry_id.as_str(), found.distance, found.threshold), ("e0", 3, 31));
        assert_eq!((found.action, found.since), (Action::Block, VersionNo(1)));
        let report = bench.catalog.as_of("known", moment, &hash(1)).unwrap();
        assert!(!report.matched());
        assert_eq!(report.matches[0].stopped_by.as_ref().map(|mark| mark.kind), Some(MarkKind::Quarantined));
    }
    let refused = |moment, hash: &HashValue| bench.catalog.as_of("known", moment, hash).unwrap_err().to_string();
    assert_eq!(refused(Moment::Change(0), &near), "list \"known\" was created later");
    assert_eq!(refused(Moment::Time(7), &near), "list \"known\" was created later");
    assert!(refused(Moment::Change(seq + 1), &near).contains("no snapshot"));
    assert_eq!(refused(Moment::Time(now + 3_600_000), &near), "the time lies in the future");
    assert!(bench.catalog.as_of("unknown", Moment::Change(1), &near).is_err());
    // Digests are equal or not; of 64-bit hashes the radius counts.
    let [md5, phash] = [(HashKind::Md5, "ab".repeat(16)), (HashKind::Phash64, "0123456789abcdef".to_owned())]
        .map(|(kind, hex)| HashValue::from_hex(kind, &hex).unwrap());
    bench.add("known", "mixed", vec![md5.clone(), phash]);
    let seq = bench.ask(hash(0)).snapshot;
    let found = |of: &HashValue| {
        bench.catalog.as_of("known", Moment::Change(seq), of).unwrap().matches.into_iter().map(|m| m.distance).collect::<Vec<_>>()
    };
    assert_eq!(found(&md5), [0]);
    assert_eq!(found(&HashValue::from_hex(HashKind::Md5, &"ac".repeat(16)).unwrap()), Vec::<u16>::new());
    assert_eq!(found(&HashValue::from_hex(HashKind::Phash64, "0123456789abcdee").unwrap()), [1]);
    assert_eq!(found(&HashValue::from_hex(HashKind::Phash64, "0123456789abcd00").unwrap()), Vec::<u16>::new());
}

/// A list in shadow, or a negative one, met what it met, and made no match of it.
#[test]
fn what_alters_no_outcome_is_no_match() {
    let dir = tempfile::tempdir().unwrap();
    let bench = open_with(dir.path(), unchecked());
    bench.create("known");
    bench.catalog.create(&bench.by, "good", Polarity::Negative, &PolicyUpdate::default()).unwrap();
    bench.add("known", "a", vec![hash(0)]);
    bench.add("good", "b", vec![hash(1)]);
    let told = |list: &str, n: u64| {
        let report = bench.catalog.as_of(list, Moment::Change(bench.ask(hash(0)).snapshot), &hash(n)).unwrap();
        (report.matched(), report.met(), report.shadow, report.negative)
    };
    assert_eq!((told("known", 0), told("known", 1)), ((true, true, false, false), (false, false, false, false)));
    assert_eq!(told("good", 1), (false, true, false, true));
    bench.catalog.set(&bench.by, "known", &PolicyUpdate { shadow: Some(true), ..PolicyUpdate::default() }).unwrap();
    assert_eq!(told("known", 0), (false, true, true, false));
    bench.catalog.set_disabled(&bench.by, "known", true).unwrap();
    assert_eq!(told("known", 0), (false, false, true, false));
}
