//! What a program is made of, as CycloneDX 1.6 has it: the packages that cargo has resolved for it.
//!
//! Made here, and not by cargo-cyclonedx, whose every run has a number and a time of its own: the image would be another
//! one each time.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::moment::rfc3339;
use crate::run::cargo;

/// The packages that `package` is built from for a target, itself included.
pub(super) fn of(package: &str, target: &str, moment: u64) -> Result<Value, String> {
    let mut metadata = cargo(&["metadata", "--format-version=1", "--locked", "--filter-platform", target]);
    let output = metadata.output().map_err(|error| format!("cannot run cargo: {error}"))?;
    if !output.status.success() {
        return Err(format!("cargo metadata: {}", String::from_utf8_lossy(&output.stderr)));
    }
    let metadata: Value =
        serde_json::from_slice(&output.stdout).map_err(|error| format!("cargo metadata: {error}"))?;
    from(&metadata, package, moment).ok_or_else(|| format!("cargo metadata does not tell of {package}"))
}

fn from(metadata: &Value, package: &str, moment: u64) -> Option<Value> {
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
    let (root, _) =
        packages.iter().find(|(_, known)| known.get("name").is_some_and(|name| name == package))?;
    let (mut found, mut open) = (BTreeSet::new(), vec![root.clone()]);
    while let Some(id) = open.pop() {
        if found.insert(id.clone()) {
            open.extend(nodes.get(&id).into_iter().flatten().cloned());
        }
    }
    let name = |id: &String| packages.get(id).map(reference);
    let components: Vec<Value> =
        found.iter().filter(|id| *id != root).filter_map(|id| packages.get(id)).map(component).collect();
    let dependencies: Vec<Value> = found
        .iter()
        .filter_map(|id| {
            let on: BTreeSet<String> = nodes.get(id).into_iter().flatten().filter_map(name).collect();
            Some(json!({ "ref": name(id)?, "dependsOn": on }))
        })
        .collect();
    let mut program = component(packages.get(root)?);
    if let Some(fields) = program.as_object_mut() {
        fields.insert("type".to_owned(), json!("application"));
    }
    Some(json!({
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": { "timestamp": rfc3339(moment), "component": program },
        "components": components,
        "dependencies": dependencies,
    }))
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

/// What a package is called in all of these lists (a package URL).
fn reference(package: &Value) -> String {
    let of = |key: &str| package.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
    format!("pkg:cargo/{}@{}", of("name"), of("version"))
}

fn component(package: &Value) -> Value {
    let reference = reference(package);
    let of = |key: &str| package.get(key).cloned().unwrap_or_default();
    // An older form of "or", which licence expressions do not have.
    let licence = of("license").as_str().map(|licence| licence.replace('/', " OR ").replace("  ", " "));
    let licences: Vec<Value> = licence.into_iter().map(|licence| json!({ "expression": licence })).collect();
    json!({
        "type": "library",
        "bom-ref": reference,
        "purl": reference,
        "name": of("name"),
        "version": of("version"),
        "licenses": licences,
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may assert by failing")]

    use super::*;

    #[test]
    fn it_tells_of_what_is_built_in_and_of_nothing_else() {
        let package = |name: &str, licence: &str| json!({ "id": name, "name": name, "version": "1.0.0", "license": licence });
        let on = |name: &str, kind: Value| json!({ "pkg": name, "dep_kinds": [{ "kind": kind }] });
        let metadata = json!({
            "packages": [
                package("petit-server", "MIT OR Apache-2.0"),
                package("engine", "MIT/Apache-2.0"),
                package("deep", "ISC"),
                package("tests", "MIT"),
                package("builds", "MIT"),
                package("other", "MIT"),
            ],
            "resolve": { "nodes": [
                { "id": "petit-server", "deps": [on("engine", Value::Null), on("tests", json!("dev")), on("builds", json!("build"))] },
                { "id": "engine", "deps": [on("deep", Value::Null)] },
                { "id": "deep", "deps": [] },
                { "id": "other", "deps": [on("deep", Value::Null)] },
            ] },
        });
        let bom = from(&metadata, "petit-server", 7).unwrap();
        assert_eq!(bom.pointer("/metadata/component/purl").unwrap(), "pkg:cargo/petit-server@1.0.0");
        assert_eq!(bom.pointer("/metadata/component/type").unwrap(), "application");
        let components = bom.get("components").unwrap().as_array().unwrap();
        let purls: Vec<&str> =
            components.iter().map(|it| it.get("purl").unwrap().as_str().unwrap()).collect();
        assert_eq!(purls, ["pkg:cargo/deep@1.0.0", "pkg:cargo/engine@1.0.0"]);
        assert_eq!(bom.pointer("/components/1/licenses/0/expression").unwrap(), "MIT OR Apache-2.0");
        let edges = bom.get("dependencies").unwrap().as_array().unwrap();
        assert_eq!(edges.len(), 3);
        assert_eq!(bom.pointer("/dependencies/1/dependsOn"), Some(&json!(["pkg:cargo/deep@1.0.0"])));
        assert_eq!(from(&metadata, "nothing", 7), None);
    }
}
