use super::*;
use crate::document::LintLevel;
use adjutant_model::blueprint::{
    Agent, AgentSpec, CheckCommand, CommandSpec, OkFrom, OutputFormat, StepLayer,
};
use adjutant_model::operator::OperatorKind;

const BUILTINS: Builtins<'static> = Builtins {
    functions: &["identity", "merge"],
    lua: &[("plan", "return ...")],
    templates: &["claude", "codex"],
};

fn json(text: &str) -> Value {
    serde_json::from_str(text).expect("the document is JSON")
}

/// A blueprint whose flow calls the agent `a`, with `a` and the fields `more`.
fn document(agent: &str, more: &str) -> Value {
    let flow = r#"{"kind":"step","ref":"a","in":{"op":"path","at":"$"},"out":{"op":"path","at":"$.o"}}"#;
    json(&format!(r#"{{"id":"demo","flow":{flow},"agents":[{{"name":"a",{agent}}}]{more}}}"#))
}

#[track_caller]
fn agent(agent: &str) -> Agent {
    let (mut blueprint, lints) = read(&document(agent, ""), &BUILTINS).expect("the blueprint is valid");
    assert_eq!(lints, []);
    blueprint.agents.remove("a").expect("the agent is there")
}

/// Gives the errors as `pointer name`.
#[track_caller]
fn errors(document: &Value) -> Vec<String> {
    let lints = read(document, &BUILTINS).expect_err("the blueprint must be refused");
    let errors = lints.iter().filter(|lint| lint.level == LintLevel::Error);
    errors.map(|lint| format!("{} {}", lint.pointer, lint.name)).collect()
}

#[test]
fn a_whole_blueprint_is_read() {
    let agents = r#""kind":"rust_fn","spec":{"fn_id":"identity"}"#;
    let more = r#","schema_version":"0.1.0","templates":[],"default_init_ctx":{"x":1},"operators":[],
        "strategy":{"strict_refs":true,"strict_kind":true,"strict_binding":false},"hints":{"per_agent":{},"global":null},"check_policy":null,
        "default_agent_kind":"operator","spawner_hints":{"layers":[]},
        "metadata":{"description":"d","tags":["t"],"version_label":"1.2.3-rc.1+b","default_run_ttl_secs":60,"origin":{"kind":"inline"}}"#;
    let (blueprint, lints) = read(&document(agents, more), &BUILTINS).expect("the blueprint is valid");
    assert_eq!(lints, []);
    assert_eq!(blueprint.id, "demo");
    assert_eq!(blueprint.agents["a"].spec, AgentSpec::Function { fn_id: "identity".to_owned() });
    assert_eq!(blueprint.default_init_ctx, Some(json(r#"{"x":1}"#)));
    assert_eq!(blueprint.metadata.default_run_ttl_secs, Some(60));
    assert_eq!(blueprint.metadata.tags, ["t"]);
    assert_eq!(blueprint.metadata.version_label.as_deref(), Some("1.2.3-rc.1+b"));
}

#[test]
fn what_is_wrong_with_an_agent_is_told_with_its_place() {
    let rows = [
        (r#""kind":"function","spec":{"fn_id":"identiti"}"#, "/agents/0/spec/fn_id unknown-function"),
        (r#""kind":"function","spec":{}"#, "/agents/0/spec missing-field"),
        (r#""kind":"function""#, "/agents/0 missing-field"),
        (r#""kind":"function","spec":{"fn_id":"merge","x":1}"#, "/agents/0/spec/x unknown-field"),
        (r#""kind":"lua","spec":{}"#, "/agents/0/spec missing-field"),
        (r#""kind":"lua","spec":{"fn_id":"nope"}"#, "/agents/0/spec/fn_id unknown-function"),
        (r#""kind":"lua","spec":{"fn_id":"plan","source":"x"}"#, "/agents/0/spec/fn_id two-sources"),
        (r#""kind":"lua","spec":{"source":"x","timeout_ms":0}"#, "/agents/0/spec/timeout_ms wrong-type"),
        (r#""kind":"lua","spec":{"source":"x","memory_bytes":10}"#, "/agents/0/spec/memory_bytes wrong-type"),
        (r#""kind":"command","spec":{}"#, "/agents/0/spec missing-field"),
        (r#""kind":"command","spec":{"program":" "}"#, "/agents/0/spec/program empty"),
        (r#""kind":"command","spec":{"argv":[]}"#, "/agents/0/spec/argv empty"),
        (r#""kind":"command","spec":{"argv":["a", 1]}"#, "/agents/0/spec/argv/1 wrong-type"),
        (r#""kind":"command","spec":{"argv":["a"],"program":"b"}"#, "/agents/0/spec/argv two-names"),
        (r#""kind":"command","spec":{"args":["a"]}"#, "/agents/0/spec/args missing-program"),
        (r#""kind":"command","spec":{"template":"cluade"}"#, "/agents/0/spec/template unknown-template"),
        (r#""kind":"command","spec":{"program":"a","cwd":"/tmp"}"#, "/agents/0/spec/cwd cwd-outside"),
        (r#""kind":"command","spec":{"program":"a","cwd":"x/../.."}"#, "/agents/0/spec/cwd cwd-outside"),
        (r#""kind":"command","spec":{"program":"a","cwd":""}"#, "/agents/0/spec/cwd cwd-outside"),
        (
            r#""kind":"command","spec":{"program":"a","cwd":"{work_dir}/../x"}"#,
            "/agents/0/spec/cwd cwd-outside",
        ),
        (
            r#""kind":"command","spec":{"program":"a","cwd":"{work_dir}x"}"#,
            "/agents/0/spec/cwd cwd-placeholder",
        ),
        (r#""kind":"command","spec":{"program":"a","cwd":"{prompt}"}"#, "/agents/0/spec/cwd cwd-placeholder"),
        (
            r#""kind":"command","spec":{"program":"a","env":{"A=B":"x"}}"#,
            "/agents/0/spec/env/A=B invalid-variable",
        ),
        (r#""kind":"command","spec":{"program":"a","env":{"A":1}}"#, "/agents/0/spec/env/A wrong-type"),
        (r#""kind":"command","spec":{"program":"a\u0000"}"#, "/agents/0/spec/program invalid-argument"),
        (
            r#""kind":"command","spec":{"program":"a","use_stdin":true,"stdin":"x"}"#,
            "/agents/0/spec/stdin two-sources",
        ),
        (
            r#""kind":"command","spec":{"program":"a","timeout_ms":-1}"#,
            "/agents/0/spec/timeout_ms wrong-type",
        ),
        (
            r#""kind":"command","spec":{"program":"a","stream_mode":"ndjson_lines"}"#,
            "/agents/0/spec/stream_mode unsupported-field",
        ),
        (
            r#""kind":"command","spec":{"program":"a","output":{"format":"xml"}}"#,
            "/agents/0/spec/output/format unknown-format",
        ),
        (
            r#""kind":"command","spec":{"program":"a","output":{"result_ptr":"r"}}"#,
            "/agents/0/spec/output/result_ptr invalid-pointer",
        ),
        (
            r#""kind":"command","spec":{"program":"a","output":{"result_ptr":"/~2"}}"#,
            "/agents/0/spec/output/result_ptr invalid-pointer",
        ),
        (
            r#""kind":"command","spec":{"program":"a","output":{"ok_from":"always"}}"#,
            "/agents/0/spec/output/ok_from invalid-pointer",
        ),
        (
            r#""kind":"command","spec":{"program":"a","output":{"format":"text","result_ptr":"/r"}}"#,
            "/agents/0/spec/output pointer-into-text",
        ),
        (
            r#""kind":"command","spec":{"program":"a","output":{"stats":{"cost":"/c"}}}"#,
            "/agents/0/spec/output/stats/cost unknown-field",
        ),
        (r#""kind":"check","spec":{"command":""}"#, "/agents/0/spec/command empty"),
        (r#""kind":"check","spec":{"command":5}"#, "/agents/0/spec/command wrong-type"),
        (r#""kind":"check","spec":{"command":[]}"#, "/agents/0/spec/command empty"),
        (
            r#""kind":"check","spec":{"command":"x","expect_exit":256}"#,
            "/agents/0/spec/expect_exit wrong-type",
        ),
        (
            r#""kind":"check","spec":{"command":"x","timeout_secs":0}"#,
            "/agents/0/spec/timeout_secs wrong-type",
        ),
        (r#""kind":"agent_block","spec":{}"#, "/agents/0/kind unsupported-kind"),
        (r#""kind":"session","spec":{}"#, "/agents/0/spec missing-field"),
        (r#""kind":"session","spec":{"agent":""}"#, "/agents/0/spec/agent invalid-name"),
        (
            r#""kind":"session","spec":{"agent":"claude","driver":"telepathy"}"#,
            "/agents/0/spec/driver unknown-value",
        ),
        (r#""kind":"session","spec":{"agent":"claude","tier":"best"}"#, "/agents/0/spec/tier unknown-value"),
        (r#""kind":"session","spec":{"agent":"claude","keep":"maybe"}"#, "/agents/0/spec/keep unknown-value"),
        (r#""kind":"session","spec":{"agent":"claude","budget":{}}"#, "/agents/0/spec/budget unknown-field"),
        (
            r#""kind":"session","spec":{"agent":"claude"},"profile":{"tools":["Read"]}"#,
            "/agents/0/profile/tools unsupported-field",
        ),
        (r#""kind":"operator","spec":{}"#, "/agents/0/spec unresolved-operator-ref"),
        (
            r#""kind":"function","spec":{"fn_id":"merge"},"runner":{"backend":"ws_operator"}"#,
            "/agents/0/runner unused-runner",
        ),
        (
            r#""kind":"function","spec":{"fn_id":"merge"},"verdict":{"channel":"head","values":["a"]}"#,
            "/agents/0/verdict/channel unknown-channel",
        ),
        (
            r#""kind":"function","spec":{"fn_id":"merge"},"verdict":{"channel":"body","values":[]}"#,
            "/agents/0/verdict/values invalid-verdict",
        ),
        (
            r#""kind":"function","spec":{"fn_id":"merge"},"verdict":{"channel":"body","values":["a ","b"]}"#,
            "/agents/0/verdict/values/0 invalid-verdict",
        ),
        (
            r#""kind":"function","spec":{"fn_id":"merge"},"verdict":{"channel":"part","values":["a"]}"#,
            "/agents/0 verdict-channel-mismatch",
        ),
        (r#""kind":"wizard","spec":{}"#, "/agents/0/kind unknown-kind"),
        (r#""spec":{}"#, "/agents/0 missing-field"),
        (
            r#""kind":"function","spec":{"fn_id":"merge"},"max_concurrency":0"#,
            "/agents/0/max_concurrency wrong-type",
        ),
        (
            r#""kind":"function","spec":{"fn_id":"merge"},"meta":{"ctx":{"a":1}}"#,
            "/agents/0/meta/ctx unsupported-field",
        ),
        (
            r#""kind":"function","spec":{"fn_id":"merge"},"meta":{"tags":[1]}"#,
            "/agents/0/meta/tags/0 wrong-type",
        ),
        (
            r#""kind":"function","spec":{"fn_id":"merge"},"lints":{"secrets":"deny"}"#,
            "/agents/0/lints/secrets unknown-lint-kind",
        ),
        (r#""kind":"function","spec":{"fn_id":"merge"},"nick":2"#, "/agents/0/nick unknown-field"),
        (
            r#""kind":"function","spec":{"fn_id":"merge"},"profile":{"effort":"high"}"#,
            "/agents/0/profile/effort unsupported-field",
        ),
        (
            r#""kind":"function","spec":{"fn_id":"merge"},"profile":{"tools":"a"}"#,
            "/agents/0/profile/tools wrong-type",
        ),
    ];
    for (given, expected) in rows {
        assert_eq!(errors(&document(given, "")), [expected], "{given}");
    }
}

#[test]
fn what_is_wrong_around_the_agents_is_told_with_its_place() {
    let good = r#""kind":"function","spec":{"fn_id":"merge"}"#;
    let rows = [
        (r#","agent":[]"#, "/agent unknown-field"),
        (r#","audits":[{"agent":"a"}]"#, "/audits unsupported-field"),
        (
            r#","runners":[{"name":"r","runner":{"backend":"subprocess"}}]"#,
            "/runners/0/runner/backend unsupported-runner",
        ),
        (
            r#","runners":[{"name":"r","runner":{"backend":"agent_block_in_process"}}]"#,
            "/runners/0/runner/backend unsupported-runner",
        ),
        (r#","default_runner":"r""#, "/default_runner unresolved-runner-ref"),
        (r#","operators":[{"name":"$hook"}]"#, "/operators/0/name invalid-name"),
        (r#","operators":[{"name":"x"},{"name":"x"}]"#, "/operators/1/name duplicate-operator-name"),
        (r#","operators":[{"name":"x","kind":"person"}]"#, "/operators/0/kind unknown-operator-kind"),
        (r#","operators":[{"name":"x","spec":{"a":1}}]"#, "/operators/0/spec unsupported-field"),
        (r#","default_operator_kind":"person""#, "/default_operator_kind unknown-operator-kind"),
        (r#","spawner_hints":{"layers":["main_ai","main_ai"]}"#, "/spawner_hints/layers/1 duplicate-layer"),
        (r#","spawner_hints":{"layers":["senior"]}"#, "/spawner_hints/layers/0 unknown-layer"),
        (r#","strategy":{"strict_refs":false}"#, "/strategy/strict_refs unsupported-value"),
        (r#","strategy":{"strict_binding":true}"#, "/strategy/strict_binding unsupported-value"),
        (r#","strategy":{"strict":true}"#, "/strategy/strict unknown-field"),
        (r#","metas":[{"name":"m","ctx":{}}]"#, "/metas unsupported-field"),
        (r#","default_agent_ctx":{"a":1}"#, "/default_agent_ctx unsupported-field"),
        (r#","default_init_ctx":{"a":{"$file":"x"}}"#, "/default_init_ctx/a/$file unresolved-reference"),
        (r#","check_policy":"strict""#, "/check_policy unsupported-field"),
        (r#","schema_version":"1.0.0""#, "/schema_version schema-too-new"),
        (r#","schema_version":"0.1""#, "/schema_version invalid-version"),
        (r#","schema_version":1"#, "/schema_version wrong-type"),
        (r#","default_init_ctx":[1]"#, "/default_init_ctx wrong-type"),
        (r#","metadata":{"version_label":"v1"}"#, "/metadata/version_label invalid-version"),
        (r#","metadata":{"default_run_ttl_secs":0}"#, "/metadata/default_run_ttl_secs wrong-type"),
        (r#","metadata":{"default_run_ttl_secs":604801}"#, "/metadata/default_run_ttl_secs wrong-type"),
        (r#","metadata":{"tags":"x"}"#, "/metadata/tags wrong-type"),
        (r#","metadata":{"desc":"x"}"#, "/metadata/desc unknown-field"),
        (r#","metadata":{"lints":{"all":"loud"}}"#, "/metadata/lints/all unknown-level"),
        (r#","metadata":{"lints":{"category:x":"deny"}}"#, "/metadata/lints/category:x unknown-lint-kind"),
        (r#","metadata":{"lints":{"wrong-type":"allow"}}"#, "/metadata/lints/wrong-type unknown-lint-kind"),
        (r#","metadata":{"origin":{"kind":"file"}}"#, "/metadata/origin missing-field"),
        (r#","metadata":{"origin":{"kind":"web"}}"#, "/metadata/origin/kind unknown-kind"),
        (
            r#","metadata":{"strict_verdict_handling":true}"#,
            "/metadata/strict_verdict_handling unsupported-field",
        ),
        (r#","templates":[{"argv":["x"]}]"#, "/templates/0 missing-field"),
        (r#","templates":[{"name":"t"}]"#, "/templates/0 missing-field"),
        (r#","templates":[{"name":"","argv":["x"]}]"#, "/templates/0/name empty"),
        (r#","templates":[{"name":"t","argv":["x","{promt}"]}]"#, "/templates/0/argv/1 unknown-placeholder"),
        (
            r#","templates":[{"name":"t","argv":["x"],"env":{"A":"${word}"}}]"#,
            "/templates/0/env/A unknown-placeholder",
        ),
        (r#","templates":[{"name":"t","argv":["x"],"template":"u"}]"#, "/templates/0/template unknown-field"),
        (
            r#","templates":[{"name":"t","argv":["x"]},{"name":"t","argv":["y"]}]"#,
            "/templates/1/name duplicate-template-name",
        ),
        (r#","templates":[],"subprocesses":[]"#, "/subprocesses two-names"),
        (r#","default_init_ctx":{"n":[9007199254740993]}"#, "/default_init_ctx/n/0 inexact-number"),
        (r#","default_init_ctx":{"n":18446744073709551615}"#, "/default_init_ctx/n inexact-number"),
    ];
    for (more, expected) in rows {
        assert_eq!(errors(&document(good, more)), [expected], "{more}");
    }
}

#[test]
fn the_document_itself_must_be_whole() {
    let rows = [
        ("[]", vec![" wrong-type"]),
        ("{}", vec![" missing-field", " missing-field"]),
        (r#"{"id":"Demo","flow":{"kind":"seq","children":[]}}"#, vec!["/id invalid-id"]),
        (r#"{"id":"../x","flow":{"kind":"seq","children":[]}}"#, vec!["/id invalid-id"]),
        (r#"{"id":"a","flow":{"kind":"sequence"}}"#, vec!["/flow/kind unknown-kind"]),
    ];
    for (text, expected) in rows {
        assert_eq!(errors(&json(text)), expected, "{text}");
    }
    let deep = json(&("[".repeat(120) + &"]".repeat(120)));
    assert_eq!(errors(&deep), [" too-large"]);
}

#[test]
fn every_step_needs_its_agent_wherever_it_stands() {
    let step = |agent: &str| {
        format!(
            r#"{{"kind":"step","ref":"{agent}","in":{{"op":"path","at":"$"}},"out":{{"op":"path","at":"$.o"}}}}"#
        )
    };
    let path = r#"{"op":"path","at":"$.p"}"#;
    let flow = format!(
        r#"{{"kind":"seq","children":[
            {{"kind":"branch","cond":{path},"then":{},"else":{}}},
            {{"kind":"loop","counter":{path},"cond":{path},"max":2,"body":{}}},
            {{"kind":"fanout","items":{path},"bind":{path},"join":"all","out":{path},"body":{}}},
            {{"kind":"try","body":{},"catch":{}}}, {}]}}"#,
        step("a1"),
        step("a2"),
        step("a3"),
        step("a4"),
        step("a5"),
        step("a6"),
        step("coder")
    );
    let agents = r#"[{"name":"coder","kind":"function","spec":{"fn_id":"merge"}}]"#;
    let found = errors(&json(&format!(r#"{{"id":"x","flow":{flow},"agents":{agents}}}"#)));
    let expected = [
        "/flow/children/0/then/ref unresolved-agent-ref",
        "/flow/children/0/else/ref unresolved-agent-ref",
        "/flow/children/1/body/ref unresolved-agent-ref",
        "/flow/children/2/body/ref unresolved-agent-ref",
        "/flow/children/3/body/ref unresolved-agent-ref",
        "/flow/children/3/catch/ref unresolved-agent-ref",
    ];
    assert_eq!(found, expected);
}

#[test]
fn hints_name_what_was_probably_meant() {
    let hint = |document: &Value| {
        let lints = read(document, &BUILTINS).expect_err("the blueprint must be refused");
        lints[0].hint.clone().expect("there is a hint")
    };
    let function = |fn_id: &str| document(&format!(r#""kind":"function","spec":{{"fn_id":"{fn_id}"}}"#), "");
    assert_eq!(hint(&function("identiti")), "did you mean `identity`? known: identity, merge");
    assert_eq!(hint(&function("xyz")), "known: identity, merge");
    let step = r#"{"kind":"step","ref":"codr","in":{"op":"path","at":"$"},"out":{"op":"path","at":"$.o"}}"#;
    let agents = r#"[{"name":"coder","kind":"function","spec":{"fn_id":"merge"}}]"#;
    assert_eq!(
        hint(&json(&format!(r#"{{"id":"x","flow":{step},"agents":{agents}}}"#))),
        "did you mean `coder`?"
    );
    assert_eq!(hint(&json(&format!(r#"{{"id":"x","flow":{step}}}"#))), "the blueprint has no agents");
    let misspelt = document(r#""kind":"function","spec":{"fn_id":"merge"}"#, r#","metdata":{}"#);
    assert!(hint(&misspelt).starts_with("did you mean `metadata`?"));
}

#[test]
fn two_agents_of_one_name_are_an_error_and_an_idle_one_a_warning() {
    let function = r#""kind":"function","spec":{"fn_id":"merge"}"#;
    let step = r#"{"kind":"step","ref":"a","in":{"op":"path","at":"$"},"out":{"op":"path","at":"$.o"}}"#;
    let twice = json(&format!(
        r#"{{"id":"x","flow":{step},"agents":[{{"name":"a",{function}}},{{"name":"a",{function}}}]}}"#
    ));
    assert_eq!(errors(&twice), ["/agents/1/name duplicate-agent-name"]);
    let idle = json(&format!(
        r#"{{"id":"x","flow":{step},"agents":[{{"name":"a",{function}}},{{"name":"b",{function}}}]}}"#
    ));
    let (_, lints) = read(&idle, &BUILTINS).expect("a warning stops nothing");
    assert_eq!(lints.len(), 1);
    assert_eq!(
        (lints[0].level, lints[0].name, lints[0].pointer.as_str()),
        (LintLevel::Warning, "unused-agent", "/agents/1/name")
    );
}

#[test]
fn what_looks_like_a_secret_is_a_warning() {
    // Put together here, so that no scanner takes the sample for one.
    let secret = format!("ghp_{}", "aB3dE5fG7h".repeat(4));
    let spec = format!(r#""kind":"command","spec":{{"program":"git","env":{{"TOKEN":"{secret}"}}}}"#);
    let (_, lints) = read(&document(&spec, ""), &BUILTINS).expect("a warning stops nothing");
    assert_eq!(lints.iter().map(|lint| lint.name).collect::<Vec<_>>(), ["secret"]);
}

#[test]
fn a_document_says_what_becomes_of_its_warnings() {
    let idle = |metadata: &str, lints: &str| {
        let function = r#""kind":"function","spec":{"fn_id":"merge"}"#;
        let step = r#"{"kind":"step","ref":"a","in":{"op":"lit","value":1},"out":{"op":"lit","value":1}}"#;
        json(&format!(
            r#"{{"id":"x","flow":{step},"metadata":{{"lints":{metadata}}},
                "agents":[{{"name":"a",{function}}},{{"name":"b","lints":{lints},{function}}}]}}"#
        ))
    };
    let all = ["not-a-path", "unused-agent"];
    for (metadata, agent, warnings, errors) in [
        ("{}", "{}", &all[..], &[][..]),
        (r#"{"all":"allow"}"#, "{}", &[], &[]),
        (r#"{"all":"deny"}"#, "{}", &[], &all),
        (r#"{"all":"allow","unused-agent":"warn"}"#, "{}", &all[1..], &[]),
        (r#"{"all":"allow","category:correctness":"deny"}"#, "{}", &[], &all[..1]),
        (r#"{"category:suspicious":"deny","unused-agent":"allow"}"#, "{}", &all[..1], &[]),
        (r#"{"all":"deny"}"#, r#"{"all":"allow"}"#, &[], &all[..1]),
        (r#"{"unused-agent":"allow"}"#, r#"{"all":"warn"}"#, &all, &[]),
    ] {
        let lints = match read(&idle(metadata, agent), &BUILTINS) {
            Ok((_, lints)) | Err(lints) => lints,
        };
        let of = |error: bool| {
            let found = lints.iter().filter(|lint| lint.is_error() == error);
            found.map(|lint| lint.name).collect::<Vec<_>>()
        };
        assert_eq!((of(false), of(true)), (warnings.to_vec(), errors.to_vec()), "{metadata} {agent}");
    }
}

#[test]
fn what_is_refused_says_what_to_do_instead() {
    let tables = [
        ("", support::BLUEPRINT),
        ("/metadata", support::METADATA),
        ("/operators/0", support::OPERATOR),
        ("/agents/0/profile", support::PROFILE),
        ("/agents/0/spec", support::COMMAND),
    ];
    for (place, table) in tables {
        for (field, instead) in table {
            let mut whole: serde_json::Value = (&document(
                r#""kind":"command","spec":{"program":"x"},"profile":{}"#,
                r#","metadata":{},"operators":[{"name":"o"}]"#,
            ))
                .into();
            whole.pointer_mut(place).expect("the place is there")[*field] = serde_json::json!("said");
            let lints = read(&whole.into(), &BUILTINS).expect_err("it is refused");
            let told = (lints[0].name, lints[0].pointer.as_str(), lints[0].hint.as_deref());
            assert_eq!(told, ("unsupported-field", format!("{place}/{field}").as_str(), Some(*instead)));
        }
    }
}

#[test]
fn a_command_is_read_whole() {
    let found = agent(
        r#""kind":"subprocess","spec":{"program":"sh","args":["-c","echo ${word} {prompt}"],"env":{"A":"b"},
        "cwd":"{work_dir}/sub","timeout_ms":5,"stdin":"s","use_stdin":false,
        "output":{"format":"stream_json","result_ptr":"/a~1b","ok_from":"/ok","stats":{"usage_ptr":"/u"}}},
        "profile":{"system_prompt":"s","model":"m","tools":["t"]},"description":"d",
        "meta":{"description":"d","version":"2","tags":["t"]},"max_concurrency":3,"lints":{}"#,
    );
    let AgentSpec::Command(spec) = &found.spec else { panic!("{found:?}") };
    assert_eq!(spec.argv, ["sh", "-c", "echo ${word} {prompt}"]);
    assert_eq!((spec.cwd.as_deref(), spec.timeout_ms, spec.use_stdin), (Some("sub"), Some(5), Some(false)));
    let output = spec.output.as_ref().expect("the output is there");
    assert_eq!(
        (output.format, output.ok_from.clone()),
        (OutputFormat::StreamJson, OkFrom::Pointer("/ok".to_owned()))
    );
    assert_eq!(found.profile.description.as_deref(), Some("d"));
    assert_eq!((found.spec.kind(), found.max_concurrency), ("command", Some(3)));
}

#[test]
fn chunks_and_checks_are_read_whole() {
    let AgentSpec::Lua(lua) = agent(r#""kind":"lua","spec":{"fn_id":"plan","timeout_ms":7}"#).spec else {
        panic!()
    };
    assert_eq!((lua.source.as_str(), lua.label.as_str(), lua.timeout_ms), ("return ...", "plan", Some(7)));
    let AgentSpec::Lua(lua) = agent(r#""kind":"lua","spec":{"source":"return 1"}"#).spec else { panic!() };
    assert_eq!(lua.label, "a");
    let AgentSpec::Check(check) =
        agent(r#""kind":"check","spec":{"command":["make","test"],"expect_exit":2}"#).spec
    else {
        panic!()
    };
    assert_eq!(check.command, CheckCommand::Argv(vec!["make".to_owned(), "test".to_owned()]));
    assert_eq!((check.expect_exit, check.timeout_secs), (2, None));
    let AgentSpec::Check(check) = agent(r#""kind":"check","spec":{"command":"make test"}"#).spec else {
        panic!()
    };
    assert_eq!((check.command, check.expect_exit), (CheckCommand::Line("make test".to_owned()), 0));
}

#[test]
fn templates_of_the_document_and_of_the_plane_can_be_named() {
    let templates = r#","subprocesses":[{"name":"t","argv":["x","{model}"]}]"#;
    for name in ["t", "claude"] {
        let agent = format!(r#""kind":"command","spec":{{"template":"{name}"}}"#);
        let (blueprint, _) = read(&document(&agent, templates), &BUILTINS).expect("the template is known");
        assert_eq!(blueprint.templates["t"].argv, ["x", "{model}"]);
    }
}

#[test]
fn a_template_fills_what_a_command_leaves_out() {
    let env =
        |entries: &[(&str, &str)]| entries.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
    let template = CommandSpec {
        argv: vec!["t".to_owned()],
        stdin: Some("{prompt}".to_owned()),
        env: env(&[("A", "1"), ("B", "1")]),
        cwd: Some("sub".to_owned()),
        timeout_ms: Some(9),
        ..CommandSpec::default()
    };
    let spec = CommandSpec {
        template: Some("t".to_owned()),
        env: env(&[("B", "2")]),
        timeout_ms: Some(1),
        ..CommandSpec::default()
    };
    let filled = fill(&spec, Some(&template));
    assert_eq!(filled.argv, ["t"]);
    assert_eq!(filled.env, env(&[("A", "1"), ("B", "2")]));
    assert_eq!(
        (filled.cwd.as_deref(), filled.timeout_ms, filled.stdin.as_deref()),
        (Some("sub"), Some(1), Some("{prompt}"))
    );
    assert_eq!(fill(&spec, None), spec);
    let own = CommandSpec { argv: vec!["own".to_owned()], use_stdin: Some(true), ..CommandSpec::default() };
    let filled = fill(&own, Some(&template));
    assert_eq!((filled.argv, filled.stdin), (vec!["own".to_owned()], None));
}

#[test]
fn placeholders_are_filled_once_and_the_rest_is_left_alone() {
    let fillings =
        Fillings { prompt: Some("say {model}"), model: Some("m"), attempt: Some("2"), ..Fillings::default() };
    let rows = [
        ("plain", Ok("plain")),
        ("", Ok("")),
        ("{model}", Ok("m")),
        ("a{model}b{attempt}{model}", Ok("amb2m")),
        ("{prompt}!", Ok("say {model}!")),
        ("${model}", Ok("${model}")),
        ("$ {model}", Ok("$ m")),
        ("{word} {Model} {} {model", Ok("{word} {Model} {} {model")),
        ("{{model}}", Ok("{m}")),
        ("{\"a\": \"{model}\"}", Ok("{\"a\": \"m\"}")),
        ("é{model}é", Ok("émé")),
        ("{system}", Err("system")),
        ("{tools_csv}", Err("tools_csv")),
    ];
    for (text, expected) in rows {
        let found = placeholders(text, &fillings).map_err(|missing| missing.placeholder);
        assert_eq!(found.as_deref().map_err(String::as_str), expected, "{text}");
    }
    assert_eq!(
        placeholders("{system}", &fillings).map_err(|why| why.to_string()),
        Err("nothing fills the placeholder {system}".to_owned())
    );
}

#[test]
fn the_version_depends_on_what_is_said_and_not_on_how() {
    let text = r#"{"b": 1.0, "a": [1, "é", null], "€": true, "1": 1e2}"#;
    assert_eq!(canonical(&json(text)), r#"{"1":100,"a":[1,"é",null],"b":1,"€":true}"#);
    let other = r#"{ "a":[1,"\u00e9",null], "1":100, "\u20ac":true, "b":1 }"#;
    assert_eq!(hash(&json(text)), hash(&json(other)));
    assert_eq!(hash(&json("{}")), "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a");
}

#[test]
fn semantic_versions_and_ids_are_told_from_other_texts() {
    let versions = [
        ("0.1.0", true),
        ("1.2.3-rc.1+b.2", true),
        ("10.0.0-x-y", true),
        ("1.2", false),
        ("01.2.3", false),
        ("1.2.3-", false),
        ("v1.2.3", false),
        ("1.2.3.4", false),
        ("", false),
    ];
    for (text, expected) in versions {
        assert_eq!(fields::is_semver(text), expected, "{text}");
    }
    let sixty_four = "a".repeat(64);
    let ids = [
        ("a", true),
        ("0x.y_z-1", true),
        (&sixty_four, true),
        ("", false),
        (".a", false),
        ("A", false),
        ("a/b", false),
        ("é", false),
    ];
    for (text, expected) in ids {
        assert_eq!(fields::is_id(text), expected, "{text}");
    }
    assert!(!fields::is_id(&"a".repeat(65)));
}

#[test]
fn an_operator_is_read_with_its_seat_its_runner_and_its_contract() {
    let agent = r#""kind":"operator","runner_ref":"r","verdict":{"channel":"part","values":["PASS","STOP"]}"#;
    let more = r#","operators":[{"name":"x","display_name":"X","kind":"composite"}],
        "runners":[{"name":"r","runner":{"backend":"ws_claude_code","variant":"v","tools":["Read"]}}],
        "default_operator_kind":"main_ai","spawner_hints":{"layers":["senior_escalation","main_ai"]}"#;
    let (blueprint, lints) = read(&document(agent, more), &BUILTINS).expect("the blueprint is valid");
    assert_eq!(lints, []);
    let found = &blueprint.agents["a"];
    let AgentSpec::Operator(spec) = &found.spec else { panic!("{found:?}") };
    assert_eq!(spec.operator_ref, "x");
    let runner = found.runner.as_ref().expect("it has a runner");
    assert_eq!((runner.variant.as_str(), runner.tools.as_slice()), ("v", &["Read".to_owned()][..]));
    assert_eq!(found.verdict.as_ref().map(|verdict| verdict.values.len()), Some(2));
    assert_eq!(blueprint.operators["x"].kind, Some(OperatorKind::Composite));
    assert_eq!(blueprint.default_operator_kind, Some(OperatorKind::MainAi));
    assert_eq!(blueprint.layers, [StepLayer::SeniorEscalation, StepLayer::MainAi]);
}

#[test]
fn an_operator_of_several_must_be_named_and_may_be_the_default_kind() {
    let two = r#","operators":[{"name":"x"},{"name":"y"}]"#;
    for (agent, more, expected) in [
        (r#""kind":"operator""#, two, Err("/agents/0 unresolved-operator-ref")),
        (
            r#""kind":"operator","spec":{"operator_ref":"z"}"#,
            two,
            Err("/agents/0/spec/operator_ref unresolved-operator-ref"),
        ),
        (r#""kind":"operator","spec":{"operator_ref":"y"}"#, two, Ok("y")),
        (r#""description":"d""#, r#","operators":[{"name":"x"}],"default_agent_kind":"operator""#, Ok("x")),
    ] {
        let document = document(agent, more);
        match expected {
            Err(error) => assert_eq!(errors(&document), [error], "{agent}"),
            Ok(seat) => {
                let (blueprint, _) = read(&document, &BUILTINS).expect("the blueprint is valid");
                let AgentSpec::Operator(spec) = &blueprint.agents["a"].spec else { panic!("{agent}") };
                assert_eq!(spec.operator_ref, seat);
            }
        }
    }
}

#[test]
fn a_condition_looks_for_what_an_agent_may_say_where_it_says_it() {
    let check = |channel: &str, at: &str, literal: &str| {
        let agent =
            format!(r#""kind":"operator","verdict":{{"channel":"{channel}","values":["PASS","STOP"]}}"#);
        let mut document: serde_json::Value = (&document(&agent, r#","operators":[{"name":"x"}]"#)).into();
        let nothing = serde_json::json!({"kind": "seq", "children": []});
        let cond = serde_json::json!({"op": "eq", "lhs": {"op": "path", "at": at}, "rhs": {"op": "lit", "value": literal}});
        let branch = serde_json::json!({"kind": "branch", "cond": cond, "then": nothing, "else": nothing});
        document["flow"] = serde_json::json!({"kind": "seq", "children": [document["flow"], branch]});
        match read(&Value::from(document), &BUILTINS) {
            Ok(_) => String::new(),
            Err(lints) => lints.iter().map(|lint| format!("{} {}", lint.pointer, lint.name)).collect(),
        }
    };
    let place = "/flow/children/1/cond";
    for (channel, at, literal, expected) in [
        ("body", "$.o", "PASS", String::new()),
        ("body", "$.o", "MAYBE", format!("{place} verdict-value-not-in-contract")),
        ("body", "$.o.out", "STOP", String::new()),
        ("body", "$.o.parts.verdict", "PASS", format!("{place} verdict-channel-mismatch")),
        ("part", "$.o.parts.verdict", "PASS", String::new()),
        ("part", "$.o.parts.verdict", "MAYBE", format!("{place} verdict-value-not-in-contract")),
        ("part", "$.o", "PASS", format!("{place} verdict-channel-mismatch")),
        ("body", "$.other", "MAYBE", String::new()),
    ] {
        assert_eq!(check(channel, at, literal), expected, "{channel} {at} {literal}");
    }
}
