//! What the tests of the modes share: hooks that report through a pipe, and a process that is talked to in lines.

use crate::BINARY;
use adjutant_testkit::TestEnv;
use rustix::fs::{CWD, FileType, Mode, mknodat};
use serde_json::{Value, json};
use std::fs::OpenOptions;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ExitStatus, Stdio};
use std::sync::mpsc;
use std::time::Duration;

/// What has not come until then will not come.
const PATIENCE: Duration = Duration::from_secs(60);

/// The events that the tests listen to.
const EVENTS: [&str; 14] = [
    "SessionStart",
    "UserPromptSubmit",
    "PreToolUse",
    "PostToolUse",
    "PostToolUseFailure",
    "PermissionRequest",
    "Notification",
    "Elicitation",
    "SubagentStart",
    "SubagentStop",
    "PreCompact",
    "Stop",
    "StopFailure",
    "SessionEnd",
];

/// Lines that are awaited.
pub(super) struct Lines {
    incoming: mpsc::Receiver<String>,
    seen: Vec<String>,
}

impl Lines {
    /// Follows a reader.
    pub(super) fn of(reader: impl Read + Send + 'static) -> Lines {
        let (sender, incoming) = mpsc::channel();
        std::thread::spawn(move || {
            for line in BufReader::new(reader).split(b'\n').map_while(Result::ok) {
                if sender.send(String::from_utf8_lossy(&line).into_owned()).is_err() {
                    break;
                }
            }
        });
        Lines { incoming, seen: Vec::new() }
    }

    /// Makes a named pipe and follows what is written to it.
    pub(super) fn pipe(path: &Path) -> Lines {
        mknodat(CWD, path, FileType::Fifo, Mode::from_raw_mode(0o600), 0).unwrap();
        // Opened for both, it does not end when a writer has gone.
        Lines::of(OpenOptions::new().read(true).write(true).open(path).unwrap())
    }

    /// Waits for a line with a text in it.
    #[track_caller]
    pub(super) fn until(&mut self, text: &str) -> String {
        loop {
            let Ok(line) = self.incoming.recv_timeout(PATIENCE) else {
                panic!("no line with `{text}`, but\n{}", self.seen.join("\n"))
            };
            self.seen.push(line.clone());
            if line.contains(text) {
                return line;
            }
        }
    }

    /// Waits for the next line and reads it.
    #[track_caller]
    pub(super) fn json(&mut self, text: &str) -> Value {
        self.until(text).parse().unwrap()
    }

    /// Gives the rest, once there will be no more.
    pub(super) fn rest(self) -> Vec<String> {
        self.incoming.iter().collect()
    }
}

/// Writes settings whose hooks report every event, and answer as the shell commands say that follow.
///
/// In `answers` the event is `$event`, whose JSON begins with its common fields.
pub(super) fn hooks(env: &TestEnv, answers: &str) -> Lines {
    let hook =
        json!([{"matcher": "*", "hooks": [{"type": "command", "command": "sh hook.sh", "timeout": 30}]}]);
    let hooks: serde_json::Map<String, Value> =
        EVENTS.iter().map(|event| ((*event).to_owned(), hook.clone())).collect();
    env.file(".claude/settings.json", &json!({"hooks": hooks}).to_string());
    let script = "event=$(cat)\nprintf '%s\\n' \"$event\" > \"$CLAUDE_PROJECT_DIR/events\"\n";
    env.file("hook.sh", &format!("{script}{answers}\n"));
    Lines::pipe(&env.work("events"))
}

/// A process that is talked to in lines.
pub(super) struct Peer {
    pub(super) child: Child,
    stdin: Option<ChildStdin>,
    pub(super) lines: Lines,
}

impl Peer {
    /// Starts `adjutant rehearsal` with these arguments.
    pub(super) fn start(env: &TestEnv, args: &[&str]) -> Peer {
        let mut command = env.command(&[&["rehearsal"], args].concat());
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let lines = Lines::of(child.stdout.take().unwrap());
        Peer { stdin: child.stdin.take(), child, lines }
    }

    /// Says a line.
    pub(super) fn say(&mut self, line: &str) {
        writeln!(self.stdin.as_mut().unwrap(), "{line}").unwrap();
    }

    /// Says JSON.
    pub(super) fn send(&mut self, value: &Value) {
        self.say(&value.to_string());
    }

    /// Says no more, and waits for the end.
    pub(super) fn end(mut self) -> (ExitStatus, Vec<String>) {
        drop(self.stdin.take());
        let rest = std::mem::replace(&mut self.lines, Lines::of(std::io::empty())).rest();
        (self.child.wait().unwrap(), rest)
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        // It may have ended by itself.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// Makes a place whose script is this.
pub(super) fn place(script: &str) -> TestEnv {
    let env = TestEnv::new(BINARY);
    env.file("script.yaml", script);
    env
}
