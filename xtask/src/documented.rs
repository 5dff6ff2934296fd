//! Whether public items have a doc comment. The compiler's lint would ask for one on each field as well, where a name
//! often says all.

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::{Path, PathBuf};

    /// The crates whose public items are for others.
    const CRATES: [&str; 7] = [
        "petit-engine",
        "petit-relay",
        "petit-windows",
        "petit-host",
        "petit-client",
        "petit-app",
        "petit-server",
    ];
    const ITEMS: [&str; 8] = ["fn", "async fn", "struct", "enum", "trait", "const", "type", "static"];

    fn files(dir: &Path, found: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                files(&path, found);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                found.push(path);
            }
        }
    }

    /// The lines of public items that have neither a doc comment nor `#[doc(hidden)]`.
    fn undocumented(text: &str) -> Vec<usize> {
        let lines: Vec<&str> = text.lines().map(str::trim).collect();
        let is_item = |line: &str| {
            let item = line.strip_prefix("pub ");
            item.is_some_and(|item| ITEMS.iter().any(|kind| item.starts_with(&format!("{kind} "))))
        };
        let is_documented = |number: usize| {
            let before = lines[..number].iter().rev();
            let mut before =
                before.skip_while(|line| line.starts_with("#[") && !line.contains("doc(hidden)"));
            let is_doc = |line: &&str| {
                line.starts_with("///") || line.starts_with("$(#[") || line.contains("doc(hidden)")
            };
            before.next().is_some_and(is_doc)
        };
        (0..lines.len()).filter(|number| is_item(lines[*number]) && !is_documented(*number)).collect()
    }

    #[test]
    fn an_item_without_a_doc_comment_is_found() {
        assert_eq!(undocumented("/// Said.\n#[must_use]\npub fn a() {}\n\npub fn b() {}"), [4]);
        assert_eq!(undocumented("pub(crate) fn a() {}\n#[doc(hidden)]\npub fn b() {}"), [0; 0]);
    }

    #[test]
    fn public_items_have_a_doc_comment() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        let mut found = Vec::new();
        for name in CRATES {
            files(&root.join(name).join("src"), &mut found);
        }
        assert!(found.len() > 150, "{}", found.len());
        let mut bare = Vec::new();
        for path in found {
            let lines = undocumented(&fs::read_to_string(&path).unwrap());
            bare.extend(lines.iter().map(|line| format!("{}:{}", path.display(), line + 1)));
        }
        assert_eq!(bare, Vec::<String>::new());
    }
}
