//! How does a room declare what can be set of it?
//!
//! By [`options!`]: each option stands once, with its reason, type, default and range, beside the code that heeds it. The configuration is
//! composed of such declarations and takes its keys, defaults and checks from them. What depends on options of another room is checked where
//! both are known.

use std::fmt::Display;
use std::ops::RangeInclusive;

/// An option with a value that it can't have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unfit {
    pub key: &'static str,
    /// What the value must be, in words.
    pub must: String,
}

/// Refuses a value outside of its range.
pub fn within<T: PartialOrd + Display>(key: &'static str, value: &T, range: RangeInclusive<T>) -> Result<(), Unfit> {
    match range.contains(value) {
        true => Ok(()),
        false => Err(Unfit { key, must: format!("must be between {} and {}, not {value}", range.start(), range.end()) }),
    }
}

/// Declares a struct of options: `pub NAME: TYPE = DEFAULT, in RANGE;`, the range only where the type allows more than works. A range may name
/// other options, as references. An option with `#[serde(skip)]` has no key: code sets it.
macro_rules! options {
    (
        $(#[$on_all:meta])*
        pub struct $name:ident {
            $( $(#[$on_one:meta])* pub $key:ident : $type:ty = $default:expr $(, in $range:expr)? ; )*
        }
    ) => {
        #[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
        #[serde(default)]
        $(#[$on_all])*
        pub struct $name {
            $( $(#[$on_one])* pub $key: $type, )*
        }

        impl Default for $name {
            fn default() -> Self {
                $name { $( $key: $default, )* }
            }
        }

        impl $name {
            /// Refuses the first value that is outside of its range.
            pub fn check_ranges(&self) -> Result<(), $crate::entry::options::Unfit> {
                #[allow(unused_variables)] // some have no range
                let $name { $( $key, )* } = self;
                $( $( $crate::entry::options::within(stringify!($key), $key, $range)?; )? )*
                Ok(())
            }
        }
    };
}
pub(crate) use options;

/// For options that are a choice of another type: kept as its name. `#[serde(with = "by_name")]`.
pub mod by_name {
    use serde::{Deserialize, Deserializer, Serializer, de};
    use std::fmt::Display;
    use std::str::FromStr;

    pub fn serialize<T: Display, S: Serializer>(value: &T, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(value)
    }

    pub fn deserialize<'de, T: FromStr<Err: Display>, D: Deserializer<'de>>(deserializer: D) -> Result<T, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    options! {
        /// For the test.
        pub struct Limits {
            pub frame_max: u64 = 10, in 1..=100;
            pub all_max: u64 = 20, in *frame_max..=1_000;
            pub name: String = "x".to_owned();
        }
    }

    #[test]
    fn a_value_outside_of_its_range_is_refused_by_its_key() {
        let check = |limits: Limits, expected: Result<(), (&str, &str)>| {
            let found = limits.check_ranges().map_err(|unfit| (unfit.key, unfit.must));
            assert_eq!(found, expected.map_err(|(key, must)| (key, must.to_owned())));
        };
        let all = Limits::default();
        check(all.clone(), Ok(()));
        check(Limits { frame_max: 1, ..all.clone() }, Ok(()));
        check(Limits { frame_max: 0, ..all.clone() }, Err(("frame_max", "must be between 1 and 100, not 0")));
        check(Limits { frame_max: 21, ..all.clone() }, Err(("all_max", "must be between 21 and 1000, not 20")));
        check(Limits { all_max: 1_001, ..all }, Err(("all_max", "must be between 10 and 1000, not 1001")));
    }
}
