//! What does a reply look like? The doors' values to messages. Times are ms since the Unix epoch, ages seconds.

use std::collections::BTreeMap;

use crate::catalog::{
    BadRow, Bundled, DiffCategory, DiffReport, EditReport, ExportReport, Finding, FindingKind, Hold, ImportReport, ListInfo,
    OverlapCategory, OverlapHub, OverlapReport, Phase, PictureHashes, Progress,
};
use crate::entry::{
    Action, HashKind, HashValue, LeftOut, ListPolicy, ListVersion, MadeBy, Observation, Polarity, Reason, Transform, VIEW_SIDE,
    VersionState, View, ViewKind,
};
use crate::lists::{ColumnUse, Format};
use crate::matcher::Hashed;
use crate::proto::v1;
use crate::verdict::{Match, Outcome, Verdict, ViewCounts};

/// How hashes are taken here: kind and version of the code that takes it, which rises when a change alters hashes.
pub const ALGORITHMS: &str = "pdq-full/1 phash64/1 dhash64/1";

/// `ages` are the seconds since each of the verdict's list versions was made, in the verdict's order.
pub fn verdict(verdict: Verdict, ages: &[Option<u64>]) -> v1::Verdict {
    let lists = verdict.lists.into_iter().enumerate();
    v1::Verdict {
        outcome: outcome(verdict.outcome) as i32,
        reason: verdict.reason.map_or(0, reason),
        detail: verdict.detail,
        left_out: left_out(verdict.left_out),
        action: verdict.action.map_or(0, action),
        matches: verdict.matches.into_iter().map(a_match).collect(),
        suppressed: verdict.suppressed.into_iter().map(a_match).collect(),
        cut: Some(verdict.cut),
        pdq_quality: verdict.pdq_quality.map(u32::from),
        snapshot: verdict.snapshot,
        lists: lists
            .map(|(n, (list, version))| v1::AskedList { list, version: version.0, age_seconds: ages.get(n).copied().flatten() })
            .collect(),
        algorithms: ALGORITHMS.to_owned(),
        views: Some(view_counts(verdict.views)),
        shadow_matches: verdict.shadow.into_iter().map(a_match).collect(),
    }
}

fn view_counts(counts: ViewCounts) -> v1::ViewCounts {
    v1::ViewCounts { searched: counts.searched, cut: counts.cut }
}

/// What one list that was asked takes in a verdict, about.
pub const ASKED_LIST_BYTES: u64 = 96;

/// What a verdict takes in memory until it is sent, about.
pub fn verdict_bytes(verdict: &Verdict) -> u64 {
    let of_match = |m: &Match| 320 + m.list.len() + m.entry_id.len() + m.category.len();
    let matches = verdict.matches.iter().chain(&verdict.suppressed).chain(&verdict.shadow).map(of_match).sum::<usize>();
    let left_out = verdict.left_out.iter().map(|part| 48 + part.0.len()).sum::<usize>();
    let lists = verdict.lists.len() as u64 * ASKED_LIST_BYTES;
    (512 + verdict.detail.len() + matches + left_out) as u64 + lists
}

fn a_match(found: Match) -> v1::Match {
    v1::Match {
        list: found.list,
        entry_id: found.entry_id,
        category: found.category,
        kind: kind(found.kind),
        distance: Some(found.distance.into()),
        threshold: Some(found.threshold.into()),
        transform: transform(found.transform),
        frame: Some(found.frame),
        exact: found.exact,
        action: action(found.action),
        view: Some(view(found.view)),
        chance: Some(found.chance),
    }
}

fn view(view: View) -> v1::View {
    let fraction = |n: i16| f64::from(n) / f64::from(VIEW_SIDE);
    v1::View {
        kind: view_kind(view.kind),
        corners: view.corners.iter().map(|(x, y)| v1::Point { x: fraction(*x), y: fraction(*y) }).collect(),
        degrees: f64::from(view.degrees) / 100.0,
    }
}

fn view_kind(kind: ViewKind) -> i32 {
    let kind = match kind {
        ViewKind::Whole => v1::ViewKind::Whole,
        ViewKind::Extended => v1::ViewKind::Extended,
        ViewKind::Window => v1::ViewKind::Window,
        ViewKind::Turned => v1::ViewKind::Turned,
    };
    kind as i32
}

fn outcome(outcome: Outcome) -> v1::Outcome {
    match outcome {
        Outcome::Match => v1::Outcome::Match,
        Outcome::NotScanned => v1::Outcome::NotScanned,
        Outcome::Partial => v1::Outcome::Partial,
        Outcome::NoMatch => v1::Outcome::NoMatch,
    }
}

fn reason(reason: Reason) -> i32 {
    let reason = match reason {
        Reason::Undecodable => v1::Reason::Undecodable,
        Reason::Unsupported => v1::Reason::Unsupported,
        Reason::Empty => v1::Reason::Empty,
        Reason::TooLarge => v1::Reason::TooLarge,
        Reason::TooManyPixels => v1::Reason::TooManyPixels,
        Reason::Timeout => v1::Reason::Timeout,
        Reason::Crashed => v1::Reason::Crashed,
        Reason::Shed => v1::Reason::Shed,
        Reason::LowQuality => v1::Reason::LowQuality,
        Reason::NoList => v1::Reason::NoList,
        Reason::Video => v1::Reason::Video,
    };
    reason as i32
}

fn action(action: Action) -> i32 {
    let action = match action {
        Action::Observe => v1::Action::Observe,
        Action::Review => v1::Action::Review,
        Action::Block => v1::Action::Block,
    };
    action as i32
}

pub(super) fn kind(kind: HashKind) -> i32 {
    let kind = match kind {
        HashKind::Pdq => v1::HashKind::Pdq,
        HashKind::Phash64 => v1::HashKind::Phash64,
        HashKind::Dhash64 => v1::HashKind::Dhash64,
        HashKind::Md5 => v1::HashKind::Md5,
        HashKind::Sha1 => v1::HashKind::Sha1,
        HashKind::Sha256 => v1::HashKind::Sha256,
        HashKind::PhotoDna => v1::HashKind::Photodna,
    };
    kind as i32
}

fn transform(transform: Transform) -> i32 {
    let transform = match transform {
        Transform::Identity => v1::Transform::Identity,
        Transform::Rot90 => v1::Transform::Rot90,
        Transform::Rot180 => v1::Transform::Rot180,
        Transform::Rot270 => v1::Transform::Rot270,
        Transform::FlipX => v1::Transform::Flipx,
        Transform::FlipY => v1::Transform::Flipy,
        Transform::FlipPlus1 => v1::Transform::Flipplus1,
        Transform::FlipMinus1 => v1::Transform::Flipminus1,
    };
    transform as i32
}

fn left_out(parts: Vec<LeftOut>) -> Vec<String> {
    parts.into_iter().map(|part| part.0).collect()
}

/// A file's hashes: the caller's own file, so they are shown.
pub fn hashed(hashed: Hashed) -> v1::HashResponse {
    let digests = hashed.digests.values().iter().map(|digest| hash(digest, None)).collect();
    let mut reply = v1::HashResponse { digests, algorithms: ALGORITHMS.to_owned(), ..v1::HashResponse::default() };
    match hashed.features {
        Ok(features) => {
            reply.observations = features.seen.iter().map(observation).collect();
            reply.left_out = left_out(features.left_out);
        }
        Err(unscanned) => {
            reply.reason = reason(unscanned.reason);
            reply.detail = unscanned.detail;
        }
    }
    reply
}

pub(super) fn hash(value: &HashValue, quality: Option<u8>) -> v1::Hash {
    v1::Hash { kind: kind(value.kind()), hex: value.hex(), quality: quality.map(u32::from) }
}

fn observation(seen: &Observation) -> v1::Observation {
    v1::Observation { hash: Some(hash(&seen.hash, seen.quality)), transform: transform(seen.transform), frame: seen.frame }
}

pub fn hash_list(info: ListInfo) -> v1::HashList {
    let list = info.list;
    let polarity = match list.polarity {
        Polarity::Positive => v1::Polarity::Positive,
        Polarity::Negative => v1::Polarity::Negative,
    };
    v1::HashList {
        name: list.name,
        number: list.id.0,
        polarity: polarity as i32,
        policy: Some(policy(list.policy)),
        active_version: list.active.0,
        previous_version: list.previous.0,
        head_version: list.head.0,
        disabled: list.disabled,
        rows: info.rows,
        update_time: (info.updated_ms > 0).then(|| timestamp(info.updated_ms)),
        import_time: (info.imported_ms > 0).then(|| timestamp(info.imported_ms)),
        hashes: info.hashes.into_iter().map(|(of, hashes)| v1::HashCount { kind: kind(of), hashes }).collect(),
        warnings: info.warnings,
        scope_hidden: info.scope_hidden,
        sources: list.sources,
    }
}

fn policy(policy: ListPolicy) -> v1::ListPolicy {
    let of_kind = |(of, p): (HashKind, crate::entry::KindPolicy)| v1::KindPolicy {
        kind: kind(of),
        radius: p.radius.into(),
        action: action(p.action),
    };
    let of_category = |((category, of), radius): ((String, HashKind), u16)| v1::RadiusRule {
        category: Some(category),
        kind: kind(of),
        radius: radius.into(),
    };
    v1::ListPolicy {
        kinds: policy.kinds.into_iter().map(of_kind).collect(),
        category_radii: policy.category_radii.into_iter().map(of_category).collect(),
        quality_min: policy.quality_min.into(),
        transforms: policy.transforms.iter().map(transform).collect(),
        scope: policy.scope,
        views: policy.views.iter().map(|(of, radius)| v1::ViewRule { kind: view_kind(*of), radius: (*radius).into() }).collect(),
        view_action_max: action(policy.view_action_max),
        pdq_dialect: policy.pdq_dialect as i32,
        category_actions: policy
            .category_actions
            .into_iter()
            .map(|((category, of), to)| v1::ActionRule { category: Some(category), kind: Some(kind(of)), action: action(to) })
            .collect(),
        shadow: policy.shadow,
        disputes_max: policy.disputes_max,
        owner: policy.about.owner,
        provenance: policy.about.provenance,
        legal_basis: policy.about.legal_basis,
    }
}

pub(super) fn timestamp(ms: u64) -> prost_types::Timestamp {
    prost_types::Timestamp { seconds: (ms / 1000) as i64, nanos: (ms % 1000) as i32 * 1_000_000 }
}

pub fn version(version: ListVersion) -> v1::HashListVersion {
    let state = match version.state {
        VersionState::Staged => v1::VersionState::Staged,
        VersionState::Sealed => v1::VersionState::Sealed,
        VersionState::Undone => v1::VersionState::Undone,
    };
    v1::HashListVersion {
        version: version.version.0,
        state: state as i32,
        rows: version.rows,
        digest: version.digest.to_vec(),
        source: version.source,
        create_time: Some(timestamp(version.time_ms)),
        list_number: version.list.0,
        edit: version.made_by == MadeBy::Edit,
        activated: version.activated,
        parent: version.parent.0,
    }
}

pub fn edit_report(report: EditReport) -> v1::EditReport {
    v1::EditReport {
        version: report.version.0,
        added: report.added,
        changed: report.changed,
        removed: report.removed,
        unchanged: report.unchanged,
        details_changed: report.details_changed,
        missing: report.missing,
        ids: report.ids,
    }
}

/// An entry that was made of a picture.
pub fn added_picture(taken: PictureHashes, report: Option<EditReport>, verdict: Option<v1::Verdict>) -> v1::AddPictureResponse {
    let kinds: BTreeMap<HashKind, u64> = taken.hashes.iter().fold(BTreeMap::new(), |mut kinds, hash| {
        *kinds.entry(hash.kind()).or_default() += 1;
        kinds
    });
    v1::AddPictureResponse {
        report: report.map(edit_report),
        pdq_quality: taken.quality.map(u32::from),
        hashes: kinds.into_iter().map(|(of, hashes)| v1::HashCount { kind: kind(of), hashes }).collect(),
        verdict,
    }
}

pub fn diff_report(report: DiffReport) -> v1::DiffVersionsResponse {
    let category = |of: DiffCategory| v1::DiffCategory {
        category: of.category,
        added: of.added,
        removed: of.removed,
        changed: of.changed,
        moved_in: of.moved_in,
        moved_out: of.moved_out,
    };
    v1::DiffVersionsResponse {
        added: report.added,
        removed: report.removed,
        changed: report.changed,
        reclassified: report.reclassified,
        categories: report.categories.into_iter().map(category).collect(),
    }
}

pub fn overlap_report(report: OverlapReport) -> v1::OverlapReport {
    let category = |OverlapCategory { category, entries, exact, near, differing }: OverlapCategory| v1::OverlapCategory {
        category,
        entries,
        exact,
        near,
        differing,
    };
    let hub = |hub: OverlapHub| v1::OverlapHub { entry_id: hub.entry_id, neighbours: hub.neighbours };
    v1::OverlapReport {
        kind: kind(report.kind),
        radius: report.radius.into(),
        entries: report.entries,
        other_entries: report.other_entries,
        exact: report.exact,
        near: report.near,
        differing: report.differing,
        pairs: report.pairs,
        categories: report.categories.into_iter().map(category).collect(),
        hubs: report.hubs.into_iter().map(hub).collect(),
    }
}

pub(super) fn phase(phase: Phase) -> v1::ImportPhase {
    match phase {
        Phase::Reading => v1::ImportPhase::Reading,
        Phase::Writing => v1::ImportPhase::Writing,
        Phase::Indexing => v1::ImportPhase::Indexing,
    }
}

pub fn export_report(report: ExportReport) -> v1::ExportReport {
    let ExportReport { version, entries, bytes, stopped, left_out, hashes_left_out } = report;
    v1::ExportReport { version: version.0, entries, bytes, stopped, left_out, hashes_left_out }
}

pub(super) fn hold(hold: Hold) -> i32 {
    match hold {
        Hold::BadRows => v1::ImportHold::BadRows as i32,
        Hold::LargeChange => v1::ImportHold::LargeChange as i32,
        Hold::Findings => v1::ImportHold::Findings as i32,
    }
}

pub(super) fn format(format: Option<Format>) -> v1::ListFormat {
    match format {
        None => v1::ListFormat::Unspecified,
        Some(Format::Csv) => v1::ListFormat::Csv,
        Some(Format::PdqText) => v1::ListFormat::PdqText,
        Some(Format::StopnciiJson) => v1::ListFormat::StopnciiJson,
        Some(Format::ThreatexchangeJson) => v1::ListFormat::ThreatexchangeJson,
        Some(Format::VicsJson) => v1::ListFormat::VicsJson,
        Some(Format::NcmecXml) => v1::ListFormat::NcmecXml,
        Some(Format::Bundle) => v1::ListFormat::Bundle,
    }
}

pub fn progress(progress: Progress) -> v1::ImportProgress {
    v1::ImportProgress {
        phase: phase(progress.phase) as i32,
        bytes: progress.bytes,
        rows: progress.rows,
        bad_rows: progress.rows_bad,
    }
}

pub fn import_report(report: ImportReport) -> v1::ImportReport {
    let bad_row = |bad: BadRow| v1::BadRow { line: bad.line, reason: bad.reason, record: bad.record, file: bad.file };
    let column = |(column, number): (ColumnUse, u32)| v1::ImportColumn {
        number,
        name: column.name,
        used_as: column.used_as.unwrap_or_default().to_owned(),
    };
    let finding = |finding: Finding| v1::Finding {
        entry_id: finding.entry_id,
        kind: match finding.kind {
            FindingKind::Degenerate => v1::FindingKind::Degenerate as i32,
            FindingKind::Featureless => v1::FindingKind::Featureless as i32,
            FindingKind::Shared => v1::FindingKind::Shared as i32,
            FindingKind::Crowded => v1::FindingKind::Crowded as i32,
            FindingKind::Benign => v1::FindingKind::Benign as i32,
            FindingKind::Contradicted => v1::FindingKind::Contradicted as i32,
        },
        reason: finding.reason,
    };
    v1::ImportReport {
        version: report.version.map(|v| v.0),
        activated: report.activated,
        compared_with: report.compared_with.0,
        format: format(report.format) as i32,
        hashes: report.hashes.into_iter().map(|(of, hashes)| v1::HashCount { kind: kind(of), hashes }).collect(),
        warnings: report.warnings,
        rows: report.rows,
        bad_row_count: report.rows_bad,
        bad_rows: report.bad.into_iter().map(bad_row).collect(),
        added: report.added,
        changed: report.changed,
        gone: report.gone,
        unchanged: report.unchanged,
        entries: report.entries,
        bytes: report.bytes,
        held: report.held.into_iter().map(hold).collect(),
        columns: report.columns.into_iter().zip(1..).map(column).collect(),
        merged_row_count: report.rows_merged,
        bundle: report.bundle.map(|Bundled { signer, list, version, exported }| v1::ImportedBundle {
            signer,
            list,
            version,
            exported,
        }),
        bad_in_part_row_count: report.rows_bad_in_part,
        unsought_row_count: report.rows_unsought,
        details_changed: report.details_changed,
        kept: report.kept,
        withdrawn_row_count: report.rows_withdrawn,
        finding_count: report.findings,
        findings: report.found.into_iter().map(finding).collect(),
        unread_row_count: report.rows_unread,
    }
}
