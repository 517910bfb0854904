//! `adjutant bench hook`: how long an agent waits for its hook: the whole process, from its start to its end.

use super::rpc::{Door, open};
use super::{median, ms, say};
use adjutant_model::SessionId;
use adjutant_model::id::Uuid;
use adjutant_protocol::ExitCode as Code;
use anyhow::{Context, Result, ensure};
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};
use tokio::io::AsyncWriteExt;
use tokio::process::Command;
use tokio::task::JoinSet;

/// What an agent gives its hook before it uses its shell.
const PAYLOAD: &str = r#"{"session_id":"f512477e-aa02-490b-ab7e-3d71d018b9ef","transcript_path":"/home/a/.claude/projects/p/f512477e.jsonl","cwd":"/home/a/p","prompt_id":"89b6e05f-0a8e-4ed7-b3f0-cef5abb4bd34","permission_mode":"default","hook_event_name":"PreToolUse","tool_name":"Bash","tool_input":{"command":"cargo test --workspace 2>&1 | tail -n 20"},"tool_use_id":"toolu_1"}"#;

pub(super) async fn run(parent: &Path, hooks: usize, rate: u32) -> Result<Code> {
    ensure!(hooks >= 1 && rate >= 1, "at least one hook, and one in a second");
    let folder =
        tempfile::tempdir_in(parent).with_context(|| format!("no folder in {}", parent.display()))?;
    let door = open(folder.path()).await?;
    let session_id = SessionId::new(Uuid::from_u128(1));
    let token = door.plane.session_token_create(session_id).await?.reveal().to_owned();
    let call = Call { socket: folder.path().join("socket"), token, session_id: session_id.to_string() };
    measure("the program alone", hooks, rate, || async { alone().await }).await?;
    measure("PreToolUse, judged", hooks, rate, || call.clone().made()).await?;
    finish(&door).await
}

async fn finish(door: &Door) -> Result<Code> {
    door.plane.stop().await;
    door.shutdown.cancel();
    Ok(Code::Ok)
}

/// Starts one after another at a rate, whether those before have ended or not.
async fn measure<Made>(what: &str, hooks: usize, rate: u32, make: impl Fn() -> Made) -> Result<()>
where
    Made: Future<Output = Result<Duration>> + Send + 'static,
{
    let mut ticks = tokio::time::interval(Duration::from_secs(1) / rate);
    let mut set = JoinSet::new();
    let began = Instant::now();
    for _ in 0..hooks {
        ticks.tick().await;
        set.spawn(make());
    }
    let mut all = Vec::with_capacity(hooks);
    while let Some(took) = set.join_next().await {
        all.push(ms(took??));
    }
    let per_second = hooks as f64 / began.elapsed().as_secs_f64();
    let p50 = median(&mut all);
    let (p99, most) = (all[all.len() * 99 / 100], all[all.len() - 1]);
    say(&format!(
        "{what:<20} {hooks} at {per_second:.0} a second: p50 {p50:.2} ms, p99 {p99:.2} ms, most {most:.2} ms"
    ))
}

/// One hook of an agent.
#[derive(Clone)]
struct Call {
    socket: std::path::PathBuf,
    token: String,
    session_id: String,
}

impl Call {
    async fn made(self) -> Result<Duration> {
        let mut command = hook()?;
        command
            .env("ADJUTANT_SOCKET", self.socket)
            .env("ADJUTANT_TOKEN", self.token)
            .env("ADJUTANT_SESSION", self.session_id)
            .stdin(Stdio::piped());
        let began = Instant::now();
        let mut child = command.spawn()?;
        let mut input = child.stdin.take().context("its input is piped")?;
        input.write_all(PAYLOAD.as_bytes()).await?;
        drop(input);
        let output = child.wait_with_output().await?;
        let took = began.elapsed();
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        ensure!(output.status.success() && said.is_empty(), "the hook said: {said}");
        Ok(took)
    }
}

/// Starts the program for an event that it asks nobody about: what is left is its start and its end.
async fn alone() -> Result<Duration> {
    let began = Instant::now();
    let output = hook()?.stdin(Stdio::null()).spawn()?.wait_with_output().await?;
    ensure!(output.status.success(), "the program alone failed");
    Ok(began.elapsed())
}

fn hook() -> Result<Command> {
    let mut command = Command::new(std::env::current_exe().context("Adjutant's own program is not found")?);
    command.arg("hook").env_clear().env("HOME", "/nonexistent").stdout(Stdio::piped()).kill_on_drop(true);
    Ok(command)
}
