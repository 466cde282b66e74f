//! Where are pictures decoded: in worker processes, or in this one?
//!
//! As the configuration wants it and the system allows. What is missing is logged once, and stays to be told: [`Decoding::amiss`].

use std::sync::Arc;
use std::time::Instant;

use crate::config::Config;
use crate::extract::{Extractor, InProcess};
use crate::sandbox::{Denied, Sandbox, Sandboxed, StartError};

/// What decodes.
#[derive(Clone)]
pub struct Decoding {
    pub(super) extractor: Arc<dyn Extractor>,
    /// The same, where it has workers.
    pub(super) workers: Option<Arc<Sandboxed>>,
    /// Why there are none.
    why: Option<String>,
}

impl Decoding {
    pub fn start(config: &Config) -> Result<Decoding, StartError> {
        let options = &config.extract.workers;
        let decoding = match options.sandbox {
            Sandbox::Off => Decoding::here(config, "[extract] sandbox is \"off\"".to_owned()),
            wanted => match Sandboxed::start(options, config.limits(), config.extract.images.threads_started()) {
                Ok(workers) => {
                    let workers = Arc::new(workers);
                    Decoding { extractor: workers.clone(), workers: Some(workers), why: None }
                }
                Err(error) if wanted == Sandbox::Required => return Err(error),
                Err(error) => Decoding::here(config, error.to_string()),
            },
        };
        if let Some(amiss) = decoding.amiss() {
            tracing::warn!("{amiss}");
        }
        Ok(decoding)
    }

    fn here(config: &Config, why: String) -> Decoding {
        Decoding { extractor: Arc::new(InProcess::new(config.limits(), Instant::now)), workers: None, why: Some(why) }
    }

    /// With an extractor that was handed in, of which nothing is told.
    pub fn by(extractor: Arc<dyn Extractor>) -> Decoding {
        Decoding { extractor, workers: None, why: None }
    }

    /// What of a sandbox is missing, in words.
    pub fn amiss(&self) -> Option<String> {
        match (&self.workers, &self.why) {
            (Some(workers), _) => {
                let allows = workers.denied().allows()?;
                Some(format!("pictures are decoded in worker processes that are not confined: on this system they can {allows}"))
            }
            (None, Some(why)) => Some(format!("pictures are decoded in the server's own process, without a sandbox: {why}")),
            (None, None) => None,
        }
    }

    /// What whoever decodes is denied.
    pub fn denied(&self) -> Denied {
        self.workers.as_ref().map_or(Denied::default(), |workers| workers.denied())
    }
}
