//! Taking commands: what was said to a run's owner becomes part of its next transition.

use super::owner::Reply;
use super::questions::Questions;
use super::run_gate::RunGate;
use super::transition::Transition;
use super::{RunCommand, ToolQuestion};
use crate::dispatch::InFlight;
use crate::error::EngineError;
use crate::operators::AcquireQuestion;
use crate::worker::Performed;
use adjutant_model::policy::PolicyEffect;
use adjutant_model::run::StepPath;
use adjutant_rules::flow::FlowEvent;
use std::collections::HashMap;

/// Takes what was said to the owner; whoever asked is answered when the transition is durable.
pub(super) fn take_command(
    command: RunCommand,
    turn: &mut Transition<'_>,
    gate: &RunGate<'_>,
    (in_flight, questions): (&HashMap<(StepPath, u32), InFlight>, &mut Questions),
    replies: &mut Vec<Reply>,
) {
    match command {
        RunCommand::Settled { path, attempt, performed: Performed { outcome, usage } } => {
            // What a question settled with is its answer.
            drop(questions.step_answered(&path, attempt));
            turn.used(&path, attempt, usage.as_ref());
            turn.take(FlowEvent::Settled { path, attempt, outcome }, gate);
        }
        RunCommand::Progress { path, attempt, progress } => turn.progress(path, attempt, progress),
        RunCommand::Cancel { reason, reply } => {
            turn.take(FlowEvent::CancelRequested { reason }, gate);
            replies.push(Box::new(move || {
                let _nobody_waits = reply.send(());
            }));
        }
        RunCommand::Judge(question) => judge_tool(question, turn, gate, in_flight, replies),
        RunCommand::Answered { path, attempt, approval } => {
            // One that is not open was aborted meanwhile.
            if let Some(dispatch) = questions.step_answered(&path, attempt) {
                turn.answered(dispatch, &approval, gate);
            }
        }
        RunCommand::ToolAnswered { asked, approval, reply } => {
            questions.tool_answered(asked.turn);
            let gone = || EngineError::not_found("step in flight", &asked.binding.path);
            let answer = turn.tool_answered(&asked, &approval).ok_or_else(gone);
            replies.push(Box::new(move || drop(reply.send(answer))));
        }
        RunCommand::Acquire { question, by } => acquire(question, by, turn, gate, replies),
        RunCommand::ToolSettled { binding, turn: index, end, reply } => {
            let settled = turn.tool_settled((&binding.path, binding.attempt), index, end.went, &end.output);
            let answer = if settled { Ok(()) } else { Err(EngineError::not_found("open tool call", index)) };
            replies.push(Box::new(move || drop(reply.send(answer))));
        }
    }
}

/// Lets somebody take a seat over; everybody who waits hears of it when it is durable.
fn acquire(
    question: AcquireQuestion,
    by: String,
    turn: &mut Transition<'_>,
    gate: &RunGate<'_>,
    replies: &mut Vec<Reply>,
) {
    let Some(operators) = gate.operators.cloned() else {
        let none = EngineError::invalid("the run has no seats");
        return drop(question.reply.send(Err(none)));
    };
    match turn.acquire(&operators, &question, by) {
        Err(error) => drop(question.reply.send(Err(error))),
        Ok(acquired) => replies.push(Box::new(move || {
            operators.publish();
            drop(question.reply.send(Ok(acquired)));
        })),
    }
}

/// Judges an agent's tool call; one that a rule asks about waits, and its agent with it.
fn judge_tool(
    question: ToolQuestion,
    turn: &mut Transition<'_>,
    gate: &RunGate<'_>,
    in_flight: &HashMap<(StepPath, u32), InFlight>,
    replies: &mut Vec<Reply>,
) {
    let step = (question.binding.path.clone(), question.binding.attempt);
    let (Some(working), Some(_)) = (in_flight.get(&step), turn.turns.step(&step.0, step.1)) else {
        let gone = EngineError::not_found("step in flight", &step.0);
        return drop(question.reply.send(Err(gone)));
    };
    let judgement = gate.tool(&question.caller, working, &question.call);
    if judgement.effect == PolicyEffect::Ask {
        return turn.tool_asked(question, judgement, gate);
    }
    let judged = turn.tool_judged(step, &question.call, judgement);
    replies.push(Box::new(move || drop(question.reply.send(Ok(judged)))));
}
