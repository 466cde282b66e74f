//! What does the catalog show of a version's digest?
//!
//! The store's digest is a sum over entries without a key: who knew a version's ids and categories could confirm a hash by it. What is shown
//! is made of it under the store's key, so it is equal for equal versions of one store, and tells nothing outside of it.

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

/// The HMAC-SHA-256 of a version's digest.
pub fn shown_digest(key: &[u8; 32], digest: &[u8; 32]) -> [u8; 32] {
    // HMAC fills a key up to the digest's block with zeros itself; done here, no length is left that could be wrong.
    let mut block = [0; 64];
    block[..32].copy_from_slice(key);
    let mut mac = Hmac::<Sha256>::new(&block.into());
    // The same key makes ids of entries.
    mac.update(b"digest of a version");
    mac.update(digest);
    mac.finalize().into_bytes().into()
}
