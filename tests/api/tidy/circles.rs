//! Calls point one way: the modules of `src/`, a file each, and the arrows between them are a graph without a circle, and the tour in
//! `src/lib.rs` lists them from the caller to the called.
//!
//! An arrow goes from the file that names a path (in a `use` line or in code) to the file whose module that path leads into.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use syn::visit::{self, Visit};
use syn::{ItemMod, ItemUse, UseTree};

use super::{read, sources};

/// From a file, to a file, and the names that the first takes from the second.
pub type Arrows = BTreeMap<String, BTreeMap<String, BTreeSet<String>>>;

#[test]
fn no_module_leads_back_to_itself() {
    let circles = circles(&arrows(&files()));
    assert!(circles.is_empty(), "{}", circles.join("\n"));
}

#[test]
fn a_module_names_only_those_that_stand_below_it_in_the_tour() {
    let tour = read("src/lib.rs");
    let name = |path: &str| module(path).get(1).cloned().unwrap_or_default();
    let place = |name: &str| tour.find(&format!("mod {name};"));
    for (from, to_files) in arrows(&files()).iter().filter(|(from, _)| place(&name(from)).is_some()) {
        for (to, names) in to_files.iter().filter(|(to, _)| name(from) != name(to)) {
            assert!(place(&name(from)) < place(&name(to)), "{from} names {names:?} of {to}, which stands above it");
        }
    }
}

#[test]
fn a_single_arrow_back_is_found_and_named() {
    let file = |path: &str, text: &str| (format!("src/{path}"), text.to_string());
    let mut files = vec![
        file("lib.rs", "mod a; mod b; mod c;"),
        file("a.rs", "use crate::b::{self, Thing}; fn f() { log::info!(\"{}\", crate::c::number()) }"),
        file("b.rs", "mod inner; use inner::Deep; pub struct Thing(Deep);"),
        file("b/inner.rs", "use crate::c::Number; pub struct Deep(Number);"),
        file("c.rs", "pub type Number = u8; #[cfg(test)] mod tests { use crate::a; }"),
    ];
    assert_eq!(circles(&arrows(&files)), Vec::<String>::new());
    files[4].1.push_str("mod in_line { fn g() -> super::super::b::Thing { todo() } }");
    assert_eq!(
        circles(&arrows(&files)),
        ["a circle of 3: src/b.rs, src/b/inner.rs, src/c.rs\n  \
          src/b.rs -> src/b/inner.rs: Deep\n  src/b/inner.rs -> src/c.rs: Number\n  src/c.rs -> src/b.rs: Thing"]
    );
}

/// The files of `src/`, path and text.
pub fn files() -> Vec<(String, String)> {
    sources("src", ".rs").into_iter().map(|source| (source.path, source.text)).collect()
}

/// Reads the arrows of all files.
pub fn arrows(files: &[(String, String)]) -> Arrows {
    let modules: BTreeMap<Vec<String>, &str> = files.iter().map(|(path, _)| (module(path), path.as_str())).collect();
    let mut arrows = Arrows::new();
    for (path, text) in files {
        let parsed = syn::parse_file(text).unwrap_or_else(|error| panic!("{path}: {error}"));
        let mut names = Names { module: module(path), paths: Vec::new() };
        names.visit_file(&parsed);
        let to_files = arrows.entry(path.clone()).or_default();
        for named in names.paths {
            // The longest beginning that is a file; what follows is taken from it.
            let place = (1..=named.len()).rev().find_map(|end| Some((end, *modules.get(&named[..end])?)));
            if let Some((end, other)) = place.filter(|(_, other)| other != path) {
                let taken = named.get(end).map_or("itself", String::as_str);
                to_files.entry(other.to_string()).or_default().insert(taken.to_string());
            }
        }
    }
    arrows
}

/// `src/db/pipe.rs` → `crate::db::pipe`
fn module(path: &str) -> Vec<String> {
    let parts = Path::new(path).with_extension("");
    let mut parts: Vec<String> = parts.iter().skip(1).map(|part| part.to_string_lossy().into_owned()).collect();
    parts.pop_if(|last| matches!(last.as_str(), "mod" | "lib"));
    parts.insert(0, "crate".into());
    parts
}

/// The paths that a file names, each from `crate` on.
struct Names {
    /// Where the visitor is, inline modules included.
    module: Vec<String>,
    paths: Vec<Vec<String>>,
}

impl Names {
    fn add(&mut self, parts: &[String]) {
        let mut full = match parts.first().map(String::as_str) {
            Some("crate") => Vec::new(),
            // The library, as `main.rs` names it.
            Some("healthcare_backend") => vec!["crate".to_string()],
            _ => self.module.clone(),
        };
        for part in parts {
            match part.as_str() {
                "self" | "healthcare_backend" => {}
                "super" => drop(full.pop()),
                _ => full.push(part.clone()),
            }
        }
        self.paths.push(full);
    }

    fn add_tree(&mut self, before: &[String], tree: &UseTree) {
        let with = |name: &syn::Ident| [before, &[name.to_string()]].concat();
        match tree {
            UseTree::Path(path) => self.add_tree(&with(&path.ident), &path.tree),
            UseTree::Name(name) => self.add(&with(&name.ident)),
            UseTree::Rename(name) => self.add(&with(&name.ident)),
            UseTree::Glob(_) => self.add(before),
            UseTree::Group(group) => group.items.iter().for_each(|tree| self.add_tree(before, tree)),
        }
    }
}

impl<'ast> Visit<'ast> for Names {
    fn visit_item_mod(&mut self, item: &'ast ItemMod) {
        if item.content.is_none() || item.attrs.iter().any(is_for_tests) {
            return;
        }
        self.module.push(item.ident.to_string());
        visit::visit_item_mod(self, item);
        self.module.pop();
    }

    fn visit_item_use(&mut self, item: &'ast ItemUse) {
        self.add_tree(&[], &item.tree);
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        if path.segments.len() > 1 {
            self.add(&path.segments.iter().map(|segment| segment.ident.to_string()).collect::<Vec<_>>());
        }
        visit::visit_path(self, path);
    }

    /// The arguments of a macro are words; those that `::` joins are paths.
    fn visit_macro(&mut self, item: &'ast syn::Macro) {
        let words = item.tokens.to_string().replace(" :: ", "::");
        for word in words.split(|letter: char| !(letter.is_alphanumeric() || letter == '_' || letter == ':')) {
            let parts: Vec<String> = word.split("::").map(str::to_string).collect();
            if parts.len() > 1 && parts.iter().all(|part| !part.is_empty()) {
                self.add(&parts);
            }
        }
        visit::visit_macro(self, item);
    }
}

fn is_for_tests(attribute: &syn::Attribute) -> bool {
    matches!(&attribute.meta, syn::Meta::List(list) if list.path.is_ident("cfg") && list.tokens.to_string() == "test")
}

/// Every circle: its members, and the names that tie them.
fn circles(arrows: &Arrows) -> Vec<String> {
    let reach: BTreeMap<&str, BTreeSet<&str>> =
        arrows.keys().map(|from| (from.as_str(), reachable(arrows, from))).collect();
    let mut circles = BTreeSet::new();
    for (from, seen) in &reach {
        let members: Vec<&str> = seen.iter().filter(|to| reach[*to].contains(from)).copied().collect();
        if members.len() < 2 {
            continue;
        }
        let mut lines = vec![format!("a circle of {}: {}", members.len(), members.join(", "))];
        for from in &members {
            for (to, names) in arrows[*from].iter().filter(|(to, _)| members.contains(&to.as_str())) {
                let names: Vec<&str> = names.iter().map(String::as_str).collect();
                lines.push(format!("  {from} -> {to}: {}", names.join(", ")));
            }
        }
        circles.insert(lines.join("\n"));
    }
    circles.into_iter().collect()
}

/// Every file that can be reached along the arrows.
pub fn reachable<'a>(arrows: &'a Arrows, from: &str) -> BTreeSet<&'a str> {
    let (mut seen, mut next) = (BTreeSet::new(), vec![from]);
    while let Some(file) = next.pop() {
        for to in arrows[file].keys() {
            if seen.insert(to.as_str()) {
                next.push(to);
            }
        }
    }
    seen
}
