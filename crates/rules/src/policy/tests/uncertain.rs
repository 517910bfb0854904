//! What a line hides: rules that deny or ask take it in, rules that allow do not.

use super::*;

fn one(toml: &str) -> PolicySet {
    plane(rules(&format!("[[rule]]\nname = \"r\"\n{toml}\n")))
}

#[test]
fn what_cannot_be_read_counts_for_every_rule_against_it_that_could_apply() {
    let rows = [
        ("effect = \"deny\"\ncommand = \"mkfs\"", true),
        ("effect = \"ask\"\ncommand = \"mkfs\"", true),
        ("effect = \"deny\"\ntool = \"Bash\"\ncommand = \"mkfs\"", true),
        ("effect = \"deny\"\ntool = \"Read\"\ncommand = \"mkfs\"", false),
        ("effect = \"deny\"\nparams = { command = \"mkfs*\" }", true),
        ("effect = \"deny\"\nparams = { \"cmd|command\" = \"mkfs*\" }", true),
        ("effect = \"deny\"\nparams = { cmd = \"mkfs*\" }", false),
        ("effect = \"deny\"\nparams = { path = \"/x\" }\ncommand = \"mkfs\"", false),
        ("effect = \"deny\"\nparams = { \"*\" = \"*mkfs*\" }", false),
        ("effect = \"deny\"\nwhen = \"'mkfs' in shell.programs\"", true),
        ("effect = \"deny\"\nwhen = \"tool == 'Bash' && 'mkfs' in shell.programs\"", true),
        ("effect = \"deny\"\nwhen = \"tool == 'Read' && 'mkfs' in shell.programs\"", false),
        ("effect = \"deny\"\nwhen = \"tool == 'Read'\"", false),
        ("effect = \"allow\"\ncommand = \"*\"", false),
        ("effect = \"allow\"\nparams = { command = \"*\" }", false),
        ("effect = \"allow\"\nwhen = \"size(shell.programs) < 100\"", false),
        ("effect = \"allow\"\ntool = \"Bash\"", true),
    ];
    for (toml, matched) in rows {
        let set = one(toml);
        for hidden in ["ls ; !an unknown expansion", "ls ; ? -x"] {
            let verdict = shell_judged(&set, "ls; eval \"$X\"", &line(hidden));
            assert_eq!(verdict.rule.is_some(), matched, "{toml} {hidden} {verdict:?}");
        }
        let verdict = shell_judged(&set, "ls", &line("ls"));
        assert!(verdict.effect == PolicyEffect::Allow, "{toml}: a plain line is not touched");
    }
}

#[test]
fn the_reason_says_what_could_not_be_read() {
    let set = one("effect = \"deny\"\ncommand = \"mkfs\"\nreason = \"no disks\"");
    let verdict = shell_judged(&set, "x", &line("ls ; !an open quote"));
    assert_eq!(verdict.reason, "policy 'r': no disks (the rule could apply: an open quote)");
}

#[test]
fn shell_text_that_nobody_read_is_hidden_text() {
    let set = one("effect = \"deny\"\ncommand = \"mkfs\"");
    assert_eq!(judged(&set, "Bash", &json(r#"{"command": "ls"}"#)).effect, PolicyEffect::Deny);
    assert_eq!(judged(&set, "Read", &json(r#"{"path": "ls"}"#)).effect, PolicyEffect::Allow);
}

#[test]
fn an_allowing_rule_answers_for_every_command_of_the_line() {
    let rows = [
        ("cargo test *", "cargo test", true),
        ("cargo test *", "cargo test --workspace a", true),
        ("cargo test *", "cargo test >/dev/null", true),
        ("cargo test *", "cargo test >log", true),
        ("cargo test *", "[sh_-c] cargo test", true),
        ("cargo test *", "cargo test ; cargo test -p x", true),
        ("cargo test *", "cargo run test", false),
        ("cargo test *", "cargo test ; rm -rf /", false),
        ("cargo test *", "[sudo] cargo test", false),
        ("cargo test *", "[xargs] cargo test", false),
        ("cargo test *", "cargo test >/etc/passwd", false),
        ("cargo test *", "cargo test >$X", false),
        ("cargo test", "cargo test", true),
        ("cargo test", "cargo test x", false),
        ("cargo test", "cargo test --release", false),
        ("cargo test", "cargo x test", false),
        ("git log -n|--oneline", "git log --oneline", true),
        ("git log -n|--oneline", "git log", false),
        ("git log -n|--oneline", "git log --one", false),
        ("rm build/*", "rm build/a", true),
        ("rm build/*", "rm build/../../x", false),
        ("rm build/*", "rm build/$x", false),
        ("rm build/*", "rm build/a /b", false),
        ("ls *", "ls $x", true),
        ("echo hello *", "cd / ; echo hello >a", false),
    ];
    for (pattern, text, allowed) in rows {
        let set =
            one(&format!("effect = \"allow\"\ncommand = \"{pattern}\"")).with_default(PolicyEffect::Deny);
        let verdict = shell_judged(&set, text, &line(text));
        assert_eq!(verdict.effect == PolicyEffect::Allow, allowed, "{pattern}: {text}");
    }
    let set = one("effect = \"allow\"\nparams = { command = \"cargo *\" }").with_default(PolicyEffect::Deny);
    for (text, read, effect) in [
        ("cargo  test", "cargo test", PolicyEffect::Allow),
        ("cargo test; rm x", "cargo test ; rm x", PolicyEffect::Deny),
        ("cargo test > /etc/x", "cargo test >/etc/x", PolicyEffect::Deny),
    ] {
        assert_eq!(shell_judged(&set, text, &line(read)).effect, effect, "{text}");
    }
}

#[test]
fn globs_and_wire_patterns_over_shell_text_see_each_command_as_it_is() {
    let glob = one("effect = \"deny\"\nparams = { command = \"rm -rf*\" }");
    let any = one("effect = \"deny\"\nparams = { \"*\" = \"rm -rf*\" }");
    let param = |pattern: &str| {
        let rule =
            format!(r#"{{"rule":"deny_tool_param","target":"Bash","key":"command","pattern":"{pattern}"}}"#);
        plane([wire(&rule).expect("the rule is valid")])
    };
    let rows = [
        (&glob, "cd x; 'rm'   -rf /", "cd x ; rm -rf /", true),
        (&any, "cd x; 'rm'   -rf /", "cd x ; rm -rf /", true),
        (&glob, "cd x; ls", "cd x ; ls", false),
        (&param("rm -rf"), "rm  -rf /", "rm -rf /", true),
        (&param("rm -rf"), "rm -f x -r", "rm -f x -r", true),
        (&param("rm -rf"), "rm -f x", "rm -f x", false),
        (&param("rm -rf /"), "rm -r -f /etc", "rm -r -f /etc", true),
        (&param("rm -rf /"), "rm -r -f etc", "rm -r -f etc", false),
        (&param("rm -rf"), "eval $X", "!an expansion", true),
        (&param("secret*"), "cat secret", "cat secret", false),
        (&param("secret"), "eval $X", "!an expansion", false),
        (&param("git push"), "git -C x push origin", "git -C x push origin", true),
    ];
    for (set, text, read, denied) in rows {
        let verdict = shell_judged(set, text, &line(read));
        assert_eq!(verdict.effect == PolicyEffect::Deny, denied, "{text} {verdict:?}");
    }
}
