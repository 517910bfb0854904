use super::file::{KeyPath, edited, read};
use super::*;
use adjutant_model::TokenId;
use adjutant_model::action::Role;
use adjutant_model::id::Uuid;
use proptest::prelude::*;

fn opened(text: &str) -> Result<Settings, ConfigError> {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join(FILE), text).unwrap();
    Ok(Live::open(Settings::new(folder.path().to_owned(), PathBuf::from("adjutant")))?.1)
}

fn owner() -> Caller {
    let token_id = TokenId::new(Uuid::nil());
    Caller { token_id, role: Role::Host, step: None, agent_id: None, of_session: None, name: None }
}

async fn plane(text: &str, change: impl FnOnce(&mut Settings)) -> (tempfile::TempDir, Plane) {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join(FILE), text).unwrap();
    let mut settings = Settings::new(folder.path().to_owned(), PathBuf::from("adjutant"));
    change(&mut settings);
    (folder, Plane::open(settings).await.unwrap())
}

fn changes(changes: &[(&str, Value)]) -> BTreeMap<String, Value> {
    changes.iter().map(|(key, value)| ((*key).to_owned(), value.clone())).collect()
}

#[test]
fn what_is_said_holds_and_the_rest_stays() {
    let settings =
        opened("[sessions]\nmax_alive = 128\nauto_resume = false\nagents_may_spawn = true\n").unwrap();
    assert_eq!((settings.sessions_alive_max, settings.sessions_auto_resume), (128, false));
    assert!(settings.sessions_agents_may_spawn);
    assert_eq!(settings.approval_ms, 300_000);
    let untouched = opened("").unwrap();
    assert_eq!((untouched.sessions_alive_max, untouched.sessions_auto_resume), (16, true));
    assert!(!untouched.sessions_agents_may_spawn, "a person is asked");
    assert_eq!(opened("[approvals]\ndeadline_secs = 5").unwrap().approval_ms, 5000);
    let compressed =
        opened("[hooks]\ncompression = 'Caveman'\n[hooks.compression_of]\nBash = 'off'\n").unwrap();
    let levels = ["Read", "Bash"].map(|tool| compressed.compress.level_of(tool).as_str());
    assert_eq!(levels, ["caveman", "off"]);
    assert_eq!(opened("").unwrap().compress.level_of("Bash").as_str(), "trim");
    let priced = opened("prices.'gpt-5.1' = [1.25, 10]\n").unwrap();
    assert_eq!(priced.prices["gpt-5.1"].output.to_string(), "10");
}

#[test]
fn a_mistake_is_named_with_its_place() {
    for (text, told) in [
        ("[sessions]\nmax_live = 3\n", "line 2: `sessions.max_live` is no setting"),
        ("[sessions]\nmax_alive = \"many\"\n", "line 2: `sessions.max_alive` is a whole number from 1"),
        ("[sessions]\nmax_alive = 0\n", "`sessions.max_alive` must be more than 0"),
        ("[sessions]\nmax_alive = { a = 1 }\n", "`sessions.max_alive` is a whole number"),
        ("[sessions.max_alive]\na = 1\n", "`sessions.max_alive` is a whole number"),
        ("[nothing]\n", "line 1: `nothing` is no setting"),
        ("sessions = 3\n", "line 1: `sessions` is a section"),
        ("[[sessions]]\nmax_alive = 1\n", "`sessions` is a section"),
        ("[sessions\n", "line 1"),
        ("[prices]\nx = [1]\n", "line 2: `prices.x` is two numbers"),
        ("[prices]\nx = [-1, 2]\n", "`prices.x` is two numbers"),
        ("[telemetry]\notlp_endpoint = 'ftp://x'\n", "`telemetry.otlp_endpoint` is an `http://`"),
        ("[telemetry]\nca_file = 'ca.pem'\n", "line 2: `telemetry.ca_file` is an absolute path"),
        ("[telemetry]\nheaders_file = 7\n", "`telemetry.headers_file` is a text of at most 4096 bytes"),
        ("[telemetry.headers]\n'x key' = 'a'\n", "`telemetry.headers.\"x key\"` is no name of a header"),
        ("[telemetry.headers]\nx-key = ''\n", "`telemetry.headers.x-key` is printable ASCII"),
        (
            "[hooks]\ncompression = 'much'\n",
            "line 2: `hooks.compression` is `off`, `trim`, `summarise` or `caveman`",
        ),
        ("[hooks.compression_of]\nBash = 1\n", "`hooks.compression_of.Bash`"),
        ("[sessions]\ndefault_model = '--x'\n", "`sessions.default_model` is a model's name"),
    ] {
        let error = opened(text).unwrap_err().to_string();
        assert!(error.contains(told), "{text}: {error}");
    }
}

#[test]
fn a_change_leaves_comments_and_form_alone() {
    let text = "# mine\n\n[sessions]   # theirs\n# how many\nmax_alive  =  0x10 # as hex\n\n\
                # and\nauto_resume=true\n\n[runs]\nttl_secs = 60\n# the end\n";
    let set =
        |key: &str, value: Option<Value>| edited(text, &[(KeyPath::parse(key).unwrap(), value)]).unwrap();
    for (key, value, from, to) in [
        ("sessions.max_alive", Some(Value::from(3_u64)), "0x10 # as hex", "3 # as hex"),
        ("sessions.auto_resume", Some(Value::from(false)), "auto_resume=true", "auto_resume=false"),
        ("sessions.max_alive", None, "max_alive  =  0x10 # as hex", "# as hex"),
        ("runs.ttl_secs", None, "ttl_secs = 60\n", ""),
        ("approvals.deadline_secs", None, "", ""),
        ("runs.max_open", Some(Value::from(5_u64)), "ttl_secs = 60\n", "ttl_secs = 60\nmax_open = 5\n"),
    ] {
        assert_eq!(set(key, value), text.replacen(from, to, 1), "{key}");
    }
    let fresh = set("telemetry.headers.x-key", Some(Value::from("s")));
    assert!(fresh.starts_with(text) || fresh.contains("# the end"), "{fresh}");
    assert!(fresh.contains("[telemetry.headers]\nx-key = \"s\"\n"), "{fresh}");
    let inline = "sessions = { max_alive = 2, auto_resume = true } # all\n";
    let gone = edited(inline, &[(KeyPath::parse("sessions.max_alive").unwrap(), None)]).unwrap();
    assert_eq!(gone, "sessions = { auto_resume = true } # all\n");
}

proptest! {
    #[test]
    fn a_change_changes_what_it_names_and_nothing_else(
        alive in proptest::option::of(1_u64..99),
        resume in proptest::option::of(any::<bool>()),
        price in proptest::option::of(0_u64..50),
        which in 0_usize..4,
        value in proptest::option::of(1_u64..99),
    ) {
        let line = |name: &str, text: Option<String>| {
            text.map_or_else(String::new, |text| format!("# about {name}\n{name} = {text} # {name}\n"))
        };
        let text = format!(
            "[sessions]\n{}{}[prices]\n{}# last",
            line("max_alive", alive.map(|n| n.to_string())),
            line("auto_resume", resume.map(|b| b.to_string())),
            line("'a.b'", price.map(|p| format!("[{p}, 1.5]"))),
        );
        let (key, said) = [
            ("sessions.max_alive", value.map(Value::from)),
            ("sessions.auto_resume", value.map(|n| Value::from(n % 2 == 0))),
            ("prices.'a.b'", value.map(|n| Value::array([Value::from(n), Value::from(2_u64)]))),
            ("runs.ttl_secs", value.map(Value::from)),
        ][which].clone();
        let path = KeyPath::parse(key).unwrap();
        let after = edited(&text, &[(path.clone(), said.clone())]).unwrap();
        let mut expected = read(&text).unwrap();
        match said {
            Some(value) => expected.insert(path, value),
            None => expected.remove(&path),
        };
        prop_assert_eq!(read(&after).unwrap(), expected);
        for comment in text.lines().filter(|line| line.starts_with('#')) {
            prop_assert!(after.lines().any(|line| line == comment), "{}\n{}", comment, after);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn writers_at_once_lose_nothing() {
    let (folder, plane) = plane("# kept\n", |_| {}).await;
    let writes: Vec<_> = (0..40_u64)
        .map(|n| {
            let plane = plane.clone();
            tokio::spawn(async move {
                let key = format!("prices.m{n}");
                let value = Value::array([Value::from(n), Value::from(n)]);
                plane.config_write(&owner(), BTreeMap::from([(key, value)])).await
            })
        })
        .collect();
    for write in writes {
        write.await.unwrap().unwrap();
    }
    let text = std::fs::read_to_string(folder.path().join(FILE)).unwrap();
    assert!(text.contains("# kept"), "{text}");
    assert_eq!(read(&text).unwrap().len(), 40);
    assert_eq!(plane.core.live().prices.len(), 40);
    let left: Vec<_> =
        std::fs::read_dir(folder.path()).unwrap().flatten().map(|entry| entry.file_name()).collect();
    assert!(!left.iter().any(|name| name.to_string_lossy().starts_with(".config")), "{left:?}");
    plane.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn all_of_a_change_holds_or_none_of_it() {
    let (folder, plane) = plane("[runs]\nttl_secs = 60\n", |_| {}).await;
    for (wrong, told) in [
        (("runs.nothing", Value::from(1_u64)), "`runs.nothing` is no setting"),
        (("runs.max_open", Value::from("many")), "`runs.max_open` is a whole number"),
        (("runs", Value::from(1_u64)), "`runs` is no setting"),
        (("", Value::Null), "`` is no setting"),
    ] {
        let both = changes(&[("runs.ttl_secs", Value::from(7_u64)), wrong]);
        let error = plane.config_write(&owner(), both).await.unwrap_err();
        assert!(error.to_string().contains(told) && error.code() == "invalid_request", "{error}");
    }
    let observer = Caller { role: Role::Observer, ..owner() };
    let change = changes(&[("runs.ttl_secs", Value::from(7_u64))]);
    let refused = plane.config_write(&observer, change.clone()).await.unwrap_err();
    assert_eq!(refused.code(), "forbidden");
    assert_eq!(std::fs::read_to_string(folder.path().join(FILE)).unwrap(), "[runs]\nttl_secs = 60\n");
    assert_eq!(plane.core.live().run_ttl_secs, 60);
    plane.config_write(&owner(), change).await.unwrap();
    assert_eq!(plane.core.live().run_ttl_secs, 7);
    plane.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_does_not_hold_yet_is_told() {
    let pin = |settings: &mut Settings| {
        settings.approval_ms = 9000;
        settings.pinned.insert("approvals.deadline_secs");
    };
    let (folder, plane) = plane("[telemetry.headers]\nx-key = 'secret'\n", pin).await;
    let told = |config: &Config| -> Vec<String> {
        config
            .settings
            .iter()
            .filter(|setting| setting.pending_restart)
            .map(|setting| setting.key.clone())
            .collect()
    };
    assert_eq!(told(&plane.config_read().await.unwrap()), Vec::<String>::new());
    let change = changes(&[
        ("sessions.max_alive", Value::from(3_u64)),
        ("telemetry.service_name", Value::from("mine")),
        ("approvals.deadline_secs", Value::from(1_u64)),
    ]);
    let config = plane.config_write(&owner(), change).await.unwrap();
    assert_eq!(told(&config), ["approvals.deadline_secs", "telemetry.service_name"]);
    assert_eq!(plane.core.live().approval_ms, 9000, "the command line has the last word");
    let header = config.setting("telemetry.headers.x-key").unwrap();
    assert!(header.is_secret && header.value == Value::Null && header.is_set);
    assert!(
        plane.auto_resume_set(&owner(), false).await.unwrap()
            == AutoResume { desired: false, in_force: false }
    );
    std::fs::write(folder.path().join(FILE), "sessions.auto_resume = true\n").unwrap();
    let resume = plane.auto_resume().await;
    assert!(resume.desired && !resume.in_force && resume.pending_restart(), "it was changed by hand");
    std::fs::write(folder.path().join(FILE), "sessions.auto_resume = 'x'\n").unwrap();
    assert_eq!(plane.config_read().await.unwrap_err().code(), "config_unusable");
    assert!(
        plane.auto_resume_set(&owner(), true).await.is_err(),
        "what a person has written is not thrown away"
    );
    plane.stop().await;
}
