//! What does a list say of an entry that no column of a CSV has a place for?
//!
//! One JSON object, in the column `hashwarden` of an exported CSV and in each line of a bundle: the details as they are, and an id or a category
//! that a CSV's reader would trim. What is empty is left out. Invariant: what [`Said::of`] wrote, [`Said::read`] reads as it was.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use super::value::check_text;
use crate::entry::{CATEGORY_BYTES_MAX, Details, ENTRY_ID_BYTES_MAX};

/// The name of the column.
pub(super) const COLUMN: &str = "hashwarden";

#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Said<'a> {
    /// Where it is not what the column says, trimmed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub category: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "is_empty")]
    pub tags: Cow<'a, [String]>,
    #[serde(skip_serializing_if = "str::is_empty")]
    pub note: Cow<'a, str>,
    #[serde(skip_serializing_if = "str::is_empty")]
    pub updated: Cow<'a, str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub quality: Option<u8>,
    /// Names and values.
    #[serde(skip_serializing_if = "is_empty")]
    pub fields: Cow<'a, [(String, String)]>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub cut: bool,
}

fn is_empty<T: Clone>(items: &[T]) -> bool {
    items.is_empty()
}

impl<'a> Said<'a> {
    pub fn of(details: &'a Details) -> Self {
        Said {
            id: None,
            category: None,
            tags: Cow::Borrowed(&details.tags),
            note: Cow::Borrowed(&details.note),
            updated: Cow::Borrowed(&details.updated),
            quality: details.quality,
            fields: Cow::Borrowed(&details.fields),
            cut: details.cut,
        }
    }

    /// As text; empty where there is nothing to say.
    pub fn text(&self) -> String {
        match *self == Said::default() {
            true => String::new(),
            // It holds strings and numbers, which are always JSON.
            false => serde_json::to_string(self).unwrap_or_default(),
        }
    }

    /// Reads what [`Said::text`] wrote.
    pub fn read(text: &'a str) -> Result<Self, String> {
        if text.is_empty() {
            return Ok(Said::default());
        }
        let said: Said<'_> = serde_json::from_str(text).map_err(|_| "it is not what an export writes there".to_owned())?;
        said.check()?;
        Ok(said)
    }

    pub fn check(&self) -> Result<(), String> {
        check_text("id", self.id.as_deref().unwrap_or_default(), ENTRY_ID_BYTES_MAX)?;
        check_text("category", self.category.as_deref().unwrap_or_default(), CATEGORY_BYTES_MAX)?;
        match self.quality {
            Some(101..) => Err("the quality is beyond 100".to_owned()),
            _ => Ok(()),
        }
    }

    pub fn details(self) -> Details {
        Details {
            tags: self.tags.into_owned(),
            note: self.note.into_owned(),
            updated: self.updated.into_owned(),
            quality: self.quality,
            fields: self.fields.into_owned(),
            cut: self.cut,
        }
    }
}
