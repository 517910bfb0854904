//! Where errors are taken: a layer of `tracing`, and a hook for panics.
//!
//! Whoever logs waits for nothing: an error is put into a bounded table in memory, equal ones into one entry, and
//! [`super::keep`] scrubs and stores them later. What is told while an error is being taken, such as by a value that
//! logs as it is formatted, is not taken, so there is no recursion; what the store says of its own failures waits here
//! like anything else.

use crate::clock;
use adjutant_model::Timestamp;
use adjutant_rules::report;
use std::backtrace::{Backtrace, BacktraceStatus};
use std::cell::Cell;
use std::collections::HashMap;
use std::fmt::{self, Write};
use std::panic::PanicHookInfo;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::Notify;
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::layer::{Context, Layer};

/// So many different errors may wait to be kept.
const WAITING_MAX: usize = 256;
/// So many bytes of text may wait to be kept.
const WAITING_BYTES_MAX: usize = 4 << 20;
/// So much of a message, and of the fields, is taken, in bytes.
const TEXT_BYTES_MAX: usize = 24 << 10;
/// The target of panics, which tell no module.
const PANIC: &str = "panic";
/// What the names of our crates begin with; the program's own has no more.
const OWN: &str = "adjutant";

thread_local! {
    /// Whether this thread is taking an error.
    static IS_TAKING: Cell<bool> = const { Cell::new(false) };
}

/// Where errors wait to be kept; clone it to hold it in another place.
#[derive(Debug, Clone, Default)]
pub struct ErrorTap {
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    waiting: Mutex<Waiting>,
    arrived: Notify,
}

#[derive(Debug, Default)]
struct Waiting {
    errors: HashMap<ErrorKey, RawError>,
    bytes: usize,
    lost: u64,
}

/// What equal errors have in common before they are scrubbed.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct ErrorKey {
    target: String,
    location: Option<String>,
    message: String,
}

/// An error as it was told; it may hold secrets.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct RawError {
    pub(super) target: String,
    pub(super) location: Option<String>,
    pub(super) message: String,
    pub(super) fields: String,
    pub(super) occurrences: u64,
    pub(super) first_seen_at: Timestamp,
    pub(super) last_seen_at: Timestamp,
}

impl fmt::Debug for RawError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RawError").field("target", &self.target).finish_non_exhaustive()
    }
}

impl RawError {
    fn key(&self) -> ErrorKey {
        ErrorKey {
            target: self.target.clone(),
            location: self.location.clone(),
            message: report::normalised(&self.message),
        }
    }

    fn bytes(&self) -> usize {
        self.target.len() + self.message.len() + self.fields.len()
    }

    /// Takes another that is equal to it; the texts are those of the one that came last.
    fn merge(&mut self, other: RawError) {
        let occurrences = self.occurrences.saturating_add(other.occurrences);
        let first_seen_at = self.first_seen_at.min(other.first_seen_at);
        if other.last_seen_at >= self.last_seen_at {
            *self = other;
        }
        self.occurrences = occurrences;
        self.first_seen_at = first_seen_at;
    }
}

impl ErrorTap {
    /// Gives the layer that takes errors.
    pub fn layer(&self) -> ErrorLayer {
        ErrorLayer { tap: self.clone() }
    }

    /// Returns when there is an error that nobody was told of.
    pub(super) async fn arrived(&self) {
        self.shared.arrived.notified().await;
    }

    /// Takes what waits out, and how many were lost because too much waited.
    pub(super) fn take(&self) -> (Vec<RawError>, u64) {
        let waiting = std::mem::take(&mut *self.lock());
        (waiting.errors.into_values().collect(), waiting.lost)
    }

    /// Lets an error wait to be kept.
    pub(super) fn put(&self, error: RawError) {
        let key = error.key();
        let mut waiting = self.lock();
        let Waiting { errors, bytes, lost } = &mut *waiting;
        if let Some(known) = errors.get_mut(&key) {
            *bytes = bytes.saturating_sub(known.bytes());
            known.merge(error);
            *bytes += known.bytes();
        } else if errors.len() < WAITING_MAX && *bytes + error.bytes() <= WAITING_BYTES_MAX {
            *bytes += error.bytes();
            errors.insert(key, error);
        } else {
            *lost += error.occurrences;
        }
        drop(waiting);
        self.shared.arrived.notify_one();
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.shared.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A layer of `tracing` that takes events of the level `ERROR` that Adjutant's own code tells, and panics anywhere. What
/// libraries log as an error may be none of Adjutant's: that a client has gone, for one.
#[derive(Debug)]
pub struct ErrorLayer {
    tap: ErrorTap,
}

impl<S: Subscriber> Layer<S> for ErrorLayer {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let metadata = event.metadata();
        if *metadata.level() != Level::ERROR || !is_own(metadata.target()) {
            return;
        }
        let Some(_taking) = Taking::begin() else { return };
        let mut told = Told::default();
        event.record(&mut told);
        let now = clock::now();
        let is_panic = metadata.target() == PANIC;
        let file = told.file.as_deref().or_else(|| metadata.file().filter(|_| !is_panic));
        let line = told.line.or_else(|| metadata.line().filter(|_| !is_panic));
        let target = match file.filter(|_| is_panic).and_then(report::crate_of) {
            Some(name) => name,
            None => metadata.target().to_owned(),
        };
        self.tap.put(RawError {
            target,
            location: file.map(|file| report::location(file, line)),
            message: told.message.whole(),
            fields: told.fields.whole(),
            occurrences: 1,
            first_seen_at: now,
            last_seen_at: now,
        });
    }
}

/// Tells whether an event is of our own crates, or a panic.
fn is_own(target: &str) -> bool {
    let of = target.split("::").next().unwrap_or_default();
    target == PANIC || of == OWN || of.strip_prefix(OWN).is_some_and(|rest| rest.starts_with('_'))
}

/// Marks this thread as taking an error, until it is dropped.
struct Taking;

impl Taking {
    /// Gives nothing when the thread is at it already.
    fn begin() -> Option<Taking> {
        (!IS_TAKING.replace(true)).then_some(Taking)
    }
}

impl Drop for Taking {
    fn drop(&mut self) {
        IS_TAKING.set(false);
    }
}

/// What an event says.
#[derive(Default)]
struct Told {
    message: Bounded,
    fields: Bounded,
    file: Option<String>,
    line: Option<u32>,
}

impl Visit for Told {
    fn record_u64(&mut self, field: &Field, value: u64) {
        match field.name() {
            "panic_line" => self.line = u32::try_from(value).ok(),
            _ => self.record_debug(field, &value),
        }
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        match field.name() {
            "panic_file" => self.file = Some(value.to_owned()),
            _ => self.record_debug(field, &format_args!("{value}")),
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        // What goes beyond the limit is left out.
        let _is_full = match field.name() {
            "message" => write!(self.message, "{value:?}"),
            name => writeln!(self.fields, "{name}={value:?}"),
        };
    }
}

/// A text that takes no more than [`TEXT_BYTES_MAX`].
#[derive(Default)]
struct Bounded {
    text: String,
    is_full: bool,
}

impl Bounded {
    /// Gives the text. Of one that was cut the last word goes, because half a secret is not recognised any more.
    fn whole(self) -> String {
        let Bounded { mut text, is_full } = self;
        if is_full {
            let end = text.rfind(char::is_whitespace).unwrap_or(0);
            text.truncate(text[..end].trim_end().len());
        }
        text
    }
}

impl Write for Bounded {
    fn write_str(&mut self, more: &str) -> fmt::Result {
        if self.is_full {
            return Err(fmt::Error);
        }
        let room = TEXT_BYTES_MAX - self.text.len();
        self.text.push_str(&more[..more.floor_char_boundary(room)]);
        self.is_full = more.len() > room;
        if self.is_full { Err(fmt::Error) } else { Ok(()) }
    }
}

/// Lets panics be told as errors of the log, so that they are scrubbed and taken like any other.
pub fn tell_panics() {
    std::panic::set_hook(Box::new(told));
}

fn told(panic: &PanicHookInfo<'_>) {
    let message = panic.payload_as_str().unwrap_or("something that is no text");
    let (file, line) = panic.location().map_or(("", 0), |place| (place.file(), place.line()));
    let thread = std::thread::current();
    let thread = thread.name().unwrap_or("unnamed");
    let backtrace = Backtrace::capture();
    match backtrace.status() {
        BacktraceStatus::Captured => {
            tracing::error!(target: PANIC, panic_file = file, panic_line = line, thread, %backtrace, "{message}");
        }
        _ => tracing::error!(target: PANIC, panic_file = file, panic_line = line, thread, "{message}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tracing_subscriber::layer::SubscriberExt;

    fn taken(work: impl FnOnce()) -> (Vec<RawError>, u64) {
        let tap = ErrorTap::default();
        tracing::subscriber::with_default(tracing_subscriber::registry().with(tap.layer()), work);
        tap.take()
    }

    #[test]
    fn errors_are_taken_with_their_place_and_the_rest_is_not() {
        let (errors, lost) = taken(|| {
            tracing::warn!("a warning");
            tracing::error!(run = 7, why = "full", "it failed");
        });
        assert_eq!((errors.len(), lost), (1, 0));
        let error = &errors[0];
        assert_eq!(error.message, "it failed");
        assert_eq!(error.fields, "run=7\nwhy=full\n");
        assert!(
            error.location.as_deref().is_some_and(|place| place.contains("reports/tap.rs:")),
            "{:?}",
            error.location
        );
        assert!(error.target.ends_with("reports::tap::tests"), "{}", error.target);
    }

    #[test]
    fn a_flood_of_equal_errors_is_one_that_counts_them() {
        let (errors, lost) = taken(|| (0..10_000).for_each(|n| tracing::error!("run {n} failed")));
        assert_eq!((errors.len(), lost), (1, 0));
        assert_eq!((errors[0].occurrences, errors[0].message.as_str()), (10_000, "run 9999 failed"));
    }

    #[test]
    fn a_flood_of_different_errors_is_bounded_and_counted() {
        let letter = |n: usize| char::from(b'g' + (n % 17) as u8);
        let words = |n: usize| format!("the {}{}{} failed", letter(n), letter(n / 17), letter(n / 289));
        let (errors, lost) = taken(|| (0..400).for_each(|n| tracing::error!("{}", words(n % 300))));
        assert!(errors.len() <= WAITING_MAX && lost > 0, "{} {lost}", errors.len());
        assert_eq!(errors.iter().map(|error| error.occurrences).sum::<u64>() + lost, 400);
        let (errors, _) = taken(|| {
            for word in ["a", "b", "c"] {
                tracing::error!("{}", format!("{word} ").repeat(1 << 20));
            }
        });
        assert!(errors.iter().all(|error| error.bytes() <= 2 * TEXT_BYTES_MAX + 100));
    }

    #[test]
    fn of_a_text_that_is_too_long_no_half_word_stays() {
        let mut bounded = Bounded::default();
        assert!(write!(bounded, "{} secret-that-is-cut", "x ".repeat(TEXT_BYTES_MAX / 2 - 3)).is_err());
        let text = bounded.whole();
        assert!(text.ends_with('x') && text.len() <= TEXT_BYTES_MAX, "{}", &text[text.len() - 20..]);
        let mut one_word = Bounded::default();
        assert!(one_word.write_str(&"x".repeat(TEXT_BYTES_MAX + 1)).is_err());
        assert_eq!(one_word.whole(), "");
    }

    /// Logs an error as it is formatted.
    struct Noisy;

    impl fmt::Debug for Noisy {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            tracing::error!("within");
            f.write_str("noisy")
        }
    }

    #[test]
    fn what_is_told_while_an_error_is_taken_is_not_taken() {
        let (errors, _) = taken(|| tracing::error!(value = ?Noisy, "around"));
        assert_eq!(errors.iter().map(|error| error.message.as_str()).collect::<Vec<_>>(), ["around"]);
        let (errors, _) = taken(|| tracing::error!("still taken"));
        assert_eq!(errors.len(), 1);
    }

    #[test]
    fn what_libraries_log_is_not_taken() {
        for (target, is) in [
            ("adjutant", true),
            ("adjutant::cli", true),
            ("adjutant_engine::runs", true),
            (PANIC, true),
            ("rmcp::service", false),
            ("adjutants::x", false),
            ("tower::adjutant", false),
        ] {
            assert_eq!(is_own(target), is, "{target}");
        }
        let (errors, lost) = taken(|| tracing::error!(target: "rmcp::service", "failed to send"));
        assert_eq!((errors.len(), lost), (0, 0));
    }

    #[test]
    fn a_panic_is_taken_with_its_own_place() {
        let (errors, _) = taken(|| {
            tracing::error!(target: PANIC, panic_file = "crates/engine/src/x.rs", panic_line = 7_u32, "boom");
        });
        assert_eq!(errors[0].location.as_deref(), Some("crates/engine/src/x.rs:7"));
        assert_eq!((errors[0].target.as_str(), errors[0].fields.as_str()), ("adjutant_engine", ""));
    }
}
