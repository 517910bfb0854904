//! `adjutant drive`: an agent is driven until a check passes, through the runtime door.
//!
//! The loop is a client like any other: each drive and each check is an action that the gate judges and the daemon
//! records as a turn, and the run stays readable when the loop is gone.

mod door;

mod hands;

mod plan;

use crate::commands::Commands;
use crate::exit::Failure;
use crate::progress::{cost, visible};
use adjutant_model::run::Usage;
use adjutant_protocol::ExitCode as Code;
use adjutant_protocol::http::UsageView;
use anyhow::Result;
use clap::Args;
use door::{Door, Settled};
use hands::Hands;
use plan::{Limits, Next, Spent, Verdict};
use serde_json::{Value, json};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio_util::task::TaskTracker;

/// What to drive, and what proves that it is done.
#[derive(Debug, Args)]
pub(crate) struct DriveArgs {
    /// The agent: claude, codex, rehearsal, or a program that takes the prompt as its argument.
    #[arg(long, value_name = "NAME|PROGRAM")]
    cli: String,
    /// A command line for `sh -c`; the work is done when it exits with 0.
    #[arg(long, value_name = "COMMAND")]
    check: String,
    /// What the agent is told.
    #[arg(long, value_name = "TEXT")]
    prompt: String,
    /// The directory that the agent works in, as it is; by default this one.
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
    /// The agent is driven at most so often.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    attempts: u32,
    /// No attempt begins when so much is spent, as far as the agent says what it costs.
    #[arg(long, value_name = "USD")]
    budget: Option<f64>,
    /// One attempt may take so long, in seconds.
    #[arg(long, value_name = "SECS", default_value_t = 1800, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    timeout: u64,
    /// The check may take so long, in seconds.
    #[arg(long, value_name = "SECS", default_value_t = 600, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    check_timeout: u64,
    /// Print how it went as JSON, and nothing else.
    #[arg(long)]
    json: bool,
}

/// How a drive went.
struct Driven {
    next: Next,
    spent: Spent,
    usage: Usage,
}

pub(crate) async fn run(folder: &Path, args: DriveArgs) -> Result<Code> {
    if args.budget.is_some_and(|budget| !budget.is_finite() || budget <= 0.0) {
        return Err(Failure::usage("`--budget` is more than 0 dollars").into());
    }
    let (said, shown) = hands::channel();
    let hands = Hands {
        cli: args.cli.clone(),
        dir: directory(args.dir.as_deref())?,
        timeout: Duration::from_secs(args.timeout),
        check_timeout: Duration::from_secs(args.check_timeout),
        scratch: folder.join("scratch"),
        said,
        work: TaskTracker::new(),
    };
    if !args.json {
        tokio::spawn(hands::show_said(shown));
    }
    let work = hands.work.clone();
    let agent_id =
        format!("drive:{}", Path::new(&args.cli).file_name().unwrap_or_default().to_string_lossy());
    let mut door = Door::open(folder.to_owned(), &agent_id, &args.prompt, hands).await?;
    let tell = Teller { json: args.json };
    tell.line(&format!(
        "run {}: {} until `{}` passes",
        door.run_id,
        visible(&args.cli),
        visible(&args.check)
    ))?;
    if ["claude", "codex"].contains(&args.cli.as_str()) {
        tell.line(&format!(
            "note: each attempt is gated; the own tool calls of {} are not judged yet",
            args.cli
        ))?;
    }
    let driven = tokio::select! {
        driven = cycle(&mut door, &args, &tell) => Some(driven),
        _interrupted = tokio::signal::ctrl_c() => None,
    };
    let code = match driven {
        Some(Ok(driven)) => end(&mut door, folder, &driven, &tell).await,
        Some(Err(error)) => Err(error),
        None => {
            door.cancel("interrupted by its user").await;
            Err(Failure::new(Code::Failed, "interrupted; the run is cancelled").into())
        }
    };
    // What was started has ended before we do.
    drop(door);
    work.close();
    work.wait().await;
    code
}

/// Drives and checks until the plan says that it is enough.
async fn cycle(door: &mut Door, args: &DriveArgs, tell: &Teller) -> Result<Driven> {
    let limits = Limits { attempts: args.attempts, budget_usd: args.budget };
    let (mut spent, mut usage) = (Spent::default(), Usage::default());
    let mut prompt = args.prompt.clone();
    loop {
        spent.attempts += 1;
        tell.line(&format!("{}. {} is driven", spent.attempts, visible(&args.cli)))?;
        let parameters = json!({"cli": args.cli, "prompt": prompt});
        let answer = match door.act(hands::DRIVE, parameters, Duration::from_secs(args.timeout)).await? {
            Settled::Done(answer) => answer,
            Settled::Not { why } => return Ok(Driven { next: Next::GiveUp { why }, spent, usage }),
        };
        if let Some(used) = hands::usage_of(&answer) {
            spent.usd += used.cost_usd.unwrap_or_default();
            usage = usage.and(used);
        }
        tell.line(&format!("   {}", ended(&answer)))?;

        let parameters = json!({"command": args.check});
        let report = match door.act(hands::CHECK, parameters, Duration::from_secs(args.check_timeout)).await?
        {
            Settled::Done(report) => report,
            Settled::Not { why } => return Ok(Driven { next: Next::GiveUp { why }, spent, usage }),
        };
        let verdict = verdict(&report);
        let word = if verdict.passed { "passes" } else { "does not pass" };
        tell.line(&format!("   the check {word}: {}", ended(&report)))?;
        match plan::next(limits, spent, &args.prompt, &args.check, &verdict) {
            Next::Drive { prompt: next } => prompt = next,
            next @ (Next::Done | Next::GiveUp { .. }) => return Ok(Driven { next, spent, usage }),
        }
    }
}

async fn end(door: &mut Door, folder: &Path, driven: &Driven, tell: &Teller) -> Result<Code> {
    let Driven { next, spent, usage } = driven;
    let times =
        if spent.attempts == 1 { "1 attempt".to_owned() } else { format!("{} attempts", spent.attempts) };
    let (status, summary) = match next {
        Next::Done => ("success", format!("the check passes after {times}")),
        Next::Drive { .. } => ("give_up", format!("it stopped after {times}")),
        Next::GiveUp { why } => ("give_up", why.clone()),
    };
    door.complete(status, &summary).await?;
    let trace = Commands::of(folder).line(&format!("trace {}", door.run_id));
    if tell.json {
        let told = json!({
            "run_id": door.run_id, "status": status, "summary": summary, "attempts": spent.attempts, "usage": usage,
        });
        say(&told.to_string())?;
    }
    if let Some(cost) = cost::told(&usage_view(usage)) {
        tell.line(&format!("what it cost:  {cost}"))?;
    }
    tell.line(&format!("every turn:    {trace}"))?;
    if *next == Next::Done {
        tell.line(&format!("done: {summary}"))?;
        return Ok(Code::Ok);
    }
    Err(Failure::new(Code::Failed, summary)
        .hinted(format!("`adjutant trace {}` shows every turn", door.run_id))
        .into())
}

/// Says how a program ended, and the last that it said.
fn ended(answer: &Value) -> String {
    let said = answer["error"].as_str().or_else(|| answer["output_tail"].as_str()).unwrap_or_default();
    let last = said.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or_default();
    let how = match (&answer["timed_out"], &answer["exit_code"], &answer["signal"]) {
        (Value::Bool(true), _, _) => "its time was over".to_owned(),
        (_, Value::Number(code), _) => format!("exit {code}"),
        (_, _, Value::Number(signal)) => format!("signal {signal}"),
        _ => "it ended".to_owned(),
    };
    if last.is_empty() { how } else { format!("{how}: {}", visible(last)) }
}

fn verdict(report: &Value) -> Verdict {
    let ended = match (&report["timed_out"], &report["exit_code"], &report["signal"]) {
        (Value::Bool(true), _, _) => "its time was over".to_owned(),
        (_, Value::Number(code), _) => format!("exit {code}"),
        (_, _, signal) => format!("signal {signal}"),
    };
    Verdict {
        passed: report["passed"] == json!(true),
        ended,
        output_tail: report["output_tail"].as_str().unwrap_or_default().to_owned(),
    }
}

fn usage_view(usage: &Usage) -> UsageView {
    UsageView {
        model: usage.model.clone(),
        input_tokens: usage.input_tokens,
        output_tokens: usage.output_tokens,
        num_turns: usage.num_turns,
        cost_usd: usage.cost_usd,
    }
}

fn directory(dir: Option<&Path>) -> Result<PathBuf> {
    let dir = dir.unwrap_or(Path::new("."));
    let found = dir.canonicalize().ok().filter(|found| found.is_dir());
    found.ok_or_else(|| {
        let failure = Failure::new(Code::NotFound, format!("there is no directory {}", dir.display()));
        failure.hinted("check the path").into()
    })
}

/// Tells a person how it goes; a program is told once, at the end.
struct Teller {
    json: bool,
}

impl Teller {
    fn line(&self, text: &str) -> Result<()> {
        if self.json { Ok(()) } else { say(text) }
    }
}

fn say(text: &str) -> Result<()> {
    Ok(writeln!(io::stdout().lock(), "{text}")?)
}
