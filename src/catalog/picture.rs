//! Which hashes of a picture stand for it in a list?
//!
//! The digests of its file, and PDQ of its first frame with enough content: of less quality than the list asks for it would match nothing, and
//! of a picture without content too much. 64-bit hashes are weak evidence, and not taken. The picture itself goes no further than here.

use super::health::Featureless;
use super::{Catalog, CatalogError};
use crate::entry::{HashValue, Polarity, Transform};
use crate::extract::{Features, Unscanned};
use crate::hash::digest::Digests;

/// What of a picture is put into a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PictureHashes {
    pub hashes: Vec<HashValue>,
    /// PDQ's, of the frame that was taken; `None` where digests alone are.
    pub quality: Option<u8>,
}

impl Catalog {
    /// The hashes that an entry of a picture gets in a list; `digests_only` where no other is wanted. An error says why there is no perceptual hash.
    pub fn hashes_of_picture(
        &self,
        name: &str,
        digests: &Digests,
        features: Result<&Features, &Unscanned>,
        digests_only: bool,
    ) -> Result<PictureHashes, CatalogError> {
        let list = self.find(name)?;
        let mut taken = PictureHashes { hashes: digests.values().to_vec(), quality: None };
        if digests_only {
            return Ok(taken);
        }
        let refused = |why: String| {
            Err(CatalogError::Refused(format!("{why}; its digests alone can be added (digests_only, --digests-only)")))
        };
        let features = match features {
            Ok(features) => features,
            Err(unscanned) => return refused(format!("the picture was not scanned: {unscanned}")),
        };
        if let Some(part) = features.left_out.first() {
            return refused(format!("the picture was not scanned whole ({})", part.0));
        }
        let mut why = "no PDQ hash could be taken of the picture".to_owned();
        let of_whole = |hash: &HashValue| if let HashValue::Pdq(hash) = hash { Some(*hash) } else { None };
        for seen in features.seen.iter().filter(|seen| seen.transform == Transform::Identity) {
            let Some(hash) = of_whole(&seen.hash) else { continue };
            let (quality, least) = (seen.quality.unwrap_or(100), list.policy.quality_min);
            if quality < least {
                why =
                    format!("the picture's PDQ quality is {quality}, and the list's minimum is {least}: it would match nothing");
                continue;
            }
            // A negative list is there for what has no content.
            if list.polarity == Polarity::Positive
                && let Some((_, reason)) = Featureless::known().judge(&hash)
            {
                why = format!("the picture has too little content: {reason}");
                continue;
            }
            taken.hashes.push(seen.hash.clone());
            taken.quality = seen.quality;
            return Ok(taken);
        }
        refused(why)
    }
}
