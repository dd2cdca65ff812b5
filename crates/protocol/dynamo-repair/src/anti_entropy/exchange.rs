//! The exchange of the records in which two replicas differ (protocol rule 4).
//!
//! Each side sends what it holds of them as *state*: read when its turn comes, so as it is then; in
//! pieces of one sibling; and with at most [`WINDOW_BYTES`] on their way to the other side's disk,
//! one piece more at most. As much is read ahead, going by the size of the last records. The other side answers when a message is stored, synced.
//! At the end each says that it has sent all that it owes.

use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::vec::Vec;

use dynamo_messages::repair::{StateMessage, StateRecord};
use dynamo_types::ObjectName;
use dynamo_versioning::{Dot, DotSet, Record};

use super::finding::{Differing, HeldBy, NameKey, Sides};

/// Bytes sent and not stored yet. Part of the protocol: the receiver takes no more. It keeps a disk
/// busy that syncs every few milliseconds.
const WINDOW_BYTES: usize = 256 << 10;
/// Bytes of small records in one message, so that several messages fit the window.
const BATCH_BYTES: usize = 32 << 10;
/// Records in one message: far below what a receiver allows.
const BATCH_RECORDS: usize = 1024;
/// Records read at once: enough for a disk, and few enough should they all turn out large after
/// many small ones.
const READS_AT_ONCE: usize = 16;
/// What records are taken to have before the first was read.
const RECORD_BYTES_GUESS: usize = 1 << 10;
/// What a name may add to a record.
const NAME_BYTES: usize = 64;

/// One side's part in the exchange of a session.
#[derive(Debug, Default)]
pub(super) struct Exchange {
    /// Whether this side, or the other, is incomplete.
    here_incomplete: bool,
    there_incomplete: bool,
    /// Whether this side, or the other, has left the partition.
    sides: Sides,
    /// Names of records to send; bounded, as is `expected`, by how many an initiator settles before
    /// those settled are exchanged.
    to_send: VecDeque<ObjectName>,
    /// Reads under way; their sizes together are guessed to fit the window.
    reading: usize,
    /// What was read and not sent yet, with its bytes.
    outgoing: VecDeque<(StateRecord, usize)>,
    outgoing_bytes: usize,
    /// The greatest of the last few records.
    typical_bytes: usize,
    next_number: u32,
    /// Messages that are not stored yet: the names of their records, and their bytes.
    in_flight: BTreeMap<u32, (Vec<ObjectName>, usize)>,
    in_flight_bytes: usize,
    /// Records that the other side owes.
    expected: BTreeSet<NameKey>,
    next_received: u32,
    /// Messages of the other side that are being stored; as many as fit the window.
    storing: BTreeMap<u32, Storing>,
    storing_bytes: usize,
    /// Records from which versions are being dropped; at most those of the messages in flight.
    dropping: usize,
    /// Whether it is known what is to be sent and expected.
    found: bool,
    /// Whether the other side was told that all was sent.
    sent: bool,
    theirs: Option<Sent>,
    /// What went wrong so far.
    pub(super) faults: Faults,
    effects: VecDeque<ExchangeEffect>,
}

/// Why an exchange is not complete.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Faults {
    /// Not everything that differs was looked at here, or a record could not be read.
    pub(super) left_out_here: bool,
    /// The same at the other side, by its own words.
    left_out_there: bool,
    /// One of the disks refused a record.
    refused: bool,
    /// A message of the other side is missing, or all are there and do not have what is owed.
    missing: bool,
}

/// What the other side said at the end.
#[derive(Debug)]
struct Sent {
    horizon: Option<DotSet>,
}

/// A message whose records are being stored.
#[derive(Debug)]
struct Storing {
    /// Stores that have not ended.
    left: usize,
    bytes: usize,
    refused: bool,
    collected: Vec<(u32, Dot)>,
    /// Records that are there as a whole once this is stored.
    whole: Vec<NameKey>,
}

/// What shall be done.
#[derive(Debug)]
pub(super) enum ExchangeEffect {
    Send(StateMessage),
    Read(ObjectName),
    /// Merge the pieces, then call [`Exchange::stored`] with message and place.
    Store {
        number: u32,
        place: u32,
        name: ObjectName,
        pieces: Vec<Record>,
    },
    /// The other side has collected these versions, and this one is incomplete.
    Drop {
        name: ObjectName,
        dots: Vec<Dot>,
    },
    /// All that this side owes is sent: call [`Exchange::say_sent`].
    AllSent,
}

impl Exchange {
    pub(super) fn new(here_incomplete: bool, sides: Sides) -> Self {
        Self { here_incomplete, sides, typical_bytes: RECORD_BYTES_GUESS, ..Self::default() }
    }

    /// The other side takes part.
    pub(super) fn opened(&mut self, there_incomplete: bool) {
        self.there_incomplete = there_incomplete;
    }

    /// Whether the other side is incomplete.
    pub(super) fn is_other_incomplete(&self) -> bool {
        self.there_incomplete
    }

    /// These records differ.
    pub(super) fn differ(&mut self, records: Vec<Differing>) {
        for Differing { name, held_by } in records {
            // An incomplete side offers everything, so that it hears what was collected (history 11).
            let asks = !self.sides.here_left || self.there_incomplete;
            let offers = !self.sides.there_left || self.here_incomplete;
            if held_by != HeldBy::Here && asks {
                self.expected.insert(NameKey::of(&name));
            }
            if held_by != HeldBy::There && offers {
                self.to_send.push_back(name);
            }
        }
        self.go_on();
    }

    /// No more will differ.
    pub(super) fn found(&mut self, complete: bool) {
        self.found = true;
        self.faults.left_out_here |= !complete;
        self.go_on();
    }

    /// A record is read, as it is now; none if there is none.
    pub(super) fn read(&mut self, name: ObjectName, record: Option<&Record>) {
        self.reading = self.reading.saturating_sub(1);
        let pieces: Vec<Record> = record.into_iter().flat_map(Record::pieces).collect();
        let bytes: usize = pieces.iter().map(Record::encoded_len).sum::<usize>() + NAME_BYTES;
        self.typical_bytes = bytes.max(self.typical_bytes / 2);
        if pieces.is_empty() {
            self.push(StateRecord { name, pieces, last: true });
        } else {
            let count = pieces.len();
            for (place, piece) in pieces.into_iter().enumerate() {
                let last = place + 1 == count;
                self.push(StateRecord { name: name.clone(), pieces: alloc::vec![piece], last });
            }
        }
        self.go_on();
    }

    /// A record cannot be read.
    pub(super) fn unreadable(&mut self) {
        self.reading = self.reading.saturating_sub(1);
        self.faults.left_out_here = true;
        self.go_on();
    }

    /// The other side said something. False if that ends the session: it gives up or breaks a rule.
    pub(super) fn receive(&mut self, message: StateMessage) -> bool {
        let bytes = usize::try_from(message.cost().total()).unwrap_or(usize::MAX);
        match message {
            StateMessage::State { number, records } => {
                if number < self.next_received {
                    return true; // doubled
                }
                if self.storing_bytes >= WINDOW_BYTES {
                    return false;
                }
                // What was in between has as good as not been sent.
                self.faults.missing |= number > self.next_received;
                self.next_received = number.saturating_add(1);
                self.store(number, records, bytes);
            }
            StateMessage::Stored { number, refused, collected } => {
                let Some((names, bytes)) = self.in_flight.remove(&number) else { return true };
                self.in_flight_bytes -= bytes;
                self.faults.refused |= refused;
                self.drop_collected(&names, collected);
            }
            StateMessage::Sent { complete, horizon } => {
                if self.theirs.is_none() {
                    self.faults.left_out_there |= !complete;
                    self.theirs = Some(Sent { horizon });
                }
            }
            StateMessage::Aborted => return false,
        }
        self.go_on();
        true
    }

    /// A store of this place of this message has ended.
    pub(super) fn stored(&mut self, number: u32, place: u32, outcome: Result<Vec<Dot>, ()>) {
        let Some(storing) = self.storing.get_mut(&number) else { return };
        storing.left = storing.left.saturating_sub(1);
        match outcome {
            Ok(collected) if self.there_incomplete => {
                storing.collected.extend(collected.into_iter().map(|dot| (place, dot)));
            }
            Ok(_) => {}
            Err(()) => storing.refused = true,
        }
        self.end_stored(number);
        self.go_on();
    }

    /// Versions that the other side has collected are not here any more, or the disk refused that.
    pub(super) fn dropped(&mut self, outcome: Result<(), ()>) {
        self.dropping = self.dropping.saturating_sub(1);
        self.faults.refused |= outcome.is_err();
    }

    /// Tells the other side that all was sent. `horizon` is what was collected here if that has
    /// grown since the session began.
    pub(super) fn say_sent(&mut self, horizon: Option<DotSet>) {
        if self.sent {
            return;
        }
        self.sent = true;
        let complete = !self.faults.left_out_here;
        self.effects.push_back(ExchangeEffect::Send(StateMessage::Sent { complete, horizon }));
    }

    pub(super) fn poll_effect(&mut self) -> Option<ExchangeEffect> {
        self.effects.pop_front()
    }

    /// How many records are settled and not exchanged, in both directions.
    pub(super) fn backlog(&self) -> usize {
        let in_flight: usize = self.in_flight.values().map(|(names, _)| names.len()).sum();
        self.to_send.len() + self.reading + self.outgoing.len() + in_flight + self.expected.len()
    }

    /// Whether the other side or the disk has something to do for this exchange.
    pub(super) fn is_waiting(&self) -> bool {
        self.found || self.backlog() > 0 || !self.storing.is_empty() || self.dropping > 0
    }

    /// Whether both sides have done all that they will: then the horizon that the other side sent,
    /// if the exchange is complete.
    pub(super) fn outcome(&mut self) -> Option<Result<Option<DotSet>, Faults>> {
        let is_over = self.found
            && self.sent
            && self.in_flight.is_empty()
            && self.storing.is_empty()
            && self.dropping == 0;
        if !is_over {
            return None;
        }
        let horizon = self.theirs.as_ref()?.horizon.clone();
        self.faults.missing |= !self.expected.is_empty();
        let is_complete = self.faults == Faults::default();
        Some(if is_complete { Ok(horizon) } else { Err(self.faults) })
    }

    fn push(&mut self, record: StateRecord) {
        let length: usize = record.pieces.iter().map(Record::encoded_len).sum();
        let bytes = length + record.name.key.as_bytes().len() + NAME_BYTES;
        self.outgoing_bytes += bytes;
        self.outgoing.push_back((record, bytes));
    }

    /// Reads and sends what there is room for.
    fn go_on(&mut self) {
        while !self.to_send.is_empty() && self.reading < READS_AT_ONCE {
            let held = self.in_flight_bytes + self.outgoing_bytes;
            let under_way = held + self.reading * self.typical_bytes;
            if under_way > 0 && under_way + self.typical_bytes > WINDOW_BYTES {
                break;
            }
            let Some(name) = self.to_send.pop_front() else { break };
            self.reading += 1;
            self.effects.push_back(ExchangeEffect::Read(name));
        }
        while self.in_flight_bytes < WINDOW_BYTES
            && !self.outgoing.is_empty()
            && (self.reading == 0 || self.outgoing_bytes >= BATCH_BYTES)
        {
            self.send_batch();
        }
        let is_empty = self.to_send.is_empty() && self.reading == 0 && self.outgoing.is_empty();
        if self.found && is_empty && !self.sent {
            self.effects.push_back(ExchangeEffect::AllSent);
        }
    }

    fn send_batch(&mut self) {
        let mut records = Vec::new();
        let mut gathered = 0;
        while let Some((_, bytes)) = self.outgoing.front()
            && (records.is_empty() || gathered + bytes <= BATCH_BYTES)
            && records.len() < BATCH_RECORDS
        {
            let (record, bytes) = self.outgoing.pop_front().expect("looked at");
            self.outgoing_bytes -= bytes;
            gathered += bytes;
            records.push(record);
        }
        let names = records.iter().map(|record| record.name.clone()).collect();
        let number = self.next_number;
        self.next_number += 1;
        let message = StateMessage::State { number, records };
        let bytes = usize::try_from(message.cost().total()).expect("it is in memory");
        self.in_flight.insert(number, (names, bytes));
        self.in_flight_bytes += bytes;
        self.effects.push_back(ExchangeEffect::Send(message));
    }

    fn store(&mut self, number: u32, records: Vec<StateRecord>, bytes: usize) {
        let mut storing =
            Storing { left: 0, bytes, refused: false, collected: Vec::new(), whole: Vec::new() };
        for (place, StateRecord { name, pieces, last }) in (0..).zip(records) {
            let key = NameKey::of(&name);
            if !self.expected.contains(&key) {
                continue; // nobody asked for it
            }
            if last {
                storing.whole.push(key);
            }
            if !pieces.is_empty() {
                storing.left += 1;
                self.effects.push_back(ExchangeEffect::Store { number, place, name, pieces });
            }
        }
        self.storing_bytes += bytes;
        self.storing.insert(number, storing);
        self.end_stored(number);
    }

    fn end_stored(&mut self, number: u32) {
        if self.storing.get(&number).is_none_or(|storing| storing.left > 0) {
            return;
        }
        let Some(Storing { bytes, refused, collected, whole, .. }) = self.storing.remove(&number)
        else {
            return;
        };
        self.storing_bytes -= bytes;
        self.faults.refused |= refused;
        for key in whole {
            self.expected.remove(&key);
        }
        let stored = StateMessage::Stored { number, refused, collected };
        self.effects.push_back(ExchangeEffect::Send(stored));
    }

    fn drop_collected(&mut self, names: &[ObjectName], collected: Vec<(u32, Dot)>) {
        if !self.here_incomplete {
            return;
        }
        let mut by_name: BTreeMap<&ObjectName, Vec<Dot>> = BTreeMap::new();
        for (place, dot) in collected {
            if let Some(name) = names.get(place as usize) {
                by_name.entry(name).or_default().push(dot);
            }
        }
        self.dropping += by_name.len();
        for (name, dots) in by_name {
            self.effects.push_back(ExchangeEffect::Drop { name: name.clone(), dots });
        }
    }
}

#[cfg(test)]
mod tests;
