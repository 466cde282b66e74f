//! Which role may make which call? The one place that says so; docs/security.md has the same table for people, and a test holds both, and the
//! services' descriptors, against this one.

use super::rights::Role;
use Need::{Knowing, Nothing, OneOf, Seeing, Token};
use Role::{Auditor, ListAdmin, Matcher, Operator, Reviewer};

/// What a call needs where callers are asked for tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Need {
    /// Not even a token.
    Nothing,
    /// A token, whatever its roles.
    Token,
    OneOf(&'static [Role]),
    /// One of these roles, and the right to see.
    Seeing(&'static [Role]),
    /// One of these roles, and both rights of who may know the lists' hashes: to see, and to bring hashes.
    Knowing(&'static [Role]),
}

/// Who may read what a list is and what versions it has.
const READERS: Need = OneOf(&[ListAdmin, Reviewer, Auditor, Operator]);
/// Who may change lists.
const ADMINS: Need = OneOf(&[ListAdmin]);
/// Who may compare lists: with a list of chosen hashes the counts of near ones tell any hash of the other list, bit by bit.
const COMPARERS: Need = Knowing(&[ListAdmin]);
/// Who may read what a list says of an entry. Its hashes are for list admins alone.
const VIEWERS: Need = OneOf(&[ListAdmin, Reviewer]);
/// Who may look for entries by hashes of their own.
const FINDERS: Need = Knowing(&[ListAdmin, Reviewer]);
/// Who may have lists whole, hashes included.
const EXPORTERS: Need = Seeing(&[ListAdmin]);
const MATCHERS: Need = OneOf(&[Matcher]);

/// The operator port's pages, but for those that probes ask for, where the port asks who calls.
pub const PAGES: Need = OneOf(&[Operator]);

/// Every call that the server knows, by its path.
pub const TABLE: &[(&str, Need)] = &[
    ("/hashwarden.v1.MatchService/Match", MATCHERS),
    ("/hashwarden.v1.MatchService/MatchStream", MATCHERS),
    ("/hashwarden.v1.MatchService/Hash", MATCHERS),
    ("/hashwarden.v1.HashListService/CreateHashList", ADMINS),
    ("/hashwarden.v1.HashListService/GetHashList", READERS),
    ("/hashwarden.v1.HashListService/ListHashLists", READERS),
    ("/hashwarden.v1.HashListService/UpdateHashList", ADMINS),
    ("/hashwarden.v1.HashListService/DeleteHashList", ADMINS),
    ("/hashwarden.v1.HashListService/ImportEntries", ADMINS),
    ("/hashwarden.v1.HashListService/AddEntries", ADMINS),
    ("/hashwarden.v1.HashListService/AddPicture", ADMINS),
    ("/hashwarden.v1.HashListService/RemoveEntries", ADMINS),
    ("/hashwarden.v1.HashListService/GetEntry", VIEWERS),
    ("/hashwarden.v1.HashListService/FindEntries", FINDERS),
    ("/hashwarden.v1.HashListService/SetEntryMark", ADMINS),
    ("/hashwarden.v1.HashListService/ListHashListVersions", READERS),
    ("/hashwarden.v1.HashListService/DiffVersions", READERS),
    ("/hashwarden.v1.HashListService/MatchAsOf", FINDERS),
    ("/hashwarden.v1.HashListService/OverlapLists", COMPARERS),
    ("/hashwarden.v1.HashListService/ActivateVersion", ADMINS),
    ("/hashwarden.v1.HashListService/RollBackVersion", ADMINS),
    ("/hashwarden.v1.HashListService/ExportEntries", EXPORTERS),
    ("/hashwarden.v1.HashListService/SetSource", ADMINS),
    ("/hashwarden.v1.HashListService/ListSources", READERS),
    ("/hashwarden.v1.HashListService/UnsetSource", ADMINS),
    ("/hashwarden.v1.HashListService/FetchSource", ADMINS),
    ("/hashwarden.v1.HashListService/SendFeedback", VIEWERS),
    // Probes have no token, and learn only whether the service works.
    ("/grpc.health.v1.Health/Check", Nothing),
    ("/grpc.health.v1.Health/Watch", Nothing),
    // What it tells is public, but it is nobody's business who has no token.
    ("/grpc.reflection.v1.ServerReflection/ServerReflectionInfo", Token),
    ("/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo", Token),
];

/// What a call needs; one that is not in the table nobody may make.
pub fn need(path: &str) -> Need {
    TABLE.iter().find(|(of, _)| *of == path).map_or(OneOf(&[]), |(_, need)| *need)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_that_is_not_in_the_table_nobody_may_make() {
        assert_eq!(need("/hashwarden.v1.MatchService/Unmatch"), OneOf(&[]));
        assert_eq!(need("/hashwarden.v1.MatchService/Match"), OneOf(&[Matcher]));
    }

    /// People read the same table.
    #[test]
    fn the_table_for_people_is_the_one_that_holds() {
        let text = include_str!("../../docs/security.md");
        let heads: Vec<_> = Role::ALL.iter().map(|role| format!("{role} | ")).collect();
        assert!(text.contains(&format!("| call | {}", heads.concat().trim_end())), "the roles are the table's columns");
        let named = |path: &'static str| {
            let (service, call) = path.trim_start_matches('/').split_once('/').unwrap();
            if service.starts_with("hashwarden.") { call } else { service.rsplit_once(".v1").unwrap().0 }
        };
        let calls = TABLE.iter().map(|(path, need)| (named(path), need));
        for (name, need) in calls.chain([("/metrics", &PAGES)]) {
            let cells = Role::ALL.map(|role| match need {
                Nothing => "no token",
                Token => "yes",
                OneOf(roles) if roles.contains(&role) => "yes",
                Seeing(roles) if roles.contains(&role) => "with `--sees`",
                Knowing(roles) if roles.contains(&role) => "with both rights",
                OneOf(_) | Seeing(_) | Knowing(_) => "",
            });
            let row = text.lines().find(|line| line.starts_with('|') && line.contains(&format!("`{name}`")));
            let row = row.unwrap_or_else(|| panic!("no row for {name} in docs/security.md"));
            let found: Vec<_> = row.trim_matches('|').split('|').skip(1).map(str::trim).collect();
            assert_eq!(found, cells, "{row}");
        }
    }
}
