//! Views from a list's policy to the verdict, over a real store: what they find, what they never change, and what a deadline does to them.

#![allow(clippy::unwrap_used)]

use std::cell::Cell;
use std::path::Path;
use std::sync::{Arc, Mutex, mpsc};
use std::time::{Duration, Instant};

use hashwarden::app;
use hashwarden::catalog::{Catalog, FORMAT_DERIVED, ImportOptions, NewEntry, PolicyUpdate, RadiusRule};
use hashwarden::config::Config;
use hashwarden::decode::Limits;
use hashwarden::demo::pictures;
use hashwarden::entry::{
    Action, Caller, HashKind, HashValue, Observation, Pdq, Polarity, Transform, Transforms, View, ViewKind, ViewRule, ViewSet,
};
use hashwarden::extract::{Extractor, Features, InProcess, Unscanned, Wants};
use hashwarden::index::random::Random;
use hashwarden::lists::{Format, Mapping};
use hashwarden::matcher::{Content, Job, Matcher};
use hashwarden::snapshot::{KindSet, Published, QUERIES_SURE, Question, Workspace};
use hashwarden::store::{Access, Store};
use hashwarden::verdict::{Asked, Outcome, Verdict, ViewCounts};
use image::{GenericImageView, ImageFormat, RgbImage};

const FAR: Duration = Duration::from_secs(60);

fn by() -> Caller {
    Caller("test".to_owned())
}

fn png(picture: &RgbImage) -> Vec<u8> {
    let mut bytes = std::io::Cursor::new(Vec::new());
    picture.write_to(&mut bytes, ImageFormat::Png).unwrap();
    bytes.into_inner()
}

/// A drawn picture, and what is left of it when four per cent of each side are cut off: further than any radius for the whole.
fn picture_and_crop(seed: u64) -> (Vec<u8>, Vec<u8>) {
    let picture = pictures::draw(seed, 500, 400);
    let crop = picture.view(20, 16, 460, 368).to_image();
    (png(&picture), png(&crop))
}

fn pdq_of(bytes: &[u8]) -> HashValue {
    InProcess::new(Limits::default(), Instant::now).extract(bytes, &Wants::ALL, Instant::now() + FAR).unwrap().seen[0]
        .hash
        .clone()
}

fn add(catalog: &Catalog, list: &str, id: &str, hash: HashValue) {
    let entry = NewEntry { id: Some(id.to_owned()), category: "A1".to_owned(), hashes: vec![hash], ..NewEntry::default() };
    catalog.add(&by(), list, vec![entry]).unwrap();
}

fn classes(classes: &[ViewKind]) -> PolicyUpdate {
    PolicyUpdate { views: Some(classes.iter().copied().collect()), ..PolicyUpdate::default() }
}

fn ask(matcher: &Matcher, bytes: &[u8], views: Option<ViewSet>, until: Instant) -> Verdict {
    let (send, answer) = mpsc::channel();
    let job = Job { content: Content::Image(bytes.to_vec()), lists: Asked::All, views, until, caller: by() };
    matcher.submit(job, move |a| send.send(a).unwrap());
    answer.recv().unwrap().verdict
}

struct Bench {
    catalog: Arc<Catalog>,
    matcher: Matcher,
}

fn open(dir: &Path, config: &Config) -> Bench {
    let (catalog, matcher) = app::matching(dir, config, Access::Write).unwrap();
    Bench { catalog, matcher }
}

impl Bench {
    fn create(&self, name: &str, polarity: Polarity, update: &PolicyUpdate) {
        self.catalog.create(&by(), name, polarity, update).unwrap();
    }

    fn ask(&self, bytes: &[u8], views: Option<ViewSet>) -> Verdict {
        ask(&self.matcher, bytes, views, Instant::now() + FAR)
    }

    /// A verdict on hashes of a whole and of views.
    fn judge(&self, seen: Vec<Observation>, views: Vec<Observation>, late: &dyn Fn() -> bool) -> Verdict {
        let kinds = KindSet::default().with(HashKind::Pdq);
        let question = Question { seen, views, kinds, ..Question::default() };
        self.matcher.snapshot().answer(&[question], &mut Workspace::default(), QUERIES_SURE, late).0.remove(0)
    }
}

#[test]
fn a_cropped_picture_is_found_through_a_view_where_its_list_lets_it_count() {
    let dir = tempfile::tempdir().unwrap();
    let bench = open(dir.path(), &Config::default());
    let (picture, crop) = picture_and_crop(1);
    bench.create("known", Polarity::Positive, &PolicyUpdate::default());
    add(&bench.catalog, "known", "one", pdq_of(&picture));
    assert_eq!(bench.ask(&crop, None).outcome, Outcome::Match, "all classes count in a new list");

    bench.catalog.set(&by(), "known", &classes(&[])).unwrap();
    let verdict = bench.ask(&crop, None);
    assert_eq!((verdict.outcome, verdict.views), (Outcome::NoMatch, ViewCounts::default()));
    // Nor are they looked up for a list of equal hashes alone.
    let radius = |radius| PolicyUpdate {
        radii: vec![RadiusRule { category: None, kind: HashKind::Pdq, radius }],
        ..classes(&ViewKind::CLASSES)
    };
    bench.catalog.set(&by(), "known", &radius(0)).unwrap();
    let verdict = bench.ask(&crop, None);
    assert_eq!((verdict.outcome, verdict.views), (Outcome::NoMatch, ViewCounts::default()));
    bench.catalog.set(&by(), "known", &radius(31)).unwrap();
    assert!(bench.ask(&crop, None).views.searched > 0);
    bench.catalog.set(&by(), "known", &classes(&[ViewKind::Turned])).unwrap();
    assert_eq!(bench.ask(&crop, None).outcome, Outcome::NoMatch);
    bench.catalog.set(&by(), "known", &classes(&[ViewKind::Extended])).unwrap();
    let verdict = bench.ask(&crop, None);
    assert_eq!((verdict.outcome, verdict.action, verdict.matches.len()), (Outcome::Match, Some(Action::Review), 1));
    assert!(verdict.views.searched > 0 && verdict.views.cut == 0);
    let found = &verdict.matches[0];
    assert_eq!((found.entry_id.as_str(), found.view.kind, found.threshold, found.exact), ("one", ViewKind::Extended, 31, false));
    assert!(found.chance > 0.0 && found.chance < 1e-9, "{}", found.chance);
    // The view lies where the picture was.
    let [(left, top), _, (right, bottom), _] = found.view.corners;
    assert!(left < 0 && top < 0 && right > 10_000 && bottom > 10_000, "{:?}", found.view);

    // The whole is found as before, and shown as the whole.
    let verdict = bench.ask(&picture, None);
    assert_eq!((verdict.matches.len(), verdict.matches[0].view, verdict.matches[0].distance), (1, View::WHOLE, 0));
    // An item can do without.
    let verdict = bench.ask(&crop, Some(ViewSet::Whole));
    assert_eq!((verdict.outcome, verdict.views), (Outcome::NoMatch, ViewCounts::default()));
    // A disabled list asks for nothing.
    bench.catalog.set_disabled(&by(), "known", true).unwrap();
    assert_eq!(bench.ask(&crop, None).views, ViewCounts::default());
}

#[test]
fn the_default_for_views_is_the_configurations() {
    let dir = tempfile::tempdir().unwrap();
    let mut config = Config::default();
    config.views.default = ViewSet::Whole;
    let bench = open(dir.path(), &config);
    let (picture, crop) = picture_and_crop(2);
    bench.create("known", Polarity::Positive, &classes(&[ViewKind::Extended]));
    add(&bench.catalog, "known", "one", pdq_of(&picture));
    assert_eq!(bench.ask(&crop, None).outcome, Outcome::NoMatch);
    assert_eq!(bench.ask(&crop, Some(ViewSet::All)).outcome, Outcome::Match);
}

/// The same snapshot and picture give the same verdict, also over a restart and whatever else is looked up.
#[test]
fn views_give_the_same_verdict_every_time() {
    let dir = tempfile::tempdir().unwrap();
    let files: Vec<_> = (0..6).map(picture_and_crop).collect();
    let ask_all = |bench: &Bench| files.iter().map(|(_, crop)| bench.ask(crop, None)).collect::<Vec<_>>();
    let first = {
        let bench = open(dir.path(), &Config::default());
        bench.create("known", Polarity::Positive, &classes(&ViewKind::CLASSES));
        for (n, (picture, _)) in files.iter().enumerate() {
            add(&bench.catalog, "known", &n.to_string(), pdq_of(picture));
        }
        let first = ask_all(&bench);
        assert_eq!(first, ask_all(&bench));
        first
    };
    assert!(first.iter().any(|verdict| verdict.matches.iter().any(|m| m.view.kind != ViewKind::Whole)));
    assert_eq!(first, ask_all(&open(dir.path(), &Config::default())));
}

/// An extractor with something that happens before and after its work.
struct Around {
    extractor: InProcess,
    before: Mutex<Option<Box<dyn FnOnce() + Send>>>,
    after: Duration,
}

impl Extractor for Around {
    fn extract(&self, bytes: &[u8], wants: &Wants, until: Instant) -> Result<Features, Unscanned> {
        if let Some(happens) = self.before.lock().unwrap().take() {
            happens();
        }
        let features = self.extractor.extract(bytes, wants, until + FAR);
        std::thread::sleep(self.after);
        features
    }
}

fn around(dir: &Path, after: Duration) -> (Arc<Catalog>, Arc<Around>, Matcher) {
    let store = Arc::new(Store::open(dir, Access::Write, FORMAT_DERIVED).unwrap());
    let published = Arc::new(Published::default());
    let catalog = Arc::new(Catalog::open(store, Access::Write, Default::default(), Some(published.clone())).unwrap());
    let extractor = InProcess::new(Limits::default(), Instant::now);
    let extractor = Arc::new(Around { extractor, before: Mutex::default(), after });
    (catalog, extractor.clone(), Matcher::new(published, extractor, Default::default()).unwrap())
}

/// The answering snapshot decides, and it is loaded after decoding.
#[test]
fn a_list_that_lets_views_count_while_a_picture_is_decoded_has_them() {
    let dir = tempfile::tempdir().unwrap();
    let (catalog, extractor, matcher) = around(dir.path(), Duration::ZERO);
    let (picture, crop) = picture_and_crop(1);
    catalog.create(&by(), "known", Polarity::Positive, &PolicyUpdate::default()).unwrap();
    add(&catalog, "known", "one", pdq_of(&picture));
    let change = |update: PolicyUpdate| {
        let catalog = catalog.clone();
        let happens = Box::new(move || drop(catalog.set(&by(), "known", &update).unwrap()));
        *extractor.before.lock().unwrap() = Some(happens);
        ask(&matcher, &crop, None, Instant::now() + FAR)
    };
    assert_eq!(change(classes(&[ViewKind::Extended])).outcome, Outcome::Match);
    let verdict = change(classes(&[]));
    assert_eq!((verdict.outcome, verdict.views), (Outcome::NoMatch, ViewCounts::default()));
}

/// A picture whose time is over once it is hashed still has its whole looked up, and the verdict says that its views were not. So it is where
/// there is some time, but hardly enough to make views and to hand the verdict over after that.
#[test]
fn the_whole_stands_where_time_is_over_before_its_views_are_made() {
    for taken_ms in [600, 470] {
        the_whole_stands_after(Duration::from_millis(taken_ms));
    }
}

fn the_whole_stands_after(taken: Duration) {
    let dir = tempfile::tempdir().unwrap();
    let (catalog, _, matcher) = around(dir.path(), taken);
    let (picture, crop) = picture_and_crop(1);
    catalog.create(&by(), "known", Polarity::Positive, &classes(&[ViewKind::Extended])).unwrap();
    add(&catalog, "known", "one", pdq_of(&picture));
    let ask = |bytes: &[u8]| ask(&matcher, bytes, None, Instant::now() + Duration::from_millis(500));
    for (bytes, outcome) in [(&picture, Outcome::Match), (&crop, Outcome::NoMatch)] {
        let verdict = ask(bytes);
        assert_eq!((verdict.outcome, verdict.reason, verdict.views), (outcome, None, ViewCounts { searched: 0, cut: 1 }));
    }
}

fn pdq(n: u64) -> HashValue {
    let mut random = Random(n);
    HashValue::Pdq(Pdq(std::array::from_fn(|_| random.next())))
}

fn flipped(hash: &HashValue, bits: usize) -> HashValue {
    let HashValue::Pdq(Pdq(mut words)) = hash.clone() else { panic!("a PDQ") };
    (0..bits).for_each(|bit| words[bit / 64] ^= 1 << (bit % 64));
    HashValue::Pdq(Pdq(words))
}

fn seen(hash: HashValue, view: View) -> Observation {
    Observation { hash, transform: Transform::Identity, frame: 0, rendering: 0, quality: Some(100), view }
}

/// A window of so many ten-thousandths of the picture's height.
fn window(height: i16) -> View {
    View::upright(ViewKind::Window, (0, 0), (10_000, height))
}

#[test]
fn views_are_looked_up_as_the_lists_asked_let_them_count() {
    let dir = tempfile::tempdir().unwrap();
    let bench = open(dir.path(), &Config::default());
    let turned = Transforms(Transforms::IDENTITY.0 | 1 << Transform::FlipY as u8);
    let radius = |kind, radius| ViewRule { kind, radius };
    let update = PolicyUpdate {
        view_radii: vec![radius(ViewKind::Window, 20)],
        transforms: Some(turned),
        ..classes(&[ViewKind::Window, ViewKind::Extended])
    };
    bench.create("narrow", Polarity::Positive, &update);
    add(&bench.catalog, "narrow", "n", pdq(1));
    let update = PolicyUpdate { view_radii: vec![radius(ViewKind::Window, 39)], ..classes(&[ViewKind::Window]) };
    bench.create("wide", Polarity::Positive, &update);
    add(&bench.catalog, "wide", "w", flipped(&pdq(1), 60));
    let views = |view: View, transform| vec![Observation { transform, ..seen(flipped(&pdq(1), 25), view) }];
    let whole = || vec![seen(pdq(9), View::WHOLE)];
    let ask = |views: Vec<Observation>, list: Option<&str>| {
        let lists = list.into_iter().map(str::to_owned).collect();
        let question =
            Question { seen: whole(), views, lists, kinds: KindSet::default().with(HashKind::Pdq), ..Question::default() };
        let verdict = bench.matcher.snapshot().answer(&[question], &mut Workspace::default(), 1, &|| false).0.remove(0);
        (verdict.views.searched, verdict.matches.iter().map(|m| m.entry_id.clone()).collect::<Vec<_>>())
    };
    let none = Vec::<String>::new;
    // 25 bits from the one, 35 from the other.
    assert_eq!(ask(views(window(5_000), Transform::Identity), None), (1, vec!["w".to_owned()]));
    assert_eq!(ask(views(window(5_000), Transform::Identity), Some("narrow")), (1, none()));
    let extended = View::upright(ViewKind::Extended, (-100, -100), (10_100, 10_100));
    assert_eq!(ask(views(extended, Transform::Identity), None), (1, vec!["n".to_owned()]));
    assert_eq!(ask(views(extended, Transform::FlipY), None), (1, vec!["n".to_owned()]));
    assert_eq!(ask(views(extended, Transform::Rot90), None), (0, none()), "no list with this class admits it");
    assert_eq!(ask(views(extended, Transform::Identity), Some("wide")), (0, none()), "no list asked for has this class");
    let view = View { kind: ViewKind::Turned, ..extended };
    assert_eq!(ask(views(view, Transform::Identity), None), (0, none()));
    assert_eq!(ask(Vec::new(), None), (0, none()));
}

/// A batch that is broken off decides nothing, so that a verdict never rests on half of the views.
#[test]
fn views_are_looked_up_together_or_not_at_all() {
    let dir = tempfile::tempdir().unwrap();
    let bench = open(dir.path(), &Config::default());
    bench.create("known", Polarity::Positive, &classes(&[ViewKind::Window]));
    let rows: String = (0..20_000).map(|n| format!("e{n},{}\n", HashValue::hex(&pdq(n % 10_000)))).collect();
    import(&bench.catalog, "known", &format!("id,pdq\n{rows}"));
    let views = || (0..2_000).map(|n| seen(pdq(n), window(n as i16 + 1))).collect::<Vec<_>>();
    let whole = || vec![seen(flipped(&pdq(3), 3), View::WHOLE)];
    let all = bench.judge(whole(), views(), &|| false);
    assert_eq!((all.views, all.matches.len()), (ViewCounts { searched: 2_000, cut: 0 }, 100));

    let without = bench.judge(whole(), Vec::new(), &|| false);
    assert_eq!((without.outcome, without.matches.len()), (Outcome::Match, 2));
    // The first times are asked before the batch; from the last on it is over.
    let asked = Cell::new(0);
    bench.judge(whole(), views(), &|| asked.replace(asked.get() + 1) > u32::MAX - 1);
    assert!(asked.get() >= 2, "the batch is asked on the way");
    for late_at in 0..asked.get() {
        let asked = Cell::new(0);
        let late = || asked.replace(asked.get() + 1) >= late_at;
        let cut = bench.judge(whole(), views(), &late);
        assert_eq!(cut.views, ViewCounts { searched: 0, cut: 2_000 }, "late at {late_at}");
        assert_eq!(Verdict { views: without.views, ..cut }, without, "late at {late_at}");
    }
}

fn import(catalog: &Catalog, list: &str, csv: &str) {
    let options = ImportOptions {
        format: Some(Format::Csv),
        mapping: Mapping::default(),
        source: "rows.csv".to_owned(),
        activate: true,
        dry_run: false,
        accept: true,
        ..ImportOptions::default()
    };
    catalog.import(&by(), list, &options, &mut csv.as_bytes(), &mut |_| {}).unwrap();
}

/// A negative entry that lies beyond its own list's radius and the radii for the whole still speaks against views of nearly all of it.
#[test]
fn a_negative_entry_near_the_whole_suppresses_views_of_it() {
    let dir = tempfile::tempdir().unwrap();
    let bench = open(dir.path(), &Config::default());
    let narrow = vec![RadiusRule { category: None, kind: HashKind::Pdq, radius: 31 }];
    let update = PolicyUpdate {
        view_radii: vec![ViewRule { kind: ViewKind::Window, radius: 39 }],
        radii: narrow,
        ..classes(&[ViewKind::Window])
    };
    bench.create("known", Polarity::Positive, &update);
    bench.create("harmless", Polarity::Negative, &PolicyUpdate::default());
    add(&bench.catalog, "known", "one", pdq(1));
    add(&bench.catalog, "harmless", "logo", pdq(2));
    let ask = |off: usize, height: i16| {
        let whole = vec![seen(flipped(&pdq(2), off), View::WHOLE)];
        bench.judge(whole, vec![seen(flipped(&pdq(1), 37), window(height))], &|| false)
    };
    let verdict = ask(36, 9_000);
    assert_eq!((verdict.outcome, verdict.suppressed.len(), verdict.views.searched), (Outcome::NoMatch, 1, 1));
    assert_eq!(ask(38, 9_000).outcome, Outcome::Match);
    assert_eq!(ask(36, 5_000).outcome, Outcome::Match);
}

/// Tens of thousands of hits in views are thinned out: the whole's stay, each view keeps what an outcome turns on, and a negative entry
/// in one part of the picture is not lost for the many in another.
#[test]
fn very_many_hits_in_views_cost_no_match() {
    const EQUAL: u64 = 40_000;
    let dir = tempfile::tempdir().unwrap();
    let mut config = Config::default();
    config.import.check = false; // so many equal hashes would be quarantined
    let bench = open(dir.path(), &config);
    bench.create("known", Polarity::Positive, &classes(&[ViewKind::Window]));
    bench.create("harmless", Polarity::Negative, &PolicyUpdate::default());
    let rows: String = (0..EQUAL).map(|n| format!("e{n:06},{}\n", pdq(1).hex())).collect();
    import(
        &bench.catalog,
        "known",
        &format!("id,pdq\n{rows}other,{}\nwhole,{}\nalone,{}\n", pdq(2).hex(), pdq(3).hex(), pdq(4).hex()),
    );
    let harmless = [flipped(&pdq(1), 3).hex(), pdq(5).hex()];
    let rows: String = (0..EQUAL).map(|n| format!("h{n:06},{}\n", harmless[n as usize % 2])).collect();
    import(&bench.catalog, "harmless", &format!("id,pdq\n{rows}logo,{}\n", pdq(2).hex()));
    let part = |top, bottom| View::upright(ViewKind::Window, (0, top), (10_000, bottom));
    let (upper, middle, lower) = (part(0, 4_000), part(4_000, 6_000), part(6_000, 10_000));
    let whole = || vec![seen(flipped(&pdq(3), 30), View::WHOLE)];
    let ask = |views: &[(u64, usize, View)]| {
        let views = views.iter().map(|(n, off, view)| seen(flipped(&pdq(*n), *off), *view)).collect();
        let verdict = bench.judge(whole(), views, &|| false);
        let mut standing: Vec<_> = verdict.matches.iter().map(|m| m.entry_id.clone()).collect();
        standing.sort();
        (standing, verdict.cut)
    };
    // Nearer than the harmless ones, all stand.
    let (standing, cut) = ask(&[(1, 0, upper); 4]);
    assert!(standing.contains(&"whole".to_owned()) && standing.contains(&"e000000".to_owned()), "{standing:?}");
    assert!(cut > EQUAL / 2 && cut <= EQUAL, "{cut}");
    // As near as these they are suppressed, and what is seen elsewhere is not.
    assert_eq!(ask(&[(1, 3, upper), (1, 3, upper)]).0, ["whole"]);
    assert_eq!(ask(&[(1, 3, upper), (4, 6, middle)]).0, ["alone", "whole"]);
    assert_eq!(ask(&[(5, 0, upper), (2, 5, middle)]).0, ["whole"]);
    let (standing, _) = ask(&[(1, 3, upper), (1, 0, lower), (2, 5, middle)]);
    assert!(standing.len() > 1 && !standing.contains(&"other".to_owned()), "{standing:?}");
}
