//! The picture of a verdict: what is listed, what was uploaded, and what the command line says.
//!
//! Everything in it is real output. A picture is drawn, its hash is listed, a screenshot of it is matched with `--draw`, and the fields
//! are those of `--json`. A test runs the same again and compares the text.

use std::fmt::Write;
use std::io::Cursor;
use std::path::Path;
use std::process::Command;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use hashwarden::demo::alterations;
use hashwarden::demo::edits;
use hashwarden::demo::pictures::{self, Random};
use image::codecs::jpeg::JpegEncoder;
use image::imageops::FilterType;
use image::{DynamicImage, RgbImage};
use serde_json::Value;

const SEED: u64 = 3;
/// Pixels of a picture's height in the figure.
const LISTED_HEIGHT: u32 = 150;
const UPLOAD_HEIGHT: u32 = 330;
const JPEG_QUALITY: u8 = 82;

/// The figure as SVG, made with the binary at `hashwarden` in an empty `folder`.
pub fn svg(hashwarden: &Path, folder: &Path) -> String {
    let original = pictures::draw(SEED, 640, 480);
    let others = [pictures::draw(SEED + 1, 640, 480)];
    let screenshot =
        alterations::ALL.iter().find(|of| of.group == "screenshot" && of.name == "phone, dark").expect("it is there");
    let upload = screenshot.apply(&original, &others, &mut Random::new(SEED));
    let path = |name: &str| folder.join(name).to_str().expect("a temporary folder's name is UTF-8").to_owned();
    std::fs::write(path("original.jpg"), edits::jpeg(&original, 88).expect("it can be encoded")).expect("room on the disk");
    std::fs::write(path("upload.jpg"), edits::jpeg(&upload, screenshot.jpeg_quality).expect("it can be encoded"))
        .expect("room on the disk");

    let run = |args: &[&str], exit: i32| -> String {
        let output =
            Command::new(hashwarden).args(["--store", &path("store")]).args(args).current_dir(folder).output().expect("it runs");
        assert_eq!(output.status.code(), Some(exit), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).expect("UTF-8")
    };
    let hashes: Value = serde_json::from_str(&run(&["hash", "--json", "original.jpg"], 0)).expect("one JSON line");
    run(&["list", "create", "known"], 0);
    run(&["list", "add", "known", "--id", "first", "--category", "A1", "--pdq", hashes["pdq"].as_str().expect("a PDQ hash")], 0);
    let verdict = run(&["match", "--json", "--draw", "found.png", "upload.jpg"], 1);
    let verdict: Value = serde_json::from_str(&verdict).expect("one JSON line");
    let found = image::open(path("found.png")).expect("it was drawn").to_rgb8();
    draw(&original, &found, &lines(&verdict))
}

/// The verdict's fields as they are read, a line each.
fn lines(verdict: &Value) -> Vec<String> {
    let mut lines = vec!["$ hashwarden match --json --draw found.png upload.jpg".to_owned(), String::new()];
    let mut field = |of: &Value, name: &str, indent: &str| {
        lines.push(format!("{indent}{name:<12} {}", of[name].to_string().trim_matches('"')))
    };
    for name in ["outcome", "action", "pdq_quality", "snapshot"] {
        field(verdict, name, "");
    }
    let first = &verdict["matches"][0];
    for name in ["list", "entry_id", "category", "kind", "distance", "threshold", "transform", "frame", "exact", "action"] {
        field(first, name, "    ");
    }
    lines.push(format!("    {:<12} {}", "view", first["view"]["kind"].as_str().expect("a class")));
    for corner in first["view"]["corners"].as_array().expect("four corners") {
        lines.push(format!("    {:<12} {corner}", ""));
    }
    let chance = first["chance"].as_f64().map_or_else(|| "null".to_owned(), |chance| format!("{chance:.0e}"));
    lines.push(format!("    {:<12} {chance}", "chance"));
    lines
}

fn draw(original: &RgbImage, found: &RgbImage, lines: &[String]) -> String {
    let (listed, listed_width) = embedded(original, LISTED_HEIGHT);
    let (upload, upload_width) = embedded(found, UPLOAD_HEIGHT);
    let (second, third) = (20 + listed_width + 20, 20 + listed_width + 20 + upload_width + 24);
    let (width, height) = (third + 420, 40 + UPLOAD_HEIGHT + 20);
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" font-family=\"sans-serif\" font-size=\"13\">\n\
         <rect width=\"{width}\" height=\"{height}\" fill=\"white\"/>\n\
         <text x=\"20\" y=\"28\">listed</text>\n\
         <image x=\"20\" y=\"40\" width=\"{listed_width}\" height=\"{LISTED_HEIGHT}\" href=\"{listed}\"/>\n\
         <text x=\"{second}\" y=\"28\">uploaded, the matched view outlined</text>\n\
         <image x=\"{second}\" y=\"40\" width=\"{upload_width}\" height=\"{UPLOAD_HEIGHT}\" href=\"{upload}\"/>\n"
    );
    for (line, number) in lines.iter().zip(0..) {
        let line = line.replace('&', "&amp;").replace('<', "&lt;");
        let y = 52 + 15 * number;
        // Writing to a string can't fail.
        let _ = writeln!(
            out,
            "<text x=\"{third}\" y=\"{y}\" font-family=\"monospace\" font-size=\"12\" xml:space=\"preserve\">{line}</text>"
        );
    }
    out.push_str("</svg>\n");
    out
}

/// A picture scaled to a height, as a data URI, and its width.
fn embedded(picture: &RgbImage, height: u32) -> (String, u32) {
    let width = picture.width() * height / picture.height();
    // Twice as many pixels as are shown, for screens that have them.
    let scaled = DynamicImage::from(picture.clone()).resize_exact(2 * width, 2 * height, FilterType::Triangle);
    let mut jpeg = Cursor::new(Vec::new());
    scaled.write_with_encoder(JpegEncoder::new_with_quality(&mut jpeg, JPEG_QUALITY)).expect("it can be encoded");
    (format!("data:image/jpeg;base64,{}", BASE64_STANDARD.encode(jpeg.into_inner())), width)
}
