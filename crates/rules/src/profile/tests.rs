use super::*;
use adjutant_model::profile::{AgentProfile, HookFlavour, PromptDelivery, StreamFlavour};

fn shipped(name: &str) -> &'static AgentProfile {
    Profiles::shipped().find(name).expect("it is shipped")
}

fn fillings() -> Fillings {
    Fillings {
        adjutant: "/opt/adjutant".to_owned(),
        model: Some("opus".to_owned()),
        session: Some("S-1".to_owned()),
        prompt: Some("do {model} it".to_owned()),
        ..Fillings::default()
    }
}

#[track_caller]
fn started(agent: &str, kind: DriverKind, fillings: &Fillings) -> String {
    let profile = shipped(agent);
    argv(profile, profile.driver(kind).expect("the driver is there"), fillings).join(" ")
}

#[test]
fn every_shipped_agent_starts_with_its_own_flags() {
    let rows = [
        (
            "claude",
            DriverKind::Tmux,
            "claude --session-id S-1 --model opus --permission-mode default -- do {model} it",
        ),
        (
            "claude_code",
            DriverKind::Headless,
            "claude -p --input-format stream-json --output-format stream-json --verbose --replay-user-messages \
             --permission-prompt-tool stdio --permission-mode default --session-id S-1 --model opus",
        ),
        ("claude-code", DriverKind::Acp, "claude-agent-acp"),
        (
            "codex",
            DriverKind::Tmux,
            "codex --no-daemon --dangerously-bypass-hook-trust --ask-for-approval on-request --sandbox \
             workspace-write --model opus -- do {model} it",
        ),
        (
            "codex",
            DriverKind::Headless,
            "codex exec --json --skip-git-repo-check --dangerously-bypass-hook-trust --sandbox workspace-write \
             --model opus -- do {model} it",
        ),
        ("codex", DriverKind::Acp, "codex-acp"),
        ("gemini", DriverKind::Acp, "gemini --acp --model opus"),
        ("qwen", DriverKind::Acp, "qwen --acp --model opus"),
        ("opencode", DriverKind::Acp, "opencode acp"),
        ("rehearsal", DriverKind::Tmux, "/opt/adjutant rehearsal --interactive --session-id S-1"),
        ("rehearsal", DriverKind::Acp, "/opt/adjutant rehearsal --acp"),
        (
            "rehearsal",
            DriverKind::Headless,
            "/opt/adjutant rehearsal --input-format stream-json --output-format stream-json \
             --permission-prompt-tool stdio --session-id S-1",
        ),
    ];
    for (agent, kind, expected) in rows {
        assert_eq!(started(agent, kind, &fillings()), expected);
    }
}

#[test]
fn an_agent_that_goes_on_is_given_its_own_session() {
    let on = Fillings { agent_session: Some("A-9".to_owned()), prompt: None, ..fillings() };
    let rows = [
        ("claude", DriverKind::Tmux, "claude --resume A-9 --model opus --permission-mode default"),
        (
            "codex",
            DriverKind::Headless,
            "codex exec --json --skip-git-repo-check --dangerously-bypass-hook-trust --sandbox workspace-write \
             --model opus resume A-9",
        ),
        ("rehearsal", DriverKind::Pty, "/opt/adjutant rehearsal --interactive --resume A-9"),
        // Over ACP the protocol says which session goes on.
        ("gemini", DriverKind::Acp, "gemini --acp --model opus"),
    ];
    for (agent, kind, expected) in rows {
        assert_eq!(started(agent, kind, &on), expected);
        assert!(shipped(agent).driver(kind).is_some_and(DriverSpec::can_resume), "{agent}");
    }
}

#[test]
fn a_group_without_its_value_is_left_out_and_what_was_filled_in_is_left_alone() {
    let text = "
        name = 'mine'
        program = 'mine'
        [[driver]]
        kind = 'tmux'
        prompt = 'argument'
        args = [['--a={model}{session}'], ['--b', '{hook}'], ['{Model}', '{', '{}x'], ['--', '{prompt}']]";
    let profile = read(text).expect("it is a profile");
    let words = argv(&profile, &profile.drivers[0], &fillings());
    assert_eq!(words, ["mine", "--a=opusS-1", "{Model}", "{", "{}x", "--", "do {model} it"]);
    let bare = argv(&profile, &profile.drivers[0], &Fillings::default());
    assert_eq!(bare, ["mine", "{Model}", "{", "{}x"]);
}

#[test]
fn a_name_and_a_program_are_enough() {
    let profile = read("name = 'aider'\nprogram = 'aider'").expect("it is a profile");
    let generic = shipped("generic");
    assert_eq!(profile.drivers, generic.drivers);
    assert_eq!(profile.terminal, generic.terminal);
    assert_eq!((profile.hooks, profile.version.args.len()), (HookFlavour::None, 1));
    assert_eq!(profile.drivers[0].prompt, PromptDelivery::Typed);
    assert!(!profile.drivers[0].can_resume());
}

#[test]
fn what_is_wrong_in_a_file_is_told_with_its_line() {
    let rows = [
        ("name = 'a'\n", "x.toml: /: the field `program` is missing [missing-field]"),
        ("name = 'A b'\nprogram='p'", "x.toml:1: /name: a name is lower-case letters"),
        ("name = 'a'\nprogram = ''", "x.toml: /: `program` is empty [empty]"),
        ("name = 'a'\nprogram = 'p'\n\nmodle = 1", "x.toml:4: /modle: unknown field `modle` [unknown-field]"),
        ("name = 'a'\nprogram = 'p'\nhooks = 'git'", "x.toml:3: /hooks: unknown word `git` [unknown-word]"),
        ("name = 'a'\nprogram = 'p'\nmodels = { gpt = 'x' }", "x.toml:3: /models/gpt: unknown field `gpt`"),
        ("name = 'a'\nprogram = 'p'\nversion.known = 'new'", "x.toml:3: /version/known: `new` is no range"),
        (
            "name = 'a'\nprogram = 'p'\nenv = { ADJUTANT_TOKEN = 'x' }",
            "x.toml:3: /env/ADJUTANT_TOKEN: the variable `ADJUTANT_TOKEN` cannot be set here",
        ),
        (
            "name = 'a'\nprogram = 'p'\n[[driver]]\nkind = 'tmux'\nargs = [\n['{modle}']\n]",
            "x.toml:6: /driver/0/args/0/0: nothing fills `{modle}` [unknown-placeholder]",
        ),
        (
            "name = 'a'\nprogram = 'p'\n[[driver]]\nkind = 'acp'\nprompt = 'typed'",
            "x.toml:3: /driver/0: `acp` does not go with the prompt `typed` and the stream `acp` [unfit-driver]",
        ),
        (
            "name = 'a'\nprogram = 'p'\n[[driver]]\nkind = 'pty'\nprompt = 'argument'",
            "x.toml:3: /driver/0: the prompt is an argument, and no argument has `{prompt}`",
        ),
        (
            "name = 'a'\nprogram = 'p'\n[[driver]]\nkind = 'pty'\n[[driver]]\nkind = 'pty'",
            "x.toml:5: /driver/1: a second driver `pty` [duplicate-driver]",
        ),
        ("name = 'a'\nprogram = 'p'\ndriver = []", "x.toml:3: /driver: no driver is given"),
        ("name = 'codex'\nname = 'codex'", "x.toml: /: TOML parse error at line 2"),
        (
            "name = 'mine'\naliases = ['codex']\nprogram = 'p'",
            "x.toml: /name: another profile is called `codex`",
        ),
    ];
    for (text, expected) in rows {
        let (profiles, problems) = Profiles::shipped().with(&[ProfileFile { name: "x.toml", text }]);
        let told: Vec<String> = problems.iter().map(ToString::to_string).collect();
        assert!(told.iter().any(|line| line.starts_with(expected)), "{text}\n{told:#?}");
        assert_eq!(profiles.iter().count(), SHIPPED.len(), "a file with a mistake is left out");
    }
}

#[test]
fn a_users_profile_takes_the_place_of_the_shipped_one_with_its_name() {
    let own = ProfileFile { name: "claude.toml", text: "name = 'claude'\nprogram = '/opt/claude'" };
    let more = ProfileFile { name: "aider.toml", text: "name = 'aider'\nprogram = 'aider'" };
    let (profiles, problems) = Profiles::shipped().with(&[own, more]);
    assert_eq!(problems, []);
    assert_eq!(profiles.find("claude").map(|profile| profile.program.as_str()), Some("/opt/claude"));
    assert!(profiles.find("claude-code").is_none(), "its aliases went with it");
    assert!(profiles.find("aider").is_some() && profiles.find("codex").is_some());
}

#[test]
fn the_driver_is_the_wanted_one_or_the_first_that_can_be_used() {
    use DriverKind::{Acp, Headless, Pty, Tmux};
    let claude = shipped("claude");
    let rows = [
        (None, vec![Acp, Tmux], Ok(Tmux)),
        (None, vec![Acp, Headless], Ok(Headless)),
        (None, vec![], Err("none of the drivers of `claude` can be used here: tmux, pty, headless, acp")),
        (Some(Pty), vec![Tmux, Pty], Ok(Pty)),
        (Some(Tmux), vec![Pty], Err("the driver `tmux` cannot be used here; usable: pty")),
    ];
    for (wanted, usable, expected) in rows {
        let chosen = choose_driver(claude, wanted, &usable).map(|spec| spec.driver);
        assert_eq!(chosen, expected.map_err(str::to_owned), "{wanted:?} {usable:?}");
    }
    let why = choose_driver(shipped("gemini"), Some(Headless), &[Headless]);
    assert_eq!(why, Err("`gemini` has no driver `headless`; it has: acp, tmux, pty".to_owned()));
}

#[test]
fn a_named_model_stands_over_the_tier() {
    let claude = shipped("claude");
    assert_eq!(model(claude, Some("m"), Some(ModelTier::Opus)), Some("m"));
    assert_eq!(model(claude, None, Some(ModelTier::Haiku)), Some("haiku"));
    assert_eq!(model(claude, None, None), None);
    assert_eq!(model(shipped("generic"), None, Some(ModelTier::Opus)), None);
}

#[test]
fn streams_and_hooks_of_the_shipped_agents_fit() {
    let streams = [
        ("claude", StreamFlavour::ClaudeStreamJson),
        ("codex", StreamFlavour::CodexJson),
        ("rehearsal", StreamFlavour::ClaudeStreamJson),
    ];
    for (agent, stream) in streams {
        let headless = shipped(agent).driver(DriverKind::Headless).expect("it has one");
        assert_eq!(headless.stream, stream);
    }
    let hooks =
        [("claude", HookFlavour::Claude), ("codex", HookFlavour::Codex), ("gemini", HookFlavour::None)];
    for (agent, flavour) in hooks {
        assert_eq!(shipped(agent).hooks, flavour);
    }
}

#[test]
fn a_version_is_known_when_the_profile_was_tried_with_it() {
    let rows = [
        ("claude", "2.1.329", true),
        ("claude", "3.0.0", false),
        ("codex", "0.169.0", true),
        ("codex", "0.120.4", false),
        ("codex", "new", false),
    ];
    for (agent, version, expected) in rows {
        let range = shipped(agent).version.known.as_deref().expect("it says which");
        assert_eq!(is_known(range, version), expected, "{agent} {version}");
    }
}
