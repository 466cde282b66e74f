//! The real reference pictures and a real collection of hostile ones, where `HASHWARDEN_SHARED` names their folder.

use std::collections::BTreeSet;

use super::*;

#[test]
fn hostile_files_are_each_answered_and_nothing_crashes() {
    let Some(corpus) = shared("hostile-corpus") else { return };
    let place = Place::new();
    place.known();
    let ran = place.run(&["scan", "--json", corpus.to_str().unwrap()]).exits(4);
    let lines = ran.json();
    let mut files = 0;
    let mut folders = vec![corpus];
    while let Some(folder) = folders.pop() {
        for found in std::fs::read_dir(folder).unwrap().map(Result::unwrap) {
            match found.file_type().unwrap() {
                kind if kind.is_dir() => folders.push(found.path()),
                kind => files += usize::from(kind.is_file()),
            }
        }
    }
    assert_eq!(lines.len(), files);
    let distinct: BTreeSet<_> = lines.iter().map(|line| line["file"].as_str().unwrap()).collect();
    assert_eq!(distinct.len(), files);
    for line in &lines {
        assert_ne!(line["outcome"], "MATCH", "{line}");
        assert!(!["crashed", "timeout"].contains(&line["reason"].as_str().unwrap_or("")), "{line}");
        assert!(line["outcome"] != "NOT_SCANNED" || line["reason"].is_string(), "{line}");
    }
}

#[test]
fn hashes_are_within_ten_bits_of_the_reference() {
    let Some(reference) = shared("pdq-reference") else { return };
    let table = std::fs::read_to_string(reference.join("expected-files.csv")).unwrap();
    let mut rows = table.lines();
    let column = |name: &str| table.lines().next().unwrap().split(',').position(|n| n == name).unwrap();
    let (file, variant, quality, hash) = (column("file"), column("variant"), column("quality"), column("hash"));
    rows.next();
    // Of the rows of one file that differ in their decoder the nearest counts: the reference itself does not agree on it.
    let expected: Vec<(String, String)> = rows
        .map(|row| row.split(',').collect::<Vec<_>>())
        .filter(|row| row[variant] == "reffull" && row[quality].parse().is_ok_and(|q: u32| q >= 80))
        .map(|row| (row[file].to_owned(), row[hash].to_owned()))
        .collect();
    assert!(expected.len() >= 20, "{}", expected.len());
    let paths: Vec<String> =
        expected.iter().map(|(f, _)| reference.join("images").join(f).to_str().unwrap().to_owned()).collect();
    let args: Vec<&str> = ["hash", "--json"].into_iter().chain(paths.iter().map(String::as_str)).collect();
    let ran = run(&args);
    for ((file, expected), line) in expected.iter().zip(ran.json()) {
        let got = line["pdq"].as_str().unwrap_or_else(|| panic!("{file}: {line}"));
        let bits = |hex: &str| (0..64).map(|i| u32::from_str_radix(&hex[i..=i], 16).unwrap()).collect::<Vec<_>>();
        let distance: u32 = bits(got).iter().zip(bits(expected)).map(|(a, b)| (a ^ b).count_ones()).sum();
        assert!(distance <= 10, "{file}: {distance} bits");
    }
}
