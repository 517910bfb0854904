//! How many columns of a terminal a text takes: what keeps a table straight whatever strangers put into it.
//!
//! The table of wide characters is that of Unicode's East Asian Width; where it is not exact it says two rather than
//! one, so that a line may end early but never flows over.

use super::text::visible;

/// Characters that take two columns.
const WIDE: [(char, char); 48] = [
    ('\u{1100}', '\u{115f}'),
    ('\u{231a}', '\u{231b}'),
    ('\u{2329}', '\u{232a}'),
    ('\u{23e9}', '\u{23ec}'),
    ('\u{23f0}', '\u{23f0}'),
    ('\u{23f3}', '\u{23f3}'),
    ('\u{25fd}', '\u{25fe}'),
    ('\u{2614}', '\u{2615}'),
    ('\u{2630}', '\u{2637}'),
    ('\u{2648}', '\u{2653}'),
    ('\u{267f}', '\u{267f}'),
    ('\u{268a}', '\u{268f}'),
    ('\u{2693}', '\u{2693}'),
    ('\u{26a1}', '\u{26a1}'),
    ('\u{26aa}', '\u{26ab}'),
    ('\u{26bd}', '\u{26be}'),
    ('\u{26c4}', '\u{26c5}'),
    ('\u{26ce}', '\u{26ce}'),
    ('\u{26d4}', '\u{26d4}'),
    ('\u{26ea}', '\u{26ea}'),
    ('\u{26f2}', '\u{26f5}'),
    ('\u{26fa}', '\u{26fd}'),
    ('\u{2705}', '\u{2705}'),
    ('\u{270a}', '\u{270b}'),
    ('\u{2728}', '\u{2728}'),
    ('\u{274c}', '\u{274e}'),
    ('\u{2753}', '\u{2757}'),
    ('\u{2795}', '\u{2797}'),
    ('\u{27b0}', '\u{27bf}'),
    ('\u{2b1b}', '\u{2b1c}'),
    ('\u{2b50}', '\u{2b50}'),
    ('\u{2b55}', '\u{2b55}'),
    ('\u{2e80}', '\u{303e}'),
    ('\u{3041}', '\u{a4cf}'),
    ('\u{a960}', '\u{a97c}'),
    ('\u{ac00}', '\u{d7a3}'),
    ('\u{f900}', '\u{faff}'),
    ('\u{fe10}', '\u{fe19}'),
    ('\u{fe30}', '\u{fe6f}'),
    ('\u{ff01}', '\u{ff60}'),
    ('\u{ffe0}', '\u{ffe6}'),
    ('\u{16fe0}', '\u{18dff}'),
    ('\u{1aff0}', '\u{1b2ff}'),
    ('\u{1d300}', '\u{1d376}'),
    ('\u{1f004}', '\u{1f004}'),
    ('\u{1f0cf}', '\u{1f0cf}'),
    ('\u{1f18e}', '\u{1faff}'),
    ('\u{20000}', '\u{3fffd}'),
];

/// Gives how many columns a text of [`cell`] takes.
pub(crate) fn width(text: &str) -> usize {
    text.chars().map(columns).sum()
}

/// Makes a text fit to stand in a table: one line, nothing that drives a terminal, and nothing of which nobody can say
/// how wide it is: marks that stand on other characters or join them are left out.
pub(crate) fn cell(text: &str) -> String {
    visible(text).chars().filter(|c| !joins(*c)).collect()
}

/// As [`cell`], cut to so many columns.
pub(crate) fn cut(text: &str, columns_max: usize) -> String {
    let text = cell(text);
    if width(&text) <= columns_max {
        return text;
    }
    let mut room = columns_max.saturating_sub(1);
    let kept = text.chars().take_while(|c| {
        let fits = columns(*c) <= room;
        room = room.saturating_sub(columns(*c));
        fits
    });
    let kept: String = kept.collect();
    if columns_max == 0 { kept } else { format!("{}…", kept.trim_end()) }
}

fn columns(c: char) -> usize {
    let place = WIDE.partition_point(|(_, last)| *last < c);
    if WIDE.get(place).is_some_and(|(first, _)| *first <= c) { 2 } else { 1 }
}

/// Tells whether a character has no column of its own.
fn joins(c: char) -> bool {
    matches!(c,
        '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}'..='\u{1160}' | '\u{180b}'..='\u{180f}'
        | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{3164}' | '\u{fe00}'..='\u{fe0f}'
        | '\u{feff}' | '\u{ffa0}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e0fff}'
        | '\u{300}'..='\u{36f}' | '\u{483}'..='\u{489}' | '\u{1ab0}'..='\u{1aff}' | '\u{1dc0}'..='\u{1dff}'
        | '\u{20d0}'..='\u{20ff}' | '\u{302a}'..='\u{302f}' | '\u{3099}'..='\u{309a}' | '\u{fe20}'..='\u{fe2f}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_in_order() {
        assert!(WIDE.iter().all(|(first, last)| first <= last));
        assert!(WIDE.is_sorted_by(|(_, last), (first, _)| last < first));
    }

    #[test]
    fn a_text_takes_as_many_columns_as_a_terminal_gives_it() {
        for (text, expected) in [
            ("", 0),
            ("abc", 3),
            ("né", 2),
            ("漢字", 4),
            ("한국", 4),
            ("✓ ok", 4),
            ("✅ ok", 5),
            ("🦀", 2),
            ("…", 1),
            ("␛[2J", 4),
        ] {
            assert_eq!(width(&cell(text)), expected, "{text}");
        }
    }

    #[test]
    fn what_has_no_width_of_its_own_does_not_stand_in_a_table() {
        for (text, expected) in [
            ("a\u{300}\u{301}\u{302}b", "ab"),
            ("👩\u{200d}👧", "👩👧"),
            ("x\u{fe0f}\u{feff}\u{2028}y", "xy"),
            ("a\nb\x1b[31mc\u{202e}", "a b␛[31mc�"),
        ] {
            assert_eq!(cell(text), expected);
        }
    }

    #[test]
    fn a_text_is_cut_between_characters_and_never_wider_than_asked() {
        for (text, columns_max, expected) in [
            ("abcdef", 6, "abcdef"),
            ("abcdef", 5, "abcd…"),
            ("漢字漢字", 6, "漢字…"),
            ("漢字漢字", 4, "漢…"),
            ("ab cdef", 4, "ab…"),
            ("abc", 1, "…"),
            ("abc", 0, ""),
        ] {
            let shown = cut(text, columns_max);
            assert_eq!(shown, expected, "{text} in {columns_max}");
            assert!(width(&shown) <= columns_max);
        }
    }
}
