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

/// Viewers divide by alpha what is stored multiplied by it: the picture that they show was in no look.
#[test]
fn colours_multiplied_by_their_alpha_are_divided() {
    let tiff = |pixels: &[u8]| {
        let own = [(256, 8), (257, 8), (258, 8), (259, 1), (262, 2), (273, 8u32), (277, 4), (278, 8), (279, 256), (338, 1)];
        let mut bytes = [b"II*\0".as_slice(), &(8 + 256u32).to_le_bytes(), pixels, &directory(&own, 0)].concat();
        // The decoder wants the last one as a number of 16 bits.
        let kind = bytes.len() - 4 - 12 + 2;
        bytes[kind] = 3;
        bytes
    };
    let stored = [[40u8, 20, 10, 51], [9, 8, 7, 255]].concat().repeat(32);
    let (pictures, missed) = seen(&tiff(&stored)).unwrap();
    assert_eq!((&pictures[0].3[..8], missed), (&[200, 100, 50, 51, 9, 8, 7, 255][..], vec![]));
    let bright = [[60u8, 20, 10, 51], [9, 8, 7, 255]].concat().repeat(32);
    left_out(&tiff(&bright), &Limits::default(), 1, &["colours brighter than their alpha allows"]);
}
