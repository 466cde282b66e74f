//! How far has the work on a file come, and what of the file does no frame cover?
//!
//! Counts the frames that are begun, whatever comes of them, against the limits and the deadline: work that yields nothing is work too.
//! Puts what was missed into words for `left_out`.

use std::ops::ControlFlow;

use super::probe::{PAGES_MAX, Probe};
use super::{DAMAGED, Limits, Picture, Refused, Taken};
use crate::entry::{LeftOut, Reason};

const ENDS_EARLY: &str = "the file ends early";
const DEADLINE: &str = "the deadline passed";
/// Stretches of frames that are named one by one.
const FAILURES_MAX: usize = 16;

/// Pixels that may be decoded for each that is looked at. Decoding a frame of an animation takes a half of what decoding and hashing it takes.
const DECODED_PER_SEEN: u64 = 2;

/// So many frames, from the first on, of which so many are looked at. Both are two at least.
struct Sample {
    of: u32,
    seen: u32,
}

impl Sample {
    fn of(limits: &Limits, probe: &Probe) -> Option<Self> {
        let pixels = match probe.pages.len() as u64 {
            0 => probe.pixels_max,
            pages => probe.pages.iter().fold(0u64, |sum, page| sum.saturating_add(page.pixels())) / pages,
        };
        let decoded_max = if probe.apart { u64::MAX } else { limits.frame_pixels_max.saturating_mul(DECODED_PER_SEEN) };
        let within = |pixels_max: u64| u32::try_from(pixels_max / pixels.max(1)).unwrap_or(u32::MAX);
        let seen = limits.frames_max.min(within(limits.frame_pixels_max));
        let of = probe.frames.min(within(decoded_max));
        (seen >= 2 && probe.frames > seen).then_some(Sample { of: of.max(2), seen: seen.min(of.max(2)) })
    }
}

/// What the frames of a file go through on their way to the caller.
pub(super) struct Tally<'a> {
    limits: &'a Limits,
    probe: &'a Probe,
    late: &'a dyn Fn() -> bool,
    each: &'a mut dyn FnMut(u32, &Picture) -> Taken,
    /// Frames begun: the one at work has the number before this.
    begun: u32,
    /// That frame has not been taken.
    at_work: bool,
    pixels: u64,
    taken: u32,
    stopped: Option<String>,
    /// Which frames are looked at, where there are too many.
    sample: Option<Sample>,
    passed_over: u32,
    /// Stopped by the deadline before a frame was begun.
    timed_out: bool,
    /// From which frame, to which, and why.
    failures: Vec<(u32, u32, Refused)>,
    left_out: Vec<LeftOut>,
}

impl<'a> Tally<'a> {
    pub(super) fn new(
        limits: &'a Limits,
        probe: &'a Probe,
        late: &'a dyn Fn() -> bool,
        each: &'a mut dyn FnMut(u32, &Picture) -> Taken,
    ) -> Self {
        let (failures, left_out) = (Vec::new(), Vec::new());
        Tally {
            limits,
            probe,
            late,
            each,
            begun: 0,
            at_work: false,
            pixels: 0,
            taken: 0,
            stopped: None,
            sample: Sample::of(limits, probe),
            passed_over: 0,
            timed_out: false,
            failures,
            left_out,
        }
    }

    pub(super) fn probe(&self) -> &'a Probe {
        self.probe
    }

    pub(super) fn taken(&self) -> u32 {
        self.taken
    }

    pub(super) fn begun(&self) -> u32 {
        self.begun
    }

    /// Frames that were taken or passed over.
    pub(super) fn dealt_with(&self) -> u32 {
        self.taken + self.passed_over
    }

    /// Of all frames that were begun.
    pub(super) fn pixels(&self) -> u64 {
        self.pixels
    }

    /// Whether the frame that was begun is one of those to be looked at.
    pub(super) fn wants_this(&self) -> bool {
        self.wants(self.begun.saturating_sub(1))
    }

    /// Whether that frame is one of those to be looked at: all of few, else evenly spread ones from the first to the last.
    pub(super) fn wants(&self, frame: u32) -> bool {
        let Some(Sample { of, seen }) = self.sample else { return true };
        let place = |frame: u32| u64::from(frame) * u64::from(seen - 1) / u64::from(of - 1);
        frame == 0 || (frame < of && place(frame) > place(frame - 1))
    }

    /// The frame that was begun is not one of them.
    pub(super) fn pass_over(&mut self) {
        (self.passed_over, self.at_work) = (self.passed_over + 1, false);
    }

    pub(super) fn is_late(&self) -> bool {
        (self.late)()
    }

    pub(super) fn stopped(&self) -> bool {
        self.stopped.is_some()
    }

    /// Whether work on another frame may begin, one of so many pixels. It counts from here on.
    pub(super) fn begin(&mut self, pixels: u64) -> bool {
        if self.stopped.is_none() {
            let limits = self.limits;
            let (frames_max, pixels_max) = match self.sample {
                None => (limits.frames_max, limits.frame_pixels_max),
                Some(Sample { of, .. }) => (of, limits.frame_pixels_max.saturating_mul(DECODED_PER_SEEN)),
            };
            if self.begun > 0 && self.begun >= frames_max {
                self.stopped = Some(format!("at most {frames_max} are read"));
            } else if self.begun > 0 && self.pixels.saturating_add(pixels) > pixels_max {
                self.stopped = Some(format!("at most {pixels_max} pixels in all are read"));
            } else if self.is_late() {
                (self.stopped, self.timed_out) = (Some(DEADLINE.to_owned()), true);
            }
        }
        if self.stopped.is_none() {
            (self.begun, self.at_work) = (self.begun + 1, true);
            self.pixels = self.pixels.saturating_add(pixels);
        }
        self.stopped.is_none()
    }

    /// There was no further frame.
    pub(super) fn withdraw(&mut self) {
        (self.begun, self.at_work) = (self.begun.saturating_sub(1), false);
    }

    /// Hands the frame that was begun to the caller.
    pub(super) fn take(&mut self, picture: &Picture) {
        match (self.each)(self.begun.saturating_sub(1), picture) {
            ControlFlow::Continue(()) => (self.taken, self.at_work) = (self.taken + 1, false),
            ControlFlow::Break(why) => {
                self.withdraw();
                self.stopped = Some(why.to_owned());
            }
        }
    }

    /// The same of a frame of which parts may be damaged.
    pub(super) fn take_maybe_damaged(&mut self, picture: &Picture, damaged: bool) {
        self.take(picture);
        if damaged {
            self.leave_out_of_this(DAMAGED);
        }
    }

    /// The frame that was begun came to nothing.
    pub(super) fn fail(&mut self, why: Refused) {
        let frame = self.begun.saturating_sub(1);
        let many = self.failures.len() == FAILURES_MAX;
        match self.failures.last_mut() {
            Some((_, last, known)) if *known == why && *last + 1 == frame => *last = frame,
            Some((_, last, _)) if many => *last = frame,
            _ => self.failures.push((frame, frame, why)),
        }
    }

    pub(super) fn leave_out(&mut self, what: &str) {
        if self.left_out.iter().all(|l| l.0 != what) {
            self.left_out.push(LeftOut(what.to_owned()));
        }
    }

    /// A part of the frame that was begun is not what it was, or is missing.
    pub(super) fn leave_out_of_this(&mut self, what: &str) {
        self.leave_out_of(self.begun.saturating_sub(1), what);
    }

    /// Where the file ends early that is said of the whole.
    pub(super) fn leave_out_of(&mut self, frame: u32, what: &str) {
        if self.probe.ends_early {
            self.leave_out(ENDS_EARLY);
        } else if self.probe.frames <= 1 {
            self.leave_out(what);
        } else if self.left_out.len() < FAILURES_MAX {
            self.leave_out(&format!("frame {frame}: {what}"));
        } else {
            self.leave_out("parts of further frames");
        }
    }

    /// What is left out, or why nothing was taken. `failure` ended the work on the frame that was begun and on all after it.
    pub(super) fn settle(mut self, failure: Option<Refused>) -> Result<Vec<LeftOut>, Refused> {
        let probe = self.probe;
        let (expected, ends_early) = (probe.frames, probe.ends_early);
        if self.taken == 0 {
            return match (failure, self.failures.into_iter().next(), self.stopped) {
                (Some(refused), ..) | (None, Some((.., refused)), _) => Err(refused),
                (None, None, Some(why)) if self.timed_out => Err(Refused::new(Reason::Timeout, why)),
                // The caller took none: it knows why.
                (None, None, Some(why)) => Ok(vec![LeftOut(format!("{}: {why}", range(0, expected)))]),
                (None, None, None) => Err(Refused::new(Reason::Undecodable, "the file holds no picture")),
            };
        }
        if ends_early {
            self.leave_out(ENDS_EARLY);
        }
        probe.flaws.iter().for_each(|flaw| self.leave_out(flaw));
        if self.passed_over > 0 {
            self.leave_out(&format!("{} of {expected} frames: only evenly spaced ones were looked at", self.passed_over));
        }
        for (from, to, refused) in std::mem::take(&mut self.failures) {
            self.leave_out(&format!("{}: {}", range(from, to + 1), refused.detail));
        }
        let missed = match (self.stopped.take(), failure) {
            (Some(why), _) if self.begun < expected || probe.pages.len() == PAGES_MAX => Some((self.begun, why)),
            (Some(_), _) => None,
            (None, Some(refused)) => Some((self.begun - u32::from(self.at_work), refused.detail)),
            (None, None) if self.begun < expected && !ends_early => Some((self.begun, "the decoder found no more".to_owned())),
            (None, None) => None,
        };
        if let Some((from, why)) = missed {
            self.leave_out(&format!("{}: {why}", range(from, expected)));
        }
        Ok(self.left_out)
    }
}

/// "frame 3", "frames 3 to 9", or "frames from 3 on" where the file does not say how many there are.
fn range(from: u32, frames: u32) -> String {
    match frames.saturating_sub(from) {
        0 => format!("frames from {from} on"),
        1 => format!("frame {from}"),
        _ => format!("frames {from} to {}", frames - 1),
    }
}
