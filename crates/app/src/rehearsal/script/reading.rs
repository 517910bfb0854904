//! Reading a script: every step and field that is not known is refused with its place.

use super::{
    Crash, Flood, Fork, ForkEnvironment, ForkHome, Hang, OnInterrupt, OnTerm, Script, Step, ToolStep, Usage,
};
use adjutant_model::Value;
use adjutant_model::time::Timestamp;
use adjutant_rules::document::{Cursor, Lints};
use std::time::Duration;

/// The kinds of steps, as a script writes them.
const KINDS: [&str; 20] = [
    "say", "think", "plan", "read", "write", "patch", "run", "tool", "ask", "subagent", "usage", "compact",
    "sleep", "flood", "escape", "fork", "quota", "hang", "exit", "crash",
];

/// The tools that a rehearsal really has; a `tool` step may not pretend to be one of them.
const REAL_TOOLS: [(&str, &str); 4] =
    [("Read", "read"), ("Write", "write"), ("Edit", "patch"), ("Bash", "run")];

/// The longest pause that a script may make: one hour.
const SLEEP_MS_MAX: u64 = 3_600_000;

/// How long a command may take unless its step says otherwise.
const RUN_TIMEOUT_MS: u64 = 120_000;

/// How long an agent sits idle before it says so, unless its script says otherwise; Claude Code waits as long.
const IDLE_MS: u64 = 60_000;

/// So much may be printed at once: 1 GiB.
const FLOOD_BYTES_MAX: u64 = 1 << 30;

/// So long a line may be: 128 MiB.
const LINE_BYTES_MAX: u64 = 128 << 20;

/// So many processes may be left behind at once.
const FORKS_MAX: u64 = 1000;

/// So deep subagents may have subagents.
const DEPTH_MAX: usize = 8;

/// Whole numbers that JSON carries exactly.
const WHOLE_MAX: u64 = 1 << 53;

/// Reads a script from its document; what is wrong in it goes to `lints`.
pub(crate) fn read(document: &Value, lints: &mut Lints) -> Script {
    let root = Cursor::root(document);
    if document.as_object().is_none() {
        return script(vec![steps(&root, 0, lints)]);
    }
    root.object(&["turns", "ask_for", "idle_ms", "on_interrupt"], lints);
    let turns = root.required("turns", lints).map(|at| {
        let turns: Vec<Vec<Step>> = at.elements(lints).iter().map(|turn| steps(turn, 0, lints)).collect();
        if turns.is_empty() && at.value().as_array().is_some() {
            lints.error(&at, "no-turn", "there is no turn to play");
        }
        turns
    });
    let ask_for = root.member("ask_for").map(|at| texts(&at, lints)).unwrap_or_default();
    let idle_ms = root.member("idle_ms").and_then(|at| at.whole(1, SLEEP_MS_MAX, lints)).unwrap_or(IDLE_MS);
    let on_interrupt = root.member("on_interrupt").and_then(|at| read_on_interrupt(&at, lints));
    Script {
        ask_for,
        idle: Duration::from_millis(idle_ms),
        on_interrupt: on_interrupt.unwrap_or(OnInterrupt::Stop),
        ..script(turns.unwrap_or_default())
    }
}

fn script(turns: Vec<Vec<Step>>) -> Script {
    Script {
        turns,
        ask_for: Vec::new(),
        idle: Duration::from_millis(IDLE_MS),
        on_interrupt: OnInterrupt::Stop,
    }
}

fn read_on_interrupt(at: &Cursor<'_>, lints: &mut Lints) -> Option<OnInterrupt> {
    match at.string(lints)? {
        "stop" => Some(OnInterrupt::Stop),
        "silent" => Some(OnInterrupt::Silent),
        other => {
            let message = format!("unknown behaviour `{other}`");
            lints.error_with_hint(at, "unknown-behaviour", message, "known: stop, silent".to_owned());
            None
        }
    }
}

fn steps(at: &Cursor<'_>, depth: usize, lints: &mut Lints) -> Vec<Step> {
    at.elements(lints).iter().filter_map(|at| read_step(at, depth, lints)).collect()
}

fn texts(at: &Cursor<'_>, lints: &mut Lints) -> Vec<String> {
    at.elements(lints).iter().filter_map(|at| at.string(lints).map(str::to_owned)).collect()
}

fn read_step(at: &Cursor<'_>, depth: usize, lints: &mut Lints) -> Option<Step> {
    let entries = at.entries(lints);
    let [(kind, body)] = entries.as_slice() else {
        if at.value().as_object().is_some() {
            let message = format!("a step has exactly one key, this one has {}", entries.len());
            lints.error_with_hint(at, "step-shape", message, format!("one of: {}", KINDS.join(", ")));
        }
        return None;
    };
    match *kind {
        "say" => Some(Step::Say(body.string(lints)?.to_owned())),
        "think" => Some(Step::Think(body.string(lints)?.to_owned())),
        "plan" => Some(Step::Plan(texts(body, lints))),
        "ask" => read_ask(body, lints),
        "subagent" => read_subagent(body, depth, lints),
        "usage" => read_usage(body, lints).map(Step::Usage),
        "compact" => read_empty(body, lints).map(|()| Step::Compact),
        "sleep" => body.whole(0, SLEEP_MS_MAX, lints).map(Step::Sleep),
        "flood" => read_flood(body, lints).map(Step::Flood),
        "escape" => Some(Step::Escape(body.string(lints)?.to_owned())),
        "fork" => read_fork(body, lints).map(Step::Fork),
        "quota" => read_quota(body, lints),
        "hang" => read_hang(body, lints).map(Step::Hang),
        "exit" => read_exit(body, lints),
        "crash" => read_crash(body, lints),
        "read" => Some(Step::Call(ToolStep::Read { path: body.string(lints)?.to_owned() })),
        "write" => read_write(body, lints).map(Step::Call),
        "patch" => read_patch(body, lints).map(Step::Call),
        "run" => read_run(body, lints).map(Step::Call),
        "tool" => read_tool(body, lints).map(Step::Call),
        unknown => {
            let message = format!("unknown step `{unknown}`");
            lints.error_with_hint(body, "unknown-field", message, format!("known: {}", KINDS.join(", ")));
            None
        }
    }
}

fn read_subagent(body: &Cursor<'_>, depth: usize, lints: &mut Lints) -> Option<Step> {
    body.object(&["name", "steps"], lints)?;
    if depth >= DEPTH_MAX {
        lints.error(body, "too-deep", format!("subagents may be {DEPTH_MAX} deep"));
        return None;
    }
    let steps = body.required("steps", lints).map(|at| steps(&at, depth + 1, lints));
    Some(Step::Subagent { name: text(body, "name", lints)?, steps: steps? })
}

fn read_usage(body: &Cursor<'_>, lints: &mut Lints) -> Option<Usage> {
    body.object(&["input_tokens", "output_tokens", "cost_usd", "context_used", "context_window"], lints)?;
    let cost_usd = match body.member("cost_usd") {
        Some(at) => read_cost(&at, lints)?,
        None => 0.0,
    };
    Some(Usage {
        input_tokens: number(body, "input_tokens", lints),
        output_tokens: number(body, "output_tokens", lints),
        cost_usd,
        context_used: number(body, "context_used", lints),
        context_window: number(body, "context_window", lints),
    })
}

fn read_cost(at: &Cursor<'_>, lints: &mut Lints) -> Option<f64> {
    let cost = match at.value() {
        Value::Number(number) => number.as_f64().filter(|cost| *cost >= 0.0),
        _ => None,
    };
    if cost.is_none() {
        at.wrong_type("a number that is not negative", lints);
    }
    cost
}

/// Takes a whole number that may be missing.
fn number(body: &Cursor<'_>, key: &str, lints: &mut Lints) -> u64 {
    body.member(key).and_then(|at| at.whole(0, WHOLE_MAX, lints)).unwrap_or(0)
}

fn read_flood(body: &Cursor<'_>, lints: &mut Lints) -> Option<Flood> {
    body.object(&["bytes", "line_bytes"], lints)?;
    let bytes = body.required("bytes", lints)?.whole(1, FLOOD_BYTES_MAX, lints);
    let line_bytes = match body.member("line_bytes") {
        Some(at) => at.whole(1, LINE_BYTES_MAX, lints),
        None => Some(80),
    };
    Some(Flood { bytes: bytes?, line_bytes: line_bytes? })
}

fn read_fork(body: &Cursor<'_>, lints: &mut Lints) -> Option<Fork> {
    body.object(&["count", "detach", "ignore_term", "clean_env"], lints)?;
    let count = match body.member("count") {
        Some(at) => at.whole(1, FORKS_MAX, lints)?,
        None => 1,
    };
    Some(Fork {
        count,
        home: if flag(body, "detach", lints) { ForkHome::Own } else { ForkHome::Same },
        on_term: on_term(body, lints),
        environment: match flag(body, "clean_env", lints) {
            true => ForkEnvironment::Empty,
            false => ForkEnvironment::Inherited,
        },
    })
}

fn read_quota(body: &Cursor<'_>, lints: &mut Lints) -> Option<Step> {
    body.object(&["until"], lints)?;
    let at = body.required("until", lints)?;
    match Timestamp::parse(at.string(lints)?) {
        Ok(until) => Some(Step::Quota { until }),
        Err(error) => {
            lints.error(&at, "not-an-instant", error.to_string());
            None
        }
    }
}

fn read_hang(body: &Cursor<'_>, lints: &mut Lints) -> Option<Hang> {
    if !matches!(body.value(), Value::Null) {
        body.object(&["ignore_term"], lints)?;
    }
    Some(Hang { on_term: on_term(body, lints) })
}

fn on_term(body: &Cursor<'_>, lints: &mut Lints) -> OnTerm {
    if flag(body, "ignore_term", lints) { OnTerm::Ignore } else { OnTerm::End }
}

fn flag(body: &Cursor<'_>, key: &str, lints: &mut Lints) -> bool {
    body.member(key).and_then(|at| at.boolean(lints)).unwrap_or(false)
}

/// Takes a body that says nothing.
fn read_empty(body: &Cursor<'_>, lints: &mut Lints) -> Option<()> {
    match body.value() {
        Value::Null => Some(()),
        _ => body.object(&[], lints).map(|_| ()),
    }
}

fn read_ask(body: &Cursor<'_>, lints: &mut Lints) -> Option<Step> {
    if let Some(question) = body.value().as_str() {
        return Some(Step::Ask { question: question.to_owned(), default: None });
    }
    body.object(&["question", "default"], lints)?;
    let default = body.member("default").and_then(|at| at.string(lints)).map(str::to_owned);
    Some(Step::Ask { question: text(body, "question", lints)?, default })
}

fn read_exit(body: &Cursor<'_>, lints: &mut Lints) -> Option<Step> {
    if matches!(body.value(), Value::Number(_)) {
        return Some(Step::Exit { code: exit_code(body, lints)?, result: None });
    }
    body.object(&["code", "result"], lints)?;
    let result = body.member("result").and_then(|at| at.string(lints)).map(str::to_owned);
    let code = exit_code(&body.required("code", lints)?, lints)?;
    Some(Step::Exit { code, result })
}

fn exit_code(at: &Cursor<'_>, lints: &mut Lints) -> Option<u8> {
    u8::try_from(at.whole(0, 255, lints)?).ok()
}

fn read_crash(body: &Cursor<'_>, lints: &mut Lints) -> Option<Step> {
    let name = body.string(lints)?;
    let crash = Crash::parse(name);
    if crash.is_none() {
        let known = Crash::NAMES.map(|(name, _)| name).join(", ");
        lints.error_with_hint(
            body,
            "unknown-crash",
            format!("unknown crash `{name}`"),
            format!("known: {known}"),
        );
    }
    crash.map(Step::Crash)
}

fn read_write(body: &Cursor<'_>, lints: &mut Lints) -> Option<ToolStep> {
    body.object(&["path", "content"], lints)?;
    let (path, content) = (text(body, "path", lints), text(body, "content", lints));
    Some(ToolStep::Write { path: path?, content: content? })
}

fn read_patch(body: &Cursor<'_>, lints: &mut Lints) -> Option<ToolStep> {
    body.object(&["path", "find", "replace"], lints)?;
    let (path, find, replace) =
        (text(body, "path", lints), text(body, "find", lints), text(body, "replace", lints));
    if let (Some(find), Some(at)) = (&find, body.member("find"))
        && find.is_empty()
    {
        lints.error(&at, "empty-find", "an empty text occurs everywhere");
    }
    Some(ToolStep::Patch { path: path?, find: find?, replace: replace? })
}

fn read_run(body: &Cursor<'_>, lints: &mut Lints) -> Option<ToolStep> {
    if let Some(command) = body.value().as_str() {
        return Some(ToolStep::Run { command: command.to_owned(), timeout_ms: RUN_TIMEOUT_MS });
    }
    body.object(&["command", "timeout_ms"], lints)?;
    let timeout_ms = match body.member("timeout_ms") {
        Some(at) => at.whole(1, SLEEP_MS_MAX, lints)?,
        None => RUN_TIMEOUT_MS,
    };
    Some(ToolStep::Run { command: text(body, "command", lints)?, timeout_ms })
}

fn read_tool(body: &Cursor<'_>, lints: &mut Lints) -> Option<ToolStep> {
    body.object(&["name", "input", "result"], lints)?;
    let name = text(body, "name", lints)?;
    if let Some((_, step)) = REAL_TOOLS.into_iter().find(|(real, _)| *real == name) {
        let at = body.member("name")?;
        let message = format!("`{name}` is a tool that a rehearsal really has");
        lints.error_with_hint(&at, "real-tool", message, format!("write the step `{step}` instead"));
    }
    let input = body.member("input").map_or_else(|| Value::object::<&str>([]), |at| at.value().clone());
    let result = body.member("result").map_or(Value::Null, |at| at.value().clone());
    Some(ToolStep::Pretend { name, input, result })
}

fn text(body: &Cursor<'_>, key: &str, lints: &mut Lints) -> Option<String> {
    let at = body.required(key, lints)?;
    at.string(lints).map(str::to_owned)
}
