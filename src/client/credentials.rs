//! What does a client show its server? A token, sent with every call and shown nowhere.

use super::Tls;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::service::Interceptor;
use tonic::{Request, Status};

/// Longest token that is sent.
const TOKEN_BYTES_MAX: usize = 4096;

/// What a server is shown.
#[derive(Debug, Clone, Default)]
pub struct Credentials {
    pub token: Option<Token>,
    /// Certificates: whom the client trusts, and whom it is.
    pub tls: Tls,
}

/// A bearer token. `Debug` does not show it.
#[derive(Debug, Clone)]
pub struct Token(MetadataValue<Ascii>);

impl Token {
    /// A token as it stands in a file, with or without white space around it.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        let token = text.trim();
        if token.is_empty() {
            return Err("it is empty");
        }
        if token.len() > TOKEN_BYTES_MAX || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err("it holds something else than a token");
        }
        let mut value: MetadataValue<Ascii> =
            format!("Bearer {token}").parse().map_err(|_| "it holds something else than a token")?;
        value.set_sensitive(true);
        Ok(Token(value))
    }
}

/// Puts the token into each call.
#[derive(Debug, Clone)]
pub struct Bearer(pub Option<Token>);

impl Interceptor for Bearer {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        if let Some(Token(value)) = &self.0 {
            request.metadata_mut().insert("authorization", value.clone());
        }
        Ok(request)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_read_as_it_stands_in_a_file_and_never_shown() {
        let token = Token::parse(" hashwarden_0123\n").unwrap();
        assert_eq!(token.0.to_str().unwrap(), "Bearer hashwarden_0123");
        assert!(!format!("{:?}", Credentials { token: Some(token), tls: Tls::default() }).contains("0123"));
        for text in ["", " \n", "two words", "a\nb", "caf\u{e9}", &"x".repeat(5000)] {
            assert!(Token::parse(text).is_err(), "{text:?}");
        }
    }
}
