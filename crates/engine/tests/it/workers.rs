//! What the workers give back.

use adjutant_model::Value;
use adjutant_model::run::{FlowError, RunStatus};
use adjutant_testkit::home::HIDDEN;
use adjutant_testkit::{Home, json, repository, run, task};
use serde_json::json;

async fn one(agent: serde_json::Value, input: serde_json::Value) -> Result<Value, FlowError> {
    let home = Home::new();
    let plane = home.plane().await;
    let mut agent = agent;
    agent["name"] = json!("a");
    let blueprint = json!({"id": "test", "agents": [agent],
        "flow": {"kind": "step", "ref": "a", "in": {"op": "path", "at": "$.in"}, "out": {"op": "path", "at": "$.out"}}});
    let ended = run(&plane, task(blueprint, json!({"in": input}))).await;
    match ended.status {
        RunStatus::Done => {
            Ok(ended.result.as_ref().and_then(|ctx| ctx.get("out").cloned()).expect("it was written"))
        }
        _ => Err(ended.error.clone().expect("it failed")),
    }
}

fn lua(source: &str) -> serde_json::Value {
    json!({"kind": "lua", "spec": {"source": source, "label": "chunk"}})
}

#[tokio::test(flavor = "multi_thread")]
async fn lua_gives_back_the_same_json_that_it_got() {
    for value in [
        json!(null),
        json!([]),
        json!({}),
        json!([1, null, [], {}, "x", true, 1.5]),
        json!({"a": {"b": [null, null]}, "n": 9_007_199_254_740_992_i64}),
    ] {
        assert_eq!(one(lua("local x = ... return x"), value.clone()).await, Ok(json(value)));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn lua_computes_and_says_where_it_went_wrong() {
    let sum = "local t = ...\nlocal s = 0\nfor _, n in t do s += n end\nreturn {sum = s, none = null, list = array {}}";
    assert_eq!(
        one(lua(sum), json!([1, 2, 3.5])).await,
        Ok(json(json!({"sum": 6.5, "none": null, "list": []})))
    );
    for (source, expected) in [
        ("\n\nerror('no')", "chunk:3: no"),
        ("return print", "function"),
        ("return {1, nil, 3, a = 1}", "mixes positions and names"),
        ("return 0/0", "NaN"),
        ("return 2^60", "beyond ±2^53"),
        ("local t = {} t.t = t return t", "nests deeper"),
        ("return os.time()", "chunk:1:"),
        ("return io.open('/etc/passwd')", "chunk:1:"),
        ("return loadstring('return 1')()", "chunk:1:"),
        ("return require('x')", "chunk:1:"),
        ("string.rep = nil", "readonly"),
    ] {
        let error = one(lua(source), json!(null)).await.expect_err(source);
        assert!(error.message.contains(expected), "{source}: {}", error.message);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn hostile_lua_ends_within_its_limits() {
    for source in [
        "while true do end",
        "repeat until false",
        "while true do pcall(function() while true do end end) end",
        "local function f() return f() end return f()",
        "local function f() return 1 + f() end return f()",
        "local t = {} while true do t[#t + 1] = string.rep('x', 1000000) end",
        "return string.rep('x', 1e9)",
        "local s = 'x' while true do s = s .. s end",
        "return table.create(1e9, 0)",
        "return string.find(string.rep('a', 100000), string.rep('a*', 1000) .. 'b')",
        "local c = coroutine.wrap(function() while true do coroutine.yield() end end) while true do c() end",
        "local t = setmetatable({}, {__index = function(t, k) return t[k + 1] end}) return t[1]",
        "return buffer.create(1e9)",
        "for i = 1, 1e18 do local _ = tostring(i) end",
        "return string.format('%1000000000d', 1)",
        "error(setmetatable({}, {__tostring = function() while true do end end}))",
    ] {
        let mut agent = lua(source);
        agent["spec"]["timeout_ms"] = json!(300);
        agent["spec"]["memory_bytes"] = json!(16 << 20);
        let began = std::time::Instant::now();
        let ended = one(agent, json!(null)).await;
        assert!(ended.is_err(), "{source}: {ended:?}");
        assert!(began.elapsed().as_secs() < 5, "{source} took {:?}", began.elapsed());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn commands_read_json_and_give_json_or_text() {
    let command = |argv: serde_json::Value| json!({"kind": "command", "spec": {"argv": argv}});
    assert_eq!(one(command(json!(["cat"])), json!({"a": [1]})).await, Ok(json(json!({"a": [1]}))));
    assert_eq!(one(command(json!(["echo", "some words"])), json!(1)).await, Ok(json(json!("some words"))));
    let prompt = command(json!(["printf", "%s|${HOME:-x}|%s", "{prompt}", "{attempt}"]));
    assert_eq!(one(prompt, json!("hello")).await, Ok(json(json!("hello|${HOME:-x}|1"))));
    let failed = one(command(json!(["sh", "-c", "echo out; echo why >&2; exit 3"])), json!(1))
        .await
        .expect_err("it fails");
    let value = failed.value.expect("it says how");
    assert_eq!(value.get("code"), Some(&json(json!(3))));
    assert!(failed.message.contains("why"), "{}", failed.message);
    let killed = one(command(json!(["sh", "-c", "kill -9 $$"])), json!(1)).await.expect_err("it fails");
    assert_eq!(killed.value.and_then(|v| v.get("signal").cloned()), Some(json(json!(9))));
    let missing = one(command(json!(["no-such-program"])), json!(1)).await.expect_err("it fails");
    assert!(missing.message.contains("no-such-program"), "{}", missing.message);
}

#[tokio::test(flavor = "multi_thread")]
async fn commands_see_a_clean_environment() {
    let agent = json!({"kind": "command", "spec": {"argv": ["sh", "-c", "env | cut -d= -f1 | sort | tr '\\n' ' '"], "env": {"MINE": "1"}}});
    let names = one(agent, json!(1)).await.expect("it runs");
    let names: Vec<_> = names.as_str().expect("text").split_whitespace().map(str::to_owned).collect();
    assert!(names.contains(&"MINE".to_owned()) && names.contains(&"PATH".to_owned()), "{names:?}");
    assert!(!names.contains(&HIDDEN.0.to_owned()), "{names:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_check_says_which_tree_it_looked_at() {
    let home = Home::new();
    let plane = home.plane().await;
    let project = home.path("project");
    repository::with_one_file(&project);
    let blueprint = json!({"id": "test",
        "agents": [{"name": "c", "kind": "check", "spec": {"command": "grep -q one file.txt && echo fine", "output_contains": "fine"}},
                   {"name": "no", "kind": "check", "spec": {"command": ["false"]}}],
        "flow": {"kind": "seq", "children": [
            {"kind": "step", "ref": "c", "in": {"op": "lit", "value": null}, "out": {"op": "path", "at": "$.yes"}},
            {"kind": "step", "ref": "no", "in": {"op": "lit", "value": null}, "out": {"op": "path", "at": "$.no"}}]}});
    let mut params = task(blueprint, json!({}));
    params.project_root = Some(project.clone());
    let ended = run(&plane, params).await;
    let ctx = ended.result.clone().expect("it is done");
    let at = |pointer: &str| ctx.pointer(pointer).cloned();
    assert_eq!((at("/yes/passed"), at("/no/passed")), (Some(Value::Bool(true)), Some(Value::Bool(false))));
    assert_eq!(
        (at("/yes/exit_code"), at("/no/exit_code")),
        (Some(Value::from(0_i64)), Some(Value::from(1_i64)))
    );
    let tree = repository::git(&project, &["rev-parse", "HEAD^{tree}"]);
    assert_eq!(at("/yes/tree"), Some(Value::from(tree)));
}
