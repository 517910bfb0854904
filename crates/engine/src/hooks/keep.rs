//! What is kept of hooks for people to look at: written behind the answers, in batches.
//!
//! Whatever waits is written before the plane has stopped. A daemon that is killed forgets what came in its last moment;
//! what was decided is durable before it is answered, and is not here. When more waits than may, the payload of what
//! comes is left out, and then what comes.

use super::step::StepCalls;
use crate::clock;
use crate::error::EngineError;
use crate::plane::Core;
use crate::record;
use crate::runs::STORE_RETRY;
use adjutant_model::event::Event;
use adjutant_model::hook::{HookCall, HookDraft};
use adjutant_model::id::Uuid;
use adjutant_model::{SessionId, Timestamp, Value};
use adjutant_rules::compress::{self, CompressConfig, CompressStats};
use adjutant_store::{Draft, Write};
use std::collections::{HashSet, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::{Semaphore, mpsc};

/// So many hooks may wait to be kept.
const WAITING_MAX: usize = 4096;
/// So many bytes of payloads may wait to be kept.
const WAITING_BYTES_MAX: u64 = 64 << 20;
/// So many ids of hooks are known.
const RECENT_MAX: usize = 8192;
/// So many are kept by one write.
const BATCH_MAX: usize = 256;
/// The members of a payload that hold what a tool gave.
const OUTPUTS: [&str; 3] = ["tool_response", "output", "tool_output"];

/// A hook that is to be kept.
#[derive(Debug)]
pub(crate) struct HookArrival {
    pub(super) session_id: SessionId,
    pub(super) call: HookCall,
    pub(super) size_bytes: u64,
    pub(super) decision: Option<&'static str>,
    pub(super) at: Timestamp,
    pub(super) hook_id: Option<Uuid>,
}

/// Where hooks wait to be kept.
#[derive(Debug)]
pub(crate) struct Hooks {
    waiting: mpsc::Sender<HookArrival>,
    waiting_bytes: AtomicU64,
    lost: AtomicU64,
    saved: CompressTotals,
    recent: Mutex<Recent>,
    /// The tool calls of steps whose agents call hooks.
    pub(super) steps: StepCalls,
    /// Whoever reads a file that hooks have left something in; one at a time.
    pub(super) spools: Semaphore,
    /// Whoever reads the transcript of a discovered session; one at a time.
    pub(crate) transcripts: Semaphore,
}

/// The ids of the hooks that came last.
#[derive(Debug, Default)]
struct Recent {
    known: HashSet<Uuid>,
    order: VecDeque<Uuid>,
}

/// What compression has left of what it saw, since the plane's start.
#[derive(Debug, Default)]
struct CompressTotals {
    original_bytes: AtomicU64,
    compressed_bytes: AtomicU64,
}

impl Hooks {
    pub(crate) fn new() -> (Self, mpsc::Receiver<HookArrival>) {
        let (waiting, arrived) = mpsc::channel(WAITING_MAX);
        let hooks = Hooks {
            waiting,
            waiting_bytes: AtomicU64::new(0),
            lost: AtomicU64::new(0),
            saved: CompressTotals::default(),
            recent: Mutex::default(),
            steps: StepCalls::default(),
            spools: Semaphore::new(1),
            transcripts: Semaphore::new(1),
        };
        (hooks, arrived)
    }

    /// Tells whether a hook comes for the first time since the plane's start, as far as is known.
    pub(super) fn is_first(&self, id: Uuid) -> bool {
        let mut recent = self.recent();
        let is_first = recent.known.insert(id);
        if is_first {
            recent.order.push_back(id);
        }
        if recent.order.len() > RECENT_MAX {
            let oldest = recent.order.pop_front().expect("there are more than none");
            recent.known.remove(&oldest);
        }
        is_first
    }

    /// Forgets that a hook came: it was not taken after all.
    pub(super) fn not_taken(&self, id: Uuid) {
        let mut recent = self.recent();
        recent.known.remove(&id);
        recent.order.retain(|known| *known != id);
    }

    fn recent(&self) -> MutexGuard<'_, Recent> {
        self.recent.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a hook; its agent does not wait for it to be kept.
    pub(super) fn arrived(&self, mut arrival: HookArrival) {
        let before = self.waiting_bytes.fetch_add(arrival.size_bytes, Ordering::Relaxed);
        if before + arrival.size_bytes > WAITING_BYTES_MAX {
            arrival.call.payload = Value::object([("left_out", Value::from("too much waited to be kept"))]);
        }
        if let Err(error) = self.waiting.try_send(arrival) {
            let (mpsc::error::TrySendError::Full(arrival) | mpsc::error::TrySendError::Closed(arrival)) =
                error;
            self.waiting_bytes.fetch_sub(arrival.size_bytes, Ordering::Relaxed);
            let lost = self.lost.fetch_add(1, Ordering::Relaxed) + 1;
            // Each time it has doubled, so that a flood does not flood the log.
            if lost.is_power_of_two() {
                tracing::warn!(lost, "more hooks come than can be kept; they are answered all the same");
            }
        }
    }

    /// Gives what compression has left of what it saw, since the plane's start.
    pub(crate) fn compressed(&self) -> CompressStats {
        CompressStats {
            original_bytes: self.saved.original_bytes.load(Ordering::Relaxed),
            compressed_bytes: self.saved.compressed_bytes.load(Ordering::Relaxed),
        }
    }
}

/// Keeps what arrives until the plane stops, and then what has arrived.
pub(crate) async fn keep(core: Arc<Core>, mut arrived: mpsc::Receiver<HookArrival>) {
    loop {
        let mut batch = Vec::new();
        tokio::select! {
            biased;
            count = arrived.recv_many(&mut batch, BATCH_MAX) => {
                if count == 0 {
                    return;
                }
            }
            () = core.stopping.cancelled(), if !arrived.is_closed() => {
                arrived.close();
                continue;
            }
        }
        let bytes: u64 = batch.iter().map(|arrival| arrival.size_bytes).sum();
        match ready(&core, batch).await {
            Ok(write) => written(&core, write).await,
            Err(error) => tracing::error!(%error, "what hooks told could not be made ready to be kept"),
        }
        core.hooks.waiting_bytes.fetch_sub(bytes, Ordering::Relaxed);
    }
}

/// Keeps hooks; durable when this returns.
pub(super) async fn keep_now(core: &Core, batch: Vec<HookArrival>) -> Result<(), EngineError> {
    let write = ready(core, batch).await?;
    core.store.write(write).await?;
    Ok(())
}

/// Makes ready what is written of hooks. To look for secrets in megabytes takes its time.
async fn ready(core: &Core, batch: Vec<HookArrival>) -> Result<Write, EngineError> {
    let config = core.live().compress.clone();
    let drafting = tokio::task::spawn_blocking(move || drafted(batch, &config));
    let (write, stats) =
        drafting.await.map_err(|_| EngineError::Defect("what makes hooks ready to be kept panicked"))?;
    core.hooks.saved.original_bytes.fetch_add(stats.original_bytes, Ordering::Relaxed);
    core.hooks.saved.compressed_bytes.fetch_add(stats.compressed_bytes, Ordering::Relaxed);
    Ok(write)
}

async fn written(core: &Core, write: Write) {
    while let Err(error) = core.store.write(write.clone()).await {
        tracing::warn!(%error, "what hooks told could not be kept; it is tried again");
        tokio::select! {
            () = core.stopping.cancelled() => return,
            () = tokio::time::sleep(STORE_RETRY) => {}
        }
    }
}

fn drafted(batch: Vec<HookArrival>, config: &CompressConfig) -> (Write, CompressStats) {
    let (mut write, mut stats) = (Write::default(), CompressStats::default());
    for arrival in batch {
        let HookArrival { session_id, call, size_bytes, decision, at, hook_id } = arrival;
        let tool = call.tool.as_ref().map(|tool| record::progress(&tool.name));
        let level = config.level_of(call.tool.as_ref().map_or("unknown", |tool| &*tool.name));
        // First without secrets, because half a secret is not recognised any more.
        let payload = shortened(&record::without_secrets(&call.payload), level, &mut stats);
        let event = call.name.to_string();
        write.journal(Draft {
            at,
            actor: format!("session:{session_id}").into(),
            subject: session_id.to_string().into(),
            event: Event::HookReceived { event: event.clone(), tool: tool.clone(), bytes: size_bytes },
        });
        write.hook_event_add(HookDraft {
            session_id,
            hook_id,
            event,
            tool,
            size_bytes,
            decision: decision.map(str::to_owned),
            payload: record::value(&payload).to_string(),
            at,
        });
    }
    (write, stats)
}

/// Compresses what a tool gave: a text, or the texts in it.
fn shortened(payload: &Value, level: compress::CompressLevel, stats: &mut CompressStats) -> Value {
    let Value::Object(members) = payload else { return payload.clone() };
    let mut kept = members.clone();
    for key in OUTPUTS {
        let Some(output) = members.get(key) else { continue };
        let mut short = |text: &str| {
            let (text, saved) = compress::compress(level, text);
            *stats = stats.plus(saved);
            Value::from(&*text)
        };
        let output = match output {
            Value::String(text) => short(text),
            Value::Object(parts) => {
                let mut left = parts.clone();
                for (key, part) in parts.iter() {
                    if let Value::String(text) = part {
                        left.insert(key.clone(), short(text));
                    }
                }
                Value::Object(left)
            }
            other => other.clone(),
        };
        kept.insert(key.into(), output);
    }
    Value::Object(kept)
}

/// Forgets what hooks told long ago, and what is more than is kept.
pub(crate) async fn forget_old(core: Arc<Core>) -> Result<u64, EngineError> {
    let (keep_ms, keep) = (core.live().hook_keep_ms, core.live().hook_events_max);
    let before = Timestamp::from_unix_ms(clock::now().unix_ms() - keep_ms.cast_signed());
    let old = core.store.hook_events_old(before, keep).await?;
    let mut forgotten = 0;
    while forgotten < old && !core.stopping.is_cancelled() {
        let mut write = Write::default();
        write.hook_events_forget(before, keep);
        core.store.write(write).await?;
        forgotten += adjutant_store::hooks::HOOK_EVENTS_FORGOTTEN_MAX;
    }
    Ok(old)
}
