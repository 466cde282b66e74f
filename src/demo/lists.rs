//! What does a hash list look like as a file?
//!
//! Writes entries in the formats that [`crate::lists`] reads, for the demo, tests and benches, and makes up hashes for them: no hash
//! here belongs to a picture of the world.

use std::io::{self, Write};

use super::pictures::Random;
use crate::entry::{Bits, Entry, HashKind, HashValue, Pdq};

/// Writes `pdq <hex>` a line, as the `threatexchange` tool reads it.
pub fn write_pdq_text<'a>(hashes: impl IntoIterator<Item = &'a Pdq>, out: &mut dyn Write) -> io::Result<()> {
    let mut line = *b"pdq 0000000000000000000000000000000000000000000000000000000000000000\n";
    for hash in hashes {
        hex::encode_to_slice(hash.to_bytes(), &mut line[4..68]).map_err(io::Error::other)?;
        out.write_all(&line)?;
    }
    Ok(())
}

/// Writes a CSV file with a header: id, category, and one column for each of `kinds`.
///
/// # Errors
/// `InvalidInput` where an entry has two hashes of a kind, or one of a kind that has no column; else what `out` says.
pub fn write_csv<'a>(entries: impl IntoIterator<Item = &'a Entry>, kinds: &[HashKind], out: &mut dyn Write) -> io::Result<()> {
    let names: Vec<_> = kinds.iter().map(|kind| kind.name()).collect();
    writeln!(out, "id,category,{}", names.join(","))?;
    for entry in entries {
        write!(out, "{},{}", quoted(&entry.id), quoted(&entry.category))?;
        let mut written = 0;
        for kind in kinds {
            let hash = entry.hashes.iter().find(|hash| hash.kind() == *kind);
            written += usize::from(hash.is_some());
            write!(out, ",{}", hash.map_or(String::new(), HashValue::hex))?;
        }
        if written != entry.hashes.len() {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                format!("an entry has a hash that no column of {} takes", names.join(", ")),
            ));
        }
        writeln!(out)?;
    }
    Ok(())
}

/// Writes the `threatexchange` tool's CSV: `signal_type,signal_str,collab,category,tags`, one row for each hash. Ids do not fit in it.
pub fn write_threatexchange_csv<'a>(
    entries: impl IntoIterator<Item = &'a Entry>,
    collab: &str,
    out: &mut dyn Write,
) -> io::Result<()> {
    writeln!(out, "signal_type,signal_str,collab,category,tags")?;
    for entry in entries {
        for hash in &entry.hashes {
            writeln!(out, "{},{},{},{},", hash.kind(), hash.hex(), quoted(collab), quoted(&entry.category))?;
        }
    }
    Ok(())
}

/// `n` hashes with 128 of 256 bits set, as the hash of every picture with some detail has; two of them are 128 +- 8 bits apart.
pub fn random_pdq(seed: u64, n: usize) -> Vec<Pdq> {
    let mut random = Random::new(seed);
    (0..n)
        .map(|_| {
            let mut words = [0; 4].map(|_: u64| random.next_u64());
            let mut set: u32 = words.iter().map(|word| word.count_ones()).sum();
            while set != 128 {
                let bit = random.below(256);
                let (word, mask) = (&mut words[bit / 64], 1 << (bit % 64));
                if (*word & mask != 0) == (set > 128) {
                    *word ^= mask;
                    set = if set > 128 { set - 1 } else { set + 1 };
                }
            }
            Pdq(words)
        })
        .collect()
}

/// A hash at exactly `distance` bits from another one; at 256 where more is asked.
pub fn near_pdq(hash: &Pdq, distance: u16, random: &mut Random) -> Pdq {
    let mut near = *hash;
    while near.distance(hash) < distance.min(256) {
        let bit = random.below(256);
        let mask = 1 << (bit % 64);
        near.0[bit / 64] = (near.0[bit / 64] & !mask) | (!hash.0[bit / 64] & mask);
    }
    near
}

/// A field in quotes where it needs them.
fn quoted(field: &str) -> String {
    if field.contains([',', '"', '\r', '\n']) || field.trim() != field {
        return format!("\"{}\"", field.replace('"', "\"\""));
    }
    field.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lists::{Format, Mapping, Row, read};
    use proptest::prelude::*;
    use std::ops::ControlFlow;

    fn rows(format: Format, bytes: &[u8]) -> Vec<Row> {
        assert_eq!(Format::sniff(bytes), Some(format));
        let mut rows = Vec::new();
        let each = &mut |row: Result<Row, _>| {
            rows.push(row.unwrap());
            ControlFlow::Continue(())
        };
        read(format, &Mapping::default(), &mut &bytes[..], each).unwrap();
        rows
    }

    #[test]
    fn random_hashes_look_like_those_of_pictures() {
        let hashes = random_pdq(7, 2_000);
        assert!(hashes.iter().all(|hash| hash.0.iter().map(|word| word.count_ones()).sum::<u32>() == 128));
        let distances: Vec<f64> = hashes.windows(2).map(|pair| f64::from(pair[0].distance(&pair[1]))).collect();
        let mean = distances.iter().sum::<f64>() / distances.len() as f64;
        let spread = (distances.iter().map(|d| (d - mean) * (d - mean)).sum::<f64>() / distances.len() as f64).sqrt();
        assert!((mean - 128.0).abs() < 1.0 && (spread - 8.0).abs() < 1.0, "{mean} {spread}");
        assert_eq!(random_pdq(7, 10), hashes[..10]);
        assert_ne!(random_pdq(8, 10), hashes[..10]);
    }

    #[test]
    fn near_hashes_lie_where_they_should() {
        let mut random = Random::new(1);
        for distance in [0, 1, 31, 128, 255, 256, 999] {
            let hash = random_pdq(u64::from(distance), 1)[0];
            assert_eq!(near_pdq(&hash, distance, &mut random).distance(&hash), distance.min(256));
        }
    }

    #[test]
    fn pdq_text_reads_back() {
        let hashes = random_pdq(1, 100);
        let mut file = Vec::new();
        write_pdq_text(&hashes, &mut file).unwrap();
        let read = rows(Format::PdqText, &file);
        assert_eq!(read.iter().map(|row| row.line).collect::<Vec<_>>(), (1..=100).collect::<Vec<_>>());
        assert_eq!(
            read.into_iter().flat_map(|row| row.hashes).collect::<Vec<_>>(),
            hashes.into_iter().map(HashValue::Pdq).collect::<Vec<_>>()
        );
    }

    #[test]
    fn a_hash_without_a_column_is_not_dropped_unseen() {
        let hashes = vec![HashValue::Md5([1; 16]), HashValue::Md5([2; 16])];
        for (kinds, hashes) in [(vec![HashKind::Md5], hashes.clone()), (vec![HashKind::Pdq], hashes[..1].to_vec())] {
            let entry = Entry::new("a".to_owned(), String::new(), hashes).unwrap();
            assert_eq!(write_csv([&entry], &kinds, &mut Vec::new()).unwrap_err().kind(), io::ErrorKind::InvalidInput);
        }
    }

    fn entries() -> impl Strategy<Value = Vec<Entry>> {
        let entry = ("[ -~äß€]{1,20}", "[ -~é]{0,12}", any::<[u8; 32]>(), any::<[u8; 20]>(), 1u8..8).prop_map(
            |(id, category, long, short, kinds)| {
                let mut hashes = vec![
                    HashValue::from_bytes(HashKind::Pdq, &long).unwrap(),
                    HashValue::Sha1(short),
                    HashValue::Phash64(crate::entry::Hash64(1 + u64::from(long[0]))),
                ];
                let mut bits = kinds;
                hashes.retain(|_| {
                    bits = bits.rotate_right(1);
                    bits & 0x80 != 0
                });
                // A reader takes the white space around a field away.
                let id = if id.trim().is_empty() { "x" } else { id.trim() };
                Entry::new(id.to_owned(), category.trim().to_owned(), hashes).unwrap()
            },
        );
        proptest::collection::vec(entry, 0..20)
    }

    proptest! {
        #[test]
        fn csv_reads_back(entries in entries()) {
            let mut file = Vec::new();
            write_csv(&entries, &[HashKind::Phash64, HashKind::Sha1, HashKind::Pdq], &mut file).unwrap();
            let back: Vec<Entry> = rows(Format::Csv, &file)
                .into_iter()
                .map(|row| Entry::new(row.id.unwrap(), row.category, row.hashes).unwrap())
                .collect();
            prop_assert_eq!(back, entries);
        }

        #[test]
        fn threatexchange_csv_reads_back(entries in entries()) {
            let mut file = Vec::new();
            write_threatexchange_csv(&entries, "a, b", &mut file).unwrap();
            let back: Vec<_> = rows(Format::Csv, &file).into_iter().map(|row| (row.category, row.hashes)).collect();
            let expected: Vec<_> = entries.iter().flat_map(|e| e.hashes.iter().map(|h| (e.category.clone(), vec![h.clone()]))).collect();
            prop_assert_eq!(back, expected);
        }
    }
}
