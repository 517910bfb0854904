//! Real agents with the shipped profiles and a scripted model.
//!
//! They run when `ADJUTANT_REAL_AGENTS` is set and the program is in `PATH`; prompts are in the language of the scripted
//! model, and the environment says where that is. Otherwise each says that it was skipped.

use crate::hosted::{Stage, Told, alive, used};
use adjutant_model::profile::Fillings;
use adjutant_model::session::{AgentExit, AgentSignal, AskAnswer, DriverKind};
use adjutant_rules::profile::{Profiles, argv};
use adjutant_sessions::driver::{AgentDriver, LaunchSpec, OwnedAgent, acp, headless};
use adjutant_sessions::probe::find_program;
use std::time::Duration;

const GRACE: Duration = Duration::from_secs(10);

/// Gives how the shipped profile of an agent starts it; `None` when it shall not or cannot run here.
#[expect(clippy::print_stderr, reason = "a test that is skipped says so")]
fn spec(stage: &Stage, agent: &str, kind: DriverKind, resume: Option<&str>) -> Option<LaunchSpec> {
    let profile = Profiles::shipped().find(agent)?.clone();
    let driver = profile.driver(kind)?.clone();
    let env: Vec<(String, String)> = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .collect();
    let program = driver.program.clone().unwrap_or_else(|| profile.program.clone());
    let is_wanted = env.iter().any(|(name, _)| name == "ADJUTANT_REAL_AGENTS");
    if !is_wanted || find_program(&program, &env, &stage.work()).is_none() {
        eprintln!("skipped: ADJUTANT_REAL_AGENTS is not set, or `{program}` is not in PATH");
        return None;
    }
    let model = env.iter().find(|(name, _)| name == "ANTHROPIC_MODEL").map(|(_, model)| model.clone());
    let fillings = Fillings {
        session: Some(uuid::Uuid::new_v4().to_string()),
        agent_session: resume.map(str::to_owned),
        model: model.filter(|_| kind == DriverKind::Headless),
        ..Fillings::default()
    };
    let words = argv(&profile, &driver, &fillings);
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let resume = resume.map(str::to_owned);
    Some(LaunchSpec { profile, env, fillings, resume, ..stage.spec(driver, &words) })
}

async fn start(spec: LaunchSpec) -> (OwnedAgent, Told) {
    let (signals, told) = Told::channel();
    let agent = match spec.driver.driver {
        DriverKind::Acp => acp::launch(spec, signals).await,
        _ => headless::launch(spec, signals).await,
    };
    (agent.unwrap(), told)
}

async fn turn(agent: &OwnedAgent, told: &mut Told, prompt: &str) -> Vec<AgentSignal> {
    agent.send(prompt).await.unwrap();
    told.turn_end().await
}

fn session_of(told: &[AgentSignal]) -> String {
    let began = told.iter().find_map(|signal| match signal {
        AgentSignal::Began { agent_session, .. } => agent_session.clone(),
        _ => None,
    });
    began.expect("it tells its session")
}

#[track_caller]
fn assert_said(told: &[AgentSignal], words: &str) {
    let last = told.last();
    let Some(AgentSignal::TurnEnded { text: Some(text), error: None }) = last else { panic!("{told:#?}") };
    assert!(text.contains(words), "{text}");
}

/// Allows, denies, interrupts, and goes on with what was said before; what is the same for both protocols.
async fn asks_and_heeds(stage: &Stage, agent: &OwnedAgent, told: &mut Told) -> Vec<AgentSignal> {
    agent.send("[[say: hello]] [[sh: touch allowed.txt]] [[say: done]]").await.unwrap();
    let began = told.until(|signal| matches!(signal, AgentSignal::Asked(_))).await;
    let Some(AgentSignal::Asked(question)) = began.last() else { unreachable!("it was waited for") };
    agent.answer(&question.ask_id, AskAnswer::Allow).await.unwrap();
    assert_said(&told.turn_end().await, "done");
    assert!(stage.work().join("allowed.txt").exists());

    agent.send("[[sh: touch denied.txt]] [[say: went on]]").await.unwrap();
    let question = told.asked().await;
    agent.answer(&question.ask_id, AskAnswer::Deny { reason: "not by policy".to_owned() }).await.unwrap();
    let denied = told.turn_end().await;
    let failed = |signal: &AgentSignal| matches!(signal, AgentSignal::ToolEnded { ok: false, .. });
    assert!(denied.iter().any(failed), "{denied:#?}");
    assert!(!stage.work().join("denied.txt").exists());

    agent.send("[[sh: touch held.txt && sleep 60]] [[say: too late]]").await.unwrap();
    let question = told.asked().await;
    agent.answer(&question.ask_id, AskAnswer::Allow).await.unwrap();
    told.until(|signal| matches!(signal, AgentSignal::AskSettled { .. })).await;
    agent.interrupt().await.unwrap();
    let ended = told.turn_end().await;
    let error = |signal: &AgentSignal| matches!(signal, AgentSignal::TurnEnded { error: Some(_), .. });
    assert!(!ended.iter().any(error), "an interrupt is no error: {ended:#?}");
    began
}

#[tokio::test]
async fn claude_code_in_print_mode_asks_heeds_and_goes_on() {
    let stage = Stage::new();
    let Some(first) = spec(&stage, "claude", DriverKind::Headless, None) else { return };
    let (agent, mut told) = start(first).await;
    let began = asks_and_heeds(&stage, &agent, &mut told).await;
    let counted = used(&turn(&agent, &mut told, "[[usage: 1000 50]] [[say: counted]]").await);
    assert_eq!((counted.input_tokens, counted.output_tokens), (1000, 50));
    let session = session_of(&began);
    assert!(matches!(agent.end(GRACE).await.unwrap().exit, AgentExit::Code(_)));
    assert_eq!(alive(&stage.marker), 0);
    let on = spec(&stage, "claude", DriverKind::Headless, Some(&session)).unwrap();
    let (agent, mut told) = start(on).await;
    let again = turn(&agent, &mut told, "[[usage: 700 30]] [[say: back]]").await;
    assert_eq!(session_of(&again), session);
    assert_said(&again, "back");
    let counted = used(&again);
    assert_eq!((counted.input_tokens, counted.output_tokens), (700, 30), "nothing is counted twice");
}

#[tokio::test]
async fn codex_runs_once_for_each_prompt_and_goes_on() {
    let stage = Stage::new();
    let Some(first) = spec(&stage, "codex", DriverKind::Headless, None) else { return };
    let (agent, mut told) = start(first).await;
    let one = turn(&agent, &mut told, "[[usage: 1000 50]] [[sh: touch made.txt]] [[say: done]]").await;
    assert_said(&one, "done");
    assert!(stage.work().join("made.txt").exists());
    let two = turn(&agent, &mut told, "[[usage: 700 30]] [[say: again]]").await;
    assert_said(&two, "again");
    assert_eq!(session_of(&one), session_of(&two));
    assert_eq!((used(&two).input_tokens, used(&two).output_tokens), (700, 30), "nothing is counted twice");
    let outside = turn(&agent, &mut told, "[[sh: touch /etc/adjutant-was-here]] [[say: tried]]").await;
    let failed = |signal: &AgentSignal| matches!(signal, AgentSignal::ToolEnded { ok: false, .. });
    assert!(outside.iter().any(failed), "its sandbox holds when it goes on, too: {outside:#?}");
    let _ended = agent.end(GRACE).await.unwrap();
    let on = spec(&stage, "codex", DriverKind::Headless, Some(&session_of(&one))).unwrap();
    let (agent, mut told) = start(on).await;
    let three = turn(&agent, &mut told, "[[usage: 400 20]] [[say: back]]").await;
    assert_eq!(used(&three).output_tokens, 20);
    agent.send("[[sleep: 30]] [[say: too late]]").await.unwrap();
    told.until(|signal| *signal == AgentSignal::PromptTaken).await;
    agent.interrupt().await.unwrap();
    told.turn_end().await;
    let _ended = agent.end(GRACE).await.unwrap();
    assert_eq!(alive(&stage.marker), 0);
}

#[tokio::test]
async fn claude_code_s_adapter_asks_heeds_and_goes_on() {
    let stage = Stage::new();
    let Some(first) = spec(&stage, "claude", DriverKind::Acp, None) else { return };
    let (agent, mut told) = start(first).await;
    let began = asks_and_heeds(&stage, &agent, &mut told).await;
    let session = session_of(&began);
    let _ended = agent.end(GRACE).await.unwrap();
    assert_eq!(alive(&stage.marker), 0);
    let on = spec(&stage, "claude", DriverKind::Acp, Some(&session)).unwrap();
    let (agent, mut told) = start(on).await;
    let again = turn(&agent, &mut told, "[[say: back]]").await;
    assert_eq!(session_of(&again), session);
    assert_said(&again, "back");
}

#[tokio::test]
async fn codex_s_adapter_answers_cancels_and_goes_on() {
    let stage = Stage::new();
    let Some(first) = spec(&stage, "codex", DriverKind::Acp, None) else { return };
    let (agent, mut told) = start(first).await;
    let one = turn(&agent, &mut told, "[[sh: touch made.txt]] [[say: done]]").await;
    assert_said(&one, "done");
    assert!(stage.work().join("made.txt").exists());
    assert!(used(&one).input_tokens > 0);
    agent.send("[[say: begun]] [[sh: sleep 60]] [[say: too late]]").await.unwrap();
    told.until(|signal| matches!(signal, AgentSignal::ToolBegan { .. })).await;
    agent.interrupt().await.unwrap();
    told.turn_end().await;
    let session = session_of(&one);
    let _ended = agent.end(GRACE).await.unwrap();
    assert_eq!(alive(&stage.marker), 0);
    let on = spec(&stage, "codex", DriverKind::Acp, Some(&session)).unwrap();
    let (agent, mut told) = start(on).await;
    let again = turn(&agent, &mut told, "[[say: back]]").await;
    assert_eq!(session_of(&again), session);
}
