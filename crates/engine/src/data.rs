//! The data path: large results go beside the flow, and the flow carries references.
//!
//! A body is streamed to a file and hashed on its way, never whole in memory; an output is what the store says of it.
//! Whoever puts one does so in the name of a run: a worker of the run that its token is bound to, a person of any run or
//! of none yet. A worker sees what its run refers to and nothing else.

use crate::clock;
use crate::error::EngineError;
use crate::plane::Core;
use crate::record;
use adjutant_model::action::{Caller, Role, StepBinding};
use adjutant_model::data::OutputRecord;
use adjutant_model::event::Event;
use adjutant_model::run::RunRecord;
use adjutant_model::{OutputId, RunId, Value};
pub use adjutant_rules::data::reference;
use adjutant_rules::data::{self, OutputsKept};
use adjutant_store::{Bodies, Draft, Held, IncomingBody, OutputTotals, Removing, WholeBody, Write};
use sha2::{Digest, Sha256};
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// An event's JSON is at most so large; more goes under a name.
const EVENT_BYTES_MAX: u64 = 64 << 10;
/// A run has at most so many outputs.
const RUN_OUTPUTS_MAX: u64 = 10_000;
/// An output is made from at most so many others.
const PARENTS_MAX: usize = 100;
/// A round of the collector looks at so many outputs.
const COLLECTED_AT_ONCE: usize = 256;

/// What the plane knows of the data path besides the store.
#[derive(Debug)]
pub(crate) struct Data {
    bodies: Bodies,
    uploads: Arc<Semaphore>,
    uploads_max: usize,
    /// Behind which output the collector goes on.
    collected_to: AtomicI64,
}

impl Data {
    pub(crate) fn new(bodies: Bodies, uploads_max: usize) -> Self {
        let uploads = Arc::new(Semaphore::new(uploads_max));
        Data { bodies, uploads, uploads_max, collected_to: AtomicI64::new(0) }
    }

    /// Keeps all bodies from being removed until what this gives is dropped.
    pub(crate) async fn hold(&self) -> Held {
        self.bodies.hold().await
    }

    /// Gives how many bodies arrive.
    pub(crate) fn arriving(&self) -> usize {
        self.uploads_max - self.uploads.available_permits()
    }
}

/// What is to be put under a name, as its producer says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OutputParams {
    /// The name.
    pub name: String,
    /// What the bytes are.
    pub content_type: Option<String>,
    /// The run, for a person; a worker has its own.
    pub run_id: Option<RunId>,
    /// The outputs that it was made from.
    pub parents: Vec<OutputId>,
    /// How many bytes will come, when the producer says.
    pub length: Option<u64>,
}

/// What a worker emits.
#[derive(Debug, Clone, PartialEq)]
pub struct EmitParams {
    /// The step, or the run's task.
    pub task_id: String,
    /// The attempt of the step.
    pub attempt: u32,
    /// Who made it.
    pub producer_agent: String,
    /// What.
    pub event: Value,
    /// The outputs that it was made from.
    pub parents: Vec<OutputId>,
}

/// A body that arrives. Dropped before its end it leaves nothing.
#[derive(Debug)]
pub struct Upload {
    core: Arc<Core>,
    actor: String,
    draft: OutputRecord,
    body: IncomingBody,
    _place: OwnedSemaphorePermit,
}

/// Begins an upload.
pub(crate) async fn begin(
    core: &Arc<Core>,
    caller: &Caller,
    params: OutputParams,
) -> Result<Upload, EngineError> {
    if core.stopping.is_cancelled() {
        return Err(EngineError::Stopping);
    }
    let name = data::name_read(&params.name).map_err(EngineError::invalid)?.to_owned();
    let content_type = data::content_type_read(params.content_type.as_deref());
    let content_type = content_type.map_err(EngineError::invalid)?.to_owned();
    let draft = match &caller.step {
        Some(step) => {
            let run = run_of(core, step).await?;
            if params.run_id.as_ref().is_some_and(|said| *said != run.id) {
                return Err(EngineError::Forbidden("the token is of another run".to_owned()));
            }
            OutputRecord { task_id: Some(run.task_id.to_string()), ..of_step(step) }
        }
        None => OutputRecord { run_id: run_said(core, caller, params.run_id).await?, ..blank() },
    };
    parents_check(core, caller, &params.parents).await?;
    let draft = OutputRecord { name: Some(name), content_type, parents: params.parents, ..draft };
    room_check(core, &draft, params.length.unwrap_or(0)).await?;
    let place = core.data.uploads.clone().try_acquire_owned().map_err(|_| {
        EngineError::Crowded(format!("{} bodies arrive, and no more at once", core.data.uploads_max))
    })?;
    let body = core.data.bodies.begin(draft.id.as_str()).await.map_err(disk("kept"))?;
    Ok(Upload { core: core.clone(), actor: caller.actor(), draft, body, _place: place })
}

impl Upload {
    /// Adds bytes.
    ///
    /// # Errors
    /// [`EngineError::TooLarge`] beyond the limit, [`EngineError::Body`] when the disk refuses them.
    pub async fn write(&mut self, bytes: &[u8]) -> Result<(), EngineError> {
        let max = self.core.settings.data_body_bytes_max;
        if self.body.size_bytes() + bytes.len() as u64 > max {
            return Err(too_large(max));
        }
        self.body.write(bytes).await.map_err(disk("kept"))
    }

    /// Makes the output count; when this returns it is durable.
    ///
    /// # Errors
    /// [`EngineError`]; nothing was kept then.
    pub async fn finish(self) -> Result<OutputRecord, EngineError> {
        let tasks = self.core.tasks.clone();
        // Apart from the request, so that a client that goes now leaves all of it or nothing.
        let finished = tasks.spawn(async move {
            let Upload { core, actor, draft, body, _place } = self;
            let body = body.finish().await.map_err(disk("kept"))?;
            room_check(&core, &draft, body.size_bytes).await?;
            keep(&core, actor, draft, body).await
        });
        finished.await.map_err(|_| EngineError::Defect("the upload has panicked"))?
    }
}

/// Keeps a whole body and its output: the file first, then the row that makes it count.
async fn keep(
    core: &Core,
    actor: String,
    draft: OutputRecord,
    body: WholeBody,
) -> Result<OutputRecord, EngineError> {
    let (sha256, size_bytes) = (body.sha256.clone(), body.size_bytes);
    let output = OutputRecord { sha256: sha256.clone(), size_bytes, created_at: clock::now(), ..draft };
    let kept = core.data.bodies.keep(body).await.map_err(disk("kept"))?;
    let written = core.store.write(stored(&output, actor)).await;
    drop(kept);
    if let Err(error) = written {
        // What is left of it now is removed at the next start at the latest, and nobody waits for a backup here.
        if let Some(removing) = core.data.bodies.try_removing()
            && let Err(error) = release(core, &removing, vec![sha256]).await
        {
            tracing::warn!(%error, "the file of a refused output stays until the next start");
        }
        return Err(error.into());
    }
    Ok(output)
}

fn stored(output: &OutputRecord, actor: String) -> Write {
    let mut write = Write::default();
    write.output_put(output);
    let subject = match &output.run_id {
        Some(run_id) => run_id.into(),
        None => (&output.id).into(),
    };
    let event = Event::OutputStored {
        output_id: output.id.clone(),
        name: output.name.clone(),
        path: output.path.clone(),
        sha256: output.sha256.clone(),
        size_bytes: output.size_bytes,
    };
    write.journal(Draft { at: output.created_at, actor: actor.into(), subject, event });
    write
}

/// Keeps what a worker emits.
pub(crate) async fn emit(
    core: &Core,
    caller: &Caller,
    params: EmitParams,
) -> Result<OutputRecord, EngineError> {
    let Some(step) = &caller.step else {
        return Err(EngineError::Forbidden("only the token of a step emits".to_owned()));
    };
    let run = run_of(core, step).await?;
    if !data::names_step(&params.task_id, &run, step) {
        return Err(EngineError::Forbidden("the token is of another step than `task_id`".to_owned()));
    }
    if params.attempt != step.attempt {
        let error = format!("the token is of attempt {}, not {}", step.attempt, params.attempt);
        return Err(EngineError::Forbidden(error));
    }
    let producer = crate::identity::agent_id_read(&params.producer_agent)?;
    let event = record::without_secrets(&params.event);
    if event.size_bytes() > EVENT_BYTES_MAX {
        return Err(EngineError::TooLarge {
            message: format!("an event is at most {EVENT_BYTES_MAX} bytes"),
            hint: "put it under a name, and emit what that answers as `ref`",
        });
    }
    parents_check(core, caller, &params.parents).await?;
    let json = event.to_string();
    let output = OutputRecord {
        task_id: Some(params.task_id),
        producer: Some(producer.to_string()),
        sha256: hex::encode(Sha256::digest(json.as_bytes())),
        size_bytes: json.len() as u64,
        content_type: "application/json".to_owned(),
        event: Some(event),
        parents: params.parents,
        ..of_step(step)
    };
    room_check(core, &output, output.size_bytes).await?;
    core.store.write(stored(&output, caller.actor())).await?;
    Ok(output)
}

/// Gives an output by its id, or the latest of a name, as far as the caller sees it.
pub(crate) async fn get(
    core: &Core,
    caller: &Caller,
    key: &str,
    run_id: Option<RunId>,
) -> Result<OutputRecord, EngineError> {
    let gone = || EngineError::not_found("output", key.chars().take(150).collect::<String>());
    let within = within(caller, run_id).ok_or_else(gone)?;
    let found = match key.parse::<OutputId>() {
        Ok(id) => core.store.output_get(&id, within.as_ref()).await?,
        Err(_) => {
            let name = data::name_read(key).map_err(EngineError::invalid)?;
            core.store.output_named(name, within.as_ref()).await?
        }
    };
    found.ok_or_else(gone)
}

/// Lists outputs, those that the caller sees, the newest first.
pub(crate) async fn list(
    core: &Core,
    caller: &Caller,
    run_id: Option<RunId>,
    limit: usize,
) -> Result<Vec<OutputRecord>, EngineError> {
    let Some(within) = within(caller, run_id) else { return Ok(Vec::new()) };
    Ok(core.store.outputs(within.as_ref(), limit).await?)
}

/// Opens the file of an output.
pub(crate) async fn read(core: &Core, output: &OutputRecord) -> Result<tokio::fs::File, EngineError> {
    core.data.bodies.read(&output.sha256).await.map_err(disk("read"))
}

/// Notes which outputs a run's first context refers to, so that they are kept as long as the run.
pub(crate) fn refer(write: &mut Write, run_id: &RunId, context: &Value) {
    for output_id in data::references(context) {
        write.output_refer(run_id, &output_id);
    }
}

/// Removes outputs that nothing needs any more, a bounded number a round; the next round goes on behind them.
pub(crate) async fn collect(core: Arc<Core>) -> Result<u64, EngineError> {
    let removing = core.data.bodies.removing().await;
    let after = core.data.collected_to.load(Ordering::Relaxed);
    let standing = core.store.outputs_standing(after, COLLECTED_AT_ONCE).await?;
    let last = standing.last().filter(|_| standing.len() == COLLECTED_AT_ONCE);
    core.data.collected_to.store(last.map_or(0, |last| last.number), Ordering::Relaxed);
    let (now, live) = (clock::now(), core.live());
    let kept = OutputsKept { unused_ms: live.data_unused_ms, ended_ms: live.data_keep_ms };
    let gone: Vec<_> = standing.into_iter().filter(|output| data::collectable(output, now, kept)).collect();
    if gone.is_empty() {
        return Ok(0);
    }
    let mut write = Write::default();
    for output in &gone {
        write.output_forget(&output.id);
    }
    let outputs = gone.len() as u64;
    let event = Event::OutputsCollected { outputs };
    write.journal(Draft { at: now, actor: "plane".into(), subject: "plane".into(), event });
    core.store.write(write).await?;
    release(&core, &removing, gone.into_iter().filter_map(|output| output.file).collect()).await?;
    Ok(outputs)
}

/// Removes the files that a crash has left between their move and their row.
pub(crate) async fn sweep(core: Arc<Core>) -> Result<u64, EngineError> {
    let mut removed = 0;
    for shard in 0..=u8::MAX {
        if core.stopping.is_cancelled() {
            break;
        }
        let removing = core.data.bodies.removing().await;
        let files = core.data.bodies.of_shard(shard).await.map_err(disk("read"))?;
        removed += release(&core, &removing, files).await?;
    }
    Ok(removed)
}

/// Removes those of some files that no output has; gives how many.
async fn release(core: &Core, removing: &Removing, files: Vec<String>) -> Result<u64, EngineError> {
    if files.is_empty() {
        return Ok(0);
    }
    let closed = core.data.bodies.close(removing).await;
    let needed = core.store.files_needed(files.clone()).await?;
    let mut removed = 0;
    for file in files.iter().filter(|file| !needed.contains(*file)) {
        core.data.bodies.remove(file, &closed).await.map_err(disk("removed"))?;
        removed += 1;
    }
    Ok(removed)
}

/// Gives which run's outputs a caller sees: `Some(None)` is every one, and `None` no one.
fn within(caller: &Caller, asked: Option<RunId>) -> Option<Option<RunId>> {
    match (caller.role, &caller.step) {
        (Role::Worker, None) => None,
        (Role::Worker, Some(step)) => {
            asked.is_none_or(|asked| asked == step.run_id).then(|| Some(step.run_id.clone()))
        }
        (Role::Host | Role::Operator | Role::Observer | Role::Senior, _) => Some(asked),
    }
}

async fn run_of(core: &Core, step: &StepBinding) -> Result<RunRecord, EngineError> {
    core.store.run_get(&step.run_id).await?.ok_or_else(|| EngineError::not_found("run", &step.run_id))
}

/// Gives the run that a person puts an output in.
async fn run_said(core: &Core, caller: &Caller, said: Option<RunId>) -> Result<Option<RunId>, EngineError> {
    if caller.role == Role::Worker {
        return Err(EngineError::Forbidden(
            "a worker's token that is bound to no step puts nothing".to_owned(),
        ));
    }
    let Some(run_id) = said else { return Ok(None) };
    match core.store.run_get(&run_id).await? {
        Some(_) => Ok(Some(run_id)),
        None => Err(EngineError::not_found("run", run_id)),
    }
}

async fn parents_check(core: &Core, caller: &Caller, parents: &[OutputId]) -> Result<(), EngineError> {
    if parents.len() > PARENTS_MAX {
        return Err(EngineError::invalid(format!("an output is made from at most {PARENTS_MAX} others")));
    }
    let within = within(caller, None).unwrap_or_default();
    for parent in parents {
        if core.store.output_get(parent, within.as_ref()).await?.is_none() {
            return Err(EngineError::invalid(format!("there is no output {parent} to be made from")));
        }
    }
    Ok(())
}

/// Refuses what goes beyond the limit of a body, or of a run.
async fn room_check(core: &Core, output: &OutputRecord, size_bytes: u64) -> Result<(), EngineError> {
    if size_bytes > core.settings.data_body_bytes_max {
        return Err(too_large(core.settings.data_body_bytes_max));
    }
    let OutputTotals { count, bytes } = core.store.output_totals(output.run_id.as_ref()).await?;
    let max = core.settings.data_run_bytes_max;
    if count >= RUN_OUTPUTS_MAX || bytes.saturating_add(size_bytes) > max {
        return Err(EngineError::TooLarge {
            message: format!(
                "a run has at most {RUN_OUTPUTS_MAX} outputs and {max} bytes of them; it has {count} and {bytes}"
            ),
            hint: "keep in the run only what its later steps need",
        });
    }
    Ok(())
}

fn too_large(max: u64) -> EngineError {
    let mib = max >> 20;
    let size = if mib > 0 { format!("{mib} MiB") } else { format!("{max} bytes") };
    EngineError::TooLarge {
        message: format!("a body on the data path is at most {size}"),
        hint: "put it in parts, or keep it in the workspace",
    }
}

fn of_step(step: &StepBinding) -> OutputRecord {
    OutputRecord {
        run_id: Some(step.run_id.clone()),
        path: Some(step.path.clone()),
        attempt: Some(step.attempt),
        ..blank()
    }
}

/// Gives an output of which nothing is known but its id.
fn blank() -> OutputRecord {
    OutputRecord {
        id: OutputId::new(clock::fresh_id()),
        name: None,
        run_id: None,
        task_id: None,
        path: None,
        attempt: None,
        producer: None,
        sha256: String::new(),
        size_bytes: 0,
        content_type: String::new(),
        event: None,
        parents: Vec::new(),
        created_at: clock::now(),
    }
}

fn disk(done: &'static str) -> impl FnOnce(io::Error) -> EngineError {
    move |source| EngineError::Body { done, source }
}
