//! Circles: files of one crate that import each other in a loop. Crates cannot, because the compiler holds them apart;
//! modules can, and a circle of them is one thing in several files, of which none can be understood or tested alone.
//!
//! An import is what a file names of another: in a `use`, or by its path. A module that only hands a name on (`pub use`)
//! is no import of it, and who takes the name from there imports the file that defines it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use proc_macro2::{TokenStream, TokenTree};
use syn::visit::{self, Visit};
use syn::{Attribute, Item, ItemMod, UseTree, Visibility};

use crate::run::root;

/// The circles that there are, by their files: a line for each file, an empty line between two circles. Each is to be
/// opened, and taken out of the list then.
const KNOWN: &str = include_str!("../known-circles.txt");

/// Looks for circles in all crates, and compares them with those that are known.
pub(crate) fn check() -> Result<String, String> {
    let mut found = BTreeSet::new();
    let mut files = 0;
    for crate_root in crate_roots(&root())? {
        let read = House::read(&crate_root)?;
        files += read.imports.len();
        found.extend(read.circles());
    }
    if files < 100 {
        return Err(format!("only {files} files were found, so nothing was looked at"));
    }
    let known: BTreeSet<Vec<String>> =
        KNOWN.split("\n\n").map(|circle| circle.lines().map(str::to_owned).collect()).collect();
    let said = |circle: &Vec<String>| format!("{}\n\n", circle.join("\n"));
    let new: String = found.difference(&known).map(said).collect();
    let gone: String = known.difference(&found).map(said).collect();
    let mut wrong = String::new();
    if !new.is_empty() {
        wrong.push_str(&format!("these files import each other in a loop:\n\n{new}"));
    }
    if !gone.is_empty() {
        wrong.push_str(&format!("xtask/known-circles.txt names what is no circle any more:\n\n{gone}"));
    }
    if wrong.is_empty() { Ok(format!("{} known circles, {files} files", found.len())) } else { Err(wrong) }
}

/// The first file of each library and program.
fn crate_roots(workspace: &Path) -> Result<Vec<PathBuf>, String> {
    let mut roots = Vec::new();
    for package in entries(workspace)?.into_iter().filter(|dir| dir.join("Cargo.toml").exists()) {
        let sources = package.join("src");
        let bins = sources.join("bin");
        let programs = if bins.is_dir() { entries(&bins)? } else { Vec::new() };
        let mut firsts = vec![sources.join("lib.rs"), sources.join("main.rs")];
        firsts.extend(programs.into_iter().map(|at| if at.is_dir() { at.join("main.rs") } else { at }));
        roots.extend(firsts.into_iter().filter(|file| file.is_file()));
    }
    Ok(roots)
}

fn entries(dir: &Path) -> Result<Vec<PathBuf>, String> {
    let failed = |error: std::io::Error| format!("{}: {error}", dir.display());
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir).map_err(failed)? {
        found.push(entry.map_err(failed)?.path());
    }
    found.sort();
    Ok(found)
}

/// A path of modules from the root of its crate.
type ModulePath = Vec<String>;

/// One module: where it stands, and what its text names.
#[derive(Default)]
struct Module {
    file: String,
    /// What a name stands for that was brought in by `use`, as it is written there.
    uses: BTreeMap<String, Vec<String>>,
    /// All paths that are named, but for those that are only handed on.
    named: BTreeSet<Vec<String>>,
}

/// One crate.
#[derive(Default)]
struct House {
    modules: BTreeMap<ModulePath, Module>,
    /// What each file imports.
    imports: BTreeMap<String, BTreeSet<String>>,
}

impl House {
    /// Reads a crate from its first file on. What is only for tests is left out.
    fn read(first: &Path) -> Result<Self, String> {
        let mut house = Self::default();
        let folder = first.parent().map(Path::to_path_buf).unwrap_or_default();
        house.read_file(first, &folder, Vec::new())?;
        house.connect();
        Ok(house)
    }

    /// `folder`: where the files of its modules are.
    fn read_file(&mut self, file: &Path, folder: &Path, path: ModulePath) -> Result<(), String> {
        let text = std::fs::read_to_string(file).map_err(|error| format!("{}: {error}", file.display()))?;
        let parsed = syn::parse_file(&text).map_err(|error| format!("{}: {error}", file.display()))?;
        let name = file.strip_prefix(root()).unwrap_or(file).to_string_lossy().into_owned();
        self.read_items(&parsed.items, &name, folder, path)
    }

    fn read_items(
        &mut self,
        items: &[Item],
        file: &str,
        folder: &Path,
        path: ModulePath,
    ) -> Result<(), String> {
        let mut reader = Reader::default();
        for item in items.iter().filter(|item| !is_for_tests(attributes(item))) {
            match item {
                Item::Mod(module) => self.read_module(module, file, folder, &path)?,
                other => reader.visit_item(other),
            }
        }
        let module = Module { file: file.to_owned(), uses: reader.uses, named: reader.named };
        self.imports.entry(file.to_owned()).or_default();
        self.modules.insert(path, module);
        Ok(())
    }

    fn read_module(
        &mut self,
        module: &ItemMod,
        file: &str,
        folder: &Path,
        path: &ModulePath,
    ) -> Result<(), String> {
        let name = module.ident.to_string();
        let path: ModulePath = path.iter().cloned().chain([name.clone()]).collect();
        let own = folder.join(&name);
        if let Some((_, items)) = &module.content {
            return self.read_items(items, file, &own, path);
        }
        let named = module.attrs.iter().find_map(path_attribute).map(|file| folder.join(file));
        let places = [folder.join(format!("{name}.rs")), own.join("mod.rs")];
        match named.into_iter().chain(places).find(|place| place.is_file()) {
            Some(place) => self.read_file(&place, &own, path),
            None => Err(format!("{file}: the file of its module {name} is not there")),
        }
    }

    /// Follows each path that is named to the file that it leads to.
    fn connect(&mut self) {
        let mut imports = std::mem::take(&mut self.imports);
        for (path, module) in &self.modules {
            let targets = module.named.iter().filter_map(|named| self.file_of(path, named, 0));
            let others = targets.filter(|target| **target != module.file).cloned();
            imports.entry(module.file.clone()).or_default().extend(others);
        }
        self.imports = imports;
    }

    /// The file that a path leads to that is named within a module; `None` outside this crate.
    fn file_of(&self, within: &ModulePath, named: &[String], depth: usize) -> Option<&String> {
        let (base, rest) = self.base(within, named, depth)?;
        let mut at = base;
        let mut rest = rest.iter().peekable();
        while let Some(next) = rest.next_if(|next| self.modules.contains_key(&join(&at, next))) {
            at = join(&at, next);
        }
        let module = self.modules.get(&at)?;
        // A name that this module only hands on is followed to where it comes from.
        let handed_on = rest.peek().and_then(|name| module.uses.get(name.as_str()));
        if let Some(from) = handed_on.filter(|_| depth < 8)
            && let Some(file) = self.file_of(&at, from, depth + 1)
        {
            return Some(file);
        }
        Some(&module.file)
    }

    /// The module that a path begins at, and what of the path is left.
    fn base<'a>(
        &self,
        within: &ModulePath,
        named: &'a [String],
        depth: usize,
    ) -> Option<(ModulePath, &'a [String])> {
        let (first, rest) = named.split_first()?;
        match first.as_str() {
            "crate" => Some((Vec::new(), rest)),
            "self" => Some((within.clone(), rest)),
            "super" => {
                let supers = named.iter().take_while(|part| *part == "super").count();
                let kept = within.len().checked_sub(supers)?;
                Some((within.get(..kept)?.to_vec(), named.get(supers..)?))
            }
            _ if self.modules.contains_key(&join(within, first)) => Some((within.clone(), named)),
            // By a name that was brought in.
            _ => {
                let from = self.modules.get(within)?.uses.get(first).filter(|_| depth < 8)?;
                let base = self.base(within, from, depth + 1)?.0;
                self.modules.contains_key(&base).then_some((within.clone(), named))
            }
        }
    }

    /// The files that import each other in a loop, each circle in alphabetical order.
    fn circles(&self) -> Vec<Vec<String>> {
        let reached: BTreeMap<&String, BTreeSet<&String>> =
            self.imports.keys().map(|file| (file, self.reached_from(file))).collect();
        let both_ways = |one: &String, other: &String| {
            reached.get(one).is_some_and(|reached| reached.contains(other))
                && reached.get(other).is_some_and(|reached| reached.contains(one))
        };
        let mut circles = BTreeSet::new();
        for file in self.imports.keys().filter(|file| both_ways(file, file)) {
            let circle: Vec<String> =
                self.imports.keys().filter(|other| both_ways(file, other)).cloned().collect();
            circles.insert(circle);
        }
        circles.into_iter().collect()
    }

    /// All files that a file imports, and what those import.
    fn reached_from(&self, file: &String) -> BTreeSet<&String> {
        let mut reached = BTreeSet::new();
        let mut next: Vec<&String> = self.imports.get(file).into_iter().flatten().collect();
        while let Some(file) = next.pop() {
            if reached.insert(file) {
                next.extend(self.imports.get(file).into_iter().flatten());
            }
        }
        reached
    }
}

fn join(path: &ModulePath, name: &str) -> ModulePath {
    path.iter().cloned().chain([name.to_owned()]).collect()
}

/// Collects what the text of a module names.
#[derive(Default)]
struct Reader {
    uses: BTreeMap<String, Vec<String>>,
    named: BTreeSet<Vec<String>>,
}

impl Reader {
    /// Every name that a `use` brings in.
    fn add_use(&mut self, tree: &UseTree, before: &[String], is_handed_on: bool) {
        let with =
            |part: &syn::Ident| -> Vec<String> { before.iter().cloned().chain([part.to_string()]).collect() };
        let (name, path) = match tree {
            UseTree::Path(path) => return self.add_use(&path.tree, &with(&path.ident), is_handed_on),
            UseTree::Group(group) => {
                return group.items.iter().for_each(|tree| self.add_use(tree, before, is_handed_on));
            }
            UseTree::Name(name) if name.ident == "self" => (before.last().cloned(), before.to_vec()),
            UseTree::Name(name) => (Some(name.ident.to_string()), with(&name.ident)),
            UseTree::Rename(rename) => (Some(rename.rename.to_string()), with(&rename.ident)),
            UseTree::Glob(_) => (None, before.to_vec()),
        };
        if !is_handed_on {
            self.named.insert(path.clone());
        }
        if let Some(name) = name {
            self.uses.insert(name, path);
        }
    }

    /// The paths in what a macro is given, which is no syntax yet.
    fn add_tokens(&mut self, tokens: TokenStream) {
        let mut path: Vec<String> = Vec::new();
        let mut colons = 0;
        let mut is_field = false;
        for token in tokens {
            let is_behind_a_dot = std::mem::take(&mut is_field);
            match token {
                // A field may be called as a module is.
                TokenTree::Ident(_) if is_behind_a_dot => {}
                TokenTree::Punct(sign) if sign.as_char() == '.' => {
                    self.add_path(std::mem::take(&mut path));
                    colons = 0;
                    is_field = true;
                }
                TokenTree::Ident(part) => {
                    if colons != 2 {
                        self.add_path(std::mem::take(&mut path));
                    }
                    path.push(part.to_string());
                    colons = 0;
                }
                TokenTree::Punct(sign) if sign.as_char() == ':' => colons += 1,
                other => {
                    // `pub(super)` says who may name a thing, and names nothing itself.
                    let is_visibility = path == ["pub"];
                    self.add_path(std::mem::take(&mut path));
                    colons = 0;
                    if let TokenTree::Group(group) = other
                        && !is_visibility
                    {
                        self.add_tokens(group.stream());
                    }
                }
            }
        }
        self.add_path(path);
    }

    fn add_path(&mut self, path: Vec<String>) {
        if !path.is_empty() {
            self.named.insert(path);
        }
    }
}

impl<'ast> Visit<'ast> for Reader {
    fn visit_item(&mut self, item: &'ast Item) {
        if !is_for_tests(attributes(item)) {
            visit::visit_item(self, item);
        }
    }

    fn visit_item_use(&mut self, item: &'ast syn::ItemUse) {
        self.add_use(&item.tree, &[], !matches!(item.vis, Visibility::Inherited));
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        self.add_path(path.segments.iter().map(|segment| segment.ident.to_string()).collect());
        visit::visit_path(self, path);
    }

    fn visit_macro(&mut self, called: &'ast syn::Macro) {
        self.visit_path(&called.path);
        self.add_tokens(called.tokens.clone());
    }

    fn visit_vis_restricted(&mut self, _: &'ast syn::VisRestricted) {}
}

fn attributes(item: &Item) -> &[Attribute] {
    match item {
        Item::Const(item) => &item.attrs,
        Item::Enum(item) => &item.attrs,
        Item::Fn(item) => &item.attrs,
        Item::Impl(item) => &item.attrs,
        Item::Macro(item) => &item.attrs,
        Item::Mod(item) => &item.attrs,
        Item::Static(item) => &item.attrs,
        Item::Struct(item) => &item.attrs,
        Item::Trait(item) => &item.attrs,
        Item::Type(item) => &item.attrs,
        Item::Use(item) => &item.attrs,
        _ => &[],
    }
}

/// `#[cfg(test)]`, also with more beside it, as in `#[cfg(all(test, unix))]`.
fn is_for_tests(attributes: &[Attribute]) -> bool {
    fn says_test(tokens: TokenStream) -> bool {
        tokens.into_iter().any(|token| match token {
            TokenTree::Ident(word) => word == "test",
            TokenTree::Group(group) => says_test(group.stream()),
            TokenTree::Punct(_) | TokenTree::Literal(_) => false,
        })
    }
    attributes
        .iter()
        .filter(|attribute| attribute.path().is_ident("cfg"))
        .any(|attribute| attribute.meta.require_list().is_ok_and(|list| says_test(list.tokens.clone())))
}

/// What `#[path = "…"]` says.
fn path_attribute(attribute: &Attribute) -> Option<String> {
    let value = attribute.meta.require_name_value().ok().filter(|value| value.path.is_ident("path"))?;
    match &value.value {
        syn::Expr::Lit(syn::ExprLit { lit: syn::Lit::Str(file), .. }) => Some(file.value()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may assert by failing")]

    use super::*;

    /// The circles of a crate with these files.
    fn circles(files: &[(&str, &str)]) -> Vec<Vec<String>> {
        static CRATES: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
        let number = CRATES.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let dir = std::env::temp_dir().join(format!("circles-{}-{number}", std::process::id()));
        let _ = std::fs::remove_dir_all(&dir);
        for (name, text) in files {
            let file = dir.join(name);
            std::fs::create_dir_all(file.parent().unwrap()).unwrap();
            std::fs::write(file, text).unwrap();
        }
        let found = House::read(&dir.join(files[0].0)).unwrap().circles();
        std::fs::remove_dir_all(&dir).unwrap();
        let short = |file: &String| Path::new(file).strip_prefix(&dir).unwrap().display().to_string();
        found.iter().map(|circle| circle.iter().map(short).collect()).collect()
    }

    #[test]
    fn files_that_import_each_other_are_a_circle_however_they_name_each_other() {
        let found = circles(&[
            ("lib.rs", "mod a; mod b; mod c; mod d;"),
            ("a.rs", "use crate::b::Two; pub struct One;"),
            ("b.rs", "pub struct Two; fn f() { tokio::select! { x = super::c::three() => x } }"),
            ("c/mod.rs", "pub fn three() -> super::a::One { super::a::One }"),
            ("d.rs", "use super::a::One; fn f(_: One) {}"),
        ]);
        assert_eq!(found, [["a.rs", "b.rs", "c/mod.rs"]]);
    }

    #[test]
    fn a_name_that_is_handed_on_belongs_to_the_file_that_defines_it() {
        let parent = "mod one; mod two; pub use one::One; pub const MOST: usize = 1;";
        let one = ("one.rs", "pub struct One([u8; super::MOST]);");
        let found = circles(&[("lib.rs", parent), one, ("two.rs", "use super::One; fn f(_: One) {}")]);
        assert!(found.is_empty(), "{found:?}");
        let uses_it = format!("{parent} fn f() -> One {{ todo!() }}");
        let found = circles(&[("lib.rs", &uses_it), one, ("two.rs", ""), ("none.rs", "")]);
        assert_eq!(found, [["lib.rs", "one.rs"]]);
    }

    #[test]
    fn what_is_for_tests_alone_makes_no_circle() {
        let found = circles(&[
            ("main.rs", "mod a; mod b; mod c; mod d;"),
            ("a.rs", "use super::b::Two; pub struct One;"),
            ("b.rs", "pub struct Two; #[cfg(test)] mod tests { use crate::a::One; fn f(_: One) {} }"),
            (
                "c.rs",
                "#[cfg(all(test, unix))] mod tests { use crate::d::Four; fn f(_: Four) {} } pub struct Three;",
            ),
            (
                "d.rs",
                "macro_rules! of { () => { pub(super) struct Five; }; } pub struct Four(super::c::Three);",
            ),
        ]);
        assert!(found.is_empty(), "{found:?}");
    }
}
