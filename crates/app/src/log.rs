//! The log: what is told goes to standard error without secrets, and errors are taken to be kept.

use adjutant_engine::reports::{ErrorTap, tell_panics};
use adjutant_rules::redact::redact;
use std::io::{self, Write};
use tracing_subscriber::filter::{EnvFilter, LevelFilter};
use tracing_subscriber::layer::{Layer, SubscriberExt};
use tracing_subscriber::util::SubscriberInitExt;

/// What is told when nothing is said: what Adjutant says of itself, and of libraries what they warn of.
pub(crate) const USUAL: &str = "warn,adjutant=info";

/// Sets the log up for the whole process; `filter` is what is told, errors are taken in any case.
pub(crate) fn init(tap: &ErrorTap, filter: EnvFilter) {
    let told = tracing_subscriber::fmt::layer()
        .with_writer(|| Redacted(io::stderr()))
        .with_ansi(false)
        // It would be told on standard error, which is what cannot be written, and that ends whoever logs.
        .log_internal_errors(false)
        .with_filter(filter);
    let taken = tap.layer().with_filter(LevelFilter::ERROR);
    tracing_subscriber::registry().with(told).with(taken).init();
    tell_panics();
}

/// Writes without secrets. What one call brings is looked at as a whole, and the log brings an event by one call.
struct Redacted<W>(W);

impl<W: Write> Write for Redacted<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(bytes);
        self.0.write_all(redact(&text).as_bytes())?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tracing::{Level, enabled};

    #[test]
    fn libraries_are_heard_when_they_warn() {
        let filter = EnvFilter::try_new(USUAL).unwrap();
        tracing::subscriber::with_default(tracing_subscriber::registry().with(filter), || {
            assert!(enabled!(target: "adjutant_engine::runs", Level::INFO));
            assert!(enabled!(target: "adjutant::daemon", Level::INFO));
            assert!(!enabled!(target: "adjutant_engine::runs", Level::DEBUG));
            assert!(enabled!(target: "rmcp::service", Level::WARN));
            assert!(!enabled!(target: "rmcp::service", Level::INFO));
        });
    }

    #[test]
    fn an_event_is_written_without_its_secrets() {
        let secret = format!("ghp_{}", "aB3dE5fG7h".repeat(4));
        let mut written = Redacted(Vec::new());
        writeln!(written, "plain").unwrap();
        written.write_all(format!("with {secret} in it\n").as_bytes()).unwrap();
        let text = String::from_utf8(written.0).unwrap();
        assert_eq!(text, "plain\nwith [redacted:github-token] in it\n");
    }
}
