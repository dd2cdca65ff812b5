//! Just enough Rust to judge a file: which bytes are code, which of them only tests compile.

/// The code alone: comments and the contents of literals become spaces. Lines and offsets stay.
pub(super) fn code(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = bytes.to_vec();
    let mut at = 0;
    while at < bytes.len() {
        let end = match bytes[at] {
            b'/' if bytes[at..].starts_with(b"//") => line_end(bytes, at),
            b'/' if bytes[at..].starts_with(b"/*") => block_comment_end(bytes, at),
            b'"' => string_end(bytes, at + 1),
            b'r' | b'b' | b'c' if !follows_word(bytes, at) => match raw_string_end(bytes, at) {
                Some(end) => end,
                None => {
                    at += 1;
                    continue;
                }
            },
            b'\'' => match char_end(bytes, at) {
                Some(end) => end,
                None => {
                    at += 1;
                    continue;
                }
            },
            _ => {
                at += 1;
                continue;
            }
        };
        for byte in &mut out[at..end] {
            if *byte != b'\n' {
                *byte = b' ';
            }
        }
        at = end;
    }
    String::from_utf8(out).expect("whole characters became spaces, byte by byte")
}

/// The code that is compiled outside tests: what `#[cfg(test)]` holds becomes spaces too, and what
/// the feature `testing` adds for the tests of other crates. `code` is [`code`] of `text`.
pub(super) fn code_outside_tests(text: &str, code: &str) -> String {
    let mut out = code.as_bytes().to_vec();
    let mut from = 0;
    while let Some(found) = code[from..].find(CFG) {
        let start = from + found;
        let Some(length) = code[start..].find(']') else { break };
        from = start + length + 1;
        // The text, since the names of features are literals.
        let condition = text[start + CFG.len()..from - 1].replace(char::is_whitespace, "");
        if is_for_tests(condition.trim_end_matches(')')) {
            let end = item_end(code.as_bytes(), from);
            for byte in &mut out[start..end] {
                if *byte != b'\n' {
                    *byte = b' ';
                }
            }
            from = end;
        }
    }
    String::from_utf8(out).expect("items begin and end at ASCII characters")
}

const CFG: &str = "#[cfg(";
const FOR_TESTS: [&str; 2] = ["test", "feature=\"testing\""];

/// Whether only a test makes this condition true.
fn is_for_tests(condition: &str) -> bool {
    if let Some(any) = condition.strip_prefix("any(") {
        return any.split(',').all(|one| FOR_TESTS.contains(&one));
    }
    let first = condition.strip_prefix("all(").and_then(|all| all.split(',').next());
    FOR_TESTS.contains(&first.unwrap_or(condition))
}

/// Where a whole word stands in code.
pub(super) fn word_offsets<'code>(
    code: &'code str,
    word: &'code str,
) -> impl Iterator<Item = usize> + 'code {
    let bytes = code.as_bytes();
    code.match_indices(word).map(|(at, _)| at).filter(move |at| {
        !follows_word(bytes, *at) && !bytes.get(at + word.len()).is_some_and(|b| is_word(*b))
    })
}

/// The line of an offset, from 1.
pub(super) fn line_of(text: &str, offset: usize) -> usize {
    text.as_bytes()[..offset].iter().filter(|byte| **byte == b'\n').count() + 1
}

/// Whether a byte can stand in an identifier.
pub(super) fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

fn follows_word(bytes: &[u8], at: usize) -> bool {
    at > 0 && is_word(bytes[at - 1])
}

fn line_end(bytes: &[u8], at: usize) -> usize {
    bytes[at..].iter().position(|b| *b == b'\n').map_or(bytes.len(), |length| at + length)
}

fn block_comment_end(bytes: &[u8], start: usize) -> usize {
    let (mut at, mut depth) = (start, 0_u32);
    while at < bytes.len() {
        if bytes[at..].starts_with(b"/*") {
            depth += 1;
            at += 2;
        } else if bytes[at..].starts_with(b"*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return at;
            }
        } else {
            at += 1;
        }
    }
    bytes.len()
}

/// The end of a string whose opening quote is just before `at`.
fn string_end(bytes: &[u8], mut at: usize) -> usize {
    while at < bytes.len() {
        match bytes[at] {
            b'\\' => at += 2,
            b'"' => return at + 1,
            _ => at += 1,
        }
    }
    bytes.len()
}

/// The end of `r"…"`, `r#"…"#`, `br"…"` and `cr"…"`; `None` when none begins here.
fn raw_string_end(bytes: &[u8], start: usize) -> Option<usize> {
    let mut at = start;
    if matches!(bytes[at], b'b' | b'c') {
        at += 1;
    }
    if bytes.get(at) != Some(&b'r') {
        return None;
    }
    let hashes = bytes[at + 1..].iter().take_while(|b| **b == b'#').count();
    at += 1 + hashes;
    if bytes.get(at) != Some(&b'"') {
        return None;
    }
    let closing: Vec<u8> = std::iter::once(b'"').chain(vec![b'#'; hashes]).collect();
    let length = bytes[at + 1..].windows(closing.len()).position(|window| window == closing);
    Some(length.map_or(bytes.len(), |length| at + 1 + length + closing.len()))
}

/// The end of a character literal; `None` for a lifetime or a label.
fn char_end(bytes: &[u8], start: usize) -> Option<usize> {
    if bytes.get(start + 1) == Some(&b'\\') {
        // The character after the backslash may itself be a quote.
        let length = bytes.get(start + 3..)?.iter().position(|b| *b == b'\'')?;
        return Some(start + 3 + length + 1);
    }
    let first = std::str::from_utf8(&bytes[start + 1..]).ok()?.chars().next()?;
    let end = start + 1 + first.len_utf8();
    (bytes.get(end) == Some(&b'\'')).then_some(end + 1)
}

/// The end of the item that begins at `at`: its semicolon, or the brace that closes it.
fn item_end(code: &[u8], mut at: usize) -> usize {
    let mut brackets = 0_u32;
    while at < code.len() {
        match code[at] {
            b'(' | b'[' => brackets += 1,
            b')' | b']' => brackets = brackets.saturating_sub(1),
            b';' if brackets == 0 => return at + 1,
            b'{' if brackets == 0 => return closing_brace(code, at),
            _ => {}
        }
        at += 1;
    }
    code.len()
}

fn closing_brace(code: &[u8], mut at: usize) -> usize {
    let mut depth = 0_u32;
    while at < code.len() {
        match code[at] {
            b'{' => depth += 1,
            b'}' => {
                depth -= 1;
                if depth == 0 {
                    return at + 1;
                }
            }
            _ => {}
        }
        at += 1;
    }
    code.len()
}

#[cfg(test)]
mod tests {
    use super::{code, code_outside_tests, line_of, word_offsets};

    fn squeezed(text: &str) -> String {
        text.split_whitespace().collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn comments_and_literals_are_not_code() {
        let text = "a /* b /* c */ d */ e // f\ng(\"h \\\" i\", 'j', '\\'', b\"k\") l";
        assert_eq!(squeezed(&code(text)), "a e g( , , , b ) l");
        assert_eq!(code(text).len(), text.len());
    }

    #[test]
    fn raw_strings_end_at_their_own_hashes() {
        assert_eq!(squeezed(&code(r###"x(r#"a " b"#, br"c", r) y"###)), "x( , , r) y");
    }

    #[test]
    fn lifetimes_are_code() {
        assert_eq!(code("fn f<'a>(x: &'a str) -> &'a str"), "fn f<'a>(x: &'a str) -> &'a str");
    }

    #[test]
    fn what_only_tests_compile_is_cut_out() {
        let cut = |text: &str| squeezed(&code_outside_tests(text, &code(text)));
        assert_eq!(
            cut("a();\n#[cfg(test)]\nextern crate std;\nb();\n\
                 #[cfg(test)]\nmod tests { fn f() { g(); } }\nc();"),
            "a(); b(); c();"
        );
        for condition in
            ["all(test, unix)", "feature = \"testing\"", "any(test, feature = \"testing\")"]
        {
            assert_eq!(cut(&format!("#[cfg({condition})] mod a;")), "", "{condition}");
        }
        for condition in ["not(test)", "unix", "any(test, unix)", "feature = \"x\"", "testy"] {
            let kept = cut(&format!("#[cfg({condition})] mod a;"));
            assert!(kept.ends_with("mod a;"), "{condition}");
        }
    }

    #[test]
    fn a_word_is_found_whole() {
        let offsets: Vec<usize> = word_offsets("std::a my_std::b stdx (std::c)", "std").collect();
        assert_eq!(offsets, [0, 23]);
        assert_eq!(line_of("a\nb\nc", 4), 3);
    }
}
