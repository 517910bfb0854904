//! The interactive mode: in tmux, and with lines through a pipe.

use super::stage::{Lines, Peer, hooks, place};
use crate::BINARY;
use adjutant_testkit::TestEnv;
use rustix::process::{Pid, Signal, kill_process};
use std::os::unix::process::ExitStatusExt;

/// A tmux server of the test's own.
struct Tmux<'a> {
    env: &'a TestEnv,
    screen: Lines,
}

impl Tmux<'_> {
    /// Starts the agent in a pane; its end is reported among the events.
    fn start<'a>(env: &'a TestEnv, args: &str) -> Tmux<'a> {
        let command = format!("{BINARY} rehearsal --interactive {args}; echo \"ended with $?\" > events");
        let screen = Lines::pipe(&env.work("screen"));
        let tmux = Tmux { env, screen };
        tmux.run(&["new-session", "-d", "-x", "100", "-y", "30", &command]);
        tmux.run(&["pipe-pane", "cat > screen"]);
        tmux
    }

    fn run(&self, args: &[&str]) {
        let mut command = self.env.program("tmux");
        command.args(["-L", "rehearsal", "-f", "/dev/null"]).args(args);
        let _ran = self.env.finish(command.env("TMUX_TMPDIR", self.env.folder().join("tmp"))).expect(0);
    }

    fn prompt(&self, text: &str) {
        self.run(&["send-keys", "-l", text]);
        self.run(&["send-keys", "Enter"]);
    }
}

impl Drop for Tmux<'_> {
    fn drop(&mut self) {
        let mut command = self.env.program("tmux");
        command.args(["-L", "rehearsal", "kill-server"]);
        // It ends by itself with its last session.
        let _ran = self.env.finish(command.env("TMUX_TMPDIR", self.env.folder().join("tmp")));
    }
}

#[test]
fn a_person_prompts_answers_interrupts_and_leaves_in_tmux() {
    let env = place(
        "ask_for: [Bash]\n\
         turns:\n\
         - [{ say: 'one: {prompt}' }, { run: touch made }, { ask: Which? }, { escape: \"\\x1b]2;title\\x07\" }]\n\
         - [{ say: 'two: {prompt}' }, { sleep: 600000 }]\n\
         - [{ say: 'three: {prompt}' }]\n",
    );
    let mut events = hooks(&env, "");
    let mut tmux = Tmux::start(&env, "script.yaml");
    assert_eq!(events.json("SessionStart")["source"], "startup");

    tmux.prompt("hello");
    assert_eq!(events.json("UserPromptSubmit")["prompt"], "hello");
    events.until("PermissionRequest");
    let asked = events.json("permission_prompt");
    assert_eq!(asked["message"], "Rehearsal needs your permission to use Bash");
    tmux.screen.until("Allow Bash? (y/n)");
    assert!(!env.work("made").exists());
    tmux.run(&["send-keys", "y"]);
    events.until("PostToolUse");
    assert_eq!(events.json("elicitation_dialog")["message"], "Which?");
    tmux.prompt("that one");
    tmux.screen.until("answered: that one");
    assert_eq!(events.json("\"Stop\"")["last_assistant_message"], "Which?");

    tmux.run(&["set-buffer", "two\nlines"]);
    tmux.run(&["paste-buffer", "-p"]);
    tmux.run(&["send-keys", "Enter"]);
    assert_eq!(events.json("UserPromptSubmit")["prompt"], "two\nlines");
    tmux.screen.until("\u{1b}]2;title\u{7}");
    tmux.run(&["send-keys", "Escape"]);
    events.until("\"Stop\"");
    tmux.screen.until("Interrupted");

    tmux.prompt("/exit");
    assert_eq!(events.json("SessionEnd")["reason"], "prompt_input_exit");
    events.until("ended with 0");
}

#[test]
fn a_session_is_resumed_with_what_was_said_before() {
    let id = "00000000-0000-4000-8000-000000000001";
    let env = place("- say: '{turn}: {prompt}, before {previous}'\n");
    let mut events = hooks(&env, "");
    let mut first = Peer::start(&env, &["--interactive", "script.yaml", "--session-id", id]);
    first.say("one");
    first.lines.until("1: one, before ");
    assert_eq!(events.json("SessionStart")["session_id"], id);
    assert!(first.end().0.success());
    let mut again = Peer::start(&env, &["--interactive", "script.yaml", "--resume", id]);
    again.lines.until("resumed with 1 earlier turns");
    let told = events.json("\"source\":\"resume\"");
    assert_eq!((&told["session_id"], &told["earlier_turns"]), (&id.into(), &1.into()));
    again.say("two");
    again.lines.until("2: two, before one");
    again.end();
}

#[test]
fn lines_through_a_pipe_are_prompts_and_its_end_is_the_agents() {
    let env = place("- say: 'You said: {prompt}'\n");
    let mut peer = Peer::start(&env, &["--interactive", "script.yaml", "--prompt", "zero"]);
    peer.say("one");
    peer.say("two");
    for words in ["zero", "one", "two"] {
        peer.lines.until(&format!("You said: {words}"));
    }
    assert!(peer.end().0.success());
}

#[test]
fn idle_for_long_the_agent_says_so() {
    let env = place("{ idle_ms: 1, turns: [[]] }\n");
    let mut events = hooks(&env, "");
    let peer = Peer::start(&env, &["--interactive", "script.yaml"]);
    assert_eq!(events.json("Notification")["notification_type"], "idle_prompt");
    drop(peer);
}

#[test]
fn a_signal_ends_it_and_the_hooks_are_told() {
    let env = place("- sleep: 600000\n");
    for prompts in [&[][..], &["go"]] {
        let env = if prompts.is_empty() { &env } else { &place("- sleep: 600000\n") };
        let mut events = hooks(env, "");
        let mut peer = Peer::start(env, &["--interactive", "script.yaml"]);
        events.until("SessionStart");
        for prompt in prompts {
            peer.say(prompt);
            events.until("UserPromptSubmit");
        }
        kill_process(Pid::from_child(&peer.child), Signal::TERM).unwrap();
        events.until("SessionEnd");
        assert_eq!(peer.child.wait().unwrap().code(), Some(143));
    }
}

#[test]
fn an_agent_that_hangs_may_ignore_the_signal() {
    let env = place("- say: now\n- hang: { ignore_term: true }\n");
    let mut peer = Peer::start(&env, &["--interactive", "script.yaml", "--prompt", "go"]);
    peer.lines.until("● now");
    let pid = Pid::from_child(&peer.child);
    kill_process(pid, Signal::TERM).unwrap();
    kill_process(pid, Signal::HUP).unwrap();
    assert!(peer.child.try_wait().unwrap().is_none());
    kill_process(pid, Signal::KILL).unwrap();
    assert_eq!(peer.child.wait().unwrap().signal(), Some(9));
}
