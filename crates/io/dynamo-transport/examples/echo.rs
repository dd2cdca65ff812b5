//! What a round trip costs: an echo over one link on loopback, in CPU of the whole process.
//!
//! `cargo run --release -p dynamo-transport --example echo --features issue [round trips [in flight [bytes]]]`
//!
//! Both ends run in one thread. The time is that of the process, so it holds still when the host is
//! busy with other things; what the kernel does for the sockets is in it.

use std::net::Ipv4Addr;
use std::time::Duration;

use bytes::Bytes;
use dynamo_transport::certificates::Authority;
use dynamo_transport::{
    Endpoint, EndpointConfig, Event, Events, HelloConfig, Lane, Limits, LinkSender, PeerName, Role,
};
use nix::sys::resource::{UsageWho, getrusage};

type Failure = Box<dyn std::error::Error>;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Failure> {
    let mut numbers = std::env::args().skip(1).map(|number| number.parse::<usize>());
    let round_trips = numbers.next().unwrap_or(Ok(500_000))?;
    let in_flight = numbers.next().unwrap_or(Ok(64))?;
    let bytes = numbers.next().unwrap_or(Ok(128))?;

    let authority = Authority::create("echo")?;
    let bind = |role, name| -> Result<(Endpoint, Events), Failure> {
        Ok(Endpoint::bind(EndpointConfig {
            listen: (Ipv4Addr::LOCALHOST, 0).into(),
            identity: authority.issue(role, &PeerName::new(name)?)?.identity()?,
            trust: authority.trust()?,
            hello: HelloConfig { version_min: 1, version_max: 1, fingerprint: Vec::new() },
            limits: Limits::default(),
        })?)
    };
    let (server, server_events) = bind(Role::Node, "server")?;
    let (client, client_events) = bind(Role::Client, "client")?;
    tokio::spawn(echo(server_events));
    let link = client.dial(server.local_address()?, None).await?;
    let mut rounds = Rounds {
        events: client_events,
        sender: link.sender.clone(),
        payload: vec![7; bytes].into(),
        next_lane: 0,
    };

    // Until the path's MTU and round trip are known.
    rounds.run(round_trips / 10, in_flight).await?;
    let (cpu, clock) = (cpu_time()?, tokio::time::Instant::now());
    rounds.run(round_trips, in_flight).await?;
    let (cpu, wall) = (cpu_time()? - cpu, clock.elapsed());

    let each = cpu.as_secs_f64() * 1e6 / round_trips as f64;
    let rate = round_trips as f64 / wall.as_secs_f64();
    let statistics = link.sender.statistics();
    report(&format!(
        "{round_trips} round trips of {bytes} bytes, {in_flight} in flight: \
         {each:.2} us CPU each, {rate:.0}/s, {:.1} packets per 100, {statistics:?}",
        statistics.sent_packets as f64 * 100.0 / (round_trips as f64 * 1.1),
    ));
    client.shutdown().await;
    server.shutdown().await;
    Ok(())
}

#[expect(clippy::print_stdout, reason = "the result of a program run by hand")]
fn report(line: &str) {
    println!("{line}");
}

/// Sends every frame back on its lane.
async fn echo(mut events: Events) {
    let mut sender = None;
    while let Some(event) = events.next().await {
        match event {
            Event::Connected(link) => sender = Some(link.sender),
            Event::Frames { lane, frames, .. } => {
                let sender = sender.as_ref().expect("a link is announced before its frames");
                for frame in frames {
                    sender.send(lane, frame).expect("few frames are under way");
                }
            }
            Event::Datagram { .. } | Event::Disconnected { .. } => {}
        }
    }
}

/// The client's side.
struct Rounds {
    events: Events,
    sender: LinkSender,
    payload: Bytes,
    next_lane: u8,
}

impl Rounds {
    async fn run(&mut self, count: usize, in_flight: usize) -> Result<(), Failure> {
        let mut asked = count.min(in_flight);
        let mut answered = 0;
        self.ask(asked)?;
        while answered < count {
            if let Some(Event::Frames { frames, .. }) = self.events.next().await {
                answered += frames.len();
                let more = (count - asked).min(in_flight - (asked - answered));
                self.ask(more)?;
                asked += more;
            }
        }
        Ok(())
    }

    /// Puts all on one lane, the next turn's on the other.
    fn ask(&mut self, count: usize) -> Result<(), Failure> {
        self.next_lane ^= 1;
        for _ in 0..count {
            self.sender.send(Lane::Foreground(self.next_lane), self.payload.clone())?;
        }
        Ok(())
    }
}

/// The CPU time that this process has used.
fn cpu_time() -> Result<Duration, Failure> {
    let usage = getrusage(UsageWho::RUSAGE_SELF)?;
    let micros = |time: nix::sys::time::TimeVal| {
        Duration::from_secs(time.tv_sec().unsigned_abs())
            + Duration::from_micros(time.tv_usec().unsigned_abs())
    };
    Ok(micros(usage.user_time()) + micros(usage.system_time()))
}
