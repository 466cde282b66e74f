//! Which lists are there for who asks?
//!
//! A list that is not among a principal's is to look as if it were not there: in what is said, and in how long it takes. So the catalog is asked
//! all the same, for a name that no list has, and answers what it answers for any list that is not there. Only what was asked is put back into its
//! words. Absent: which calls the principal may make at all, which the edge has seen to.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

use tonic::{Request, Status};

use super::convert::{self, Fault};
use super::{Options, middleware};
use crate::access::{Principal, Refusal, Role};
use crate::catalog::{CatalogError, ListInfo, PolicyUpdate};
use crate::entry::{Caller, HashKind, HashList, Polarity, check_list_name};
use crate::proto::v1;
use crate::verdict::Asked;

/// The beginning of names that no list has: nobody can guess it.
static NOWHERE: LazyLock<String> = LazyLock::new(|| {
    let random = || RandomState::new().build_hasher().finish();
    format!("nowhere-{:016x}{:016x}-", random(), random())
});

pub struct Asking {
    pub principal: Principal,
    call: &'static str,
    /// The names that were asked for instead of which the catalog is asked for others, by their number.
    hidden: Mutex<Vec<String>>,
}

impl Asking {
    pub fn of<T>(request: &Request<T>, call: &'static str) -> Self {
        Asking { principal: middleware::principal(request), call, hidden: Mutex::default() }
    }

    pub fn caller(&self) -> &Arc<Caller> {
        self.principal.caller()
    }

    /// Whether the list may be there for the caller; a no is counted.
    pub fn has(&self, name: &str) -> bool {
        let has = self.principal.rights().has_list(name);
        if !has {
            Refusal::List.tell(self.caller(), self.call);
        }
        has
    }

    /// The name to ask the catalog for.
    pub fn list(&self, name: String) -> String {
        // What can't be a name is refused as such, whoever asks.
        if check_list_name(&name).is_err() || self.has(&name) {
            return name;
        }
        let mut hidden = self.hidden.lock().unwrap_or_else(PoisonError::into_inner);
        hidden.push(name);
        format!("{}{}", *NOWHERE, hidden.len() - 1)
    }

    /// The name that was asked for.
    fn asked_for(&self, name: String) -> String {
        let hidden = self.hidden.lock().unwrap_or_else(PoisonError::into_inner);
        let number = name.strip_prefix(NOWHERE.as_str()).and_then(|number| number.parse::<usize>().ok());
        number.and_then(|number| hidden.get(number).cloned()).unwrap_or(name)
    }

    /// The catalog's words for the caller.
    pub fn status(&self, error: CatalogError) -> Status {
        let error = match error {
            CatalogError::NoSuchList(name) => CatalogError::NoSuchList(self.asked_for(name)),
            other => other,
        };
        convert::catalog_status(error)
    }

    /// An item, if its caller may bring what is in it. `path` is where it stands.
    pub fn item(&self, item: v1::MatchItem, path: &str, options: &Options) -> Result<convert::Item, Fault> {
        let is_hashes = matches!(item.content, Some(v1::match_item::Content::Hashes(_)));
        if is_hashes && !self.principal.rights().brings_hashes {
            Refusal::Hashes.tell(self.caller(), self.call);
            return Err(Fault::refused(format!("{path}.hashes"), &Refusal::Hashes));
        }
        convert::item(item, path, options)
    }

    /// The lists that an item asks, which were found to be there.
    pub fn asked(&self, names: Vec<String>) -> Asked {
        match &self.principal.rights().lists {
            Some(lists) if names.is_empty() => Asked::Among(lists.clone()),
            _ => convert::distinct(names).into(),
        }
    }

    /// Why the caller's call has to end, if it has.
    pub fn ended(&self) -> Option<Status> {
        let refusal = self.principal.ended()?;
        refusal.tell(self.caller(), self.call);
        Some(convert::refusal_status(refusal))
    }

    /// Whether a list of this name may be made: one that would not be there for its maker may not.
    pub fn may_create(&self, name: &str, polarity: Polarity, update: &PolicyUpdate) -> Result<(), Status> {
        if !self.principal.rights().has_list(name) {
            return Err(self.refuse("the caller has rights to other lists only, so it can't create one of this name"));
        }
        match polarity {
            Polarity::Negative if update.scope.as_ref().is_none_or(Vec::is_empty) => self.may_suppress_all(),
            _ => Ok(()),
        }
    }

    /// A policy's change with the names that the catalog is asked for.
    pub fn policy(&self, update: PolicyUpdate) -> Result<PolicyUpdate, Status> {
        let Some(scope) = update.scope else { return Ok(update) };
        if scope.is_empty() {
            self.may_suppress_all()?;
        }
        Ok(PolicyUpdate { scope: Some(scope.into_iter().map(|name| self.list(name)).collect()), ..update })
    }

    fn may_suppress_all(&self) -> Result<(), Status> {
        match self.principal.rights().lists {
            None => Ok(()),
            Some(_) => Err(self.refuse(
                "an empty scope means all lists, but the caller has rights to some of them: name the lists that are meant",
            )),
        }
    }

    /// Whether the caller has all lists, so that no change reaches beyond them.
    pub fn has_all_lists(&self) -> bool {
        self.principal.rights().lists.is_none()
    }

    /// Whether the list may be changed, which for a negative one changes what the lists in its scope match.
    pub fn may_change(&self, list: &HashList) -> Result<(), Status> {
        let (rights, scope) = (self.principal.rights(), &list.policy.scope);
        if self.has_all_lists() || list.polarity == Polarity::Positive {
            return Ok(());
        }
        if scope.is_empty() {
            return Err(self.refuse(
                "this negative list has no scope, so it suppresses matches of all lists, but the caller has rights to some of them: it can't change the list",
            ));
        }
        match scope.iter().all(|name| rights.has_list(name)) {
            true => Ok(()),
            false => Err(self.refuse(
                "this negative list suppresses matches of lists that the caller has no right to, so it can't change the list",
            )),
        }
    }

    /// Says in the log that two lists are compared: what the answer tells can be put together to a hash.
    pub fn tell_compared(&self, list: &str, other: &str, kind: HashKind, radius: Option<u16>) {
        if [list, other].iter().all(|name| check_list_name(name).is_ok()) {
            tracing::info!(by = self.caller().0, list, other, kind = kind.name(), radius, "lists are compared");
        }
    }

    /// Whether the caller may see an entry's hashes. That they were asked for is logged, whatever the answer.
    pub fn may_see_hashes(&self, list: &str) -> Result<(), Status> {
        if check_list_name(list).is_ok() {
            tracing::info!(by = self.caller().0, list, "the hashes of an entry are asked for");
        }
        match self.principal.rights().roles.contains(&Role::ListAdmin) {
            true => Ok(()),
            false => Err(self.refuse("an entry's hashes are for list admins")),
        }
    }

    /// Says in the log that entries are looked for: who chooses the hashes learns of those in the list.
    pub fn tell_sought(&self, list: &str) {
        if check_list_name(list).is_ok() {
            tracing::info!(by = self.caller().0, list, "entries are looked for");
        }
    }

    fn refuse(&self, why: &'static str) -> Status {
        let refusal = Refusal::BeyondLists(why);
        refusal.tell(self.caller(), self.call);
        convert::refusal_status(refusal)
    }

    /// A list without the names of others in its scope; that there are some is said, as an empty scope would mean all.
    pub fn shown(&self, mut info: ListInfo) -> ListInfo {
        let scope = &mut info.list.policy.scope;
        let all = scope.len();
        scope.retain(|name| self.principal.rights().has_list(name));
        info.scope_hidden = u32::try_from(all - scope.len()).unwrap_or(u32::MAX);
        if scope.len() < all {
            info.warnings.push("its scope names lists that the caller has no right to; they are not shown".to_owned());
        }
        info
    }

    /// Why a list can't be deleted may name another one.
    pub fn undeleted(&self, error: CatalogError) -> CatalogError {
        match error {
            CatalogError::Refused(_) if self.principal.rights().lists.is_some() => {
                CatalogError::Refused("the list is in the scope of a negative list: have it removed from there first".to_owned())
            }
            other => other,
        }
    }
}
