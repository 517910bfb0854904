//! Access: what each role may do, and whom it may let in.
//!
//! One table for all doors. A verb stands for the routes and methods that do it; which that is, each door says itself.

use adjutant_model::action::{Role, Verb};

/// The roles that a session may have; the owner's is not one of them.
pub const SESSION_ROLES: [Role; 4] = [Role::Operator, Role::Worker, Role::Observer, Role::Senior];

/// Tells whether a role may do something.
pub fn may(role: Role, verb: Verb) -> bool {
    match role {
        Role::Host => true,
        Role::Operator => match verb {
            Verb::Read
            | Verb::Operate
            | Verb::Answer
            | Verb::Produce
            | Verb::Fetch
            | Verb::Drive
            | Verb::Admit => true,
            Verb::Work | Verb::Own => false,
        },
        Role::Worker => matches!(verb, Verb::Work | Verb::Produce | Verb::Fetch | Verb::Drive),
        Role::Observer => matches!(verb, Verb::Read | Verb::Fetch),
        Role::Senior => matches!(verb, Verb::Read | Verb::Fetch | Verb::Answer),
    }
}

/// Tells whether a role may make and end sessions of another: it may do all that the other may.
pub fn may_admit(granter: Role, role: Role) -> bool {
    let covers = |verb: &Verb| may(granter, *verb) || !may(role, *verb);
    may(granter, Verb::Admit) && SESSION_ROLES.contains(&role) && Verb::ALL.iter().all(covers)
}

/// Reads the role of a session, in any case.
///
/// # Errors
/// What is wrong with it, with the roles that there are.
pub fn session_role(text: &str) -> Result<Role, String> {
    Role::parse(text).filter(|role| SESSION_ROLES.contains(role)).ok_or_else(|| {
        let known = SESSION_ROLES.map(Role::as_str).join(", ");
        let shown: String = text.chars().take(80).collect();
        format!("unknown role: `{shown}`; known: {known}")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_role_does_what_it_is_for_and_nothing_else() {
        use Verb::{Admit, Answer, Drive, Fetch, Operate, Own, Produce, Read, Work};
        for (role, verbs) in [
            (Role::Host, &Verb::ALL[..]),
            (Role::Operator, &[Read, Operate, Answer, Produce, Fetch, Drive, Admit]),
            (Role::Worker, &[Work, Produce, Fetch, Drive]),
            (Role::Observer, &[Read, Fetch]),
            (Role::Senior, &[Read, Answer, Fetch]),
        ] {
            for verb in Verb::ALL {
                assert_eq!(may(role, verb), verbs.contains(&verb), "{role:?} {verb:?}");
            }
        }
        assert!(!may(Role::Operator, Own) && !may(Role::Operator, Work));
    }

    #[test]
    fn nobody_lets_in_who_may_do_more() {
        for (granter, admitted) in [
            (Role::Host, &SESSION_ROLES[..]),
            (Role::Operator, &[Role::Operator, Role::Observer, Role::Senior]),
            (Role::Worker, &[]),
            (Role::Observer, &[]),
            (Role::Senior, &[]),
        ] {
            for role in Role::ALL {
                assert_eq!(may_admit(granter, role), admitted.contains(&role), "{granter:?} {role:?}");
            }
        }
    }

    #[test]
    fn a_sessions_role_is_read_in_any_case_and_an_unknown_one_is_named() {
        assert_eq!(session_role("oBserver"), Ok(Role::Observer));
        for wrong in ["root", "", "host", " observer"] {
            let error = session_role(wrong).expect_err(wrong);
            assert_eq!(error, format!("unknown role: `{wrong}`; known: operator, worker, observer, senior"));
        }
    }
}
