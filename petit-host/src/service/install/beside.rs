//! What lies beside a program and says whose it is: its brand, and the root keys of whoever makes it. It goes with a copy
//! of the program, which would be another one's without it.

use std::fs;
use std::path::{Path, PathBuf};

use super::installed::{Branding, Service};
use crate::brand::{self, Brand, BrandError};
use crate::update::{Place, ROOTS};

/// The files that go with a copy of a program.
pub(super) fn files(service: &Service, program: &Path) -> Vec<PathBuf> {
    let brand = (service.branding == Branding::ByFile).then(|| program.with_file_name(brand::FILE));
    let files = brand.into_iter().chain([Place::of(program).roots()]);
    files.filter(|file| file.exists()).collect()
}

/// Why a program does not take the place of the one that is installed.
#[derive(Debug, thiserror::Error)]
pub enum PlaceError {
    /// A copy over it would go on with what that one was registered for.
    #[error("{} is {brand}'s", program.display())]
    OtherBrand { program: PathBuf, brand: String },
    #[error(transparent)]
    Brand(#[from] BrandError),
}

impl PlaceError {
    /// What to do next.
    pub(super) fn hint(&self, service: &Service) -> Option<String> {
        match self {
            Self::OtherBrand { .. } => Some(format!(
                "there is room for one; take that one away first: {} uninstall",
                service.program
            )),
            Self::Brand(_) => None,
        }
    }
}

/// Refuses the place of another brand's program than this one is of.
///
/// # Errors
/// [`PlaceError`].
pub(super) fn check_place(service: &Service, installed: &Path) -> Result<(), PlaceError> {
    if service.branding == Branding::None || !installed.exists() {
        return Ok(());
    }
    let brand = Brand::of(installed)?;
    if brand.id() == brand::here().id() {
        return Ok(());
    }
    Err(PlaceError::OtherBrand { program: installed.to_owned(), brand: brand.name().to_owned() })
}

/// A brand's file that nothing belongs to any more, as its program is gone.
pub(super) fn left_over(service: &Service, source: &Path, installed: &Path) -> Option<PathBuf> {
    let of = |program: &Path| program.with_file_name(brand::FILE);
    let is_left = service.branding == Branding::ByFile && !of(source).exists() && of(installed).exists();
    is_left.then(|| of(installed))
}

/// What goes with a program that has been removed: its brand, and the root keys unless another program is in the folder.
pub(super) fn to_remove(service: &Service, removed: &Path) -> Vec<PathBuf> {
    let brand = removed.with_file_name(brand::FILE);
    let roots = removed.with_file_name(ROOTS);
    let entries = removed.parent().and_then(|folder| fs::read_dir(folder).ok());
    let mut others = entries.into_iter().flatten().flatten().map(|entry| entry.path());
    let is_shared = others.any(|path| path != brand && path != roots);
    let brand = (service.branding == Branding::ByFile).then_some(brand);
    brand.into_iter().chain((!is_shared).then_some(roots)).filter(|path| path.exists()).collect()
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in super::super) const CLIENT: Service = Service {
        program: "petit-client",
        name: "client",
        title: "",
        about: "",
        branding: Branding::ByFile,
        units: &[],
        secrets: &[],
        config: String::new,
        is_set_up: |_| true,
        check: |_| Ok(()),
    };
    const SERVER: Service =
        Service { program: "petit-server", name: "server", branding: Branding::None, ..CLIENT };

    fn folder(names: &[&str]) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        for name in names {
            fs::write(dir.path().join(name), "id = \"north\"\nname = \"North\"").unwrap();
        }
        dir
    }

    fn names(paths: &[PathBuf]) -> Vec<&str> {
        paths.iter().map(|path| path.file_name().unwrap().to_str().unwrap()).collect()
    }

    #[test]
    fn a_server_takes_no_brand_along_and_leaves_the_keys_to_a_client() {
        let dir = folder(&["petit-client", "petit-server", brand::FILE, ROOTS]);
        let [client, server] = ["petit-client", "petit-server"].map(|name| dir.path().join(name));
        assert_eq!(names(&files(&CLIENT, &client)), [brand::FILE, ROOTS]);
        assert_eq!(names(&files(&SERVER, &server)), [ROOTS]);
        fs::remove_file(&server).unwrap();
        assert!(to_remove(&SERVER, &server).is_empty());
        fs::remove_file(&client).unwrap();
        assert_eq!(names(&to_remove(&CLIENT, &client)), [brand::FILE, ROOTS]);
    }

    #[test]
    fn a_brand_takes_no_others_place_but_that_of_one_that_is_gone() {
        // This process is Petit itself.
        let installed = folder(&["petit-client", brand::FILE]);
        let program = installed.path().join("petit-client");
        let refused = check_place(&CLIENT, &program).unwrap_err();
        assert_eq!(refused.to_string(), format!("{} is North's", program.display()));
        assert!(refused.hint(&CLIENT).is_some_and(|hint| hint.ends_with("petit-client uninstall")));
        check_place(&SERVER, &program).unwrap();
        fs::remove_file(&program).unwrap();
        check_place(&CLIENT, &program).unwrap();
        let plain = folder(&["petit-client"]);
        let source = plain.path().join("petit-client");
        assert_eq!(left_over(&CLIENT, &source, &program), Some(installed.path().join(brand::FILE)));
        assert_eq!(left_over(&SERVER, &source, &program), None);
    }
}
