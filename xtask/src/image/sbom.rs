//! What a program is made of, as CycloneDX 1.6 has it: the packages that cargo has resolved for it.
//!
//! Made here, and not by cargo-cyclonedx, whose every run has a number and a time of its own: the image would be another
//! one each time.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::moment::rfc3339;
use crate::built_in::BuiltIn;

/// The packages that `package` is built from for a target, itself included.
pub(crate) fn of(package: &str, target: &str, moment: u64) -> Result<Value, String> {
    Ok(listed(&BuiltIn::of(package, target)?, moment))
}

fn listed(built_in: &BuiltIn, moment: u64) -> Value {
    let components: Vec<Value> = built_in.others.iter().map(component).collect();
    let dependency = |(package, needs): &(Value, Vec<Value>)| {
        let on: BTreeSet<String> = needs.iter().map(reference).collect();
        json!({ "ref": reference(package), "dependsOn": on })
    };
    let dependencies: Vec<Value> = built_in.needs.iter().map(dependency).collect();
    let mut program = component(&built_in.root);
    if let Some(fields) = program.as_object_mut() {
        fields.insert("type".to_owned(), json!("application"));
    }
    json!({
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": { "timestamp": rfc3339(moment), "component": program },
        "components": components,
        "dependencies": dependencies,
    })
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
        let bom = listed(&BuiltIn::from(&metadata, "petit-server").unwrap(), 7);
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
        assert!(BuiltIn::from(&metadata, "nothing").is_none());
    }
}
