//! The one thread that sends spans, a batch at a time, and gives up what the receiver does not take.
//!
//! It is a thread, because the client that it has blocks. Whoever gives a batch waits for how that went, so there is
//! never more than one batch in memory.

use super::door::{Door, Refusal};
use super::{TelemetryMeters, headers};
use crate::settings::TelemetrySettings;
use futures_util::FutureExt;
use opentelemetry_otlp::{Protocol, RetryPolicy, SpanExporter, WithExportConfig, WithHttpConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{SpanData, SpanExporter as _};
use std::mem::{Discriminant, discriminant};
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};

/// A receiver that does not answer for so long takes nothing.
const TIMEOUT: Duration = Duration::from_secs(5);
/// Where a receiver takes traces.
const TRACES: &str = "/v1/traces";

/// A batch, and who waits for how it went.
type Batch = (Vec<SpanData>, oneshot::Sender<()>);

/// The way to the thread.
#[derive(Debug)]
pub(super) struct Sender {
    batches: mpsc::Sender<Batch>,
}

impl Sender {
    /// Starts the thread; it ends when nobody can give it anything any more.
    pub(super) fn start(
        settings: &TelemetrySettings,
        version: &str,
        meters: TelemetryMeters,
    ) -> Option<Sender> {
        let endpoint = endpoint(settings.endpoint.as_deref()?);
        let settings = settings.clone();
        let version = version.to_owned();
        let (batches, mut given) = mpsc::channel::<Batch>(1);
        let work = move || {
            let (door, exporter) = match exporter(&endpoint, &settings, version) {
                Ok(ready) => ready,
                Err(error) => return tracing::error!(%endpoint, %error, "no traces can be sent"),
            };
            let mut told = Told { endpoint, refusals: Vec::new() };
            while let Some((spans, done)) = given.blocking_recv() {
                let count = spans.len() as u64;
                // The client blocks, so it is done at once.
                let refusal = match exporter.export(spans).now_or_never() {
                    Some(Ok(())) => None,
                    Some(Err(error)) => Some(door.failed().unwrap_or(Refusal::Other(error.to_string()))),
                    None => Some(Refusal::Other("it was not done at once".to_owned())),
                };
                match &refusal {
                    None => drop(meters.sent.inc_by(count)),
                    Some(_) => drop(meters.dropped.inc_by(count)),
                }
                told.tell(refusal.as_ref());
                // Whoever waited may have gone.
                done.send(()).ok();
            }
        };
        let thread = std::thread::Builder::new().name("telemetry".to_owned()).spawn(work);
        thread.map_err(|error| tracing::error!(%error, "no traces can be sent")).ok()?;
        Some(Sender { batches })
    }

    /// Sends a batch; returns when it was taken or given up. False when nothing can be sent any more.
    pub(super) async fn send(&self, spans: Vec<SpanData>) -> bool {
        let (told, done) = oneshot::channel();
        self.batches.send((spans, told)).await.is_ok() && done.await.is_ok()
    }
}

/// Gives the address of a receiver's traces.
fn endpoint(said: &str) -> String {
    let said = said.trim_end_matches('/');
    if said.ends_with(TRACES) { said.to_owned() } else { format!("{said}{TRACES}") }
}

/// What was said of the receiver since it took anything.
struct Told {
    endpoint: String,
    refusals: Vec<Discriminant<Refusal>>,
}

impl Told {
    /// Says how a batch went: each kind of refusal once, until the receiver takes one again.
    fn tell(&mut self, refusal: Option<&Refusal>) {
        let endpoint = &self.endpoint;
        let Some(refusal) = refusal else {
            if !std::mem::take(&mut self.refusals).is_empty() {
                tracing::info!(%endpoint, "the receiver of traces takes them again");
            }
            return;
        };
        let kind = discriminant(refusal);
        if self.refusals.contains(&kind) {
            return;
        }
        self.refusals.push(kind);
        match refusal {
            Refusal::Certificate(error) => tracing::warn!(
                %endpoint, %error,
                "the certificate of the receiver of traces does not verify, so it gets none; they are dropped and counted. \
                 `telemetry.ca_file` names certificates of authorities besides the system's"
            ),
            Refusal::Other(error) => {
                tracing::warn!(%endpoint, %error, "the receiver of traces takes none; they are dropped and counted");
            }
        }
    }
}

fn exporter(
    endpoint: &str,
    settings: &TelemetrySettings,
    version: String,
) -> Result<(Door, SpanExporter), String> {
    let door = Door::open(endpoint, settings.ca_file.as_deref(), TIMEOUT)?;
    let headers = headers::all(settings);
    let headers = headers.map_err(|error| format!("`telemetry.headers_file` cannot be used: {error}"))?;
    let mut exporter = SpanExporter::builder()
        .with_http()
        .with_http_client(door.clone())
        .with_protocol(Protocol::HttpBinary)
        .with_endpoint(endpoint)
        .with_timeout(TIMEOUT)
        .with_headers(headers)
        // What is not taken is given up, so that a receiver that is away holds up nothing, not even the next batch.
        .with_retry_policy(RetryPolicy::disabled())
        .build()
        .map_err(|error| error.to_string())?;
    let resource = Resource::builder_empty()
        .with_service_name(settings.service_name.clone())
        .with_attribute(opentelemetry::KeyValue::new("service.version", version))
        .build();
    exporter.set_resource(&resource);
    Ok((door, exporter))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn traces_go_where_receivers_take_them() {
        for (said, goes) in [
            ("http://127.0.0.1:4318", "http://127.0.0.1:4318/v1/traces"),
            ("http://127.0.0.1:4318/", "http://127.0.0.1:4318/v1/traces"),
            ("https://a.b/otlp", "https://a.b/otlp/v1/traces"),
            ("https://a.b/v1/traces", "https://a.b/v1/traces"),
        ] {
            assert_eq!(endpoint(said), goes);
        }
    }
}
