//! What does a file import? Its code as words and signs, without comments, literals and tests.

/// A word or a sign of a file's code, and the line on which it stands. Of comments and literals there are none.
pub(crate) type Token = (usize, String);

pub(crate) fn tokens(text: &str) -> Vec<Token> {
    let chars: Vec<char> = text.chars().collect();
    let is = |at: usize, sign: char| chars.get(at) == Some(&sign);
    let in_word = |at: usize| chars.get(at).is_some_and(|&c| c.is_alphanumeric() || c == '_');
    let find = |from: usize, end: &str| {
        let end: Vec<char> = end.chars().collect();
        (from..chars.len()).find(|&at| chars[at..].starts_with(&end)).unwrap_or(chars.len())
    };
    let mut found: Vec<Token> = Vec::new();
    let (mut at, mut line, mut counted) = (0, 1, 0);
    while at < chars.len() {
        line += chars[counted..at].iter().filter(|&&c| c == '\n').count();
        counted = at;
        if is(at, '/') && is(at + 1, '/') {
            at = find(at, "\n");
        } else if is(at, '/') && is(at + 1, '*') {
            at = find(at + 2, "*/") + 2;
        } else if is(at, '"') {
            at += 1;
            while at < chars.len() && !is(at, '"') {
                at += if is(at, '\\') { 2 } else { 1 };
            }
            at += 1;
        } else if is(at, '\'') && is(at + 1, '\\') {
            at = find(at + 3, "'") + 1;
        } else if is(at, '\'') {
            at += if is(at + 2, '\'') { 3 } else { 1 }; // a character, or the sign of a lifetime
        } else if in_word(at) {
            let end = (at..).find(|&end| !in_word(end)).expect("there is an end");
            let word: String = chars[at..end].iter().collect();
            let quote = (end..).find(|&quote| !is(quote, '#')).expect("there is an end");
            if word.ends_with('r') && word.len() <= 2 && is(quote, '"') {
                let close = format!("\"{}", "#".repeat(quote - end));
                at = find(quote + 1, &close) + close.len();
            } else {
                found.push((line, word));
                at = end;
            }
        } else {
            if !chars[at].is_whitespace() {
                found.push((line, chars[at].to_string()));
            }
            at += 1;
        }
    }
    found
}

fn word(tokens: &[Token], at: usize) -> &str {
    tokens.get(at).map_or("", |(_, word)| word)
}

/// Behind what begins at `at`: a bracket, or an item, which ends with its brace or a semicolon.
fn end_of(tokens: &[Token], at: usize) -> usize {
    let mut open = 0;
    for end in at..tokens.len() {
        match word(tokens, end) {
            "(" | "[" | "{" => open += 1,
            ")" | "]" | "}" => open -= 1,
            _ => {}
        }
        let closed = match word(tokens, at) {
            "[" => open == 0,
            _ => open == 0 && matches!(word(tokens, end), ";" | "}"),
        };
        if closed {
            return end + 1;
        }
    }
    tokens.len()
}

/// What is built into the library, and the names of modules that are in files of their own and are not.
pub(crate) fn without_tests(tokens: &[Token]) -> (Vec<Token>, Vec<String>) {
    let (mut kept, mut files) = (Vec::new(), Vec::new());
    let mut at = 0;
    while at < tokens.len() {
        let is_attribute = word(tokens, at) == "#" && word(tokens, at + 1) == "[";
        let behind = if is_attribute { end_of(tokens, at + 1) } else { at + 1 };
        let text: String = tokens[at..behind].iter().map(|(_, word)| word.as_str()).collect();
        if text == "#[cfg(test)]" || text.starts_with("#[cfg(all(test,") {
            if word(tokens, behind) == "mod" && word(tokens, behind + 2) == ";" {
                files.push(word(tokens, behind + 1).to_string());
            }
            at = end_of(tokens, behind);
        } else {
            kept.extend_from_slice(&tokens[at..behind]);
            at = behind;
        }
    }
    (kept, files)
}

/// What is imported from the root, by `use` or in a path, in a file whose module is so `deep` below it.
pub(crate) fn imports(tokens: &[Token], deep: usize) -> Vec<Token> {
    let mut found = Vec::new();
    let mut braces = Vec::new(); // whether they are a module's
    for at in 0..tokens.len() {
        let mut behind = at;
        match word(tokens, at) {
            "{" => braces.push(at >= 2 && word(tokens, at - 2) == "mod"),
            "}" => drop(braces.pop()),
            "crate" => behind = at + 1,
            "super" if at < 3 || word(tokens, at - 3) != "super" => {
                let mut up = 1;
                while word(tokens, at + 3 * up) == "super" {
                    up += 1;
                }
                if up >= deep + braces.iter().filter(|&&is_module| is_module).count() {
                    behind = at + 3 * up - 2;
                }
            }
            _ => {}
        }
        if behind == at || word(tokens, behind) != ":" || word(tokens, behind + 1) != ":" {
            continue;
        }
        let first = behind + 2;
        if word(tokens, first) != "{" {
            found.push(tokens[first].clone());
            continue;
        }
        let mut open = 0;
        for here in first.. {
            match word(tokens, here) {
                "{" => open += 1,
                "}" => open -= 1,
                _ => {}
            }
            if open == 0 || here + 1 >= tokens.len() {
                break;
            }
            if open == 1 && matches!(word(tokens, here), "{" | ",") && word(tokens, here + 1) != "}"
            {
                found.push(tokens[here + 1].clone());
            }
        }
    }
    found
}

#[test]
fn imports_are_found_wherever_they_stand() {
    let text = r#"
        //! Not crate::a.
        use crate::b::{c, d};
        pub(crate) use crate::{e, f::{g, h}, i::*,};
        const X: &str = "crate::j \" crate::j"; // crate::j
        #[cfg(test)]
        use crate::{j, k};
        impl<'l> X<'l> { fn f() -> char { crate::m::n(super::o, super::super::p::q); '"' } }
        /* crate::j */
        #[cfg(all(test, not(hotset_loom)))]
        mod r { use crate::j; fn s() {} }
        #[cfg(not(test))]
        mod t { use super::super::{u, v}; use super::j; }
        #[cfg(test)]
        mod w;
        pub(in crate::x) fn y() {}
    "#;
    let (tokens, files) = without_tests(&tokens(text));
    let seen = |deep| {
        let seen: Vec<_> = imports(&tokens, deep).into_iter().map(|(_, name)| name).collect();
        seen.join(" ")
    };
    assert_eq!(seen(1), "b e f i m o p u v x");
    assert_eq!(seen(2), "b e f i m p x");
    assert_eq!(files, ["w"]);
    assert_eq!(imports(&tokens, 2)[0].0, 3);
}
