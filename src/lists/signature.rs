//! Who made a bundle? Ed25519 (RFC 8032) by `ring`, keys as OpenSSL has them.
//!
//! A private key is PKCS #8 in PEM, so `openssl genpkey -algorithm ed25519` makes one as well. A public key is 64 hex digits, and who it is of
//! is for the operator to say: [`Signers`]. Invariant: no private key is shown or printed by accident.

use std::fmt;
use std::str::FromStr;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ring::rand::SystemRandom;
use ring::signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey};
use tokio_rustls::rustls::pki_types::PrivatePkcs8KeyDer;
use tokio_rustls::rustls::pki_types::pem::PemObject;

use crate::entry::{BadValue, check_list_name};

/// Characters of a line of PEM.
const PEM_LINE: usize = 64;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct PublicKey(pub [u8; 32]);

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl FromStr for PublicKey {
    type Err = BadValue;

    fn from_str(text: &str) -> Result<Self, BadValue> {
        let mut key = [0; 32];
        let read = hex::decode_to_slice(text, &mut key);
        read.map(|()| PublicKey(key)).map_err(|_| BadValue("a signer's public key has 64 hex digits".to_owned()))
    }
}

impl PublicKey {
    /// Whether the owner of this key signed the message.
    pub fn signed(&self, message: &[u8], signature: &[u8]) -> bool {
        UnparsedPublicKey::new(&ED25519, self.0).verify(message, signature).is_ok()
    }
}

/// What a bundle is signed with.
pub struct SigningKey(Ed25519KeyPair);

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SigningKey(..)")
    }
}

impl SigningKey {
    /// A new key, and the PEM that it is kept as.
    pub fn generate() -> Result<(Self, String), BadValue> {
        let failed = |_| BadValue("the system gives no random numbers".to_owned());
        let pkcs8 = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).map_err(failed)?;
        let encoded = STANDARD.encode(pkcs8.as_ref());
        let lines: Vec<&str> = encoded.as_bytes().chunks(PEM_LINE).filter_map(|line| str::from_utf8(line).ok()).collect();
        let pem = format!("-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n", lines.join("\n"));
        Ok((Self::from_pem(pem.as_bytes())?, pem))
    }

    pub fn from_pem(pem: &[u8]) -> Result<Self, BadValue> {
        let none =
            "there is no private key in PEM: `hashwarden list bundle-key` makes one, `openssl genpkey -algorithm ed25519` too";
        let key = PrivatePkcs8KeyDer::from_pem_slice(pem).map_err(|_| BadValue(none.to_owned()))?;
        // OpenSSL leaves the public key out, which can be made of the private one.
        let pair = Ed25519KeyPair::from_pkcs8_maybe_unchecked(key.secret_pkcs8_der());
        pair.map(SigningKey).map_err(|_| BadValue("the private key is not one of Ed25519".to_owned()))
    }

    pub fn public(&self) -> PublicKey {
        let mut key = [0; 32];
        key.copy_from_slice(self.0.public_key().as_ref());
        PublicKey(key)
    }

    pub fn sign(&self, message: &[u8]) -> [u8; 64] {
        let mut signature = [0; 64];
        signature.copy_from_slice(self.0.sign(message).as_ref());
        signature
    }
}

/// Whose bundles are taken: names and keys, as `NAME=KEY` with commas between them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Signers(Vec<(String, PublicKey)>);

impl Signers {
    /// Who a key is of, if that is known.
    pub fn name(&self, key: &PublicKey) -> Option<&str> {
        self.0.iter().find(|(_, known)| known == key).map(|(name, _)| name.as_str())
    }
}

impl fmt::Display for Signers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let all: Vec<String> = self.0.iter().map(|(name, key)| format!("{name}={key}")).collect();
        f.write_str(&all.join(","))
    }
}

impl FromStr for Signers {
    type Err = BadValue;

    fn from_str(text: &str) -> Result<Self, BadValue> {
        let mut signers: Vec<(String, PublicKey)> = Vec::new();
        for one in text.split(',').map(str::trim).filter(|one| !one.is_empty()) {
            let (name, key) = one.split_once('=').ok_or_else(|| BadValue("a signer is NAME=KEY".to_owned()))?;
            check_list_name(name.trim()).map_err(|_| BadValue("a signer is named as a list is".to_owned()))?;
            let key = key.trim().parse()?;
            if signers.iter().any(|(_, known)| *known == key) {
                return Err(BadValue("two signers have the same key".to_owned()));
            }
            signers.push((name.trim().to_owned(), key));
        }
        Ok(Signers(signers))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_comes_back_from_its_file_and_signs_as_rfc_8032_says() {
        let (key, pem) = SigningKey::generate().unwrap();
        let again = SigningKey::from_pem(pem.as_bytes()).unwrap();
        let signature = again.sign(b"message");
        assert!(again.public() == key.public() && key.public().signed(b"message", &signature));
        assert!(!key.public().signed(b"massage", &signature));
        // Test 2 of RFC 8032, 7.1, in PKCS #8 without the public key, as OpenSSL writes it.
        let seed = "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb";
        let der = hex::decode(format!("302e020100300506032b657004220420{seed}")).unwrap();
        let pem = format!("-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n", STANDARD.encode(der));
        let key = SigningKey::from_pem(pem.as_bytes()).unwrap();
        assert_eq!(key.public().to_string(), "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c");
        let expected = "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00";
        assert_eq!(hex::encode(key.sign(&[0x72])), expected);
        assert!(SigningKey::from_pem(b"x").unwrap_err().0.contains("bundle-key"));
    }

    #[test]
    fn signers_are_names_and_keys() {
        let (one, two) = ("ab".repeat(32), "cd".repeat(32));
        let signers: Signers = format!(" hotline={one}, partner = {two},").parse().unwrap();
        assert_eq!(signers.to_string(), format!("hotline={one},partner={two}"));
        assert_eq!(signers.to_string().parse(), Ok(signers.clone()));
        assert_eq!((signers.name(&two.parse().unwrap()), signers.name(&PublicKey([0; 32]))), (Some("partner"), None));
        assert_eq!("".parse(), Ok(Signers::default()));
        for bad in ["hotline", "hotline=ab", &format!("a b={one}"), &format!("a={one},b={one}")] {
            assert!(bad.parse::<Signers>().is_err(), "{bad}");
        }
    }
}
