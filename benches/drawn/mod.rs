//! The benches' JPEGs: drawn, and encoded as most photographs are, with quality 85 and 4:2:0. The `image` crate encodes 4:4:4, which takes longer to
//! decode.

use hashwarden::demo::pictures;
use turbojpeg::{Image, PixelFormat, Subsamp};

pub fn jpeg(seed: u64, width: u32, height: u32) -> Vec<u8> {
    let picture = pictures::draw(seed, width, height);
    let (width, height) = (width as usize, height as usize);
    let image = Image { pixels: &picture.as_raw()[..], width, pitch: 3 * width, height, format: PixelFormat::RGB };
    turbojpeg::compress(image, 85, Subsamp::Sub2x2).expect("it can be encoded").to_vec()
}
