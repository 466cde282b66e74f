//! Was every verdict what its snapshot's number says, and every operation what it was asked to be?
//!
//! The changes are followed from the first one. After each the answers that were given under its number are compared with those of
//! the reference, and the change with the operation that made it.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use hashwarden::catalog::ImportReport;
use hashwarden::entry::{ChangeOp, EntryNo, ListId, ListPolicy, Mark, Sources, VersionNo};

use super::answer::Answer;
use super::history::{History, Step, list_of};
use super::operations::{Act, Done, Outcome, operation_of, polarity};
use super::reference::{Content, List, State};
use super::sources::{self, Counts, Held, Holding, Said};
use super::universe::{File, Universe, id};

/// Answers by number and question.
pub type Answers = BTreeMap<u64, BTreeMap<usize, Answer>>;

pub struct Check<'a> {
    pub universe: &'a Universe,
    pub history: &'a History,
    pub done: &'a [Vec<Done>],
    pub answers: &'a Answers,
    state: State,
    /// The last change that look-ups saw of each operation.
    last: HashMap<&'a str, u64>,
    /// Lists of which a change went with its list before it was read. What they held until they were deleted is not known.
    lost: BTreeSet<&'static str>,
    /// The versions that an import sealed: what its file comes to, and what was edited beside it.
    imported: HashMap<&'a str, Vec<VersionNo>>,
    pub checked: usize,
    pub skipped: usize,
}

/// A list before a change.
struct Before {
    active: VersionNo,
    previous: VersionNo,
    policy: ListPolicy,
    marks: BTreeMap<u32, Mark>,
    content: Arc<Content>,
}

impl<'a> Check<'a> {
    pub fn new(universe: &'a Universe, history: &'a History, done: &'a [Vec<Done>], answers: &'a Answers) -> Self {
        let last = history.steps.iter().filter(|step| step.shows()).map(|step| (step.by.as_str(), step.seq)).collect();
        let (state, lost) = (State::default(), BTreeSet::new());
        Check { universe, history, done, answers, state, last, lost, imported: HashMap::new(), checked: 0, skipped: 0 }
    }

    /// Follows all changes; gives the state after the last one.
    pub fn run(&mut self) -> &mut State {
        let steps = &self.history.steps;
        let known = steps.len() as u64;
        assert!(self.answers.keys().all(|number| *number <= known), "a snapshot has a number that no change has");
        for step in steps {
            self.step(step);
            for (question, answer) in self.answers.get(&step.seq).into_iter().flatten() {
                self.check_answer(step.seq, *question, answer);
            }
        }
        self.check_numbers();
        assert!(self.lost.is_empty(), "changes of lists that are still there can't be read: {:?}", self.lost);
        &mut self.state
    }

    fn done(&self, step: &Step) -> Option<&'a Done> {
        operation_of(&step.by).map(|(thread, n)| &self.done[thread][n])
    }

    fn check_answer(&mut self, seq: u64, question: usize, answer: &Answer) {
        if !self.lost.is_empty() {
            self.skipped += 1;
            return;
        }
        self.checked += 1;
        let (words, question) = &self.universe.questions[question];
        let expected = self.state.answer(self.universe, question);
        if expected != *answer {
            let told = |answer: &Answer, other: &Answer| {
                let only: Vec<_> = answer.found.iter().filter(|found| !other.found.contains(found)).collect();
                format!("{:?} {:?} of lists {:?}, and alone has {only:?}", answer.outcome, answer.reason, answer.lists)
            };
            let (wanted, given, around) = (told(&expected, answer), told(answer, &expected), self.history.around(seq));
            let both = expected.found.iter().chain(&answer.found);
            let differing =
                both.filter(|found| !expected.found.contains(found) || !answer.found.contains(found)).map(|found| found.list);
            let of_lists: String = differing
                .collect::<BTreeSet<_>>()
                .into_iter()
                .filter_map(|name| self.state.by_name(name))
                .map(|(id, list)| format!("of list {}:\n{}", list.name, self.history.of(*id, seq)))
                .collect();
            panic!(
                "snapshot {seq} is not the state after change {seq}\n{words}\nexpected {wanted}\n   found {given}\n{around}{of_lists}"
            );
        }
    }

    /// Whoever changed something sees it.
    fn check_numbers(&self) {
        for (thread, done) in self.done.iter().enumerate() {
            for (n, done) in done.iter().enumerate() {
                let by = super::operations::caller(thread, n).0;
                let last = self.last.get(by.as_str()).copied();
                if let Some(last) = last.filter(|last| *last > done.seen) {
                    panic!("{by} made change {last} and then saw snapshot {}\n{}", done.seen, self.history.around(last));
                }
                let changes = match &done.outcome {
                    Outcome::Edited(report) => report.added + report.changed + report.removed + report.details_changed > 0,
                    Outcome::Deleted => true,
                    Outcome::Listed(_) => done.operation.act == Act::Create,
                    Outcome::Imported(_) | Outcome::Marked(_) | Outcome::LookedUp | Outcome::Refused(_) => false,
                };
                assert!(last.is_some() || !changes, "{by} says that it made a change, and there is none: {done:?}");
            }
        }
    }

    fn step(&mut self, step: &'a Step) {
        let done = self.done(step);
        let name = done.map(|done| done.operation.list);
        let Some(op) = &step.op else {
            self.lost.insert(name.unwrap_or_else(|| panic!("{step}: nothing is deleted by others than threads")));
            return;
        };
        let list = list_of(op);
        if let Some(name) = name.filter(|name| self.lost.contains(name)) {
            if let ChangeOp::DeleteList { list } = op {
                self.lost.remove(name);
                self.state.lists.remove(list);
            }
            return;
        }
        let before = self.state.lists.get(&list).map(|list| Before {
            active: list.active,
            previous: list.previous,
            policy: list.policy.clone(),
            marks: list.marks.clone(),
            content: list.content.clone(),
        });
        self.state.apply(self.universe, op, step);
        self.check_scopes(step);
        if let Some(done) = done {
            if let ChangeOp::Seal { version, .. } = op {
                self.check_sealed(step, done, list, *version);
            }
            if self.last.get(step.by.as_str()) == Some(&step.seq) {
                let words = self.check_done(step, done, list, before.as_ref());
                assert!(words.is_empty(), "{words}: {done:?}\n{}", self.history.around(step.seq));
            }
        }
    }

    /// An emptied scope would mean all lists, and a later list of the name would be suppressed by what was meant for this one.
    fn check_scopes(&self, step: &Step) {
        for list in self.state.lists.values() {
            let gone =
                list.policy.scope.iter().find(|name| self.state.by_name(name).is_none() && !self.lost.contains(name.as_str()));
            if let Some(gone) = gone {
                panic!("list {} has list {gone} in its scope, which is not there\n{}", list.name, self.history.around(step.seq));
            }
        }
    }

    /// An import's version holds what the file makes of what it was compared with. Where the list was changed meanwhile, another version is
    /// written on top of it, which is told.
    fn check_sealed(&mut self, step: &'a Step, done: &Done, list: ListId, version: VersionNo) {
        let (Act::Import { file, .. }, Outcome::Imported(report)) = (&done.operation.act, &done.outcome) else { return };
        let list = &self.state.lists[&list];
        let content = list.content_of(version);
        self.imported.entry(&step.by).or_default().push(version);
        let is_last = report.version == Some(version);
        let mut wrong =
            if is_last && report.entries as usize != content.entries.len() { vec!["entries".to_owned()] } else { vec![] };
        if list.version(version).parent == report.compared_with {
            wrong.extend(not_as_imported(list, version, file, report));
            if !is_last && report.version <= Some(version) {
                wrong.push("version".to_owned());
            }
        } else if !is_last {
            wrong.push("last version".to_owned());
        }
        if !wrong.is_empty() {
            let around = self.history.around(step.seq);
            panic!("version {} of list {} is not what was imported: {wrong:?}: {done:?}\n{around}", version.0, list.name);
        }
    }

    /// What is wrong with the change that an operation made, in words.
    fn check_done(&self, step: &Step, done: &Done, list: ListId, before: Option<&Before>) -> String {
        let (act, outcome) = (&done.operation.act, &done.outcome);
        if let Outcome::Refused(why) = outcome {
            return format!("it was refused ({why}) and has made a change");
        }
        let Some(now) = self.state.lists.get(&list) else {
            return if *act == Act::Delete { String::new() } else { "its list is gone".to_owned() };
        };
        let Some(before) = before else {
            let as_asked = *act == Act::Create && now.polarity == polarity(now.name) && now.active == VersionNo(0);
            return if as_asked { String::new() } else { "the list that it made is another".to_owned() };
        };
        let right = match (act, outcome) {
            (Act::Add(_) | Act::Remove(_), Outcome::Edited(report)) => {
                let counts = Edits::of(act).check(before, now);
                let counted = Counts {
                    added: report.added,
                    changed: report.changed,
                    removed: report.removed,
                    unchanged: report.unchanged,
                    details_changed: report.details_changed,
                };
                report.version == now.active && counts == Ok((counted, report.missing.len()))
            }
            (Act::Mark(n, _), Outcome::Marked(mark)) => {
                let mut marks = before.marks.clone();
                match mark {
                    Some(mark) => _ = marks.insert(*n, mark.clone()),
                    None => _ = marks.remove(n),
                }
                marks == now.marks
            }
            (Act::Set(update), _) => update.apply(&before.policy).as_ref() == Ok(&now.policy),
            (Act::Disable(disabled), _) => now.disabled == *disabled,
            (Act::RollBack, _) => (now.active, now.previous) == (before.previous, before.active),
            (Act::Activate { .. }, _) => now.active != before.active && now.previous == before.active,
            (Act::Import { file, .. }, Outcome::Imported(report)) => {
                report.activated && self.check_survivors(step, done, (file, report), before, now)
            }
            _ => false,
        };
        if right {
            String::new()
        } else {
            format!("it was asked for another change, or tells another one, than it made of list {}", now.name)
        }
    }

    /// What an import activated is what its file came to, and over it what was done to the list while it ran.
    fn check_survivors(
        &self,
        step: &Step,
        done: &Done,
        (file, report): (&File, &ImportReport),
        before: &Before,
        now: &List,
    ) -> bool {
        let parent = now.version(now.active).parent;
        let own = self.imported.get(step.by.as_str()).is_some_and(|sealed| sealed.contains(&now.active));
        let imported = if own && parent != report.compared_with { parent } else { now.active };
        let mut wrong = not_as_imported(now, imported, file, report);
        let (was, is, imported) = (before.content.holding(), now.content.holding(), now.content_of(imported).holding());
        let (sure, mut unsure) = edited_beside(now, before.active, done);
        unsure.extend(self.confirmed(step, done).filter(|n| was.contains_key(n)));
        let by = sources::source(file.feed);
        let ids: BTreeSet<u32> = was.keys().chain(is.keys()).chain(imported.keys()).copied().collect();
        for n in ids {
            let [was, is, imported] = [&was, &is, &imported].map(|holding| holding.get(&n).copied());
            let (edited, left) = (sources::edited(imported, was, by), sources::beside(imported, was, by));
            let (how, right) = match (sure.contains(&n), unsure.contains(&n)) {
                (true, _) => ("edited", is == edited),
                (false, true) => ("edited or not", is == edited || is == left),
                (false, false) => ("left", is == left),
            };
            if !right {
                wrong.push(format!("{}, {how}: {was:?} before, {imported:?} as imported, now {is:?}", id(n)));
            }
        }
        if wrong.is_empty() {
            return true;
        }
        let list = step.op.as_ref().map(list_of);
        let since = self.history.steps.iter().filter(|other| other.seq > done.began && other.seq <= step.seq);
        let since: Vec<_> = since.filter(|other| other.op.as_ref().map(list_of) == list).map(ToString::to_string).collect();
        println!("{} are wrong:\n{}\nthe list's changes since:\n{}", wrong.len(), wrong.join("\n"), since.join("\n"));
        false
    }

    /// Ids that were added, and there already, beside an import: that is in no change, and they are kept all the same.
    fn confirmed(&self, step: &Step, done: &Done) -> impl Iterator<Item = u32> {
        let others = self.done.iter().flatten().filter(|other| other.operation.list == done.operation.list);
        let beside = others.filter(|other| other.seen >= done.began && other.began <= step.seq);
        let confirming = beside.filter_map(|other| match (&other.operation.act, &other.outcome) {
            (Act::Add(entries), Outcome::Edited(report)) if report.unchanged > 0 => Some(entries),
            _ => None,
        });
        confirming.flatten().map(|(n, _)| *n)
    }
}

/// The ids that were edited by hand while an import ran, in the version that was active when it ended, and those that may have been: of what
/// was edited before it was seen to run it is not known which came first.
fn edited_beside(list: &List, active: VersionNo, done: &Done) -> (BTreeSet<u32>, BTreeSet<u32>) {
    let (mut sure, mut unsure) = (BTreeSet::new(), BTreeSet::new());
    let meanwhile = list.line(active).take_while(|version| version.seq > done.began).filter(|version| version.by_edit);
    for version in meanwhile {
        let ids = if version.seq > done.running { &mut sure } else { &mut unsure };
        ids.extend(version.rows.iter().map(|row| row.n));
    }
    (sure, unsure)
}

/// What each id is to be.
struct Edits(BTreeMap<u32, Option<Said>>);

impl Edits {
    fn of(act: &Act) -> Self {
        Edits(match act {
            Act::Add(entries) => entries.iter().map(|(n, said)| (*n, Some(*said))).collect(),
            Act::Remove(ids) => ids.iter().map(|n| (*n, None)).collect(),
            _ => BTreeMap::new(),
        })
    }

    /// What was done, and how many ids were not there to be removed, if what was active has become just that; else the ids that have not.
    fn check(&self, before: &Before, now: &List) -> Result<(Counts, usize), Vec<String>> {
        let named = |content: &Content| -> BTreeMap<u32, Held> {
            content.entries.values().filter(|(n, _)| self.0.contains_key(n)).copied().collect()
        };
        let (was, is) = (named(&before.content), named(&now.content));
        let (mut counts, mut missing, mut wrong) = (Counts::default(), 0, Vec::new());
        for (n, said) in &self.0 {
            let was = was.get(n).copied();
            let wanted = said.map(|said| sources::put(was, said, Sources::LOCAL));
            counts.count(was, wanted);
            missing += usize::from(was.is_none() && wanted.is_none());
            if is.get(n).copied() != wanted {
                wrong.push(id(*n));
            }
        }
        let is_other = |(_, (n, _)): &(&EntryNo, &(u32, Held))| !self.0.contains_key(n);
        if !before.content.entries.iter().filter(is_other).eq(now.content.entries.iter().filter(is_other)) {
            wrong.push("others".to_owned());
        }
        if wrong.is_empty() { Ok((counts, missing)) } else { Err(wrong) }
    }
}

/// The ids of which a version has something else than a file made of what it was compared with.
fn not_as_imported(list: &List, version: VersionNo, file: &File, report: &ImportReport) -> Vec<String> {
    let before: Holding = list.content_of(report.compared_with).holding();
    let (expected, is) = (sources::imported(&before, file), list.content_of(version).holding());
    let ids: BTreeSet<u32> = expected.keys().chain(is.keys()).copied().collect();
    let differing = ids.into_iter().filter(|n| expected.get(n) != is.get(n));
    differing.map(|n| format!("{}: {:?} expected, {:?} imported", id(n), expected.get(&n), is.get(&n))).collect()
}
