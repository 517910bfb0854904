//! What keys do: they write a prompt, or answer the dialog that is open.

use super::keys::Key;
use crate::rehearsal::stage::Choice;
use tokio::sync::oneshot;

/// What a person may write.
#[derive(Debug, Default)]
pub(super) struct Desk {
    text: String,
    dialog: Option<Dialog>,
}

/// A question that is open.
#[derive(Debug)]
enum Dialog {
    Permit(oneshot::Sender<Choice>),
    Ask { answer: String, sender: oneshot::Sender<Option<String>> },
}

/// What the agent has to do about a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Act {
    /// Nothing.
    Nothing,
    /// Show what is written now.
    Draw,
    /// Take this prompt.
    Submit(String),
    /// Stop the turn.
    Interrupt,
    /// Leave.
    Leave,
}

impl Desk {
    /// Opens a dialog that a key answers.
    pub(super) fn permit(&mut self) -> oneshot::Receiver<Choice> {
        let (sender, receiver) = oneshot::channel();
        self.dialog = Some(Dialog::Permit(sender));
        receiver
    }

    /// Opens a dialog that a line answers.
    pub(super) fn ask(&mut self) -> oneshot::Receiver<Option<String>> {
        let (sender, receiver) = oneshot::channel();
        self.dialog = Some(Dialog::Ask { answer: String::new(), sender });
        receiver
    }

    /// Closes the dialog; whoever waits for its answer gets none.
    pub(super) fn close(&mut self) {
        self.dialog = None;
    }

    /// Gives the line to show: its sign, and what is written.
    pub(super) fn line(&self) -> Option<(&'static str, &str)> {
        match &self.dialog {
            None => Some(("> ", &self.text)),
            Some(Dialog::Ask { answer, .. }) => Some(("? ", answer)),
            Some(Dialog::Permit(_)) => None,
        }
    }

    /// Tells whether a dialog is open.
    pub(super) fn has_dialog(&self) -> bool {
        self.dialog.is_some()
    }

    /// Takes a key.
    pub(super) fn key(&mut self, key: Key) -> Act {
        match self.dialog.take() {
            None => edit(&mut self.text, key),
            Some(Dialog::Permit(sender)) => self.permit_key(key, sender),
            Some(Dialog::Ask { answer, sender }) => self.ask_key(key, answer, sender),
        }
    }

    fn permit_key(&mut self, key: Key, sender: oneshot::Sender<Choice>) -> Act {
        let refused = || Choice::Deny("the user does not want to proceed with this tool use".to_owned());
        let choice = match key {
            Key::Char('y' | 'Y' | '1') => Choice::Allow,
            Key::Char('n' | 'N' | '2' | '3') | Key::Escape => refused(),
            Key::Interrupt => Choice::Stop,
            // Neither Enter nor a paste that was meant for something else may give permission.
            Key::Char(_) | Key::Paste(_) | Key::Enter | Key::Backspace | Key::Clear | Key::End => {
                self.dialog = Some(Dialog::Permit(sender));
                return Act::Nothing;
            }
        };
        let interrupts = choice == Choice::Stop;
        // Whoever asked may have been interrupted in the meantime.
        drop(sender.send(choice));
        if interrupts { Act::Interrupt } else { Act::Nothing }
    }

    fn ask_key(&mut self, key: Key, mut answer: String, sender: oneshot::Sender<Option<String>>) -> Act {
        if matches!(key, Key::Escape | Key::End) {
            drop(sender.send(None));
            return Act::Nothing;
        }
        let act = edit(&mut answer, key);
        match act {
            Act::Submit(text) => {
                drop(sender.send(Some(text)));
                return Act::Nothing;
            }
            Act::Nothing | Act::Draw | Act::Interrupt | Act::Leave => {}
        }
        self.dialog = Some(Dialog::Ask { answer, sender });
        act
    }
}

/// Writes a key into a text.
fn edit(text: &mut String, key: Key) -> Act {
    match key {
        Key::Char(c) => text.push(c),
        Key::Paste(pasted) => text.push_str(&pasted),
        Key::Backspace => {
            text.pop();
        }
        Key::Clear => text.clear(),
        Key::Enter if text.trim().is_empty() => text.clear(),
        Key::Enter => return Act::Submit(std::mem::take(text)),
        Key::Interrupt | Key::Escape => return Act::Interrupt,
        Key::End if text.is_empty() => return Act::Leave,
        Key::End => {}
    }
    Act::Draw
}

#[cfg(test)]
mod tests {
    use super::*;

    fn typed(desk: &mut Desk, keys: &[Key]) -> Act {
        keys.iter().map(|key| desk.key(key.clone())).last().unwrap()
    }

    #[test]
    fn a_prompt_is_written_and_submitted() {
        let paste = || Key::Paste("a\nb".to_owned());
        for (keys, expected) in [
            (vec![Key::Char('h'), Key::Char('i'), Key::Enter], Act::Submit("hi".to_owned())),
            (vec![paste(), Key::Enter], Act::Submit("a\nb".to_owned())),
            (vec![Key::Char('x'), paste(), Key::Backspace, Key::Enter], Act::Submit("xa\n".to_owned())),
            (vec![Key::Char('x'), Key::Clear, Key::Enter], Act::Draw),
            (vec![Key::Char(' '), Key::Enter], Act::Draw),
            (vec![Key::End], Act::Leave),
            (vec![Key::Char('x'), Key::End], Act::Draw),
            (vec![Key::Escape], Act::Interrupt),
        ] {
            assert_eq!(typed(&mut Desk::default(), &keys), expected, "{keys:?}");
        }
    }

    #[test]
    fn only_a_key_that_says_so_gives_permission() {
        let refused = Choice::Deny("the user does not want to proceed with this tool use".to_owned());
        for (key, act, expected) in [
            (Key::Char('y'), Act::Nothing, Some(Choice::Allow)),
            (Key::Char('1'), Act::Nothing, Some(Choice::Allow)),
            (Key::Char('n'), Act::Nothing, Some(refused.clone())),
            (Key::Escape, Act::Nothing, Some(refused)),
            (Key::Interrupt, Act::Interrupt, Some(Choice::Stop)),
            (Key::Enter, Act::Nothing, None),
            (Key::Paste("y".to_owned()), Act::Nothing, None),
            (Key::Char('x'), Act::Nothing, None),
        ] {
            let mut desk = Desk::default();
            let mut receiver = desk.permit();
            assert_eq!(desk.key(key.clone()), act, "{key:?}");
            assert_eq!(receiver.try_recv().ok(), expected, "{key:?}");
            assert_eq!(desk.has_dialog(), expected.is_none(), "{key:?}");
        }
    }

    #[test]
    fn a_question_takes_a_line_and_leaves_the_prompt_alone() {
        let mut desk = Desk::default();
        desk.key(Key::Char('p'));
        let mut receiver = desk.ask();
        desk.key(Key::Char('a'));
        assert_eq!(desk.line(), Some(("? ", "a")));
        assert_eq!(desk.key(Key::Enter), Act::Nothing);
        assert_eq!(receiver.try_recv(), Ok(Some("a".to_owned())));
        assert_eq!(desk.line(), Some(("> ", "p")));
        let mut receiver = desk.ask();
        desk.key(Key::Escape);
        assert_eq!(receiver.try_recv(), Ok(None));
    }
}
