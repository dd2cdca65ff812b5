//! The lanes of a connection: one long-lived stream for each kind of traffic and direction.

/// How many foreground lanes there are. Two keep a large value on one from delaying the other,
/// and more would only split the batches that make frames cheap.
pub const FOREGROUND_LANES: u8 = 2;

/// How many lanes there are in all.
pub(crate) const LANES: usize = FOREGROUND_LANES as usize + 2;

/// A lane: frames of one lane arrive in the order in which they were sent, frames of different
/// lanes in any order. Under congestion the foreground goes first, bulk last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Lane {
    /// Requests that someone waits for. The number picks one of [`FOREGROUND_LANES`], modulo
    /// their count, so that a hash of a key can be used as it is.
    Foreground(u8),
    /// Repair and other work that nobody waits for.
    Background,
    /// Transfers of large amounts.
    Bulk,
}

impl Lane {
    /// Every lane, in the order of [`Lane::index`].
    pub(crate) const ALL: [Self; LANES] =
        [Self::Foreground(0), Self::Foreground(1), Self::Background, Self::Bulk];

    /// The lane's number, which is also the first byte of its stream.
    pub(crate) fn index(self) -> usize {
        match self {
            Self::Foreground(n) => usize::from(n % FOREGROUND_LANES),
            Self::Background => usize::from(FOREGROUND_LANES),
            Self::Bulk => usize::from(FOREGROUND_LANES) + 1,
        }
    }

    /// The lane whose stream begins with `byte`.
    pub(crate) fn from_byte(byte: u8) -> Option<Self> {
        Self::ALL.get(usize::from(byte)).copied()
    }

    /// The priority of the lane's stream: higher goes first.
    pub(crate) fn priority(self) -> i32 {
        match self {
            Self::Foreground(_) => 2,
            Self::Background => 1,
            Self::Bulk => 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_lane_is_found_again_by_its_byte() {
        for lane in Lane::ALL {
            let byte = u8::try_from(lane.index()).expect("few lanes");
            assert_eq!(Lane::from_byte(byte), Some(lane));
        }
        assert_eq!(Lane::from_byte(4), None);
        assert_eq!(Lane::Foreground(7).index(), Lane::Foreground(1).index());
    }
}
