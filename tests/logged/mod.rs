//! What a server in this process logs, for tests that read it.

use std::io::Write;
use std::sync::{Arc, LazyLock, Mutex};

/// All that was logged so far, as JSON lines.
#[derive(Clone, Default)]
pub struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

pub static LOG: LazyLock<Log> = LazyLock::new(|| {
    let log = Log::default();
    let writer = log.clone();
    let lines = tracing_subscriber::fmt().json().with_max_level(tracing::Level::INFO).with_writer(move || writer.clone());
    tracing::subscriber::set_global_default(lines.finish()).unwrap();
    log
});

pub fn logged() -> String {
    String::from_utf8(LOG.0.lock().unwrap().clone()).unwrap()
}
