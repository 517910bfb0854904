//! Seats: who holds which at the start of a run, and taking one over.

use adjutant_model::OperatorId;
use adjutant_model::operator::{BACKEND_SEAT, BRIDGE_SEAT, HOOK_SEAT, Seat, Seats};
use std::collections::BTreeMap;
use thiserror::Error;

/// Whom a request names for a run, and the slots that its blueprint declares.
#[derive(Debug, Clone, Copy)]
pub struct LaunchSeats<'a> {
    /// The declared slots.
    pub declared: &'a [&'a str],
    /// Whether steps may be delegated.
    pub delegates: bool,
    /// The operator who holds the seats.
    pub operator: Option<&'a OperatorId>,
    /// The slot that is meant.
    pub slot: Option<&'a str>,
    /// Why, in the request's words.
    pub desc: &'a str,
    /// Who hears of steps.
    pub hook: Option<&'a OperatorId>,
    /// Who is asked.
    pub bridge: Option<&'a OperatorId>,
    /// Whom steps are delegated to; an operator who holds the seats goes before.
    pub backend: Option<&'a OperatorId>,
}

/// Why a seat cannot be had.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum SeatError {
    /// The slot is not one of the run's.
    #[error("the blueprint has no seat `{slot}`; {}", listed(.known))]
    Undeclared {
        /// What was said.
        slot: String,
        /// What may be said.
        known: Vec<String>,
    },
    /// No slot was said, and there are several.
    #[error("it is not said which seat is meant; {}", listed(.known))]
    Ambiguous {
        /// What may be said.
        known: Vec<String>,
    },
    /// There is no seat at all.
    #[error("the blueprint has no seat for an operator, and delegates no steps")]
    None,
}

fn listed(known: &[String]) -> String {
    match known {
        [] => "there is none".to_owned(),
        known => format!("seats: {}", known.join(", ")),
    }
}

fn owned(slots: &[&str]) -> Vec<String> {
    slots.iter().map(|slot| (*slot).to_owned()).collect()
}

/// Gives the seats that a run begins with. One declared seat need not be named; an operator who takes a seat takes the
/// others too, until somebody acquires them.
///
/// # Errors
/// [`SeatError`] when the request names a seat that is not there, or none where there are several.
pub fn launch(request: LaunchSeats<'_>) -> Result<Seats, SeatError> {
    let LaunchSeats { declared, operator, slot, .. } = request;
    match (slot, operator, declared) {
        (Some(slot), _, _) if !declared.contains(&slot) => {
            return Err(SeatError::Undeclared { slot: slot.to_owned(), known: owned(declared) });
        }
        (None, Some(_), [_, _, ..]) => return Err(SeatError::Ambiguous { known: owned(declared) }),
        (None, Some(_), []) if !request.delegates => return Err(SeatError::None),
        _ => {}
    }
    let seat = |op: Option<&OperatorId>| {
        let desc = if op.is_some() { request.desc.to_owned() } else { String::new() };
        Seat { op: op.cloned(), desc, generation: 1 }
    };
    let mut by_slot: BTreeMap<String, Seat> =
        declared.iter().map(|slot| ((*slot).to_owned(), seat(operator))).collect();
    let backend = if request.delegates { operator.or(request.backend) } else { None };
    for (slot, op) in [(HOOK_SEAT, request.hook), (BRIDGE_SEAT, request.bridge), (BACKEND_SEAT, backend)] {
        if op.is_some() {
            by_slot.insert(slot.to_owned(), seat(op));
        }
    }
    Ok(Seats { by_slot })
}

/// A seat that has changed hands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Acquired {
    /// The slot that was meant.
    pub slot: String,
    /// All slots that changed hands, that one first.
    pub moved: Vec<String>,
    /// Who held it before.
    pub previous: Option<OperatorId>,
    /// The generation of all that changed hands.
    pub generation: u64,
}

/// Takes a seat over. Without a slot the one declared seat is meant, or the only one, and the seats of the layers that
/// its holder had go with it.
///
/// # Errors
/// [`SeatError`]
pub fn acquire(
    seats: &mut Seats,
    slot: Option<&str>,
    (op, desc): (&OperatorId, &str),
) -> Result<Acquired, SeatError> {
    let meant = meant(seats, slot)?;
    let previous = seats.by_slot[&meant].op.clone();
    let generation = seats.generation() + 1;
    let mut moved = vec![meant.clone()];
    if slot.is_none() && previous.is_some() {
        let goes_along =
            |(other, seat): &(&String, &Seat)| is_layer(other) && **other != meant && seat.op == previous;
        moved.extend(seats.by_slot.iter().filter(goes_along).map(|(slot, _)| slot.clone()));
    }
    for slot in &moved {
        let seat = Seat { op: Some(op.clone()), desc: desc.to_owned(), generation };
        seats.by_slot.insert(slot.clone(), seat);
    }
    Ok(Acquired { slot: meant, moved, previous, generation })
}

fn meant(seats: &Seats, slot: Option<&str>) -> Result<String, SeatError> {
    let all: Vec<&str> = seats.by_slot.keys().map(String::as_str).collect();
    let declared: Vec<&str> = all.iter().copied().filter(|slot| !is_layer(slot)).collect();
    match (slot, declared.as_slice()) {
        (Some(slot), _) if all.contains(&slot) => Ok(slot.to_owned()),
        (Some(slot), _) => Err(SeatError::Undeclared { slot: slot.to_owned(), known: owned(&all) }),
        (None, [only]) => Ok((*only).to_owned()),
        (None, []) => {
            let first = seats.by_slot.iter().next().ok_or(SeatError::None)?;
            let is_one_holder = seats.by_slot.values().all(|seat| seat.op == first.1.op);
            let ambiguous = || SeatError::Ambiguous { known: owned(&all) };
            is_one_holder.then(|| first.0.clone()).ok_or_else(ambiguous)
        }
        (None, declared) => Err(SeatError::Ambiguous { known: owned(declared) }),
    }
}

fn is_layer(slot: &str) -> bool {
    slot.starts_with('$')
}

#[cfg(test)]
mod tests {
    use super::*;
    use adjutant_model::id::Uuid;

    fn op(n: u128) -> OperatorId {
        OperatorId::new(Uuid::from_u128(n))
    }

    /// Gives the seats as `slot=holder@generation`.
    fn told(seats: &Seats) -> Vec<String> {
        let holder = |seat: &Seat| seat.op.as_ref().map_or("-".to_owned(), |op| op.as_str()[34..].to_owned());
        seats
            .by_slot
            .iter()
            .map(|(slot, seat)| format!("{slot}={}@{}", holder(seat), seat.generation))
            .collect()
    }

    #[test]
    fn a_run_begins_with_the_seats_that_its_request_names() {
        let (a, b) = (op(0xa), op(0xb));
        let request = LaunchSeats {
            declared: &["x"],
            delegates: false,
            operator: Some(&a),
            slot: None,
            desc: "d",
            hook: None,
            bridge: None,
            backend: None,
        };
        for (request, expected) in [
            (request, Ok(vec!["x=a@1"])),
            (LaunchSeats { operator: None, ..request }, Ok(vec!["x=-@1"])),
            (LaunchSeats { slot: Some("x"), hook: Some(&b), ..request }, Ok(vec!["$hook=b@1", "x=a@1"])),
            (LaunchSeats { declared: &["x", "y"], slot: Some("y"), ..request }, Ok(vec!["x=a@1", "y=a@1"])),
            (
                LaunchSeats { declared: &[], delegates: true, backend: Some(&b), ..request },
                Ok(vec!["$backend=a@1"]),
            ),
            (
                LaunchSeats {
                    declared: &[],
                    delegates: true,
                    operator: None,
                    backend: Some(&b),
                    bridge: Some(&b),
                    ..request
                },
                Ok(vec!["$backend=b@1", "$bridge=b@1"]),
            ),
            (LaunchSeats { declared: &[], operator: None, ..request }, Ok(vec![])),
            (
                LaunchSeats { declared: &["x", "y"], ..request },
                Err("it is not said which seat is meant; seats: x, y"),
            ),
            (LaunchSeats { slot: Some("z"), ..request }, Err("the blueprint has no seat `z`; seats: x")),
            (
                LaunchSeats { declared: &[], ..request },
                Err("the blueprint has no seat for an operator, and delegates no steps"),
            ),
        ] {
            let seats = launch(request).map(|seats| told(&seats)).map_err(|error| error.to_string());
            let expected = expected
                .map(|seats| seats.into_iter().map(str::to_owned).collect::<Vec<_>>())
                .map_err(str::to_owned);
            assert_eq!(seats, expected, "{request:?}");
        }
    }

    #[test]
    fn a_takeover_raises_the_generation_and_takes_the_seats_of_the_layers_along() {
        let (a, b) = (op(0xa), op(0xb));
        let seats = |slots: &[(&str, Option<&OperatorId>)]| Seats {
            by_slot: slots
                .iter()
                .map(|(slot, op)| {
                    ((*slot).to_owned(), Seat { op: op.cloned(), desc: String::new(), generation: 1 })
                })
                .collect(),
        };
        let one = [("x", Some(&a)), (HOOK_SEAT, Some(&a)), (BRIDGE_SEAT, Some(&b))];
        let two = [("x", Some(&a)), ("y", None)];
        for (before, slot, expected) in [
            (&one[..], None, Ok(vec!["$bridge=b@1", "$hook=c@2", "x=c@2"])),
            (&one[..], Some("x"), Ok(vec!["$bridge=b@1", "$hook=a@1", "x=c@2"])),
            (&one[..], Some("$bridge"), Ok(vec!["$bridge=c@2", "$hook=a@1", "x=a@1"])),
            (&one[..], Some("z"), Err("the blueprint has no seat `z`; seats: $bridge, $hook, x")),
            (&two[..], Some("y"), Ok(vec!["x=a@1", "y=c@2"])),
            (&two[..], None, Err("it is not said which seat is meant; seats: x, y")),
            (&one[1..2], None, Ok(vec!["$hook=c@2"])),
            (&one[1..], None, Err("it is not said which seat is meant; seats: $bridge, $hook")),
            (&[], None, Err("the blueprint has no seat for an operator, and delegates no steps")),
        ] {
            let mut seats = seats(before);
            let acquired = acquire(&mut seats, slot, (&op(0xc), "why"));
            let found = acquired.map(|_| told(&seats)).map_err(|error| error.to_string());
            let expected = expected
                .map(|seats| seats.into_iter().map(str::to_owned).collect::<Vec<_>>())
                .map_err(str::to_owned);
            assert_eq!(found, expected, "{before:?} {slot:?}");
        }
    }
}
