//! The tray's icons, rendered by `cargo xtask icons` from `icons/tray/`.

use petit_client::app::tray::Icon;

/// The sizes that there are.
pub(super) const SIZES: [u32; 6] = [16, 22, 24, 32, 48, 64];

macro_rules! sizes {
    ($name:literal) => {
        [
            include_bytes!(concat!("../../../icons/rendered/tray/", $name, "-16.png")).as_slice(),
            include_bytes!(concat!("../../../icons/rendered/tray/", $name, "-22.png")).as_slice(),
            include_bytes!(concat!("../../../icons/rendered/tray/", $name, "-24.png")).as_slice(),
            include_bytes!(concat!("../../../icons/rendered/tray/", $name, "-32.png")).as_slice(),
            include_bytes!(concat!("../../../icons/rendered/tray/", $name, "-48.png")).as_slice(),
            include_bytes!(concat!("../../../icons/rendered/tray/", $name, "-64.png")).as_slice(),
        ]
    };
}

/// The files of an icon, in the order of [`SIZES`].
pub(super) fn files(icon: Icon) -> [&'static [u8]; SIZES.len()] {
    match icon {
        Icon::Unregistered => sizes!("unregistered"),
        Icon::Off => sizes!("off"),
        Icon::Paused => sizes!("paused"),
        Icon::Connecting => sizes!("connecting"),
        Icon::Online => sizes!("online"),
        Icon::Partly => sizes!("partly"),
        Icon::Waiting => sizes!("waiting"),
        Icon::Stopped => sizes!("stopped"),
        Icon::Locked => sizes!("locked"),
        Icon::Broken => sizes!("broken"),
    }
}

/// The pictures of an icon.
pub(super) fn pictures(icon: Icon) -> Vec<tauri::image::Image<'static>> {
    let read = |bytes: &[u8]| tauri::image::Image::from_bytes(bytes).ok(); // checked by a test
    files(icon).into_iter().filter_map(read).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How bright each picture element is, from 0 to 255, on grey ground.
    fn grey(picture: &tauri::image::Image<'_>) -> Vec<u32> {
        let brightness = |rgba: &[u8]| {
            let [r, g, b, a] = rgba else { panic!("RGBA") };
            let colour = (u32::from(*r) * 30 + u32::from(*g) * 59 + u32::from(*b) * 11) / 100;
            (colour * u32::from(*a) + 128 * (255 - u32::from(*a))) / 255
        };
        picture.rgba().chunks_exact(4).map(brightness).collect()
    }

    #[test]
    fn every_icon_is_there_in_every_size() {
        for icon in Icon::ALL {
            let pictures = pictures(icon);
            assert_eq!(pictures.len(), SIZES.len(), "{icon:?}");
            for (picture, size) in pictures.iter().zip(SIZES) {
                assert_eq!((picture.width(), picture.height()), (size, size), "{icon:?}");
                assert!(picture.rgba().chunks_exact(4).any(|rgba| rgba[3] > 200), "{icon:?} is visible");
            }
        }
    }

    #[test]
    fn icons_differ_without_their_colours() {
        for (size, side) in SIZES.into_iter().enumerate() {
            for (nth, one) in Icon::ALL.into_iter().enumerate() {
                for other in Icon::ALL.into_iter().skip(nth + 1) {
                    let (a, b) = (grey(&pictures(one)[size]), grey(&pictures(other)[size]));
                    let different = a.iter().zip(&b).filter(|(a, b)| a.abs_diff(**b) > 40).count();
                    assert!(different * 16 > a.len(), "{one:?} and {other:?} at {side}: {different}");
                }
            }
        }
    }
}
