//! An OCI image layout (image-spec 1.1): blobs by what they hold, and an index that leads to them.
//!
//! Nothing in it depends on when and where it is made, so what is made twice is the same twice.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;

use flate2::{Compression, GzBuilder};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::layer::{self, Entry};
use super::moment::rfc3339;

const INDEX: &str = "application/vnd.oci.image.index.v1+json";
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const LAYER: &str = "application/vnd.oci.image.layer.v1.tar";
/// What a name in a layout's index stands under.
const REFERENCE: &str = "org.opencontainers.image.ref.name";

/// How a layer is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Packing {
    /// As it travels best.
    Gzip,
    /// As it is: for tests, which do not wait for what travels nowhere.
    Plain,
}

/// What one image is made of, for one kind of processor.
pub(super) struct Image {
    /// As OCI calls it, such as `amd64`.
    pub(super) architecture: &'static str,
    pub(super) entries: Vec<Entry>,
    /// How the program is run: what OCI calls `config`.
    pub(super) config: Value,
    /// What is said of it, beside it.
    pub(super) annotations: BTreeMap<String, String>,
}

/// A layout that is being made.
pub(super) struct Layout {
    moment: u64,
    packing: Packing,
    blobs: BTreeMap<String, Vec<u8>>,
    /// The index that each name leads to.
    names: BTreeMap<String, Value>,
}

impl Layout {
    /// `moment`: when all in it was made, in seconds since 1970.
    pub(super) fn new(moment: u64, packing: Packing) -> Self {
        Self { moment, packing, blobs: BTreeMap::new(), names: BTreeMap::new() }
    }

    /// Adds an image under a name, for each of some kinds of processors.
    pub(super) fn add(&mut self, name: &str, images: Vec<Image>) -> Result<(), String> {
        let manifests =
            images.into_iter().map(|image| self.manifest(image)).collect::<Result<Vec<_>, _>>()?;
        let index = json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": manifests });
        let mut index = self.blob(INDEX, index.to_string().into_bytes());
        set(&mut index, "annotations", json!({ REFERENCE: name }));
        self.names.insert(name.to_owned(), index);
        Ok(())
    }

    fn manifest(&mut self, image: Image) -> Result<Value, String> {
        let Image { architecture, entries, config, annotations } = image;
        let archive = layer::archive(entries, self.moment)?;
        let content = digest(&archive);
        let layer = match self.packing {
            Packing::Plain => self.blob(LAYER, archive),
            Packing::Gzip => {
                let packed = gzip(&archive).map_err(|error| format!("cannot pack a layer: {error}"))?;
                self.blob(&format!("{LAYER}+gzip"), packed)
            }
        };
        let created = rfc3339(self.moment);
        let config = json!({
            "architecture": architecture,
            "os": "linux",
            "created": created,
            "config": config,
            "rootfs": { "type": "layers", "diff_ids": [content] },
            "history": [{ "created": created, "created_by": "cargo xtask image" }],
        });
        let config = self.blob(CONFIG, config.to_string().into_bytes());
        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": config,
            "layers": [layer],
            "annotations": annotations,
        });
        let mut manifest = self.blob(MANIFEST, manifest.to_string().into_bytes());
        set(&mut manifest, "platform", json!({ "architecture": architecture, "os": "linux" }));
        Ok(manifest)
    }

    /// Keeps a blob; returns what leads to it.
    fn blob(&mut self, media_type: &str, content: Vec<u8>) -> Value {
        let digest = digest(&content);
        let descriptor = json!({ "mediaType": media_type, "digest": digest, "size": content.len() });
        self.blobs.insert(digest, content);
        descriptor
    }

    /// What a descriptor leads to, where that is JSON.
    fn json(&self, descriptor: &Value) -> Option<Value> {
        serde_json::from_slice(self.blobs.get(digest_of(descriptor)?)?).ok()
    }

    /// What Docker reads whose images are not containerd's: the image for the first of its kinds of processors.
    fn as_docker_loads(&self, name: &str) -> Option<Value> {
        let index = self.json(self.names.get(name)?)?;
        let manifest = self.json(index.get("manifests")?.get(0)?)?;
        let layers: Vec<String> = manifest.get("layers")?.as_array()?.iter().filter_map(path_of).collect();
        let config = path_of(manifest.get("config")?)?;
        Some(json!([{ "Config": config, "RepoTags": [name], "Layers": layers }]))
    }

    /// All files of a layout that leads to some of its images, by their paths.
    fn files(&self, names: impl Fn(&str) -> bool) -> BTreeMap<String, Vec<u8>> {
        let wanted = self.names.iter().filter(|(name, _)| names(name.as_str()));
        let indexes: Vec<&Value> = wanted.map(|(_, index)| index).collect();
        let mut files = BTreeMap::new();
        let mut open: Vec<Value> = indexes.iter().map(|index| (*index).clone()).collect();
        while let Some(descriptor) = open.pop() {
            let Some(content) = digest_of(&descriptor).and_then(|digest| self.blobs.get(digest)) else {
                continue;
            };
            files.extend(path_of(&descriptor).map(|path| (path, content.clone())));
            let Some(inner) = self.json(&descriptor) else { continue };
            for list in ["manifests", "layers"] {
                open.extend(inner.get(list).and_then(Value::as_array).into_iter().flatten().cloned());
            }
            open.extend(inner.get("config").filter(|config| digest_of(config).is_some()).cloned());
        }
        let index = json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": indexes });
        files.insert("index.json".to_owned(), index.to_string().into_bytes());
        files.insert(
            "oci-layout".to_owned(),
            json!({ "imageLayoutVersion": "1.0.0" }).to_string().into_bytes(),
        );
        files
    }

    /// Writes all of it into a folder, in the place of what is there.
    pub(super) fn write(&self, folder: &Path) -> Result<(), String> {
        let failed = |error: std::io::Error| format!("{}: {error}", folder.display());
        let _ = std::fs::remove_dir_all(folder);
        for (path, content) in self.files(|_| true) {
            let path = folder.join(path);
            std::fs::create_dir_all(path.parent().unwrap_or(folder)).map_err(failed)?;
            std::fs::write(path, content).map_err(failed)?;
        }
        Ok(())
    }

    /// One image as a file that `podman load` and `docker load` take.
    pub(super) fn archive(&self, name: &str) -> Result<Vec<u8>, String> {
        let mut files = self.files(|known| known == name);
        let loaded = self.as_docker_loads(name).ok_or_else(|| format!("there is no image {name}"))?;
        files.insert("manifest.json".to_owned(), loaded.to_string().into_bytes());
        let entries = files.into_iter().map(|(path, content)| Entry::file(&path, content)).collect();
        layer::archive(entries, self.moment)
    }
}

/// Where a layout keeps what a descriptor leads to.
fn path_of(descriptor: &Value) -> Option<String> {
    digest_of(descriptor).map(|digest| format!("blobs/{}", digest.replace(':', "/")))
}

fn digest_of(descriptor: &Value) -> Option<&str> {
    descriptor.get("digest").and_then(Value::as_str)
}

fn set(value: &mut Value, key: &str, to: Value) {
    if let Some(fields) = value.as_object_mut() {
        fields.insert(key.to_owned(), to);
    }
}

fn digest(content: &[u8]) -> String {
    let digest = Sha256::digest(content);
    let digits: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256:{digits}")
}

/// Without a name and a time, which gzip keeps otherwise.
fn gzip(content: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut packed = GzBuilder::new().mtime(0).write(Vec::new(), Compression::best());
    packed.write_all(content)?;
    packed.finish()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may assert by failing")]

    use super::*;

    fn layout(moment: u64, packing: Packing) -> Layout {
        let mut layout = Layout::new(moment, packing);
        for name in ["petit-server", "petit-client"] {
            let image = |architecture: &'static str| Image {
                architecture,
                entries: vec![Entry::program("usr/bin/p", format!("{name} {architecture}").into_bytes())],
                config: json!({ "User": "65532" }),
                annotations: BTreeMap::from([("title".to_owned(), name.to_owned())]),
            };
            layout.add(name, vec![image("amd64"), image("arm64")]).unwrap();
        }
        layout
    }

    fn json_of(files: &BTreeMap<String, Vec<u8>>, descriptor: &Value) -> Value {
        serde_json::from_slice(&files[&path_of(descriptor).unwrap()]).unwrap()
    }

    #[test]
    fn what_is_made_twice_is_the_same_twice() {
        let all = |moment, packing| layout(moment, packing).files(|_| true);
        assert_eq!(all(7, Packing::Gzip), all(7, Packing::Gzip));
        assert_ne!(all(7, Packing::Gzip), all(8, Packing::Gzip));
        assert_ne!(all(7, Packing::Gzip), all(7, Packing::Plain));
        let archive = |name| layout(7, Packing::Gzip).archive(name).unwrap();
        assert_eq!(archive("petit-server"), archive("petit-server"));
    }

    #[test]
    fn each_name_leads_to_a_layer_that_holds_its_program_and_is_what_it_says() {
        let files = layout(7, Packing::Gzip).files(|_| true);
        // Two layers, configs and manifests each for two programs, an index for both, and the two files that lead there.
        assert_eq!(files.len(), 2 * (2 * 3 + 1) + 2);
        for (path, content) in files.iter().filter(|(path, _)| path.starts_with("blobs/")) {
            assert_eq!(format!("blobs/{}", digest(content).replace(':', "/")), *path);
        }
        let index: Value = serde_json::from_slice(&files["index.json"]).unwrap();
        for entry in index["manifests"].as_array().unwrap() {
            let name = entry["annotations"][REFERENCE].as_str().unwrap();
            for descriptor in json_of(&files, entry)["manifests"].as_array().unwrap() {
                let architecture = descriptor["platform"]["architecture"].as_str().unwrap();
                let manifest = json_of(&files, descriptor);
                let config = json_of(&files, &manifest["config"]);
                assert_eq!(config["architecture"], architecture);
                assert_eq!(config["created"], "1970-01-01T00:00:07Z");
                let packed = &manifest["layers"][0];
                let path = path_of(packed).unwrap();
                assert_eq!(packed["size"], files[&path].len());
                let mut layer = Vec::new();
                std::io::copy(&mut flate2::read::GzDecoder::new(files[&path].as_slice()), &mut layer)
                    .unwrap();
                assert_eq!(config["rootfs"]["diff_ids"][0], digest(&layer).as_str());
                let held = String::from_utf8_lossy(&layer).into_owned();
                assert!(held.contains(&format!("{name} {architecture}")), "{name}");
            }
        }
    }

    #[test]
    fn an_archive_of_one_image_has_nothing_of_the_other() {
        let archive = layout(7, Packing::Plain).archive("petit-client").unwrap();
        let text = String::from_utf8_lossy(&archive);
        assert!(text.contains("petit-client amd64") && text.contains("petit-client arm64"));
        assert!(!text.contains("petit-server"));
    }
}
