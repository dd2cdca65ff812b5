//! Histories that break looser rules, step by step.

use dynamo_types::{ActorId, NodeId, Reconciliation, WallTime};
use dynamo_versioning::testing::{put, value};
use dynamo_versioning::{
    Applied, ClientContext, Content, Dot, DotClock, DotMint, DotSet, Hlc, HybridClock, Put, Record,
    StoredRecord, View, apply_put, collectable, receive_delayed, receive_state, shrink,
};

const WALL: WallTime = WallTime(1_000_000);

/// One replica of one key.
struct Replica {
    row: StoredRecord,
    mint: DotMint,
    hybrid: HybridClock,
    wall: WallTime,
    clock: DotClock,
    requests: u128,
}

impl Replica {
    fn new(actor: u64) -> Self {
        Self {
            row: StoredRecord::default(),
            mint: DotMint::new(ActorId(actor)),
            hybrid: HybridClock::new(),
            wall: WALL,
            clock: DotClock::new(),
            requests: 0,
        }
    }

    fn apply(&mut self, put: Put) -> Applied {
        let Self { row, mint, hybrid, wall, .. } = self;
        let applied = apply_put(row, mint, hybrid, *wall, put, 100).expect("few siblings");
        self.clock.incorporate(&self.row.record);
        applied
    }

    fn put(&mut self, content: Content, context: &DotSet) -> Applied {
        self.requests += 1;
        let request = u128::from(self.mint.actor().0) << 64 | self.requests;
        self.apply(put(content, context, Hlc::ZERO, request))
    }

    fn write(&mut self, text: &'static str, context: &DotSet) -> Applied {
        self.put(value(text), context)
    }

    fn receive(&mut self, message: &Record) -> dynamo_versioning::Received {
        let received = receive_delayed(&mut self.row, message, &self.clock);
        self.clock.incorporate(&self.row.record);
        received
    }

    fn receive_state(&mut self, message: &Record, sender: &DotClock) {
        receive_state(&mut self.row, message, &self.clock, sender);
        self.clock.incorporate(&self.row.record);
    }

    fn restart(&mut self, actor: u64) {
        self.mint = DotMint::new(ActorId(actor));
        self.hybrid = HybridClock::new();
    }

    /// Collects with a cut of these replicas' clocks.
    fn collect(&mut self, cut: &DotSet) {
        assert!(collectable(&self.row.record, self.wall, cut));
        let row = core::mem::take(&mut self.row);
        self.clock.collected(row.record.context());
    }

    fn dots(&self) -> Vec<Dot> {
        self.row.record.dots().collect()
    }
}

fn dots(list: &[(u64, u64)]) -> DotSet {
    list.iter().map(|(actor, counter)| Dot::new(ActorId(*actor), *counter)).collect()
}

fn dot(actor: u64, counter: u64) -> Dot {
    Dot::new(ActorId(actor), counter)
}

fn none() -> DotSet {
    DotSet::new()
}

#[test]
fn history_01_a_damaged_copy_does_not_turn_into_a_delete_on_every_replica() {
    let [mut a, mut b] = [Replica::new(1), Replica::new(2)];
    let first = a.write("first", &none());
    b.receive(&first.write);

    // b's record rots and b does not know; a client that has seen nothing writes again.
    b.row = StoredRecord::default();
    a.write("second", &none());
    let whole_record = a.row.record.clone();
    let received = b.receive(&whole_record);
    assert_eq!(received.lost, [first.dot], "b's clock has it, b's horizon has not");
    assert_eq!(b.dots(), a.dots());

    // The same with the new version alone, which says nothing of the first.
    b.row = StoredRecord::default();
    let third = a.write("third", &none());
    b.receive(&third.write);
    assert!(!b.row.record.covers(first.dot));
    a.receive_state(&b.row.record, &b.clock);
    assert!(a.dots().contains(&first.dot));
}

#[test]
fn history_01_a_version_turned_away_leaves_no_claim() {
    let [mut a, mut b, mut c] = [Replica::new(1), Replica::new(2), Replica::new(3)];
    let old = a.write("old", &none());
    let delete = a.put(Content::Tombstone, &old.reply_context);
    b.receive(&old.write);
    b.receive(&delete.write);
    let cut = b.clock.dots.intersection(&a.clock.dots);
    b.collect(&cut);

    // A late copy of the old version arrives together with one that b has not seen.
    let new = c.write("new", &none());
    let mut late = old.write.clone();
    late.merge(&new.write);
    let received = b.receive(&late);
    assert_eq!(received.obsolete, [old.dot]);
    assert_eq!(b.dots(), [new.dot]);
    assert!(
        !b.row.record.covers(old.dot),
        "it was collected, and no put of this record replaced it"
    );

    // Alone it does not even bring an empty row back.
    b.row = StoredRecord::default();
    let received = b.receive(&old.write);
    assert_eq!((received.changed, received.obsolete), (false, vec![old.dot]));
    assert!(b.row.record.is_empty());
}

#[test]
fn history_02_a_context_shrinks_only_when_all_of_it_is_inside_the_cut() {
    let [mut b, mut c] = [Replica::new(2), Replica::new(3)];
    let first = b.write("first", &none());
    c.receive(&first.write);
    c.write("second", &first.reply_context);
    let mut record = c.row.record.clone();
    assert!(!shrink(&mut record, &dots(&[(2, 1)])), "the version that replaced it is not stable");
    assert_eq!(record, c.row.record);
    assert!(shrink(&mut record, &dots(&[(2, 1), (3, 1)])));
    assert_eq!(*record.context(), dots(&[(3, 1)]));
    assert!(!shrink(&mut record, &dots(&[(2, 1), (3, 1)])), "nothing is left to remove");
}

#[test]
fn history_02_state_from_before_a_replacement_does_not_bring_back_what_was_cut_off() {
    let [mut a, mut b] = [Replica::new(1), Replica::new(2)];
    let old = b.write("old", &none());
    a.receive(&old.write);
    // b's record and clock set out for a, and arrive late.
    let (late, late_clock) = (b.row.record.clone(), b.clock.clone());
    let new = b.write("new", &old.reply_context);
    a.receive(&new.write);
    let before = a.row.record.context().clone();
    assert!(shrink(&mut a.row.record, &a.clock.dots.intersection(&b.clock.dots)));
    a.clock.collected(&before);

    a.receive_state(&late, &late_clock);
    assert_eq!(a.dots(), [new.dot]);
}

#[test]
fn history_03_a_slow_clock_does_not_destroy_what_the_newest_wins_over() {
    let [mut a, mut b, mut c] = [Replica::new(1), Replica::new(2), Replica::new(3)];
    (a.wall, b.wall, c.wall) = (WallTime(10), WallTime(20), WallTime(5));
    let from_a = a.write("a", &none());
    let from_b = b.write("b", &none());
    let from_c = c.apply(put(value("c"), &from_b.reply_context, from_b.reply_hlc, 3));
    assert!(from_c.reply_hlc > from_b.reply_hlc, "later than what it replaces, whatever its clock");

    // a and b hear of the others in different orders, then exchange.
    b.receive(&from_a.write);
    b.receive(&from_c.write);
    a.receive(&from_c.write);
    let (ours, theirs) = (a.row.record.clone(), b.row.record.clone());
    a.receive_state(&theirs, &b.clock);
    b.receive_state(&ours, &a.clock);
    assert_eq!(a.row.record, b.row.record);
    assert_eq!(a.dots(), [from_a.dot, from_c.dot], "both concurrent writes are there");

    let view = View::of(&a.row.record, Reconciliation::LastWriteWins, WALL);
    assert_eq!(view.visible.iter().map(|s| s.dot).collect::<Vec<_>>(), [from_c.dot]);
    assert!(view.context.contains(from_a.dot), "the next put replaces the hidden one too");
}

#[test]
fn history_03_tombstones_merge_like_any_version() {
    let [mut x, mut y, mut z] = [Replica::new(1), Replica::new(2), Replica::new(3)];
    x.put(Content::Tombstone, &none());
    y.put(Content::Tombstone, &none());
    let y_seen = y.row.record.context().clone();
    z.receive(&y.row.record.clone());
    z.write("a", &y_seen);
    let [x, y, z] = [x, y, z].map(|replica| replica.row.record);
    let joined = |parts: [&Record; 3]| {
        let mut all = Record::new();
        parts.into_iter().for_each(|part| {
            all.merge(part);
        });
        all
    };
    assert_eq!(joined([&x, &y, &z]), joined([&y, &z, &x]));
    assert_eq!(joined([&x, &y, &z]), joined([&z, &x, &y]));
}

#[test]
fn history_05_a_restarted_process_claims_nothing_that_its_predecessor_sent() {
    let [mut a, mut b] = [Replica::new(1), Replica::new(2)];
    let first = a.write("first", &none());
    b.receive(&first.write);

    // The second put reaches b; a is killed before its own store.
    let before = a.row.clone();
    let second = a.write("second", &none());
    b.receive(&second.write);
    a.row = before;
    a.restart(0xa2);

    let third = a.write("third", &first.reply_context);
    b.receive(&third.write);
    assert_eq!(b.dots(), [second.dot, third.dot], "nobody had seen the second");
}

#[test]
fn history_05_a_failed_store_raises_the_floor() {
    let [mut a, mut b] = [Replica::new(1), Replica::new(2)];
    let first = a.write("first", &none());
    b.receive(&first.write);
    let before = a.row.clone();
    let second = a.write("second", &none());
    b.receive(&second.write);
    a.row = before;
    a.mint.raise_floor();

    let third = a.write("third", &first.reply_context);
    assert!(!third.reply_context.contains(second.dot));
    b.receive(&third.write);
    assert_eq!(b.dots(), [second.dot, third.dot]);

    // From the new interval on, extending is allowed again.
    let fourth = a.write("fourth", &third.reply_context);
    assert_eq!(fourth.reply_context.interval_count(), third.reply_context.interval_count());
}

#[test]
fn history_05_a_row_made_by_a_merge_begins_an_interval_of_its_own() {
    let [mut a, mut b] = [Replica::new(1), Replica::new(2)];
    let first = a.write("first", &none());
    let second = a.write("second", &none());
    // a loses the row; only the first version comes back to it.
    a.row = StoredRecord::default();
    a.receive(&first.write);
    assert_eq!(a.row.own, None);
    let third = a.write("third", &first.reply_context);
    b.receive(&second.write);
    b.receive(&third.write);
    assert_eq!(b.dots(), [second.dot, third.dot]);
}

#[test]
fn history_09_two_attempts_at_one_put_show_as_one() {
    let [mut a, mut b] = [Replica::new(1), Replica::new(2)];
    let attempt = put(value("cart"), &none(), Hlc::ZERO, 77);
    let first = a.apply(attempt.clone());
    let retried = b.apply(attempt);
    let other_body = b.apply(put(value("other"), &none(), Hlc::ZERO, 77));
    a.receive(&retried.write);
    a.receive(&other_body.write);
    assert_eq!(a.dots().len(), 3, "the record keeps all of them");
    let view = View::of(&a.row.record, Reconciliation::Siblings, WALL);
    let shown: Vec<Dot> = view.visible.iter().map(|s| s.dot).collect();
    assert_eq!(shown, [first.dot, other_body.dot], "the smaller dot stands for both attempts");
    assert!(view.context.contains(retried.dot));
}

#[test]
fn history_27_a_put_reply_covers_what_the_client_saw_and_nothing_else() {
    let mut a = Replica::new(1);
    let first = a.write("first", &none());
    let unseen = a.write("unseen", &none());
    let second = a.write("second", &first.reply_context);
    assert!(!second.reply_context.contains(unseen.dot));
    let third = a.write("third", &second.reply_context);
    assert_eq!(a.dots(), [unseen.dot, third.dot]);
}

#[test]
fn history_27_a_reply_is_extended_only_from_where_the_record_ended() {
    let mut a = Replica::new(1);
    let first = a.write("first", &none());
    // Other keys take numbers 2 and 3.
    a.mint.next();
    a.mint.next();
    let fourth = a.write("fourth", &first.reply_context);
    assert_eq!(fourth.reply_context.interval_count(), 1, "(0, 1] went on to (0, 4]");
    let blind = a.write("blind", &none());
    let late = a.write("late", &fourth.reply_context);
    assert_eq!(blind.reply_context, dots(&[(1, 5)]));
    assert_eq!(late.reply_context.last_interval(ActorId(1)), Some((5, 6)));
    assert!(!late.reply_context.contains(blind.dot));
}

#[test]
fn history_27_several_contexts_join_into_one_put() {
    let [mut a, mut b] = [Replica::new(1), Replica::new(2)];
    let left = a.write("left", &none());
    let right = b.write("right", &none());
    a.receive(&right.write);
    let context = ClientContext::join([
        ClientContext::of_put(&left, None),
        ClientContext::of_put(&right, Some(NodeId(2))),
    ]);
    assert_eq!(context.fastest, Some(NodeId(2)));
    let both = a.write("both", &context.dots);
    assert_eq!(a.dots(), [both.dot]);
}

/// A replica that heard of a replacement without having it would drop a version whose replacement
/// dies with the coordinator's disk.
#[test]
fn a_write_beside_others_does_not_claim_what_those_replaced() {
    let [mut a, mut b] = [Replica::new(1), Replica::new(2)];
    let acknowledged = a.write("acknowledged", &none());
    b.receive(&acknowledged.write);
    // Its replacement is stored by a alone; then a client that has seen nothing writes.
    a.write("replacement", &acknowledged.reply_context);
    let blind = a.write("blind", &none());
    b.receive(&blind.write);
    drop(a);
    assert_eq!(b.dots(), [acknowledged.dot, blind.dot]);
}

/// Contexts are intervals of counters that all keys of a partition share.
#[test]
fn a_clock_does_not_claim_the_numbers_of_other_keys() {
    let [mut a, mut b] = [Replica::new(1), Replica::new(2)];
    let first = a.write("first", &none());
    // A delete of another key takes number 2 and never reaches b.
    let delete_elsewhere = a.mint.next();
    let third = a.write("third", &first.reply_context);
    b.receive(&third.write);
    assert!(b.row.record.covers(delete_elsewhere), "the interval spans it");
    assert!(!b.clock.includes(delete_elsewhere), "so b must not report it as incorporated");
    assert!(b.clock.includes(dot(1, 3)));
}

#[test]
fn history_29_replicas_that_heard_in_another_order_hold_the_same_bytes() {
    let [mut a, mut b, mut c, mut d] = [1, 2, 3, 4].map(Replica::new);
    let first = a.write("first", &none());
    let second = b.write("second", &none());
    let third = b.write("third", &first.reply_context);
    for sent in [&first, &second, &third] {
        c.receive(&sent.write);
    }
    for sent in [&third, &first, &second] {
        d.receive(&sent.write);
    }
    assert_eq!(c.dots(), [second.dot, third.dot]);
    assert_eq!(c.row.record.encode(), d.row.record.encode());
}

#[test]
fn each_piece_says_what_its_own_version_replaced_and_nothing_else() {
    let [mut a, mut b] = [Replica::new(1), Replica::new(2)];
    let left = a.write("left", &none());
    let right = b.write("right", &none());
    a.receive(&right.write);
    let newer_left = a.write("newer left", &left.reply_context);
    let newer_right = b.write("newer right", &right.reply_context);
    a.receive(&newer_right.write);

    let pieces: Vec<Record> = a.row.record.pieces().collect();
    let claims: Vec<_> = pieces.iter().map(|piece| piece.context().clone()).collect();
    assert_eq!(claims, [dots(&[(1, 1), (1, 2)]), dots(&[(2, 1), (2, 2)])]);
    assert_eq!(a.row.record.version(newer_left.dot).as_ref(), Some(&pieces[0]));
    assert_eq!(a.row.record.version(left.dot), None);
}

/// Both were incomplete, and what one collected is in horizons alone since. The other holds a version
/// with such a number, and has joined the horizon: else the two would stay apart for ever.
#[test]
fn state_merges_where_the_sender_has_joined_what_was_collected() {
    let (mut a, mut b) = (Replica::new(1), Replica::new(2));
    b.write("alive", &DotSet::new());
    let forgotten = Dot::new(ActorId(9), 7);
    a.clock.dots = b.clock.dots.clone();
    a.clock.horizon = b.clock.dots.clone();
    a.clock.horizon.insert(forgotten);
    a.receive_state(&b.row.record, &b.clock);
    assert!(
        a.row.record.siblings().is_empty(),
        "b has not joined it: this may be as old as any message"
    );
    b.clock.horizon.insert(forgotten);
    a.receive_state(&b.row.record, &b.clock);
    assert!(a.row.record.same_versions(&b.row.record));
}
