//! What does a version hold, in 32 bytes?
//!
//! A row's digest is the SHA-256 of its canonical content; a version's is the sum of its rows' modulo 2^256, so that it is kept
//! up to date by one addition or subtraction per row and does not depend on order. Sums of hashes modulo a power of two resist
//! accidents and casual tampering, not an attacker who can choose millions of rows (Wagner 2002, the generalised birthday
//! problem): the chain of changes is what binds the history.

use crate::entry::{Details, Entry, Sources};
use sha2::{Digest, Sha256};

/// SHA-256 of the entry's canonical content.
pub fn row_digest(entry: &Entry) -> [u8; 32] {
    let mut bytes = Vec::with_capacity(512);
    super::keys::put_content(&mut bytes, entry);
    sha256(&bytes)
}

/// What tells an entry's details from others; zeros where there are none.
pub fn details_digest(details: &Details) -> [u8; 16] {
    if details.is_empty() { [0; 16] } else { fingerprint(&sha256(&super::wire::write_details(details))) }
}

/// What tells what is said of an entry, by its row's digest, from what is said of others.
pub fn said_digest(row: &[u8; 32], sources: Sources, details: &[u8; 16]) -> [u8; 32] {
    sha256(&[&row[..], &sources.0.to_be_bytes(), details].concat())
}

/// `sum + digest` modulo 2^256, both big-endian.
pub fn digest_add(sum: &mut [u8; 32], digest: &[u8; 32]) {
    let mut carry = 0u16;
    for (a, b) in sum.iter_mut().zip(digest).rev() {
        carry += u16::from(*a) + u16::from(*b);
        *a = carry as u8;
        carry >>= 8;
    }
}

/// `sum - digest` modulo 2^256, both big-endian.
pub fn digest_sub(sum: &mut [u8; 32], digest: &[u8; 32]) {
    let mut borrow = false;
    for (a, b) in sum.iter_mut().zip(digest).rev() {
        let (first, under) = a.overflowing_sub(*b);
        let (second, under_again) = first.overflowing_sub(u8::from(borrow));
        *a = second;
        borrow = under || under_again;
    }
}

pub(super) fn sha256(bytes: &[u8]) -> [u8; 32] {
    Sha256::digest(bytes).into()
}

pub(super) fn fingerprint(digest: &[u8; 32]) -> [u8; 16] {
    // A 32-byte array has a first half.
    std::array::from_fn(|i| digest[i])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entry::{Hash64, HashValue};

    fn number(low: u128) -> [u8; 32] {
        let mut out = [0; 32];
        out[16..].copy_from_slice(&low.to_be_bytes());
        out
    }

    #[test]
    fn sums_carry_and_borrow_across_all_bytes() {
        let all = [0xff; 32];
        for (a, b, sum) in [
            (number(1), number(2), number(3)),
            (number(u64::MAX.into()), number(1), number(1 << 64)),
            (all, number(1), [0; 32]),
            (all, all, {
                let mut s = all;
                s[31] = 0xfe;
                s
            }),
        ] {
            let mut added = a;
            digest_add(&mut added, &b);
            assert_eq!(added, sum);
            digest_sub(&mut added, &b);
            assert_eq!(added, a);
        }
    }

    #[test]
    fn every_part_of_an_entry_is_in_its_digest() {
        let entry = |id: &str, category: &str, hash| {
            row_digest(&Entry::new(id.into(), category.into(), vec![HashValue::Phash64(Hash64(hash))]).unwrap())
        };
        let base = entry("a", "b", 1);
        assert_eq!(base, entry("a", "b", 1));
        for other in [entry("x", "b", 1), entry("a", "x", 1), entry("a", "b", 2), entry("ba", "", 1)] {
            assert_ne!(base, other);
        }
    }
}
