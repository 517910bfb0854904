//! Settings: what they may say, and the orbit with another spawner.

use super::value;
use crate::enhance::setting::{SettingRefusal, check, lacks_spawner, with_spawner};
use crate::enhance::{DEFAULT_AXES, DEFAULT_ORBIT};
use adjutant_model::Value;
use adjutant_model::issue::EnhanceSetting;
use adjutant_model::registry::VersionSelector;
use serde_json::{Value as Json, json};

fn setting() -> EnhanceSetting {
    EnhanceSetting {
        id: "default".to_owned(),
        blueprint_id: DEFAULT_ORBIT.to_owned(),
        version: VersionSelector::Latest,
        ttl_secs: 300,
        verifier_axes: DEFAULT_AXES.map(str::to_owned).to_vec(),
        spawner: None,
        meta: value(json!({})),
    }
}

#[test]
fn what_a_setting_may_not_say_is_refused_with_its_place() {
    assert_eq!(check(&setting()), Ok(()));
    let axes = |axes: &[&str]| EnhanceSetting {
        verifier_axes: axes.iter().map(|axis| (*axis).to_owned()).collect(),
        ..setting()
    };
    let many: Vec<String> = (0..33).map(|n| format!("a{n}")).collect();
    for (setting, text) in [
        (EnhanceSetting { id: "../x".to_owned(), ..setting() }, "`../x` is no id of a setting"),
        (
            EnhanceSetting { ttl_secs: 0, ..setting() },
            "ttl_secs: 0 in the enhance setting `default`: an epoch would be over before it began",
        ),
        (
            EnhanceSetting { ttl_secs: 604_801, ..setting() },
            "ttl_secs: an epoch may take at most 604800 s, not 604801",
        ),
        (axes(&[]), "verifier_axes: without an axis every patch would be committed unseen"),
        (EnhanceSetting { verifier_axes: many, ..setting() }, "verifier_axes: at most 32, found 33"),
        (axes(&["des", "A B"]), "verifier_axes[1]: `A B` is no name of an axis"),
        (axes(&["des", "des"]), "verifier_axes[1]: `des` stands there twice"),
        (axes(&["compile"]), "verifier_axes[0]: `enhance-default` has no axis `compile`"),
        (EnhanceSetting { spawner: Some(Value::from("claude")), ..setting() }, "`spawner` must be an object"),
        (EnhanceSetting { meta: Value::Null, ..setting() }, "`meta` must be an object"),
        (
            EnhanceSetting { meta: value(json!({"a": "x".repeat(300_000)})), ..setting() },
            "`meta` takes more than 262144 bytes",
        ),
    ] {
        assert_eq!(check(&setting).expect_err("it is refused").to_string(), text);
    }
    let own = EnhanceSetting { blueprint_id: "mine".to_owned(), ..axes(&["my-axis"]) };
    assert_eq!(check(&own), Ok(()), "a flow of one's own has axes of its own");
    let hint = check(&axes(&["compile"])).as_ref().err().and_then(SettingRefusal::hint);
    assert!(hint.is_some_and(|hint| hint.contains("compiles")));
}

fn orbit() -> Json {
    json!({"id": "orbit", "agents": [
        {"name": "first", "kind": "function", "spec": {"fn_id": "identity"}},
        {"name": "patch-spawner", "kind": "command", "spec": {"argv": ["no-patch-spawner"]},
            "profile": {"system_prompt": "the contract"}}]})
}

#[test]
fn a_spawner_takes_the_place_of_the_orbits_under_its_name() {
    let spawner = json!({"name": "mine", "kind": "lua", "spec": {"source": "return 1"}});
    let with = with_spawner(&value(orbit()), &value(spawner)).expect("there is one");
    let agents = with.get("agents").and_then(Value::as_array).expect("agents");
    assert_eq!(agents.len(), 2, "none more and none less");
    assert_eq!(agents[0], value(orbit()["agents"][0].clone()), "the others are as they were");
    assert_eq!(
        agents[1],
        value(json!({"name": "patch-spawner", "kind": "lua", "spec": {"source": "return 1"},
            "profile": {"system_prompt": "the contract"}}))
    );
    let own = json!({"kind": "lua", "spec": {"source": "return 1"}, "profile": {"system_prompt": "mine"}});
    let with = with_spawner(&value(orbit()), &value(own)).expect("there is one");
    assert_eq!(with.pointer("/agents/1/profile/system_prompt"), Some(&Value::from("mine")));
}

#[test]
fn an_orbit_without_a_place_for_a_spawner_says_its_name() {
    for orbit in [json!({"agents": [{"name": "other"}]}), json!({}), json!([])] {
        let refused = with_spawner(&value(orbit), &value(json!({}))).expect_err("there is none");
        assert!(refused.to_string().contains("patch-spawner"), "{refused}");
    }
}

#[test]
fn an_orbit_whose_spawner_is_a_place_holder_lacks_one() {
    assert!(lacks_spawner(&value(orbit())));
    let spawner = value(json!({"kind": "lua", "spec": {"source": "return 1"}}));
    assert!(!lacks_spawner(&with_spawner(&value(orbit()), &spawner).expect("there is one")));
    assert!(!lacks_spawner(&value(json!({"agents": []}))));
}
