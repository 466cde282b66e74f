//! `hashwarden hash`: a file's hashes, the way they are matched.

use std::path::{Path, PathBuf};

use serde_json::{Map, Value, json};

use super::context::{Context, Exit, Failure};
use super::output::{Label, tell};
use super::remarks::{path_text, remark};
use super::scan::{FileContent, read_file};
use crate::entry::shown::unopened;
use crate::entry::{HashValue, Observation, Reason, Transform};
use crate::extract::Unscanned;
use crate::hash::digest::Digests;
use crate::matcher::Hashed;
use crate::verdict::Outcome;

pub fn run(context: &Context, files: &[PathBuf]) -> Result<Exit, Failure> {
    let hasher = super::backend::hasher(context)?;
    let mut exit = Exit::Done;
    for path in files {
        let file = path.to_string_lossy();
        let hashed = match read_file(path, context.config.grpc.image_bytes_max) {
            Ok(FileContent::Whole(bytes)) => hasher(bytes)?,
            Ok(FileContent::Digests(digests)) => {
                let detail = "the file has more bytes than image_bytes_max".to_owned();
                Hashed { digests, features: Err(Unscanned { reason: Reason::TooLarge, detail }) }
            }
            Err(error) => {
                remark(unopened(&path_text(path), &error));
                exit = Exit::Failed;
                continue;
            }
        };
        let whole = hashed.features.as_ref().is_ok_and(|features| features.left_out.is_empty());
        if !whole && exit == Exit::Done {
            exit = Exit::NotScanned;
        }
        tell(context, || to_json(&file, &hashed), || to_text(&file, &hashed))?;
    }
    Ok(exit)
}

fn digests_json(digests: &Digests, object: &mut Map<String, Value>) {
    for digest in digests.values() {
        object.insert(digest.kind().name().to_owned(), json!(digest.hex()));
    }
}

/// The first frame's hashes stand at the top; an animation's other frames in `frames`.
fn to_json(file: &str, hashed: &Hashed) -> Value {
    let mut object = Map::new();
    object.insert("file".to_owned(), json!(file));
    match &hashed.features {
        Ok(features) => {
            let first = features.seen.first().map_or(0, |o| o.frame);
            let mut frames: Vec<u32> = features.seen.iter().map(|o| o.frame).collect();
            frames.dedup();
            frame_json(features.seen.iter().filter(|o| o.frame == first), &mut object);
            if frames.len() > 1 {
                let frames = frames.iter().map(|frame| {
                    let mut of_frame = Map::from_iter([("frame".to_owned(), json!(frame))]);
                    frame_json(features.seen.iter().filter(|o| o.frame == *frame), &mut of_frame);
                    Value::Object(of_frame)
                });
                object.insert("frames".to_owned(), frames.collect());
            }
            object.insert("left_out".to_owned(), json!(features.left_out.iter().map(|l| &l.0).collect::<Vec<_>>()));
        }
        Err(unscanned) => {
            object.insert("outcome".to_owned(), json!(Outcome::NotScanned.name()));
            object.insert("reason".to_owned(), json!(unscanned.reason.name()));
            object.insert("detail".to_owned(), json!(unscanned.detail));
        }
    }
    digests_json(&hashed.digests, &mut object);
    Value::Object(object)
}

/// A frame with transparency is seen up to three times, as stored, over white and over black: the first is what others compute.
fn frame_json<'a>(seen: impl Iterator<Item = &'a Observation>, object: &mut Map<String, Value>) {
    let mut dihedral = Map::new();
    for observation in seen {
        let hex = json!(observation.hash.hex());
        match (&observation.hash, observation.transform) {
            (HashValue::Pdq(_), Transform::Identity) => {
                object.entry("pdq").or_insert(hex);
                object.entry("pdq_quality").or_insert(json!(observation.quality));
            }
            (HashValue::Pdq(_), turned) => {
                dihedral.entry(turned.name()).or_insert(hex);
            }
            (other, _) => {
                object.entry(other.kind().name()).or_insert(hex);
            }
        }
    }
    object.insert("pdq_dihedral".to_owned(), Value::Object(dihedral));
}

fn to_text(file: &str, hashed: &Hashed) -> String {
    let mut text = Label::file(Path::new(file)).text().into_owned();
    match &hashed.features {
        Ok(features) => {
            for seen in features.seen.iter().filter(|o| o.transform == Transform::Identity) {
                let quality = seen.quality.map_or_else(String::new, |q| format!("  quality {q}"));
                let frame = if seen.frame > 0 { format!("  frame {}", seen.frame) } else { String::new() };
                text.push_str(&format!("\n  {:<8} {}{quality}{frame}", seen.hash.kind().name(), seen.hash.hex()));
            }
            features.left_out.iter().for_each(|part| text.push_str(&format!("\n  left out: {}", part.0)));
        }
        Err(unscanned) => {
            text.push_str(&format!("\n  {}  {}: {}", Outcome::NotScanned.name(), unscanned.reason, unscanned.detail))
        }
    }
    for digest in hashed.digests.values() {
        text.push_str(&format!("\n  {:<8} {}", digest.kind().name(), digest.hex()));
    }
    text
}
