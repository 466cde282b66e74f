//! Was every verdict what its snapshot's number says, and every operation what it was asked to be?
//!
//! The changes are followed from the first one. After each the answers that were given under its number are compared with those of
//! the reference, and the change with the operation that made it.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use hashwarden::entry::{ChangeOp, Entry, EntryNo, ListId, ListPolicy, VersionNo};

use super::history::{History, Step, list_of};
use super::operations::{Act, Done, Outcome, operation_of, polarity};
use super::reference::{Answer, Content, List, State};
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
    /// The operations whose file was seen as a version.
    imported: BTreeSet<String>,
    pub checked: usize,
    pub skipped: usize,
}

/// A list before a change.
struct Before {
    active: VersionNo,
    previous: VersionNo,
    policy: ListPolicy,
    content: Arc<Content>,
}

impl<'a> Check<'a> {
    pub fn new(universe: &'a Universe, history: &'a History, done: &'a [Vec<Done>], answers: &'a Answers) -> Self {
        let last = history.steps.iter().filter(|step| step.shows()).map(|step| (step.by.as_str(), step.seq)).collect();
        let (state, lost) = (State::default(), BTreeSet::new());
        Check { universe, history, done, answers, state, last, lost, imported: BTreeSet::new(), checked: 0, skipped: 0 }
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
                    Outcome::Edited(report) => report.added + report.changed + report.removed > 0,
                    Outcome::Deleted => true,
                    Outcome::Listed(_) => done.operation.act == Act::Create,
                    Outcome::Imported(_) | Outcome::LookedUp | Outcome::Refused(_) => false,
                };
                assert!(last.is_some() || !changes, "{by} says that it made a change, and there is none: {done:?}");
            }
        }
    }

    fn step(&mut self, step: &Step) {
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
            content: list.content.clone(),
        });
        self.state.apply(op, &step.rows);
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

    /// An import's version holds what the file holds. Where there were edits meanwhile, another one is written on top of it, which is told.
    fn check_sealed(&mut self, step: &Step, done: &Done, list: ListId, version: VersionNo) {
        let (Act::Import { file, .. }, Outcome::Imported(report)) = (&done.operation.act, &done.outcome) else { return };
        let list = &self.state.lists[&list];
        let content = list.content_of(version);
        if !self.imported.insert(step.by.clone()) {
            let told = (report.version, report.entries as usize);
            assert_eq!(told, (Some(version), content.len()), "{done:?}\n{}", self.history.around(step.seq));
            return;
        }
        let as_told =
            report.version > Some(version) || report.version == Some(version) && report.entries as usize == content.len();
        let differing = differing(self.universe, file, &content);
        if !as_told || !differing.is_empty() {
            let around = self.history.around(step.seq);
            panic!("version {} of list {} is not what was imported; ids {differing:?}: {done:?}\n{around}", version.0, list.name);
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
                let edits = Edits::of(self.universe, act);
                let counts = edits.check(before, now);
                let counted = (report.added, report.changed, report.removed, report.unchanged, report.missing.len() as u64);
                report.version == now.active && counts == Ok(counted)
            }
            (Act::Set(update), _) => update.apply(&before.policy).as_ref() == Ok(&now.policy),
            (Act::Disable(disabled), _) => now.disabled == *disabled,
            (Act::RollBack, _) => (now.active, now.previous) == (before.previous, before.active),
            (Act::Activate { .. }, _) => now.active != before.active && now.previous == before.active,
            (Act::Import { file, .. }, Outcome::Imported(report)) => {
                report.activated && self.check_survivors(step, done, file, now)
            }
            _ => false,
        };
        if right {
            String::new()
        } else {
            format!("it was asked for another change, or tells another one, than it made of list {}", now.name)
        }
    }

    /// What an import activated is the file, and over it what was edited while it ran. Of what was edited before it was seen to run it is
    /// not known which came first.
    fn check_survivors(&self, step: &Step, done: &Done, file: &File, now: &List) -> bool {
        let (mut sure, mut unsure) = (BTreeMap::new(), BTreeSet::new());
        let meanwhile =
            self.history.steps.iter().filter(|other| other.seq > done.began && other.seq < step.seq && other.by != step.by);
        for other in meanwhile.filter(|other| self.last.get(other.by.as_str()) == Some(&other.seq)) {
            let Some(by) = self.done(other).filter(|by| by.operation.list == done.operation.list) else { continue };
            match &by.operation.act {
                Act::Add(_) | Act::Remove(_) if other.seq > done.running => {
                    let mut edits = Edits::of(self.universe, &by.operation.act).0;
                    // Of what was not there to be removed it was said so.
                    if let Outcome::Edited(report) = &by.outcome {
                        report.missing.iter().for_each(|id| drop(edits.remove(id)));
                    }
                    sure.extend(edits);
                }
                Act::Add(_) | Act::Remove(_) => unsure.extend(Edits::of(self.universe, &by.operation.act).0.into_keys()),
                // What counts as edited then is not said here.
                Act::RollBack | Act::Activate { .. } => return true,
                _ => {}
            }
        }
        // An add that changed nothing is in no change, and is kept all the same.
        for other in self.done.iter().flatten().filter(|other| other.operation.list == done.operation.list) {
            let beside = other.seen >= done.began && other.began <= step.seq;
            if let (Act::Add(_), Outcome::Edited(report), true) = (&other.operation.act, &other.outcome, beside)
                && report.unchanged > 0
            {
                unsure.extend(Edits::of(self.universe, &other.operation.act).0.into_keys());
            }
        }
        let by_id: HashMap<&str, &Arc<Entry>> = now.content.values().map(|entry| (entry.id.as_str(), entry)).collect();
        let is_right = |id: &String, wanted: &Option<Arc<Entry>>| by_id.get(id.as_str()).copied() == wanted.as_ref();
        let lost: Vec<_> = sure.iter().filter(|(id, wanted)| !is_right(id, wanted)).map(|(id, _)| id).collect();
        let differing = differing(self.universe, file, &now.content);
        let altered: Vec<_> = differing.iter().filter(|id| !sure.contains_key(*id) && !unsure.contains(*id)).collect();
        if lost.is_empty() && altered.is_empty() {
            return true;
        }
        let list = step.op.as_ref().map(list_of);
        let since = self.history.steps.iter().filter(|other| other.seq > done.began && other.seq <= step.seq);
        let since: Vec<_> = since.filter(|other| other.op.as_ref().map(list_of) == list).map(ToString::to_string).collect();
        println!(
            "edits of {lost:?} are lost, {altered:?} are not as the file has them; the list's changes since:\n{}",
            since.join("\n")
        );
        false
    }
}

/// What each id is to be.
struct Edits(BTreeMap<String, Option<Arc<Entry>>>);

impl Edits {
    fn of(universe: &Universe, act: &Act) -> Self {
        Edits(match act {
            Act::Add(entries) => {
                entries.iter().map(|(n, variant)| (id(*n), Some(universe.entry(*n, *variant).clone()))).collect()
            }
            Act::Remove(ids) => ids.iter().map(|n| (id(*n), None)).collect(),
            _ => BTreeMap::new(),
        })
    }

    /// How many were added, changed, removed, unchanged and missing, if what was active has become just that; else the ids that have not.
    fn check(&self, before: &Before, now: &List) -> Result<(u64, u64, u64, u64, u64), Vec<String>> {
        let only = |these: &Content, those: &Content| -> BTreeMap<String, Arc<Entry>> {
            let alone = these.iter().filter(|(number, _)| !those.contains_key(number));
            alone.map(|(_, entry)| (entry.id.clone(), entry.clone())).collect()
        };
        let (gone, come) = (only(&before.content, &now.content), only(&now.content, &before.content));
        let stayed = |id: &String| before.content.values().find(|entry| entry.id == *id && !gone.contains_key(id));
        let (mut counts, mut wrong) = ((0, 0, 0, 0, 0), Vec::new());
        for (id, wanted) in &self.0 {
            let (was, is) = (gone.get(id).or(stayed(id)), come.get(id).or(stayed(id)));
            if is != wanted.as_ref() {
                wrong.push(id.clone());
            }
            let count = match (was, wanted) {
                (None, Some(_)) => &mut counts.0,
                (Some(was), Some(wanted)) if was != wanted => &mut counts.1,
                (Some(_), None) => &mut counts.2,
                (Some(_), Some(_)) => &mut counts.3,
                (None, None) => &mut counts.4,
            };
            *count += 1;
        }
        let others = gone.keys().chain(come.keys()).filter(|id| !self.0.contains_key(*id) && gone.get(*id) != come.get(*id));
        wrong.extend(others.cloned());
        if wrong.is_empty() { Ok(counts) } else { Err(wrong) }
    }
}

/// The ids of which a version holds another content than the file.
fn differing(universe: &Universe, file: &File, content: &BTreeMap<EntryNo, Arc<Entry>>) -> Vec<String> {
    let rows = file.rows();
    let mut held: BTreeMap<u32, &Arc<Entry>> = BTreeMap::new();
    let mut differing = Vec::new();
    for entry in content.values() {
        if held.insert(universe.number(&entry.id), entry).is_some() {
            differing.push(entry.id.clone()); // there twice
        }
    }
    for (n, variant) in &rows {
        if held.remove(n) != Some(universe.entry(*n, *variant)) {
            differing.push(id(*n));
        }
    }
    differing.extend(held.into_keys().map(id));
    differing
}
