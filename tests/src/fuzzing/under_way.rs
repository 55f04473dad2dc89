use super::octets::Octets;

/// Frames on their way: to which side, octets. The oldest are lost where there
/// are too many.
pub(super) struct UnderWay {
    frames: Vec<(usize, Vec<u8>)>,
    most: usize,
}

impl UnderWay {
    pub(super) const fn new(most: usize) -> Self {
        Self { frames: Vec::new(), most }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.frames.is_empty()
    }

    pub(super) fn send(&mut self, to: usize, frame: Vec<u8>) {
        if self.frames.len() == self.most {
            self.frames.remove(0);
        }
        self.frames.push((to, frame));
    }

    fn choose(&self, octets: &mut Octets<'_>) -> Option<usize> {
        usize::from(octets.u8()).checked_rem(self.frames.len())
    }

    /// The one the octets name.
    pub(super) fn pick(&mut self, octets: &mut Octets<'_>) -> Option<&mut Vec<u8>> {
        let index = self.choose(octets)?;
        Some(&mut self.frames[index].1)
    }

    /// The one the octets name, and whom it is for. Unless it arrives once, it
    /// will arrive again.
    pub(super) fn arrive(&mut self, octets: &mut Octets<'_>, once: bool) -> Option<(usize, Vec<u8>)> {
        let index = self.choose(octets)?;
        Some(if once { self.frames.remove(index) } else { self.frames[index].clone() })
    }

    /// All of them, in their order.
    pub(super) fn all(&mut self) -> Vec<(usize, Vec<u8>)> {
        std::mem::take(&mut self.frames)
    }
}
