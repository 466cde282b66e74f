//! What are the means of the first pass across, a band of rows at a time?

use super::axis::{Axis, EachRow, Inside, Mean, enter};
use crate::arch::{Kernel, LANES, Lanes};
use crate::decode::LumaPlane;

pub struct FirstPass<'p, 'r> {
    luma: LumaPlane<'p>,
    each_row: Option<EachRow<'r>>,
    across: Axis,
    /// Columns that are made, in `LANES`: zeros beyond the picture's own.
    places: usize,
    /// A row's luma, or a band's.
    raw: Vec<f32>,
    way: Way<'p>,
}

enum Way<'p> {
    Grey(&'p [u8], GreyPass),
    Any(Inside),
}

impl<'p, 'r> FirstPass<'p, 'r> {
    pub fn new(luma: LumaPlane<'p>, across: Axis, tiles: usize, each_row: Option<EachRow<'r>>) -> Self {
        let places = tiles * LANES;
        let grey = luma.grey().and_then(|grey| Some(Way::Grey(grey, GreyPass::new(across, tiles)?)));
        let way = grey.unwrap_or_else(|| Way::Any(Inside::new(across.size)));
        let rows = if matches!(way, Way::Grey(..)) { 1 } else { LANES };
        FirstPass { luma, each_row, across, places, raw: vec![0.0; rows * places], way }
    }

    /// The rows from `begin` on; zeros below the picture. `means` are those of [`super::Sampling`].
    #[inline(always)]
    pub fn band<K: Kernel>(&mut self, kernel: K, begin: usize, down: Axis, means: &mut [Lanes]) {
        let (width, ring) = (self.across.side, down.ring());
        let slot = begin % ring;
        match &mut self.way {
            Way::Grey(grey, pass) => {
                for (y, slot) in (begin..).zip(slot..slot + LANES) {
                    if y >= down.side {
                        means.chunks_exact_mut(ring).for_each(|tile| tile[slot] = Lanes::ZERO);
                        continue;
                    }
                    let row = &grey[y * width..][..width];
                    if let Some(each_row) = &mut self.each_row {
                        self.raw.iter_mut().zip(row).for_each(|(raw, value)| *raw = f32::from(*value));
                        each_row(&self.raw[..width]);
                    }
                    pass.row(kernel, row, means.chunks_exact_mut(ring).map(|tile| &mut tile[slot]));
                }
            }
            Way::Any(inside) => {
                for (y, raw) in (begin..).zip(self.raw.chunks_exact_mut(self.places)) {
                    if y >= down.side {
                        raw.fill(0.0);
                        continue;
                    }
                    self.luma.row(y as u32, &mut raw[..width]);
                    if let Some(each_row) = &mut self.each_row {
                        each_row(&raw[..width]);
                    }
                }
                any_rows(kernel, self.across, &self.raw, inside, ring, &mut means[slot..]);
            }
        }
    }
}

/// The rows of a band side by side. Those of a tile lie together in `means`, and the tiles `ring` apart.
#[inline(always)]
fn any_rows<K: Kernel>(kernel: K, across: Axis, band: &[f32], inside: &mut Inside, ring: usize, means: &mut [Lanes]) {
    let places = band.len() / LANES;
    inside.clear();
    let (mut sums, mut out) = (Lanes::ZERO, [Lanes::ZERO; LANES]);
    for begin in (0..places + across.ahead - 1).step_by(LANES) {
        let mut tile = [Lanes::ZERO; LANES];
        if begin < places {
            for (row, band) in tile.iter_mut().zip(band.chunks_exact(places)) {
                row.0.copy_from_slice(&band[begin..][..LANES]);
            }
        }
        kernel.transpose(&tile, inside.next());
        for (entered, (entering, leaving)) in (begin..).zip(inside.entering_and_leaving()) {
            enter(&mut sums, entering, leaving);
            let Some(x) = (entered + 1).checked_sub(across.ahead).filter(|x| *x < places) else { continue };
            out[x % LANES] = if x < across.side { across.mean(entered).of(kernel, &sums) } else { Lanes::ZERO };
            if x % LANES == LANES - 1 {
                kernel.transpose(&out, &mut means[x / LANES * ring..]);
            }
        }
    }
}

/// A row of whole numbers. Their sums are exact in any order, so no column waits for the one before: sums of 1, 2, 4 and so on values are made for
/// all columns side by side, and those that make up the box are added.
struct GreyPass {
    across: Axis,
    /// By column.
    counts: Vec<Lanes>,
    inverses: Vec<Lanes>,
    /// Of 1, 2, 4 and so on values from each place on.
    some: Vec<u16>,
    twice: Vec<u16>,
    /// Of as many as the box has.
    all: Vec<u16>,
}

impl GreyPass {
    /// `None` where sums may not fit 16 bits: above 32,896 columns.
    fn new(across: Axis, tiles: usize) -> Option<Self> {
        let of_column = |of: fn(Mean) -> f32| {
            let lane = |x: usize| of(across.mean(x + across.ahead - 1));
            (0..tiles).map(|tile| Lanes(std::array::from_fn(|i| lane(tile * LANES + i)))).collect()
        };
        let room = || vec![0; tiles * LANES + across.size];
        (across.size * usize::from(u8::MAX) <= usize::from(u16::MAX)).then(|| GreyPass {
            across,
            counts: of_column(|mean| mean.count),
            inverses: of_column(|mean| mean.inverse),
            some: room(),
            twice: room(),
            all: room(),
        })
    }

    #[inline(always)]
    fn row<'m, K: Kernel>(&mut self, kernel: K, row: &[u8], means: impl Iterator<Item = &'m mut Lanes>) {
        self.add_up(row);
        let sums = self.all.as_chunks::<LANES>().0;
        for (((mean, sums), counts), inverses) in means.zip(sums).zip(&self.counts).zip(&self.inverses) {
            // Made whole before it is written, which the compiler makes lanes of.
            *mean = Lanes(std::array::from_fn(|i| kernel.quotient(f32::from(sums[i]), counts.0[i], inverses.0[i])));
        }
    }

    /// Sums are zero beyond the row's end.
    #[inline(always)]
    fn add_up(&mut self, row: &[u8]) {
        let GreyPass { across: Axis { side, size, ahead }, some, twice, all, .. } = self;
        let (before, places) = (*size - *ahead, some.len());
        some[..before].fill(0);
        some[before..].iter_mut().zip(row).for_each(|(sum, value)| *sum = u16::from(*value));
        some[before + *side..].fill(0);
        let (mut of, mut covered) = (1, 0);
        loop {
            if *size & of != 0 {
                if covered == 0 {
                    all.copy_from_slice(some);
                } else {
                    all.iter_mut().zip(&some[covered..]).for_each(|(all, some)| *all = all.wrapping_add(*some));
                }
                covered += of;
            }
            if covered == *size {
                break;
            }
            let pairs = some.iter().zip(&some[of..]);
            twice[..places - of].iter_mut().zip(pairs).for_each(|(twice, (a, b))| *twice = a.wrapping_add(*b));
            std::mem::swap(some, twice);
            of *= 2;
        }
        all[*side..].fill(0);
    }
}
