//! What changed between two documents: as a patch by RFC 6902, and as lines for people.

use adjutant_model::Value;

/// So many equal lines are shown around what changed.
const CONTEXT: usize = 3;
/// Texts whose changed parts have more pairs of lines than this are not compared line by line.
const PAIRS_MAX: usize = 4_000_000;

/// Gives the operations that make `to` of `from`, by RFC 6902; an empty list when they are equal.
pub fn patch(from: &Value, to: &Value) -> Value {
    let operations = json_patch::diff(&from.into(), &to.into());
    Value::from(serde_json::to_value(operations).expect("a patch is JSON"))
}

/// Gives the lines that changed between two texts, marked `-` and `+`, with some of what stands around them; empty
/// when the texts are equal.
pub fn changed_lines(from: &str, to: &str) -> String {
    let (from, to): (Vec<&str>, Vec<&str>) = (from.lines().collect(), to.lines().collect());
    shown(&compared(&from, &to))
}

/// A line of a comparison.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Line<'t> {
    Both(&'t str),
    Gone(&'t str),
    New(&'t str),
}

fn compared<'t>(from: &[&'t str], to: &[&'t str]) -> Vec<Line<'t>> {
    let head = from.iter().zip(to).take_while(|(a, b)| a == b).count();
    let tail = from[head..].iter().rev().zip(to[head..].iter().rev()).take_while(|(a, b)| a == b).count();
    let (from_end, to_end) = (from.len() - tail, to.len() - tail);
    let mut lines: Vec<Line<'t>> = from[..head].iter().copied().map(Line::Both).collect();
    lines.extend(middle(&from[head..from_end], &to[head..to_end]));
    lines.extend(from[from_end..].iter().copied().map(Line::Both));
    lines
}

/// Compares by the longest common subsequence.
fn middle<'t>(from: &[&'t str], to: &[&'t str]) -> Vec<Line<'t>> {
    if from.len().saturating_mul(to.len()) > PAIRS_MAX {
        let gone = from.iter().copied().map(Line::Gone);
        return gone.chain(to.iter().copied().map(Line::New)).collect();
    }
    let width = to.len() + 1;
    // How many lines the rests behind (row, column) have in common.
    let mut common = vec![0_u32; (from.len() + 1) * width];
    for row in (0..from.len()).rev() {
        for column in (0..to.len()).rev() {
            common[row * width + column] = if from[row] == to[column] {
                common[(row + 1) * width + column + 1] + 1
            } else {
                common[(row + 1) * width + column].max(common[row * width + column + 1])
            };
        }
    }
    let (mut row, mut column) = (0, 0);
    let mut lines = Vec::new();
    while row < from.len() || column < to.len() {
        if row < from.len() && column < to.len() && from[row] == to[column] {
            lines.push(Line::Both(from[row]));
            (row, column) = (row + 1, column + 1);
        } else if column == to.len()
            || (row < from.len() && common[(row + 1) * width + column] >= common[row * width + column + 1])
        {
            lines.push(Line::Gone(from[row]));
            row += 1;
        } else {
            lines.push(Line::New(to[column]));
            column += 1;
        }
    }
    lines
}

fn shown(lines: &[Line<'_>]) -> String {
    let changed: Vec<usize> =
        (0..lines.len()).filter(|place| !matches!(lines[*place], Line::Both(_))).collect();
    let near = |place: usize| {
        let next = changed.partition_point(|changed| *changed + CONTEXT < place);
        changed.get(next).is_some_and(|changed| *changed <= place + CONTEXT)
    };
    let mut text = String::new();
    let mut before = None;
    for (place, line) in lines.iter().enumerate().filter(|(place, _)| near(*place)) {
        if before.is_some_and(|before| before + 1 < place) {
            text.push_str("…\n");
        }
        before = Some(place);
        let (mark, line) = match line {
            Line::Both(line) => (' ', line),
            Line::Gone(line) => ('-', line),
            Line::New(line) => ('+', line),
        };
        text.extend([mark, ' ']);
        text.push_str(line);
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn changed_lines_stand_with_what_is_around_them() {
        for (from, to, expected) in [
            ("a\nb\nc", "a\nb\nc", ""),
            ("a\nb\nc", "a\nx\nc", "  a\n- b\n+ x\n  c\n"),
            ("", "a\nb", "+ a\n+ b\n"),
            ("a\nb", "", "- a\n- b\n"),
            ("a\nb\nc\nd", "b\nc\nx\nd", "- a\n  b\n  c\n+ x\n  d\n"),
            (
                "0\n1\n2\n3\n4\n5\n6\n7\n8\n9",
                "x\n1\n2\n3\n4\n5\n6\n7\n8\ny",
                "- 0\n+ x\n  1\n  2\n  3\n…\n  6\n  7\n  8\n- 9\n+ y\n",
            ),
        ] {
            assert_eq!(changed_lines(from, to), expected, "{from:?} {to:?}");
        }
    }

    #[test]
    fn texts_that_are_too_large_to_compare_are_shown_whole() {
        let text = |name: &str| (0..3000).map(|n| format!("{name}{n}\n")).collect::<String>();
        let shown = changed_lines(&text("a"), &text("b"));
        assert_eq!(shown.lines().filter(|line| line.starts_with('-')).count(), 3000);
        assert_eq!(shown.lines().filter(|line| line.starts_with('+')).count(), 3000);
    }

    #[test]
    fn a_patch_makes_the_one_of_the_other() {
        let from = json!({"id": "a", "agents": [{"name": "x"}, {"name": "y"}], "meta": {"tags": ["t"]}});
        let to = json!({"id": "a", "agents": [{"name": "y"}], "new": null});
        let patch = patch(&from.clone().into(), &to.clone().into());
        let operations: json_patch::Patch =
            serde_json::from_value((&patch).into()).expect("it is a patch by RFC 6902");
        let mut patched = from;
        json_patch::patch(&mut patched, &operations).expect("it applies");
        assert_eq!(patched, to);
        assert_eq!(super::patch(&to.clone().into(), &to.into()), Value::array([]));
    }
}
