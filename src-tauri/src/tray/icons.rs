//! The tray's icons, rendered by `cargo xtask icons` from `icons/tray/`.

use petit_app::tray::Icon;

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

/// The same in one colour, for panels that give icons theirs: what is white is cut out, everything else is there.
#[cfg(any(test, target_os = "macos"))]
pub(super) fn templates(icon: Icon) -> Vec<tauri::image::Image<'static>> {
    let template = |picture: tauri::image::Image<'_>| {
        let mut rgba = picture.rgba().to_vec();
        for element in rgba.chunks_exact_mut(4) {
            if let [r, g, b, a] = element {
                let white = (*r).min(*g).min(*b);
                // The lightest of our colours is half way to white, and has to be whole.
                let there = u16::from((255 - white).saturating_mul(2));
                let alpha = u8::try_from(u16::from(*a) * there / 255).unwrap_or(u8::MAX);
                (*r, *g, *b, *a) = (0, 0, 0, alpha);
            }
        }
        tauri::image::Image::new_owned(rgba, picture.width(), picture.height())
    };
    pictures(icon).into_iter().map(template).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How bright a dark and a light panel are, from 0 to 255.
    const PANELS: [u32; 2] = [38, 242];

    /// How bright each picture element is, from 0 to 255, on a panel.
    fn grey(picture: &tauri::image::Image<'_>, panel: u32) -> Vec<u32> {
        let brightness = |rgba: &[u8]| {
            let [r, g, b, a] = rgba else { panic!("RGBA") };
            let colour = (u32::from(*r) * 30 + u32::from(*g) * 59 + u32::from(*b) * 11) / 100;
            (colour * u32::from(*a) + panel * (255 - u32::from(*a))) / 255
        };
        picture.rgba().chunks_exact(4).map(brightness).collect()
    }

    /// All pairs of icons differ in more than a sixteenth of their picture elements.
    fn assert_different(drawn: impl Fn(Icon) -> Vec<u32>, what: &str) {
        for (nth, one) in Icon::ALL.into_iter().enumerate() {
            for other in Icon::ALL.into_iter().skip(nth + 1) {
                let (a, b) = (drawn(one), drawn(other));
                let different = a.iter().zip(&b).filter(|(a, b)| a.abs_diff(**b) > 40).count();
                assert!(different * 16 > a.len(), "{one:?} and {other:?} {what}: {different}");
            }
        }
    }

    /// Relative luminance (WCAG 2.2) of a colour.
    fn luminance(rgb: &[u8]) -> f64 {
        let linear = |part: u8| {
            let part = f64::from(part) / 255.0;
            if part <= 0.04045 { part / 12.92 } else { ((part + 0.055) / 1.055).powf(2.4) }
        };
        0.2126 * linear(rgb[0]) + 0.7152 * linear(rgb[1]) + 0.0722 * linear(rgb[2])
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
            for panel in PANELS {
                let what = format!("at {side} on {panel}");
                assert_different(|icon| grey(&pictures(icon)[size], panel), &what);
            }
            let alpha = |icon: Icon| -> Vec<u32> {
                templates(icon)[size].rgba().chunks_exact(4).map(|rgba| rgba[3].into()).collect()
            };
            assert_different(alpha, &format!("at {side} in one colour"));
        }
    }

    /// 3:1 is what WCAG 2.2 (1.4.11) asks of a shape that says something.
    #[test]
    fn every_icon_stands_out_from_a_dark_and_from_a_light_panel() {
        for icon in Icon::ALL {
            let largest = pictures(icon).pop().unwrap();
            // The edge in the middle of the left side is of the colour of its tile.
            let row = largest.height() as usize / 2 * largest.width() as usize * 4;
            let edge = &largest.rgba()[row + 8..row + 12];
            assert_eq!(edge[3], 255, "{icon:?}");
            for panel in [[0x24, 0x26, 0x2b], [0xf1, 0xf2, 0xf4]] {
                let (a, b) = (luminance(edge), luminance(&panel));
                let contrast = (a.max(b) + 0.05) / (a.min(b) + 0.05);
                assert!(contrast >= 3.0, "{icon:?} on {panel:?}: {contrast:.2}");
            }
        }
    }

    /// The upper left of each, where no badge is: the gate is the same in all that have one.
    #[test]
    fn every_icon_has_the_gate() {
        let gate = |icon| {
            let largest = pictures(icon).pop().unwrap();
            let side = largest.width() as usize;
            let at = |x: usize, y: usize| largest.rgba()[(y * side + x) * 4..][..4].to_vec();
            // From the ground above the gate down to the arch, and into the opening below it.
            let column = if matches!(icon, Icon::Online | Icon::Off) { side / 2 } else { side * 12 / 32 };
            let seen: Vec<Vec<u8>> = [4, if column == side / 2 { 9 } else { 7 }, 13]
                .iter()
                .map(|y| at(column, side * y / 32))
                .collect();
            (seen[0] != seen[1], seen[0] == seen[2])
        };
        for icon in Icon::ALL {
            assert_eq!(gate(icon), (true, true), "{icon:?}");
        }
    }
}
