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

/// What is not read is not sent, and who reads too slowly has the call ended: what an export pins on the disk must go some time.
#[tokio::test(flavor = "multi_thread")]
async fn an_export_that_is_not_read_ends_and_gives_its_place_back() {
    let options =
        service::Options { exports_max: 1, exports_per_caller_max: 1, import_idle_ms_max: 300, ..service::Options::default() };
    let options = service::Options { import_bytes_per_s_min: 1024 * 1024 * 1024, ..options };
    let served = serve_with(options, matcher::Options::default()).await;
    served.client.create("known", Polarity::Positive, &PolicyUpdate::default()).await.unwrap();
    // Some 8 MB: more than the transport takes unread.
    let rows: String = (0..60_000u64).map(|n| format!("{n},{}\n", pdq(n))).collect();
    let import = ImportOptions { accept: true, ..import_options(None, Mapping::default()) };
    served.client.import("known", &import, Cursor::new(format!("id,pdq\n{rows}")), &mut |_| {}).await.unwrap();
    let request = || v1::ExportEntriesRequest { list: "known".to_owned(), ..v1::ExportEntriesRequest::default() };
    let mut raw = HashListServiceClient::new(served.channel().await);
    let mut unread = raw.export_entries(request()).await.unwrap().into_inner();
    let refused = raw.export_entries(request()).await.unwrap_err();
    assert_eq!(refused.code(), Code::ResourceExhausted, "{refused}");
    tokio::time::sleep(Duration::from_millis(800)).await;
    let (mut bytes, mut report) = (0, false);
    let ended = loop {
        match unread.message().await {
            Ok(Some(reply)) => match reply.part.unwrap() {
                v1::export_entries_response::Part::Chunk(chunk) => bytes += chunk.len(),
                v1::export_entries_response::Part::Report(_) => report = true,
            },
            Ok(None) => break None,
            Err(status) => break Some(status),
        }
    };
    assert_eq!((ended.map(|status| status.code()), report), (Some(Code::Aborted), false), "{bytes} bytes");
    // The place is free again, and who reads gets all of it.
    let mut whole = Vec::new();
    let end = Instant::now() + Duration::from_secs(30);
    let report = loop {
        whole.clear();
        match served.client.export("known", &ExportOptions::default(), &mut whole).await {
            Err(ClientError::Refused { code: Code::ResourceExhausted, .. }) if Instant::now() < end => {
                tokio::task::yield_now().await
            }
            // A machine that is busy may be as slow as a client that does not read.
            Err(ClientError::Refused { code: Code::Aborted, .. }) if Instant::now() < end => {}
            done => break done.unwrap(),
        }
    };
    assert_eq!((report.entries, report.bytes, whole.len() as u64), (60_000, whole.len() as u64, report.bytes));
}
