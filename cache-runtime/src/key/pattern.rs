//! Which keys a function can write, to tell whether another one can write the same.
//!
//! The one rule: **all that a function can write counts, not what it wrote**. A piece is any text that a value can become
//! where the piece stands; only an integer is known to stay one. So two patterns that meet nowhere have no key in
//! common, and two that meet have one for some values.

use super::serializer::Place;
use super::{KeyPart, escape, write};

/// The keys of one function.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Pattern(Vec<Symbol>);

/// A character of a key, or several.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Symbol {
    class: Class,
    times: Times,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Class {
    /// This character.
    Char(char),
    Digit,
    /// Any character that a written value can hold, but for `except`.
    Value {
        except: Option<char>,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Times {
    Once,
    /// Once or more often: no value is written as an empty text.
    Often,
    OnceOrNot,
}

impl Pattern {
    /// The keys of a template: a literal before, between and after the parts, of which these are the first.
    pub(crate) fn of_template(literals: &[&str], parts: &[&dyn KeyPart]) -> Self {
        let mut symbols = Vec::new();
        for (n, literal) in literals.iter().enumerate() {
            push_text(literal, &mut symbols);
            if let Some(part) = parts.get(n) {
                // Nothing is escaped in the last part, because no other part follows the text after it.
                let next = literals.get(n + 1).filter(|_| n + 1 < parts.len());
                let border = next.and_then(|next| escape::border(next));
                push_part(*part, border, &mut symbols);
            }
        }
        Self(symbols)
    }

    /// The default keys that begin with `head`.
    pub(crate) fn of_arguments(head: &str, parts: &[&dyn KeyPart]) -> Self {
        let mut symbols = Vec::new();
        push_text(head, &mut symbols);
        for part in parts {
            push_text(":", &mut symbols);
            push_part(*part, None, &mut symbols);
        }
        Self(symbols)
    }

    /// Whether there is a key that both can write.
    pub(crate) fn meets(&self, other: &Self) -> bool {
        let (ours, theirs) = (&self.0, &other.0);
        // The pairs of places, one in each pattern, that the same text leads to. Each pair is looked at once.
        let width = theirs.len() + 1;
        let mut seen = vec![false; (ours.len() + 1) * width];
        let mut places = vec![(0, 0)];
        while let Some((mine, its)) = places.pop() {
            if std::mem::replace(&mut seen[mine * width + its], true) {
                continue;
            }
            let (one, two) = (ours.get(mine), theirs.get(its));
            if one.is_none() && two.is_none() {
                return true;
            }
            let is =
                |symbol: Option<&Symbol>, times| symbol.is_some_and(|symbol| symbol.times == times);
            if is(one, Times::OnceOrNot) {
                places.push((mine + 1, its));
            }
            if is(two, Times::OnceOrNot) {
                places.push((mine, its + 1));
            }
            if one
                .zip(two)
                .is_some_and(|(one, two)| one.class.meets(two.class))
            {
                places.push((mine + 1, its + 1));
                if is(one, Times::Often) {
                    places.push((mine, its + 1));
                }
                if is(two, Times::Often) {
                    places.push((mine + 1, its));
                }
                // Where both symbols repeat, the places stay the same, and that pair has been looked at.
            }
        }
        false
    }
}

impl Class {
    /// Whether there is a character that is of both.
    fn meets(self, other: Self) -> bool {
        match (self, other) {
            (Self::Char(one), Self::Char(other)) => one == other,
            (Self::Char(c), Self::Digit) | (Self::Digit, Self::Char(c)) => c.is_ascii_digit(),
            (Self::Char(c), Self::Value { except }) | (Self::Value { except }, Self::Char(c)) => {
                !escape::always(c) && except != Some(c)
            }
            (Self::Digit | Self::Value { .. }, Self::Digit | Self::Value { .. }) => true,
        }
    }
}

fn push_text(text: &str, symbols: &mut Vec<Symbol>) {
    symbols.extend(text.chars().map(|c| Symbol {
        class: Class::Char(c),
        times: Times::Once,
    }));
}

/// The texts of values such as `part`, in which `border` is escaped.
fn push_part(part: &dyn KeyPart, border: Option<char>, symbols: &mut Vec<Symbol>) {
    let escaped = border.is_some_and(|border| border == '-' || border.is_ascii_digit());
    if is_integer(part) && !escaped {
        symbols.push(Symbol {
            class: Class::Char('-'),
            times: Times::OnceOrNot,
        });
        symbols.push(Symbol {
            class: Class::Digit,
            times: Times::Often,
        });
        return;
    }
    // An escape holds hexadecimal digits, whatever the border is.
    let except = border.filter(|border| !matches!(border, '0'..='9' | 'A'..='F'));
    symbols.push(Symbol {
        class: Class::Value { except },
        times: Times::Often,
    });
}

/// Whether the part is an integer. Its text in a default key tells, because a string that reads as a number is marked there.
fn is_integer(part: &dyn KeyPart) -> bool {
    let mut text = String::new();
    let digits = match write(part, Place::Argument, &mut text) {
        Ok(()) => text.strip_prefix('-').unwrap_or(&text),
        Err(_) => return false,
    };
    !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::super::{arguments, template};
    use super::{KeyPart, Pattern};

    /// The keys of `template`, whose pieces are numbers where they are called `n`, else texts.
    fn keys(text: &str) -> Pattern {
        let mut literals = vec![""];
        let mut parts: Vec<&dyn KeyPart> = Vec::new();
        for (n, piece) in text.split(['<', '>']).enumerate() {
            match (n % 2, piece) {
                (0, literal) if n == 0 => literals[0] = literal,
                (0, literal) => literals.push(literal),
                (_, "n") => parts.push(&7_u64),
                (_, _) => parts.push(&"seven"),
            }
        }
        Pattern::of_template(&literals, &parts)
    }

    #[track_caller]
    fn check(one: &str, other: &str, meet: bool) {
        assert_eq!(keys(one).meets(&keys(other)), meet, "{one} and {other}");
        assert_eq!(keys(other).meets(&keys(one)), meet, "{other} and {one}");
        assert!(keys(one).meets(&keys(one)), "{one} and itself");
    }

    #[test]
    fn templates_meet_where_some_values_give_one_key() {
        check("twin:<n>", "twin:<n>", true);
        check("twin:<n>", "twin:<s>", true);
        check("twin:<s>", "twin:all", true);
        check("twin:<n>", "twin:7", true);
        check("twin:<n>", "twin:-7", true);
        check("<s>", "<s>-<n>", true);
        check("<s>-<s>", "<s>_<s>", true);
        check("a<s>", "<s>b", true);
        check("<s>:x", "y:<s>", true);
        check("{<s>}:a", "{x}:<s>", true);
    }

    #[test]
    fn templates_that_no_values_give_one_key_do_not_meet() {
        check("twin:<n>", "twin:all", false);
        check("twin:<n>", "twins:<n>", false);
        check("twin:<s>", "twin:<s>:<s>", false);
        check("twin:<s>", "twin:", false);
        check("twin:<s>", "twin:a:b", false);
        check("<n>", "<n>-<n>", false);
        check("<s>-x", "<s>-y", false);
        check("<s>-<s>:a", "<s>:b", false);
        check("a b:<s>", "<s>:<s>", false);
        check("<s>", "{<s>}", false);
        // No `-` is left in a piece before one.
        check("<s>-<n>", "a-b-<s>", false);
    }

    #[test]
    fn what_is_written_meets_its_pattern() {
        let texts = [
            "a", "7", "-7", "a-b", "a:b", "", "é", "a b", "%", "null", "2D",
        ];
        let templates: [&[&str]; 4] = [
            &["", "-", ""],
            &["", "2", ""],
            &["x", ":", "y"],
            &["", "D", ""],
        ];
        for literals in templates {
            for one in texts {
                for two in texts {
                    let mut key = String::new();
                    template(literals, &[&one, &two], &mut key).expect("a key");
                    let pattern = Pattern::of_template(literals, &[&"s", &"s"]);
                    let written = Pattern::of_template(&[&key.replace('%', "~")], &[]);
                    assert!(pattern.meets(&written), "{key} of {literals:?}");
                }
            }
        }
    }

    #[test]
    fn default_keys_meet_a_template_that_spells_them() {
        let default = Pattern::of_arguments("users@2", &[&7_u64]);
        assert!(default.meets(&keys("users@2:<n>")));
        assert!(default.meets(&keys("users@2:<s>")));
        assert!(!default.meets(&keys("users:<n>")));
        assert!(!default.meets(&keys("users@2:<n>:<n>")));
        assert!(!default.meets(&keys("users@2")));
        let mut key = "users@2:".to_owned();
        arguments(&[&7_u64], &mut key).expect("a key");
        assert!(default.meets(&Pattern::of_template(&[&key], &[])));
    }
}
