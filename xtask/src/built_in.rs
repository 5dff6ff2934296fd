//! What a program is made of: the packages that cargo has resolved for it, without what tests or builds them.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::run::cargo;

/// A program's packages, as `cargo metadata` tells of them.
pub(crate) struct BuiltIn {
    /// Its own package.
    pub(crate) root: Value,
    /// All others, by their IDs.
    pub(crate) others: Vec<Value>,
    /// Of each package, its own included, which ones it needs.
    pub(crate) needs: Vec<(Value, Vec<Value>)>,
}

impl BuiltIn {
    /// The packages that `package` is built from for a target.
    pub(crate) fn of(package: &str, target: &str) -> Result<Self, String> {
        let mut metadata =
            cargo(&["metadata", "--format-version=1", "--locked", "--filter-platform", target]);
        let output = metadata.output().map_err(|error| format!("cannot run cargo: {error}"))?;
        if !output.status.success() {
            return Err(format!("cargo metadata: {}", String::from_utf8_lossy(&output.stderr)));
        }
        let metadata: Value =
            serde_json::from_slice(&output.stdout).map_err(|error| format!("cargo metadata: {error}"))?;
        Self::from(&metadata, package).ok_or_else(|| format!("cargo metadata does not tell of {package}"))
    }

    /// The same out of what `cargo metadata` has said.
    pub(crate) fn from(metadata: &Value, package: &str) -> Option<Self> {
        let text = |value: &Value, key: &str| value.get(key).and_then(Value::as_str).map(str::to_owned);
        let list =
            |value: &Value, key: &str| value.get(key).and_then(Value::as_array).cloned().unwrap_or_default();
        let packages: BTreeMap<String, Value> = list(metadata, "packages")
            .into_iter()
            .filter_map(|package| Some((text(&package, "id")?, package)))
            .collect();
        let nodes: BTreeMap<String, Vec<String>> = list(metadata.get("resolve")?, "nodes")
            .into_iter()
            .filter_map(|node| Some((text(&node, "id")?, built_into(&node))))
            .collect();
        let (root, known) =
            packages.iter().find(|(_, known)| known.get("name").is_some_and(|name| name == package))?;
        let (mut found, mut open) = (BTreeSet::new(), vec![root.clone()]);
        while let Some(id) = open.pop() {
            if found.insert(id.clone()) {
                open.extend(nodes.get(&id).into_iter().flatten().cloned());
            }
        }
        let package = |id: &String| packages.get(id).cloned();
        let needed = |id: &String| nodes.get(id).into_iter().flatten().filter_map(package).collect();
        Some(Self {
            root: known.clone(),
            others: found.iter().filter(|id| *id != root).filter_map(package).collect(),
            needs: found.iter().filter_map(|id| Some((package(id)?, needed(id)))).collect(),
        })
    }
}

/// What of a package's dependencies is built into it: neither what tests it nor what builds it.
fn built_into(node: &Value) -> Vec<String> {
    let is_normal = |dependency: &&Value| {
        let kinds = dependency.get("dep_kinds").and_then(Value::as_array);
        kinds.is_some_and(|kinds| kinds.iter().any(|kind| kind.get("kind").is_none_or(Value::is_null)))
    };
    let dependencies = node.get("deps").and_then(Value::as_array).into_iter().flatten().filter(is_normal);
    dependencies.filter_map(|it| it.get("pkg").and_then(Value::as_str)).map(str::to_owned).collect()
}
