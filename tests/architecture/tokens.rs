//! Rust source as far as the architecture test needs it: tokens without comments, the code outside tests, the paths it names.
//!
//! This is no parser: it knows strings, characters, lifetimes, comments, `use` trees, `super` and inline modules, and nothing of
//! types or scopes. A path is what stands between `::`s, generic arguments cut off.

#[derive(Debug, Clone, PartialEq)]
pub struct Token {
    pub line: usize,
    kind: Kind,
}

#[derive(Debug, Clone, PartialEq)]
enum Kind {
    /// An identifier or keyword, a number, one sign, or `::`.
    Text(String),
    /// The inside of a string literal.
    Str(String),
}

impl Token {
    pub fn is(&self, text: &str) -> bool {
        matches!(&self.kind, Kind::Text(t) if t == text)
    }

    /// A string literal's inside, and its line.
    pub fn string(&self) -> Option<(&str, usize)> {
        match &self.kind {
            Kind::Str(s) => Some((s, self.line)),
            Kind::Text(_) => None,
        }
    }

    fn name(&self) -> Option<&str> {
        match &self.kind {
            Kind::Text(t) if t.starts_with(|c: char| c.is_alphabetic() || c == '_') => Some(t),
            _ => None,
        }
    }
}

/// A path as the source names it, made absolute where it is about this crate: its first part is then `crate`.
pub struct Named {
    pub line: usize,
    pub path: Vec<String>,
}

pub fn lex(source: &str) -> Vec<Token> {
    let chars: Vec<char> = source.chars().collect();
    let at = |i: usize| chars.get(i).copied().unwrap_or('\0');
    let (mut out, mut i, mut line) = (Vec::new(), 0, 1);
    while i < chars.len() {
        let (start, first) = (i, chars[i]);
        let mut kind = None;
        if first == '/' && at(i + 1) == '/' {
            while i < chars.len() && chars[i] != '\n' {
                i += 1;
            }
        } else if first == '/' && at(i + 1) == '*' {
            let mut depth = 0;
            while i < chars.len() {
                match (at(i), at(i + 1)) {
                    ('/', '*') => (depth, i) = (depth + 1, i + 2),
                    ('*', '/') => (depth, i) = (depth - 1, i + 2),
                    _ => i += 1,
                }
                if depth == 0 {
                    break;
                }
            }
        } else if let Some((inside, end)) = string_at(&chars, i) {
            (kind, i) = (Some(Kind::Str(chars[inside].iter().collect())), end);
        } else if first == '\'' {
            // A character literal closes with a quote; a lifetime has none.
            if at(i + 1) == '\\' {
                i += 3;
                while i < chars.len() && chars[i] != '\'' {
                    i += 1;
                }
                i += 1;
            } else if at(i + 2) == '\'' {
                i += 3;
            } else {
                i += 1;
                while at(i).is_alphanumeric() || at(i) == '_' {
                    i += 1;
                }
            }
        } else if first.is_alphanumeric() || first == '_' {
            while at(i).is_alphanumeric() || at(i) == '_' {
                i += 1;
            }
            kind = Some(Kind::Text(chars[start..i].iter().collect()));
        } else if first == ':' && at(i + 1) == ':' {
            (kind, i) = (Some(Kind::Text("::".into())), i + 2);
        } else {
            i += 1;
            if !first.is_whitespace() {
                kind = Some(Kind::Text(first.into()));
            }
        }
        i = i.min(chars.len());
        if let Some(kind) = kind {
            out.push(Token { line, kind });
        }
        line += chars[start..i].iter().filter(|c| **c == '\n').count();
    }
    out
}

/// The inside of the string literal that begins at `i`, and where the source goes on after it.
fn string_at(chars: &[char], i: usize) -> Option<(std::ops::Range<usize>, usize)> {
    let at = |i: usize| chars.get(i).copied().unwrap_or('\0');
    let mut open = i;
    while matches!(at(open), 'b' | 'c' | 'r') && open - i < 2 {
        open += 1;
    }
    let raw = open > i && at(open - 1) == 'r';
    let mut hashes = 0;
    while raw && at(open) == '#' {
        (hashes, open) = (hashes + 1, open + 1);
    }
    if at(open) != '"' {
        return None;
    }
    let mut end = open + 1;
    while end < chars.len() {
        if !raw && chars[end] == '\\' {
            end += 2;
        } else if chars[end] == '"' && (1..=hashes).all(|n| at(end + n) == '#') {
            return Some((open + 1..end, end + 1 + hashes));
        } else {
            end += 1;
        }
    }
    Some((open + 1..chars.len(), chars.len()))
}

/// The token after the bracket that closes the one at `open`.
fn after_close(tokens: &[Token], open: usize) -> usize {
    let mut depth = 0usize;
    for (i, token) in tokens.iter().enumerate().skip(open) {
        if ["(", "[", "{"].iter().any(|b| token.is(b)) {
            depth += 1;
        } else if [")", "]", "}"].iter().any(|b| token.is(b)) {
            depth = depth.saturating_sub(1);
            if depth == 0 {
                return i + 1;
            }
        }
    }
    tokens.len()
}

/// Where the item that a `#[cfg(test)]` at `i` governs ends; `None` if no such attribute begins there.
fn test_item_end(tokens: &[Token], i: usize) -> Option<usize> {
    let is = |n: usize, text: &str| tokens.get(n).is_some_and(|t| t.is(text));
    if !(is(i, "#") && is(i + 1, "[") && is(i + 2, "cfg")) {
        return None;
    }
    let mut end = after_close(tokens, i + 1);
    let condition = &tokens[i + 2..end];
    if !condition.iter().any(|t| t.is("test")) || condition.iter().any(|t| t.is("not") || t.is("any")) {
        return None;
    }
    while is(end, "#") && is(end + 1, "[") {
        end = after_close(tokens, end + 1);
    }
    // A field or a variant ends with a comma; in an item a comma may stand among its generic parameters.
    let (mut is_use, mut is_item) = (false, false);
    while end < tokens.len() {
        is_use |= is(end, "use");
        is_item |=
            ["use", "fn", "impl", "struct", "enum", "trait", "type", "const", "static", "mod"].iter().any(|word| is(end, word));
        if is(end, ";") || is(end, ",") && !is_item {
            return Some(end + 1);
        }
        if is(end, "{") && !is_use {
            return Some(after_close(tokens, end));
        }
        end = if is(end, "(") || is(end, "[") || is(end, "{") { after_close(tokens, end) } else { end + 1 };
    }
    Some(end)
}

/// The tokens that are compiled outside tests.
pub fn without_tests(tokens: &[Token]) -> Vec<Token> {
    let (mut out, mut i) = (Vec::new(), 0);
    while i < tokens.len() {
        match test_item_end(tokens, i) {
            Some(end) => i = end,
            None => {
                out.push(tokens[i].clone());
                i += 1;
            }
        }
    }
    out
}

/// The modules in files of their own that are declared under `#[cfg(test)]`.
pub fn test_modules(tokens: &[Token]) -> Vec<String> {
    let mut out = Vec::new();
    for (i, _) in tokens.iter().enumerate() {
        if let Some(end) = test_item_end(tokens, i)
            && let [.., word, name, semicolon] = &tokens[i..end]
            && word.is("mod")
            && semicolon.is(";")
        {
            out.extend(name.name().map(str::to_owned));
        }
    }
    out
}

/// Every path of two parts or more, and every path of a `use`. `module` is the file's own module below the crate.
pub fn paths(tokens: &[Token], module: &[String]) -> Vec<Named> {
    let mut out = Vec::new();
    // Inline modules that are open here, with the brace depth at which each closes.
    let (mut inline, mut depth) = (Vec::<(String, usize)>::new(), 0usize);
    let mut i = 0;
    while i < tokens.len() {
        let token = &tokens[i];
        let here = || module.iter().cloned().chain(inline.iter().map(|(name, _)| name.clone())).collect::<Vec<_>>();
        if token.is("use") && !tokens.get(i + 1).is_some_and(|t| t.is("<")) {
            let mut found = Vec::new();
            i = use_tree(tokens, i + 1, &[], &mut found);
            out.extend(found.into_iter().map(|n| absolute(n, &here())));
            continue;
        }
        if token.is("{") {
            depth += 1;
            if let [.., word, name] = &tokens[..i]
                && word.is("mod")
            {
                inline.extend(name.name().map(|n| (n.to_owned(), depth)));
            }
        } else if token.is("}") {
            inline.retain(|(_, at)| *at < depth);
            depth = depth.saturating_sub(1);
        } else if token.name().is_some() {
            let line = token.line;
            let mut path = vec![token.name().unwrap_or_default().to_owned()];
            while tokens.get(i + 1).is_some_and(|t| t.is("::")) {
                match tokens.get(i + 2).and_then(Token::name) {
                    Some(name) => path.push(name.to_owned()),
                    None => break,
                }
                i += 2;
            }
            // `.config` is a field, not a crate.
            let lone = path.len() == 1 && !path[0].starts_with(char::is_uppercase);
            if !lone {
                out.push(absolute(Named { line, path }, &here()));
            }
        }
        i += 1;
    }
    out
}

/// Reads one branch of a `use` tree from `i` on; returns where the source goes on.
fn use_tree(tokens: &[Token], mut i: usize, before: &[String], out: &mut Vec<Named>) -> usize {
    let mut path = before.to_vec();
    let line = tokens.get(i).map_or(0, |t| t.line);
    while let Some(token) = tokens.get(i) {
        if token.is("{") {
            i += 1;
            while tokens.get(i).is_some_and(|t| !t.is("}")) {
                i = use_tree(tokens, i, &path, out);
                i += usize::from(tokens.get(i).is_some_and(|t| t.is(",")));
            }
            return i + 1;
        }
        if token.is(",") || token.is(";") || token.is("}") {
            break;
        }
        if token.is("as") {
            i += 1;
        } else if token.is("*") {
            path.push("*".into());
        } else if let Some(name) = token.name() {
            path.push(name.to_owned());
        }
        i += 1;
    }
    out.push(Named { line, path });
    i
}

/// Makes `super`, `self` and the crate's own name into `crate`.
fn absolute(named: Named, module: &[String]) -> Named {
    let Named { line, path } = named;
    let mut at = module.to_vec();
    let rest = match path[0].as_str() {
        "hashwarden" => path[1..].to_vec(),
        "self" | "super" => {
            let ups = path.iter().filter(|p| *p == "super").count();
            at.truncate(at.len().saturating_sub(ups));
            at.extend(path.iter().filter(|p| *p != "super" && *p != "self").cloned());
            at
        }
        _ => return Named { line, path },
    };
    Named { line, path: [vec!["crate".to_owned()], rest].concat() }
}
