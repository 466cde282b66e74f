//! TIFFs that another reader takes for another picture.

use super::damaged::directory;
use super::*;

/// An uncompressed page of two strips' worth of data, with these entries beside or instead of its own.
fn page(more: &[(u16, u32)]) -> Vec<u8> {
    let (side, data) = (8, 8u32);
    let own = [(256, side), (257, side), (258, 8), (259, 1), (262, 1), (273, data), (277, 1), (278, side), (279, side * side)];
    let mut entries: Vec<(u16, u32)> = own
        .into_iter()
        .filter(|(tag, _)| *tag == 273 || more.iter().all(|(other, _)| other != tag))
        .chain(more.iter().copied())
        .collect();
    entries.sort_by_key(|(tag, _)| *tag);
    let pixels: Vec<u8> = (0..=255).collect();
    [b"II*\0".as_slice(), &(8 + 256u32).to_le_bytes(), &pixels, &directory(&entries, 0)].concat()
}

/// libtiff showed one picture, and another was hashed and called whole.
#[test]
fn a_page_that_readers_take_differently_is_partial() {
    let all = Limits::default();
    let other = "pictures that other readers may see: the TIFF page";
    let check = |more: &[(u16, u32)], words: &str| {
        let (pictures, missed) = seen(&page(more)).unwrap();
        assert_eq!((pictures.len(), missed), (1, vec![words.to_owned()]), "{more:?}");
    };
    left_out(&page(&[]), &all, 1, &[]);
    left_out(&page(&[(266, 1), (274, 1), (284, 1), (317, 1), (339, 1)]), &all, 1, &[]);
    check(&[(273, 8 + 64)], &format!("{other} has a tag twice"));
    check(&[(266, 2)], "the picture as it is stored: the TIFF page's bits run in reverse");
    check(&[(317, 2)], &format!("{other} names a predictor that its compression does not have"));
    check(&[(322, 16)], &format!("{other} has both strips and tiles"));
    // Tags that no pixel rests on may stand twice.
    left_out(&page(&[(305, 0), (305, 0)]), &all, 1, &[]);
}

/// The decoder panicked.
#[test]
fn planes_in_tiles_that_reach_beyond_the_picture_are_refused_in_words() {
    let tiled = |tile: u32| {
        let entries =
            [(256, 8), (257, 8), (258, 8), (259, 1), (262, 2), (277, 3), (284, 2), (322, tile), (323, tile), (324, 8), (325, 64)];
        [b"II*\0".as_slice(), &(8 + 256u32).to_le_bytes(), &[9; 256], &directory(&entries, 0)].concat()
    };
    let mut each = |_: u32, _: &Picture| ControlFlow::Continue(());
    let refused = frames(&tiled(6), &Limits::default(), &|| false, &mut each).unwrap_err();
    assert!(refused.reason == Reason::Undecodable && refused.detail.contains("separate planes"), "{refused}");
}
