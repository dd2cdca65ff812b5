//! The budget: how its share follows what foreground requests wait for, and how much work a share allows.

use super::*;

const WINDOW: Duration = Duration::from_millis(200);
const USUAL: Duration = Duration::from_millis(1);
const SLOW: Duration = Duration::from_millis(4);

fn learned() -> u32 {
    BudgetConfig::default().learned
}

/// A node with foreground requests, and background work if it `works`.
struct World {
    budget: Budget,
    now: Instant,
}

impl World {
    fn new() -> Self {
        let budget = Budget::new(BudgetConfig::default(), Instant::ZERO);
        Self { budget, now: Instant::ZERO }
    }

    /// A window in which `requests` wait, of them one in four for `slow`.
    fn window(&mut self, requests: u32, slow: Duration, works: bool) {
        for request in 0..requests {
            let took = if request % 4 == 0 { slow } else { USUAL };
            self.budget.waited(self.now, Waited::Store, took);
        }
        if works {
            self.budget.spend(self.now, Work::Exchange, 1);
        }
        self.now = self.now + WINDOW;
        self.budget.tick(self.now, None);
    }

    /// A node that has learned what is usual.
    fn used() -> Self {
        let mut world = Self::new();
        for _ in 0..50 {
            world.window(40, USUAL, false);
        }
        world
    }

    fn share_after(&mut self, windows: u32, requests: u32, slow: Duration) -> u8 {
        for _ in 0..windows {
            self.window(requests, slow, true);
        }
        self.budget.share()
    }
}

#[test]
fn work_begins_gently_and_grows_to_the_whole_while_nobody_is_slower() {
    let mut world = World::used();
    assert_eq!(world.budget.share(), BudgetConfig::default().start);
    world.budget.spend(world.now, Work::Exchange, 1);
    let mut before = world.budget.share();
    for _ in 0..100 {
        let share = world.share_after(1, 40, USUAL);
        assert_eq!(share, (before + STEP).min(100));
        before = share;
    }
    assert_eq!(before, 100, "within twenty seconds");
}

#[test]
fn while_nobody_asks_the_share_doubles() {
    let mut world = World::used();
    world.budget.spend(world.now, Work::Exchange, 1);
    assert_eq!(world.share_after(6, 0, USUAL), 100);
}

#[test]
fn slower_requests_halve_the_share_but_never_to_nothing_and_it_grows_again_slowly() {
    let mut world = World::used();
    world.budget.spend(world.now, Work::Exchange, 1);
    assert_eq!(world.share_after(100, 40, USUAL), 100);
    assert_eq!(world.share_after(1, 40, SLOW), 50);
    assert_eq!(world.share_after(1, 40, SLOW), 25);
    assert_eq!(world.share_after(4, 40, SLOW), 1);
    assert_eq!(world.share_after(1, 40, USUAL), 1 + STEP);
    assert_eq!(world.share_after(100, 40, USUAL), 100);
}

#[test]
fn who_begins_with_work_learns_what_is_usual_before_there_is_more() {
    let mut world = World::new();
    let start = world.budget.share();
    assert_eq!(world.share_after(learned() / 40, 40, SLOW), start);
    assert_eq!(world.share_after(100, 40, SLOW), 100, "slow is usual here");
}

#[test]
fn one_slow_request_is_no_sign_and_neither_are_a_few() {
    let mut world = World::used();
    world.budget.spend(world.now, Work::Exchange, 1);
    assert_eq!(world.share_after(100, 40, USUAL), 100);
    assert_eq!(world.share_after(10, SAMPLES_MIN - 1, SLOW), 100, "too few to tell");
    for _ in 0..20 {
        world.budget.waited(world.now, Waited::Read, USUAL);
    }
    world.budget.waited(world.now, Waited::Read, SLOW);
    assert_eq!(world.share_after(1, 0, USUAL), 100, "one of 21 took long");
}

#[test]
fn what_is_usual_is_learned_at_rest_or_beside_next_to_no_work() {
    // What becomes slower at rest is not slow for the work.
    let mut world = World::used();
    for _ in 0..100 {
        world.window(40, SLOW, false);
    }
    world.budget.spend(world.now, Work::Exchange, 1);
    assert_eq!(world.share_after(100, 40, SLOW), 100);
    // Neither is what stays slow though there is next to no work.
    let mut world = World::used();
    world.budget.spend(world.now, Work::Exchange, 1);
    assert_eq!(world.share_after(3, 40, SLOW), 1);
    assert_eq!(world.share_after(200, 40, SLOW), 100);
    // But what is slow now and then beside more work stays so.
    let mut world = World::used();
    let mut shares = 0;
    for _ in 0..200 {
        let slow = if world.budget.share() > 20 { SLOW } else { USUAL };
        shares += u32::from(world.share_after(1, 40, slow));
    }
    assert!((10..25).contains(&(shares / 200)), "about 20 in a hundred: {}", shares / 200);
}

#[test]
fn after_a_rest_work_begins_anew() {
    let mut world = World::used();
    world.budget.spend(world.now, Work::Exchange, 1);
    assert_eq!(world.share_after(100, 40, USUAL), 100);
    for _ in 0..8 {
        world.window(40, USUAL, false);
        assert_eq!(world.budget.share(), 100);
    }
    world.window(40, USUAL, false);
    world.window(40, USUAL, false);
    assert_eq!(world.budget.share(), BudgetConfig::default().start);
}

/// How many units begin within a second at this share.
fn units_in_a_second(share: u8, piece: u32) -> u32 {
    let config = BudgetConfig { start: share, ..BudgetConfig::default() };
    let mut budget = Budget::new(config, Instant::ZERO);
    let mut now = Instant::ZERO;
    let mut done = 0;
    while now < Instant::ZERO + Duration::from_secs(1) {
        if budget.has_room(now, Work::Exchange) {
            budget.spend(now, Work::Exchange, piece);
            done += piece;
            assert!(done < 1_000_000, "no bound");
        } else {
            let next = budget.next_room(Work::Exchange);
            assert!(next > now, "time goes on");
            now = next;
            assert!(budget.has_room(now, Work::Exchange), "there is room when it was promised");
        }
    }
    done
}

#[test]
fn a_share_is_a_rate_whatever_the_pieces() {
    for share in [1, 5, 50, 99] {
        for piece in [1, 7, 64] {
            let most = 200 * u32::from(share);
            let done = units_in_a_second(share, piece);
            let kept = (most / 50).max(16);
            assert!(done >= most - piece && done <= most + kept + piece * 2, "{share}: {done}");
        }
    }
}

#[test]
fn at_the_whole_there_is_no_bound_and_nothing_is_owed_afterwards() {
    let config = BudgetConfig { start: 100, ..BudgetConfig::default() };
    let mut budget = Budget::new(config, Instant::ZERO);
    for _ in 0..100_000 {
        assert!(budget.has_room(Instant::ZERO, Work::Exchange));
        budget.spend(Instant::ZERO, Work::Exchange, 100);
    }
    for took in [USUAL, SLOW] {
        for _ in 0..learned() {
            budget.waited(Instant::ZERO, Waited::Read, took);
        }
    }
    budget.tick(Instant::ZERO + WINDOW, None);
    assert_eq!(budget.share(), 50);
    assert!(budget.has_room(Instant::ZERO + WINDOW, Work::Exchange));
}

#[test]
fn one_kind_of_work_takes_nothing_from_the_other() {
    let mut budget = Budget::new(BudgetConfig::default(), Instant::ZERO);
    budget.spend(Instant::ZERO, Work::Exchange, 1_000_000);
    assert!(!budget.has_room(Instant::ZERO, Work::Exchange));
    assert!(budget.has_room(Instant::ZERO, Work::Upkeep));
    budget.spend(Instant::ZERO, Work::Upkeep, 1_000);
    assert!(!budget.has_room(Instant::ZERO, Work::Upkeep));
    assert!(budget.next_room(Work::Upkeep) < budget.next_room(Work::Exchange));
}

#[test]
fn a_disk_that_stands_still_is_no_sign_that_nobody_waits() {
    let mut world = World::used();
    let mut left = None;
    for _ in 0..10 {
        world.budget.spend(world.now, Work::Exchange, 1);
        let since = *left.get_or_insert(world.now);
        world.now = world.now + WINDOW;
        world.budget.tick(world.now, Some(since));
        assert!(world.budget.share() <= BudgetConfig::default().start, "{}", world.budget.share());
    }
    assert_eq!(world.budget.share(), 1);
}
