//! Luau chunks: a step as a small script, in a sandbox that can always be stopped.
//!
//! A chunk gets the step's input as its argument (`local input = ...`) and returns the result; `convert` says how
//! JSON and Luau stand for each other, `sandbox` what a chunk can reach, and `host` what the plane lends it. Every call
//! has a machine of its own, on a thread that may block, with a bound on memory and on time. A chunk whose time is over
//! fails from then on at every loop and call, also inside of `pcall`, and fails the step even when it hides that.
//!
//! `error "text"` fails the step with the text and its line. `error {message = "text", …}` fails it with the text,
//! and the whole table becomes the failure's value.

mod convert;
mod host;
mod sandbox;

use super::{Progress, WorkerContext, failed};
use adjutant_model::Value;
use adjutant_model::blueprint::LuaSpec;
use adjutant_model::run::{ErrorClass, StepFailure, StepOutcome};
use adjutant_rules::limits;
use convert::{Bounds, Converter};
use mlua::chunk::{ChunkMode, Compiler};
use mlua::{Function, Lua, MultiValue, VmState};
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use tokio::sync::{Semaphore, mpsc};

/// The chunks that `spec.fn_id` can name, with their source.
pub const BUILTINS: &[(&str, &str)] = &[
    ("patch-applier", include_str!("../../../../blueprints/enhance/patch-applier.luau")),
    ("verifier-router", include_str!("../../../../blueprints/enhance/verifier-router.luau")),
    ("committer", include_str!("../../../../blueprints/enhance/committer.luau")),
];

/// An error's text keeps so many bytes.
const MESSAGE_BYTES_MAX: usize = 2 << 10;

/// The table that a chunk raises may weigh so much.
const ERROR_BYTES_MAX: usize = 64 << 10;

/// How long a chunk may take to notice that it has to stop.
const STOP_MAX: Duration = Duration::from_secs(2);

/// So many chunks run at once, which bounds threads and memory; further ones wait.
static SLOTS: Semaphore = Semaphore::const_new(16);

/// A chunk that is to run, with its limits.
struct Job {
    spec: LuaSpec,
    input: Value,
    memory_bytes: usize,
    stop: Arc<Stop>,
    progress: mpsc::Sender<Progress>,
}

/// Runs a chunk. The time that it waits for others does not count.
pub async fn call(spec: &LuaSpec, input: Value, ctx: &WorkerContext) -> StepOutcome {
    let permit = tokio::select! {
        permit = SLOTS.acquire() => permit.expect("the semaphore is never closed"),
        () = ctx.cancel.cancelled() => return failed(ErrorClass::Gone, "cancelled"),
    };
    let timeout = spec.timeout_ms.map_or(ctx.settings.lua_timeout, Duration::from_millis);
    let memory_bytes = spec.memory_bytes.unwrap_or(ctx.settings.lua_memory_bytes);
    let stop = Arc::new(Stop::default());
    let job = Job {
        spec: spec.clone(),
        input,
        memory_bytes: usize::try_from(memory_bytes).unwrap_or(usize::MAX),
        stop: stop.clone(),
        progress: ctx.progress.clone(),
    };
    let stopping = StopOnDrop(stop);
    let mut working = tokio::task::spawn_blocking(move || {
        // The slot belongs to the thread, so that a chunk that nobody waits for any more still fills it.
        let _permit = permit;
        run(&job)
    });
    let why = tokio::select! {
        ended = &mut working => return outcome(ended, timeout),
        () = tokio::time::sleep(timeout) => Why::Time,
        () = ctx.cancel.cancelled() => Why::Cancelled,
    };
    stopping.0.request(why);
    match tokio::time::timeout(STOP_MAX, working).await {
        Ok(ended) => outcome(ended, timeout),
        Err(_) => failed(why.class(), format!("{} and did not stop", why.told(timeout))),
    }
}

fn outcome(ended: Result<Result<Value, Failure>, tokio::task::JoinError>, timeout: Duration) -> StepOutcome {
    let (class, message, value) = match ended {
        Ok(Ok(value)) => return StepOutcome::Done(value),
        Ok(Err(Failure::Chunk { message, value })) => (ErrorClass::User, message, value),
        Ok(Err(Failure::Stopped { why, place })) => {
            (why.class(), format!("{place}{}", why.told(timeout)), None)
        }
        Err(_) => (ErrorClass::Bug, "the Luau machine panicked".to_owned(), None),
    };
    StepOutcome::Failed(StepFailure { message: limits::cut(&message, MESSAGE_BYTES_MAX), class, value })
}

/// Why a chunk gave no result.
enum Failure {
    /// By its own fault.
    Chunk { message: String, value: Option<Value> },
    /// It was stopped; the place is empty or ends in `: `.
    Stopped { why: Why, place: String },
}

impl Failure {
    fn chunk(message: impl Into<String>) -> Self {
        Failure::Chunk { message: message.into(), value: None }
    }
}

impl From<mlua::Error> for Failure {
    fn from(error: mlua::Error) -> Self {
        Failure::chunk(told(&error))
    }
}

/// Tells whether a chunk has the form of one; what it does is not looked at.
///
/// # Errors
/// What is wrong with it, and on which line.
pub fn check_syntax(source: &str) -> Result<(), String> {
    Compiler::new().compile(source).map(drop).map_err(|error| told(&error))
}

fn run(job: &Job) -> Result<Value, Failure> {
    let (lua, converter) = sandbox::machine(job.memory_bytes, &job.progress)?;
    let pcall: Function = lua.globals().get("pcall")?;
    let stop = job.stop.clone();
    lua.set_interrupt(move |lua| match stop.why() {
        None => Ok(VmState::Continue),
        Some(_) => {
            stop.hit(lua);
            Err(mlua::Error::runtime("stopped"))
        }
    });
    let input = converter.to_lua(&job.input).map_err(|error| Failure::chunk(error.to_string()))?;
    let chunk = lua.load(&job.spec.source).set_name(format!("={}", job.spec.label)).set_mode(ChunkMode::Text);
    let results = pcall.call::<MultiValue>((chunk.into_function()?, input));
    // Whatever a chunk gives that was stopped once, it hid the error.
    if let Some(failure) = job.stop.failure() {
        return Err(failure);
    }
    let mut results = results?.into_iter();
    let went_well = matches!(results.next(), Some(mlua::Value::Boolean(true)));
    let first = results.next().unwrap_or(mlua::Value::Nil);
    if !went_well {
        return Err(raised(&first, &converter, &job.stop));
    }
    let bounds = Bounds { bytes_max: job.memory_bytes, stop: &job.stop };
    converter.to_json(&first, bounds).map_err(|error| match job.stop.why() {
        Some(why) => Failure::Stopped { why, place: String::new() },
        None => Failure::chunk(error.to_string()),
    })
}

/// Gives what a chunk raised, whatever type it has.
fn raised(error: &mlua::Value, converter: &Converter, stop: &Stop) -> Failure {
    match error {
        mlua::Value::String(text) => Failure::chunk(plain(&text.to_string_lossy())),
        mlua::Value::Error(error) => Failure::chunk(told(error)),
        mlua::Value::Table(_) => {
            match converter.to_json(error, Bounds { bytes_max: ERROR_BYTES_MAX, stop }) {
                Ok(value) => {
                    let message = value
                        .get("message")
                        .and_then(Value::as_str)
                        .unwrap_or("the chunk failed with a table");
                    Failure::Chunk { message: message.to_owned(), value: Some(value) }
                }
                Err(_) => Failure::chunk("the chunk failed with a table that has no JSON form"),
            }
        }
        other => Failure::chunk(format!("the chunk failed with a {} instead of a text", other.type_name())),
    }
}

/// Gives what went wrong with its line, without the machine's own stack.
fn told(error: &mlua::Error) -> String {
    match error {
        mlua::Error::RuntimeError(message) | mlua::Error::SyntaxError { message, .. } => plain(message),
        mlua::Error::MemoryError(_) => plain("not enough memory"),
        mlua::Error::CallbackError { cause, .. } | mlua::Error::WithContext { cause, .. } => told(cause),
        other => plain(&other.to_string()),
    }
}

fn plain(message: &str) -> String {
    let message = message.split("\nstack traceback:").next().unwrap_or(message).trim();
    if message == "not enough memory" { "the memory limit is reached".to_owned() } else { message.to_owned() }
}

/// Asks a running chunk to stop, and remembers where it did.
#[derive(Debug, Default)]
struct Stop {
    why: AtomicU8,
    place: OnceLock<String>,
}

/// Why a chunk has to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Why {
    Time = 1,
    Cancelled = 2,
}

impl Why {
    fn class(self) -> ErrorClass {
        match self {
            Why::Time => ErrorClass::Retry,
            Why::Cancelled => ErrorClass::Gone,
        }
    }

    fn told(self, timeout: Duration) -> String {
        match self {
            Why::Time => format!("the chunk took longer than {} ms", timeout.as_millis()),
            Why::Cancelled => "the chunk was cancelled".to_owned(),
        }
    }
}

impl Stop {
    fn request(&self, why: Why) {
        // The first reason stays; it is the one that people are told.
        let _already_requested =
            self.why.compare_exchange(0, why as u8, Ordering::Relaxed, Ordering::Relaxed);
    }

    fn why(&self) -> Option<Why> {
        match self.why.load(Ordering::Relaxed) {
            0 => None,
            1 => Some(Why::Time),
            _ => Some(Why::Cancelled),
        }
    }

    /// Notes that the chunk was stopped, and the line of the function that was running.
    fn hit(&self, lua: &Lua) {
        self.place.get_or_init(|| {
            // A library function on top has no line of the chunk; whoever called it has.
            (0..4).find_map(|level| lua.inspect_stack(level, line).flatten()).unwrap_or_default()
        });
    }

    fn failure(&self) -> Option<Failure> {
        let place = self.place.get()?.clone();
        Some(Failure::Stopped { why: self.why()?, place })
    }
}

fn line(frame: &mlua::debug::Debug<'_>) -> Option<String> {
    let source = frame.source();
    let label = source.short_src.as_deref().filter(|label| *label != sandbox::GUARDS_LABEL)?;
    Some(format!("{label}:{}: ", frame.current_line()?))
}

/// Stops the chunk when its caller stops waiting.
struct StopOnDrop(Arc<Stop>);

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        self.0.request(Why::Cancelled);
    }
}
