//! Imports of files that are packed, and of several at once, through a server.

use std::io::{Cursor, Read, Write};

use flate2::{Compression, write::GzEncoder};

use super::*;

fn gzip(text: &str) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(text.as_bytes()).unwrap();
    encoder.finish().unwrap()
}

fn files(files: Vec<(&'static str, Vec<u8>)>) -> hashwarden::client::FilesToSend {
    Box::new(files.into_iter().map(|(name, bytes)| {
        let file: Box<dyn Read + Send> = Box::new(Cursor::new(bytes));
        Ok((name.to_owned(), file))
    }))
}

#[tokio::test(flavor = "multi_thread")]
async fn packed_and_several_files_arrive_as_one_import() {
    let served = serve().await;
    served.client.create("known", Polarity::Positive, &PolicyUpdate::default()).await.unwrap();
    let page = |member: u32, ids: std::ops::Range<u64>| {
        let images: String = ids
            .map(|n| {
                format!(
                    "<image><member id=\"{member}\"/><id>{n}</id><fingerprints><pdq>{}</pdq></fingerprints></image>\n",
                    pdq(u64::from(member) * 100_000 + n)
                )
            })
            .collect();
        format!("<queryResult>\n{images}</queryResult>\n")
    };
    let options = import_options(None, Mapping::default());
    // Some 1 MB, so that it takes several chunks, and less as it is sent.
    let file = gzip(&page(1, 0..8_000));
    let bytes = file.len() as u64;
    let report = served.client.import("known", &options, Cursor::new(file), &mut |_| {}).await.unwrap();
    assert_eq!((report.format, report.entries, report.bytes), (Some(Format::NcmecXml), 8_000, bytes));

    let bad = page(2, 0..3).replace("<id>1</id>", "<id></id>");
    let all = vec![("1.xml.gz", gzip(&page(1, 0..2_000))), ("2.xml", bad.into_bytes()), ("3.xml", page(3, 0..1).into_bytes())];
    let report = served.client.import_files("known", &options, files(all), &mut |_| {}).await.unwrap();
    assert_eq!((report.rows, report.rows_bad, report.entries), (2_004, 1, 2_003));
    assert!(!report.activated, "the bad row may be one of the entries that go");
    served.client.activate("known", report.version.unwrap()).await.unwrap();
    let said: Vec<_> = report.bad.iter().map(ToString::to_string).collect();
    assert_eq!(said, ["2.xml: record 2 (line 3): no id"]);
    for member in [1u32, 2, 3] {
        let asked = hashes(HashKind::Pdq, &pdq(u64::from(member) * 100_000));
        let verdict = served.client.match_one(asked, vec![]).await.unwrap();
        let ids: Vec<_> = verdict.matches.iter().map(|m| m.entry_id.as_str()).collect();
        assert_eq!(ids, [format!("{member}/0")]);
    }

    // One that is cut short fails all, and is named.
    let mut cut = gzip(&page(1, 0..2_000));
    cut.truncate(cut.len() - 9);
    let all = vec![("1.xml", page(1, 0..1).into_bytes()), ("2.xml.gz", cut)];
    let error = served.client.import_files("known", &options, files(all), &mut |_| {}).await.unwrap_err().to_string();
    assert!(error.contains("2.xml.gz: its gzip data is damaged or cut short"), "{error}");
    let missing = std::iter::once(Err(std::io::Error::other("no such file or folder: 2.xml")));
    let all = Box::new(files(vec![("1.xml", page(1, 0..1).into_bytes())]).chain(missing));
    let error = served.client.import_files("known", &options, all, &mut |_| {}).await.unwrap_err().to_string();
    assert!(error.contains("no such file or folder: 2.xml"), "{error}");
    assert_eq!(served.client.list("known").await.unwrap().rows, 2_003, "as it was");
}
