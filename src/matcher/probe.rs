//! Which hashes did a match come of?
//!
//! A digest stands for them, so that whoever counts how many different ones a caller asks with keeps none of them. Of hashes that a caller
//! brings it stands for all PDQ hashes of the item, and of a picture for those of its frames as they are stored: with one of them changed, the
//! answer tells something else. A match through a view adds the view's hash. Pure, and the same in every process: who keeps it adds a key.

use super::Probe;
use crate::entry::{HashKind, HashValue, Observation, Transform, ViewKind};
use crate::snapshot::Question;
use crate::verdict::{Match, Verdict};

pub fn probes(verdict: &Verdict, question: &Question) -> Vec<Probe> {
    let mut whole = None;
    let by_pdq =
        verdict.matches.iter().chain(&verdict.suppressed).chain(&verdict.shadow).filter(|found| found.kind == HashKind::Pdq);
    let probe = |found: &Match| {
        let whole = *whole.get_or_insert_with(|| of_whole(&question.seen));
        let digest = match found.view.kind {
            ViewKind::Whole => whole,
            _ => mixed(whole, question.views.iter().find(|view| is_of(view, found)).map_or(0, |view| digest(&view.hash))),
        };
        let at_edge = 4 * u32::from(found.distance) > 3 * u32::from(found.threshold);
        Probe { list: found.list.clone(), entry_id: found.entry_id.clone(), digest, at_edge }
    };
    by_pdq.map(probe).collect()
}

fn is_of(view: &Observation, found: &Match) -> bool {
    (view.view, view.transform, view.frame) == (found.view, found.transform, found.frame)
}

/// The others are the same ones mirrored and turned.
fn of_whole(seen: &[Observation]) -> u64 {
    let stored = seen.iter().filter(|seen| seen.hash.kind() == HashKind::Pdq && seen.transform == Transform::Identity);
    let mut digests: Vec<u64> = stored.map(|seen| digest(&seen.hash)).collect();
    digests.sort_unstable();
    digests.dedup();
    digests.into_iter().fold(0, mixed)
}

fn digest(hash: &HashValue) -> u64 {
    hash.to_vec()
        .chunks(8)
        .fold(0, |digest, bytes| mixed(digest, bytes.iter().fold(0, |word, byte| word << 8 | u64::from(*byte))))
}

/// The finaliser of MurmurHash3 between words: each bit of either turns about half of the bits.
fn mixed(digest: u64, word: u64) -> u64 {
    let mut mixed = digest.rotate_left(5).wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ word;
    mixed = (mixed ^ (mixed >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    mixed = (mixed ^ (mixed >> 33)).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    mixed ^ (mixed >> 33)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    fn seen(hex: &str, transform: Transform) -> Observation {
        let mut question = Question::default();
        question.push(HashValue::from_hex(HashKind::Pdq, hex).unwrap(), None);
        Observation { transform, ..question.seen.remove(0) }
    }

    #[test]
    fn one_bit_makes_another_question_and_order_does_not() {
        let hash = "f8f8f0cce0f4e84d0e370a22028f67f0b36e2ed596623e1d33e6b39c4e9c9b22";
        let bits = (0..256).map(|n| {
            let mut bytes = hex::decode(hash).unwrap();
            bytes[n / 8] ^= 1 << (n % 8);
            of_whole(&[seen(&hex::encode(bytes), Transform::Identity)])
        });
        let digests: BTreeSet<u64> = bits.chain([of_whole(&[seen(hash, Transform::Identity)])]).collect();
        assert_eq!(digests.len(), 257);

        let frames = |order: [&str; 2]| of_whole(&order.map(|hex| seen(hex, Transform::Identity)));
        let (one, two) = (hash, &"0f".repeat(32));
        assert_eq!(frames([one, two]), frames([two, one]));
        assert_ne!(frames([one, two]), frames([one, one]));
        // Mirrored it is the same picture.
        assert_eq!(of_whole(&[seen(one, Transform::Identity), seen(two, Transform::FlipX)]), frames([one, one]));
    }
}
