//! How captured errors are kept: scrubbed, equal ones in one row, in one write for all that waits.

use super::spool;
use super::tap::RawError;
use crate::clock;
use crate::error::EngineError;
use crate::plane::Core;
use adjutant_model::report::ErrorRecord;
use adjutant_rules::report;
use adjutant_rules::scrub::Scrubber;
use adjutant_store::Write;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// The job that keeps errors.
pub(crate) const JOB: &str = "errors";
/// Errors are collected for so long before they are kept.
const COALESCE: Duration = Duration::from_millis(250);
/// So many previews and filings are kept.
const REPORTS_MAX: u64 = 1000;

/// Has errors kept soon after they arrive, until the plane stops.
pub(crate) async fn watch(core: Arc<Core>) {
    loop {
        tokio::select! {
            () = core.stopping.cancelled() => return,
            () = core.settings.errors.arrived() => {}
        }
        tokio::select! {
            () = core.stopping.cancelled() => return,
            () = tokio::time::sleep(COALESCE) => core.jobs.nudge(JOB),
        }
    }
}

/// Keeps what waits; gives how many different errors that were. What cannot be kept waits on.
pub(crate) async fn keep(core: Arc<Core>) -> Result<u64, EngineError> {
    let (mut raw, lost) = core.settings.errors.take();
    if lost > 0 {
        tracing::warn!(lost, "more errors came than can be kept");
    }
    let version = core.settings.version.clone();
    let (folder, now) = (core.settings.folder.clone(), clock::now());
    let waiting = raw.clone();
    // To look for secrets in long texts takes its time.
    let ready = tokio::task::spawn_blocking(move || (records(waiting, &version), spool::read(&folder, now)));
    let (mut records, spooled) =
        ready.await.map_err(|_| EngineError::Defect("the scrubbing of errors panicked"))?;
    let was_left = spooled.is_some();
    records.extend(spooled.unwrap_or_default());
    if records.is_empty() && !was_left {
        return Ok(0);
    }
    let mut write = Write::default();
    for record in &records {
        write.error_seen(record);
    }
    write.errors_forget(core.settings.error_limits).reports_forget(REPORTS_MAX);
    if let Err(error) = core.store.write(write).await {
        raw.drain(..).for_each(|error| core.settings.errors.put(error));
        return Err(error.into());
    }
    if was_left {
        spool::forget(&core.settings.folder);
    }
    Ok(records.len() as u64)
}

/// Scrubs errors; those that are equal then become one.
pub(super) fn records(raw: Vec<RawError>, version: &str) -> Vec<ErrorRecord> {
    let mut records: BTreeMap<String, ErrorRecord> = BTreeMap::new();
    for error in raw {
        let record = record(error, version);
        match records.get_mut(&record.fingerprint) {
            Some(known) => merge(known, record),
            None => {
                records.insert(record.fingerprint.clone(), record);
            }
        }
    }
    records.into_values().collect()
}

fn record(raw: RawError, version: &str) -> ErrorRecord {
    let mut scrubber = Scrubber::default();
    let mut clean = |text: &str| {
        let scrubbed = scrubber.scrub(text);
        // What the twelve rules do not know, such as the tokens of other services.
        let redacted = crate::record::text(&scrubbed);
        scrubber.also(&scrubbed, &redacted);
        redacted
    };
    let (target, message, fields) = (clean(&raw.target), clean(&raw.message), clean(&raw.fields));
    let location = raw.location.as_deref().map(&mut clean);
    ErrorRecord {
        fingerprint: report::fingerprint(&target, &message, location.as_deref()),
        target,
        version: version.to_owned(),
        message,
        fields,
        location,
        os: std::env::consts::OS.to_owned(),
        arch: std::env::consts::ARCH.to_owned(),
        occurrences: raw.occurrences,
        first_seen_at: raw.first_seen_at,
        last_seen_at: raw.last_seen_at,
        scrub_changes: scrubber.changes(),
    }
}

fn merge(known: &mut ErrorRecord, other: ErrorRecord) {
    let occurrences = known.occurrences.saturating_add(other.occurrences);
    let first_seen_at = known.first_seen_at.min(other.first_seen_at);
    if other.last_seen_at >= known.last_seen_at {
        *known = other;
    }
    known.occurrences = occurrences;
    known.first_seen_at = first_seen_at;
}
