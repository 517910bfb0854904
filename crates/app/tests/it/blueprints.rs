//! Blueprints from the command line: files with what they refer to, versions, exports.

use crate::BINARY;
use adjutant_testkit::TestEnv;
use std::fs;
use std::os::unix::fs::symlink;

/// A sound blueprint; another `note` is another version.
fn document(id: &str, note: &str) -> String {
    format!(
        "id: {id}\nmetadata: {{ description: {note} }}\n\
         agents:\n  - {{ name: a, kind: function, spec: {{ fn_id: identity }} }}\n\
         flow: {{ kind: step, ref: a, in: {{ op: path, at: $.in }}, out: {{ op: path, at: $.out }} }}\n"
    )
}

/// Gives the version that a push tells.
fn version(told: &str) -> String {
    told.trim_end().rsplit(' ').next().expect("a version").to_owned()
}

#[test]
fn a_blueprint_is_pushed_looked_at_and_run_by_its_id() {
    let env = TestEnv::new(BINARY);
    env.file("main.yaml", &document("main", "one"));
    let one = version(&env.run(&["blueprint", "push", "main.yaml", "--rationale", "first"]).expect(0).stdout);
    let again = env.run(&["blueprint", "push", "main.yaml"]).expect(0);
    assert_eq!(again.stdout, format!("main was at {one} already\n"));

    env.file("main.yaml", &document("main", "two"));
    let refused = env.run(&["blueprint", "push", "main.yaml"]).expect(1);
    assert!(
        refused
            .stderr
            .starts_with(&format!("error: the blueprint main is there already; its head is {one}\n")),
        "{}",
        refused.stderr
    );
    assert!(
        refused.stderr.contains("hint: name the head") && refused.stderr.contains("--base"),
        "{}",
        refused.stderr
    );
    let two = version(&env.run(&["blueprint", "push", "main.yaml", "--base", &one[..8]]).expect(0).stdout);
    env.file("main.yaml", &document("main", "three"));
    let stale = env.run(&["blueprint", "push", "main.yaml", "--base", &one]).expect(1);
    assert!(stale.stderr.contains(&format!("its head is {two}, not {one}")), "{}", stale.stderr);
    let three = version(&env.run(&["blueprint", "push", "main.yaml", "--based-on-head"]).expect(0).stdout);

    let log = env.run(&["blueprint", "log", "main"]).expect(0).stdout;
    let numbers: Vec<&str> = log.lines().filter_map(|line| line.split_whitespace().next()).collect();
    assert_eq!(numbers, ["3", "2", "1"]);
    assert!(
        log.lines().last().is_some_and(|line| line.contains(&one[..12]) && line.ends_with("first")),
        "{log}"
    );
    let diff = env.run(&["blueprint", "diff", "main", &one[..8], &two[..8]]).expect(0).stdout;
    assert!(diff.contains("- metadata: { description: one }\n+ metadata: { description: two }\n"), "{diff}");
    assert_eq!(env.run(&["blueprint", "diff", "main", &three]).expect(0).stdout, "nothing changed\n");
    let shown = env.run(&["blueprint", "show", "main", "--version", &one[..8]]).expect(0).stdout;
    assert!(shown.starts_with(&format!("# main at {one}\n# by host at ")), "{shown}");
    // What is shown is a blueprint again.
    env.file("shown.yaml", &shown);
    let pushed = env.run(&["blueprint", "push", "shown.yaml", "--based-on-head"]).expect(0);
    assert_eq!(version(&pushed.stdout), one);

    env.run(&["run", "main", "--input", "in=5"]).expect(0);
    let list = env.run(&["blueprint", "ls"]).expect(0).stdout;
    assert!(
        list.lines().any(|line| line.starts_with("fix-failing-test ") && line.contains("built in")),
        "{list}"
    );
    assert!(list.lines().any(|line| line.starts_with("main ") && line.ends_with("one")), "{list}");
    env.run(&["blueprint", "archive", "main"]).expect(0);
    let archived = env.run(&["run", "main", "--input", "in=5"]).expect(1);
    assert!(archived.stderr.contains("POST /v1/blueprints/main/unarchive first"), "{}", archived.stderr);
    env.run(&["blueprint", "unarchive", "main"]).expect(0);
    env.run(&["blueprint", "show", "nobody"]).expect(4);
    env.run(&["blueprint", "log", "../x"]).expect(2);
    env.run(&["blueprint", "show", "main", "--version", "zzz"]).expect(4);
}

#[test]
fn what_cannot_run_is_said_before_a_daemon_is_started() {
    let env = TestEnv::new(BINARY);
    env.file("bad.yaml", &document("main", "one").replace("identity", "identty"));
    let refused = env.run(&["blueprint", "push", "bad.yaml"]).expect(2);
    assert!(refused.stderr.contains("--> bad.yaml:4:"), "{}", refused.stderr);
    env.run(&["blueprint", "push", "nowhere.yaml"]).expect(4);
    env.file("folder/bad.yaml", "id: [");
    env.run(&["blueprint", "import", "folder"]).expect(2);
    assert!(!env.home().exists(), "nothing was started for it");
}

#[test]
fn a_blueprint_takes_texts_and_agents_from_files_in_its_folder_and_from_nowhere_else() {
    let env = TestEnv::new(BINARY);
    env.file("secret.txt", "not for blueprints");
    env.file("bp/prompts/style.md", "Be short.\n");
    env.file(
        "bp/agents/coder.md",
        "---\nname: coder\nkind: command\nspec: { template: rehearsal }\nmodel: small\n---\nYou write code.\n",
    );
    let flow = "flow: { kind: step, ref: CODER, in: { op: lit, value: { $file: prompts/style.md } }, \
                out: { op: path, at: $.out } }\n";
    let whole =
        |agent: &str, name: &str| format!("id: main\nagents:\n  - {agent}\n{}", flow.replace("CODER", name));
    env.file("bp/main.yaml", &whole("{ $agent_md: agents/coder.md, name: writer }", "writer"));
    env.run(&["blueprint", "lint", "bp/main.yaml"]).expect(0);
    env.run(&["blueprint", "push", "bp/main.yaml"]).expect(0);
    let shown = env.run(&["blueprint", "show", "main"]).expect(0).stdout;
    for expected in
        ["name: writer", "system_prompt: You write code.", "model: small", "Be short.", "template: rehearsal"]
    {
        assert!(shown.contains(expected), "{expected} is missing:\n{shown}");
    }

    symlink(env.work("secret.txt"), env.work("bp/link.txt")).expect("a link");
    symlink(env.work(""), env.work("bp/out")).expect("a link");
    symlink(env.work("bp/prompts"), env.work("bp/within")).expect("a link");
    for (named, place) in [
        ("../secret.txt", "reference-outside"),
        ("prompts/../../secret.txt", "reference-outside"),
        ("/etc/passwd", "reference-outside"),
        ("link.txt", "unreadable-reference"),
        ("out/secret.txt", "unreadable-reference"),
        ("prompts", "unreadable-reference"),
        ("nowhere", "unreadable-reference"),
    ] {
        let agent = format!("{{ name: a, kind: lua, spec: {{ source: {{ $file: {named} }} }} }}");
        env.file("bp/bad.yaml", &whole(&agent, "a"));
        let linted = env.run(&["blueprint", "lint", "bp/bad.yaml"]).expect(2).stdout;
        assert!(
            linted.contains(&format!("error[{place}]")) && linted.contains("--> bp/bad.yaml:3:"),
            "{named}: {linted}"
        );
        assert!(!linted.contains("not for blueprints"), "{linted}");
        let ran = env.run(&["run", "bp/bad.yaml"]).expect(2);
        assert!(ran.stderr.contains(place), "{}", ran.stderr);
    }
    env.file(
        "bp/good.yaml",
        &whole("{ name: a, kind: lua, spec: { source: { $file: within/x.lua } } }", "a"),
    );
    env.file("bp/prompts/x.lua", "return ...");
    env.run(&["blueprint", "lint", "bp/good.yaml"]).expect(0);
    env.file("bp/prompts/x.lua", "local x =");
    let linted = env.run(&["blueprint", "lint", "bp/good.yaml"]).expect(2).stdout;
    assert!(linted.contains("error[lua-syntax]") && linted.contains("--> bp/good.yaml:3:"), "{linted}");
}

#[test]
fn heads_go_into_files_and_come_back_as_the_same_versions() {
    let env = TestEnv::new(BINARY);
    let mut versions = Vec::new();
    for id in ["one", "two"] {
        env.file("b.yaml", &document(id, "x"));
        versions.push(version(&env.run(&["blueprint", "push", "b.yaml"]).expect(0).stdout));
    }
    env.run(&["blueprint", "export", "--all", "out"]).expect(0);
    env.run(&["blueprint", "export", "one", "out"]).expect(0);
    env.file("out/two.yaml", &document("two", "changed"));
    let refused = env.run(&["blueprint", "export", "--all", "out"]).expect(1);
    assert!(refused.stderr.contains("two.yaml cannot be written"), "{}", refused.stderr);
    env.run(&["blueprint", "export", "one"]).expect(2);
    env.run(&["blueprint", "export", "one", "out", "--all"]).expect(2);

    let imported = env.run(&["blueprint", "import", "out"]).expect(1);
    assert!(
        imported.stdout.contains(&format!("one was at {} already\n", versions[0])),
        "{}",
        imported.stdout
    );
    assert!(
        imported.stdout.contains("two.yaml is refused: the blueprint two is there already"),
        "{}",
        imported.stdout
    );
    env.run(&["blueprint", "import", "out", "--based-on-head", "--rationale", "from files"]).expect(0);
    let log = env.run(&["blueprint", "log", "two"]).expect(0).stdout;
    assert!(log.lines().next().is_some_and(|line| line.ends_with("from files")), "{log}");
    env.run(&["blueprint", "export", "--all", "out", "--force"]).expect(0);

    let other = TestEnv::new(BINARY);
    for name in ["one", "two"] {
        let text = fs::read_to_string(env.work(&format!("out/{name}.yaml"))).expect("it was exported");
        other.file(&format!("in/{name}.yaml"), &text);
    }
    other.run(&["blueprint", "import", "in"]).expect(0);
    let head = |env: &TestEnv, id: &str| {
        env.run(&["blueprint", "show", id]).expect(0).stdout.lines().next().map(str::to_owned)
    };
    for id in ["one", "two"] {
        assert_eq!(head(&other, id), head(&env, id));
    }
}

#[test]
fn versions_become_commits_of_a_git_repository() {
    let env = TestEnv::new(BINARY);
    for (id, note, why) in
        [("one", "a", "begin"), ("two", "b", ""), ("one", "c", "tidy\n\nVersion: none\narchive: true")]
    {
        env.file("b.yaml", &document(id, note));
        env.run(&["blueprint", "push", "b.yaml", "--based-on-head", "--rationale", why]).expect(0);
    }
    let exported = env.run(&["blueprint", "export", "--git", "history"]).expect(0);
    assert_eq!(exported.stdout, "3 versions are commits in history\n");
    let git = |args: &[&str]| {
        let mut command = env.program("git");
        command.arg("-C").arg(env.work("history")).args(args);
        env.finish(&mut command).expect(0).stdout
    };
    assert_eq!(git(&["log", "--format=%s by %an"]), "one #2 by host\ntwo #1 by host\none #1 by host\n");
    let body = git(&["log", "-1", "--format=%b"]);
    assert!(body.starts_with("tidy\n\nVersion: none\narchive: true\n\nBlueprint: one\nVersion: "), "{body}");
    assert_eq!(git(&["status", "--porcelain"]), "");
    assert!(
        fs::read_to_string(env.work("history/one.yaml"))
            .expect("it is checked out")
            .contains("description: c")
    );
    assert!(git(&["show", "main~2:one.yaml"]).contains("description: a"));
    let again = env.run(&["blueprint", "export", "--git", "history"]).expect(1);
    assert!(again.stderr.contains("is not empty"), "{}", again.stderr);
    let head = env.run(&["blueprint", "show", "one"]).expect(0).stdout;
    assert!(!head.contains("archived"), "{head}");
}
